"""Statistics of normalisation layers re-estimated under noise, on the unlabelled calibration inputs.

Noise on the weights moves and widens what enters a normalisation layer, while its running mean and variance are still
those of the clean network. One forward pass for each reading of the noisy weights measures them anew: every layer
normalises with the statistics of the batch that has just reached it, as in training, so that what lies deeper sees
inputs of the right size. Over readings, means are averaged, and the variance is that of inputs and flips together: the
mean of the variances plus the variance of the means. That spread belongs to it because one set of statistics serves
every reading: a channel whose mean the flips move far is one that the network should listen to less.

Source: Li et al., "Revisiting batch normalization for practical domain adaptation" (2016), arXiv 1603.04779, with
noise as the domain; Joshi et al., "Accurate deep neural network inference using computational phase-change memory"
(2020), arXiv 1906.03138, for drifting weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.nets.inputs import batches, sample_count
from qtaml_codesign.nets.network import GivenWeights
from qtaml_codesign.nets.replica import Replica
from qtaml_codesign.nets.selection import NORMS_WITH_STATISTICS
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

OF_AN_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
"""Norms that cannot average over several calls."""


def reestimated_statistics(workload: Workload, readings: Iterable[GivenWeights]) -> dict[str, tuple[float, ...]]:
    """Running means and variances of the network's normalisation layers under noisy weights.

    Args:
        workload: network and calibration inputs.
        readings: stored tensor -> noisy weights, for each reading of the memory; 64 of them leave little of their own
            noise behind, 4 may do more harm than good.

    Returns:
        Buffer, as in `named_buffers` -> (C,) values; empty for a network without such layers, or without readings. A
        layer that no input reaches keeps its own.

    Raises:
        WorkloadError: weights of another name or shape, or the module fails, as where a layer gets one value for
            each channel.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> workload = load_workload("small-cnn")
        >>> found = reestimated_statistics(workload, [{"conv1.weight": 2.0 * workload.weights["conv1.weight"]}])
        >>> clean = reestimated_statistics(workload, [{}])
        >>> list(found), round(found["norm1.running_mean"][0] / clean["norm1.running_mean"][0], 4)
        (['norm1.running_mean', 'norm1.running_var', 'norm2.running_mean', 'norm2.running_var'], 2.0)
    """
    network, replica = workload.network, Replica(workload.network.module)
    counts, size = list[int](), _batch_size(sample_count(workload.calibration), workload.batch_size)
    with single_threaded(), torch.inference_mode():
        with replica.with_weights({}) as module:
            layers = _watched(module)
        for reading in readings if layers else ():
            replaced = network.replacements(reading)
            for batch in batches(workload.calibration, size):
                with replica.with_weights(replaced) as module:
                    for layer in layers:
                        layer.part.get_buffer("num_batches_tracked").zero_()
                    network.call(module, batch)
                for layer in layers:
                    layer.note()
                counts.append(sample_count(batch))
    shares = torch.tensor(counts, dtype=torch.float64) / max(sum(counts), 1)
    return {name: values for layer in layers if counts for name, values in layer.statistics(shares).items()}


def _batch_size(samples: int, most: int) -> int:
    """About `most`, but such that no sample is left alone, which has no variance."""
    return next((size for size in range(max(most, 2), samples) if samples % size != 1), max(samples, most))


@dataclass(frozen=True)
class _Watched:
    """A layer that normalises with the statistics of its batch and leaves them in its buffers."""

    name: str
    part: Any
    moments: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def note(self) -> None:
        """Keep what the last batch left."""
        mean, variance = (self.part.get_buffer(key).double().cpu() for key in ("running_mean", "running_var"))
        self.moments.append((mean, variance + mean.square()))

    def statistics(self, shares: Tensor) -> dict[str, tuple[float, ...]]:
        """Buffer -> values over all batches, each with its share."""
        mean, square = (shares @ torch.stack(parts) for parts in zip(*self.moments, strict=True))
        found = {"running_mean": mean, "running_var": (square - mean.square()).clamp_min(0.0)}
        return {f"{self.name}.{key}".removeprefix("."): tuple(value.tolist()) for key, value in found.items()}


def _watched(module: nn.Module) -> list[_Watched]:
    """The layers with running statistics, put into training mode; statistics are averaged over calls where possible."""
    layers = [_Watched(name, part) for name, part in module.named_modules()
              if isinstance(part, NORMS_WITH_STATISTICS) and part.running_mean is not None]
    for layer in layers:
        layer.part.train()
        layer.part.momentum = 1.0 if isinstance(layer.part, OF_AN_INSTANCE) else None
    return layers
