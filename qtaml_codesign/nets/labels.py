"""Labels of the evaluation set, and counting right answers against them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.checks import plain_array
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import describe, is_dense
from qtaml_codesign.nets.kernels import count_first_largest

COMPILED = (torch.float32, torch.float64)
MOST_GROUPS = 512
"""Evaluation samples are counted in at most this many groups: enough for a Student quantile near the normal one."""


def checked_labels(given: object, logits: Tensor, inputs: int) -> Tensor:
    """Private int64 copy of the labels, if they fit the clean logits.

    Args:
        given: integer tensor, array or list, shape `logits.shape[:-1]`, each label in 0..C-1.
        logits: clean logits (N, ..., C) of the evaluation inputs.
        inputs: N, number of evaluation inputs.
    """
    labels = _integers(given)
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


def predictions(logits: Tensor) -> Tensor:
    """Class of the largest logit, (N, ...) int64; -1 where a logit is NaN."""
    return torch.where(torch.isnan(logits).any(dim=-1), -1, logits.argmax(dim=-1))


def group_index(labels: Tensor) -> NDArray[np.int64]:
    """Group of each label, labels.shape: each entry of the first axis its own up to 512, else one of 512 drawn groups.

    Groups are drawn (by a fixed key), so that the order of the evaluation set, often sorted by class, means nothing.

    Example:
        >>> group_index(torch.zeros(3, 2, dtype=torch.int64)).tolist()
        [[0, 0], [1, 1], [2, 2]]
    """
    rows = labels.shape[0]
    groups = np.arange(rows) * min(rows, MOST_GROUPS) // rows
    if rows > MOST_GROUPS:
        groups = np.random.Generator(np.random.Philox(0)).permutation(groups)
    shape = (rows, *(1 for _ in labels.shape[1:]))
    return np.ascontiguousarray(np.broadcast_to(groups.reshape(shape), tuple(labels.shape)))


def count_right(logits: Tensor, labels: Tensor, groups: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """Add to `right`, (G,), how many predictions of each group equal their label.

    Args:
        logits: (n, ..., C).
        labels: (n, ...).
        groups: (n, ...) group of each label, 0..G-1.
        right: counts to add to.

    Example:
        >>> right = np.zeros(2, dtype=np.int64)
        >>> logits = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])
        >>> count_right(logits, torch.tensor([1, 0]), np.array([0, 1]), right)
        >>> right.tolist()
        [1, 0]
    """
    if logits.dtype in COMPILED and logits.device.type == labels.device.type == "cpu":
        if logits.ndim > 2:
            logits, labels = logits.flatten(0, -2), labels.flatten()
        count_first_largest(logits.numpy(), labels.numpy(), groups.reshape(-1), right)
        return
    hits = (predictions(logits) == labels.to(logits.device)).cpu().numpy()
    right += np.bincount(groups[hits], minlength=right.size)


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
