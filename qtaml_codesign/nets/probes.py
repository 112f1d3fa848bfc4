"""A differentiable copy of a network, and random probes of its Jacobian: signs on the outputs, steps of the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import Inputs, batches, sample_count
from qtaml_codesign.nets.workload import Workload

Squares = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""(steps done, steps known so far)."""

MOST_PROBES = {"finite-difference": 8, "random-sign": 64}
PROBES_AT_ONCE = 4
PRECISE = 0.03
"""Standard error, as a share of the gain, at which random signs stop; a bit plane is a factor of four."""
LOGITS_AT_ONCE = 4_000_000
"""Logits of one reverse pass with random signs."""


@dataclass(frozen=True)
class Probe:
    """A differentiable copy of the network and what is measured on it."""

    workload: Workload
    module: nn.Module
    dtype: torch.dtype | None
    parameters: dict[str, Tensor]

    @property
    def samples(self) -> int:
        """Calibration inputs."""
        return sample_count(self.workload.calibration)

    def batches(self, size: int) -> list[Inputs]:
        """The calibration inputs in order.

        Args:
            size: samples in each, at most.
        """
        return list(batches(self.workload.calibration, size))

    def logits(self, inputs: Inputs) -> Tensor:
        """Logits that depend on the stored tensors, (N, outputs of a sample).

        Args:
            inputs: N samples.
        """
        return self.workload.network.call(self.module, inputs, dtype=self.dtype).reshape(sample_count(inputs), -1)

    def samples_at_once(self, logits: int) -> int:
        """Samples whose logits are at most this many, one or more; never more than the workload's batch.

        Args:
            logits: how many there may be.
        """
        outputs = self.workload.run(next(batches(self.workload.calibration, 1))).numel()
        return max(1, min(self.workload.batch_size, logits // outputs))

    def squared_gradients(self, outputs: Tensor, keep: bool, weights: Tensor | None = None) -> Squares:
        """(L,) squared Frobenius norm of d (weights . outputs) / d W_l.

        Args:
            outputs: logits.
            keep: whether their graph is needed again.
            weights: of the form of the outputs; a single output needs none.
        """
        gradients = torch.autograd.grad(
            outputs, list(self.parameters.values()), grad_outputs=weights, retain_graph=keep, allow_unused=True)
        return np.array([0.0 if part is None else float(part.double().square().sum()) for part in gradients])

    def per_weight(self, squares: Squares) -> Squares:
        """Divide by n_l and by the number of inputs.

        Args:
            squares: (..., L), summed over the calibration inputs.
        """
        sizes = np.array([parameter.numel() for parameter in self.parameters.values()])
        scaled: Squares = squares / sizes / self.samples
        return scaled


def random_sign(probe: Probe, seed: int, count: int | None, progress: Progress) -> tuple[Squares, int]:
    """Squared gains by random signs: E over v of ||sum_x v_x^T dz_x/dW||^2 is the sum over x of ||dz_x/dW||_F^2.

    Args:
        probe: the network.
        seed: key of the signs.
        count: how many probes; None: rounds of four until every gain is precise.
        progress: called with (steps done, steps known so far).

    Returns:
        (probes, L) squares per weight and input, and the number of reverse passes.

    Raises:
        WorkloadError: gradients do not flow.
    """
    squares, passes = np.zeros((0, len(probe.parameters))), 0
    most = MOST_PROBES["random-sign"] if count is None else count
    parts = probe.batches(probe.samples_at_once(LOGITS_AT_ONCE))
    while len(squares) < most and (count is not None or not _is_precise(squares)):
        indices = range(len(squares), min(most, len(squares) + PROBES_AT_ONCE))
        round_passes = len(parts) * len(indices)
        found = np.zeros((len(indices), len(probe.parameters)))
        for number, part in enumerate(parts):
            logits = attached(probe.logits(part))
            for row, index in enumerate(indices):
                progress(passes + number * len(indices) + row, passes + round_passes)
                signs = random_signs(keyed_generator(seed, "signs", index, number), logits)
                found[row] += probe.squared_gradients(logits, keep=row < len(indices) - 1, weights=signs)
        squares, passes = np.concatenate([squares, found]), passes + round_passes
    return probe.per_weight(squares), passes


def _is_precise(squares: Squares) -> bool:
    if len(squares) < 2:
        return False
    errors = squares.std(axis=0, ddof=1) / np.sqrt(len(squares))
    return bool((errors <= PRECISE * squares.mean(axis=0)).all())


def random_signs(generator: np.random.Generator, logits: Tensor) -> Tensor:
    """Independent signs, each +1 or -1 with one half.

    Args:
        generator: where they come from.
        logits: whose shape, type and device they take.
    """
    drawn = np.frombuffer(generator.bytes(-(-logits.numel() // 8)), dtype=np.uint8)
    bits = torch.from_numpy(np.unpackbits(drawn, count=logits.numel()))
    return bits.to(logits).mul_(2.0).sub_(1.0).reshape(logits.shape)


def finite_difference(
    probe: Probe, seed: int, count: int, step: float, progress: Progress
) -> tuple[Squares, int]:
    """Squared gains by finite differences, ||z(W_l + step xi) - z(W_l)||^2 / step^2.

    Args:
        probe: the network.
        seed: key of the steps xi ~ N(0, I).
        count: how many of them for each layer.
        step: their size.
        progress: called with (steps done, steps).

    Returns:
        (probes, L) squares per weight and input, and the number of forward passes.
    """
    squares, passes = np.zeros((count, len(probe.parameters))), 0
    parts = probe.batches(probe.workload.batch_size)
    with torch.no_grad():
        for number, batch in enumerate(parts):
            clean = probe.logits(batch)
            for layer, (name, weight) in enumerate(probe.parameters.items()):
                progress(number * len(probe.parameters) + layer, len(parts) * len(probe.parameters))
                kept = weight.detach().clone()
                for index in range(count):
                    noise = keyed_generator(seed, name, index).standard_normal(tuple(weight.shape))
                    weight.copy_(kept + step * torch.from_numpy(noise).to(weight))
                    squares[index, layer] += float((probe.logits(batch) - clean).square().sum()) / step**2
                weight.copy_(kept)
            passes += 1 + count * len(probe.parameters)
    return probe.per_weight(squares), passes


def keyed_generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """Random numbers keyed by what they are for.

    Args:
        seed: the caller's key.
        name: what they are for.
        index: which of these.
    """
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype=np.uint32)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words.tolist(), *index])))


def attached(logits: Tensor) -> Tensor:
    """The logits, if they depend on the weights.

    Args:
        logits: of the differentiable copy.

    Raises:
        WorkloadError: gradients do not flow.
    """
    if logits.requires_grad:
        return logits
    raise WorkloadError(
        "the logits cannot be differentiated by the stored tensors", where="model(calibration)",
        rule="gradients flow from the logits to the weights", value="logits without a gradient",
        next_step="remove torch.no_grad() and detach() from forward(), or use sensitivity='finite-difference'",
    )
