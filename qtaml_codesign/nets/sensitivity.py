"""Jacobian gains: how much the logits of a network move per unit of noise on each stored tensor.

    J_l^2 = (1 / n_l) E_x || dz / dW_l ||_F^2

with z the logits of one input x, W_l the tensor with n_l weights, and the mean over the calibration inputs. Gradients
are taken at the clean float weights, in eval mode, without labels.

Source: arXiv 2606.00741, Lemma 4.3 and Algorithm 1 step 1.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor
from torch.func import vjp, vmap

from qtaml_codesign.checks import is_one_of, number_within, whole_number
from qtaml_codesign.errors import InputError, WorkloadError, did_you_mean
from qtaml_codesign.nets.inputs import Inputs, batches, map_leaves
from qtaml_codesign.nets.probes import MOST_PROBES, Probe, Progress, Squares, attached, finite_difference, random_sign
from qtaml_codesign.nets.taps import Layer, squared_jacobians, tappable
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

Method = Literal["reverse", "finite-difference", "random-sign"]
METHODS: tuple[str, ...] = (*get_args(Method), "auto")
MOST_LOGITS_FOR_REVERSE = 128
TAPPED_FLOATS = 3_000_000
"""Layer inputs and output gradients held at once."""
GRADIENT_FLOATS = 3_000_000
"""Gradients of weights held at once: about what the caches of a core hold."""
GRADIENT_FLOATS_OF_A_SAMPLE = 1_000_000
"""Above this a sample alone is so large that passes one by one are faster."""


@dataclass(frozen=True)
class JacobianGains:
    """Gains of every stored tensor, and how they were measured.

    Attributes:
        gains: tensor name -> J_l^2 over the calibration inputs (squared logit change per squared weight change).
        standard_errors: tensor name -> standard error of that figure over the random probes; 0 for `reverse`.
        method: `reverse`, `finite-difference` or `random-sign`.
        passes: vector-Jacobian products (`reverse`: one per input and logit, however many are taken at once; random
            signs: one per probe and batch), or forward passes for finite differences, each over one batch.
        seconds: wall time.
    """

    gains: dict[str, float]
    standard_errors: dict[str, float]
    method: str
    passes: int
    seconds: float


def jacobian_gains(
    workload: Workload,
    method: str = "auto",
    *,
    seed: int = 0,
    probes: int | None = None,
    step: float = 1e-3,
    double: bool = False,
    progress: Progress | None = None,
) -> JacobianGains:
    """Measure J_l^2 of every stored tensor on the calibration inputs.

    Args:
        workload: network and calibration inputs.
        method: `reverse`, exact: one reverse pass per input and logit gives every layer at once.
            `finite-difference`, the paper's: mean ||z(W_l + step xi) - z(W_l)||^2 / (n_l step^2), xi ~ N(0, I) on one
            layer at a time, in float64.
            `random-sign`: v^T dz/dW with random signs v per input and logit; unbiased, and its cost does not grow with
            the number of logits. `auto`: reverse up to 128 logits per input, else random-sign.
        seed: key of the random probes.
        probes: random probes, at least 2: per layer for finite differences (8); in all for random signs (as many as
            bring every standard error below 3 % of the gain, 4 to 64).
        step: finite-difference step.
        double: take the gradients in float64; finite differences always are.
        progress: called with (steps done, steps known so far); probes may be added until the gains are precise.

    Raises:
        InputError: an unknown method, or a number out of bounds.
        WorkloadError: the logits cannot be differentiated.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> gains = jacobian_gains(load_workload("small-cnn"), "random-sign").gains
        >>> max(gains, key=gains.get), min(gains, key=gains.get)
        ('conv1.weight', 'fc1.weight')
    """
    _check(method, seed, probes, step)
    started = time.perf_counter()
    with single_threaded(), torch.inference_mode(False), torch.enable_grad():
        known = _resolved(workload, method)
        dtype = torch.float64 if double or known == "finite-difference" else None
        module = workload.network.differentiable(dtype)
        parameters = dict(module.named_parameters())
        probe = Probe(workload, module, dtype, {name: parameters[name] for name in workload.weights})
        measure: dict[Method, Callable[[], tuple[Squares, int]]] = {
            "reverse": lambda: _reverse(probe, tell),
            "random-sign": lambda: random_sign(probe, seed, probes, tell),
            "finite-difference": lambda: finite_difference(probe, seed, probes or MOST_PROBES[known], step, tell),
        }
        latest = [1]

        def tell(done: int, total: int) -> None:
            latest[0] = total
            if progress is not None:
                progress(done, total)

        with warnings.catch_warnings():  # operations that vmap loops over; it says so for each
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            squares, passes = measure[known]()
        tell(latest[0], latest[0])
    names, spread = list(workload.weights), np.zeros(squares.shape[1])
    if squares.shape[0] > 1:
        spread = squares.std(axis=0, ddof=1) / math.sqrt(squares.shape[0])
    return JacobianGains(
        gains=dict(zip(names, squares.mean(axis=0).tolist(), strict=True)),
        standard_errors=dict(zip(names, spread.tolist(), strict=True)),
        method=known, passes=passes, seconds=time.perf_counter() - started,
    )


def _reverse(probe: Probe, progress: Progress) -> tuple[Squares, int]:
    """(1, L) exact squares, and the number of vector-Jacobian products: one per input and logit.

    Weights used once, as a linear map, need no gradient of their own (`taps`); the gradients of the others are formed.
    """
    first = map_leaves(probe.workload.calibration, lambda part: part[:1])
    logits, layers = tappable(probe.logits, first, probe.parameters)
    outputs = attached(logits).numel()
    found = _tapped(probe, layers, progress)
    others = {name: weight for name, weight in probe.parameters.items() if name not in found}
    if others:
        squares = _by_weights(replace(probe, parameters=others), outputs, progress)
        found |= dict(zip(others, squares.tolist(), strict=True))
    squares = np.array([found[name] for name in probe.parameters])
    return probe.per_weight(squares)[None], outputs * probe.samples


def _tapped(probe: Probe, layers: list[Layer], progress: Progress) -> dict[str, float]:
    """Squares of tapped layers by name; none when samples cannot be batched or go different ways."""
    if not layers:
        return {}
    parameters = {layer.name: probe.parameters[layer.name] for layer in layers}
    try:
        probe.module.requires_grad_(False)
        found = squared_jacobians(probe.logits, probe.workload.calibration, layers, parameters, TAPPED_FLOATS, progress)
    except (RuntimeError, WorkloadError):
        return {}
    finally:
        for parameter in probe.parameters.values():
            parameter.requires_grad_()
    return dict(zip(parameters, found.tolist(), strict=True))


def _by_weights(probe: Probe, outputs: int, progress: Progress) -> Squares:
    """(L,) exact squares by the gradient of every weight: many samples at a time, or one by one.

    Gradients of several samples are held at once only while they are small, where that is faster; an operation that
    `torch.func.vmap` cannot batch sends the network down the other way, with the same result.
    """
    floats = outputs * sum(parameter.numel() for parameter in probe.parameters.values())
    if floats <= GRADIENT_FLOATS_OF_A_SAMPLE:
        with suppress(RuntimeError, WorkloadError):
            return _together(probe, max(1, GRADIENT_FLOATS // floats))
    return _one_by_one(probe, progress)


def _together(probe: Probe, samples: int) -> Squares:
    """The reverse passes of all logits of `samples` inputs in one, by vmap over the vector-Jacobian product."""
    module, network = probe.module, probe.workload.network
    weights = {name: weight.detach() for name, weight in probe.parameters.items()}

    def squares(sample: Inputs) -> Tensor:
        one = map_leaves(sample, lambda part: part[None])
        response = vjp(lambda given: network.call(module, one, given, dtype=probe.dtype).flatten(), weights)
        logits, pull = response[0], response[1]
        identity = torch.eye(logits.numel(), dtype=logits.dtype, device=logits.device)
        by_logit = vmap(lambda row: torch.stack([part.square().sum() for part in pull(row)[0].values()]))(identity)
        return by_logit.sum(dim=0)

    found: Squares = vmap(squares, chunk_size=samples)(probe.workload.calibration).double().sum(dim=0).cpu().numpy()
    return found


def _one_by_one(probe: Probe, progress: Progress) -> Squares:
    """The same with one reverse pass per sample and logit."""
    total = np.zeros(len(probe.parameters))
    for done, sample in enumerate(probe.batches(1)):
        progress(done, probe.samples)
        logits = attached(probe.logits(sample)).flatten()
        for index in range(logits.numel()):
            total += probe.squared_gradients(logits[index], keep=index < logits.numel() - 1)
    return total


def _resolved(workload: Workload, method: str) -> Method:
    if method != "auto":
        return cast(Method, method)
    outputs = workload.run(next(batches(workload.calibration, 1))).numel()
    return "reverse" if outputs <= MOST_LOGITS_FOR_REVERSE else "random-sign"


def _check(method: str, seed: int, probes: int | None, step: float) -> None:
    if not is_one_of(method, METHODS):
        raise InputError(
            "unknown way to measure Jacobian gains", where="sensitivity method", rule=f"one of {', '.join(METHODS)}",
            value=method, next_step=did_you_mean(method, METHODS),
        )
    whole_number("seed", seed, least=0)
    if probes is not None:
        whole_number("probes", probes, least=2)
    number_within("step", step, 1e-8, 1.0, "1e-8 <= step <= 1", "the paper uses 1e-3")
