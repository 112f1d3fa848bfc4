"""What every error-correcting code must say of itself: data bits into cells, and back from cells that flipped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.checks import plain_array, probabilities
from qtaml_codesign.errors import InputError

Bits = NDArray[np.uint8]

Latency = Literal["combinational", "algebraic", "iterative"]


class FlipRates(NamedTuple):
    """P(0 -> 1) and P(1 -> 0) of every cell of a codeword; `flip_rates` makes and checks them.

    Example:
        >>> flip_rates(0.1), flip_rates((0.0, 0.1)).mean
        (FlipRates(zero_to_one=0.1, one_to_zero=0.1), 0.05)
    """

    zero_to_one: float
    one_to_zero: float

    @property
    def symmetric(self) -> bool:
        """Whether both directions have one rate."""
        return self.zero_to_one == self.one_to_zero

    @property
    def mean(self) -> float:
        """Mean over both directions: the rate of cells that hold as many zeros as ones."""
        return 0.5 * (self.zero_to_one + self.one_to_zero)


class Decoded(NamedTuple):
    """What a decoder gives back.

    Attributes:
        bits: (W, k) uint8, data bits as the decoder believes them.
        failed: (W,) bool, words that the decoder itself reports as lost; others can be wrong too (miscorrected).
    """

    bits: Bits
    failed: NDArray[np.bool_]


class ClosedForm(NamedTuple):
    """Exact error rates of data after decoding.

    Attributes:
        word: probability that at least one of a word's k data bits is wrong.
        bit: expected share of wrong data bits.
    """

    word: float
    bit: float


@dataclass(frozen=True)
class DecoderCost:
    """What a decoder asks of the memory around it.

    Args:
        latency: `combinational` (gates alone, one cycle), `algebraic` (tens of cycles), `iterative` (hundreds).
        block_bits: cells of one codeword, decoded together.
        cells_per_access: cells read to get at one data bit.
    """

    latency: Latency
    block_bits: int
    cells_per_access: int


class Code(ABC):
    """A binary code: k data bits in n cells. A frozen value that can be compared, hashed and sent.

    A code from outside derives from this class. `encode_bits` and `decode_bits` are given arrays that are checked.
    """

    latency: ClassVar[Latency]
    """Latency class of the decoder."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the code; it says which code it is, so no two codes share it."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Cells of a codeword."""

    @property
    @abstractmethod
    def k(self) -> int:
        """Data bits of a codeword."""

    @property
    def radius(self) -> int:
        """Flips per word that are corrected wherever they fall, t; 0 where nothing is promised."""
        return 0

    @abstractmethod
    def encode_bits(self, bits: Bits) -> Bits:
        """Codewords (W, n) of data bits (W, k)."""

    @abstractmethod
    def decode_bits(self, read: Bits, rates: FlipRates) -> Decoded:
        """Data bits (W, k) of words (W, n) as they were read, by a decoder that knows the `rates` of its cells."""

    def closed_form(self, rates: FlipRates) -> ClosedForm | None:
        """Error rates after decoding at these `rates` where they are known exactly, over random data; else None."""
        return None

    def residual_rates(self, rates: FlipRates) -> FlipRates | None:
        """Exact flip rates of a data bit after decoding at these `rates`, by the value it holds.

        None unless every data bit has a codeword of its own: only then do they flip one by one, each at such a rate.
        """
        return None

    @property
    def rate(self) -> float:
        """Data bits per cell, k / n."""
        return self.k / self.n

    @property
    def cells_per_bit(self) -> float:
        """Cells per data bit, n / k."""
        return self.n / self.k

    @property
    def cost(self) -> DecoderCost:
        """What the decoder asks of the memory."""
        return DecoderCost(self.latency, self.n, self.n)

    def encode(self, bits: NDArray[Any]) -> Bits:
        """Codewords of data.

        Args:
            bits: (W, k) zeros and ones.

        Returns:
            (W, n) uint8, what the cells hold.

        Raises:
            InputError: other values, or another shape.
        """
        return self.encode_bits(_checked_bits("bits", bits, self.k))

    def decode(self, read: NDArray[Any], flip_probability: object) -> Decoded:
        """Data of codewords as they were read.

        Args:
            read: (W, n) zeros and ones.
            flip_probability: of every cell, as `flip_rates` takes it; the decoder weighs what it reads by it.

        Raises:
            InputError: other values, another shape, or a rate outside [0, 1].
        """
        return self.decode_bits(_checked_bits("read", read, self.n), flip_rates(flip_probability))


def flip_rates(flip_probability: object) -> FlipRates:
    """The rates of both directions.

    Args:
        flip_probability: one rate for both directions, or the pair P(0 -> 1), P(1 -> 0).

    Raises:
        InputError: neither, or a rate outside [0, 1].

    Example:
        >>> flip_rates((0.0, 0.1))
        FlipRates(zero_to_one=0.0, one_to_zero=0.1)
    """
    given = probabilities("flip_probability", flip_probability)
    if given.shape not in ((), (2,)):
        raise InputError("a code takes one flip probability, or one per direction", where="flip_probability",
                         rule="a number, or the pair (P(0 -> 1), P(1 -> 0))", value=flip_probability,
                         next_step="give the rates of one bit plane, such as 0.10")
    low, high = np.broadcast_to(given, 2).tolist()
    return FlipRates(low, high)


def parity_sums(bits: Bits, rows: NDArray[np.float32]) -> Bits:
    """Sums over GF(2) of the bits that each row takes; as float32, in which a product is fastest and exact to 2^24.

    Args:
        bits: (W, n).
        rows: (r, n), zeros and ones.

    Returns:
        (W, r) uint8.

    Example:
        >>> parity_sums(np.array([[1, 1, 0]], np.uint8), np.array([[1, 1, 0], [0, 1, 1]], np.float32)).tolist()
        [[0, 1]]
    """
    return np.asarray((bits @ rows.T).astype(np.int32) & 1, np.uint8)


def _checked_bits(where: str, bits: object, width: int) -> Bits:
    rule, step = f"zeros and ones of shape (words, {width})", "one row per codeword"
    given = plain_array(where, bits, rule, step)
    if given.ndim != 2 or given.shape[1] != width or given.dtype.kind not in "biu" or (given.size and not (
            given.min() >= 0 and given.max() <= 1)):
        raise InputError(f"{where} are not the bits of whole words", where=where, rule=rule,
                         value=f"{given.dtype}, shape {given.shape}", next_step=step)
    return np.ascontiguousarray(given, np.uint8)
