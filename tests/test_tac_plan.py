"""Plans and their evaluation on real networks: Algorithm 1, the eight methods, JSON, and what must never change."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.nets.prefix import LayerAlone
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.sweeps.jobs import store_model, task_for
from qtaml_codesign.tac import algorithm
from qtaml_codesign.tac.api import BUDGET_FREE_METHODS, METHODS
from qtaml_codesign.tac.correction import correction_factor
from qtaml_codesign.tac.evaluation import deploy, errors_for
from qtaml_codesign.tac.methods import METHOD_RULES, method_label
from qtaml_codesign.tac.saturation import saturation_ratio
from tests.conftest import TINY_WORKLOAD


@pytest.fixture(scope="module")
def small() -> qc.Workload:
    return qc.load_workload("small-cnn")


@pytest.fixture(scope="module")
def tiny_net(tmp_path_factory: pytest.TempPathFactory) -> qc.Workload:
    file = tmp_path_factory.mktemp("tiny") / "tiny.py"
    file.write_text(TINY_WORKLOAD, encoding="utf-8")
    return qc.load_workload(f"{file}:make")


def numpy_global_state() -> np.ndarray:
    return np.random.get_state()[1].copy()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_plan_within_its_budget(method: str, tiny_net: qc.Workload) -> None:
    budget = 0.0 if method in BUDGET_FREE_METHODS else 0.4
    plan = qc.plan(tiny_net, method=method, flip_probability=0.1, budget=budget)
    assert plan.method == method
    assert set(plan.depths) == set(plan.mean_correction) == set(tiny_net.weights)
    assert plan.overhead <= budget
    if method not in BUDGET_FREE_METHODS:
        assert plan.overhead > 0.2
    if method == "mean-only":
        assert all(plan.mean_correction.values())
        assert {layer.factor for layer in plan.layers} == {1.25}
    if method in ("none", "uniform-msp", "magnitude", "sensitivity", "random", "random-layers", "tac-bits-only"):
        assert not any(plan.mean_correction.values())
    if method == "uniform-msp":
        assert set(plan.depths.values()) == {3}


@pytest.mark.parametrize("method", METHODS)
def test_gains_are_measured_where_the_method_allocates_by_them(
    method: str, tiny_net: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others run no calibration, and say nothing about what would follow from it."""
    budget = 0.0 if method in BUDGET_FREE_METHODS else 0.4
    rule = METHOD_RULES[method]
    needed = rule.score == "jacobian" and rule.spend == "allocate"
    measured, real = [], algorithm.jacobian_gains

    def watched(*given: object, **named: object) -> object:
        measured.append(method)
        return real(*given, **named)

    monkeypatch.setattr(algorithm, "_GAINS", {})
    monkeypatch.setattr(algorithm, "jacobian_gains", watched)
    plan = qc.plan(tiny_net, method=method, flip_probability=0.1, budget=budget)
    assert (len(measured) == 1) == needed
    assert plan.sensitivity == ("reverse" if needed else "none")
    derived = [plan.rho_star, plan.predicted_variance, plan.uniform_variance, plan.predicted_gain]
    derived += [layer.jacobian_gain for layer in plan.layers]
    assert all((value is not None) == needed for value in derived)
    ranks = needed or rule.score != "jacobian"
    assert set(plan.scores) == (set(tiny_net.weights) if ranks else set())
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    asked = qc.plan(tiny_net, method=method, flip_probability=0.1, budget=budget, sensitivity="reverse")
    assert asked.sensitivity == "reverse"
    assert asked.predicted_variance is not None
    assert asked.depths == plan.depths


def test_scores_are_what_the_methods_say(tiny_net: qc.Workload) -> None:
    tac = qc.plan(tiny_net, method="tac", flip_probability=0.1, budget=0.3)
    magnitude = qc.plan(tiny_net, method="magnitude", flip_probability=0.1, budget=0.3)
    for layer in tac.layers:
        largest = float(np.abs(tiny_net.weights[layer.name]).max())
        assert layer.scale == largest
        assert layer.score == pytest.approx(largest**2 * layer.jacobian_gain**2, rel=1e-12)
        assert magnitude.scores[layer.name] == pytest.approx(largest**2, rel=1e-12)
    sizes = [layer.weights for layer in tac.layers]
    assert tac.rho_star == pytest.approx(saturation_ratio(sizes, list(tac.scores.values())), rel=1e-12)


def test_sensitivity_score_measures_the_noise_of_one_layer(tiny_net: qc.Workload) -> None:
    """n_l s_l of the linear last layer equals its linear response exactly in expectation: variance plus drift squared.

    Five drawings over 32 inputs: agreement within 60 % is what five heavy-tailed drawings allow; a score of another
    layer is 3 or more times off.
    """
    plan = qc.plan(tiny_net, method="sensitivity", flip_probability=0.1, budget=0.0, correction_trials=400)
    name = list(tiny_net.weights)[-1]
    weight = torch.tensor(tiny_net.weights[name].astype(np.float64))
    first = tiny_net.network.differentiable(None)[0]  # type: ignore[index]
    hidden = torch.relu(first(tiny_net.calibration)).detach().double()
    scale, step = float(weight.abs().max()), 2.0**-7
    drift = -0.2 * weight - 0.1 * step * scale
    variance = scale**2 * 0.09 * step**2 * (4**8 - 1) / 3
    expected = (hidden @ drift.T).square().sum(1).mean() + variance * hidden.square().sum(1).mean() * weight.shape[0]
    assert plan.scores[name] * weight.numel() == pytest.approx(float(expected), rel=0.15)


def test_predicted_variance_matches_the_formula(tiny_net: qc.Workload) -> None:
    plan = qc.plan(tiny_net, method="uniform-msp", flip_probability=0.1, budget=0.3, sensitivity="reverse")
    step = 2.0**-7
    total = sum(
        layer.weights * layer.jacobian_gain**2 * layer.scale**2 * 0.09 * step**2 * (4 ** (8 - layer.depth) - 1) / 3
        for layer in plan.layers
    )
    assert plan.predicted_variance == pytest.approx(total, rel=1e-9)
    assert plan.predicted_gain == pytest.approx(1.0, rel=1e-12)


def test_exact_allocation_predicts_no_more_variance_than_greedy(small: qc.Workload) -> None:
    for budget in (0.02, 0.05, 0.2):
        greedy, exact = (
            qc.plan(small, method="tac-bits-only", flip_probability=0.1, budget=budget, allocation=name)
            for name in ("greedy", "exact")
        )
        assert exact.predicted_variance <= greedy.predicted_variance * (1 + 1e-12)
        assert exact.overhead <= budget


def test_mean_correction_decision_follows_the_measured_deviation(small: qc.Workload) -> None:
    """An unprotected layer wants the factor; a fully protected one has no drift and must not get it."""
    plan = qc.plan(small, method="tac", flip_probability=0.1, budget=0.03)
    for layer in plan.layers:
        if layer.depth == 8:
            assert not layer.corrected
    assert any(layer.corrected for layer in plan.layers if layer.depth == 0)


@pytest.mark.parametrize(
    ("rates", "factor"),
    [(0.1, 1.25), (0.05, 1 / 0.9), (0.5, None), (0.7, None), ([0.1] * 7 + [0.2], None)],
)
def test_correction_factor(rates: float | list[float], factor: float | None) -> None:
    found = correction_factor(BitErrorProfile.uniform(rates, BitFormat(8)).regions[0])
    if isinstance(rates, list):
        slope = sum(4**plane * (1 - 2 * rate) for plane, rate in enumerate(rates)) / sum(4**plane for plane in range(8))
        factor = 1 / slope
    assert found == (None if factor is None else pytest.approx(factor, rel=1e-12))


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


def test_unprotected_layers_alone_are_corrected_where_the_rule_says_so(
    small: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(LayerAlone, "run")  # nothing may be simulated
    plan = qc.plan(small, method="tac-unprotected-corrected", flip_probability=0.1, budget=0.01)
    assert {layer.depth == 0 for layer in plan.layers} == {True, False}
    assert all(layer.factor == (1.0 if layer.depth else 1.25) for layer in plan.layers)


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


def test_sign_magnitude_takes_the_slope_of_what_is_stored(small: qc.Workload) -> None:
    plan = qc.plan(small, method="mean-only", flip_probability=0.1, encoding="sign_magnitude")
    slopes = [1 / layer.factor for layer in plan.layers]
    assert all(0.76 < slope < 0.90 for slope in slopes)
    assert max(slopes) - min(slopes) > 0.05  # uniform codes give 0.76 to every layer


def test_residual_floor_is_kept_or_its_loss_is_said() -> None:
    workload = qc.load_workload("res-cnn")
    small_budget = qc.plan(workload, method="tac", flip_probability=0.1, budget=0.005)
    assert any("insufficient budget" in warning for warning in small_budget.warnings)
    plan = qc.plan(workload, method="tac", flip_probability=0.1, budget=0.3)
    floored = [layer for layer in plan.layers if layer.floor == 1]
    assert floored
    assert all(layer.depth >= 1 for layer in floored)
    assert plan.warnings == ()


def test_plan_json_round_trip(small: qc.Workload, tmp_path: Path) -> None:
    plan = qc.plan(small, method="tac", flip_probability=0.1, budget=0.05)
    plan.save(tmp_path / "plan.json")
    again = qc.TacPlan.load(tmp_path / "plan.json")
    assert again == plan
    assert again.digest == plan.digest
    assert json.loads((tmp_path / "plan.json").read_text())["format"] == "qtaml-codesign plan"


def test_a_plan_of_version_1_keeps_its_meaning(small: qc.Workload) -> None:
    """Its factor was a readout gain, its tac is tac-rescaled today, its random is random-layers."""
    now = qc.plan(small, method="tac-rescaled", flip_probability=0.1, budget=0.01)
    content = json.loads(now.to_json())
    content |= {"version": 1, "method": "tac"}
    for layer in content["layers"]:
        layer["factor"] = layer.pop("gain")
        del layer["offset"], layer["planes"]
    assert any(layer["factor"] == 1.25 for layer in content["layers"])
    assert qc.TacPlan.from_json(json.dumps(content)) == now
    content["method"] = "random"
    assert qc.TacPlan.from_json(json.dumps(content)).method == "random-layers"


@pytest.mark.parametrize(("change", "message"), [
    ({"corrected": True}, "does not fit its mean correction"), ({"factor": 1.25}, "does not fit its mean correction"),
    ({"gain": 0.0}, "gain"), ({"offset": 0.1}, "does not fit its mean correction"), ({"factor": -1.0}, "factor"),
    ({"planes": [0]}, "do not fit its depth"), ({"planes": [0, 8], "depth": 2}, "do not fit its depth"),
    ({"planes": [1, 1], "depth": 2}, "do not fit its depth"),
])
def test_a_plan_whose_fields_contradict_one_another_is_refused(
    small: qc.Workload, change: dict[str, object], message: str
) -> None:
    content = json.loads(qc.plan(small, "none", 0.1).to_json())
    content["layers"][1] |= change
    with pytest.raises(PlanError, match=message):
        qc.TacPlan.from_json(json.dumps(content))


def test_every_method_has_a_label() -> None:
    labels = [method_label(name) for name in METHODS]
    assert labels[:2] == ["TAC", "TAC, bits only"]
    assert len(set(labels)) == len(METHODS)


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


@pytest.mark.parametrize(("bits_bought", "overhead"), [(47, 0), (48, 48), (71, 48), (72, None), (960, 960)])
def test_budget_is_spent_to_the_bit_and_never_beyond(
    tiny_net: qc.Workload, bits_bought: int, overhead: int | None
) -> None:
    """The layers hold 72 and 48 weights: 960 stored bits, and nothing costs less than 48."""
    plan = qc.plan(tiny_net, "tac-bits-only", 0.1, bits_bought / 960)
    assert plan.stored_bits == 960
    assert plan.protected_bits in ({overhead} if overhead is not None else {48, 72})


def test_a_readout_gain_amplifies_the_predicted_variance_and_a_factor_in_the_codes_does_not(
    small: qc.Workload,
) -> None:
    plain, corrected = (qc.plan(small, method, 0.1, sensitivity="reverse") for method in ("none", "mean-only"))
    assert corrected.predicted_variance == pytest.approx(plain.predicted_variance, rel=1e-12)
    rescaled = qc.plan(small, "tac-rescaled", 0.1)
    step, layers = 2.0**-7, rescaled.layers
    assert {layer.gain for layer in layers} == {1.0, 1.25}
    assert rescaled.predicted_variance == pytest.approx(sum(
        layer.gain**2 * layer.weights * layer.score * 0.09 * step**2 * (4**8 - 1) / 3 for layer in layers
    ), rel=1e-9)


def test_decision_draws_its_own_keyed_flips_at_the_planned_depths(
    tiny_net: qc.Workload, monkeypatch: pytest.MonkeyPatch
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
    plan = qc.plan(tiny_net, "tac", 0.1, 0.4, seed=5)
    assert any(plan.depths.values())
    assert all(entry[:2] == (5, "correction") and entry[4] == plan.depths[entry[2]] for entry in seen)
    for name in plan.depths:
        assert sorted(entry[3] for entry in seen if entry[2] == name) == sorted([0, 1, 2, 3, 4] * 2)
        assert len({entry[5] for entry in seen if entry[2] == name}) == 2


def test_plan_of_the_same_shapes_with_other_weights_is_refused(tiny_net: qc.Workload, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_WORKLOAD, encoding="utf-8")
    plan = qc.plan(tiny_net, "uniform-msp", 0.1, 0.25)
    with pytest.raises(PlanError, match="the weights differ"):
        qc.evaluate(qc.load_workload(f"{tmp_path / 'tiny.py'}:other"), plan, 0.1)


def test_refusals(small: qc.Workload) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        qc.evaluate(small, None, 0.1)  # type: ignore[arg-type]
    plan = qc.plan(small, "uniform-msp", 0.1, 0.25)
    with pytest.raises(PlanError, match="another format"):
        qc.evaluate(small, plan, flip_probability=BitErrorProfile.uniform(0.1, BitFormat(4)))
    with pytest.raises(PlanError, match="another network"):
        qc.evaluate(qc.load_workload("deep-cnn"), plan, flip_probability=0.1)
    with pytest.raises(InputError, match="no flip probability"):
        qc.plan(small, "tac")


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
    assert result.score_by_trial == (small.score_by_group(quantised).sum(),) * 3
    assert result.counts.bits_flipped == 0
    assert result.nominal_ber == result.realised_ber == 0.0


@pytest.mark.parametrize("rate", [0.5, 0.8, 1e-20])
def test_mean_correction_that_cannot_act_is_said(tiny_net: qc.Workload, rate: float) -> None:
    plan = qc.plan(tiny_net, "mean-only", rate)
    assert not any(plan.mean_correction.values())
    assert any("no effect" in warning for warning in plan.warnings)


def test_plan_under_certain_flips_is_made_without_correction(tiny_net: qc.Workload) -> None:
    plan = qc.plan(tiny_net, "tac", 0.5, 0.2)
    assert not any(plan.mean_correction.values())


def test_vanishing_flip_probability_keeps_the_order_of_depths(tiny_net: qc.Workload) -> None:
    silent = BitErrorProfile.uniform(0.0, BitFormat(8))
    assert qc.plan(tiny_net, "tac", silent, 0.3).depths == qc.plan(tiny_net, "tac-bits-only", 1e-6, 0.3).depths


def test_an_evaluation_tells_its_trials_apart(small: qc.Workload) -> None:
    plan = qc.plan(small, "uniform-msp", 0.1, 0.25)
    four, two = (qc.evaluate(small, plan, 0.1, trials=trials) for trials in (4, 2))
    assert sum(four.score_by_trial) == four.counts.score
    assert sum(count**2 for count in four.score_by_trial) == four.counts.score_squares
    assert four.score_by_trial[:2] == two.score_by_trial


def test_a_narrow_terminal_cuts_no_layer_name(codesign, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    done = codesign("plan", "--workload", "transformer", "--flip-probability", 0.05, "--budget", 0.25, "--method",
                    "uniform-msp")
    assert "blocks.0.qkv.weight" in done.stdout
    assert "…" not in done.stdout
