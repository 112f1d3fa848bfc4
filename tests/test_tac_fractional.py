"""Uniform-MSP in fractions of a plane, and TAC with every layer corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import PlanError
from qtaml_codesign.sweeps.jobs import task_for
from qtaml_codesign.tac.allocation import AllocationProblem, fractional
from qtaml_codesign.tac.evaluation import deploy_plan, laws_for


@pytest.mark.parametrize("budget", [0.0, 0.03, 0.125, 0.2, 0.4999, 1.0])
def test_the_budget_is_spent_to_the_bit(small: qc.Workload, budget: float) -> None:
    plan = qc.plan(small, "uniform-msp-fractional", 0.1, budget)
    assert plan.protected_bits == int(budget * plan.stored_bits + 1e-6)
    assert all(layer.deeper < layer.weights for layer in plan.layers)
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    shares = [layer.depth + layer.deeper / layer.weights for layer in plan.layers]
    assert max(shares) - min(shares) < 1 / 100  # one weight of the smallest tensor, 144 weights


def test_whole_planes_are_uniform_msp(small: qc.Workload) -> None:
    whole, mixed = (qc.plan(small, method, 0.1, 0.25) for method in ("uniform-msp", "uniform-msp-fractional"))
    assert whole.layers == mixed.layers
    a, b = (qc.evaluate(small, plan, 0.1, trials=2).counts for plan in (whole, mixed))
    assert replace(a, seconds=0.0) == replace(b, seconds=0.0)


def test_predicted_variance_lies_between_two_depths(small: qc.Workload) -> None:
    method, shares = "uniform-msp-fractional", (0.125, 0.15, 0.25)
    plans = [qc.plan(small, method, 0.1, share, sensitivity="reverse") for share in shares]
    one, mixed, two = (plan.predicted_variance for plan in plans)
    assert mixed == pytest.approx(0.8 * one + 0.2 * two, rel=5e-3)  # 28 of the 144 weights of conv1 stand for 28.8


def test_the_memory_and_the_task_know_the_fraction(small: qc.Workload) -> None:
    plan = qc.plan(small, "uniform-msp-fractional", 0.1, 0.2)
    model = deploy_plan(small, plan, 0.1)
    assert model.bits_exposed == plan.stored_bits - plan.protected_bits
    task = task_for(small.digest, plan, laws_for(small, plan, 0.1), seed=0)
    assert [group.codec.deeper for group in task.groups] == [layer.deeper for layer in plan.layers]
    assert all(layer.deeper for layer in plan.layers)


def test_a_plan_survives_json_and_old_plans_are_read(small: qc.Workload) -> None:
    plan = qc.plan(small, "uniform-msp-fractional", 0.1, 0.2)
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    whole = qc.plan(small, "uniform-msp", 0.1, 0.25)
    old = whole.to_json().replace(',\n   "deeper": 0', "")
    assert "deeper" not in old
    assert qc.TacPlan.from_json(old) == whole


@pytest.mark.parametrize("change", [('"deeper": 28', '"deeper": 144'), ('"depth": 1', '"depth": 8')])
def test_impossible_plans_are_refused(small: qc.Workload, change: tuple[str, str]) -> None:
    text = qc.plan(small, "uniform-msp-fractional", 0.1, 0.15).to_json()
    assert change[0] in text
    with pytest.raises(PlanError, match="one plane more"):
        qc.TacPlan.from_json(text.replace(*change, 1))


def test_accuracy_grows_from_plane_to_plane(small: qc.Workload) -> None:
    found = [qc.evaluate(small, qc.plan(small, "uniform-msp-fractional", 0.1, budget), 0.1, trials=10).accuracy
             for budget in (0.0, 0.0625, 0.125)]
    assert found[0] + 0.1 < found[1] < found[2] - 0.1  # 0.26, 0.55, 0.88


def test_always_corrected_is_the_allocation_of_tac_with_every_factor(small: qc.Workload) -> None:
    bare, every = (qc.plan(small, method, 0.1, 0.05) for method in ("tac-bits-only", "tac-always-corrected"))
    assert bare.depths == every.depths
    assert [layer.factor for layer in every.layers] == [1.25] * 4
    assert [layer.factor for layer in bare.layers] == [1.0] * 4


def test_a_whole_layer_one_plane_deeper_is_one_plane_more() -> None:
    """A budget a hair below a plane everywhere rounds a small layer up to all of its weights."""
    rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(2))
    problem = AllocationProblem(np.array([10_000, 3]), rows, np.zeros(2, dtype=np.int64), 10_002)
    depths, deeper = fractional(problem)
    assert int(problem.weights @ depths + deeper.sum()) == 10_002
    assert (deeper < problem.weights).all()
    assert depths.tolist() == [0, 1]
