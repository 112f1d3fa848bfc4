"""Intervals for what the simulator measures; float64 throughout.

The trial (one drawing of all flips) is the statistical unit: the samples of one trial share the same flipped
weights, so an interval on an accuracy (or another mean of scores) is built from trial means, never from pooled samples.
"""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.errors import InputError

Exact = int | Fraction | float
"""A sum without rounding: a whole number, or a fraction; a float only where it is infinite."""

LARGEST = 1e100


class Interval(NamedTuple):
    """An estimate with its two-sided confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance from `low` to `high`."""
        return (self.high - self.low) / 2.0


def exact_sum(scores: NDArray[Any]) -> Exact:
    """The sum of an array: of whole numbers as one, of floats rounded once, whatever the order, as a fraction.

    Beyond 1e100, where the cube of a sum is no float any more, it counts as infinite.

    Args:
        scores: whole numbers, truth values or floats, any shape of whole numbers, (n,) of floats.

    Example:
        >>> exact_sum(np.array([3, 4])), float(exact_sum(np.array([0.1] * 10))), exact_sum(np.array([1e200]))
        (7, 1.0, inf)
    """
    if scores.dtype.kind in "biu":
        return int(sum(scores.tolist()))
    total = math.fsum(scores)
    return Fraction(total) if abs(total) <= LARGEST else math.copysign(math.inf, total)


def student_quantile(confidence: float, degrees_of_freedom: int) -> float:
    """Two-sided Student t quantile q: P(|t| <= q) = confidence.

    Args:
        confidence: level in (0, 1).
        degrees_of_freedom: >= 1.

    Example:
        >>> round(student_quantile(0.95, 9), 4)
        2.2622
    """
    return float(special.stdtrit(degrees_of_freedom, 0.5 + confidence / 2.0))


def trial_interval(
    total: Exact, total_of_squares: Exact, trials: int, samples: int, confidence: float = 0.95, *,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Student interval of a mean score, such as an accuracy, from the sums of trials, clipped to its bounds.

    mean = total / (trials samples), half-width = t sqrt(s^2 / trials), with s^2 the variance of the trial
    means. When hardly any trial differs from the others, s^2 says too little; of right answers (whole numbers) the
    half-width never falls below 3 / (trials samples), the rule of three for one changed answer.

    Args:
        total: sum of the scores (correct answers) of all trials.
        total_of_squares: sum over trials of (sum of the trial's scores) squared.
        trials: number of trials, >= 1. One trial has no spread: its interval is `bounds`.
        samples: scores per trial, >= 1.
        confidence: two-sided level in (0, 1).
        bounds: the lowest and the highest score there can be.

    Raises:
        InputError: no trial, or no sample.

    The interval is conditional on the evaluation set: it holds the spread over drawings of the flips. It takes the
    trials as symmetric; `hall_interval` allows for their skewness. A mean over infinite scores is infinite, whatever
    further trials bring, and so are both ends.

    Example:
        >>> [round(v, 4) for v in trial_interval(total=270, total_of_squares=24302, trials=3, samples=100)]
        [0.9, 0.8752, 0.9248]
    """
    mean, error = _mean_and_error(total, total_of_squares, trials, samples)
    if trials == 1 or not math.isfinite(mean):
        return Interval(mean, *(bounds if math.isfinite(mean) else (mean, mean)))
    half = student_quantile(confidence, trials - 1) * error
    return _within_bounds(mean, mean - half, mean + half, 3.0 * _is_counted(total) / (trials * samples), bounds)


def hall_interval(
    total: Exact, total_of_squares: Exact, total_of_cubes: Exact, trials: int, samples: int, confidence: float = 0.95,
    *, bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Skewness-corrected t interval of a mean score, such as an accuracy, from the sums of trials.

    Few bad trials make the trial means skewed, and Student's t with them. Hall's transformation removes the skewness,

        g(t) = t + 2 a t^2 + 4 a^2 t^3 / 3 + a,    a = m3 / (6 sqrt(n) s^3),

    with m3 the unbiased third central moment of the n trial means. g rises everywhere and inverts in closed form,

        g^-1(q) = [(1 + 6 a (q - a))^(1/3) - 1] / (2 a),

    so the interval is mean - g^-1(+-t) s / sqrt(n), t the Student quantile. Its ends lie unevenly about the mean,
    further away on the side of the long tail. The floor of the half-width is that of `trial_interval`; two trials have
    no skewness.

    Args:
        total, total_of_squares, trials, samples, confidence, bounds: as in `trial_interval`.
        total_of_cubes: sum over trials of (sum of the trial's scores) cubed.

    Raises:
        InputError: no trial, or no sample.

    Sources: P. Hall, "On the removal of skewness by transformation", J. R. Stat. Soc. B 54, 221 (1992), equation for
    the cubic g; R. Willink, Commun. Stat. Theory Methods 34, 753 (2005), for the t quantile and this form of m3.

    Example:
        >>> [round(v, 4) for v in hall_interval(270, 24302, 2187540, trials=3, samples=100)]
        [0.9, 0.8752, 0.9248]
        >>> counts = [90, 91, 89, 92, 90, 80, 91, 92]
        >>> sums = [sum(count**power for count in counts) for power in (1, 2, 3)]
        >>> [round(v, 3) for v in hall_interval(*sums, trials=8, samples=100)]
        [0.894, 0.795, 0.914]
    """
    mean, error = _mean_and_error(total, total_of_squares, trials, samples)
    if trials <= 2 or error == 0.0 or not math.isfinite(mean):
        return trial_interval(total, total_of_squares, trials, samples, confidence, bounds=bounds)
    third = trials**2 * total_of_cubes - 3 * trials * total * total_of_squares + 2 * total**3
    third_moment = third / (trials * (trials - 1) * (trials - 2)) / samples**3
    quantile, a = student_quantile(confidence, trials - 1), float(third_moment) / (6.0 * trials**2 * error**3)
    low, high = (mean - _without_skewness(sign * quantile, a) * error for sign in (1.0, -1.0))
    return _within_bounds(mean, low, high, 3.0 * _is_counted(total) / (trials * samples), bounds)


def union_interval(
    total: Exact, total_of_squares: Exact, total_of_cubes: Exact, trials: int, samples: int, confidence: float = 0.95,
    *, bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The widest ends of `trial_interval` and `hall_interval`.

    Hall's interval is short on the side away from the tail, Student's on the side of the tail; a sample that happens
    to lack its bad trials shows little skewness and misleads Hall's too.

    Args:
        total, total_of_squares, total_of_cubes, trials, samples, confidence, bounds: as in `hall_interval`.

    Raises:
        InputError: no trial, or no sample.

    Example:
        >>> counts = [90, 91, 89, 92, 90, 80, 91, 92]
        >>> sums = [sum(count**power for count in counts) for power in (1, 2, 3)]
        >>> [round(v, 3) for v in union_interval(*sums, trials=8, samples=100)]
        [0.894, 0.795, 0.927]
    """
    student = trial_interval(total, total_of_squares, trials, samples, confidence, bounds=bounds)
    hall = hall_interval(total, total_of_squares, total_of_cubes, trials, samples, confidence, bounds=bounds)
    return Interval(student.estimate, min(student.low, hall.low), max(student.high, hall.high))


def group_half_width(excess: ArrayLike, sizes: ArrayLike, confidence: float = 0.95, counted: bool = True) -> float:
    """Half-width of the interval of D = sum(excess) / sum(sizes) over groups of evaluation samples.

    The groups are taken as drawn at random from all there could be. D is a ratio estimate over G groups of n_g samples,

        se^2 = G / (G - 1) sum_g (e_g - D n_g)^2 / (sum_g n_g)^2,    half-width = t(G - 1) se,

    never below 3 / sum(sizes) if `counted`, the rule of three for one changed answer. For groups of one sample each
    this is Student's interval of the mean of e. A multiple of n_g added to e moves D alone.

    Args:
        excess: (G,) sum of the scores (right answers) of each group beyond that it is paired with.
        sizes: (G,) samples of each group, >= 1.
        confidence: two-sided level in (0, 1).
        counted: whether the scores are right answers.

    One group has no spread: inf. Infinite scores have no interval: nan.

    Example:
        >>> round(group_half_width([1.0, 0.0, 1.0, 1.0], [1, 1, 1, 1]), 4)  # mean 0.75
        0.7956
        >>> group_half_width([1.0] * 100, [1] * 100)
        0.03
    """
    found, weights = np.asarray(excess, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    groups, samples = found.size, float(weights.sum())
    if groups < 2:
        return math.inf
    rest = found - found.sum() / samples * weights
    error = math.sqrt(groups / (groups - 1) * float(rest @ rest)) / samples
    return max(student_quantile(confidence, groups - 1) * error, 3.0 * counted / samples)


def _mean_and_error(total: Exact, total_of_squares: Exact, trials: int, samples: int) -> tuple[float, float]:
    """Mean score and its standard error over trials; exact sums are subtracted, so nothing cancels."""
    if trials < 1 or samples < 1:
        raise InputError(
            "no trials to build an interval from",
            where="trial_interval", rule="trials >= 1 and samples >= 1", value=(trials, samples),
            next_step="run at least one trial over at least one sample",
        )
    if not math.isfinite(total):
        return float(total), math.inf
    spread = max(trials * total_of_squares - total * total, 0)
    error = math.sqrt(spread / (trials * trials * max(trials - 1, 1))) / samples
    return float(total / (trials * samples)), error


def _without_skewness(quantile: float, a: float) -> float:
    """g^-1 of `hall_interval`; its limit a -> 0 is the quantile itself, with the next term of the series below 1e-5."""
    if abs(a) < 1e-5:
        return quantile - a - 2.0 * a * quantile**2
    return (math.cbrt(1.0 + 6.0 * a * (quantile - a)) - 1.0) / (2.0 * a)


def _is_counted(total: object) -> bool:
    return isinstance(total, numbers.Integral)


def _within_bounds(mean: float, low: float, high: float, floor: float, bounds: tuple[float, float]) -> Interval:
    return Interval(mean, max(min(low, mean - floor), bounds[0]), min(max(high, mean + floor), bounds[1]))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student interval of the mean of independent values: mean +- t(n - 1) s / sqrt(n).

    Args:
        values: (n,) finite numbers, n >= 2, for instance one accuracy per training seed.
        confidence: two-sided level in (0, 1).

    Raises:
        InputError: fewer than two numbers, another shape, or one that is not finite.

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

    Args:
        successes: 0 .. trials.
        trials: independent events, >= 1.
        confidence: two-sided level in (0, 1).

    Raises:
        InputError: counts out of these bounds.

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
