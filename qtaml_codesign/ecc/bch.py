"""BCH codes of 2^m - 1 cells: any t flips of a word are corrected, by algebra over GF(2^m)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.ecc import kernels
from qtaml_codesign.ecc.code import Bits, Code, Decoded, FlipRates, parity_sums
from qtaml_codesign.errors import InputError

PRIMITIVE = {3: 0o13, 4: 0o23, 5: 0o45, 6: 0o103, 7: 0o211, 8: 0o435, 9: 0o1021, 10: 0o2011}
"""Primitive polynomials by degree, as the bits of a number, the constant term last (Lin and Costello, table 2.7)."""


@dataclass(frozen=True)
class Bch(Code):
    """The primitive narrow-sense BCH code of 2^m - 1 cells that corrects t flips, systematic, data bits first.

    A word with more than t flips is either reported as lost, and its data bits are left as read, or corrected to a
    wrong codeword.

    Args:
        degree: m, 3 to 10.
        corrected: t, at least 1 and so few that a data bit is left.

    Raises:
        InputError: other numbers.

    Source: R. C. Bose and D. K. Ray-Chaudhuri, Inf. Control 3, 68 (1960); A. Hocquenghem, Chiffres 2, 147 (1959);
    decoder: J. L. Massey, IEEE Trans. Inf. Theory 15, 122 (1969).

    Example:
        >>> Bch(7, 10).name, oct(Bch(4, 2).generator)
        ('bch-127-64-10', '0o721')
    """

    latency = "algebraic"

    degree: int
    corrected: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        whole_number_within("degree", self.degree, min(PRIMITIVE), max(PRIMITIVE), "7 makes codes of 127 cells")
        whole_number_within("corrected", self.corrected, 1, self.n // 2 - 1, "fewer flips leave more data bits")
        if self.k < 1:
            raise InputError("so many flips leave no data bit", where="corrected", value=self.corrected,
                             rule=f"t flips in {self.n} cells with a data bit left", next_step="correct fewer")

    @property
    def name(self) -> str:
        """`bch-127-64-10`, for instance."""
        return f"bch-{self.n}-{self.k}-{self.corrected}"

    @property
    def n(self) -> int:
        """2^m - 1."""
        return (1 << self.degree) - 1

    @property
    def k(self) -> int:
        """Cells without the degree of the generator."""
        return self.n - self.generator.bit_length() + 1

    @property
    def radius(self) -> int:
        """t."""
        return self.corrected

    @cached_property
    def generator(self) -> int:
        """The polynomial that divides every codeword, as the bits of a number: the product of the different minimal
        polynomials of a, a^3, ..., a^(2t-1)."""
        product, roots = 1, set[int]()
        for power in range(1, 2 * self.corrected, 2):
            if power not in roots:
                orbit = {power * 2**i % self.n for i in range(self.degree)}
                roots |= orbit
                product = _times(product, self._minimal(orbit))
        return product

    def encode_bits(self, bits: Bits) -> Bits:
        """The data `bits`, then the check bits: what is left of x^(n-k) times the data after division."""
        return np.concatenate([bits, parity_sums(bits, self._check_rows)], axis=1)

    def decode_bits(self, read: Bits, rates: FlipRates) -> Decoded:
        """Words as `read`, up to t flips corrected, at all `rates` alike."""
        words, failed = read.copy(), np.empty(len(read), np.bool_)
        kernels.correct_words(words, *self._tables, self.corrected, failed)
        return Decoded(words[:, : self.k], failed)

    @cached_property
    def _tables(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(2 n,) powers a^e, twice over, and (n + 1,) their logarithms."""
        powers, logs, value = np.empty(2 * self.n, np.int64), np.zeros(self.n + 1, np.int64), 1
        for e in range(self.n):
            powers[e] = powers[e + self.n] = value
            logs[value] = e
            value = _remainder(value << 1, PRIMITIVE[self.degree])
        return powers, logs

    def _minimal(self, orbit: set[int]) -> int:
        """The product of x - a^e over the orbit; its coefficients are zeros and ones."""
        powers, logs = self._tables
        terms = [1]
        for e in orbit:
            shifted = [int(powers[logs[term] + e]) if term else 0 for term in terms] + [0]
            terms = [a ^ b for a, b in zip([0, *terms], shifted, strict=True)]
        return sum(term << i for i, term in enumerate(terms))

    @cached_property
    def _check_rows(self) -> NDArray[np.float32]:
        """(n - k, k) which data bits each check bit sums."""
        checks = self.n - self.k
        left = [_remainder(1 << (self.n - 1 - i), self.generator) for i in range(self.k)]
        return np.array([[rest >> (checks - 1 - j) & 1 for rest in left] for j in range(checks)], np.float32)


def _times(a: int, b: int) -> int:
    """Product of polynomials over GF(2), as the bits of numbers."""
    product = 0
    for shift in range(b.bit_length()):
        product ^= (a << shift) * (b >> shift & 1)
    return product


def _remainder(a: int, b: int) -> int:
    """What is left of polynomial a after division by b, over GF(2)."""
    while a.bit_length() >= b.bit_length():
        a ^= b << (a.bit_length() - b.bit_length())
    return a
