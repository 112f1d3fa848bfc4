"""Intervals against scipy, and the coverage they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import (
    clopper_pearson,
    group_half_width,
    hall_interval,
    mean_interval,
    student_quantile,
    trial_interval,
    union_interval,
)


def of(correct: np.ndarray, samples: int, confidence: float = 0.95) -> tuple[float, float, float]:
    total, squares = int(correct.sum()), int((correct**2).sum())
    return tuple(trial_interval(total, squares, len(correct), samples, confidence))  # type: ignore[return-value]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_trial_interval_is_students(confidence: float) -> None:
    correct = np.array([80, 91, 77, 85, 88])
    mean, low, high = of(correct, 100, confidence)
    expected = stats.t.interval(confidence, 4, loc=correct.mean() / 100, scale=stats.sem(correct) / 100)
    np.testing.assert_allclose([low, high], np.clip(expected, 0.0, 1.0), rtol=1e-12)
    assert mean == pytest.approx(0.842, rel=1e-15)


def test_equal_trials_do_not_pretend_to_be_exact() -> None:
    mean, low, high = of(np.full(10, 95), 100)
    assert mean == 0.95
    assert (low, high) == (pytest.approx(0.95 - 3 / 1000, rel=1e-12), pytest.approx(0.95 + 3 / 1000, rel=1e-12))


def test_one_trial_says_nothing_and_no_interval_leaves_the_unit_range() -> None:
    assert of(np.array([50]), 100)[1:] == (0.0, 1.0)
    assert of(np.array([99, 100, 100]), 100)[2] == 1.0
    assert of(np.array([1, 0, 0]), 100)[1] == 0.0


def test_coverage_of_the_trial_interval() -> None:
    """2,000 experiments of 10 trials, key 1; false-failure rate 1e-9: coverage 0.95 within 6.1 x 0.0049."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        _, low, high = of(generator.binomial(300, generator.beta(80, 20, 10)), 300)
        hits += low <= 0.8 <= high
    assert abs(hits / 2000 - 0.95) < 6.1 * np.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 17), (999, 1000), (1, 10**6)])
def test_clopper_pearson_solves_its_tails(successes: int, trials: int) -> None:
    found = clopper_pearson(successes, trials)
    if successes > 0:
        assert stats.binom.sf(successes - 1, trials, found.low) == pytest.approx(0.025, rel=1e-9)
    if successes < trials:
        assert stats.binom.cdf(successes, trials, found.high) == pytest.approx(0.025, rel=1e-9)
    assert (found.low == 0.0) == (successes == 0)
    assert (found.high == 1.0) == (successes == trials)


def test_student_quantile_is_scipys() -> None:
    assert student_quantile(0.99, 7) == pytest.approx(stats.t.ppf(0.995, 7), rel=1e-12)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="no trials"):
        trial_interval(0, 0, 0, 100)
    with pytest.raises(InputError, match="no trials"):
        hall_interval(0, 0, 0, 0, 100)
    with pytest.raises(InputError, match="proportion"):
        clopper_pearson(5, 4)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_mean_interval_is_students(confidence: float) -> None:
    values = np.array([0.91, 0.95, 0.97, 0.88])
    expected = stats.t.interval(confidence, 3, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values, confidence) == pytest.approx((values.mean(), *expected), rel=1e-12)


@pytest.mark.parametrize("values", [[0.5], [], [0.5, np.nan], [[0.5, 0.6]]])
def test_mean_interval_needs_two_finite_values(values: list[float]) -> None:
    with pytest.raises(InputError, match="two or more"):
        mean_interval(values)


def hall(correct: np.ndarray, samples: int, confidence: float = 0.95) -> tuple[float, float, float]:
    sums = [int((correct.astype(object) ** power).sum()) for power in (1, 2, 3)]
    return tuple(hall_interval(*sums, len(correct), samples, confidence))  # type: ignore[return-value]


SKEWED = np.array([930, 921, 940, 935, 928, 700, 932, 941, 925, 850, 937, 929])


@pytest.mark.parametrize("correct", [SKEWED, 1000 - SKEWED, SKEWED[:3], np.array([500, 501, 503, 560])])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.98])
def test_hall_interval_holds_the_means_whose_transformed_t_is_within_the_quantile(correct, confidence) -> None:
    """Hall's g in powers of t, as published, inverted by a root finder; skewness by scipy (unbiased)."""
    means, n = correct / 1000, len(correct)
    k, error = stats.skew(means, bias=False), stats.sem(means)

    def g(t: float) -> float:
        return t + k * t**2 / (3 * n**0.5) + k**2 * t**3 / (27 * n) + k / (6 * n**0.5)

    q = stats.t.ppf(0.5 + confidence / 2, n - 1)
    ends = [means.mean() - error * optimize.brentq(lambda t, q=q: g(t) - q, -1e3, 1e3, xtol=1e-13) for q in (q, -q)]
    np.testing.assert_allclose(hall(correct, 1000, confidence)[1:], np.clip(ends, 0.0, 1.0), rtol=1e-9)


def test_hall_interval_of_symmetric_trials_is_students_and_mirrors() -> None:
    even = np.array([80, 85, 90, 95, 75, 85])
    assert hall(even, 100) == pytest.approx(of(even, 100), rel=1e-12)
    _, low, high = hall(SKEWED, 1000)
    assert hall(1000 - SKEWED, 1000)[1:] == pytest.approx((1 - high, 1 - low), rel=1e-12)
    assert 0.892 - low > 2 * (high - 0.892), "the long tail lies below"
    barely = np.array([500_000] * 10 + [500_001] * 9 + [500_000 + 3])
    tilted = hall(barely * 1000, 10**9)
    assert tilted[1] < tilted[0] < tilted[2]


def test_two_trials_have_no_skewness_and_equal_trials_keep_the_floor() -> None:
    assert hall(np.array([50, 60]), 100) == of(np.array([50, 60]), 100)
    assert hall(np.full(10, 95), 100) == of(np.full(10, 95), 100)
    assert hall(np.array([50]), 100)[1:] == (0.0, 1.0)


def test_union_takes_the_widest_ends() -> None:
    sums = [int((SKEWED**power).sum()) for power in (1, 2, 3)]
    student, skewed = of(SKEWED, 1000), hall(SKEWED, 1000)
    assert skewed[1] < student[1] < skewed[2] < student[2]
    assert union_interval(*sums, 12, 1000) == (student[0], skewed[1], student[2])


def test_group_half_width_of_uneven_groups() -> None:
    """A ratio estimate by its textbook formula (Cochran, Sampling Techniques, 1977, section 6.3)."""
    excess, sizes = np.array([3.0, 1.5, 0.0, 4.0, 2.0]), np.array([4, 2, 3, 5, 2])
    ratio = excess.sum() / sizes.sum()
    error = np.sqrt(((excess - ratio * sizes) ** 2).sum() / 4 / 5) / sizes.mean()
    assert group_half_width(excess, sizes, 0.9) == pytest.approx(stats.t.ppf(0.95, 4) * error, rel=1e-12)
    assert group_half_width([1.0], [3]) == math.inf
    assert group_half_width([2.0, 4.0], [200, 400]) == 3 / 600


def test_group_half_width_covers_over_evaluation_samples() -> None:
    """2,000 evaluation sets of 100 groups of 3, key 4; coverage 0.95 within 6.1 x 0.0049 (false failure 1e-9)."""
    generator, hits = np.random.default_rng(4), 0
    for _ in range(2000):
        right = generator.binomial(3, generator.beta(8, 2, 100))
        hits += abs(right.sum() / 300 - 0.8) <= group_half_width(right, np.full(100, 3))
    assert abs(hits / 2000 - 0.95) < 6.1 * 0.0049
