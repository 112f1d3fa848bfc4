"""Labels or values that come with the evaluation inputs: whether they fit the metric and the outputs."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from qtaml_codesign.checks import plain_array
from qtaml_codesign.errors import CodesignError, WorkloadError
from qtaml_codesign.nets.inputs import describe, is_dense
from qtaml_codesign.nets.metric import VALUED, InTop, Metric


def checked_targets(given: object, outputs: Tensor, metric: Metric) -> Tensor | None:
    """Private copy of what came with the evaluation inputs, if it fits the metric and the clean outputs.

    Args:
        given: integer tensor, array or list of shape `outputs.shape[:-1]`, each in 0..C-1; real numbers of the outputs'
            shape for a metric of values (a last axis of one may be left out), zeros and ones of it for a binary one;
            None where the metric needs none.
        outputs: clean outputs (N, ...) of the evaluation inputs; (N, ..., C) for a metric of classes.
        metric: what is measured.

    Raises:
        WorkloadError: what was given, or the outputs, do not fit the metric.
        InputError: targets that make no array, such as ragged lists.
    """
    if metric.targets in VALUED:
        return _checked_values(given, outputs, metric.targets == "binary")
    if given is not None:
        _check_kind(given, outputs, metric)
    if outputs.ndim < 2 or outputs.shape[-1] < 2:
        raise WorkloadError(
            "the module's output has not the form of logits", where="model output",
            rule=f"shape (N, ..., C) with C >= 2 classes last, for the metric {metric.name}", value=describe(outputs),
            next_step="pass logits=... to bring it into that form, for instance lambda z: z.movedim(1, -1); or, "
            'where the outputs are values, write metric="rmse" into qc.Workload(...) of the factory',
        )
    if isinstance(metric.score, InTop) and metric.score.most >= outputs.shape[-1]:
        raise WorkloadError(
            f"every sample is right by the metric {metric.name}", where="metric (--metric)",
            rule=f"top-K with 1 <= K < {outputs.shape[-1]}, the number of classes", value=metric.name,
            next_step="take a smaller K, or accuracy",
        )
    if given is None and metric.targets == "clean":
        return None
    return _checked_labels(given, outputs)


def _checked_values(given: object, outputs: Tensor, binary: bool) -> Tensor:
    values = _numbers(given)
    if outputs.shape == (*values.shape, 1):
        values = values[..., None]
    if values.shape != outputs.shape or values.is_complex() or not is_dense(values) or not values.isfinite().all():
        raise WorkloadError(
            "targets and outputs do not fit", where="evaluation[1]",
            rule=f"finite real numbers of the outputs' shape {tuple(outputs.shape)}", value=describe(values),
            next_step="reshape the targets, or the outputs with logits=..., for instance lambda z: z[:, 0]",
        )
    if binary and not _is_binary(values):
        raise WorkloadError(
            "a target is neither 0 nor 1", where="evaluation[1]", rule="zeros and ones, a label each",
            value=f"{float(values.min()):g} to {float(values.max()):g}",
            next_step="round soft labels, or measure the outputs as values: metric='rmse'",
        )
    with torch.inference_mode(False):
        return values.detach().to("cpu", copy=True)


def _check_kind(given: object, outputs: Tensor, metric: Metric) -> None:
    """Refuse what is no class numbers, and say what it looks like: values, several labels of a sample, one-hot rows."""
    try:
        targets = _numbers(given)
    except (ValueError, TypeError, CodesignError):  # ragged lists and the like are refused for what they are
        return
    rows = outputs.shape == targets.shape and targets.ndim >= 2 and targets.shape[-1] >= 2 and _is_binary(targets)
    yes_or_no = outputs.shape[-1:] == (1,) and targets.numel() == outputs.numel() and _is_binary(targets)
    if rows and bool((targets.double().sum(-1) == 1.0).all()):
        _refuse_kind("the labels are one-hot rows", metric, given, "pass class numbers: labels.argmax(-1)")
    if rows or yes_or_no:
        _refuse_kind("the labels are zeros and ones, one for each output", metric, given, 'where a sample has any '
                     'number of labels, or an output stands for yes or no, write metric="label-accuracy" '
                     '(or "binary-cross-entropy") into qc.Workload(...) of the factory')
    if is_dense(targets) and targets.is_floating_point() and bool((targets != targets.round()).any()):
        _refuse_kind("the targets are real numbers, not classes", metric, given,
                     'where the network gives values (regression), write metric="rmse" into qc.Workload(...)'
                     " of the factory")


def _refuse_kind(what: str, metric: Metric, given: object, next_step: str) -> NoReturn:
    raise WorkloadError(what, where="evaluation[1]", rule=f"class numbers, for the metric {metric.name}",
                        value=describe(given), next_step=next_step)


def _numbers(given: object) -> Tensor:
    if isinstance(given, Tensor):
        return given
    return torch.from_numpy(np.array(plain_array(
        "evaluation[1]", given, "real numbers of one shape", "give the values that the outputs should have"),
        dtype=np.float64))


def _is_binary(values: Tensor) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _checked_labels(given: object, logits: Tensor) -> Tensor:
    labels, inputs = _integers(given), logits.shape[0]
    if labels.ndim >= 1 and labels.shape[0] != inputs:
        raise WorkloadError(
            "inputs and labels differ in number", where="evaluation", rule=f"one label per sample, {inputs} inputs",
            value=f"{labels.shape[0]} labels", next_step="pass inputs and labels of the same samples",
        )
    if labels.shape != logits.shape[:-1]:
        raise WorkloadError(
            "labels and logits do not fit", where="evaluation[1]",
            rule=f"labels of shape {tuple(logits.shape[:-1])} for logits of shape {tuple(logits.shape)}",
            value=f"labels of shape {tuple(labels.shape)}",
            next_step="pass class numbers instead of one-hot rows, or bring the logits to (N, ..., C) with logits=...",
        )
    classes = logits.shape[-1]
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.numel():
        raise WorkloadError(
            "a label is outside of the classes", where="evaluation[1]", rule=f"0 <= label <= {classes - 1}",
            value=f"{int(outside[0])} ({outside.numel()} of {labels.numel()} labels)",
            next_step="count classes from 0, and leave out samples that are not to be scored",
        )
    return labels


def _integers(given: object) -> Tensor:
    if isinstance(given, list | tuple | np.ndarray):
        array = plain_array("evaluation[1]", given, "whole numbers of one shape", "give one label per sample")
        given = torch.from_numpy(np.array(array)) if array.dtype.kind in "iufb" else given
    if (not isinstance(given, Tensor) or given.is_floating_point() or given.is_complex() or given.dtype == torch.bool
            or not is_dense(given)):
        raise WorkloadError(
            "the labels are not whole numbers", where="evaluation[1]", rule="a dense integer tensor of class numbers",
            value=describe(given) if isinstance(given, Tensor) else type(given).__name__,
            next_step="convert them with labels.long() if they hold class numbers",
        )
    with torch.inference_mode(False):
        return given.detach().to("cpu", torch.int64, copy=True)
