"""Targets of the evaluation set, and scoring outputs against them, group by group of its samples."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.chance import check_clean
from qtaml_codesign.nets.inputs import describe
from qtaml_codesign.nets.kernels import count_first_largest
from qtaml_codesign.nets.labels import checked_targets
from qtaml_codesign.nets.metric import ACCURACY, VALUED, Metric, is_right
from qtaml_codesign.nets.usercode import user_code
from qtaml_codesign.statistics import Interval, clopper_pearson, exact_sum, group_half_width

Sums = NDArray[np.int64] | NDArray[np.float64]
"""(G,) scores of each group of samples, summed: whole numbers where a sample is right or wrong."""

COMPILED = (torch.float32, torch.float64)
FEW_SAMPLES = 50
MOST_GROUPS = 512
"""Evaluation samples are summed in at most this many groups: enough for a Student quantile near the normal one."""


class Scoring:
    """How the evaluation set of a network is scored, and what the clean network scores.

    Args:
        metric: what is measured.
        given: labels or values that came with the evaluation inputs (`checked_targets`).
        clean: outputs (N, ...) of the clean network for the evaluation inputs.
        batch_size: samples per forward pass.

    Attributes:
        labels: what was given, checked; None without.
        targets: what outputs are scored against.
        clean_predictions: classes that the clean network chooses, (N, ...); None for a metric of values.
        groups: group of each score; `group_sizes`: (G,) scores in each.
        clean_by_group: (G,) the clean network's scores of each group, summed.
        clean_check: whether the clean accuracy is above chance; None for other metrics.

    Raises:
        WorkloadError: the targets do not fit the metric or the outputs, or the clean score is not finite.
    """

    def __init__(self, metric: Metric, given: object, clean: Tensor, batch_size: int) -> None:
        self.metric = metric
        self.labels = checked_targets(given, clean, metric)
        self.clean_predictions = None if metric.targets in VALUED else predictions(clean).cpu()
        targets = self.clean_predictions if metric.targets == "clean" else self.labels
        assert targets is not None
        self.targets: Tensor = targets
        scores = scores_of(metric, clean, targets)
        self.is_counted = scores.dtype == torch.bool
        self.groups = group_index(tuple(scores.shape))
        self.group_sizes = np.bincount(self.groups.reshape(-1)).astype(np.int64)
        self.clean_by_group = self.sums_of(torch.split(clean, batch_size))
        if not math.isfinite(self.clean_value):
            raise WorkloadError(
                "the clean network has no finite score on its evaluation set", where=f"metric {metric.name!r}",
                rule="finite scores", value=self.clean_value,
                next_step="look for nan and infinities in the evaluation inputs and the outputs they give",
            )
        self.clean_check = None
        if metric == ACCURACY:
            right = int(self.clean_by_group.sum())
            self.clean_check = check_clean(targets, predictions(clean).cpu(), right, clean.shape[-1])

    @property
    def samples(self) -> int:
        """Scores of the evaluation set: one per sample, or per label of it."""
        return int(self.groups.size)

    @property
    def clean_value(self) -> float:
        """The metric of the clean network, as it is shown."""
        return float(self.metric.show(float(exact_sum(self.clean_by_group) / self.samples)))

    @property
    def notes(self) -> list[str]:
        """Warnings for whoever uses the evaluation set."""
        check, samples = self.clean_check, self.samples
        notes = [] if check is None or check.problem is None else [f"{check.problem}: {check.advice}"]
        if samples < FEW_SAMPLES:
            notes.append(f"only {samples} evaluation samples: one of them is {1.0 / samples:.1%} of {self.metric.name}")
        return notes

    @property
    def content(self) -> list[tuple[str, Tensor]]:
        """The tensors that tell this scoring from another of the same metric."""
        answers = [] if self.clean_predictions is None else [("clean predictions", self.clean_predictions)]
        return [("targets", self.targets), *answers]

    def clean_interval(self, confidence: float = 0.95) -> Interval:
        """The metric of the clean network with its interval over evaluation samples, `confidence` in (0, 1).

        Clopper-Pearson where samples are right or wrong; else Student's over groups of samples.
        """
        score, metric = exact_sum(self.clean_by_group), self.metric
        if self.is_counted:
            return metric.show_interval(clopper_pearson(int(score), self.samples, confidence))
        mean = float(score / self.samples)
        half = group_half_width(self.clean_by_group, self.group_sizes, confidence, counted=False)
        low, high = max(mean - half, metric.bounds[0]), min(mean + half, metric.bounds[1])
        return metric.show_interval(Interval(mean, low, high))

    def sums_of(self, batches: Iterable[Tensor]) -> Sums:
        """(G,) scores of each group, summed: whole numbers of right answers where a sample is right or wrong.

        Args:
            batches: outputs of the evaluation samples, in order; a NaN counts as wrong, or as the worst bound.
        """
        sums: Sums = np.zeros(self.group_sizes.size, np.int64) if self.is_counted else np.zeros(self.group_sizes.size)
        first = 0
        for outputs in batches:
            batch = slice(first, first + outputs.shape[0])
            add_scores(self.metric, outputs, self.targets[batch], self.groups[batch], sums)
            first += outputs.shape[0]
        return sums


def predictions(logits: Tensor) -> Tensor:
    """Class of the largest of logits (N, ..., C), (N, ...) int64; -1 where a logit is NaN."""
    return torch.where(torch.isnan(logits).any(dim=-1), -1, logits.argmax(dim=-1))


def group_index(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Group of each score, `shape`: each entry of the first axis its own up to 512, else one of 512 drawn groups.

    Groups are drawn (by a fixed key), so that the order of the evaluation set, often sorted by class, means nothing.

    Example:
        >>> group_index((3, 2)).tolist()
        [[0, 0], [1, 1], [2, 2]]
    """
    rows = shape[0]
    groups = np.arange(rows) * min(rows, MOST_GROUPS) // rows
    if rows > MOST_GROUPS:
        groups = np.random.Generator(np.random.Philox(0)).permutation(groups)
    return np.ascontiguousarray(np.broadcast_to(groups.reshape(rows, *(1 for _ in shape[1:])), shape))


def scores_of(metric: Metric, outputs: Tensor, targets: Tensor) -> Tensor:
    """One score for each sample of a batch, (n, ...): bool, or float64 with the worst bound for a NaN.

    So too for an infinity on the better side: what overflows is not good, and sums cannot hold both infinities. The
    outputs (n, ...) are scored against targets (n, ...).

    Raises:
        WorkloadError: the metric's function fails, or its scores have no sample axis or lie out of its bounds.
    """
    with user_code("the metric fails", f"metric {metric.name!r}", "score(outputs, targets) returns a tensor",
                  "call it on one batch of outputs and targets", describe((outputs, targets))):
        scores = metric.score(outputs, targets.to(outputs.device))
    if not isinstance(scores, Tensor) or scores.ndim < 1 or scores.shape[0] != outputs.shape[0] or scores.is_complex():
        raise WorkloadError(
            "the metric does not give a score per sample", where=f"metric {metric.name!r}",
            rule=f"a tensor (n, ...) with one score or more for each of the n = {outputs.shape[0]} samples",
            value=describe(scores), next_step="leave the mean out: reduction='none' in torch's losses",
        )
    if scores.dtype == torch.bool:
        return scores
    too_good = math.inf if metric.larger_is_better else -math.inf
    scores = scores.double()
    scores = torch.where(scores.isnan() | (scores == too_good), metric.worst, scores)
    lowest, highest = float(scores.min()), float(scores.max())
    if not metric.bounds[0] <= lowest <= highest <= metric.bounds[1]:
        raise WorkloadError(
            "a score lies outside of the metric's bounds", where=f"metric {metric.name!r}",
            rule=f"{metric.bounds[0]:g} <= score <= {metric.bounds[1]:g}", value=f"{lowest:g} to {highest:g}",
            next_step="give the metric the bounds that its scores have, -inf or inf for none",
        )
    return scores


def add_scores(metric: Metric, outputs: Tensor, targets: Tensor, groups: NDArray[np.int64], sums: Sums) -> None:
    """Add to `sums`, (G,), the scores of a batch, each to its group, in the order of the samples.

    Args:
        metric: what is measured; right answers on the CPU are counted by a compiled function.
        outputs: (n, ...).
        targets: (n, ...), what they are scored against.
        groups: group of each score, 0..G-1.
        sums: (G,) int64 for scores that are right or wrong, else float64.

    Raises:
        WorkloadError: as `scores_of`.

    Example:
        >>> from qtaml_codesign.nets.metric import ACCURACY
        >>> right = np.zeros(2, dtype=np.int64)
        >>> logits = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])
        >>> add_scores(ACCURACY, logits, torch.tensor([1, 0]), np.array([0, 1]), right)
        >>> right.tolist()
        [1, 0]
    """
    if metric.score is is_right and outputs.dtype in COMPILED and outputs.device.type == "cpu":
        rows = outputs.flatten(0, -2) if outputs.ndim > 2 else outputs
        count_first_largest(rows.numpy(), targets.flatten().numpy(), groups.reshape(-1), sums)
        return
    scores = scores_of(metric, outputs, targets).cpu().numpy()
    if scores.dtype == np.bool_:
        sums += np.bincount(groups[scores], minlength=sums.size)
    else:
        sums += np.bincount(groups.reshape(-1), scores.reshape(-1), minlength=sums.size)
