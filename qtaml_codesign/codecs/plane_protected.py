"""The paper's store: one code per weight, some of whose bit planes are protected ideally.

A tensor W is divided by its scale s = ||W||_inf, enlarged, clipped to the grid, quantised once, and read through one
table of 2^B values:

    word   = nearest level of clip(factor W / s)
    weight = s (gain level D + offset),   D = 2^(1-B)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.codecs.codec import LARGEST, Codec, pieces, whole
from qtaml_codesign.errors import InputError

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd."""


@dataclass(frozen=True)
class PlaneProtected(Codec):
    """Plain codes of a tensor, of which ideal protection keeps whole bit planes from flipping.

    Args:
        format: bit count B and encoding.
        scale: what the weights are divided by, >= 0; 0 for a tensor of zeros. Below ||W||_inf it clips.
        factor: by how much the weights are enlarged before they are clipped, > 0. What it pushes over the end of the
            grid is stored as that end: the limit that the paper names the range constraint.
        depth: how many planes are protected, 0..B; the top ones unless `planes` says which.
        deeper: how many weights, evenly spread and fewer than all, protect one plane more; 0 when depth = B.
        gain: by how much a read level is enlarged, > 0.
        offset: what is added to every read value, in units of the scale.
        planes: the protected planes, 0 = LSB, where they are not the top `depth` ones; then `depth` of them.

    Raises:
        InputError: a number out of these bounds, or planes that do not fit the depth.

    Source: arXiv 2606.00741, section 4 (Proposition 4.1, Algorithm 1 step 4) and B.4.

    Example:
        >>> weights = np.array([-2.0, 0.5, 1.0])
        >>> codec = PlaneProtected.fitted(weights, BitFormat(4))
        >>> codec.encode(weights), codec.values[codec.encode(weights)]
        (array([ 0, 10, 12], dtype=uint8), array([-2. ,  0.5,  1. ], dtype=float32))
        >>> PlaneProtected(BitFormat(4), scale=2.0, factor=1.5).encode(weights)
        array([ 0, 11, 14], dtype=uint8)
    """

    format: BitFormat
    scale: float
    factor: float = 1.0
    depth: int = 0
    deeper: int = 0
    gain: float = 1.0
    offset: float = 0.0
    planes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check every number."""
        bits, planes = self.format.bits, set(self.planes)
        if not whole(self.depth, self.deeper, *self.planes):
            raise _refused("depths and planes are counted", "depth, deeper, planes", "whole numbers",
                           (self.depth, self.deeper, self.planes))
        if not 0 <= self.depth <= bits:
            raise _refused("the protection depth is out of bounds", "depth", f"0 <= depth <= {bits}", self.depth)
        if self.deeper < 0 or (self.deeper and self.depth == bits):
            raise _too_deep("0 <= deeper, and 0 when depth = B", self.deeper)
        if self.planes and (len(planes) != self.depth or self.deeper or not planes <= set(range(bits))):
            raise _refused("the protected planes do not fit its depth", "planes",
                           f"depth = {self.depth} different planes of 0 to {bits - 1}, and deeper = 0", self.planes)
        for what, value in (("correction factor", self.factor), ("readout gain", self.gain)):
            if not (np.isfinite(value) and value > 0.0):
                raise _refused(f"the {what} is out of bounds", what, "a finite number > 0", value)
        if not np.isfinite(self.offset):
            raise _refused("the readout offset is out of bounds", "offset", "a finite number", self.offset)
        if not (np.isfinite(self.scale) and self.scale >= 0.0):
            raise _refused("the scale is out of bounds", "scale", "a finite number >= 0", self.scale)
        if not self.scale * (self.gain + abs(self.offset)) <= LARGEST:
            raise _refused("what is read is more than float32 holds", "scale, gain, offset",
                           f"scale (gain + |offset|) <= {LARGEST:.3g}", (self.scale, self.gain, self.offset))

    @classmethod
    def fitted(cls, weights: NDArray[np.floating], format: BitFormat | None = None, **rest: Any) -> PlaneProtected:
        """The codec whose scale is ||W||_inf of these weights.

        Args:
            weights: floats of any shape.
            format: bit count and encoding; 8-bit offset binary by default.
            rest: the other fields.

        Raises:
            InputError: a weight that is not finite, or a field out of bounds.
        """
        return cls(format or BitFormat(), largest_magnitude(weights), **rest)

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(2^B,) float32: scale * (gain * level * step + offset) of each code."""
        levels = self.format.codes_to_levels(np.arange(self.format.code_count))
        return (levels * (self.format.step * self.scale * self.gain) + self.scale * self.offset).astype(np.float32)

    @property
    def metadata_bits(self) -> int:
        """Slope and offset of the readout as two float32 numbers, and which planes are protected, a bit each."""
        return 2 * 32 + self.format.bits

    @property
    def protected_planes(self) -> tuple[int, ...]:
        """The planes that all weights protect, 0 = LSB."""
        return self.planes or tuple(range(self.format.bits - self.depth, self.format.bits))

    @property
    def summary(self) -> str:
        """How many planes are protected."""
        return f"{self.format.bits}-bit codes, {self.depth} planes protected"

    def protected_bits(self, size: int) -> int:
        """`depth` of each of `size` weights, and one more of each deeper one."""
        return size * self.depth + self.deeper

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Codes of weights of any shape, quantised once: the nearest level of clip(factor W / scale).

        Args:
            weights: floats.

        Raises:
            InputError: a weight is not finite, is not zero at scale 0, or they are not more than `deeper`.
        """
        if not np.isfinite(weights).all():
            raise _refused("a weight is not a finite number", "weights", "finite weights", "nan or infinity")
        if self.scale == 0.0 and weights.any():
            raise _refused("the scale is out of bounds", "scale", "> 0 for weights that are not all zero", self.scale)
        self.check_size(weights.size)
        words = np.empty(weights.shape, self.format.code_dtype)
        for piece, written in zip(pieces(weights), pieces(words), strict=True):
            written[:] = self.format.quantise(self.factor * (piece.astype(np.float64) / (self.scale or 1.0)))
        return words

    def check_size(self, size: int) -> None:
        """Refuse a tensor of so many weights if all of them are to protect one plane more.

        Args:
            size: weights of the tensor.

        Raises:
            InputError: `deeper` is not below `size`.
        """
        if self.deeper and self.deeper >= size:
            raise _too_deep(f"deeper < {size}, the weights of the tensor; else raise the depth", self.deeper)

    def residual(self, law: CellLaw) -> CellLaw:
        """The law with the rates of the protected planes zero; the one plane more of `deeper` weights stays open.

        Args:
            law: flip rates of the raw cells, of B planes.

        Raises:
            InputError: the law has fewer planes than are protected.
        """
        return law.without(self.protected_planes)

    @property
    def corrects(self) -> bool:
        """True where some weights protect one plane more."""
        return self.deeper > 0

    def corrected(self, read: Codes, stored: Codes) -> Codes:
        """The read codes without the flips in the one plane more that `deeper` weights protect.

        Args:
            read: codes of the whole tensor as one reading finds them, any shape.
            stored: the codes that were written, in the same shape.
        """
        if not self.deeper:
            return read
        undone = (read ^ stored) & (1 << self._next_plane) * self.is_deeper(stored.size).reshape(stored.shape)
        return (read ^ undone).astype(self.format.code_dtype)

    def open_cells(self, words: Codes) -> NDArray[np.int64]:
        """(2, B) cells outside the protected planes, less the one more of `deeper` weights (see `Codec.open_cells`).

        Args:
            words: codes of the whole tensor, any shape.
        """
        found = super().open_cells(words)
        found[:, list(self.protected_planes)] = 0
        if self.deeper:
            ones = np.count_nonzero((words.reshape(-1) >> self._next_plane) & 1 & self.is_deeper(words.size))
            found[:, self._next_plane] -= self.deeper - ones, ones
        return found

    def is_deeper(self, size: int) -> NDArray[np.bool_]:
        """(size,) True for the `deeper` weights that protect one plane more.

        They are those whose index i has the smallest frac(i / golden ratio): evenly spread, without a period that could
        fall in step with a row or a kernel, and a larger number keeps all of a smaller one.

        Args:
            size: weights of the tensor, at least `deeper`.
        """
        if not self.deeper:
            return np.zeros(size, np.bool_)
        return _spread(size) <= _threshold(size, self.deeper)

    def to_json(self) -> dict[str, Any]:
        """Every field, with the format's bit count and encoding."""
        return {"codec": "plane-protected", **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> PlaneProtected:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.

        Raises:
            InputError: a field out of bounds.
        """
        own = {name: value for name, value in fields.items() if name != "codec"}
        return cls(**{**own, "format": BitFormat(**own["format"]), "planes": tuple(own["planes"])})

    @property
    def _next_plane(self) -> int:
        return self.format.bits - self.depth - 1


def largest_magnitude(weights: NDArray[np.floating]) -> float:
    """||W||_inf, 0 for no weights.

    Args:
        weights: floats of any shape.

    Example:
        >>> largest_magnitude(np.array([-2.0, 1.0]))
        2.0
    """
    return max(float(weights.max(initial=0.0)), -float(weights.min(initial=0.0)))


def _spread(size: int) -> NDArray[np.uint64]:
    """frac(i / golden ratio) of every index, times 2^64."""
    return np.arange(size, dtype=np.uint64) * GOLDEN


@lru_cache(maxsize=256)
def _threshold(size: int, deeper: int) -> np.uint64:
    """The largest of the `deeper` smallest numbers of `_spread`; no two are equal."""
    return np.uint64(np.partition(_spread(size), deeper - 1)[deeper - 1])


def _too_deep(rule: str, value: int) -> InputError:
    return _refused("too many weights protect one plane more", "deeper", rule, value)


def _refused(what: str, where: str, rule: str, value: object) -> InputError:
    return InputError(what, where=where, rule=rule, value=value, next_step="check what is passed to PlaneProtected")
