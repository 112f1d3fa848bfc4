"""Weights that take no cell: each row is read as its mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.codec import LARGEST, Codec
from qtaml_codesign.errors import InputError


@dataclass(frozen=True, repr=False)
class Dropped(Codec):
    """Rows of which nothing but the mean is kept; a word of one cell that does not exist stands for each weight.

    Args:
        mean: of each row.

    Raises:
        InputError: no rows, or a mean that is not finite.

    Example:
        >>> codec = Dropped((1.0, 2.0))
        >>> codec.cells, codec.encode(np.zeros((2, 3))).tolist(), codec.readout[1].tolist()
        (0.0, [[0, 0, 0], [0, 0, 0]], [1.0, 2.0])
    """

    mean: tuple[float, ...]
    format: BitFormat = field(default=BitFormat(1), init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the means."""
        if not self.mean or not (np.abs(self.mean) <= LARGEST).all():
            raise InputError("the rows of a store do not fit", where="Dropped(mean)",
                             rule=f"a mean within +-{LARGEST:.3g} for each row",
                             value=self.mean, next_step="make it with Dropped.of(weights)")

    @classmethod
    def of(cls, weights: NDArray[np.floating]) -> Dropped:
        """The means of the rows of these weights.

        Args:
            weights: (rows, ...); with one axis they are one row.
        """
        rows = weights.reshape(len(weights) if weights.ndim > 1 else 1, -1)
        return cls(tuple(rows.mean(axis=1, dtype=np.float64).astype(np.float32).tolist()))

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(2,) zeros: the mean of a row is added to them."""
        return np.zeros(2, np.float32)

    @cached_property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(rows,) gain 0, and the mean of each row."""
        mean = np.array(self.mean, np.float32)
        return np.zeros_like(mean), mean

    @property
    def metadata_bits(self) -> int:
        """32 for the mean of each row."""
        return 32 * len(self.mean)

    def __repr__(self) -> str:
        """For how many rows it stands."""
        return f"Dropped({len(self.mean)} rows)"

    @property
    def summary(self) -> str:
        """That nothing is stored."""
        return "dropped"

    @property
    def cells(self) -> float:
        """None."""
        return 0.0

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Words 0 in the shape of the weights (rows, ...)."""
        return np.zeros(weights.shape, np.uint8)

    def cell_law(self, law: CellLaw) -> CellLaw:
        """A law of rate 0: there is no cell that could flip in the memory of `law`."""
        return law_of_words(law.without(range(law.format.bits)), 1)

    def open_cells(self, words: Codes) -> NDArray[np.int64]:
        """(2, 1) zeros: no cells hold `words`."""
        return np.zeros((2, 1), np.int64)

    def to_json(self) -> dict[str, Any]:
        """The means."""
        return {"codec": "dropped", "mean": list(self.mean)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Dropped:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.
        """
        return cls(tuple(fields["mean"]))
