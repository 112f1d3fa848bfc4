"""The store chosen for the channel: each row's mean and scale, and one table of words for what is left.

    word   = encoder((W - mean of the row) / scale of the row)
    weight = mean of the row + scale of the row x table[read word]

Nothing is protected and nothing is decoded: words and table are those of least expected squared error under the flip
law of the cells (`codebook.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.codebook import Codebook, Source, design_codebook
from qtaml_codesign.codecs.codec import LARGEST, Codec
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]

LEAST_SPREAD = 2.0**-20
"""Standard deviation over largest magnitude of a row; below, float32 holds the row's mean and little else."""


@dataclass(frozen=True, repr=False)
class ChannelOptimised(Codec):
    """Words chosen for their channel, one table for all rows of a group.

    Args:
        codebook: words and table for numbers of mean 0 and variance 1.
        mean: of each row, added to what is read.
        scale: of each row, >= 0; 0 reads the mean, whatever the cells say.

    Raises:
        InputError: means and scales do not pair up, or are not finite, or a scale is negative.

    Example:
        >>> weights = np.random.default_rng(0).normal(size=(4, 1000))
        >>> law = CellLaw("default", BitFormat(4), 0.1, 0.1)
        >>> codec = design(weights, law)
        >>> words = codec.encode(weights)
        >>> clean = codec.values[words]
        >>> scale, mean = codec.readout
        >>> clean = clean * scale[:, None] + mean[:, None]
        >>> words.shape, codec.cells, codec.metadata_bits, list(codec.tables.values())
        ((4, 1000), 4.0, 256, [512])
        >>> (codec.distortion(weights, law) / 1000).round(2).tolist()
        [0.25, 0.26, 0.24, 0.26]
    """

    codebook: Codebook
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    format: BitFormat = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check the rows."""
        object.__setattr__(self, "format", self.codebook.format)
        fits = 0 < len(self.mean) == len(self.scale) and np.isfinite((*self.mean, *self.scale)).all()
        if not fits or min(self.scale) < 0.0:
            raise _refused("the rows of a store do not fit", "mean, scale",
                           "a finite mean and a scale >= 0 for each row, at least one row",
                           f"{len(self.mean)} means, {len(self.scale)} scales")
        most = max(map(abs, self.mean)) + max(self.scale) * max(map(abs, self.codebook.table))
        if not most <= LARGEST:
            raise _refused("a row of a store reads numbers that float32 does not hold", "mean, scale",
                           f"|mean| + scale x largest |value| <= {LARGEST:.3g}", most)

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(2^B,) float32: the table, before a row's scale and mean (see `readout`)."""
        return np.array(self.codebook.table, np.float32)

    @property
    def metadata_bits(self) -> int:
        """32 for each row's mean and scale."""
        return 64 * len(self.mean)

    @property
    def tables(self) -> dict[Hashable, int]:
        """32 bits for each entry of the table; the writer's thresholds are not read."""
        return {self.codebook: 32 * len(self.codebook.table)}

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Words of weights (rows, ...), or of any shape where there is one row: the least expected squared error.

        Raises:
            InputError: a weight is not finite, or there is another number of rows.
        """
        return self.codebook.encode(self._normalised(weights)).reshape(weights.shape)

    @cached_property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(rows,) float32 scale and mean of each row."""
        return np.array(self.scale, np.float32), np.array(self.mean, np.float32)

    def cell_law(self, law: CellLaw) -> CellLaw:
        """The law in words of B cells, where its planes are alike."""
        return law_of_words(law, self.format.bits)

    def distortion(self, weights: NDArray[np.floating], law: CellLaw) -> Array:
        """(rows,) E ||read - W||^2 of each row, exact but for the rounding of float32.

        Args:
            weights: (rows, ...) as for `encode`.
            law: flip rates of the cells.

        Raises:
            InputError: as `encode`.
        """
        by_row: Array = self.codebook.errors(self._normalised(weights), law).sum(axis=1)
        return by_row * np.square(self.scale)

    @property
    def summary(self) -> str:
        """Cells of a word, and how many of the words are written."""
        return f"{self.format.bits} cells, {len(self.codebook.words)} words"

    def to_json(self) -> dict[str, Any]:
        """Every field as plain values."""
        return {"codec": "channel-optimised", "codebook": self.codebook.to_json(), "mean": list(self.mean),
                "scale": list(self.scale)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ChannelOptimised:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave, also after JSON.
        """
        return cls(Codebook.from_json(fields["codebook"]), tuple(fields["mean"]), tuple(fields["scale"]))

    def _normalised(self, weights: NDArray[np.floating]) -> Array:
        rows = len(self.mean)
        if weights.size == 0 or rows not in (1, len(np.atleast_1d(weights))):
            raise _refused("the weights do not fit the rows of the store", "weights", f"{rows} rows, first axis",
                           f"shape {weights.shape}")
        return _by_row(_checked(weights).reshape(rows, -1), np.array(self.mean), np.array(self.scale))


def design(
    weights: NDArray[np.floating], law: CellLaw, importance: ArrayLike | None = None, *,
    codebook: Codebook | None = None, seed: int = 0,
) -> ChannelOptimised:
    """The store chosen for these weights and this law: mean and standard deviation of each row, one table for all.

    The table is made for the normalised weights of all rows. Ten weights are enough: their own distribution is what it
    is made for, so that it may hold them better than any that it has not seen. A row without a spread (none that
    float32 shows) reads its mean; where no row has one, every value is 0.

    Args:
        weights: (rows, ...), finite, at least one; with one axis they are one row.
        law: flip rates of the B cells, B = 1 to 12.
        importance: (rows,) >= 0, how much the squared error of a row counts once it is divided by the row's variance;
            all alike by default. For the error of a network's outputs: Jacobian gain x variance of the row.
        codebook: a table to use in place of one of its own.
        seed: key of the search.

    Raises:
        InputError: weights that are empty or not finite, an importance that does not fit, or more than 12 cells.

    Example:
        >>> law = CellLaw("default", BitFormat(8), 0.1, 0.1)
        >>> codec = design(np.array([[1.0, 1.0], [0.0, 2.0]]), law)
        >>> codec.mean, codec.scale
        ((1.0, 1.0), (0.0, 1.0))
    """
    given = _checked(weights)
    if given.size == 0:
        raise _refused("there are no weights to store", "weights", "at least one weight", f"shape {weights.shape}")
    rows = given.reshape(len(given) if given.ndim > 1 else 1, -1)
    spread = np.where(rows.std(axis=1) > LEAST_SPREAD * np.abs(rows).max(axis=1), rows.std(axis=1), 0.0)
    mean, scale = (found.astype(np.float32).astype(np.float64) for found in (rows.mean(axis=1), spread))
    share = np.where(scale > 0.0, _importance(importance, len(rows)), 0.0)
    chosen = codebook or design_codebook(_source(_by_row(rows, mean, scale), share), law, seed)
    return ChannelOptimised(chosen, tuple(mean.tolist()), tuple(scale.tolist()))


def _source(numbers: Array, share: Array) -> Source:
    """The normalised weights of all rows that have a share; all of them where none has."""
    mass = np.repeat(share if share.any() else np.ones_like(share), numbers.shape[1])
    return Source.of(numbers.reshape(-1), mass)


def _importance(given: ArrayLike | None, rows: int) -> Array:
    found = np.ones(rows) if given is None else np.asarray(given, dtype=np.float64)
    if found.shape != (rows,) or not (np.isfinite(found) & (found >= 0.0)).all():
        raise _refused("the importance does not fit the rows", "importance", f"{rows} finite numbers >= 0", given)
    return found


def _by_row(rows: Array, mean: Array, scale: Array) -> Array:
    """(rows, n) less the mean, over the scale; 0 where the scale is 0."""
    return (rows - mean[:, None]) / np.where(scale > 0.0, scale, np.inf)[:, None]


def _checked(weights: NDArray[np.floating]) -> Array:
    if not np.isfinite(weights).all():
        raise _refused("a weight is not a finite number", "weights", "finite weights", "nan or infinity")
    return np.asarray(weights, dtype=np.float64)


def _refused(what: str, where: str, rule: str, value: object) -> InputError:
    return InputError(what, where=where, rule=rule, value=value, next_step="check what is passed to ChannelOptimised")
