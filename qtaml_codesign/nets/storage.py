"""Weights as integer codes in the tunnelling memory, and what is read back from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.flips import FlipKey, FlippedCodes, draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.profile import RegionErrors
from qtaml_codesign.errors import InputError, WorkloadError, did_you_mean

PIECE = 2**16


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One weight tensor as the memory holds it.

    Attributes:
        name: tensor name.
        codes: unsigned codes, the shape of the weight tensor; read-only.
        scale: readout scale; a code is worth level * step * scale. 0 for a tensor of zeros.
        format: bit count and encoding.
        depth: top bit planes that ideal protection keeps from flipping, 0..B.
        deeper: how many weights, evenly spread, protect one plane more.
    """

    name: str
    codes: Codes
    scale: float
    format: BitFormat
    depth: int = 0
    deeper: int = 0

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
        """(2^B,) float32: what each code is worth when read, level * step * scale."""
        levels = self.format.codes_to_levels(np.arange(self.format.code_count))
        return (levels * (self.format.step * self.scale)).astype(np.float32)

    def weights(self, codes: Codes | None = None) -> NDArray[np.float32]:
        """Weights that codes (default: the stored ones) stand for, in their shape."""
        given = self.codes if codes is None else codes
        read = np.empty(given.shape, np.float32)
        for piece, values in zip(_pieces(given), _pieces(read), strict=True):
            values[:] = self.values[piece]
        return read

    def expected_flips(self, errors: RegionErrors) -> float:
        """Flips that the law expects in one reading: sum over exposed planes of ones * loss + zeros * gain."""
        exposed = self.format.bits - self.depth
        ones = self.ones_by_plane[:exposed]
        zeros = self.codes.size - ones
        if self.deeper:
            covered = int(np.count_nonzero((self.codes >> (exposed - 1)) & 1 & self.is_deeper))
            ones, zeros = ones.copy(), zeros.copy()
            ones[-1] -= covered
            zeros[-1] -= self.deeper - covered
        return float(ones @ errors.loss[:exposed] + zeros @ errors.gain[:exposed])

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

    def read(self, errors: RegionErrors, key: FlipKey, trial: int) -> FlippedCodes:
        """Codes as one reading finds them, with the flips that protection lets through."""
        drawn = draw_flips(self.codes, errors, self.depth, key, trial)
        if not self.deeper:
            return drawn
        plane = self.format.bits - self.depth - 1
        undone = (drawn.codes ^ self.codes) & (1 << plane) * self.is_deeper
        by_plane = drawn.flips_by_plane.copy()
        by_plane[plane] -= np.count_nonzero(undone)
        codes = (drawn.codes ^ undone).astype(self.codes.dtype)
        return FlippedCodes(codes, by_plane, drawn.exposed - self.deeper)


def store_tensor(
    name: str,
    weights: NDArray[np.floating],
    format: BitFormat | None = None,
    scale: float | None = None,
    factor: float = 1.0,
    depth: int = 0,
    deeper: int = 0,
) -> StoredTensor:
    """Quantise a weight tensor once from float.

    code = nearest level of W / scale, read weight = level * step * scale * factor: the mean correction W' = factor W
    has ||W'||_inf = factor ||W||_inf, so it changes the readout scale and no code.

    Args:
        name: tensor name.
        weights: finite floats of any shape.
        format: bit count and encoding; 8-bit offset binary by default.
        scale: what the weights are divided by; ||W||_inf by default. Smaller scales clip the largest weights.
        factor: mean correction, > 0.
        depth: protected top planes, 0..B.
        deeper: how many weights, evenly spread, protect one plane more; 0..n, and 0 when depth = B.

    Source: arXiv 2606.00741, section 4 and B.4.

    Example:
        >>> stored = store_tensor("fc.weight", np.array([-2.0, 0.5, 1.0]), BitFormat(4))
        >>> stored.codes, stored.weights()
        (array([ 0, 10, 12], dtype=uint8), array([-2. ,  0.5,  1. ], dtype=float32))
    """
    stored_format = format or BitFormat()
    if not 0 <= depth <= stored_format.bits:
        raise _refused(name, "the protection depth is out of bounds", f"0 <= depth <= {stored_format.bits}", depth)
    if not 0 <= deeper <= (weights.size if depth < stored_format.bits else 0):
        raise _refused(name, "too many weights protect one plane more", "0 <= deeper <= n, 0 when depth = B", deeper)
    if not (np.isfinite(factor) and factor > 0.0):
        raise _refused(name, "the correction factor is out of bounds", "a finite factor > 0", factor)
    if not np.isfinite(weights).all():
        raise _refused(name, "a weight is not a finite number", "finite weights", "nan or infinity")
    if scale is not None and not (np.isfinite(scale) and scale > 0.0):
        raise _refused(name, "the scale is out of bounds", "a finite scale > 0", scale)
    divisor = largest_magnitude(weights) if scale is None else float(scale)
    codes = np.empty(weights.shape, stored_format.code_dtype)
    for piece, quantised in zip(_pieces(weights), _pieces(codes), strict=True):
        quantised[:] = stored_format.quantise(piece.astype(np.float64) / (divisor or 1.0))
    codes.setflags(write=False)
    return StoredTensor(name, codes, divisor * float(factor), stored_format, int(depth), int(deeper))


@dataclass(frozen=True, eq=False)
class TrialFlips:
    """What one reading injected.

    Attributes:
        bits_exposed: cells in unprotected planes.
        bits_flipped: of those, flipped.
        expected_flips: flips that the law expects for the stored codes.
        by_plane: tensor name -> (B,) flips in each plane, 0 = LSB.
    """

    bits_exposed: int
    bits_flipped: int
    expected_flips: float
    by_plane: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class ReadModel:
    """Weights of one reading, by tensor name (float32, each in the shape of its tensor), and the flips in them."""

    weights: dict[str, NDArray[np.float32]]
    flips: TrialFlips


@dataclass(frozen=True, eq=False)
class StoredModel:
    """Every stored tensor of a network; reading it returns new arrays and changes nothing."""

    tensors: tuple[StoredTensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", tuple(self.tensors))
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) < len(names):
            raise _refused("StoredModel", "a tensor is stored twice", "each tensor name once", ", ".join(names))

    def __getitem__(self, name: str) -> StoredTensor:
        if name not in self._by_name:
            raise InputError(
                "no stored tensor has this name", where="StoredModel", rule="the name of a stored tensor", value=name,
                next_step=did_you_mean(name, self._by_name),
            )
        return self._by_name[name]

    def __iter__(self) -> Iterator[StoredTensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def _by_name(self) -> dict[str, StoredTensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def bits_stored(self) -> int:
        """Cells of all tensors."""
        return sum(tensor.bits_stored for tensor in self.tensors)

    def clean_weights(self) -> dict[str, NDArray[np.float32]]:
        """Quantised weights without flips."""
        return {tensor.name: tensor.weights() for tensor in self.tensors}

    def read(
        self,
        seed: int,
        trial: int,
        errors: Mapping[str, RegionErrors],
        only: str | None = None,
        purpose: str = "trial",
    ) -> ReadModel:
        """Read every tensor once, or `only` one of them, with the flips of (seed, trial, purpose).

        Args:
            seed: key of the flips, >= 0.
            trial: which drawing, >= 0.
            errors: raw flip rates by tensor name; the top `depth` planes of each tensor are exempt.
            only: name of the single tensor to read.
            purpose: readings for different purposes get unrelated flips.

        Example:
            >>> from qtaml_codesign.bits.profile import BitErrorProfile
            >>> stored = StoredModel((store_tensor("w", np.linspace(-1.0, 1.0, 100)),))
            >>> flips = stored.read(0, 0, BitErrorProfile.uniform(0.1).assign(["w"])).flips
            >>> flips.bits_exposed, flips.bits_flipped, flips.expected_flips
            (800, 75, 80.0)
        """
        chosen = self.tensors if only is None else (self[only],)
        weights, by_plane, exposed, expected = {}, {}, 0, 0.0
        for tensor in chosen:
            rates = rates_of(tensor, errors)
            drawn = tensor.read(rates, flip_key(seed, tensor.name, purpose), trial)
            weights[tensor.name] = tensor.weights(drawn.codes)
            by_plane[tensor.name] = drawn.flips_by_plane
            exposed += drawn.exposed
            expected += tensor.expected_flips(rates)
        flipped = sum(int(planes.sum()) for planes in by_plane.values())
        return ReadModel(weights, TrialFlips(exposed, flipped, expected, by_plane))


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


def rates_of(tensor: StoredTensor, errors: Mapping[str, RegionErrors]) -> RegionErrors:
    """The raw flip rates of a tensor, refused where there are none or they belong to another format."""
    if tensor.name not in errors:
        raise InputError(
            "a stored tensor has no flip rates", where=f"errors[{tensor.name!r}]",
            rule="flip rates for every tensor read",
            value=", ".join(errors) or "an empty mapping",
            next_step="build them with profile.assign(tensor names)",
        )
    rates = errors[tensor.name]
    if rates.format != tensor.format:
        raise InputError(
            "the flip rates belong to another storage format", where=f"errors[{tensor.name!r}]",
            rule=f"{tensor.format.bits} bits, {tensor.format.encoding}",
            value=f"{rates.format.bits} bits, {rates.format.encoding}",
            next_step="use the format of the device region for storing: store_tensor(..., format=errors.format)",
        )
    return rates


def _refused(where: str, what: str, rule: str, value: object) -> WorkloadError:
    return WorkloadError(what, where=where, rule=rule, value=value, next_step="check what is passed to store_tensor")
