"""Gains of single weights against the whole Jacobian, plain autograd, finite differences and the gains of tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets import weight_gains as module_under_test
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.weight_gains import row_gains, weight_gains
from qtaml_codesign.nets.zoo import ZOO
from tests.test_nets_sensitivity import KEY, Branching, cnn, drawn, make, mlp, tied


def by_autograd(workload, replaced=None):
    """One reverse pass for each input and logit of a copy that holds the replaced weights; nothing of ours but it."""
    module = workload.network.differentiable(torch.float64)
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    with torch.no_grad():
        for name, value in (replaced or {}).items():
            state[name].copy_(torch.as_tensor(value))
    weights = {name: state[name] for name in workload.weights}
    totals = {name: np.zeros(tuple(weight.shape)) for name, weight in weights.items()}
    for sample in workload.calibration:
        logits = module(sample[None].double() if sample.is_floating_point() else sample[None]).flatten()
        for logit in logits:
            gradients = torch.autograd.grad(logit, list(weights.values()), retain_graph=True)
            for name, gradient in zip(weights, gradients, strict=True):
                totals[name] += gradient.square().numpy() / len(workload.calibration)
    return totals


def moved_weights(workload):
    """Another operating point: every stored weight moved by a quarter of the tensor's largest."""
    generator = np.random.default_rng(KEY)
    return {name: (weight + 0.25 * np.abs(weight).max() * generator.standard_normal(weight.shape)).astype(np.float32)
            for name, weight in workload.weights.items()}


@pytest.mark.parametrize("build", [mlp, cnn, tied])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("floats", [0, 300, 4_000_000])
def test_gains_equal_plain_autograd_at_any_weights(build, noisy, floats, monkeypatch):
    """Whatever number of samples is taken at a time; 300 holds no whole number of all of them.

    A gain is a sum of squares: no term takes from another, so that 32 roundings of float32 bound its relative error.
    """
    monkeypatch.setattr(module_under_test, "GRADIENTS_AT_ONCE", floats)
    workload = build()
    replaced = moved_weights(workload) if noisy else None
    measured, slow = weight_gains(workload, weights=replaced), by_autograd(workload, replaced)
    assert list(measured) == list(workload.weights)
    for name, gains in measured.items():
        assert gains.dtype == np.float32
        np.testing.assert_allclose(gains, slow[name], rtol=32 * 2.0**-24, atol=0)


@pytest.mark.parametrize("name", ZOO)
def test_means_are_the_gains_of_the_tensors(name):
    workload = load_workload(name)
    expected = jacobian_gains(workload, double=True).gains
    measured = {name: float(gains.mean(dtype=np.float64)) for name, gains in weight_gains(workload).items()}
    assert measured == pytest.approx(expected, rel=2e-5, abs=0.0)


def test_gains_of_single_weights_equal_finite_differences():
    """Central differences in float64, step 1e-5: error of the order of 1e-10 of the third derivative."""
    workload, step = mlp(), 1e-5
    module, gains = workload.network.differentiable(torch.float64), weight_gains(workload)
    inputs = workload.calibration.double()
    for name, index in (("0.weight", (2, 3)), ("0.weight", (6, 0)), ("3.weight", (3, 5))):
        weight = module.get_parameter(name)
        with torch.no_grad():
            outputs = []
            for move in (step, -2 * step):
                weight[index] += move
                outputs.append(module(inputs))
            weight[index] += step
            slope = (outputs[0] - outputs[1]) / (2 * step)
        expected = float(slope.square().sum(dim=1).mean())
        assert float(gains[name][index]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", ["reverse", "random-sign"])
def test_linear_model_has_a_closed_form(method):
    """z = W x: every row of g is the mean of x^2, and one drawing of signs gives it exactly."""
    inputs = drawn(20, 5)
    gains = weight_gains(make(nn.Linear(5, 3), inputs), method=method, probes=1)["weight"]
    np.testing.assert_allclose(gains, inputs.square().mean(dim=0).expand(3, 5), rtol=1e-5)


@pytest.mark.parametrize("build", [mlp, cnn, tied])
@pytest.mark.parametrize("floats", [0, 100_000_000])
def test_random_signs_are_unbiased(build, floats, monkeypatch):
    """2000 drawings for each input: the standard error is sqrt(2 / 2000) = 3.2 % of a weight's gain at most; six."""
    monkeypatch.setattr(module_under_test, "GRADIENTS_AT_ONCE", floats)
    workload = build()
    exact, drawn_gains = weight_gains(workload), weight_gains(workload, method="random-sign", probes=2000, seed=KEY)
    for name, gains in exact.items():
        assert np.all(np.abs(drawn_gains[name] - gains) <= 6 * np.sqrt(2 / 2000) * gains + 1e-12)
        assert drawn_gains[name].mean() == pytest.approx(gains.mean(), rel=0.06)


def test_signs_depend_on_the_seed_alone():
    first = weight_gains(mlp(), method="random-sign", probes=2, seed=1)["0.weight"]
    torch.manual_seed(99)
    assert np.array_equal(weight_gains(mlp(), method="random-sign", probes=2, seed=1)["0.weight"], first)
    assert not np.array_equal(weight_gains(mlp(), method="random-sign", probes=2, seed=2)["0.weight"], first)


def test_many_logits_are_taken_by_signs_unless_told_otherwise():
    workload = make(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 200)), drawn(6, 3))
    chosen, exact = weight_gains(workload), weight_gains(workload, method="reverse")
    assert np.array_equal(chosen["0.weight"], weight_gains(workload, method="random-sign")["0.weight"])
    assert not np.array_equal(chosen["0.weight"], exact["0.weight"])
    slow = by_autograd(workload)
    np.testing.assert_allclose(exact["0.weight"], slow["0.weight"], rtol=32 * 2.0**-24, atol=0)


def test_a_network_that_cannot_be_batched_is_taken_one_by_one():
    inputs = drawn(20, 5)
    factor = torch.where(inputs.sum(dim=1, keepdim=True) > 0.0, 4.0, 1.0)
    expected = (factor * inputs.square()).mean(dim=0).expand(3, 5)
    np.testing.assert_allclose(weight_gains(make(Branching(), inputs))["inner.weight"], expected, rtol=1e-5)


def test_statistics_of_a_norm_are_part_of_the_operating_point():
    """Four times the variance behind a norm: the gain of what enters it is a quarter (tanh left out)."""
    model = nn.Sequential(nn.Linear(5, 3, bias=False), nn.BatchNorm1d(3, eps=0.0)).eval()
    workload = make(model, drawn(9, 5))
    plain, wide = weight_gains(workload), weight_gains(workload, weights={"1.running_var": np.full(3, 4.0)})
    np.testing.assert_allclose(wide["0.weight"], plain["0.weight"] / 4.0, rtol=1e-5)


def test_the_network_and_the_given_weights_stay_as_they_are():
    workload = mlp()
    before, given = workload.run(workload.calibration), moved_weights(workload)
    kept = {name: weight.copy() for name, weight in given.items()}
    weight_gains(workload, weights=given | {"1.running_var": np.full(7, 4.0)})
    assert torch.equal(workload.run(workload.calibration), before)
    assert all(np.array_equal(given[name], kept[name]) for name in kept)


def test_rows_add_up():
    gains = {"matrix": np.arange(12.0).reshape(3, 2, 2), "bias": np.array([1.0, 2.0])}
    assert {name: rows.tolist() for name, rows in row_gains(gains).items()} == {
        "matrix": [6.0, 22.0, 38.0], "bias": [1.0, 2.0]}


def test_progress_counts_samples():
    told = []
    weight_gains(mlp(), progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 9)
    assert {total for _, total in told} == {9}


@pytest.mark.parametrize("wrong", [{"method": "forward"}, {"seed": -1}, {"probes": 0}])
def test_arguments_out_of_bounds(wrong):
    with pytest.raises(InputError):
        weight_gains(mlp(), **wrong)


def test_weights_that_do_not_fit():
    with pytest.raises(WorkloadError):
        weight_gains(mlp(), weights={"0.weight": np.zeros((2, 2), np.float32)})


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(x).detach()


def test_logits_without_gradients_are_refused():
    with pytest.raises(WorkloadError):
        weight_gains(make(Detached(), drawn(4, 5)))
