"""Fine-tuning with noise on the stored weights: flips of the exact law, or Gaussian noise of the same variance."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lab.networks import BATCH, examples
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.stored import StoredGroup

Noise = Literal["flips", "gaussian", "none"]
ReadWeights = Callable[[str, NDArray[np.float32], int], NDArray[np.float32]]


def fine_tune(
    network: nn.Module, name: str, noise: Noise, flip_probability: float, seed: int, epochs: int
) -> nn.Module:
    """A copy of a trained network, trained further with its weights read through noise at every step.

    Every step quantises the present weights to 8 bits (scale ||W||_inf), disturbs what is read, and passes the gradient
    straight through to the float weights. Adam 1e-3 with cosine decay; batch norms follow the noisy activations.

    Args:
        network: a trained network of the zoo.
        name: its name, which decides the training examples.
        noise: `flips` of the exact law; `gaussian`, mean zero and the variance of that law; `none`, quantised only.
        flip_probability: of every stored bit.
        seed: key of the flips and of the order of the examples.
        epochs: passes over the training examples.
    """
    model, read = copy.deepcopy(network).train(), _reader(noise, flip_probability, seed)
    training, shuffle = examples(name)[0], torch.Generator().manual_seed(1000 + seed)
    stored = [key for key, value in model.named_parameters() if value.ndim > 1]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
    step = 0
    for _ in range(epochs):
        for batch in torch.randperm(len(training.labels), generator=shuffle).split(BATCH):
            optimiser.zero_grad()
            weights = {key: _straight_through(key, model.get_parameter(key), read, step) for key in stored}
            logits = functional_call(model, weights, training.inputs[batch])
            functional.cross_entropy(logits, training.labels[batch]).backward()
            optimiser.step()
            step += 1
        schedule.step()
    return model.eval()


def _straight_through(name: str, weight: Tensor, read: ReadWeights, step: int) -> Tensor:
    """The value that is read, with the gradient of the float weight."""
    return weight + (torch.from_numpy(read(name, weight.detach().numpy(), step)) - weight).detach()


def _reader(noise: Noise, flip_probability: float, seed: int) -> ReadWeights:
    law = BitErrorProfile.uniform(flip_probability).regions[0]
    sigma = float(np.sqrt(ReadLaw(law).variance()[0]))  # of a stored value in [-1, 1), the same for every code

    def store(name: str, weights: NDArray[np.float32]) -> StoredGroup[PlaneProtected]:
        codec = PlaneProtected.fitted(weights)
        return StoredGroup(name, codec.encode(weights), codec, law)

    def flips(name: str, weights: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        reading = DeployedModel((store(name, weights),)).prepare(seed, purpose="fine-tuning").read(step)
        return reading.weights[name].numpy()

    def gaussian(name: str, weights: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        words = flip_key(seed, name, "fine-tuning, gaussian").words
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([*words, step])))
        noise, group = generator.standard_normal(weights.shape, dtype=np.float32), store(name, weights)
        return group.weights() + np.float32(sigma * group.codec.scale) * noise

    def quantised(name: str, weights: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        return store(name, weights).weights()

    return {"flips": flips, "gaussian": gaussian, "none": quantised}[noise]
