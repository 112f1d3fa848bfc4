"""A tensor whose rows, its output channels, are held in different ways."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.codec import Codec, whole
from qtaml_codesign.errors import InputError

Rows = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class ByRows:
    """Which rows of a tensor, by its first axis, each codec holds.

    Args:
        parts: rows, rising, and their codec; each row of the tensor in one part.

    Raises:
        InputError: a row stands twice, or one is missing.

    Example:
        >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
        >>> form = BitFormat(4)
        >>> held = ByRows((((0, 2), PlaneProtected(form, 1.0)), ((1,), PlaneProtected(form, 1.0, depth=2))))
        >>> held.rows, held.protected_bits(30)
        (3, 20)
    """

    parts: tuple[tuple[Rows, Codec], ...]

    def __post_init__(self) -> None:
        """Check that the rows are 0, 1, 2, ... once each."""
        found = sorted(row for rows, _ in self.parts for row in rows)
        rising = all(rows and list(rows) == sorted(rows) for rows, _ in self.parts)
        if not self.parts or not whole(*found) or found != list(range(len(found))) or not rising:
            raise InputError("the rows of a tensor are not shared out over its codecs", where="ByRows",
                             rule="each row 0, 1, 2, ... in one part, rising within it", value=found,
                             next_step="name every output channel once")

    def __repr__(self) -> str:
        """Rows and the stores that hold them."""
        return f"ByRows({self.rows} rows: {self.summary})"

    @property
    def rows(self) -> int:
        """Rows of the tensor."""
        return sum(len(rows) for rows, _ in self.parts)

    @property
    def format(self) -> BitFormat:
        """Bit count and encoding of the first part: in which the law of the memory is stated."""
        return self.parts[0][1].format

    @property
    def summary(self) -> str:
        """Numbers of rows x stores; what several stores are told to be after their first word stands there once."""
        by_rest: dict[str, list[str]] = {}
        for rows, codec in self.parts:
            first, _, rest = codec.summary.partition(" ")
            by_rest.setdefault(rest, []).append(f"{len(rows)} x {first}")
        return "; ".join(f"{', '.join(some)} {rest}".rstrip() for rest, some in by_rest.items())

    @property
    def cells(self) -> float:
        """Cells per weight, averaged over the rows."""
        return sum(len(rows) * codec.cells for rows, codec in self.parts) / self.rows

    @property
    def metadata_bits(self) -> int:
        """Bits beside the cells: those of each part, and for each row the number of its part."""
        choice = (len(self.parts) - 1).bit_length()
        return sum(codec.metadata_bits for _, codec in self.parts) + self.rows * choice

    @property
    def coded_bits(self) -> dict[tuple[int, int], float]:
        """Data bits for each weight in codewords of (n, k), averaged over the rows."""
        found: dict[tuple[int, int], float] = {}
        for rows, codec in self.parts:
            for code, bits in codec.coded_bits.items():
                found[code] = found.get(code, 0.0) + bits * len(rows) / self.rows
        return found

    @property
    def tables(self) -> dict[Hashable, int]:
        """Those of all parts (see `Codec.tables`)."""
        return {table: bits for _, codec in self.parts for table, bits in codec.tables.items()}

    def protected_bits(self, size: int) -> int:
        """Bits of the tensor of `size` weights that ideal protection covers."""
        return sum(codec.protected_bits(size // self.rows * len(rows)) for rows, codec in self.parts)

    def split(self, weights: NDArray[Any]) -> Iterator[tuple[Rows, Codec, NDArray[Any]]]:
        """Rows, codec and weights (rows, ...) of each part of a tensor (all rows, ...).

        Raises:
            InputError: the tensor has another number of rows.
        """
        if weights.shape[:1] != (self.rows,):
            raise InputError("a tensor has other rows than its codecs", where="ByRows", rule=f"{self.rows} rows",
                             value=f"shape {weights.shape}", next_step="give each output channel a codec")
        for rows, codec in self.parts:
            yield rows, codec, np.ascontiguousarray(weights[list(rows)])

    def to_json(self) -> dict[str, Any]:
        """The parts, as plain values."""
        return {"codec": "by-rows", "parts": [[list(rows), codec.to_json()] for rows, codec in self.parts]}
