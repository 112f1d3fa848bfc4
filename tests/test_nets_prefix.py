"""Simulations that start at the noisy layer: the logits of a full run bit for bit, and the work before it left out."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qtaml_codesign.bits.profile import BitErrorProfile
from qtaml_codesign.nets.prefix import LIMIT, LayerAlone
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.nets.zoo import ZOO
from qtaml_codesign.tac.correction import PURPOSE, correction_factor, decide

KEY = 20260607


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


def make(model: nn.Module, inputs: Any = None, **more: Any) -> Workload:
    inputs = drawn(12, 6) if inputs is None else inputs
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(drawn(*parameter.shape))
    return Workload(model, calibration=inputs, evaluation=(inputs, torch.zeros(12, dtype=torch.long)), **more)


def noisy(workload: Workload, name: str, turn: int) -> np.ndarray:
    weight = workload.weights[name]
    return (weight * (1.0 - 2.0 * np.random.default_rng(turn).random(weight.shape))).astype(weight.dtype)


def assert_same(workload: Workload, limit: int = LIMIT) -> LayerAlone:
    """Every stored tensor, in order, backwards, and once more, against runs of the whole network."""
    alone = LayerAlone(workload.network, workload.calibration, limit)
    assert torch.equal(alone.clean, workload.run(workload.calibration))
    names = list(workload.weights)
    for turn, name in enumerate([*names, *reversed(names), *names]):
        weight = noisy(workload, name, turn)
        expected = workload.run(workload.calibration, {name: weight})
        found = alone.run(name, weight)
        assert torch.equal(found, expected), (name, turn)
        assert not torch.equal(found, alone.clean), name
    return alone


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo(name):
    assert_same(load_workload(name))


class Ways(nn.Module):
    """Three linear layers and whatever a case does between them."""

    def __init__(self, between: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.between = between
        self.extra = nn.Identity()
        self.register_buffer("seen", torch.zeros(6))
        self.kept: Any = None

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.between(self, x))


def identity_is_the_same_tensor(net, x):
    x = net.first(x)
    y = net.extra(x)
    y += 1.0
    return net.second(x)


def writes_into_a_slice(net, x):
    x = net.first(x)
    x[:, 0] = 7.0
    x.unsqueeze_(1)
    return net.second(x)[:, 0]


def twice(net, x):
    return net.second(net.first(net.second(x)))


def first_twice(net, x):
    return net.second(net.first(net.first(x).relu_()))


def functional_weights(net, x):
    x = functional.linear(x, net.second.weight.tanh())
    return functional.linear(net.first(x), net.second.weight.T)


def reads_late(net, x):
    x = net.second(net.first(x))
    return x + net.first.weight.sum()


def writes_where_noise_decides(net, x):
    """In the clean run nobody writes to what the first layer gives."""
    x = net.first(x)
    y = net.second(x)
    if net.clean is None:
        net.clean = y.sum()
    if y.sum() != net.clean:
        x.mul_(0.5)
    return x + y


def other_calls_where_noise_decides(net, x):
    y = net.second(net.first(x))
    if net.clean is None:
        net.clean = y.sum()
    return net.first(y) if y.sum() != net.clean else y


def replaces_the_data(net, x):
    x = net.first(x)
    x.data = x.data * 2.0
    return net.second(x)


def takes_turns(net, x):
    """The same logits from calls in another order every third time."""
    net.kept = ((net.kept or 0) + 1) % 3
    if net.kept:
        one, other = net.first(x), net.first(x + 1.0)
    else:
        other = net.first(x + 1.0)
        net.extra(x)
        one = net.first(x)
    return net.second(one - 0.5 * other)


class Block(nn.Module):
    """Writes to its input, to a list it is given, to its buffer or to itself, or returns odd things."""

    def __init__(self, act: Callable[..., Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("count", torch.zeros(()))
        self.act = act
        self.past: list[Tensor] = []
        self.note: Any = None

    def forward(self, *args: Any, **named: Any) -> Any:
        return self.act(self, *args, **named)


class Around(nn.Module):
    def __init__(self, inner: Callable[..., Any], outer: Callable[..., Any]) -> None:
        super().__init__()
        self.first, self.block, self.last = nn.Linear(6, 6), Block(inner), nn.Linear(6, 3)
        self.outer = outer

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.outer(self, self.first(x)))


def relu_on_the_input(block, x):
    return block.linear(x.relu_())


def relu_in_inference_mode_alone(block, x):
    return block.linear(x.relu_() if torch.is_inference_mode_enabled() else x.relu())


def uses_the_input_again(net, x):
    return net.block(x) + x


def fills_a_list(block, x, outputs):
    outputs.append(x * 2.0)
    return block.linear(x)


def reads_the_list(net, x):
    outputs: list[Tensor] = []
    return net.block(x, outputs) + outputs[0]


def counts_in_a_buffer(block, x):
    block.count += 1.0
    return block.linear(x) * block.count


def calls_twice(net, x):
    return net.block(net.block(x))


def stashes(block, x):
    block.note = x.relu()
    return block.linear(x)


def reads_the_stash(net, x):
    return net.block(x) + net.block.note


def appends_to_itself(block, x):
    block.past.append(x.relu())
    return block.linear(x)


def reads_the_last(net, x):
    return net.block(x) + net.block.past[-1]


def gives_a_dict(block, x):
    return OrderedDict(a=block.linear(x), b=(x.relu(), None, 3))


def writes_into_the_dict(net, x):
    given = net.block(x)
    given["b"][0].add_(given["a"])
    given.update(a=given["a"] * given["b"][2])
    return given["a"] + given.pop("b")[0]


def gives_the_same_tensor_twice(block, x):
    y = block.linear(x)
    return y, y[:, :3], torch.tensor(2.0)


def writes_to_one_of_them(net, x):
    y, part, factor = net.block(x)
    part.zero_()
    return y * factor


def gives_a_strided_view(block, x):
    return block.linear(x).T[1:, ::2]


def flattens_it(net, x):
    """Kernels may sum in another order where strides or alignment differ, so these have to be the same."""
    y = net.block(x)
    return x + y.sum() * (y.stride(1) + y.storage_offset())


class Opaque:
    def __init__(self, value: Tensor) -> None:
        self.value = value


def gives_an_object(block, x):
    return Opaque(block.linear(x))


def opens_it(net, x):
    return net.block(x).value


def fills_an_object(block, x, memory):
    memory.value = x.relu()
    return block.linear(x)


def reads_the_object(net, x):
    memory = Opaque(x)
    return net.block(x, memory=memory) + memory.value


BETWEEN = [identity_is_the_same_tensor, writes_into_a_slice, twice, first_twice, functional_weights, reads_late,
           replaces_the_data, takes_turns, writes_where_noise_decides, other_calls_where_noise_decides]


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("limit", [LIMIT, 0, 300])
def test_whatever_is_done_between_layers(between, limit):
    net = Ways(between)
    net.clean = None
    assert_same(make(net), limit)


AROUND = [
    (relu_on_the_input, uses_the_input_again), (relu_in_inference_mode_alone, uses_the_input_again),
    (fills_a_list, reads_the_list), (counts_in_a_buffer, calls_twice),
    (stashes, reads_the_stash), (appends_to_itself, reads_the_last), (gives_a_dict, writes_into_the_dict),
    (gives_the_same_tensor_twice, writes_to_one_of_them), (gives_a_strided_view, flattens_it),
    (gives_an_object, opens_it), (fills_an_object, reads_the_object),
]


@pytest.mark.parametrize(("inner", "outer"), AROUND)
def test_whatever_a_module_leaves_behind(inner, outer):
    assert_same(make(Around(inner, outer)))
    assert_same(make(Around(inner, outer), batch_size=5))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.middle = nn.Embedding(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 6, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.middle(self.embedding(tokens).mean(1)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.again = nn.LSTM(2, 4, 2, batch_first=True), nn.GRU(4, 4, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.rnn(x.reshape(-1, 3, 2))[0])[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.attention = nn.Linear(6, 6), nn.MultiheadAttention(6, 2, batch_first=True)
        self.scale, self.head = nn.Parameter(torch.ones(1, 6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.reshape(4, 3, 6))
        return self.head(self.attention(x, x, x, need_weights=False)[0] * self.scale).reshape(12, 3)


class Encoder(nn.Module):
    def __init__(self, masked: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.words, self.blocks, self.head = nn.Embedding(9, 6), nn.TransformerEncoder(layer, 3), nn.Linear(6, 3)
        self.masked = masked

    def forward(self, tokens: Tensor) -> Tensor:
        mask = tokens == 0 if self.masked else None
        return self.head(self.blocks(self.words(tokens), src_key_padding_mask=mask)[:, 0])


class Shared(nn.Module):
    """A layer that stands alone and inside a block."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.block = nn.Sequential(nn.Linear(6, 6), self.layer, nn.ReLU(inplace=True))
        self.other = nn.Sequential(nn.Linear(6, 6), self.layer)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.other(self.block(x))))


def in_place() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(inplace=True),
        nn.Conv1d(4, 4, 3, padding=1), nn.Dropout(0.5, inplace=True), nn.Hardswish(inplace=True), nn.Flatten(),
        nn.Linear(24, 8), nn.ELU(inplace=True), nn.Linear(8, 3),
    )


def hooked() -> nn.Module:
    """What a hook saw inside a block is used behind it."""
    seen: dict[str, Tensor] = {}
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    block[0].register_forward_hook(lambda part, given, output: seen.update(x=output.clone()))
    last = nn.Linear(6, 3)
    last.register_forward_pre_hook(lambda part, given: (given[0] + seen["x"],))
    return nn.Sequential(nn.Linear(6, 6), block, nn.Linear(6, 6), last)


def tokens() -> Tensor:
    return torch.randint(0, 6, (12, 4), generator=torch.Generator().manual_seed(KEY))


ARCHITECTURES: dict[str, Callable[[], Workload]] = {
    "tied": lambda: make(Tied(), tokens()),
    "recurrent": lambda: make(Recurrent()),
    "attention": lambda: make(Attention(), drawn(12, 1, 6)),
    "encoder": lambda: make(Encoder(False), tokens() + 1),
    "padded encoder": lambda: make(Encoder(True), torch.cat([tokens() + 1, torch.zeros(12, 2, dtype=torch.long)], 1)),
    "shared": lambda: make(Shared()),
    "in place": lambda: make(in_place()),
    "hooked": lambda: make(hooked()),
    "max norm": lambda: make(nn.Sequential(nn.Embedding(6, 3, max_norm=1.0), nn.Flatten(), nn.Linear(12, 3)), tokens()),
    "biases": lambda: make(Recurrent(), tensors="*"),
    "weight norm": lambda: make(nn.Sequential(
        nn.Linear(6, 6), nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.Linear(6, 3)),
        tensors=["0.weight", "*original1", "2.weight"]),
    "double": lambda: make(in_place().double(), drawn(12, 6).double()),
    "scripted": lambda: make(nn.Sequential(nn.Linear(6, 6), torch.jit.script(nn.Linear(6, 3)))),
    "compiled": lambda: make(nn.Sequential(nn.Linear(6, 6), torch.compile(nn.Linear(6, 3), backend="eager"))),
    "one layer": lambda: make(nn.Linear(6, 3)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("limit", [LIMIT, 600, 0])
def test_architectures(name, limit):
    workload = ARCHITECTURES[name]()
    workload.network.batch_size = 12
    assert_same(workload, limit)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "attention"])
def test_several_batches(name):
    workload = ARCHITECTURES[name]()
    workload.network.batch_size = 5
    alone = assert_same(workload)
    assert len(alone._batches) == 3


def test_a_late_layer_alone_calls_nothing_before_it(monkeypatch):
    """The first simulation needs the clean pass up to its layer; every other one runs one layer of six."""
    workload = load_workload("deep-cnn")
    alone = LayerAlone(workload.network, workload.calibration)
    calls = Counter[str]()
    for name in ("conv2d", "linear", "batch_norm"):
        owner, real = (torch, torch.conv2d) if name == "conv2d" else (functional, getattr(functional, name))

        def counted(*args, name=name, real=real, **named):
            calls[name] += 1
            return real(*args, **named)

        monkeypatch.setattr(functional if name == "conv2d" else owner, name, counted)
    weight = noisy(workload, "fc2.weight", 0)
    alone.run("fc2.weight", weight)
    assert calls == {"conv2d": 4, "batch_norm": 4, "linear": 2}
    calls.clear()
    found = alone.run("fc2.weight", weight)
    assert calls == {"linear": 1}
    assert torch.equal(found, workload.run(workload.calibration, {"fc2.weight": weight}))
    calls.clear()
    alone.run("conv3.weight", noisy(workload, "conv3.weight", 0))
    assert calls == {"conv2d": 2, "batch_norm": 2, "linear": 2}


def ran(workload: Workload, name: str, limit: int = LIMIT, before: int = 1) -> Counter[str]:
    """Calls by type of module in a simulation of a tensor after some others, as the modules themselves see them."""
    calls = Counter[str]()
    alone = LayerAlone(workload.network, workload.calibration, limit)
    for turn in range(before):
        alone.run(name, noisy(workload, name, turn))
    kinds = {type(part) for part in workload.network.module.modules()}
    real = {kind: kind.forward for kind in kinds}
    record = alone._records[0]
    for index, (own, _) in enumerate(record._wrappers):
        part = list(record._module.modules())[index]
        assert vars(part) is own

        def counted(*args, part=part, **named):
            calls[type(part).__name__] += 1
            return real[type(part)](part, *args, **named)

        record._wrappers[index] = own, _rewrapped(part, counted, record._handler)
    alone.run(name, noisy(workload, name, before))
    return calls


def _rewrapped(part, forward, handler):
    return lambda *args, **named: handler[0](part, forward, args, named)


def test_whole_blocks_are_left_out():
    assert ran(ARCHITECTURES["encoder"](), "blocks.layers.2.linear1.weight") == {
        "Encoder": 1, "TransformerEncoder": 1, "TransformerEncoderLayer": 1, "Linear": 1}
    assert ran(ARCHITECTURES["recurrent"](), "head.weight") == {"Recurrent": 1, "Linear": 1}
    assert ran(ARCHITECTURES["tied"](), "middle.weight") == {"Tied": 1, "Linear": 2}
    assert ran(ARCHITECTURES["shared"](), "head.weight")["Linear"] == 1


def test_what_does_not_fit_is_run():
    """A layer's output takes 12 x 6 x 4 = 288 bytes; with room for one, the second layer runs each time."""
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    assert [ran(make(net), "2.weight", limit)["Linear"] for limit in (576, 575, 287)] == [1, 2, 3]


def test_a_block_takes_the_room_of_what_is_inside():
    workload = make(nn.Sequential(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)), nn.Linear(6, 3)))
    alone = LayerAlone(workload.network, workload.calibration, 288)
    for turn, (name, held) in enumerate([("0.1.weight", [2]), *[("1.weight", [1]), ("0.1.weight", [1])] * 2]):
        alone.run(name, noisy(workload, name, turn))
        record = alone._records[0]
        assert [call.index for call in record._calls if call.kept is not None] == held
        assert record._room == 0


def test_an_output_that_is_written_to_is_kept_all_the_same():
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    assert [ran(make(net), "2.weight", before=before)["Linear"] for before in range(1, 7)] == [1, 2, 1, 1, 1, 1]


def test_a_sparse_attribute_costs_its_own_module_alone():
    net = Around(lambda block, x: block.linear(x) + torch.sparse.mm(block.note, x.T).T, lambda net, x: net.block(x))
    net.block.note = torch.eye(6).to_sparse()
    assert ran(make(net), "last.weight") == {"Around": 1, "Block": 1, "Linear": 1}


def test_a_module_that_leaves_something_behind_is_run():
    for inner, outer in AROUND[:1] + AROUND[2:]:
        skipped = ran(make(Around(inner, outer)), "last.weight")["Block"] == 0
        assert skipped == (inner in (gives_a_dict, gives_a_strided_view)), inner.__name__


def test_another_thread_gets_the_same():
    workload = load_workload("small-cnn")
    alone = LayerAlone(workload.network, workload.calibration)
    weight, found = noisy(workload, "fc2.weight", 0), []
    thread = threading.Thread(target=lambda: found.append(alone.run("fc2.weight", weight)))
    thread.start()
    thread.join()
    assert torch.equal(found[0], alone.run("fc2.weight", weight))


def test_nothing_stays_behind():
    """The network runs as before, and the kept outputs go with the last reference."""
    workload = load_workload("small-cnn")
    module = workload.network._replica()._module
    before = [dict(vars(part)) for part in module.modules()]
    alone = LayerAlone(workload.network, workload.calibration)
    alone.run("fc2.weight", noisy(workload, "fc2.weight", 0))
    for part, held in zip(module.modules(), before, strict=True):
        assert vars(part).keys() == held.keys()
        assert all(vars(part)[key] is value for key, value in held.items())
    kept = weakref.ref(next(call.kept for call in alone._records[0]._calls if call.kept is not None))
    gc.disable()
    try:
        del alone
        assert kept() is None
    finally:
        gc.enable()


def test_a_failing_simulation_leaves_the_network_whole():
    workload = make(Around(gives_a_dict, writes_into_the_dict))
    alone = LayerAlone(workload.network, workload.calibration)
    with pytest.raises(Exception, match="shape"):
        alone.run("last.weight", np.zeros((1, 1), np.float32))
    assert_same(workload)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is false: no GPU here")
@pytest.mark.parametrize("build", [in_place, Recurrent, Shared])
def test_on_a_gpu(build):
    assert_same(make(build().cuda()))


@pytest.mark.parametrize("name", ["small-cnn", "transformer"])
def test_decisions_are_those_of_whole_runs(name):
    """Algorithm 1 step 3 by hand, with runs of the whole network."""
    workload = load_workload(name)
    stored = StoredModel(tuple(store_tensor(tensor, weight, depth=1) for tensor, weight in workload.weights.items()))
    errors = BitErrorProfile.uniform(0.08).assign(workload.weights)
    factors = {tensor: correction_factor(region) for tensor, region in errors.items()}
    clean = workload.run(workload.calibration).double()

    def deviation(tensor: str, factor: float) -> float:
        total = 0.0
        for trial in range(2):
            weight = stored.read(4, trial, errors, only=tensor, purpose=PURPOSE).weights[tensor]
            moved = workload.run(workload.calibration, {tensor: weight * weight.dtype.type(factor)}).double() - clean
            total += float(moved.square().sum()) / clean.shape[0]
        return total

    expected = {tensor: deviation(tensor, factor) < deviation(tensor, 1.0) for tensor, factor in factors.items()}
    assert decide(workload, stored, errors, factors, 4, 2) == expected
