"""What a plan writes into the memory, and what is read back: factors, gains, planes and the flips that decide."""

from __future__ import annotations

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.reader import HostReader
from qtaml_codesign.sweeps.jobs import task_for
from qtaml_codesign.tac.evaluation import deploy_plan, laws_for


def test_deployed_model_holds_enlarged_weights_clipped_to_the_scale(small: qc.Workload) -> None:
    plan = qc.plan(small, method="mean-only", flip_probability=0.1)
    clean = deploy_plan(small, plan, 0.1).clean_weights()
    for name, weight in small.weights.items():
        scale = float(np.abs(weight).max())
        wanted = np.clip(1.25 * weight, -scale, scale)
        np.testing.assert_allclose(clean[name], wanted, atol=1.0001 * scale * 2.0**-7, rtol=0)
        assert (np.abs(1.25 * weight) > scale).any()


def test_the_rescaled_correction_writes_plain_codes_and_reads_them_enlarged(small: qc.Workload) -> None:
    plan = qc.plan(small, method="tac-rescaled", flip_probability=0.1, budget=0.01)
    held, bare = (
        {group.name: group for group in deploy_plan(small, made, 0.1).groups}
        for made in (plan, qc.plan(small, "tac-bits-only", 0.1, 0.01))
    )
    assert any(layer.corrected for layer in plan.layers)
    for layer in plan.layers:
        assert (layer.factor, layer.offset) == (1.0, 0.0)
        assert layer.gain == (1.25 if layer.corrected else 1.0)
        one, other = held[layer.name], bare[layer.name]
        np.testing.assert_array_equal(one.words, other.words)
        np.testing.assert_allclose(one.codec.values, layer.gain * other.codec.values, rtol=1e-6)


def test_slope_correction_takes_the_slope_of_the_stored_codes_under_protection(small: qc.Workload) -> None:
    """numpy's fit of a line through (stored value, E[read | code]) of every weight; protected layers may read large."""
    plan = qc.plan(small, method="tac-slope-corrected", flip_probability=0.1, budget=0.03)
    errors = BitErrorProfile.uniform(0.1).regions[0]
    for layer in plan.layers:
        weights = small.weights[layer.name]
        law, codes = ReadLaw(errors, layer.depth), PlaneProtected.fitted(weights).encode(weights).ravel()
        slope = np.polyfit(law.values[codes], law.conditional_mean(codes), 1)[0]
        assert layer.factor == pytest.approx(1 / slope, rel=1e-9)
    assert min(layer.factor for layer in plan.layers) < 1.0 < max(layer.factor for layer in plan.layers)


def test_random_protection_deploys_any_planes_and_predicts_what_they_leave(small: qc.Workload) -> None:
    plan = qc.plan(small, "random", 0.1, budget=0.3, seed=2, sensitivity="reverse")
    exposed = left = 0.0
    assert any(layer.planes for layer in plan.layers)
    for layer in plan.layers:
        planes = layer.planes or tuple(range(layer.bits - layer.depth, layer.bits))
        assert len(planes) == layer.depth
        variance = sum(4**plane for plane in range(layer.bits) if plane not in planes) * 0.09 * 4.0**-7
        left += layer.weights * layer.jacobian_gain**2 * layer.scale**2 * variance
        exposed += layer.weights * (layer.bits - len(planes))
        assert plan.codecs[layer.name].protected_planes == planes
    assert plan.predicted_variance == pytest.approx(left, rel=1e-9)
    result = qc.evaluate(small, plan, flip_probability=0.1, trials=2)
    assert result.counts.bits_exposed == 2 * exposed
    assert result.nominal_ber == pytest.approx(0.1, rel=1e-12)
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    task = task_for(small.digest, plan, laws_for(small, plan, 0.1), seed=0)
    assert [group.codec for group in task.groups] == list(plan.codecs.values())


def test_decision_draws_its_own_keyed_flips_at_the_planned_depths(
    tiny_workload: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flips that decide must not be those that are measured later, and must see the protection.

    Every layer is read uncorrected and corrected, two stored tensors, under the same five drawings.
    """
    seen = []

    class Spy(HostReader):
        def __init__(self, group, seed, purpose):  # type: ignore[no-untyped-def]
            super().__init__([group], seed, purpose)
            self.told = seed, purpose, group.name, group.codec.depth, group.words.tobytes()

        def read(self, trial):  # type: ignore[no-untyped-def]
            seen.append((*self.told, trial))
            return super().read(trial)

    monkeypatch.setattr(DeployedModel, "prepare", lambda self, seed, purpose: Spy(*self.groups, seed, purpose))
    plan = qc.plan(tiny_workload, "tac", 0.1, 0.4, seed=5)
    assert any(plan.depths.values())
    assert all(entry[:2] == (5, "correction") and entry[3] == plan.depths[entry[2]] for entry in seen)
    for name in plan.depths:
        assert sorted(entry[5] for entry in seen if entry[2] == name) == sorted([0, 1, 2, 3, 4] * 2)
        assert len({entry[4] for entry in seen if entry[2] == name}) == 2


def test_no_flips_are_quantisation_alone(small: qc.Workload) -> None:
    """p = 0: the plan protects nothing it need not, and every trial is the quantised network itself."""
    chosen = qc.plan(small, "tac", flip_probability=0.0, budget=0.0)
    assert set(chosen.depths.values()) == {0}
    assert chosen.predicted_variance == 0.0
    result = qc.evaluate(small, chosen, flip_probability=[0.0] * 8, trials=3)
    quantised = {name: codec.values[codec.encode(small.weights[name])] for name, codec in chosen.codecs.items()}
    assert result.score_by_trial == (small.score_by_group(quantised).sum(),) * 3
    assert result.counts.bits_flipped == 0
    assert result.nominal_ber == result.realised_ber == 0.0
