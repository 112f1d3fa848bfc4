"""Uniform-MSP in fractions of a plane, and TAC with every layer corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.errors import PlanError, WorkloadError
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.sweeps.jobs import store_model, task_for
from qtaml_codesign.sweeps.task import ENGINE_VERSION
from qtaml_codesign.tac.allocation import AllocationProblem, fractional
from qtaml_codesign.tac.evaluation import deploy, errors_for

RATES = BitErrorProfile.uniform(0.3).regions[0]
WEIGHTS = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 25))


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


@pytest.mark.parametrize("deeper", [1, 137, 999])
def test_the_flips_are_those_of_two_depths_put_together(deeper: int) -> None:
    stored = store_tensor("w", WEIGHTS, depth=1, deeper=deeper)
    key = flip_key(5, "w")
    read = stored.read(RATES, key, 3)
    shallow, deep = (draw_flips(stored.codes, RATES, depth, key, 3).codes for depth in (1, 2))
    expected = np.where(stored.is_deeper, deep, shallow)
    np.testing.assert_array_equal(read.codes, expected)
    assert read.codes.dtype == stored.codes.dtype
    assert stored.is_deeper.sum() == deeper
    by_plane = [int(((expected ^ stored.codes) >> plane & 1).sum()) for plane in range(8)]
    assert read.flips_by_plane.tolist() == by_plane
    assert read.exposed == 7 * stored.codes.size - deeper


def test_more_deeper_weights_keep_the_earlier_ones_and_lie_evenly() -> None:
    few, many = (store_tensor("w", WEIGHTS, deeper=deeper).is_deeper for deeper in (100, 400))
    assert not (few & ~many).any()
    for period in (2, 5, 8, 25):  # rows, columns, kernels: no residue class is preferred
        counts = np.bincount(np.flatnonzero(many.ravel()) % period, minlength=period)
        np.testing.assert_allclose(counts, 400 / period, atol=0.2 * 400 / period + 2)


def test_expected_flips_count_the_stored_bits_one_by_one() -> None:
    rates = replace(RATES, one_to_zero=np.linspace(0.01, 0.4, 8), zero_to_one=np.linspace(0.3, 0.0, 8))
    stored = store_tensor("w", WEIGHTS, depth=2, deeper=333)
    total = 0.0
    for code, more in zip(stored.codes.ravel(), stored.is_deeper.ravel(), strict=True):
        for plane in range(6 - int(more)):
            total += rates.one_to_zero[plane] if code >> plane & 1 else rates.zero_to_one[plane]
    assert stored.expected_flips(rates) == pytest.approx(total, rel=1e-12)


def test_predicted_variance_lies_between_two_depths(small: qc.Workload) -> None:
    method, shares = "uniform-msp-fractional", (0.125, 0.15, 0.25)
    plans = [qc.plan(small, method, 0.1, share, sensitivity="reverse") for share in shares]
    one, mixed, two = (plan.predicted_variance for plan in plans)
    assert mixed == pytest.approx(0.8 * one + 0.2 * two, rel=5e-3)  # 28 of the 144 weights of conv1 stand for 28.8


def test_the_sweep_stores_the_same_and_old_tasks_keep_their_names(small: qc.Workload) -> None:
    plan = qc.plan(small, "uniform-msp-fractional", 0.1, 0.2)
    errors = errors_for(small, plan, 0.1)
    task = task_for(small.digest, plan, errors, seed=0)
    stored, _ = store_model(small, task)
    for ours, theirs in zip(stored, deploy(small, plan), strict=True):
        np.testing.assert_array_equal(ours.is_deeper, theirs.is_deeper)
        assert ours.deeper > 0
    assert all("deeper" in layer for layer in task.to_json()["layers"])  # type: ignore[attr-defined]
    whole = task_for(small.digest, qc.plan(small, "uniform-msp", 0.1, 0.25), errors, seed=0)
    assert not any("deeper" in layer for layer in whole.to_json()["layers"])  # type: ignore[attr-defined]
    assert whole.engine == ENGINE_VERSION


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


@pytest.mark.parametrize(("depth", "deeper"), [(0, 1001), (0, -1), (8, 1)])
def test_impossible_tensors_are_refused(depth: int, deeper: int) -> None:
    with pytest.raises(WorkloadError, match="one plane more"):
        store_tensor("w", WEIGHTS, depth=depth, deeper=deeper)


def test_accuracy_grows_from_plane_to_plane(small: qc.Workload) -> None:
    found = [qc.evaluate(small, qc.plan(small, "uniform-msp-fractional", 0.1, budget), 0.1, trials=10).accuracy
             for budget in (0.0, 0.0625, 0.125)]
    assert found[0] + 0.1 < found[1] < found[2] - 0.1  # 0.26, 0.55, 0.88


def test_always_corrected_is_the_allocation_of_tac_with_every_factor(small: qc.Workload) -> None:
    bare, every = (qc.plan(small, method, 0.1, 0.05) for method in ("tac-bits-only", "tac-always-corrected"))
    assert bare.depths == every.depths
    assert [layer.factor for layer in every.layers] == [1.25] * 4
    assert [layer.factor for layer in bare.layers] == [1.0] * 4


def test_reading_one_tensor_of_a_model_heeds_deeper_weights() -> None:
    model = StoredModel((store_tensor("w", WEIGHTS, depth=7, deeper=1000),))
    assert model.read(0, 0, {"w": RATES}, only="w").flips.bits_flipped == 0


def test_a_whole_layer_one_plane_deeper_is_one_plane_more() -> None:
    """A budget a hair below a plane everywhere rounds a small layer up to all of its weights."""
    rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(2))
    problem = AllocationProblem(np.array([10_000, 3]), rows, np.zeros(2, dtype=np.int64), 10_002)
    depths, deeper = fractional(problem)
    assert int(problem.weights @ depths + deeper.sum()) == 10_002
    assert (deeper < problem.weights).all()
    assert depths.tolist() == [0, 1]
