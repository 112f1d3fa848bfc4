"""Plans on real networks: Algorithm 1, the methods, their scores, corrections and budgets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.tac import algorithm
from qtaml_codesign.tac.api import BUDGET_FREE_METHODS, METHODS
from qtaml_codesign.tac.correction import correction_factor
from qtaml_codesign.tac.methods import METHOD_RULES, method_label
from qtaml_codesign.tac.saturation import saturation_ratio

PAPER_METHODS = [name for name in METHODS if not METHOD_RULES[name].chooses_store]


@pytest.mark.parametrize("method", PAPER_METHODS)
def test_every_method_makes_a_plan_within_its_budget(method: str, tiny_workload: qc.Workload) -> None:
    budget = 0.0 if method in BUDGET_FREE_METHODS else 0.4
    plan = qc.plan(tiny_workload, method=method, flip_probability=0.1, budget=budget)
    assert plan.method == method
    assert set(plan.depths) == set(plan.mean_correction) == set(tiny_workload.weights)
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


@pytest.mark.parametrize("method", PAPER_METHODS)
def test_gains_are_measured_where_the_method_allocates_by_them(
    method: str, tiny_workload: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others run no calibration, and say nothing about what would follow from it."""
    budget = 0.0 if method in BUDGET_FREE_METHODS else 0.4
    rule = METHOD_RULES[method]
    needed = rule.score == "jacobian" and rule.spend == "allocate"
    measured, real = [], algorithm.jacobian_gains

    def watched(*given: object, **named: object) -> object:
        measured.append(method)
        return real(*given, **named)

    monkeypatch.setattr(algorithm, "jacobian_gains", watched)
    plan = qc.plan(tiny_workload, method=method, flip_probability=0.1, budget=budget)
    assert (len(measured) == 1) == needed
    assert plan.sensitivity == ("reverse" if needed else "none")
    derived = [plan.rho_star, plan.predicted_variance, plan.uniform_variance, plan.predicted_gain]
    derived += [layer.jacobian_gain for layer in plan.layers]
    assert all((value is not None) == needed for value in derived)
    ranks = needed or rule.score != "jacobian"
    assert set(plan.scores) == (set(tiny_workload.weights) if ranks else set())
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    asked = qc.plan(tiny_workload, method=method, flip_probability=0.1, budget=budget, sensitivity="reverse")
    assert asked.sensitivity == "reverse"
    assert asked.predicted_variance is not None
    assert asked.depths == plan.depths


def test_scores_are_what_the_methods_say(tiny_workload: qc.Workload) -> None:
    tac = qc.plan(tiny_workload, method="tac", flip_probability=0.1, budget=0.3)
    magnitude = qc.plan(tiny_workload, method="magnitude", flip_probability=0.1, budget=0.3)
    for layer in tac.layers:
        largest = float(np.abs(tiny_workload.weights[layer.name]).max())
        assert layer.scale == largest
        assert layer.score == pytest.approx(largest**2 * layer.jacobian_gain**2, rel=1e-12)
        assert magnitude.scores[layer.name] == pytest.approx(largest**2, rel=1e-12)
    sizes = [layer.weights for layer in tac.layers]
    assert tac.rho_star == pytest.approx(saturation_ratio(sizes, list(tac.scores.values())), rel=1e-12)


def test_sensitivity_score_measures_the_noise_of_one_layer(tiny_workload: qc.Workload) -> None:
    """n_l s_l of the linear last layer equals its linear response exactly in expectation: variance plus drift squared.

    Five drawings over 32 inputs: agreement within 60 % is what five heavy-tailed drawings allow; a score of another
    layer is 3 or more times off.
    """
    plan = qc.plan(tiny_workload, method="sensitivity", flip_probability=0.1, budget=0.0, correction_trials=400)
    name = list(tiny_workload.weights)[-1]
    weight = torch.tensor(tiny_workload.weights[name].astype(np.float64))
    first = tiny_workload.network.differentiable(None)[0]  # type: ignore[index]
    hidden = torch.relu(first(tiny_workload.calibration)).detach().double()
    scale, step = float(weight.abs().max()), 2.0**-7
    drift = -0.2 * weight - 0.1 * step * scale
    variance = scale**2 * 0.09 * step**2 * (4**8 - 1) / 3
    expected = (hidden @ drift.T).square().sum(1).mean() + variance * hidden.square().sum(1).mean() * weight.shape[0]
    assert plan.scores[name] * weight.numel() == pytest.approx(float(expected), rel=0.15)


def test_predicted_variance_matches_the_formula(tiny_workload: qc.Workload) -> None:
    plan = qc.plan(tiny_workload, method="uniform-msp", flip_probability=0.1, budget=0.3, sensitivity="reverse")
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


def test_unprotected_layers_alone_are_corrected_where_the_rule_says_so(
    small: qc.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(LayerAlone, "run")  # nothing may be simulated
    plan = qc.plan(small, method="tac-unprotected-corrected", flip_probability=0.1, budget=0.01)
    assert {layer.depth == 0 for layer in plan.layers} == {True, False}
    assert all(layer.factor == (1.0 if layer.depth else 1.25) for layer in plan.layers)


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


def test_every_method_has_a_label() -> None:
    labels = [method_label(name) for name in METHODS]
    assert labels[:2] == ["TAC", "TAC, bits only"]
    assert len(set(labels)) == len(METHODS)


@pytest.mark.parametrize(("bits_bought", "overhead"), [(47, 0), (48, 48), (71, 48), (72, None), (960, 960)])
def test_budget_is_spent_to_the_bit_and_never_beyond(
    tiny_workload: qc.Workload, bits_bought: int, overhead: int | None
) -> None:
    """The layers hold 72 and 48 weights: 960 stored bits, and nothing costs less than 48."""
    plan = qc.plan(tiny_workload, "tac-bits-only", 0.1, bits_bought / 960)
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


@pytest.mark.parametrize("rate", [0.5, 0.8, 1e-20])
def test_mean_correction_that_cannot_act_is_said(tiny_workload: qc.Workload, rate: float) -> None:
    plan = qc.plan(tiny_workload, "mean-only", rate)
    assert not any(plan.mean_correction.values())
    assert any("no effect" in warning for warning in plan.warnings)


def test_plan_under_certain_flips_is_made_without_correction(tiny_workload: qc.Workload) -> None:
    plan = qc.plan(tiny_workload, "tac", 0.5, 0.2)
    assert not any(plan.mean_correction.values())


def test_vanishing_flip_probability_keeps_the_order_of_depths(tiny_workload: qc.Workload) -> None:
    silent = BitErrorProfile.uniform(0.0, BitFormat(8))
    rare = qc.plan(tiny_workload, "tac-bits-only", 1e-6, 0.3)
    assert qc.plan(tiny_workload, "tac", silent, 0.3).depths == rare.depths


def test_a_narrow_terminal_cuts_no_layer_name(codesign, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    done = codesign("plan", "--workload", "transformer", "--flip-probability", 0.05, "--budget", 0.25, "--method",
                    "uniform-msp")
    assert "blocks.0.qkv.weight" in done.stdout
    assert "…" not in done.stdout
