"""Gains from tapped layers against the gradients of every weight, for each way a network can use its weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from qtaml_codesign.nets import sensitivity, taps
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.taps import tappable
from qtaml_codesign.nets.workload import Workload

KEY = 17
ZOO = ["small-cnn", "wide-cnn", "deep-cnn", "res-cnn", "transformer"]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


class Net(nn.Module):
    """Some parts, and a function of the net and its input."""

    def __init__(self, run, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def linear(*sizes):
    return nn.Linear(*sizes)


def matrix(*shape):
    return nn.Parameter(drawn(*shape))


class Hidden(torch.autograd.Function):
    """x times the sum of a weight, where torch functions cannot be watched."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight.sum()

    @staticmethod
    def backward(ctx, slope):
        x, weight = ctx.saved_tensors
        return slope * weight.sum(), (slope * x).sum() * torch.ones_like(weight)


def attended(attention, x, other):
    return attention(x, other, other, need_weights=False)[0]


def mean_first(net, x):
    return net.b(torch.tanh(net.a(x)).mean(1))


VECTORS, ROWS, TOKENS = drawn(7, 6), drawn(7, 5, 6), torch.arange(35).reshape(7, 5) % 9
IMAGES, SERIES = drawn(5, 4, 9, 8), drawn(5, 4, 11)


def convolved(layer, inputs):
    torch.manual_seed(KEY)
    return Net(lambda n, x: n.b(torch.tanh(n.a(x)).flatten(2).mean(-1)), a=layer, b=linear(8, 3)), inputs


def embedded(layer, run=lambda n, x: n.b(torch.tanh(n.a(x)).mean(1))):
    return Net(run, a=layer, b=linear(4, 3)), TOKENS


TAPPED = {
    "vectors": lambda: (Net(lambda n, x: n.b(torch.tanh(n.a(x))), a=linear(6, 8), b=linear(8, 3)), VECTORS),
    "few rows, wide layer": lambda: (Net(mean_first, a=linear(6, 40), b=linear(40, 3)), ROWS),
    "many rows, narrow layer": lambda: (Net(mean_first, a=linear(2, 2), b=linear(2, 3)), drawn(7, 30, 2)),
    "a logit per row": lambda: (Net(lambda n, x: n.b(torch.tanh(n.a(x))), a=linear(6, 4), b=linear(4, 3)), ROWS),
    "functional": lambda: (Net(lambda n, x: functional.linear(input=x, weight=n.a), a=matrix(3, 6)), VECTORS),
    "convolution": lambda: convolved(nn.Conv2d(4, 8, 3), IMAGES),
    "strides and dilation": lambda: convolved(nn.Conv2d(4, 8, (3, 2), (2, 1), (1, 2), (2, 3)), IMAGES),
    "groups": lambda: convolved(nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), IMAGES),
    "depthwise": lambda: convolved(nn.Conv2d(4, 8, 3, groups=4), IMAGES),
    "reflected edges": lambda: convolved(nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), IMAGES),
    "one dimension": lambda: convolved(nn.Conv1d(4, 8, 3, stride=2, padding=1, dilation=2, groups=2), SERIES),
    "frames in groups": lambda: (
        Net(lambda n, x: n.b(torch.tanh(n.a(x.flatten(0, 1))).unflatten(0, (-1, 3)).mean((1, 3, 4))),
            a=nn.Conv2d(4, 8, 3, groups=2), b=linear(8, 3)), drawn(5, 3, 4, 6, 6)),
    "embedding": lambda: embedded(nn.Embedding(9, 4)),
    "padded embedding": lambda: embedded(nn.Embedding(9, 4, padding_idx=3)),
    "padded from the end": lambda: embedded(nn.Embedding(9, 4, padding_idx=-1)),
    "attention": lambda: (Net(lambda n, x: n.b(attended(n.a, x, x).mean(1)),
                              a=nn.MultiheadAttention(6, 2, batch_first=True), b=linear(6, 3)), ROWS),
    "attention of other widths": lambda: (
        Net(lambda n, x: n.b(attended(n.a, x, x[..., :4]).mean(1)),
            a=nn.MultiheadAttention(6, 2, kdim=4, vdim=4, batch_first=True), b=linear(6, 3)), ROWS),
    "encoder": lambda: (
        Net(mean_first, a=nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 2),
            b=linear(6, 3)), ROWS),
    "functional, padded from the end": lambda: (
        Net(lambda n, x: n.b(torch.tanh(functional.embedding(x, n.a, padding_idx=-1)).mean(1)), a=matrix(9, 4),
            b=linear(4, 3)), TOKENS),
    "a batch of one": lambda: (Net(lambda n, x: n.a(x - x.mean(0) / 2), a=linear(6, 3)), VECTORS),
}
"""Networks all of whose weights are tapped."""

MIXED = {
    "called twice": (lambda: (Net(lambda n, x: n.b(n.a(torch.tanh(n.a(x)))), a=linear(6, 6), b=linear(6, 3)), VECTORS),
                     {"a.weight"}),
    "a bare matrix": (lambda: (Net(lambda n, x: n.b(x @ n.a), a=matrix(6, 4), b=linear(4, 3)), VECTORS), {"a"}),
    "transposed": (lambda: (Net(lambda n, x: n.b(functional.linear(x, n.a.T)), a=matrix(6, 4), b=linear(4, 3)),
                            VECTORS), {"a"}),
    "also its norm": (lambda: (Net(lambda n, x: n.b(n.a(x)) * n.a.weight.norm(), a=linear(6, 4), b=linear(4, 3)),
                               VECTORS), {"a.weight"}),
    "also hidden": (lambda: (Net(lambda n, x: n.b(Hidden.apply(n.a(x), n.a.weight)), a=linear(6, 4), b=linear(4, 3)),
                             VECTORS), {"a.weight", "b.weight"}),
    "read without gradient": (lambda: (Net(lambda n, x: n.b(n.a(x)) + n.a.weight.detach().sum(), a=linear(6, 4),
                                           b=linear(4, 3)), VECTORS), {"a.weight"}),
    "frozen": (lambda: (Net(lambda n, x: n.b(n.a(x).detach()), a=linear(6, 4), b=linear(4, 3)), VECTORS),
               {"a.weight"}),
    "unused": (lambda: (Net(lambda n, x: n.b(x), a=linear(6, 4), b=linear(6, 3)), VECTORS), {"a.weight"}),
    "tied": (lambda: (Net(lambda n, x: functional.linear(n.b(n.a(x).mean(1)), n.a.weight), a=nn.Embedding(9, 4),
                          b=linear(4, 4)), TOKENS), {"a.weight"}),
    "scaled by frequency": (lambda: embedded(nn.Embedding(9, 4, scale_grad_by_freq=True)), {"a.weight"}),
    "one weight of two": (lambda: (Net(lambda n, x: n.b(functional.linear(x, n.a, n.c)), a=matrix(4, 6), b=linear(4, 3),
                                       c=nn.Parameter(torch.ones(4))), VECTORS), {"c", "b.bias"}),
    "same padding": (lambda: convolved(nn.Conv2d(4, 8, 3, padding="same"), IMAGES), {"a.weight"}),
    "three dimensions": (lambda: convolved(nn.Conv3d(4, 8, 3), drawn(5, 4, 4, 5, 5)), {"a.weight"}),
    "back to front": (lambda: convolved(nn.ConvTranspose2d(4, 8, 3), IMAGES), {"a.weight"}),
    "weight norm": (lambda: (Net(lambda n, x: n.b(n.a(x)), a=parametrizations.weight_norm(linear(6, 4)),
                                 b=linear(4, 3)), VECTORS),
                    {"a.parametrizations.weight.original0", "a.parametrizations.weight.original1"}),
    "recurrent": (lambda: (Net(lambda n, x: n.b(n.a(x)[0].mean(1)), a=nn.LSTM(6, 4, batch_first=True), b=linear(4, 3)),
                           ROWS), {"a.weight_ih_l0", "a.weight_hh_l0", "b.weight"}),
    "attention to others": (lambda: (Net(lambda n, x: n.b(attended(n.a, x, 2 * x).mean(1)),
                                         a=nn.MultiheadAttention(6, 2, batch_first=True), b=linear(6, 3)), ROWS),
                            {"a.in_proj_weight"}),
    "another way for some": (lambda: (Net(lambda n, x: n.b(x) if float(x.sum()) > 0 else n.a(x), a=linear(6, 3),
                                          b=linear(6, 3)), VECTORS), {"a.weight", "b.weight"}),
}
"""Networks with weights that cannot be tapped, and which."""
STORED = {"one weight of two": "*"}


def workload(build, tensors=None) -> Workload:
    torch.manual_seed(KEY)
    model, inputs = build()
    labels = torch.zeros(model.eval()(inputs).shape[:-1], dtype=torch.long)
    return Workload(model, inputs, (inputs, labels), tensors=tensors)


def by_weights(network: Workload, monkeypatch, double: bool = True) -> dict[str, float]:
    """The slow twin: one reverse pass per sample and logit, down to every weight."""
    with monkeypatch.context() as patch:
        patch.setattr(sensitivity, "tappable", lambda run, sample, parameters: (run(sample), []))
        patch.setattr(sensitivity, "GRADIENT_FLOATS_OF_A_SAMPLE", 0)
        return jacobian_gains(network, double=double).gains


def formed(network: Workload, monkeypatch) -> set[str]:
    """Weights whose gradients are formed."""
    names: list[str] = []
    real = sensitivity._by_weights
    with monkeypatch.context() as patch:
        patch.setattr(sensitivity, "_by_weights", lambda probe, *rest: (names.extend(probe.parameters),
                                                                             real(probe, *rest))[1])
        jacobian_gains(network)
    return set(names)


@pytest.mark.parametrize("name", TAPPED)
def test_tapped_layers_need_no_weight_gradients(name, monkeypatch):
    network = workload(TAPPED[name])
    assert formed(network, monkeypatch) == set()
    assert jacobian_gains(network, double=True).gains == pytest.approx(
        by_weights(network, monkeypatch), rel=1e-12, abs=0.0)
    assert jacobian_gains(network).gains == pytest.approx(by_weights(network, monkeypatch), rel=1e-5, abs=0.0)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", MIXED)
def test_other_weights_go_the_long_way_alone(name, monkeypatch):
    build, expected = MIXED[name]
    network = workload(build, STORED.get(name))
    assert formed(network, monkeypatch) == expected
    assert jacobian_gains(network, double=True).gains == pytest.approx(
        by_weights(network, monkeypatch), rel=1e-12, abs=0.0)


def test_attention_goes_the_long_way_on_a_torch_that_cannot_watch_it(monkeypatch):
    network = workload(TAPPED["attention"])
    watched = jacobian_gains(network, double=True).gains
    monkeypatch.setattr(taps, "REDISPATCH", None)
    assert formed(network, monkeypatch) == {"a.in_proj_weight", "a.out_proj.weight"}
    assert jacobian_gains(network, double=True).gains == pytest.approx(watched, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_is_tapped(name, monkeypatch):
    network = load_workload(name)
    network.calibration = network.calibration[:6]
    assert formed(network, monkeypatch) == set()
    slow = by_weights(network, monkeypatch)
    assert jacobian_gains(network, double=True).gains == pytest.approx(slow, rel=1e-10, abs=0.0)
    assert jacobian_gains(network).gains == pytest.approx(slow, rel=1e-5, abs=0.0)


@pytest.mark.parametrize("floats", [1, 300, 10**9])
@pytest.mark.parametrize("name", ["a logit per row", "groups", "encoder"])
def test_how_much_is_held_at_once_does_not_matter(name, floats, monkeypatch):
    network = workload(TAPPED[name])
    expected = jacobian_gains(network, double=True)
    monkeypatch.setattr(sensitivity, "TAPPED_FLOATS", floats)
    found = jacobian_gains(network, double=True)
    assert found.gains == pytest.approx(expected.gains, rel=1e-12, abs=0.0)
    assert found.passes == expected.passes


def test_inputs_by_name():
    class Two(nn.Linear):
        def forward(self, x, scale):
            return super().forward(x) * scale

    inputs = {"x": VECTORS, "scale": torch.full((7, 1), 2.0)}
    model = Two(6, 3)
    network = Workload(model, inputs, (inputs, torch.zeros(7, dtype=torch.long)))
    expected = 4 * float(VECTORS.double().square().sum(1).mean()) / 6
    assert jacobian_gains(network).gains["weight"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["called twice", "also hidden", "also its norm", "frozen"])
def test_only_a_single_use_is_tapped(name):
    """Two calls, one call and a use that only the autograd graph shows, a use besides the call, and no path at all."""
    network = workload(MIXED[name][0])
    module = network.network.differentiable()
    parameters = {name: module.get_parameter(name) for name in network.weights}
    logits, layers = tappable(module, network.calibration[:1], parameters)
    assert [layer.name for layer in layers] == ["b.weight"]
    assert layers[0].tap.shape == logits.shape
    assert not layers[0].tap.any()
    assert layers[0].inputs == parameters["b.weight"].shape[1]


def in_place(net, x):
    h = torch.tanh(x)
    for layer in (net.a, net.b):
        h += 2.0 * torch.relu(layer(h))
    return net.c(h)


def out_of_place(net, x):
    h = torch.tanh(x)
    for layer in (net.a, net.b):
        h = h + 2.0 * torch.relu(layer(h))
    return net.c(h)


def test_a_module_may_write_into_the_input_of_a_layer():
    """The gradients by weights refuse such a module; its twin that writes nowhere is the oracle."""
    layers = {"a": linear(6, 6), "b": linear(6, 6), "c": linear(6, 3)}
    found, expected = (jacobian_gains(workload(lambda run=run: (Net(run, **layers), VECTORS)), double=True).gains
                       for run in (in_place, out_of_place))
    assert found == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_a_sample_that_goes_another_way_sends_the_network_down_the_long_one(monkeypatch):
    """The first sample uses both layers, others one: what is read off the first does not hold for them."""
    def forked(net, x):
        return net.b(torch.tanh(net.a(x))) if bool((x == VECTORS[0]).all()) else net.b(torch.tanh(x))

    network = workload(lambda: (Net(forked, a=linear(6, 6), b=linear(6, 3)), VECTORS))
    assert formed(network, monkeypatch) == {"a.weight", "b.weight"}
    assert jacobian_gains(network, double=True).gains == pytest.approx(
        by_weights(network, monkeypatch), rel=1e-12, abs=0.0)
