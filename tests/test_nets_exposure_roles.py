"""Which constants are weights, and which are scales, masks, indices and codes of positions."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.workload import Workload

KEY = 20261121
TOKENS = torch.randint(0, 9, (12, 5), generator=torch.Generator().manual_seed(KEY))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


def bits(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(KEY))


class Held(nn.Module):
    """Two linear layers over six numbers, and buffers that `run(net, x)` uses beside them."""

    def __init__(self, run: object, **buffers: Tensor) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.run = run
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


class Tokens(nn.Module):
    """Embeddings of tokens, and what `add(net, tokens)` gives them for their positions."""

    def __init__(self, add: object, rows: int = 8) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.embed, self.last = nn.Embedding(9, 6), nn.Linear(6, 3)
        self.add = add
        self.register_buffer("table", drawn(rows, 6))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last((self.embed(tokens) * self.add(self, tokens)).mean(1))


def make(model: nn.Module) -> Workload:
    inputs = TOKENS if any(isinstance(part, nn.Embedding) for part in model.modules()) else drawn(12, 6)
    with torch.no_grad():
        labels = model.eval()(inputs).argmax(-1)
    return Workload(model, inputs, (inputs, labels))


def fairseq(net: nn.Module, tokens: Tensor) -> Tensor:
    mask = tokens.ne(1).int()
    return net.table.index_select(0, ((torch.cumsum(mask, 1).type_as(mask) * mask).long() + 1).view(-1)).view(12, -1, 6)


def masked_fill(net: nn.Module, tokens: Tensor) -> Tensor:
    positions = (tokens != 1).long().cumsum(-1) - 1
    return net.table[positions.masked_fill_(tokens == 1, 1)]


def spectral_norm_of_a_column() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.Linear(6, 1), nn.utils.spectral_norm(nn.Linear(1, 6)), nn.Linear(6, 3)).eval()


def adjacency(net: nn.Module, x: Tensor) -> Tensor:
    dense = torch.zeros(6, 6).index_put((net.edges[0], net.edges[1]), torch.ones(6))
    return net.last((dense + torch.eye(6)) @ net.first(x)[..., None] @ torch.ones(1, 6)).mean(1)


ACCEPTED = {
    "positions of zeros_like": lambda: Tokens(lambda net, t: net.table[torch.zeros_like(t) + torch.arange(t.shape[1])]),
    "positions of ones_like": lambda: Tokens(lambda net, t: net.table[torch.ones_like(t).cumsum(-1) - 1]),
    "positions of new_full": lambda: Tokens(lambda net, t: net.table[t.new_full(t.shape, 2)]),
    "positions behind padding": lambda: Tokens(lambda net, t: fairseq(net, t).reshape(len(t), -1, 6)
                                               if len(t) == 12 else net.table[:5]),
    "positions with padding filled": lambda: Tokens(masked_fill),
    "scale of rows": lambda: Held(lambda net, x: net.last(functional.linear(
        x, (net.first.weight / net.scale).round() * net.scale)), scale=drawn(6, 1).abs() + 0.1),
    "scale of filters": lambda: Held(lambda net, x: net.last(functional.conv2d(
        x[:, None, None], net.first.weight[:, None, None] * net.scale)[..., 0, 0]), scale=drawn(6, 1, 1, 1)),
    "spectral norm of a column": spectral_norm_of_a_column,
    "mask on weights": lambda: Held(lambda net, x: net.last(functional.linear(x, net.first.weight * net.mask)),
                                    mask=bits(6, 6).float()),
    "relative positions": lambda: Held(
        lambda net, x: net.last(torch.einsum("bi,ijd->bd", x, net.first.weight[net.index])),
        index=(torch.arange(6)[:, None] - torch.arange(6)).clamp(-2, 2) + 2),
    "sum over the past": lambda: Held(lambda net, x: net.last(net.first(x) @ net.past), past=torch.ones(6, 6).triu()),
    "chosen columns": lambda: Held(lambda net, x: net.last(net.first(x) @ net.chosen),
                                   chosen=torch.eye(6)[[3, 1, 0, 2, 5, 4]]),
    "edges": lambda: Held(adjacency, edges=torch.stack([torch.arange(6), (torch.arange(6) * 5 + 1) % 6])),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_scales_masks_indices_and_positions_are_no_weights(case):
    workload = make(ACCEPTED[case]())
    assert not any("acts as weights" in why for _, _, why in workload.exposure.unexposed)


def product(weight: object, **buffers: Tensor) -> object:
    return lambda: Held(lambda net, x: net.last(torch.tanh(net.first(x) + x @ weight(net))), **buffers)


REFUSED = {
    "int64 weights": product(lambda net: net.kept.float() * 0.01, kept=torch.arange(36).reshape(6, 6) * 7 % 31 - 15),
    "int64 signs": product(lambda net: (2 * net.kept - 1).float(), kept=bits(6, 6)),
    "int64 signs and a scale of rows": product(lambda net: (2 * net.kept - 1) * net.scale, kept=bits(6, 6),
                                               scale=drawn(6, 1)),
    "zeros and ones": product(lambda net: net.kept, kept=bits(6, 6).float()),
    "codes of a codebook": product(lambda net: net.book[net.kept], kept=torch.arange(36).reshape(6, 6) * 7 % 31 % 4,
                                   book=drawn(4)),
    "prototypes": lambda: Held(lambda net, x: net.last(torch.cdist(net.first(x), net.kept)[:, :6]), kept=drawn(30, 6)),
    "a few prototypes": lambda: Held(lambda net, x: net.last(torch.cdist(net.first(x), net.kept)), kept=drawn(6, 6)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_of_any_type_are_found(case):
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        make(REFUSED[case]())
    assert "kept: " in caught.value.value


@pytest.mark.parametrize("index", [
    lambda t: t % 5, lambda t: (t > 3).long(), lambda t: (t.cumsum(-1) + t) % 5, lambda t: torch.zeros_like(t).copy_(t),
    lambda t: (t > 3).long().cumsum(-1).add_(t) % 5, lambda t: torch.zeros_like(t).scatter(1, t % 5, 1),
], ids=["tokens", "comparison", "counted and added", "copied", "added in place", "scattered"])
def test_a_table_that_the_contents_of_the_inputs_choose_from_is_found(index):
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        make(Tokens(lambda net, t: net.table[index(t)], rows=60))
    assert "table: " in caught.value.value


def test_sparse_tensors_are_listed_and_told_as_not_looked_at():
    sparse = (drawn(6, 6) * bits(6, 6)).to_sparse()
    model = Held(lambda net, x: net.last(torch.tanh(net.first(x) + torch.sparse.mm(net.kept, x.T).T)), kept=sparse)
    model.rows = [sparse.t()]
    workload = make(model)
    count = int(bits(6, 6).sum())
    assert ("kept", count, "sparse_coo tensor, not looked at") in workload.exposure.unexposed
    assert ("rows[0]", count, "sparse_coo tensor, not looked at") in workload.exposure.unexposed
    assert [name for name, _, _ in workload.exposure.unexposed].count("kept") == 1
    assert any("not dense" in note and note.endswith("kept, rows[0]") for note in workload.warnings)
    other = Held(model.run, kept=2.0 * sparse)
    other.rows = model.rows
    assert make(other).digest != workload.digest == make(model).digest
