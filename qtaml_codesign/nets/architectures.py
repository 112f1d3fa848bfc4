"""The networks of arXiv 2606.00741, sections 5.5, 5.6 and B.2, as plain torch modules.

Convolutions are 3x3 with padding 1, without bias because a batch norm follows; images are (N, 1, 8, 8) in [0, 1],
sequences (N, 16) of tokens 0..9, logits (N, 10).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10
TOKENS = 10
LENGTH = 16


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)


class PlainCNN(nn.Sequential):
    """Convolutions with batch norm and ReLU, one 2x2 max-pool, two fully connected layers.

    Args:
        filters: output channels of each convolution.
        hidden: width of the first fully connected layer.
        pooled_after: which convolution (from 1) the max-pool follows; it turns 8x8 into 4x4.
    """

    def __init__(self, filters: tuple[int, ...], hidden: int, pooled_after: int = 1) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for index, (before, after) in enumerate(zip((1, *filters), filters, strict=False), start=1):
            layers[f"conv{index}"] = _convolution(before, after)
            layers[f"norm{index}"] = nn.BatchNorm2d(after)
            layers[f"relu{index}"] = nn.ReLU()
            if index == pooled_after:
                layers["pool"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(filters[-1] * 16, hidden)
        layers["relu"] = nn.ReLU()
        layers["fc2"] = nn.Linear(hidden, CLASSES)
        super().__init__(layers)


class ResidualBlock(nn.Module):
    """relu(x + F(x)), F = convolution, batch norm, ReLU, convolution, batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W).

        Args:
            x: activations, C = `channels`.
        """
        inner = functional.relu(self.norm1(self.conv1(x)))
        joined: Tensor = functional.relu(x + self.norm2(self.conv2(inner)))
        return joined


class ResCNN(nn.Sequential):
    """A stem, a 2x2 max-pool, two residual blocks and two fully connected layers."""

    def __init__(self, channels: int = 32, hidden: int = 64) -> None:
        super().__init__(OrderedDict(
            stem=_convolution(1, channels), norm=nn.BatchNorm2d(channels), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
            block1=ResidualBlock(channels), block2=ResidualBlock(channels), flatten=nn.Flatten(),
            fc1=nn.Linear(channels * 16, hidden), relu2=nn.ReLU(), fc2=nn.Linear(hidden, CLASSES),
        ))


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward, each added to its input and followed by layer norm (post-norm)."""

    def __init__(self, width: int, feed_forward: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, feed_forward)
        self.ff2 = nn.Linear(feed_forward, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> (N, T, width).

        Args:
            x: activations at T positions.
        """
        x = self.norm1(x + self.out(self._attend(x)))
        joined: Tensor = self.norm2(x + self.ff2(functional.relu(self.ff1(x))))
        return joined

    def _attend(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), dim=-1)
        joined: Tensor = (weights @ value).transpose(-2, -3).flatten(-2)
        return joined


class SequenceTransformer(nn.Module):
    """Token embedding, fixed sinusoidal positions, encoder blocks, mean over positions, linear head."""

    positions: Tensor

    def __init__(self, width: int = 48, feed_forward: int = 96, heads: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.register_buffer("positions", sinusoidal_positions(LENGTH, width))
        self.blocks = nn.ModuleList(EncoderBlock(width, feed_forward, heads) for _ in range(blocks))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 16) tokens -> (N, 10) logits.

        Args:
            tokens: whole numbers 0..9.
        """
        x = self.embedding(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x.mean(dim=-2))
        return logits


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """(length, width) table: sin and cos of position / 10000^(2 i / width), interleaved.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).flatten(-2)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "small-cnn": lambda: PlainCNN(filters=(16, 32), hidden=64),
    "wide-cnn": lambda: PlainCNN(filters=(32, 64), hidden=128),
    "deep-cnn": lambda: PlainCNN(filters=(16, 16, 32, 32), hidden=64, pooled_after=2),
    "res-cnn": ResCNN,
    "transformer": SequenceTransformer,
}
