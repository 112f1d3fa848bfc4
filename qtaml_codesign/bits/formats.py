"""How a weight in [-1, 1] becomes a B-bit code and back: the value grid and the three encodings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import Encoding as Encoding
from qtaml_codesign.checks import one_of, probabilities, whole_number_within
from qtaml_codesign.errors import InputError

Codes = NDArray[np.uint8] | NDArray[np.uint16]

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
FEWEST_BITS, MOST_BITS = 1, 16
FEWEST_PLAIN_BITS = 2
"""Fewest bits of a plain number that users may ask for: one bit of it can only say -1 or 0."""


@dataclass(frozen=True)
class BitFormat:
    """Bit count and encoding of a stored weight; bit plane 0 is the LSB, plane B - 1 the MSB.

    The value of a level is w = level * D with D = 2^(1-B). Offset binary stores j = level + 2^(B-1), two's
    complement level mod 2^B, and both reach w in [-1, 1 - D]. Sign-magnitude stores |level| in the low B - 1
    planes and the sign in the MSB (1 = negative), so w in [-1 + D, 1 - D]; it writes zero as +0 and reads -0 as 0.

    Args:
        bits: B, 1 to 16.
        encoding: `offset_binary`, `twos_complement` or `sign_magnitude`.

    Raises:
        InputError: another bit count or encoding.

    Source: grid of arXiv 2606.00741, section 2 (offset binary); the other two encodings share its step.

    Example:
        >>> BitFormat(8).levels_to_codes([-128, 0, 127])
        array([  0, 128, 255], dtype=uint8)
        >>> BitFormat(4, "sign_magnitude").levels_to_codes([-7, 0, 7])
        array([15,  0,  7], dtype=uint8)
    """

    bits: int = 8
    encoding: Encoding = "offset_binary"

    def __post_init__(self) -> None:
        count = whole_number_within("bits", self.bits, FEWEST_BITS, MOST_BITS, "a word has 1 to 16 cells")
        object.__setattr__(self, "bits", count)
        one_of("encoding of a stored weight", "encoding", self.encoding, ENCODINGS)

    @property
    def step(self) -> float:
        """Distance D = 2^(1-B) between neighbouring values."""
        return float(2.0 ** (1 - self.bits))

    @property
    def code_count(self) -> int:
        """Number of codes, 2^B."""
        return int(2**self.bits)

    @property
    def highest_level(self) -> int:
        """Largest level, 2^(B-1) - 1 in every encoding."""
        return self.code_count // 2 - 1

    @property
    def lowest_level(self) -> int:
        """Smallest level: -2^(B-1), or -(2^(B-1) - 1) in sign-magnitude."""
        return -self.highest_level if self.encoding == "sign_magnitude" else -self.code_count // 2

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """Type of a stored code: uint8 up to 8 bits, uint16 above."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    def levels_to_codes(self, levels: ArrayLike) -> Codes:
        """Codes (same shape, uint8 up to 8 bits, else uint16) of integer levels within the format's range.

        Args:
            levels: integers of any shape.

        Raises:
            InputError: not integers, or outside the format's range.
        """
        given = _integers("levels", levels, self.lowest_level, self.highest_level,
                          "quantise the weights with this format")
        return self._encode(given.astype(np.int32))

    def codes_to_levels(self, codes: ArrayLike) -> NDArray[np.int32]:
        """Levels (same shape, int32) of codes 0 .. 2^B - 1.

        Args:
            codes: integers of any shape.

        Raises:
            InputError: not integers, or no codes of the format.

        Example:
            >>> BitFormat(8, "twos_complement").codes_to_levels([127, 128, 255])
            array([ 127, -128,   -1], dtype=int32)
        """
        return cast("NDArray[np.int32]", level_table(self)[self.check_codes(codes)])

    def quantise(self, values: ArrayLike) -> Codes:
        """Codes of the grid values nearest to `values`: level = round(w 2^(B-1)), half to even, clipped to the grid.

        Args:
            values: finite floats of any shape; the grid covers [-1, 1 - D] (sign-magnitude: [-1 + D, 1 - D]) and
                what lies outside is clipped to its ends.

        Raises:
            InputError: a value that is not finite.

        Example:
            >>> BitFormat(8).quantise([-1.0, 0.0, 1.0])
            array([  0, 128, 255], dtype=uint8)
        """
        given = np.asarray(values)
        if given.dtype.kind != "f":
            given = given.astype(np.float64)
        if not np.isfinite(given).all():
            raise InputError("a weight is not a finite number", where="values", rule="finite floats",
                             value=given[~np.isfinite(given)][0],
                             next_step="check the weights: a diverged training leaves NaN or infinity behind")
        levels = np.rint(given * given.dtype.type(2 ** (self.bits - 1)))
        return self._encode(np.clip(levels, self.lowest_level, self.highest_level).astype(np.int32))

    def check_codes(self, codes: ArrayLike) -> NDArray[np.integer[Any]]:
        """The codes as an integer array of their shape.

        Args:
            codes: of any shape.

        Raises:
            InputError: not integers, or one outside 0 .. 2^B - 1.
        """
        return _integers("codes", codes, 0, self.code_count - 1,
                         "codes are what quantise() or levels_to_codes() return")

    def _encode(self, levels: NDArray[np.int32]) -> Codes:
        half = self.code_count // 2
        if self.encoding == "offset_binary":
            codes = levels + half
        elif self.encoding == "twos_complement":
            codes = levels & (self.code_count - 1)
        else:
            codes = np.where(levels < 0, half - levels, levels)
        return cast("Codes", codes.astype(self.code_dtype))


def plain_bits(bits: object) -> int:
    """The bit count of weights that are stored as plain numbers, if it is one.

    Args:
        bits: as the user gave it.

    Raises:
        InputError: not a whole number from 2 to 16.

    Example:
        >>> plain_bits(8)
        8
    """
    return whole_number_within("bits", bits, FEWEST_PLAIN_BITS, MOST_BITS, "weights are stored in 2 to 16 bits")


@lru_cache(maxsize=64)
def level_table(fmt: BitFormat) -> NDArray[np.int32]:
    """Level of every code, shape (2^B,), int32, read-only.

    Args:
        fmt: the format.

    Example:
        >>> level_table(BitFormat(2, "sign_magnitude")).tolist()
        [0, 1, 0, -1]
    """
    levels = np.arange(fmt.lowest_level, fmt.highest_level + 1, dtype=np.int32)
    table = np.zeros(fmt.code_count, np.int32)  # -0 of sign-magnitude, the code of no level, reads 0
    table[fmt.levels_to_codes(levels)] = levels
    table.setflags(write=False)
    return table


def _integers(name: str, values: ArrayLike, lowest: int, highest: int, next_step: str) -> NDArray[np.integer[Any]]:
    given = np.asarray(values)
    if given.size == 0 and given.dtype.kind == "f" and not isinstance(values, np.ndarray):
        given = given.astype(np.int32)
    if given.dtype.kind not in "ui":
        raise InputError(f"{name} are not integers", where=name, rule="an integer array", value=f"dtype {given.dtype}",
                         next_step=next_step)
    can_be = np.iinfo(given.dtype)
    if can_be.min >= lowest and can_be.max <= highest:
        return given
    if given.size and (given.min() < lowest or given.max() > highest):
        outside = given[(given < lowest) | (given > highest)]
        raise InputError(f"{name} do not fit the format", where=name, rule=f"{lowest} <= {name} <= {highest}",
                         value=f"{outside.flat[0]} ({outside.size} of {given.size} outside)", next_step=next_step)
    return given


def rates_by_plane(name: str, values: ArrayLike, bits: int) -> NDArray[np.float64]:
    """A rate for each bit plane, (bits,) and read-only.

    Args:
        name: of the argument, for errors.
        values: one number, or one for each plane, 0 = LSB; each in [0, 1].
        bits: of the format.

    Raises:
        InputError: rates outside [0, 1], or not one per plane.
    """
    rates = probabilities(name, values)
    if rates.shape not in ((), (bits,)):
        raise InputError("the flip probabilities do not fit the bit planes", where=name,
                         rule=f"one number, or {bits} (plane 0 = LSB first)", value=f"shape {rates.shape}",
                         next_step=f"give one rate per plane of the {bits}-bit format, or one for all")
    rates = np.array(np.broadcast_to(rates, (bits,)))
    rates.setflags(write=False)
    return rates
