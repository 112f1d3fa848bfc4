"""What lies in the tunnelling memory, what does not, and weights that flips would pass by."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets import exposure as exposures
from qtaml_codesign.nets.workload import Workload

KEY = 20260701


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


def make(model: nn.Module, inputs: torch.Tensor | None = None, **more: object) -> Workload:
    inputs = drawn(12, 6) if inputs is None else inputs
    with torch.no_grad():
        labels = model.eval()(inputs).argmax(-1)
    return Workload(model, inputs, (inputs, labels), **more)


def told(workload: Workload) -> tuple[str, ...]:
    """Warnings about the network; its twelve samples are too few for more than that."""
    return tuple(note for note in workload.warnings if "of accuracy" not in note and "clean accuracy" not in note)


class Net(nn.Module):
    """Two linear layers; `after(net)` adds what a case needs, `run(net, x)` is its forward pass."""

    def __init__(self, run: object = None, after: object = None) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        if after is not None:
            after(self)
        self.run = run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.run is None:
            return self.last(torch.tanh(self.first(x)))
        return self.run(self, x)


def with_first_by(weight: object) -> object:
    """A forward pass whose first layer takes its weights from elsewhere."""
    return lambda net, x: net.last(torch.tanh(functional.linear(x, weight(net), net.first.bias)))


def quantised(weight: torch.Tensor) -> torch.Tensor:
    return (weight / weight.abs().max() * 127.0).round().to(torch.int8)


def keep(**attributes: object) -> object:
    def after(net: Net) -> None:
        for name, value in attributes.items():
            setattr(net, name, value(net))
    return after


def as_buffer(value: object) -> object:
    return lambda net: net.register_buffer("kept", value(net).detach())


def closure() -> Net:
    net = Net()
    weight = net.first.weight
    net.run = lambda self, x: self.last(torch.tanh(functional.linear(x, weight, self.first.bias)))
    return net


def from_numpy() -> Net:
    values = drawn(6, 6).numpy()
    return Net(with_first_by(lambda net: torch.from_numpy(values)))


# a network with weights that flips would pass by -> which text the refusal names
UNREACHABLE = {
    "int8 buffer": (Net(with_first_by(lambda net: net.kept.float() * 0.01),
                        as_buffer(lambda net: quantised(net.first.weight))), "kept: int8 buffer"),
    "int8 buffer with a scale for each row": (
        Net(with_first_by(lambda net: net.kept.float() * net.scale), lambda net: (
            as_buffer(lambda net: quantised(net.first.weight))(net),
            net.register_buffer("scale", torch.full((6, 1), 0.01)))), "kept: int8 buffer"),
    "packed in int32": (Net(with_first_by(lambda net: ((net.kept[..., None] >> torch.arange(0, 32, 8)) & 255)
                                          .reshape(6, -1)[:, :6] * 0.01),
                            as_buffer(lambda net: torch.arange(12, dtype=torch.int32).reshape(6, 2) * 65537)),
                        "int32 buffer"),
    "flat float buffer": (Net(with_first_by(lambda net: net.kept.view(6, 6)),
                              as_buffer(lambda net: drawn(36))), "kept: float32 buffer"),
    "copy in a buffer": (Net(with_first_by(lambda net: net.kept), as_buffer(lambda net: net.first.weight.clone())),
                         "kept: float32 buffer that acts as weights, a copy of first.weight"),
    "view in a buffer": (Net(with_first_by(lambda net: net.kept), as_buffer(lambda net: net.first.weight)),
                         "kept: float32 buffer that acts as weights, a copy of first.weight"),
    "view in a list": (Net(with_first_by(lambda net: net.held[0]), keep(held=lambda net: [net.first.weight.detach()])),
                       "held[0]: float32 tensor that is no parameter that acts as weights, a copy of first.weight"),
    "tensor attribute": (Net(with_first_by(lambda net: net.held), keep(held=lambda net: drawn(6, 6))),
                         "held: float32 tensor that is no parameter"),
    "turned view as an attribute": (
        Net(lambda net, x: net.last(torch.tanh(x @ net.held)), keep(held=lambda net: net.first.weight.detach().t())),
        "held: float32 tensor that is no parameter that acts as weights, a copy of first.weight"),
    "layers in a list": (Net(lambda net, x: net.last(torch.tanh(net.held[0](x))),
                             keep(held=lambda net: [nn.Linear(6, 6)])),
                         "held[0].weight"),
    "closure": (closure(), "first.weight of the module that was passed in"),
    "numpy": (from_numpy(), "float32 tensor that is no parameter"),
    "convolution": (Net(lambda net, x: net.last(functional.conv1d(x[:, None], net.kept).flatten(1)),
                        as_buffer(lambda net: drawn(6, 1, 6)[..., :6])), "kept"),
    "table": (Net(lambda net, x: net.last(net.kept[(x.sum(1) > 0).long()]), as_buffer(lambda net: drawn(2, 6))),
              "kept"),
    "recurrent": (Net(lambda net, x: net.last(functional.linear(net.held(x[:, None])[0][:, 0], torch.eye(6))),
                      lambda net: vars(net).update(held=nn.GRU(6, 6, batch_first=True))), "held.weight_ih_l0"),
}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_weights_that_flips_would_pass_by_are_refused(case):
    net, named = UNREACHABLE[case]
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        make(net)
    assert named in str(caught.value.value)
    assert "tensors=['first.weight', 'last.weight']" in caught.value.next_step


SECOND_REFERENCES = {
    "in a list": lambda: Net(with_first_by(lambda net: net.held[0]), keep(held=lambda net: [net.first.weight])),
    "in a dictionary": lambda: Net(with_first_by(lambda net: net.held["w"][0]),
                                   keep(held=lambda net: {"w": (net.first.weight,)})),
    "both ways": lambda: Net(lambda net, x: net.last(torch.tanh(net.first(x) + x @ net.held[0])),
                             keep(held=lambda net: [net.first.weight])),
    "elementwise": lambda: Net(lambda net, x: net.last(torch.tanh(net.first(x) * net.held[0].sum())),
                               keep(held=lambda net: [net.first.weight])),
}


@pytest.mark.parametrize("case", SECOND_REFERENCES)
def test_flips_reach_whoever_holds_the_parameter_itself(case):
    """The oracle is the caller's own network with the new values written into its parameter."""
    net, inputs = SECOND_REFERENCES[case](), drawn(12, 6)
    workload, changed = make(net, inputs), drawn(6, 6) + 0.5
    assert told(workload) == ()
    with torch.no_grad():
        net.first.weight.copy_(changed)
        expected = net(inputs)
    torch.testing.assert_close(workload.run(inputs, {"first.weight": changed}), expected)


@pytest.mark.parametrize("case", UNREACHABLE)
def test_named_tensors_are_taken_at_their_word_and_the_rest_is_listed(case):
    net, named = UNREACHABLE[case]
    workload = make(net, tensors=["last.weight"])
    listed = [f"{name}: {why}" for name, count, why in workload.exposure.unexposed if count >= 12]
    assert any(named in row for row in listed), listed
    assert workload.exposure.stored_parameters == 18


@pytest.mark.parametrize("use", [lambda x, view: x @ view, lambda x, view: x * view.sum()])
def test_a_view_that_a_pass_keeps_for_the_next_one_is_refused(use):
    """The first pass turns the weight round; later ones go on with what it turned, whatever flips do."""
    def keeps(net: Net, x: torch.Tensor) -> torch.Tensor:
        if "turned" not in vars(net):
            net.turned = net.first.weight.t()
        return net.last(torch.tanh(use(x, net.turned)))

    inputs, labels = drawn(12, 6), torch.zeros(12, dtype=torch.long)
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        Workload(Net(keeps), inputs, (inputs, labels))
    assert "first.weight: a view of it that was kept is read, past first.weight itself" in caught.value.value
    chosen = Workload(Net(keeps), inputs, (inputs, labels), tensors=["first.weight"])
    assert any("a view of it that was kept" in why for _, _, why in chosen.exposure.unexposed)


def quantised_layers(kinds: set[type[nn.Module]]) -> nn.Module:
    torch.manual_seed(KEY)
    float_net = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(float_net.eval(), kinds)


def test_dynamically_quantised_layers_are_refused_or_listed():
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        make(quantised_layers({nn.Linear}))
    assert "packed quantised weights" in caught.value.value
    workload = make(quantised_layers({nn.Linear}), tensors=["1.weight"])
    assert workload.exposure.stored_parameters == 12
    assert workload.exposure.parameters == 12 + 4 + 48
    assert ("3._packed_params (LinearPackedParams)", 48, "packed quantised weights") in workload.exposure.unexposed


def test_a_network_that_is_quantised_throughout_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(6, 3)), {nn.LSTM})
    with pytest.raises(WorkloadError, match="no weight tensor") as caught:
        Workload(model, drawn(4, 2, 6), (drawn(4, 2, 6), torch.zeros(4, 2, dtype=torch.long)), logits=lambda z: z[0])
    assert "PackedParameter" in caught.value.value
    assert "float network" in caught.value.next_step


def test_the_rest_is_listed_with_its_reason():
    torch.manual_seed(KEY)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.PReLU(8), nn.Linear(8, 3, bias=False))
    model.register_buffer("spare", torch.zeros(2))
    exposure = make(model).exposure
    assert exposure.unexposed == (
        ("0.bias", 8, "bias"), ("1.weight", 8, "parameter of a norm"), ("1.bias", 8, "parameter of a norm"),
        ("2.weight", 8, "fewer than two axes"), ("spare", 2, "buffer"), ("1.running_mean", 8, "statistics of a norm"),
        ("1.running_var", 8, "statistics of a norm"), ("1.num_batches_tracked", 1, "statistics of a norm"),
    )
    assert exposure.reasons["statistics of a norm"] == (3, 17)
    assert (exposure.stored_parameters, exposure.parameters) == (72, 104)
    assert exposure.share == 72 / 104


def test_a_small_share_is_told():
    model = nn.Sequential(nn.Linear(6, 3), nn.PReLU(3))
    model.register_parameter("large", nn.Parameter(torch.zeros(100)))
    (warning,) = told(make(model))
    assert "only 14.5% of 124 parameters" in warning
    model = nn.Sequential(nn.Linear(6, 30), nn.Linear(30, 3))
    assert told(make(model, tensors=["1.weight"])) == ()


def test_stored_tensors_without_effect_are_told():
    net = Net(after=keep(spare=lambda net: nn.Linear(6, 4)))
    (warning,) = told(make(net))
    assert warning.endswith("cost nothing: spare.weight")


def test_experts_that_the_first_samples_do_not_choose_have_an_effect():
    inputs = drawn(12, 6)
    rare = int(inputs.sum(1)[2:].argmax()) + 2
    bound = float(inputs.sum(1)[rare]) - 1e-3

    def run(net: Net, x: torch.Tensor) -> torch.Tensor:
        chosen = (x.sum(1, keepdim=True) > bound)
        logits = net.last(torch.tanh(net.first(x)))
        return torch.where(chosen, net.expert(x), logits) if bool(chosen.any()) else logits

    assert told(make(Net(run, keep(expert=lambda net: nn.Linear(6, 3))), inputs)) == ()


def test_a_network_that_cannot_be_watched_says_so(monkeypatch):
    class Failing:
        def __init__(self, *_: object) -> None:
            raise WorkloadError("no", where="", rule="", value="", next_step="")

    monkeypatch.setattr(exposures, "Dataflow", Failing)
    (warning,) = told(make(Net()))
    assert "could not be watched" in warning


def test_the_modules_own_tensors_are_left_alone():
    net, inputs = Net(after=as_buffer(lambda net: drawn(3))), drawn(12, 6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    versions = {name: value._version for name, value in net.state_dict().items()}
    workload = make(net, inputs)
    assert {name: value._version for name, value in net.state_dict().items()} == versions
    assert all(torch.equal(before[name], value) for name, value in workload.network.module.state_dict().items())
    np.testing.assert_array_equal(workload.run(inputs).numpy(), net(inputs).detach().numpy())
