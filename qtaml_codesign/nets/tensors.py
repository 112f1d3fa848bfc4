"""One weight tensor as integer codes in the tunnelling memory, and what is read back from it.

A tensor W is divided by its scale s = ||W||_inf, enlarged, clipped to the grid, quantised once, and read through one
table of 2^B values:

    code   = nearest level of clip(factor W / s)
    weight = s (gain level D + offset),   D = 2^(1-B)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey, FlippedCodes, draw_flips
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.errors import WorkloadError

PIECE = 2**16


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One weight tensor as the memory holds it.

    Attributes:
        name: tensor name.
        codes: unsigned codes, the shape of the weight tensor; read-only.
        scale: ||W||_inf, what a level of 1 / step stands for before gain and offset. 0 for a tensor of zeros.
        format: bit count and encoding.
        depth: how many bit planes ideal protection keeps from flipping, 0..B.
        deeper: how many weights, evenly spread, protect one plane more.
        gain, offset: readout; a code is worth scale * (gain * level * step + offset).
        planes: which planes are protected, 0 = LSB, where they are not the top `depth` ones; else empty.
    """

    name: str
    codes: Codes
    scale: float
    format: BitFormat
    depth: int = 0
    deeper: int = 0
    gain: float = 1.0
    offset: float = 0.0
    planes: tuple[int, ...] = ()

    @property
    def bits_stored(self) -> int:
        """Cells of the tensor, n B."""
        return int(self.codes.size) * self.format.bits

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(2^B,) how many weights hold each code."""
        counts = np.zeros(self.format.code_count, np.int64)
        for piece in _pieces(self.codes):
            counts += np.bincount(piece, minlength=counts.size)
        return counts

    @cached_property
    def ones_by_plane(self) -> NDArray[np.int64]:
        """(B,) how many codes hold a 1 in each plane, 0 = LSB."""
        planes = (np.arange(self.format.code_count) >> np.arange(self.format.bits)[:, None]) & 1
        ones: NDArray[np.int64] = planes @ self.histogram
        return ones

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(2^B,) float32: what each code is worth when read, scale * (gain * level * step + offset)."""
        levels = self.format.codes_to_levels(np.arange(self.format.code_count))
        return (levels * (self.format.step * self.scale * self.gain) + self.scale * self.offset).astype(np.float32)

    def weights(self, codes: Codes | None = None) -> NDArray[np.float32]:
        """Weights that codes (default: the stored ones) stand for, in their shape."""
        given = self.codes if codes is None else codes
        read = np.empty(given.shape, np.float32)
        for piece, values in zip(_pieces(given), _pieces(read), strict=True):
            values[:] = self.values[piece]
        return read

    @property
    def bits_exposed(self) -> int:
        """Cells that are not protected, n (B - depth) - deeper."""
        return int(self.codes.size) * (self.format.bits - self.depth) - self.deeper

    def exposed_rates(self, errors: CellLaw) -> CellLaw:
        """Raw rates with those of the protected planes zero; the one plane more of `deeper` weights stays open."""
        bits = self.format.bits
        return _without(errors, self.planes or tuple(range(bits - self.depth, bits)))

    def expected_flips(self, errors: CellLaw) -> float:
        """Flips that the law expects in one reading: sum over exposed planes of ones * loss + zeros * gain."""
        open_rates, ones = self.exposed_rates(errors), self.ones_by_plane
        zeros = self.codes.size - ones
        if self.deeper:
            last = self.format.bits - self.depth - 1
            covered = int(np.count_nonzero((self.codes >> last) & 1 & self.is_deeper))
            ones, zeros = ones.copy(), zeros.copy()
            ones[last] -= covered
            zeros[last] -= self.deeper - covered
        return float(ones @ open_rates.one_to_zero + zeros @ open_rates.zero_to_one)

    @cached_property
    def is_deeper(self) -> NDArray[np.bool_]:
        """True for the `deeper` weights that protect one plane more, in the shape of the codes.

        They are those whose index i has the smallest frac(i / golden ratio): evenly spread, without a period that could
        fall in step with a row or a kernel, and a larger number keeps all of a smaller one.
        """
        spread = np.arange(self.codes.size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        chosen = np.zeros(self.codes.size, dtype=np.bool_)
        chosen[np.argsort(spread, kind="stable")[: self.deeper]] = True
        return chosen.reshape(self.codes.shape)

    def read(self, errors: CellLaw, key: FlipKey, trial: int) -> FlippedCodes:
        """Codes as one reading finds them, with the flips that protection lets through."""
        drawn = draw_flips(self.codes, self.exposed_rates(errors), 0, key, trial)
        if not self.deeper:
            return replace(drawn, exposed=self.bits_exposed)
        plane = self.format.bits - self.depth - 1
        undone = (drawn.codes ^ self.codes) & (1 << plane) * self.is_deeper
        by_plane = drawn.flips_by_plane.copy()
        by_plane[plane] -= np.count_nonzero(undone)
        codes = (drawn.codes ^ undone).astype(self.codes.dtype)
        return FlippedCodes(codes, by_plane, self.bits_exposed)


def store_tensor(
    name: str,
    weights: NDArray[np.floating],
    format: BitFormat | None = None,
    scale: float | None = None,
    factor: float = 1.0,
    depth: int = 0,
    deeper: int = 0,
    *,
    gain: float = 1.0,
    offset: float = 0.0,
    planes: tuple[int, ...] = (),
) -> StoredTensor:
    """Quantise a weight tensor once from float.

    code = nearest level of W' / scale clipped to the grid, W' = factor W, with the scale ||W||_inf fixed before W';
    read weight = scale * (gain * level * step + offset). What a factor above 1 pushes over the end of the grid is
    stored as that end: the limit that the paper names the range constraint.

    Args:
        name: tensor name.
        weights: finite floats of any shape.
        format: bit count and encoding; 8-bit offset binary by default.
        scale: what the weights are divided by; ||W||_inf by default. Smaller scales clip the largest weights.
        factor: by how much the weights are enlarged before they are clipped, > 0.
        depth: how many planes are protected, 0..B; the top ones unless `planes` says which.
        deeper: how many weights, evenly spread, protect one plane more; 0..n, and 0 when depth = B.
        gain: by how much the read level is enlarged, > 0.
        offset: what is added to every read value, in units of the scale.
        planes: the protected planes, 0 = LSB, where they are not the top `depth` ones; then `depth` of them.

    Source: arXiv 2606.00741, section 4 (Proposition 4.1, Algorithm 1 step 4) and B.4.

    Example:
        >>> stored = store_tensor("fc.weight", np.array([-2.0, 0.5, 1.0]), BitFormat(4))
        >>> stored.codes, stored.weights()
        (array([ 0, 10, 12], dtype=uint8), array([-2. ,  0.5,  1. ], dtype=float32))
        >>> store_tensor("fc.weight", np.array([-2.0, 0.5, 1.0]), BitFormat(4), factor=1.5).weights()
        array([-2.  ,  0.75,  1.5 ], dtype=float32)
    """
    form = format or BitFormat()
    if not 0 <= depth <= form.bits:
        raise _refused(name, "the protection depth is out of bounds", f"0 <= depth <= {form.bits}", depth)
    if not 0 <= deeper <= (weights.size if depth < form.bits else 0):
        raise _refused(name, "too many weights protect one plane more", "0 <= deeper <= n, 0 when depth = B", deeper)
    if planes and (len(set(planes)) != depth or deeper or not set(planes) <= set(range(form.bits))):
        raise _refused(name, "the protected planes are out of bounds", "`depth` planes of 0..B-1, deeper = 0", planes)
    _check_readout(name, factor, gain, offset)
    if not np.isfinite(weights).all():
        raise _refused(name, "a weight is not a finite number", "finite weights", "nan or infinity")
    if scale is not None and not (np.isfinite(scale) and scale > 0.0):
        raise _refused(name, "the scale is out of bounds", "a finite scale > 0", scale)
    divisor = largest_magnitude(weights) if scale is None else float(scale)
    codes = np.empty(weights.shape, form.code_dtype)
    for piece, quantised in zip(_pieces(weights), _pieces(codes), strict=True):
        quantised[:] = form.quantise(factor * (piece.astype(np.float64) / (divisor or 1.0)))
    codes.setflags(write=False)
    return StoredTensor(name, codes, divisor, form, int(depth), int(deeper), float(gain), float(offset),
                        tuple(planes))


def _check_readout(name: str, factor: float, gain: float, offset: float) -> None:
    for what, value in (("correction factor", factor), ("readout gain", gain)):
        if not (np.isfinite(value) and value > 0.0):
            raise _refused(name, f"the {what} is out of bounds", f"a finite {what.split()[1]} > 0", value)
    if not np.isfinite(offset):
        raise _refused(name, "the readout offset is out of bounds", "a finite offset", offset)


@lru_cache(maxsize=1024)
def _without(errors: CellLaw, planes: tuple[int, ...]) -> CellLaw:
    """`errors.without(planes)`, made once for all trials."""
    return errors.without(planes)


def largest_magnitude(weights: NDArray[np.floating]) -> float:
    """||W||_inf, 0 for no weights.

    Example:
        >>> largest_magnitude(np.array([-2.0, 1.0]))
        2.0
    """
    return max(float(weights.max(initial=0.0)), -float(weights.min(initial=0.0)))


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Flat views of an array in C order (of a copy otherwise), so large that a core's cache holds the work on each."""
    flat = array.reshape(-1)
    return (flat[start : start + PIECE] for start in range(0, flat.size, PIECE))


def _refused(where: str, what: str, rule: str, value: object) -> WorkloadError:
    return WorkloadError(what, where=where, rule=rule, value=value, next_step="check what is passed to store_tensor")
