"""Words with a scale, a gain and an offset for each row, of which ideal protection keeps whole planes.

    word   = the one whose value is nearest to W / scale of the row
    weight = gain of the row x value of the read word + offset of the row

In base 2 the value of a word is its level times D = 2^(1-B), as in the paper; in a smaller base the open planes share
their range more evenly (`open_base.py`). Where the rates of the cells are given, not the value of a word counts but
what is read for it on average: protected planes do not shrink while the open ones below them do, so that those averages
have gaps and are no multiple of levels.

Cells and protected planes are those of the paper's store; what a tensor shares there, each row, or output channel, has
of its own here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import read_moments
from qtaml_codesign.codecs.codec import LARGEST, Codec, whole
from qtaml_codesign.codecs.open_base import word_values
from qtaml_codesign.errors import InputError


@dataclass(frozen=True, repr=False)
class ChannelProtected(Codec):
    """Rows of a tensor in words of B cells, all with the same protected planes.

    Args:
        format: bit count B and encoding.
        scale: of each row, >= 0; what a level of 1 stands for when it is written. Weights beyond it are clipped; a row
            of scale 0 is written as zeros.
        gain: of each row; what a level of 1 stands for when it is read.
        offset: of each row; what a level of 0 stands for when it is read.
        depth: how many planes are protected, 0..B; the top ones unless `planes` says which.
        rates: of a stored 0 and of a stored 1 to flip, for each plane, 0 = LSB; words are then chosen by what is read
            for them on average. Empty: by their values.
        planes: the protected planes, 0 = LSB, where they are not the top `depth` ones; then `depth` of them.
        base: of the open planes, 1..2; 2 where planes are named.

    Raises:
        InputError: a depth, a scale or a base out of bounds, planes that do not fit the depth or the base, rates that
            are not one pair per plane in [0, 1], or rows that do not pair up or are not finite.

    Example:
        >>> codec = ChannelProtected(BitFormat(4), (2.0, 1.0), (2.0, 1.0), (0.0, 1.0), depth=1)
        >>> codec.encode(np.array([[-2.0, 0.5, 1.0], [-1.0, 0.0, 0.5]])).tolist()
        [[0, 10, 12], [0, 8, 12]]
        >>> codec.protected_bits(size=6)
        6
    """

    format: BitFormat
    scale: tuple[float, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    depth: int = 0
    rates: tuple[tuple[float, float], ...] = ()
    planes: tuple[int, ...] = ()
    base: float = 2.0

    def __post_init__(self) -> None:
        """Check every number."""
        if not whole(self.depth, *self.planes) or not 0 <= self.depth <= self.format.bits:
            raise _refused("the protection depth is out of bounds", "depth", f"0 <= depth <= {self.format.bits}",
                           self.depth)
        if self.planes and (len(set(self.planes)) != self.depth or not {*self.planes} <= {*range(self.format.bits)}):
            raise _refused("the protected planes do not fit its depth", "planes",
                           f"depth = {self.depth} different planes of 0 to {self.format.bits - 1}", self.planes)
        by_row = (self.scale, self.gain, self.offset)
        if not self.scale or len({len(values) for values in by_row}) > 1 or not np.isfinite(by_row).all():
            raise _refused("the rows of a store do not fit", "scale, gain, offset",
                           "a finite number of each for every row, at least one row", [len(part) for part in by_row])
        if min(self.scale) < 0.0:
            raise _refused("the scale of a row is out of bounds", "scale", "numbers >= 0", min(self.scale))
        most = max(abs(gain) + abs(offset) for gain, offset in zip(self.gain, self.offset, strict=True))
        if not max(most, *self.scale) <= LARGEST:
            raise _refused("a row of a store reads numbers that float32 does not hold", "scale, gain, offset",
                           f"scale, and |gain| + |offset|, <= {LARGEST:.3g}", most)
        if not 1.0 <= self.base <= 2.0 or (self.planes and self.base != 2.0):
            raise _refused("the base of the open planes is out of bounds", "base",
                           "1 <= base <= 2, and 2 where the protected planes are named", self.base)
        _ = self.means

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(2^B,) float32: what the words stand for, before gain and offset of a row."""
        return word_values(self.format, self.depth, self.base).astype(np.float32)

    @cached_property
    def means(self) -> NDArray[np.float64] | None:
        """(2^B,) what words are chosen by: the value read for each on average, or its own; None for its level."""
        if not self.rates:
            return None if self.base == 2.0 else word_values(self.format, self.depth, self.base)
        up, down = np.array(self.rates).T
        return row_moments(CellLaw("rows", self.format, down, up), self.protected_planes, self.base)[0]

    @cached_property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain (rows,) and offset (rows,)."""
        return np.array(self.gain, np.float32), np.array(self.offset, np.float32)

    @property
    def metadata_bits(self) -> int:
        """Gain and offset of each row, and a base below 2, as float32 numbers, and the depth, or which planes."""
        protection = self.format.bits if self.planes else self.format.bits.bit_length()
        return 2 * 32 * len(self.scale) + protection + 32 * (self.base != 2.0)

    @property
    def protected_planes(self) -> tuple[int, ...]:
        """The planes that are protected, 0 = LSB."""
        return self.planes or tuple(range(self.format.bits - self.depth, self.format.bits))

    @property
    def summary(self) -> str:
        """Protected planes of the store, and the base of the others."""
        base = "" if self.base == 2.0 or self.depth == self.format.bits else f", the others in base {self.base:.3g}"
        return f"{self.depth} of {self.format.bits} planes protected{base}, scale by row"

    def protected_bits(self, size: int) -> int:
        """Bits of `size` weights that ideal protection covers."""
        return self.depth * size

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Words of weights (rows, ...), or of any shape where there is one row.

        Raises:
            InputError: a weight that is not finite, or another number of rows.
        """
        rows = len(self.scale)
        if rows not in (1, *weights.shape[:1]):
            raise _refused("the weights do not fit the rows of the store", "weights", f"{rows} rows, first axis",
                           f"shape {weights.shape}")
        by_row = weights.reshape(rows, -1)
        words = row_words(by_row, self.format, np.array(self.scale), self.means)
        return words.reshape(weights.shape)

    def residual(self, law: CellLaw) -> CellLaw:
        """The law with the rates of the protected planes zero.

        Args:
            law: flip rates of the raw cells, of B planes.
        """
        return law.without(self.protected_planes)

    def open_cells(self, words: Codes) -> NDArray[np.int64]:
        """(2, B) cells outside the protected planes (see `Codec.open_cells`).

        Args:
            words: of any shape.
        """
        found = super().open_cells(words)
        found[:, list(self.protected_planes)] = 0
        return found

    def to_json(self) -> dict[str, Any]:
        """Every field as plain values; `planes` only where they are named, the base only where it is not 2."""
        usual = {"planes": (), "base": 2.0}
        own = {name: part for name, part in asdict(self).items() if name not in usual or part != usual[name]}
        return {"codec": "channel-protected", **own}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ChannelProtected:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave, also after JSON.

        Raises:
            InputError: a field out of bounds.
        """
        rows = {name: tuple(fields[name]) for name in ("scale", "gain", "offset")}
        rates = tuple((up, down) for up, down in fields["rates"])
        return cls(BitFormat(**fields["format"]), **rows, depth=fields["depth"], rates=rates,
                   planes=tuple(fields.get("planes", ())), base=fields.get("base", 2.0))


def row_moments(
    law: CellLaw, planes: Collection[int], base: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2^B,) mean and variance of the value that is read for each word.

    Args:
        law: flip rates of the raw cells.
        planes: the protected ones; the top ones where the base is not 2.
        base: of the others.
    """
    return read_moments(law.without(planes), word_values(law.format, len(planes), base))


def row_words(
    weights: NDArray[np.floating], form: BitFormat, scale: NDArray[np.float64], means: NDArray[np.float64] | None = None
) -> Codes:
    """(rows, n) words nearest to the scaled weights; those nearest to zero where the scale is 0.

    Args:
        weights: (rows, n).
        form: of the words.
        scale: (rows,) >= 0.
        means: (2^B,) what each word stands for; its level by default.

    Raises:
        InputError: a weight that is not finite.
    """
    wanted = weights / np.where(scale > 0.0, scale, np.inf)[:, None]
    if means is None or not np.isfinite(wanted).all():
        return form.quantise(wanted)
    order = np.argsort(means, kind="stable")
    nearest = np.searchsorted((means[order][1:] + means[order][:-1]) / 2.0, wanted)
    return cast("Codes", order.astype(form.code_dtype)[nearest])


def _refused(what: str, where: str, rule: str, value: object) -> InputError:
    return InputError(what, where=where, rule=rule, value=value, next_step="check what is passed to ChannelProtected")
