"""Networks whose stored weights are all reached by flips, whatever their layers do with them."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from tests.test_nets_exposure import KEY, drawn, make, told


class Masked(nn.Module):
    """Attention with a causal mask, relative positions by an index table, rotations, and positions that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(6, 6), nn.Linear(6, 3)
        self.bias_table = nn.Parameter(drawn(7, 2))
        self.register_buffer("index", torch.arange(4)[:, None] - torch.arange(4)[None, :] + 3)
        self.register_buffer("allowed", torch.ones(4, 4).tril())
        self.register_buffer("distances", -(torch.arange(4.0)[:, None] - torch.arange(4.0)).abs())
        self.register_buffer("positions", drawn(1, 4, 6))
        self.register_buffer("rotation", drawn(4, 6).cos())
        self.window = torch.full((4, 4), -math.inf).triu(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.reshape(-1, 1, 6).expand(-1, 4, 6)) * self.rotation + self.positions
        scores = torch.baddbmm(self.distances.expand(len(x), 4, 4), x, x.mT)
        scores = scores + self.bias_table[self.index].sum(-1) + self.window
        scores = scores.masked_fill(self.allowed == 0, -math.inf)
        mixed = functional.scaled_dot_product_attention(x, x, x, attn_mask=self.window)
        return self.out(((self.allowed @ scores.softmax(-1)) @ x + mixed).mean(1))


class Cached(nn.Module):
    """Keeps its positions as a plain attribute once it has made them, and a buffer that each pass overwrites."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.made = nn.Linear(6, 3), None
        self.register_buffer("last", torch.ones(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.made is None:
            self.made = torch.arange(6.0).expand(2, 6).sin()
        self.last.copy_(x.T @ x)
        return self.layer((x + self.made[:1]) @ self.last)


def old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Linear(6, 3))
    with torch.no_grad():
        layer(drawn(2, 6))
    return layer


def pruned() -> nn.Module:
    layer = prune.random_unstructured(nn.Linear(6, 3), "weight", 0.5)
    with torch.no_grad():
        layer(drawn(2, 6))
    return layer


class FusedEncoder(nn.Module):
    """Its attention mask goes into one operation with all weights of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Linear(6, 3)
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(x[:, None].expand(-1, 3, 6), src_mask=self.mask).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.head = kind(2, 4, 2, batch_first=True, bidirectional=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x.reshape(-1, 3, 2))[0][:, -1])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding((x > 0).long().sum(1) % 5))


REACHABLE = {
    "masks and positions": Masked,
    "cached": Cached,
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(6, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(6, 3)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(6, 6)),
    "old weight norm": old_weight_norm,
    "old spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(6, 3)).eval(),
    "pruned": pruned,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "encoder": lambda: nn.Sequential(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Linear(6, 3)),
    "fused encoder": FusedEncoder,
    "tied": Tied,
    "scripted layer": lambda: nn.Sequential(torch.jit.script(nn.Linear(6, 4)), nn.Linear(4, 3)),
    "batch of a fixed size": lambda: nn.Sequential(nn.Linear(6, 3), nn.Unflatten(0, (12, 1)), nn.Flatten(0, 1)),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("case", REACHABLE)
def test_what_flips_reach_is_not_refused(case):
    torch.manual_seed(KEY)
    workload = make(REACHABLE[case]())
    assert told(workload) == ()
    exposure = workload.exposure
    assert not any("acts as weights" in why or "second" in why for _, _, why in exposure.unexposed)
    assert exposure.parameters == sum(parameter.numel() for parameter in workload.network.module.parameters())
    assert exposure.stored_parameters == sum(weight.size for weight in workload.weights.values())
