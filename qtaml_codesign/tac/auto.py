"""Method `auto`: the plan that promises the least error of the output, and keeps it on the calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.errors import InputError, shown
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.choices import USUAL_CELLS
from qtaml_codesign.tac.methods import CELL_METHODS, method_label
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.prediction import expected_output_error, measured_output_error
from qtaml_codesign.tac.store_design import gains_of

AUTO = "auto"
BUDGET_CANDIDATES = ("tac", "uniform-msp")
"""What comes into question where protected bits are to be spent; else the methods that spend cells do."""
CONFIRMED = 2
"""So many of the best are run on the calibration inputs."""
DRAWINGS = 20
USUAL = (f"neither a budget nor cells were given, so {USUAL_CELLS:g} cells per weight were spent, as many as plain "
         "8-bit codes take")


def candidates(budget: float, cells: float | None) -> list[str]:
    """The methods in question: those that protect bits where there is a budget, else those that spend cells.

    Args:
        budget: protected-bit fraction.
        cells: cells per weight, or None.

    Raises:
        InputError: both are given.

    Example:
        >>> candidates(0.05, None), candidates(0.0, 4.0), candidates(0.0, None)
        (['tac', 'uniform-msp'], ['channel-optimised', 'joint'], ['channel-optimised', 'joint'])
    """
    if budget and cells is not None:
        raise InputError("auto cannot choose between two currencies", where="budget (--budget) and cells (--cells)",
                         rule="a budget of protected bits, or cells per weight: neither has a price in the other",
                         value=f"budget={shown(budget)}, cells={shown(cells)}",
                         next_step=f"drop --cells to choose between {' and '.join(BUDGET_CANDIDATES)}, or --budget to "
                         f"choose between {' and '.join(CELL_METHODS)}")
    return list(BUDGET_CANDIDATES if budget else CELL_METHODS)


@dataclass(frozen=True)
class Candidate:
    """A plan, and the squared change of the logits that is expected of it."""

    plan: TacPlan
    model: DeployedModel
    expected: float


def best_plan(
    workload: Workload, laws: Mapping[str, CellLaw], methods: Sequence[str], seed: int,
    make: Callable[[str], TacPlan], given: bool = True,
) -> TacPlan:
    """The plan of least expected output error of all candidates; the two best are measured, and the better one wins.

    Args:
        workload: network and calibration inputs.
        laws: flip rates of the raw cells of each tensor.
        methods: that come into question.
        seed: key of the drawings.
        make: the plan of a method.
        given: whether the caller said what may be spent; the reason tells what was taken where not.

    Returns:
        The plan, under the name of its own method, with the reason.
    """
    found = [_candidate(workload, laws, make(method)) for method in methods]
    ranked = sorted(found, key=lambda one: one.expected)
    measured = [measured_output_error(workload, one.model, seed, DRAWINGS) for one in ranked[:CONFIRMED]]
    chosen = min(range(len(measured)), key=lambda place: measured[place].estimate)
    taken = "" if given else f"; {USUAL}"
    return ranked[chosen].plan.model_copy(update={"reason": _reason(ranked, measured, chosen) + taken})


def _candidate(workload: Workload, laws: Mapping[str, CellLaw], plan: TacPlan) -> Candidate:
    model = deploy(workload.weights, plan.codecs, laws, plan.statistics)
    return Candidate(plan, model, expected_output_error(model, workload.weights, gains_of(workload)))


def _reason(ranked: list[Candidate], measured: list[Interval], chosen: int) -> str:
    """What was foretold, what was measured, and which of the two decided."""
    foretold = ", ".join(f"{method_label(one.plan.method)} {one.expected:.3g}" for one in ranked)
    found = ", ".join(f"{method_label(one.plan.method)} {error.estimate:.3g} [{error.low:.3g}, {error.high:.3g}]"
                      for one, error in zip(ranked, measured, strict=False))
    verdict = "as foretold" if chosen == 0 else "against what was foretold"
    best = method_label(ranked[chosen].plan.method)
    return (f"{best} changes the outputs least, {verdict}; expected squared change, errors of single weights added up: "
            f"{foretold}; measured on the calibration inputs, {DRAWINGS} drawings: "
            f"{found}")
