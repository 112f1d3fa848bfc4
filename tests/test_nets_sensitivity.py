"""Jacobian gains against closed forms, a slow twin from torch.func, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets import probes, sensitivity
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.workload import Workload

KEY = 11


def drawn(*shape: int, seed: int = KEY) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(model: nn.Module, inputs: torch.Tensor, **more: object) -> Workload:
    return Workload(model, inputs, (inputs, torch.zeros(model(inputs).shape[:-1], dtype=torch.long)), **more)


def mlp() -> Workload:
    torch.manual_seed(KEY)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 4))
    model[1].running_mean.uniform_(-0.5, 0.5)
    return make(model.eval(), drawn(9, 5))


def cnn() -> Workload:
    torch.manual_seed(KEY)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4))
    return make(model, drawn(6, 1, 6, 6))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.embedding(tokens).mean(1)))


def tied() -> Workload:
    torch.manual_seed(KEY)
    return make(Tied(), torch.arange(12).reshape(6, 2) % 5)


def slow_gains(workload: Workload) -> dict[str, float]:
    """Forward-mode-free oracle: the whole Jacobian of the whole batch, by torch.func."""
    module = workload.network.differentiable(torch.float64)
    inputs = workload.calibration
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    weights = {name: module.get_parameter(name).detach() for name in workload.weights}
    jacobian = jacrev(lambda replaced: functional_call(module, replaced, (inputs,)))(weights)
    count = inputs.shape[0]
    return {name: float(part.square().sum()) / weights[name].numel() / count for name, part in jacobian.items()}


@pytest.mark.parametrize("build", [mlp, cnn, tied])
@pytest.mark.parametrize("double", [False, True])
def test_reverse_equals_the_full_jacobian(build, double):
    workload = build()
    measured, slow = jacobian_gains(workload, double=double), slow_gains(workload)
    assert measured.gains == pytest.approx(slow, rel=1e-10 if double else 1e-5, abs=0.0)
    assert list(measured.gains) == list(workload.weights)
    assert measured.method == "reverse"
    assert set(measured.standard_errors.values()) == {0.0}
    outputs = workload.run(workload.calibration).shape[-1]
    assert measured.passes == workload.calibration.shape[0] * outputs


@pytest.mark.parametrize("build", [mlp, cnn, tied])
@pytest.mark.parametrize("floats", [1, 2000])
def test_samples_together_and_one_by_one_agree(build, floats, monkeypatch):
    """Whatever number of samples is taken at a time: the same gains and the same number of passes."""
    workload = build()
    monkeypatch.setattr(sensitivity, "tappable", none_tappable)
    monkeypatch.setattr(sensitivity, "GRADIENT_FLOATS", floats)
    together = jacobian_gains(workload, double=True)
    monkeypatch.setattr(sensitivity, "_together", None)
    monkeypatch.setattr(sensitivity, "GRADIENT_FLOATS_OF_A_SAMPLE", 0)
    alone = jacobian_gains(workload, double=True)
    assert together.gains == pytest.approx(alone.gains, rel=1e-12, abs=0.0)
    assert together.passes == alone.passes


def none_tappable(run, sample, parameters):
    return run(sample), []


class Branching(nn.Module):
    """Looks at its input with Python's eyes, which vmap cannot batch."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(x) * (2.0 if float(x.sum()) > 0.0 else 1.0)


def test_a_network_that_cannot_be_batched_is_taken_one_by_one():
    inputs = drawn(20, 5)
    measured = jacobian_gains(make(Branching(), inputs))
    factor = torch.where(inputs.sum(dim=1) > 0.0, 4.0, 1.0).double()
    expected = float((factor * inputs.double().square().sum(1)).mean()) / 5
    assert measured.gains["inner.weight"] == pytest.approx(expected, rel=1e-6)
    assert measured.passes == 60


@pytest.mark.parametrize("method", ["reverse", "finite-difference", "random-sign"])
def test_linear_model_has_a_closed_form(method):
    """z = W x: ||dz/dW||_F^2 = C ||x||^2, so J^2 = mean ||x||^2 / d. Six standard errors are allowed."""
    inputs = drawn(20, 5)
    measured = jacobian_gains(make(nn.Linear(5, 3), inputs), method, seed=KEY, probes=200)
    expected = float(inputs.double().square().sum(1).mean()) / 5
    allowed = 6 * measured.standard_errors["weight"]
    assert measured.gains["weight"] == pytest.approx(expected, rel=1e-6, abs=allowed)
    assert (allowed == 0.0) == (method == "reverse")
    assert allowed < expected


@pytest.mark.parametrize("method", ["finite-difference", "random-sign"])
@pytest.mark.parametrize("build", [mlp, cnn, tied])
def test_random_probes_agree_within_their_standard_error(build, method):
    """400 probes, six standard errors (false failure below 1e-8 per tensor), which are 2 to 15 % of the gain."""
    workload = build()
    exact, probed = jacobian_gains(workload).gains, jacobian_gains(workload, method, seed=KEY, probes=400)
    for name, gain in exact.items():
        error = probed.standard_errors[name]
        assert 0.0 < error < 0.15 * gain
        assert abs(probed.gains[name] - gain) < 6 * error


def test_probes_depend_on_the_seed_alone():
    workload = mlp()
    for method in ("finite-difference", "random-sign"):
        first = jacobian_gains(workload, method, seed=1, probes=3).gains
        torch.manual_seed(99)
        assert jacobian_gains(workload, method, seed=1, probes=3).gains == first
        assert jacobian_gains(workload, method, seed=2, probes=3).gains != first


def test_batches_do_not_change_the_gains():
    whole, parts = cnn(), cnn()
    parts.network.batch_size = 4
    assert jacobian_gains(parts).gains == jacobian_gains(whole).gains
    found = jacobian_gains(parts, "random-sign", probes=600)
    for name, gain in jacobian_gains(whole).gains.items():
        assert abs(found.gains[name] - gain) < 6 * found.standard_errors[name]
    exact, pieces = (jacobian_gains(each, "finite-difference").gains for each in (whole, parts))
    assert pieces == pytest.approx(exact, rel=1e-9)


def test_auto_takes_random_signs_beyond_128_logits():
    assert jacobian_gains(mlp(), "auto").method == "reverse"
    torch.manual_seed(KEY)
    assert jacobian_gains(make(nn.Linear(5, 129), drawn(4, 5)), "auto").method == "random-sign"
    assert jacobian_gains(make(nn.Linear(5, 65), drawn(4, 2, 5)), "auto").method == "random-sign"


def test_random_signs_are_drawn_until_every_gain_is_precise():
    """64 probes of a network whose outputs move in one direction; four where they are many and independent."""
    torch.manual_seed(KEY)
    narrow = make(nn.Sequential(nn.Linear(5, 1, bias=False), nn.Linear(1, 200, bias=False)), drawn(4, 5))
    assert jacobian_gains(narrow, "random-sign").passes == 64
    wide = make(nn.Linear(400, 200), drawn(200, 400))
    measured = jacobian_gains(wide, "random-sign")
    assert measured.passes == 4
    assert measured.standard_errors["weight"] < 0.03 * measured.gains["weight"]
    assert jacobian_gains(wide, "random-sign", probes=6).passes == 6


def test_few_logits_at_a_time_give_the_same_gain(monkeypatch):
    """In parts of two samples: no more than their logits at once. Six standard errors, below 1e-8 per tensor."""
    workload, seen = cnn(), []
    exact = jacobian_gains(workload).gains
    real = probes.Probe.squared_gradients
    monkeypatch.setattr(probes, "LOGITS_AT_ONCE", 9)
    monkeypatch.setattr(probes.Probe, "squared_gradients", lambda self, outputs, keep, weights=None: (
        seen.append(tuple(outputs.shape)), real(self, outputs, keep, weights))[1])
    found = jacobian_gains(workload, "random-sign", probes=300)
    assert set(seen) == {(2, 4)}
    assert found.passes == 900
    for name, gain in exact.items():
        assert abs(found.gains[name] - gain) < 6 * found.standard_errors[name] < 0.9 * gain


@pytest.mark.parametrize("method", ["reverse", "finite-difference", "random-sign"])
def test_progress_rises_and_never_passes_its_total(method, monkeypatch):
    monkeypatch.setattr(sensitivity, "tappable", none_tappable)
    monkeypatch.setattr(sensitivity, "GRADIENT_FLOATS_OF_A_SAMPLE", 0)
    told: list[tuple[int, int]] = []
    measured = jacobian_gains(cnn(), method, progress=lambda done, total: told.append((done, total)))
    assert measured.gains == jacobian_gains(cnn(), method).gains
    assert len(told) > 1
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done <= total for done, total in told)
    assert told[-1][0] == told[-1][1]


def test_frozen_weights_and_a_caller_without_gradients():
    torch.manual_seed(KEY)
    model = nn.Linear(5, 3)
    expected = jacobian_gains(make(model, drawn(9, 5))).gains
    with torch.inference_mode():
        workload = make(model.requires_grad_(False), drawn(9, 5))
        assert jacobian_gains(workload).gains == expected
    assert not model.weight.requires_grad
    assert model.weight.grad is None


def test_unused_weights_have_no_gain():
    class Spare(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.spare = nn.Parameter(torch.ones(2, 2))

    for method in ("reverse", "random-sign", "finite-difference"):
        gains = jacobian_gains(make(Spare(), drawn(4, 5)), method, probes=2).gains
        assert gains["spare"] == 0.0
        assert gains["weight"] > 0.0


def test_the_workload_is_left_alone():
    workload = cnn()
    digest, state = workload.digest, torch.get_rng_state()
    for method in ("reverse", "random-sign", "finite-difference"):
        jacobian_gains(workload, method)
    del workload.__dict__["digest"]
    assert workload.digest == digest
    assert not any(parameter.grad is not None for parameter in workload.network.module.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_zoo_order_of_layers_as_published():
    """SmallCNN: the first convolution matters most per weight, the large fully connected layer least."""
    workload = load_workload("small-cnn")
    gains = jacobian_gains(workload).gains
    score = {name: gain * float(np.abs(workload.weights[name]).max()) ** 2 for name, gain in gains.items()}
    assert sorted(score, key=score.get, reverse=True) == ["conv1.weight", "fc2.weight", "conv2.weight", "fc1.weight"]
    assert score["conv1.weight"] / score["fc1.weight"] > 500


def test_errors():
    with pytest.raises(InputError, match="unknown way") as caught:
        jacobian_gains(mlp(), "revers")
    assert "did you mean reverse" in caught.value.next_step
    for bad in ({"seed": -1}, {"probes": 1}, {"step": 0.0}, {"step": float("nan")}):
        with pytest.raises(InputError):
            jacobian_gains(mlp(), "finite-difference", **bad)

    class Cut(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().forward(x)

    with pytest.raises(WorkloadError, match="cannot be differentiated"):
        jacobian_gains(make(Cut(5, 3), drawn(4, 5)))
