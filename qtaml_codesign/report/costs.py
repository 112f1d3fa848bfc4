"""What a plan costs the memory: cells, what lies beside them, its codes, and protected bits in three currencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.coded import Coded
from qtaml_codesign.ecc.code import Code, FlipRates
from qtaml_codesign.ecc.currencies import price
from qtaml_codesign.ecc.family import cheapest_code, named_code
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.ways import MOST_RESIDUAL, laws_folder

WELL_SPENT = 0.95


def cost_lines(plan: TacPlan, laws: Mapping[str, CellLaw], measure: bool = False) -> list[str]:
    """Lines of text on what a plan costs.

    Args:
        plan: any plan.
        laws: of the raw cells of each tensor; protected bits are priced where all cells are alike.
        measure: also price them under the cheapest real code at these rates, whose residual errors are measured by
            decoding where they are not known yet: up to a minute.
    """
    beside = plan.metadata_bits / plan.weights
    lines = [f"cells: {plan.cells_per_weight:.4g} for each weight; scales and statistics, taken to be safe, make "
             f"{beside:.3g} bits for each"]
    if plan.margin != 1.0:
        lines.append(f"design margin: made for {plan.margin:g} times the raw bit error rate; the expected errors below "
                     "hold there")
    if plan.cells is not None and plan.cells_per_weight < WELL_SPENT * plan.cells:
        lines.append(f"  of {plan.cells:g} cells asked for; no further step fits into the rest, or lowers the error")
    if plan.table_bits:
        lines.append(f"tables of the reader: {plan.table_bits // 32} numbers, which hang on the cells and the code "
                     "alone and serve all that the memory holds")
    lines += [_code_line(named_code(coded.code), coded) for coded in _coded(plan)]
    if plan.protected_bits:
        lines += _price_lines(plan, laws, measure)
    elif measure:
        lines.append("nothing is protected, so that there is nothing to price")
    return lines


def _coded(plan: TacPlan) -> Iterator[Coded]:
    """One store under each code of a plan."""
    found: dict[str, Coded] = {}
    for held in plan.codecs.values():
        for _, codec in held.parts if isinstance(held, ByGroups) else (((), held),):
            if isinstance(codec, Coded):
                found.setdefault(codec.code, codec)
    yield from found.values()


def _code_line(code: Code, coded: Coded) -> str:
    rates, seen, known = FlipRates(coded.zero_to_one, coded.one_to_zero), coded.measured, ""
    if code.closed_form(rates) is not None:
        known = " (exactly)"
    elif seen is not None:
        _, low, high = seen.word_error_rate
        known = f" ({seen.wrong} of {seen.words} decoded; 95 % interval [{low:.2g}, {high:.2g}])"
    return f"code: {_told(code)}; {coded.word_error_rate:.2g} of its words are lost at this flip probability{known}"


def _told(code: Code) -> str:
    """A code with its rate and what its decoder asks of the memory."""
    cost = code.cost
    return (f"{code.name}, rate {code.rate:.3g}, {cost.latency} decoder, blocks of {cost.block_bits} cells, "
            f"{cost.cells_per_access} cells read to get at one weight")


def _price_lines(plan: TacPlan, laws: Mapping[str, CellLaw], measure: bool) -> Iterator[str]:
    """Protected bits as cells, at Shannon's bound and under a real code."""
    down = np.unique(np.concatenate([law.one_to_zero for law in laws.values()]))
    up = np.unique(np.concatenate([law.zero_to_one for law in laws.values()]))
    if len(down) > 1 or len(up) > 1:
        yield "protected bits are not priced: regions or bit planes of this memory have flip rates of their own"
        return
    rates = float(down[0]), float(up[0])
    bits = round(plan.stored_bits)
    bound = price(plan.weights, bits, plan.protected_bits, *rates, cells_per_protected_bit=1.0)
    yield (f"protected bits are an idealisation: {bound.protected_bits:.4%} of the stored bits take at least "
           f"{bound.shannon_extra_cells:.3g} extra cells for each weight under any code (Shannon), "
           f"{bound.shannon_total_cells:.4g} in all")
    if not measure:
        return
    rated = cheapest_code((rates[1], rates[0]), MOST_RESIDUAL, laws_folder())
    if rated is None:
        yield f"no code that is known here leaves fewer than {MOST_RESIDUAL:g} wrong bits at this flip probability"
        return
    real = price(plan.weights, bits, plan.protected_bits, *rates, cells_per_protected_bit=rated.code.cells_per_bit)
    yield (f"under a real code: {real.extra_cells:.3g} extra cells for each weight, {real.total_cells:.4g} in all "
           f"({_told(rated.code)}; bit error rate left {rated.law.expected.bit:.2g})")
