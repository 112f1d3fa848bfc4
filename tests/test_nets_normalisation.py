"""Re-estimated statistics against torch's own training mode, closed forms, and the accuracy they give back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.normalisation import reestimated_statistics
from tests.test_nets_sensitivity import KEY, drawn, make

ROUNDING = 2.0**-24
"""Largest relative error of a number that is rounded to float32."""
WITH_STATISTICS = {"momentum": 1.0, "track_running_stats": True}


def perceptron():
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 6, bias=False),
                         nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)), drawn(40, 5)


def images(norm):
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Conv2d(2, 3, 3), norm(3, **WITH_STATISTICS), nn.ReLU(), nn.Conv2d(3, 4, 2),
                         norm(4, **WITH_STATISTICS), nn.Flatten(), nn.Linear(36, 4)), drawn(16, 2, 6, 6)


def lines():
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3, affine=True, **WITH_STATISTICS), nn.Flatten(),
                         nn.Linear(12, 4)), drawn(16, 2, 6)


def volumes():
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Conv3d(1, 3, 2), nn.BatchNorm3d(3), nn.Flatten(), nn.Linear(24, 4)), drawn(9, 1, 3, 3, 3)


BUILDS = [perceptron, lambda: images(nn.BatchNorm2d), lambda: images(nn.InstanceNorm2d), lines, volumes]


def trained_statistics(model, inputs, weights):
    """Buffers after one batch in torch's training mode with a momentum of one: the statistics of that batch."""
    module = model.double().train()
    for part in module.modules():
        if hasattr(part, "momentum"):
            part.momentum = 1.0
    with torch.no_grad():
        for name, value in weights.items():
            module.get_parameter(name).copy_(torch.as_tensor(value))
        module(inputs.double())
    return {name: buffer.clone() for name, buffer in module.named_buffers() if "running" in name}


def noisy(workload, count):
    generator = np.random.default_rng(KEY)
    return [{name: (weight + 0.3 * generator.standard_normal(weight.shape)).astype(np.float32)
             for name, weight in workload.weights.items()} for _ in range(count)]


def assert_statistics(layer, found, mean, variance):
    """Float64 statistics within 8 roundings of the root mean square of what is averaged, and of the variance within 16.

    The root mean square is the scale of the terms of the mean; their sum may cancel.
    """
    mean, variance = np.asarray(mean), np.asarray(variance)
    misses = np.abs(np.subtract(found[f"{layer}.running_mean"], mean)) / np.sqrt(variance + mean**2)
    assert misses.max() <= 8 * ROUNDING
    np.testing.assert_allclose(found[f"{layer}.running_var"], variance, rtol=16 * ROUNDING, atol=0)


def assert_all_statistics(found, expected):
    assert list(found) == list(expected)
    for layer in {name.rpartition(".")[0] for name in expected}:
        assert_statistics(layer, found, expected[f"{layer}.running_mean"], expected[f"{layer}.running_var"])


@pytest.mark.parametrize("build", BUILDS)
def test_one_reading_gives_the_statistics_of_training_mode(build):
    model, inputs = build()
    workload = make(model.eval(), inputs)
    (reading,) = noisy(workload, 1)
    found = reestimated_statistics(workload, [reading])
    assert_all_statistics(found, trained_statistics(build()[0], inputs, reading))


@pytest.mark.parametrize("build", BUILDS)
def test_clean_weights_give_back_what_the_statistics_were_made_of(build):
    model, inputs = build()
    trained = trained_statistics(model, inputs, {})
    assert_all_statistics(reestimated_statistics(make(model.float().eval(), inputs), [{}, {}, {}]), trained)


def test_several_readings_have_the_law_of_total_variance():
    """Behind W: mean W m, variance diag(W S W^T), with m and S of the inputs; then averaged, and the spread added."""
    model = nn.Sequential(nn.Linear(5, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    inputs = drawn(50, 5) + 1.0
    workload = make(model, inputs)
    readings = noisy(workload, 6)
    mean, covariance = inputs.double().mean(0).numpy(), np.cov(inputs.double().numpy(), rowvar=False)
    matrices = np.stack([reading["0.weight"].astype(float) for reading in readings])
    means, variances = matrices @ mean, np.einsum("roi,ij,roj->ro", matrices, covariance, matrices)
    found = reestimated_statistics(workload, iter(readings))
    assert_statistics("1", found, means.mean(0), variances.mean(0) + means.var(0))


def test_batches_count_by_their_size():
    """Inputs in batches of 30, 30 and 10 of one layer: the spread between them is part of the variance."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    inputs = drawn(70, 3)
    found = reestimated_statistics(make(model, inputs, batch_size=30), [{}])
    mean, shares, parts = inputs.double().mean(0), np.array([3, 3, 1]) / 7, inputs.double().split(30)
    within, between = (np.stack(each) for each in zip(*((part.var(0), (part.mean(0) - mean) ** 2) for part in parts),
                                                      strict=True))
    assert_statistics("0", found, mean, shares @ (within + between))


class Normalised(nn.Module):
    """A norm that is called twice, and one that is never reached."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.unused = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(9)

    def forward(self, x):
        return self.norm(self.inner(x)) + self.norm(self.inner(-x))


def test_calls_are_averaged_and_unreached_layers_keep_their_own():
    """Behind W x + b and b - W x: the average of the means is b."""
    module, inputs = Normalised().eval(), drawn(20, 3)
    found = reestimated_statistics(make(module, inputs), [{}])
    weight, bias = (part.detach().double() for part in module.inner.parameters())
    assert_statistics("norm", found, bias, (inputs.double() @ weight.T).var(0))
    assert found["unused.running_mean"] == (0.0,) * 9
    assert found["unused.running_var"] == (1.0,) * 9


def test_without_readings_nothing_is_found():
    assert reestimated_statistics(make(Normalised().eval(), drawn(20, 3)), []) == {}


@pytest.mark.parametrize("model", [
    nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
    nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)),
])
def test_without_running_statistics_nothing_is_read(model):
    def never():
        raise AssertionError("a reading was taken")
        yield {}

    assert reestimated_statistics(make(model.eval(), drawn(8, 3)), never()) == {}


def test_the_network_stays_as_it_is_and_takes_what_was_found():
    model, inputs = perceptron()
    workload = make(model.eval(), inputs)
    before, digest = workload.run(inputs), workload.digest
    found = reestimated_statistics(workload, noisy(workload, 3))
    assert torch.equal(workload.run(inputs), before)
    assert torch.equal(model(inputs), before)
    buffers = {name: np.array(values, np.float32) for name, values in found.items()}
    assert not torch.equal(workload.run(inputs, buffers), before)
    assert torch.equal(workload.run(inputs), before)
    assert workload.digest == digest


def test_one_value_for_each_channel_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    with pytest.raises(WorkloadError, match="the module fails"):
        reestimated_statistics(make(model, drawn(1, 3)), [{}])


def test_accuracy_under_heavy_noise_rises():
    """One protected plane of eight, one cell in seven flips: seven points over the same eight trials."""
    workload = load_workload("res-cnn")
    codecs = {name: PlaneProtected.fitted(weight, depth=1) for name, weight in workload.weights.items()}
    model = deploy(workload.weights, codecs, BitErrorProfile.uniform(0.15).assign(workload.weights))
    reader = model.prepare(seed=0, purpose="statistics")
    found = reestimated_statistics(workload, (reader.read(trial).weights for trial in range(32)))
    buffers = {name: np.array(values, np.float32) for name, values in found.items()}
    plain, renewed = (
        np.mean([trials.run(trial).interval().estimate for trial in range(8)])
        for trials in (Trials(workload, one, seed=0) for one in (model, replace(model, statistics=buffers)))
    )
    assert renewed > plain + 0.04


@pytest.mark.parametrize(("samples", "size"), [(41, 40), (33, 2), (9, 8), (3, 2), (4, 1)])
def test_no_sample_is_left_alone_in_a_batch(samples: int, size: int) -> None:
    """A single sample has no variance, at which torch's own layer fails."""
    module, inputs = perceptron()
    found = reestimated_statistics(make(module, inputs[:samples], batch_size=size), [{}])
    entering = module[0](inputs[:samples]).detach().double().numpy()
    misses = np.abs(found["1.running_mean"] - entering.mean(0)) / np.sqrt((entering**2).mean(0))
    assert misses.max() <= 8 * ROUNDING
