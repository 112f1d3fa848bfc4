"""Residual branches found in real graphs, and what must not be taken for one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.residual import residual_floors
from qtaml_codesign.nets.workload import Workload

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(5))
TOKENS = torch.arange(20).reshape(4, 5) % 7


def floored(model: nn.Module, inputs: torch.Tensor = X) -> list[str]:
    workload = Workload(model.eval(), inputs, (inputs, torch.zeros(len(inputs), dtype=torch.long)))
    floors = residual_floors(workload)
    assert list(floors) == list(workload.weights)
    assert set(floors.values()) <= {0, 1}
    return [name for name, floor in floors.items() if floor]


class Net(nn.Module):
    """Layers by name, and a function that joins them."""

    def __init__(self, forward: object, **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._joined = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._joined(self, x)  # type: ignore[operator]


def line() -> nn.Linear:
    return nn.Linear(6, 6)


def head() -> nn.Linear:
    return nn.Linear(6, 3)


def in_place(net, x):
    y = net.stem(x)
    z = net.a(y).relu()
    z += y
    return net.head(z)


JOINS = {
    "stem run twice": (
        lambda n, x: n.head(n.stem(x) + n.b(n.a(n.stem(x)).relu())), ["a.weight", "b.weight", "stem.weight"],
    ),
    "identity shortcut": (lambda n, x: (lambda y: n.head(y + n.b(n.a(y).relu())))(n.stem(x)), ["a.weight", "b.weight"]),
    "subtracted": (lambda n, x: (lambda y: n.head(y - n.a(y)))(n.stem(x)), ["a.weight"]),
    "scaled": (lambda n, x: (lambda y: n.head(y + 0.1 * n.a(y)))(n.stem(x)), ["a.weight"]),
    "in place": (in_place, ["a.weight"]),
    "around the input itself": (lambda n, x: n.head(x + n.a(x)), ["a.weight"]),
    "projection shortcut": (lambda n, x: (lambda y: n.head(n.a(y) + n.b(y)))(n.stem(x)), ["a.weight", "b.weight"]),
    "nested": (lambda n, x: (lambda y: n.head(y + n.b(y + n.a(y))))(n.stem(x)), ["a.weight", "b.weight"]),
    "plain": (lambda n, x: n.head(n.b(n.a(n.stem(x)).relu())), []),
    "gate": (lambda n, x: (lambda y: n.head(y * n.a(y).sigmoid()))(n.stem(x)), []),
    "doubled": (lambda n, x: (lambda y: n.head(y + y))(n.stem(x)), []),
    "halves of one layer": (lambda n, x: (lambda y: n.head((y[0] + y[1]).repeat(1, 2)))(n.stem(x).chunk(2, 1)), []),
    "parameter added": (lambda n, x: n.head(n.a(x) + n.p), []),
    "matrix product with bias": (lambda n, x: n.head(x @ n.a.weight + n.a.bias), []),
    "constant added": (lambda n, x: n.head(n.a(x) + torch.ones(6)), []),
    "mean removed": (lambda n, x: (lambda y: n.head(y - y.mean(1, keepdim=True)))(n.stem(x)), []),
}


@pytest.mark.parametrize("case", JOINS)
def test_joins(case):
    forward, expected = JOINS[case]
    torch.manual_seed(5)
    net = Net(forward, stem=line(), a=line(), b=line(), p=nn.Parameter(torch.ones(1, 6)), head=head())
    assert sorted(floored(net)) == sorted(expected)


def test_zoo():
    res = [name for name, floor in residual_floors(load_workload("res-cnn")).items() if floor]
    assert res == [f"block{block}.conv{conv}.weight" for block in (1, 2) for conv in (1, 2)]
    for name in ("small-cnn", "wide-cnn", "deep-cnn", "transformer"):
        assert not any(residual_floors(load_workload(name)).values())


def test_zoo_transformer_has_branches_that_the_paper_leaves_alone():
    workload = load_workload("transformer")
    graph = Workload(workload.network.module, workload.calibration, (workload.calibration, torch.zeros(64, dtype=int)))
    floors = residual_floors(graph)
    assert [name for name, floor in floors.items() if not floor] == ["embedding.weight", "head.weight"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_torch_encoder_layer(norm_first):
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, norm_first=norm_first)
    net = Net(lambda n, x: n.head(n.encoder(n.stem(x)[:, None])[:, 0]), stem=line(), encoder=layer, head=head())
    assert floored(net) == [
        f"encoder.{name}.weight".replace("in_proj.weight", "in_proj_weight")
        for name in ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")
    ]


def bottleneck(net, x):
    y = net.stem(x).relu()
    inner = net.norm(net.expand(net.middle(net.squeeze(y).relu()).relu()))
    return net.head((net.shortcut(y) + inner).relu().mean((2, 3)))


def test_bottleneck_with_projection():
    net = Net(
        bottleneck, stem=nn.Conv2d(3, 4, 3), squeeze=nn.Conv2d(4, 2, 1), middle=nn.Conv2d(2, 2, 3, padding=1),
        expand=nn.Conv2d(2, 8, 1), norm=nn.BatchNorm2d(8), shortcut=nn.Conv2d(4, 8, 1), head=nn.Linear(8, 3),
    )
    assert floored(net, IMAGES) == ["squeeze.weight", "middle.weight", "expand.weight", "shortcut.weight"]


def test_dense_connections_are_none():
    def dense(net, x):
        y = net.stem(x)
        y = torch.cat([y, net.a(y).relu()], 1)
        y = torch.cat([y, net.b(y).relu()], 1)
        return net.head(y.mean((2, 3)))

    convolutions = {"stem": nn.Conv2d(3, 4, 3), "a": nn.Conv2d(4, 4, 3, padding=1), "b": nn.Conv2d(8, 4, 1)}
    net = Net(dense, **convolutions, head=nn.Linear(12, 3))
    assert floored(net, IMAGES) == []


def positions(kind: str):
    def forward(net, tokens):
        where = {"table": net.places.weight[: tokens.shape[1]], "lookup": net.places(torch.arange(tokens.shape[1])),
                 "constant": torch.ones(1, 6)}[kind]
        y = net.embedding(tokens) + where
        return net.head((y + net.a(y)).mean(1) @ net.embedding.weight.T)

    return forward


@pytest.mark.parametrize("kind", ["table", "lookup", "constant"])
def test_positions_and_tied_embeddings_are_no_branches(kind):
    net = Net(
        positions(kind), embedding=nn.Embedding(7, 6), places=nn.Embedding(9, 6), a=line(), head=nn.Linear(7, 3)
    )
    assert floored(net, TOKENS) == ["a.weight"]


def test_one_hot_tokens_leave_no_input_in_the_graph():
    def forward(net, tokens):
        y = nn.functional.one_hot(tokens, 7).float().mean(1) @ net.table
        return net.head(y + net.a(y))

    net = Net(forward, table=nn.Parameter(torch.randn(7, 6)), a=line(), head=head())
    assert floored(net, TOKENS) == ["a.weight"]


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_gates_of_recurrent_modules_are_no_branches_but_a_path_around_one_is(kind):
    def plain(net, x):
        return net.head(net.rnn(net.stem(x).reshape(-1, 2, 3))[0].flatten(1))

    def around(net, x):
        y = net.stem(x)
        return net.head(y + net.rnn(y.reshape(-1, 2, 3))[0].flatten(1))

    def before(net, x):
        y = net.stem(x)
        return net.head(net.rnn((y + net.a(y)).reshape(-1, 2, 3))[0].flatten(1))

    def net(forward):
        return Net(forward, stem=line(), a=line(), rnn=kind(3, 3, batch_first=True), head=head())

    assert floored(net(plain)) == []
    assert floored(net(before)) == ["a.weight"]
    assert floored(net(around)) == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]


def test_given_floors_win():
    net = Net(lambda n, x: n.head(x + n.a(x)), a=line(), head=head())
    labels = torch.zeros(4, dtype=torch.long)
    given = Workload(net, X, (X, labels), residual_floors={"head.weight": 2})
    assert residual_floors(given) == {"a.weight": 0, "head.weight": 2}


def test_nothing_of_the_workload_changes():
    for sample in (X, X[:1]):
        workload = Workload(line(), sample, (X, torch.zeros(4, dtype=torch.long)))
        with torch.no_grad():
            residual_floors(workload)
        assert not workload.calibration.requires_grad
        assert not workload.network.module.weight._backward_hooks


def test_a_hidden_graph_has_no_branches():
    class Cut(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().forward(x) + 0.0

    assert floored(Cut(6, 3)) == []
