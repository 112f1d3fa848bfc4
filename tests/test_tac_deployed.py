"""What a plan writes into the memory, and what is read back: factors, gains, planes and the flips that decide."""

from __future__ import annotations

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.sweeps.jobs import store_model, task_for
from qtaml_codesign.tac.evaluation import deploy, errors_for


def test_deployed_model_holds_enlarged_weights_clipped_to_the_scale(small: qc.Workload) -> None:
    plan = qc.plan(small, method="mean-only", flip_probability=0.1)
    clean = deploy(small, plan).clean_weights()
    for name, weight in small.weights.items():
        scale = float(np.abs(weight).max())
        wanted = np.clip(1.25 * weight, -scale, scale)
        np.testing.assert_allclose(clean[name], wanted, atol=1.0001 * scale * 2.0**-7, rtol=0)
        assert (np.abs(1.25 * weight) > scale).any()


def test_the_rescaled_correction_writes_plain_codes_and_reads_them_enlarged(small: qc.Workload) -> None:
    plan = qc.plan(small, method="tac-rescaled", flip_probability=0.1, budget=0.01)
    codes = {tensor.name: tensor for tensor in deploy(small, plan)}
    bare = {tensor.name: tensor for tensor in deploy(small, qc.plan(small, "tac-bits-only", 0.1, 0.01))}
    assert any(layer.corrected for layer in plan.layers)
    for layer in plan.layers:
        assert (layer.factor, layer.offset) == (1.0, 0.0)
        assert layer.gain == (1.25 if layer.corrected else 1.0)
        np.testing.assert_array_equal(codes[layer.name].codes, bare[layer.name].codes)
        np.testing.assert_allclose(codes[layer.name].values, layer.gain * bare[layer.name].values, rtol=1e-6)


def test_slope_correction_takes_the_slope_of_the_stored_codes_under_protection(small: qc.Workload) -> None:
    """numpy's fit of a line through (stored value, E[read | code]) of every weight; protected layers may read large."""
    plan = qc.plan(small, method="tac-slope-corrected", flip_probability=0.1, budget=0.03)
    errors = BitErrorProfile.uniform(0.1).regions[0]
    for layer in plan.layers:
        law, codes = ReadLaw(errors, layer.depth), store_tensor(layer.name, small.weights[layer.name]).codes.ravel()
        slope = np.polyfit(law.values[codes], law.conditional_mean(codes), 1)[0]
        assert layer.factor == pytest.approx(1 / slope, rel=1e-9)
    assert min(layer.factor for layer in plan.layers) < 1.0 < max(layer.factor for layer in plan.layers)


def test_random_protection_deploys_any_planes_and_predicts_what_they_leave(small: qc.Workload) -> None:
    plan = qc.plan(small, "random", 0.1, budget=0.3, seed=2, sensitivity="reverse")
    stored = {tensor.name: tensor for tensor in deploy(small, plan)}
    exposed = left = 0.0
    assert any(layer.planes for layer in plan.layers)
    for layer in plan.layers:
        planes = layer.planes or tuple(range(layer.bits - layer.depth, layer.bits))
        assert len(planes) == layer.depth
        variance = sum(4**plane for plane in range(layer.bits) if plane not in planes) * 0.09 * 4.0**-7
        left += layer.weights * layer.jacobian_gain**2 * layer.scale**2 * variance
        exposed += layer.weights * (layer.bits - len(planes))
        assert stored[layer.name].planes == layer.planes
    assert plan.predicted_variance == pytest.approx(left, rel=1e-9)
    result = qc.evaluate(small, plan, flip_probability=0.1, trials=2)
    assert result.counts.bits_exposed == 2 * exposed
    assert result.nominal_ber == pytest.approx(0.1, rel=1e-12)
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    errors = errors_for(small, plan, 0.1)
    again, _ = store_model(small, task_for(small.digest, plan, errors, seed=0))
    assert [tensor.planes for tensor in again] == [layer.planes for layer in plan.layers]


def test_decision_draws_its_own_keyed_flips_at_the_planned_depths(
    tiny_network: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flips that decide must not be those that are measured later, and must see the protection.

    Every layer is read uncorrected and corrected, two stored tensors, under the same five drawings.
    """
    seen = []
    real = StoredModel.read

    def spy(self, seed, trial, errors, only=None, purpose="trial"):  # type: ignore[no-untyped-def]
        seen.append((seed, purpose, only, trial, self[only].depth, self[only].codes.tobytes()))
        return real(self, seed, trial, errors, only=only, purpose=purpose)

    monkeypatch.setattr(StoredModel, "read", spy)
    plan = qc.plan(tiny_network, "tac", 0.1, 0.4, seed=5)
    assert any(plan.depths.values())
    assert all(entry[:2] == (5, "correction") and entry[4] == plan.depths[entry[2]] for entry in seen)
    for name in plan.depths:
        assert sorted(entry[3] for entry in seen if entry[2] == name) == sorted([0, 1, 2, 3, 4] * 2)
        assert len({entry[5] for entry in seen if entry[2] == name}) == 2


def test_no_flips_are_quantisation_alone(small: qc.Workload) -> None:
    """p = 0: the plan protects nothing it need not, and every trial is the quantised network itself."""
    from qtaml_codesign.tac.evaluation import deploy

    chosen = qc.plan(small, "tac", flip_probability=0.0, budget=0.0)
    assert set(chosen.depths.values()) == {0}
    assert chosen.predicted_variance == 0.0
    result = qc.evaluate(small, chosen, flip_probability=[0.0] * 8, trials=3)
    quantised = {
        tensor.name: tensor.values[tensor.codes].reshape(small.weights[tensor.name].shape)
        for tensor in deploy(small, chosen).tensors
    }
    assert result.correct_by_trial == (small.count_correct(quantised),) * 3
    assert result.counts.bits_flipped == 0
    assert result.nominal_ber == result.realised_ber == 0.0
