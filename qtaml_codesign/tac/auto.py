"""Method `auto`: the plan that promises the least error of the output, and keeps it on the calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.statistics import Interval
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


@dataclass(frozen=True)
class Candidate:
    """A plan, and the squared change of the logits that is expected of it."""

    plan: TacPlan
    model: DeployedModel
    expected: float


def best_plan(
    workload: Workload, laws: Mapping[str, CellLaw], budget: float, seed: int, make: Callable[[str], TacPlan]
) -> TacPlan:
    """The plan of least expected output error of all candidates; the two best are measured, and the better one wins.

    Args:
        workload: network and calibration inputs.
        laws: flip rates of the raw cells of each tensor.
        budget: protected-bit fraction; 0 where cells are spent.
        seed: key of the drawings.
        make: the plan of a method.

    Returns:
        The plan, under the name of its own method, with the reason.
    """
    found = [_candidate(workload, laws, make(method)) for method in (BUDGET_CANDIDATES if budget else CELL_METHODS)]
    ranked = sorted(found, key=lambda one: one.expected)
    measured = [measured_output_error(workload, one.model, seed, DRAWINGS) for one in ranked[:CONFIRMED]]
    chosen = min(range(len(measured)), key=lambda place: measured[place].estimate)
    return ranked[chosen].plan.model_copy(update={"reason": _reason(ranked, measured, chosen)})


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
