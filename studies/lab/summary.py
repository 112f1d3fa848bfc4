"""Accuracies over training seeds and trials, and their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

import qtaml_codesign as qc
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.statistics import Interval, mean_interval, student_quantile


def counts_row(counts: TrialCounts, workload: qc.Workload) -> dict[str, float | int]:
    """The columns that `over_seeds` reads, of one network and one point."""
    return {
        "trials": counts.trials, "samples": counts.samples, "correct": counts.score,
        "correct_squares": counts.score_squares, "accuracy": counts.interval().estimate,
        "clean_accuracy": workload.clean_accuracy, "realised_ber": counts.realised_ber,
    }


def over_seeds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per group: mean accuracy over its networks, with two 95 % intervals.

    `low`, `high`: Student interval over the networks (training seeds); the spread of their means holds the spread
    over trials too. With one network it is the interval over its trials. `low_trials`, `high_trials`: over trials
    alone, for these very networks. Also `networks`, `trials` (in all) and the mean `clean_accuracy`.
    """
    groups = rows.groupby(list(by), sort=False, dropna=False)
    return pd.DataFrame([
        {**dict(zip(by, names, strict=True)), **_pooled(group)} for names, group in groups
    ])


def _pooled(group: pd.DataFrame) -> dict[str, float | int]:
    seeds, trials = pooled_accuracy(group), _trial_interval(group)
    return {
        "accuracy": seeds.estimate, "low": max(seeds.low, 0.0), "high": min(seeds.high, 1.0),
        "low_trials": trials.low, "high_trials": trials.high, "networks": len(group),
        "trials": int(group["trials"].sum()), "clean_accuracy": float(group["clean_accuracy"].mean()),
    }


def pooled_accuracy(group: pd.DataFrame) -> Interval:
    """Mean accuracy of the networks in `group` (one row each), Student interval over networks; one: over trials."""
    return mean_interval(group["accuracy"].to_numpy()) if len(group) > 1 else _trial_interval(group)


def mean_over(values: ArrayLike) -> Interval:
    """Mean of one value per network with its Student interval; a single value has no width.

    Example:
        >>> mean_over([0.25]), round(mean_over([1.0, 2.0, 3.0]).high, 4)
        (Interval(estimate=0.25, low=0.25, high=0.25), 4.4841)
    """
    found = np.asarray(values, dtype=np.float64).ravel()
    return mean_interval(found) if found.size > 1 else Interval(*[float(found[0])] * 3)


def _trial_interval(group: pd.DataFrame) -> Interval:
    """Mean over fixed networks; the variance is that of a stratified mean, sum_s var_s / T_s / S^2."""
    means = group["accuracy"].to_numpy(float)
    trials, samples = group["trials"].to_numpy(float), group["samples"].to_numpy(float)
    spread = group["correct_squares"].to_numpy(float) / samples**2 - trials * means**2
    variance = np.maximum(spread, 0.0) / (trials - 1.0)
    freedom = int((trials - 1).sum())
    half = student_quantile(0.95, freedom) * math.sqrt(float((variance / trials).sum())) / len(means)
    half = max(half, 3.0 / float((trials * samples).sum()))
    centre = float(means.mean())
    return Interval(centre, max(centre - half, 0.0), min(centre + half, 1.0))


def paired_difference(first: pd.DataFrame, second: pd.DataFrame, column: str = "accuracy") -> Interval:
    """Mean of first - second over the networks both have, paired by network and training seed.

    With one network there is no spread over networks, and the difference is paired by trial where the rows hold the
    correct answers `by_trial`: both see the same flips. Without them the two means are taken as independent.
    """
    joined = first.merge(second, on=["network", "seed"], suffixes=("_1", "_2"), validate="one_to_one")
    if joined.empty:
        raise ValueError("paired_difference: the two groups share no network and seed")
    differences = (joined[f"{column}_1"] - joined[f"{column}_2"]).to_numpy(float)
    if len(differences) > 1:
        return mean_interval(differences)
    if "by_trial" in first.columns and column == "accuracy":
        return _paired_by_trial(first, second)
    halves = [_trial_interval(group).half_width for group in (first, second)]
    half = math.hypot(*halves)
    return Interval(float(differences[0]), float(differences[0]) - half, float(differences[0]) + half)


def _paired_by_trial(first: pd.DataFrame, second: pd.DataFrame) -> Interval:
    """Student interval over the trials of one network; at least one answer in all trials and samples wide."""
    counts = [np.array(group["by_trial"].iloc[0].split(), dtype=float) for group in (first, second)]
    samples = float(first["samples"].iloc[0])
    found = mean_interval((counts[0] - counts[1]) / samples)
    half = max(found.half_width, 3.0 / (samples * len(counts[0])))
    return Interval(found.estimate, found.estimate - half, found.estimate + half)
