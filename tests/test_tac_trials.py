"""Plans evaluated on real networks: what is injected, what is counted, what is refused and what must never change."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.errors import InputError, PlanError
from tests.conftest import TINY_WORKLOAD


def numpy_global_state() -> np.ndarray:
    return np.random.get_state()[1].copy()


def test_same_call_same_plan_and_nothing_of_the_caller_changes() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    module.train()
    inputs, labels = torch.randn(40, 6), torch.arange(40) % 4
    before = copy.deepcopy(module.state_dict())
    inputs_before, torch_state, numpy_state = inputs.clone(), torch.get_rng_state(), numpy_global_state()
    workload = qc.Workload(model=module, calibration=inputs, evaluation=(inputs, labels))
    plans = [qc.plan(workload, method="tac", flip_probability=0.1, budget=0.2, seed=5) for _ in range(2)]
    results = [qc.evaluate(workload, plans[0], flip_probability=0.1, trials=3, seed=5) for _ in range(2)]
    assert plans[0] == plans[1]
    assert results[0].counts.score == results[1].counts.score
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.equal(inputs, inputs_before)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, numpy_global_state())


def test_common_random_numbers_nest_over_budget(small: qc.Workload) -> None:
    """The flips of the better protected network are a subset, so its realised flips are fewer trial by trial."""
    counts = [
        qc.evaluate(small, qc.plan(small, "uniform-msp", 0.1, budget), 0.1, trials=2).counts.bits_flipped
        for budget in (0.0, 0.125, 0.25)
    ]
    assert counts[0] > counts[1] > counts[2]


def test_evaluation_states_what_was_injected(small: qc.Workload) -> None:
    """False-failure rate 1e-9: the realised rate lies within 6.2 standard errors of p (about 2 % of p)."""
    result = qc.evaluate(small, qc.plan(small, "none", 0.1), flip_probability=0.1, trials=8)
    exposed = result.counts.bits_exposed
    assert exposed == 8 * 38160 * 8
    assert abs(result.realised_ber - 0.1) < 6.2 * math.sqrt(0.09 / exposed)
    assert result.nominal_ber == pytest.approx(0.1, rel=1e-12)
    assert result.low < result.accuracy < result.high < result.clean_accuracy


def test_per_plane_rates_reach_the_weights(small: qc.Workload) -> None:
    """Flips of the LSB alone hardly matter; the same rate on the MSB alone ruins the network."""
    plan = qc.plan(small, "none", 0.1)
    lsb = qc.evaluate(small, plan, flip_probability=[0.3] + [0.0] * 7, trials=3)
    msb = qc.evaluate(small, plan, flip_probability=[0.0] * 7 + [0.3], trials=3)
    assert lsb.accuracy > 0.95
    assert msb.accuracy < 0.5


def test_plan_of_a_card_follows_its_format_and_regions() -> None:
    workload = qc.load_workload("small-cnn")
    card = qc.load_card("3nm").with_field("storage.bits", 6)
    plan = qc.plan(workload, "uniform-msp", qc.flip_probability(card), budget=1 / 6)
    assert {layer.bits for layer in plan.layers} == {6}
    assert set(plan.depths.values()) == {1}
    result = qc.evaluate(workload, plan, qc.flip_probability(card), trials=2)
    assert result.counts.bits_stored == 2 * 38160 * 6


def test_plan_of_the_same_shapes_with_other_weights_is_refused(tiny_workload: qc.Workload, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_WORKLOAD, encoding="utf-8")
    plan = qc.plan(tiny_workload, "uniform-msp", 0.1, 0.25)
    with pytest.raises(PlanError, match="the weights differ"):
        qc.evaluate(qc.load_workload(f"{tmp_path / 'tiny.py'}:other"), plan, 0.1)


def test_refusals(small: qc.Workload) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        qc.evaluate(small, None, 0.1)  # type: ignore[arg-type]
    plan = qc.plan(small, "uniform-msp", 0.1, 0.25)
    with pytest.raises(InputError, match="another format"):
        qc.evaluate(small, plan, flip_probability=BitErrorProfile.uniform(0.1, BitFormat(4)))
    with pytest.raises(PlanError, match="another network"):
        qc.evaluate(qc.load_workload("deep-cnn"), plan, flip_probability=0.1)
    with pytest.raises(InputError, match="no flip probability"):
        qc.plan(small, "tac")


def test_an_evaluation_tells_its_trials_apart(small: qc.Workload) -> None:
    plan = qc.plan(small, "uniform-msp", 0.1, 0.25)
    four, two = (qc.evaluate(small, plan, 0.1, trials=trials) for trials in (4, 2))
    assert sum(four.score_by_trial) == four.counts.score
    assert sum(count**2 for count in four.score_by_trial) == four.counts.score_squares
    assert four.score_by_trial[:2] == two.score_by_trial
