"""What a protection costs, in the three currencies of a memory: protected bits, cells of a code, cells in all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qtaml_codesign.checks import number_within, whole_number, whole_number_within
from qtaml_codesign.ecc.limits import extra_cells_of_channel


@dataclass(frozen=True)
class Price:
    """What one plan costs. Cells are means per weight over the whole network; inf where no code can do it.

    Args:
        protected_bits: share of the stored bits that no flip may reach, the currency of the paper.
        extra_cells: cells beyond the stored bits, under the named code.
        total_cells: stored bits and extra cells.
        shannon_extra_cells: the fewest extra cells of any code that leaves no errors, at the capacity of the cells.
        shannon_total_cells: the same with the stored bits. A code that leaves errors may cost less.
    """

    protected_bits: float
    extra_cells: float
    total_cells: float
    shannon_extra_cells: float
    shannon_total_cells: float


def price(
    weights: int, stored_bits: int, protected_bits: int, one_to_zero: float, zero_to_one: float,
    cells_per_protected_bit: float,
) -> Price:
    """Price a plan in the three currencies.

    Protected bits lie in the cells of the code, all others in one cell each.

    Args:
        weights: weights stored, >= 1.
        stored_bits: bits of all weights together, >= weights.
        protected_bits: those of them that are protected.
        one_to_zero: P(1 -> 0) of the cells, in [0, 1].
        zero_to_one: P(0 -> 1) of the cells, in [0, 1]; symmetric flips have both alike, charge loss one of them 0.
        cells_per_protected_bit: of the named code, 1 / its rate, >= 1: 3 for a triple repetition, 72/64 for SECDED.

    Raises:
        InputError: numbers out of range.

    Source: least cells of a code: Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    Example:
        >>> cost = price(1000, 8000, 800, one_to_zero=0.10, zero_to_one=0.10, cells_per_protected_bit=2.5)
        >>> cost.protected_bits, round(cost.extra_cells, 6), round(cost.total_cells, 6)
        (0.1, 1.2, 9.2)
        >>> round(cost.shannon_extra_cells, 3), round(cost.shannon_total_cells, 3)
        (0.707, 8.707)
    """
    held = whole_number("weights", weights, least=1)
    bits = whole_number("stored_bits", stored_bits, least=held)
    safe = whole_number_within("protected_bits", protected_bits, 0, bits, "count bits of the stored words")
    code = number_within("cells_per_protected_bit", cells_per_protected_bit, 1.0, math.inf,
                         "1 <= cells_per_protected_bit, finite", "a code of rate 0.4 takes 2.5 cells per bit")
    bound = float(extra_cells_of_channel(one_to_zero, zero_to_one))
    plain, extra, least = bits / held, safe * (code - 1.0) / held, safe * bound / held if safe else 0.0
    return Price(safe / bits, extra, plain + extra, least, plain + least)
