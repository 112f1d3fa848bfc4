"""Repetition: every data bit in n cells, the likelier value wins; under symmetric flips that is the majority."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.checks import is_whole_within
from qtaml_codesign.ecc.code import Bits, ClosedForm, Code, Decoded, FlipRates
from qtaml_codesign.errors import InputError

MOST_COPIES = 1001


@dataclass(frozen=True)
class Repetition(Code):
    """One data bit in n cells.

    Args:
        copies: n, odd, 1 to 1001.

    Raises:
        InputError: an even number of copies, or none.

    Example:
        >>> code = Repetition(3)
        >>> code.encode([[0], [1]]).tolist(), code.decode([[0, 1, 0], [1, 1, 0]], 0.1).bits.tolist()
        ([[0, 0, 0], [1, 1, 1]], [[0], [1]])
    """

    latency = "combinational"

    copies: int

    def __post_init__(self) -> None:
        """Check the number of copies."""
        if not is_whole_within(self.copies, 1, MOST_COPIES) or self.copies % 2 == 0:
            raise InputError("a repetition code needs a majority", where="copies", value=self.copies,
                             rule=f"an odd number, 1 to {MOST_COPIES}", next_step="for instance 3")

    @property
    def name(self) -> str:
        """`repetition-3`, for instance."""
        return f"repetition-{self.copies}"

    @property
    def n(self) -> int:
        """The copies."""
        return self.copies

    @property
    def k(self) -> int:
        """One."""
        return 1

    @property
    def radius(self) -> int:
        """(n - 1) / 2; of symmetric flips below 1/2."""
        return self.copies // 2

    def encode_bits(self, bits: Bits) -> Bits:
        """n copies of every bit of `bits`."""
        return np.repeat(bits, self.copies, axis=1)

    def decode_bits(self, read: Bits, rates: FlipRates) -> Decoded:
        """The likelier value of every bit given how many ones were `read` and the `rates`."""
        ones = self._reads_one(rates)[read.sum(axis=1, dtype=np.intp)]
        return Decoded(ones[:, None].astype(np.uint8), np.zeros(len(read), np.bool_))

    def residual_rates(self, rates: FlipRates) -> FlipRates:
        """Rates of a data bit after decoding, exact: the tails of the binomial law of the ones that are read.

        Args:
            rates: of every cell.

        Example:
            >>> round(Repetition(3).residual_rates(FlipRates(0.1, 0.1)).zero_to_one, 12)
            0.028
        """
        as_one, ones, n = self._reads_one(rates), np.arange(self.copies + 1.0), self.copies
        ways = special.binom(n, ones)
        from_zero = ways * rates.zero_to_one**ones * (1.0 - rates.zero_to_one) ** (n - ones)
        from_one = ways * (1.0 - rates.one_to_zero) ** ones * rates.one_to_zero ** (n - ones)
        return FlipRates(float(from_zero[as_one].sum()), float(from_one[~as_one].sum()))

    def closed_form(self, rates: FlipRates) -> ClosedForm:
        """Mean of both directions of `residual_rates` at these `rates`; a word is one bit."""
        mean = self.residual_rates(rates).mean
        return ClosedForm(mean, mean)

    def _reads_one(self, rates: FlipRates) -> NDArray[np.bool_]:
        """(n + 1,) whether so many ones are read as a one: the likelier, the majority where both are alike."""
        ones = np.arange(self.copies + 1.0)
        zeros = self.copies - ones
        from_one = special.xlogy(ones, 1.0 - rates.one_to_zero) + special.xlogy(zeros, rates.one_to_zero)
        from_zero = special.xlogy(ones, rates.zero_to_one) + special.xlogy(zeros, 1.0 - rates.zero_to_one)
        return np.where(from_one == from_zero, ones > zeros, from_one > from_zero)
