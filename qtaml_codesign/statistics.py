"""Intervals for what the simulator measures; float64 throughout.

The trial (one drawing of all flips) is the statistical unit: the samples of one trial share the same flipped
weights, so an interval on an accuracy is built from trial means, never from pooled samples.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from qtaml_codesign.errors import InputError


class Interval(NamedTuple):
    """An estimate with its two-sided confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance from `low` to `high`."""
        return (self.high - self.low) / 2.0


def student_quantile(confidence: float, degrees_of_freedom: int) -> float:
    """Two-sided Student t quantile: P(|t| <= q) = confidence.

    Example:
        >>> round(student_quantile(0.95, 9), 4)
        2.2622
    """
    return float(special.stdtrit(degrees_of_freedom, 0.5 + confidence / 2.0))


def trial_interval(
    total: int, total_of_squares: int, trials: int, samples: int, confidence: float = 0.95
) -> Interval:
    """Student interval of an accuracy from per-trial counts of correct answers, clipped to [0, 1].

    mean = total / (trials samples), half-width = t sqrt(s^2 / trials), with s^2 the variance of the trial
    means. When hardly any trial differs from the others, s^2 says too little; the half-width never falls
    below 3 / (trials samples), the rule of three for one changed answer.

    Args:
        total: correct answers over all trials.
        total_of_squares: sum over trials of (correct answers of the trial) squared.
        trials: number of trials, >= 1. One trial has no spread: its interval is [0, 1].
        samples: evaluation samples per trial, >= 1.
        confidence: two-sided level in (0, 1).

    The interval is conditional on the evaluation set: it holds the spread over drawings of the flips.

    Example:
        >>> [round(v, 4) for v in trial_interval(total=270, total_of_squares=24302, trials=3, samples=100)]
        [0.9, 0.8752, 0.9248]
    """
    if trials < 1 or samples < 1:
        raise InputError(
            "no trials to build an interval from",
            where="trial_interval", rule="trials >= 1 and samples >= 1", value=(trials, samples),
            next_step="run at least one trial over at least one sample",
        )
    mean = total / (trials * samples)
    if trials == 1:
        return Interval(mean, 0.0, 1.0)
    spread = max(trials * total_of_squares - total * total, 0)
    variance = spread / (trials * (trials - 1)) / samples**2
    half = student_quantile(confidence, trials - 1) * math.sqrt(variance / trials)
    half = max(half, 3.0 / (trials * samples))
    return Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student interval of the mean of independent values: mean +- t(n - 1) s / sqrt(n).

    Args:
        values: (n,) finite numbers, n >= 2, for instance one accuracy per training seed.
        confidence: two-sided level in (0, 1).

    Example:
        >>> [round(v, 4) for v in mean_interval([1.0, 2.0, 3.0])]
        [2.0, -0.4841, 4.4841]
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size < 2 or not np.isfinite(found).all():
        raise InputError(
            "a mean needs two or more finite values for its interval", where="mean_interval",
            rule="(n,) finite numbers, n >= 2", value=values, next_step="measure at least twice",
        )
    half = student_quantile(confidence, found.size - 1) * float(found.std(ddof=1)) / math.sqrt(found.size)
    centre = float(found.mean())
    return Interval(centre, centre - half, centre + half)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Exact (Clopper-Pearson) interval of a proportion of independent events.

    low solves P(X >= successes) = a/2 and high solves P(X <= successes) = a/2, a = 1 - confidence.
    Source: Clopper and Pearson, Biometrika 26, 404 (1934).

    Example:
        >>> [round(v, 4) for v in clopper_pearson(0, 10)]
        [0.0, 0.0, 0.3085]
    """
    if not 0 <= successes <= trials or trials < 1:
        raise InputError(
            "a proportion needs 0 <= successes <= trials and at least one trial",
            where="clopper_pearson", rule="0 <= successes <= trials, trials >= 1", value=(successes, trials),
            next_step="check the counts",
        )
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(special.betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return Interval(successes / trials, low, high)
