"""Plan, deploy and measure one network at one point: the row that most studies keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qtaml_codesign as qc
from lab.networks import trained
from lab.summary import counts_row


def accuracy_row(case: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    """Accuracy of one plan under flips.

    Args:
        case: network, seed, method, budget, planned (flip probability of the plan), deployed (of the trials), trials.
        folder: where the trained networks lie.
        options: further arguments of `qc.plan`.

    The training seed is the key of the flips too: methods, budgets and flip probabilities share them, networks do not.
    """
    workload = trained(case["network"], case["seed"], folder)
    plan = qc.plan(workload, case["method"], case["planned"], case["budget"], case["seed"], **options)
    return result_row(workload, plan, case["deployed"], case["trials"], case["seed"])


def result_row(
    workload: qc.Workload, plan: qc.TacPlan, flips: float | qc.BitErrorProfile, trials: int, seed: int
) -> dict[str, Any]:
    """Overhead and depths of a plan, counts of its trials, and the correct answers of each of them."""
    result = qc.evaluate(workload, plan, flips, trials, seed)
    return {
        "overhead": plan.overhead, "depths": " ".join(map(str, plan.depths.values())),
        **counts_row(result.counts, workload), "by_trial": " ".join(map(str, result.score_by_trial)),
    }


def point(network: str, seed: int, method: str, budget: float, flip_probability: float, trials: int) -> dict[str, Any]:
    """A case planned and deployed at the same flip probability; budget 0 for methods that spend nothing."""
    return {"network": network, "seed": seed, "method": method, "budget": budget, "planned": flip_probability,
            "deployed": flip_probability, "trials": trials}
