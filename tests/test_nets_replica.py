"""A replica runs with other weights as the module itself does with these weights written into it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.nets.replica import Replica
from qtaml_codesign.nets.workload import Workload

KEY = 20260607


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


def vectors() -> Tensor:
    return drawn(12, 6)


def tokens() -> Tensor:
    return torch.randint(0, 6, (12, 4), generator=torch.Generator().manual_seed(KEY))


class Net(nn.Module):
    """Some parts, and a function of the net and its input."""

    def __init__(self, run: Callable[..., Tensor], **parts: object) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def tied() -> nn.Module:
    net = Net(lambda n, x: n.head(n.middle(n.table(x).mean(1))), table=nn.Embedding(6, 6), middle=nn.Linear(6, 6),
              head=nn.Linear(6, 6, bias=False))
    net.head.weight = net.table.weight
    return net


def recurrent() -> nn.Module:
    return Net(lambda n, x: n.head(n.again(n.rnn(x.reshape(-1, 3, 2))[0])[0].sum(1)),
               rnn=nn.LSTM(2, 4, 2, batch_first=True), again=nn.GRU(4, 4, bidirectional=True, batch_first=True),
               head=nn.Linear(8, 3))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    return Net(lambda n, x: n.head(n.blocks(n.words(x), src_key_padding_mask=x == 0)[:, 0]), words=nn.Embedding(9, 6),
               blocks=nn.TransformerEncoder(layer, 2), head=nn.Linear(6, 3))


def in_place() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(24, 8), nn.ELU(inplace=True), nn.Linear(8, 3))


def listed() -> nn.Module:
    """The same parameter through its module, a list and a bound method."""
    net = Net(lambda n, x: n.last(n.first(x) + x @ n.held[0].T + n.method(x)), first=nn.Linear(6, 6),
              last=nn.Linear(6, 3))
    net.held, net.method = [net.first.weight], net.first.forward
    return net


NETWORKS = {
    "tied": (tied, tokens), "recurrent": (recurrent, vectors), "encoder": (encoder, lambda: tokens() + 1),
    "padded encoder": (encoder, tokens), "in place": (in_place, vectors), "listed": (listed, vectors),
    "max norm": (lambda: nn.Sequential(nn.Embedding(6, 3, max_norm=1.0), nn.Flatten(), nn.Linear(12, 3)), tokens),
    "weight norm": (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.Linear(6, 3)),
                    vectors),
    "scripted": (lambda: nn.Sequential(nn.Linear(6, 6), torch.jit.script(nn.Linear(6, 3))), vectors),
    "scripted throughout": (lambda: torch.jit.script(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))), vectors),
    "compiled": (lambda: nn.Sequential(nn.Linear(6, 6), torch.compile(nn.Linear(6, 3), backend="eager")), vectors),
    "in parallel": (lambda: nn.DataParallel(in_place()), vectors),
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(KEY)
    build, inputs = NETWORKS[name]
    return build().eval(), inputs()


def written(model: nn.Module, name: str, weight: np.ndarray, inputs: Tensor) -> Tensor:
    """The oracle: a deep copy with the weight written into its parameter in place."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        dict(other.named_parameters())[name].copy_(torch.from_numpy(weight))
        return other(inputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_one_noisy_layer_is_the_network_with_that_weight_written_into_it(name):
    """Every tensor in order, backwards, and once more; in another thread too; in batches of five."""
    model, inputs = made(name)
    pristine = copy.deepcopy(model)
    workload = Workload(model, inputs, (inputs, torch.zeros(12, dtype=torch.long)), batch_size=5)
    alone, names = LayerAlone(workload.network, workload.calibration), list(workload.weights)
    for turn, tensor in enumerate([*names, *reversed(names), *names]):
        weight = workload.weights[tensor] * np.float32(0.5 + turn) + np.float32(0.1)
        with ThreadPoolExecutor(1) as pool:
            elsewhere = pool.submit(alone.run, tensor, weight).result()
        expected = written(pristine, tensor, weight, inputs)
        for logits in (elsewhere, alone.run(tensor, weight)):
            torch.testing.assert_close(logits, expected, rtol=2e-5, atol=2e-5)
        assert not torch.allclose(expected, alone.clean)
    assert torch.equal(alone.clean, workload.run(workload.calibration))


class Stateful(nn.Module):
    """Writes into one buffer, replaces another, and uses one weight in two places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.seen += 1.0
        self.calls = self.calls + 1.0
        y = nn.functional.batch_norm(self.first(x), self.norm.running_mean, self.norm.running_var, training=True)
        return self.second(y) + self.norm(y) + self.seen + self.calls


@pytest.mark.parametrize("weights", [{}, {"first.weight": torch.full((4, 4), 0.3)},
                                     {"first.weight": torch.eye(4), "first.bias": torch.ones(4)}])
def test_a_replica_is_functional_call_with_fresh_buffers_each_time(weights):
    torch.manual_seed(0)
    module, x = Stateful().eval(), torch.randn(5, 4)
    before = copy.deepcopy(module.state_dict())
    with torch.inference_mode():
        state = {name: value.clone() for name, value in module.named_buffers()}
        expected = functional_call(copy.deepcopy(module), {**state, **weights}, (x,))
        replica = Replica(module)
        for _ in range(3):
            with replica.with_weights(weights) as swapped:
                torch.testing.assert_close(swapped(x), expected, rtol=0.0, atol=0.0)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_failing_forward_pass_puts_the_weights_back():
    module = nn.Linear(3, 2)
    replica = Replica(module)
    with pytest.raises(RuntimeError), replica.with_weights({"weight": torch.zeros(2, 3)}) as swapped:
        swapped(torch.zeros(1, 7))
    with replica.with_weights({}) as swapped:
        assert torch.equal(swapped(torch.ones(1, 3)), module(torch.ones(1, 3)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wrap", [torch.jit.script, nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_modules_that_run_elsewhere_take_other_weights(wrap):
    plain, x, other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.ones(1, 3), torch.full((4, 3), 0.3)
    replica, (name, *_) = Replica(wrap(plain)), dict(wrap(plain).named_parameters())
    with torch.inference_mode():
        expected = functional_call(plain, {"0.weight": other}, (x,))
        for weights, logits in (({}, plain(x)), ({name: other}, expected), ({}, plain(x))):
            with replica.with_weights(weights) as module:
                torch.testing.assert_close(module(x), logits)
