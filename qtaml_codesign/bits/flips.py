"""Draw the flips of stored codes: exact, keyed by identity, and nested over rate and protection depth.

A number of every cell is compared with its rate (`bits.kernels`): the same cost at every rate, rates from 0 to 1,
nested over all of them, so that two points of a sweep are compared by common random numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw, as_profile
from qtaml_codesign.bits.formats import BitFormat, Codes, Encoding, plain_bits
from qtaml_codesign.bits.variation import flip_cells
from qtaml_codesign.checks import plain_array, whole_number_within
from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.physics.flip import FlipProbability

STREAM = "qtaml-codesign flips 2"
LARGEST_SEED = 2**256 - 1
LARGEST_TRIAL = 2**64 - 1
LARGEST_INDEX = 2**48


@dataclass(frozen=True)
class FlipKey:
    """128 bits that name one stream of flips: two 64-bit words, made by `flip_key`."""

    words: tuple[int, int]


@dataclass(frozen=True, eq=False)
class FlippedCodes:
    """What one reading gave.

    Args:
        codes: read codes, shape and dtype of the stored ones.
        flips_by_plane: (B,) int64, flips in each plane, 0 = LSB.
        exposed: cells in unprotected planes, n (B - depth). A cell that cannot flip only because of the flip
            direction (charge loss) or because its plane's rate is zero still counts as exposed.
    """

    codes: NDArray[Any]
    flips_by_plane: NDArray[np.int64]
    exposed: int

    @property
    def flipped(self) -> int:
        """Flips in all planes."""
        return int(self.flips_by_plane.sum())


def flip_key(seed: int, tensor: str, purpose: str = "trial") -> FlipKey:
    """Key of the flips of one tensor: BLAKE2b (128 bits) of seed, tensor name and purpose.

    Args:
        seed: integer >= 0.
        tensor: name of the tensor; other tensors get unrelated flips.
        purpose: what the drawing is for; other purposes get unrelated flips.

    Raises:
        InputError: a seed outside 0 .. 2^256 - 1, or a name that is no text.

    Example:
        >>> flip_key(0, "fc.weight") == flip_key(0, "fc.weight"), flip_key(0, "fc.weight") == flip_key(1, "fc.weight")
        (True, False)
    """
    number = whole_number_within("seed", seed, 0, LARGEST_SEED, "give a seed such as 0")
    if not isinstance(tensor, str):
        raise InputError("the name of a tensor is no text", where="tensor", rule="a text", value=tensor,
                         next_step="for instance 'fc.weight'")
    identity = json.dumps([STREAM, number, tensor, purpose])
    digest = hashlib.blake2b(identity.encode(), digest_size=16).digest()
    return FlipKey((int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")))


def draw_flips(
    codes: Codes, errors: CellLaw, depth: int, key: FlipKey, trial: int, first_index: int = 0,
    out: Codes | None = None,
) -> FlippedCodes:
    """Read stored codes once: bit b of weight i flips when u(key, trial, i, b) < its rate, exactly.

    A stored 1 flips with `errors.one_to_zero[b]`, a stored 0 with `errors.zero_to_one[b]`, against the same u; the top
    `depth` planes never flip. u does not depend on the array's size, the codes, the bit count or the encoding, so flips
    at a smaller rate or a larger depth are a subset of those at a larger rate or a smaller depth. `errors.spread`
    or `errors.own_rates` gives every cell a rate of its own, and `errors.block` ties neighbours (`bits.variation`).

    Args:
        codes: any shape, uint8 or uint16, codes of `errors.format`; not changed.
        errors: rates of the region the tensor lies in, before protection.
        depth: protected planes from the MSB down, 0 to B.
        key: `flip_key` of the tensor.
        trial: index of the drawing, 0 .. 2^64 - 1.
        first_index: weight index of codes[0] in its tensor, for reading a tensor in pieces.
        out: where the read codes go, for reading often or in several threads: a contiguous array of the shape and type
            of the codes, elsewhere in memory. Default: a new array.

    Raises:
        InputError: codes of another type or format, a depth, trial or index out of bounds, or an `out` that does not
            fit.

    Example:
        >>> errors = BitErrorProfile.uniform(0.25).regions[0]
        >>> read = draw_flips(np.zeros(1000, np.uint8), errors, 2, flip_key(0, "fc.weight"), trial=0)
        >>> read.exposed, int(read.codes.max()) < 64, read.flipped
        (6000, True, 1517)
    """
    stored = _kernel_codes(codes, errors.format)
    open_errors = errors.protect(depth)
    if stored.size + first_index > LARGEST_INDEX:
        raise InputError(
            "the tensor has too many weights", where="codes", rule=f"first_index + size <= {LARGEST_INDEX}",
            value=stored.size + first_index, next_step="split the tensor in two, under two names",
        )
    first = whole_number_within("first_index", first_index, 0, LARGEST_INDEX, "count weights from 0")
    number = whole_number_within("trial", trial, 0, LARGEST_TRIAL, "count trials from 0")
    place = None if out is None else _checked_out(out, codes)
    read, flips = FlipDrawing(open_errors, key).draw(stored, number, first, place)
    exposed = stored.size * (errors.format.bits - depth)
    return FlippedCodes(read.reshape(codes.shape), flips, exposed)


def read_back(
    codes: NDArray[Any],
    flip_probability: ArrayLike | FlipProbability | BitErrorProfile,
    bits: int | None = None,
    protected: int = 0,
    seed: int = 0,
    *,
    encoding: Encoding | None = None,
    trial: int = 0,
    tensor: str = "tensor",
) -> NDArray[Any]:
    """Codes read back from cells that flip: a new array, same shape and dtype; the input stays as it is.

    Each bit of each code flips on its own with the flip probability of its plane (and direction, for a card with
    charge loss). The same arguments give the same flips on every machine; a larger flip probability adds flips
    and removes none; more protected planes remove flips and add none.

    Args:
        codes: integer array of any shape, codes 0 .. 2^bits - 1.
        flip_probability: a number in (0, 1], (bits,) by plane with 0 = LSB, a scalar `FlipProbability` or a profile.
        bits: B, 2 to 16; default 8, or that of the card.
        protected: planes from the MSB down that never flip, 0 to B.
        seed, trial, tensor: key of the drawing; another value of any of them gives unrelated flips.
        encoding: how codes stand for weights; default offset binary, or that of the card. It does not change
            which cells flip, and is checked against the card's.

    Raises:
        InputError: codes that are no whole numbers of so many bits, a rate outside [0, 1], no rate above 0, bits or an
            encoding that contradict the card's, more protected planes than there are, or a seed or trial out of bounds.

    Example:
        >>> codes = np.arange(8, dtype=np.uint8)
        >>> read_back(codes, 0.1, seed=1)
        array([  1,   8,  11,   3,   4,   1,   6, 135], dtype=uint8)
        >>> read_back(codes, 0.1, seed=1, protected=1)
        array([ 1,  8, 11,  3,  4,  1,  6,  7], dtype=uint8)
    """
    form = BitFormat(8 if bits is None else plain_bits(bits), "offset_binary" if encoding is None else encoding)
    profile = as_profile(flip_probability, form)
    errors = profile.region_of(tensor)
    _check_format(errors.format, bits, encoding)
    if errors.silent:
        raise InputError(
            "no bit can flip, so nothing would be injected", where="flip_probability",
            rule="at least one plane's rate > 0",
            value=flip_probability, next_step="give a flip probability above zero, or use the codes as they are",
        )
    stored = plain_array("codes", codes, "integer codes, 0 .. 2^bits - 1", "pass a numpy array of codes")
    whole_number_within("protected", protected, 0, errors.format.bits, "protect at most every plane")
    errors.format.check_codes(stored)
    narrow = stored.astype(errors.format.code_dtype)
    read = draw_flips(narrow, errors, protected, flip_key(seed, tensor), trial)
    return read.codes.astype(stored.dtype)


class FlipDrawing:
    """The drawings of one tensor's flips, without a check: all that does not hang on the trial is done once.

    Args:
        law: rates after protection.
        key: `flip_key` of the tensor.

    Example:
        >>> law, codes = BitErrorProfile.uniform(0.25).regions[0], np.zeros(1000, np.uint8)
        >>> read, flips = FlipDrawing(law, flip_key(0, "fc.weight")).draw(codes, trial=0)
        >>> bool((read == draw_flips(codes, law, 0, flip_key(0, "fc.weight"), 0).codes).all()), flips.shape
        (True, (8,))
    """

    def __init__(self, law: CellLaw, key: FlipKey) -> None:
        self._law, self._key = law, np.array(key.words, np.uint64)
        planes = (slice(0, 8), slice(8, 16))
        self._bytes = [kernels.rate_patterns(law.zero_to_one[its].tobytes(), law.one_to_zero[its].tobytes())
                       for its in planes]

    def draw(
        self, codes: NDArray[Any], trial: int, first_index: int = 0, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Codes (n,) as one reading finds them, and flips by plane (B,) int64.

        Codes of more than 8 bits are read byte by byte: the low bytes hold planes 0 to 7, the high bytes the rest.

        Args:
            codes: (n,) uint8 or uint16, contiguous; not changed.
            trial: index of the drawing, 0 .. 2^64 - 1.
            first_index: weight index of codes[0].
            out: where the read codes go; default a new array like the codes.
        """
        read = np.empty_like(codes) if out is None else out
        if not self._law.alike:
            return read, flip_cells(codes, self._law, self._key, trial, first_index, read)
        flips = np.zeros((2, 8), np.int64)
        for byte, (lanes, sure, digits) in enumerate(self._bytes[: codes.itemsize]):
            its = slice(byte, None, codes.itemsize)
            kernels.flip_bytes(codes.view(np.uint8)[its], lanes, sure, digits, self._key, np.uint64(trial),
                               np.uint64(first_index), byte, read.view(np.uint8)[its], flips[byte])
        return read, flips.reshape(-1)[: self._law.format.bits]


def _kernel_codes(codes: Codes, fmt: BitFormat) -> NDArray[Any]:
    if not isinstance(codes, np.ndarray) or codes.dtype not in (np.uint8, np.uint16):
        raise InputError(
            "stored codes have the wrong type", where="codes", rule="a uint8 or uint16 array",
            value=getattr(codes, "dtype", type(codes)),
            next_step="make codes with BitFormat.quantise, or use read_back",
        )
    return np.ascontiguousarray(fmt.check_codes(codes)).ravel()


def _checked_out(out: Codes, codes: Codes) -> NDArray[Any]:
    """`out`, flat."""
    alike = isinstance(out, np.ndarray) and (out.shape, out.dtype) == (codes.shape, codes.dtype)
    if not alike or not out.flags.c_contiguous or not out.flags.writeable or np.may_share_memory(out, codes):
        raise InputError(
            "the read codes cannot go there", where="out",
            rule=f"a contiguous {codes.dtype} array of shape {codes.shape} that shares no memory with the codes",
            value=f"{type(out).__name__}, {getattr(out, 'dtype', '-')}, shape {getattr(out, 'shape', '-')}",
            next_step="give np.empty(codes.shape, codes.dtype), or leave out away",
        )
    return out.reshape(-1)


def _check_format(fmt: BitFormat, bits: int | None, encoding: str | None) -> None:
    for name, given, found in (("bits", bits, fmt.bits), ("encoding", encoding, fmt.encoding)):
        if given is not None and given != found:
            raise InputError(
                f"{name} differs from that of the flip probability's card", where=name, rule=f"{name} = {found!r}",
                value=given, next_step=f"leave {name} out, or give the flip probability as a number",
            )
