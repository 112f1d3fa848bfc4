"""Gain of every single weight: how much the logits of a network move per unit of noise on it.

    g(w) = E_x sum_c (d z_c / d w)^2

with z the logits of one input x and the mean over the calibration inputs, without labels. The mean of g over a tensor
is its Jacobian gain J_l^2 (`sensitivity`); sum_w g(w) E[(read - w)^2] is the output error to second order when the
noises of the weights are independent, which weighs clipping, protection and the number of cells row by row.

Random signs v, one drawing per input and probe: E_v (v^T dz/dw)^2 = sum_c (dz_c/dw)^2, with a variance of at most twice
its square. So K probes of N inputs leave g(w) with a relative standard error of sqrt(2 / (K N)) where all inputs weigh
alike, and of sqrt(2 / K) at the very most; sums over rows come out closer.

Source: arXiv 2606.00741, Lemma 4.3, weight by weight; for the signs Hutchinson, "A stochastic estimator of the trace of
the influence matrix for Laplacian smoothing splines" (1989).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from qtaml_codesign.checks import one_of, whole_number
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import Inputs, batches, map_leaves, sample_count
from qtaml_codesign.nets.network import GivenWeights
from qtaml_codesign.nets.probes import Probe, Progress, attached, keyed_generator, random_signs
from qtaml_codesign.nets.sensitivity import MOST_LOGITS_FOR_REVERSE
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

WeightGains = dict[str, NDArray[np.float32]]
METHODS = ("auto", "reverse", "random-sign")
PROBES = 8
"""Drawings of signs per input: 6 % per weight with 64 inputs that weigh alike."""
GRADIENTS_AT_ONCE = 4_000_000
"""Gradients of weights held at once, if one sample and logit allow it."""


def weight_gains(
    workload: Workload,
    *,
    weights: GivenWeights | None = None,
    method: str = "auto",
    seed: int = 0,
    probes: int | None = None,
    progress: Progress | None = None,
) -> WeightGains:
    """Gain g(w) of every stored weight over all calibration inputs.

    Args:
        workload: network and calibration inputs.
        weights: stored tensor or buffer -> array or tensor of its shape, where the gradients are taken, for instance
            one reading of a noisy memory; the others keep their own values.
        method: `reverse`, exact: one reverse pass per input and logit. `random-sign`: one per input and probe,
            unbiased. `auto`: reverse up to 128 logits per input, else random signs.
        seed: key of the signs.
        probes: drawings of signs per input; 8 when left out.
        progress: called with (samples done, samples).

    Returns:
        Tensor name -> gains in its shape: squared logit change per squared weight change.

    Raises:
        InputError: an unknown method, or a number out of bounds.
        WorkloadError: weights of another name or shape, or logits that cannot be differentiated.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> gains = weight_gains(load_workload("small-cnn"))
        >>> {name: part.shape for name, part in gains.items()}["conv2.weight"]
        (32, 16, 3, 3)
        >>> bool(gains["conv1.weight"].mean() > gains["fc1.weight"].mean())
        True
    """
    one_of("way to measure weight gains", "method", method, METHODS)
    whole_number("seed", seed, least=0)
    drawings = whole_number("probes", PROBES if probes is None else probes, least=1)
    with single_threaded(), torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)  # operations that vmap loops over
        probe = _probe(workload, weights or {})
        logits = attached(probe.logits(next(batches(workload.calibration, 1)))).detach()[0]
        if method == "reverse" or (method == "auto" and _few(logits)):
            directions, each = Directions(logits, logits.numel(), None), 1
        else:
            directions, each = Directions(logits, drawings, seed), drawings
        squares = _squares(probe, directions, progress or (lambda done, total: None))
    return {name: (total / probe.samples / each).float().cpu().numpy() for name, total in squares.items()}


def gains_method(workload: Workload) -> str:
    """How `weight_gains` measures those of a network when it is left the choice: `reverse` or `random-sign`.

    Args:
        workload: network and calibration inputs.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> gains_method(load_workload("small-cnn"))
        'reverse'
    """
    return "reverse" if _few(workload.run(next(batches(workload.calibration, 1)))[0]) else "random-sign"


def _few(logits: Tensor) -> bool:
    """Whether the logits of one input are so few that each gets a reverse pass."""
    return logits.numel() <= MOST_LOGITS_FOR_REVERSE


def row_gains(gains: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float64]]:
    """Gains summed over each row: the output error of noise of one variance on all weights of it.

    Args:
        gains: tensor name -> gains (rows, ...), from `weight_gains`; of a tensor with one axis each element is a row.

    Returns:
        Tensor name -> (rows,).

    Example:
        >>> row_gains({"w": np.array([[1.0, 2.0], [3.0, 4.0]])})["w"].tolist()
        [3.0, 7.0]
    """
    return {name: part.reshape(len(np.atleast_1d(part)), -1).sum(axis=1, dtype=np.float64)
            for name, part in gains.items()}


@dataclass(frozen=True)
class Directions:
    """What the logits of a sample are multiplied with before they are differentiated.

    Attributes:
        logits: (C,) of one sample, for their type and device.
        count: directions of a sample.
        seed: key of random signs; None for one logit after the other.
    """

    logits: Tensor
    count: int
    seed: int | None

    def row(self, sample: int, number: int) -> Tensor:
        """(C,) one direction.

        Args:
            sample: of which calibration input.
            number: which of its directions.
        """
        if self.seed is not None:
            return random_signs(keyed_generator(self.seed, "weight gains", sample, number), self.logits)
        chosen = torch.zeros_like(self.logits)
        chosen[number] = 1.0
        return chosen

    def rows(self, sample: int) -> Tensor:
        """(count, C) all directions of a calibration input.

        Args:
            sample: which.
        """
        return torch.stack([self.row(sample, number) for number in range(self.count)])


def _probe(workload: Workload, weights: GivenWeights) -> Probe:
    """A differentiable copy of the network that has these weights and buffers."""
    module = workload.network.differentiable()
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    for name, value in workload.network.replacements(weights).items():
        if name in parameters:
            parameters[name].data = value.clone()
        else:
            buffers[name].copy_(value)
    return Probe(workload, module, None, {name: parameters[name] for name in workload.weights})


def _squares(probe: Probe, directions: Directions, progress: Progress) -> dict[str, Tensor]:
    """Squared gradients by name, float64, summed over samples and directions: many at a time, or one by one."""
    floats = directions.count * sum(parameter.numel() for parameter in probe.parameters.values())
    if floats <= GRADIENTS_AT_ONCE:
        with suppress(RuntimeError, WorkloadError):
            return _together(probe, directions, GRADIENTS_AT_ONCE // floats, progress)
    return _one_by_one(probe, directions, progress)


def _together(probe: Probe, directions: Directions, samples: int, progress: Progress) -> dict[str, Tensor]:
    """All directions of `samples` inputs in one, by vmap over the vector-Jacobian product."""
    weights = {name: weight.detach() for name, weight in probe.parameters.items()}

    def squares(sample: Inputs, rows: Tensor) -> dict[str, Tensor]:
        one = map_leaves(sample, lambda part: part[None])
        response = vjp(lambda given: probe.workload.network.call(probe.module, one, given).flatten(), weights)
        by_row = vmap(response[1])(rows)[0]
        return {name: _squared(part).sum(dim=0) for name, part in by_row.items()}

    totals, done = _zeros(probe), 0
    for batch in probe.batches(samples):
        progress(done, probe.samples)
        rows = torch.stack([directions.rows(done + index) for index in range(sample_count(batch))])
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernel of the CPU cannot be batched
            for name, part in vmap(squares)(batch, rows).items():
                totals[name] += part.sum(dim=0, dtype=torch.float64)
        done += sample_count(batch)
    return totals


def _one_by_one(probe: Probe, directions: Directions, progress: Progress) -> dict[str, Tensor]:
    """The same with one reverse pass per sample and direction."""
    totals = _zeros(probe)
    for done, sample in enumerate(probe.batches(1)):
        progress(done, probe.samples)
        logits = probe.logits(sample)[0]
        for number in range(directions.count):
            gradients = torch.autograd.grad(
                logits, list(probe.parameters.values()), grad_outputs=directions.row(done, number),
                retain_graph=number < directions.count - 1, allow_unused=True)
            for name, part in zip(totals, gradients, strict=True):
                totals[name] += 0.0 if part is None else _squared(part)
    return totals


def _squared(gradients: Tensor) -> Tensor:
    """Squares, in single precision at least."""
    return gradients.to(torch.promote_types(gradients.dtype, torch.float32)).square()


def _zeros(probe: Probe) -> dict[str, Tensor]:
    return {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in probe.parameters.items()}
