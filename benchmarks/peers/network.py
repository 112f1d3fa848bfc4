"""The network that every injector works on, and the glue that those without their own network handling share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.nets.loading import load_workload

Flat = NDArray[np.uint8]


@dataclass(frozen=True)
class Injector:
    """One way to run a trial.

    Args:
        trial: draw flips for all weights, read them back, evaluate all samples. This is timed.
        flipped: bits that the last trial flipped. This is not timed.
        law: what it draws, a few words.
    """

    trial: Callable[[int], object]
    flipped: Callable[[], int]
    law: str


class Network:
    """small-cnn, its weights stored as 8-bit codes, and a private module that weights can be loaded into."""

    def __init__(self) -> None:
        self.workload = load_workload("small-cnn")
        self.stored = self.deployed(0.0)
        self.module: nn.Module = copy.deepcopy(self.workload.network.module).requires_grad_(False)
        self.images = self.workload.evaluation_inputs
        self.labels = self.workload.labels
        self.codes: Flat = np.concatenate([group.words.ravel() for group in self.stored.groups])
        self.bits = self.stored.bits_stored
        self._parameters = dict(self.module.named_parameters())

    def deployed(self, rate: float) -> DeployedModel:
        """The network in a memory with one rate for all planes of all tensors."""
        weights = self.workload.weights
        codecs = {name: PlaneProtected.fitted(weight) for name, weight in weights.items()}
        return deploy(weights, codecs, BitErrorProfile.uniform(rate).assign(weights))

    def forward(self, module: Callable[[object], torch.Tensor] | None = None) -> torch.Tensor:
        """Logits of all evaluation images: the bare forward pass."""
        with torch.inference_mode():
            return (module or self.module)(self.images)

    def correct(self, module: Callable[[object], torch.Tensor] | None = None) -> int:
        """Right answers over the evaluation images."""
        return int((self.forward(module).argmax(1) == self.labels).sum())

    def load(self, read: Flat) -> None:
        """Put the weights that the read codes stand for into the private module."""
        start = 0
        for group in self.stored.groups:
            codes = read[start : start + group.words.size]
            weights = torch.from_numpy(group.codec.values[codes]).view(group.words.shape)
            self._parameters[group.name].copy_(weights)
            start += codes.size


class Masks:
    """Injectors that draw a mask of flips over all codes: the rest of the trial is the same for all of them."""

    def __init__(self, network: Network, draw: Callable[[], Flat]) -> None:
        self.network, self.draw = network, draw
        self.mask: Flat = np.zeros_like(network.codes)

    def trial(self, _: int) -> int:
        """Draw, read back, evaluate."""
        self.mask = self.draw()
        self.network.load(self.network.codes ^ self.mask)
        return self.network.correct()

    def flipped(self) -> int:
        """Bits set in the last mask."""
        return int(np.bitwise_count(self.mask).sum())
