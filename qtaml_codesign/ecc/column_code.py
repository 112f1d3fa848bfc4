"""Codes that correct one flip by its syndrome: Hamming's, and Hsiao's single-correcting double-detecting (SECDED) ones.

Check bit i of a word is the sum over GF(2) of the data bits whose column has bit i set. The syndrome of one flip is
the column of its cell; a syndrome that is no column is reported as a lost word, and its data bits are left as read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.ecc.code import Bits, ClosedForm, Code, Decoded, FlipRates, parity_sums

MOST_CHECKS = 9


@dataclass(frozen=True)
class ColumnCode(Code):
    """A systematic code of minimum distance 3 or 4, data bits first; made by `hamming` and `secded`.

    Args:
        family: first part of the name.
        checks: number r of check bits; the column of check bit i is 2^i.
        columns: (k,) columns of the data bits, each a number of r bits, all different and none a power of two.
    """

    latency = "combinational"

    family: str
    checks: int
    columns: tuple[int, ...]

    @property
    def name(self) -> str:
        """`secded-72-64`, for instance."""
        return f"{self.family}-{self.n}-{self.k}"

    @property
    def n(self) -> int:
        """Data and check bits."""
        return self.k + self.checks

    @property
    def k(self) -> int:
        """Data bits."""
        return len(self.columns)

    @property
    def radius(self) -> int:
        """One."""
        return 1

    def encode_bits(self, bits: Bits) -> Bits:
        """The data `bits`, then the check bits."""
        return np.concatenate([bits, parity_sums(bits, self._parity_check[:, : self.k])], axis=1)

    def decode_bits(self, read: Bits, rates: FlipRates) -> Decoded:
        """Words as `read`, with the cell flipped back whose column is the syndrome, at all `rates` alike."""
        syndromes = parity_sums(read, self._parity_check) @ (1 << np.arange(self.checks))
        cell = self._cell_of[syndromes]
        bits = read[:, : self.k].copy()
        (corrected,) = np.nonzero((cell >= 0) & (cell < self.k))
        bits[corrected, cell[corrected]] ^= 1
        return Decoded(bits, (syndromes != 0) & (cell < 0))

    def closed_form(self, rates: FlipRates) -> ClosedForm | None:
        """Exact error rates under symmetric flips; every term is positive, so that small rates keep their digits.

        A word is right where no data bit flipped and the syndrome of the check bits is no data column, and where one
        data bit flipped alone. Data bit j is wrong where it flipped and the others have a syndrome, or where it did
        not flip and the syndrome of the others is its column.

        Args:
            rates: of every cell.
        """
        if not rates.symmetric:
            return None
        p, data, others = rates.zero_to_one, np.array(self.columns), self._syndrome_laws(rates.zero_to_one)
        ones = np.bitwise_count(data)
        some = -math.expm1(self.checks * math.log1p(-p)) if p < 1.0 else 1.0
        word = float(special.bdtrc(1, self.k, p) + self.k * p * (1.0 - p) ** (self.k - 1) * some
                     + (1.0 - p) ** self.k * (p**ones * (1.0 - p) ** (self.checks - ones)).sum())
        bit = p * others[:, 1:].sum(axis=1) + (1.0 - p) * others[np.arange(self.k), data]
        return ClosedForm(word, float(bit.mean()))

    def _syndrome_laws(self, p: float) -> NDArray[np.float64]:
        """(k, 2^r) law of the syndrome of all cells but data bit j, by j."""
        values, law = np.arange(1 << self.checks), np.zeros((self.k, 1 << self.checks))
        law[:, 0] = 1.0
        for cell, column in enumerate(self._all_columns):
            mine = np.arange(self.k) != cell
            law[mine] = (1.0 - p) * law[mine] + p * law[mine][:, values ^ column]
        return law

    @cached_property
    def _all_columns(self) -> NDArray[np.intp]:
        """(n,) columns of the data bits, then of the check bits."""
        return np.array([*self.columns, *(1 << i for i in range(self.checks))], np.intp)

    @cached_property
    def _parity_check(self) -> NDArray[np.float32]:
        """(r, n) rows of the check bits, 0 or 1; float32, whose product is the fastest."""
        return (self._all_columns >> np.arange(self.checks)[:, None] & 1).astype(np.float32)

    @cached_property
    def _cell_of(self) -> NDArray[np.intp]:
        """(2^r,) the cell whose column a syndrome is, -1 for none."""
        cells = np.full(1 << self.checks, -1, np.intp)
        cells[self._all_columns] = np.arange(self.n)
        return cells


def hamming(checks: int) -> ColumnCode:
    """Hamming's code of 2^r - 1 cells: every syndrome is a column, so it always corrects, and never reports a loss.

    Args:
        checks: r, 2 to 9.

    Raises:
        InputError: another number.

    Source: R. W. Hamming, Bell Syst. Tech. J. 29, 147 (1950).

    Example:
        >>> hamming(3).name, hamming(3).encode([[1, 0, 1, 1]]).tolist()
        ('hamming-7-4', [[1, 0, 1, 1, 0, 1, 0]])
    """
    whole_number_within("checks", checks, 2, MOST_CHECKS, "3 check bits make the code of 7 cells")
    columns = tuple(value for value in range(1, 1 << checks) if value.bit_count() > 1)
    return ColumnCode("hamming", checks, columns)


def secded(data_bits: int) -> ColumnCode:
    """Hsiao's code: every column has an odd number of ones, so that one flip is corrected and two always reported.

    The columns are those of three ones, then five, in rising order, with the fewest check bits that leave enough.

    Args:
        data_bits: k, 1 to 247; 32 and 64 make the (39,32) and (72,64) codes of memories.

    Raises:
        InputError: another number.

    Source: M. Y. Hsiao, IBM J. Res. Dev. 14, 395 (1970).

    Example:
        >>> secded(64).name, secded(64).cells_per_bit
        ('secded-72-64', 1.125)
    """
    whole_number_within("data_bits", data_bits, 1, (1 << (MOST_CHECKS - 1)) - MOST_CHECKS, "for instance 64")
    checks = next(r for r in range(3, MOST_CHECKS + 1) if (1 << (r - 1)) - r >= data_bits)
    odd = [value for value in range(1 << checks) if value.bit_count() % 2 and value.bit_count() > 1]
    columns = tuple(sorted(odd, key=lambda value: (value.bit_count(), value))[:data_bits])
    return ColumnCode("secded", checks, columns)
