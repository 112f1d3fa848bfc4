"""Networks that do all kinds of things between, around and inside their layers, for tests/test_nets_prefix.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from qtaml_codesign.nets.workload import Workload

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

AROUND = [
    (relu_on_the_input, uses_the_input_again), (relu_in_inference_mode_alone, uses_the_input_again),
    (fills_a_list, reads_the_list), (counts_in_a_buffer, calls_twice),
    (stashes, reads_the_stash), (appends_to_itself, reads_the_last), (gives_a_dict, writes_into_the_dict),
    (gives_the_same_tensor_twice, writes_to_one_of_them), (gives_a_strided_view, flattens_it),
    (gives_an_object, opens_it), (fills_an_object, reads_the_object),
]


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
