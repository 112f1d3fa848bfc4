"""Intervals against scipy, and the coverage they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import clopper_pearson, mean_interval, student_quantile, trial_interval


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
