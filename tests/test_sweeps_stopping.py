"""The stopping rule: from the first trials alone, in their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.statistics import trial_interval
from qtaml_codesign.sweeps.collect import missing_batches
from qtaml_codesign.sweeps.stopping import StoppingRule, is_decided


def answer(rule, correct, samples=100):
    """What a sweep that always runs what is wanted ends with."""
    have = 0
    while True:
        wanted, enough = rule.decide(correct[:have], samples)
        if enough:
            return wanted
        assert wanted > have
        have = wanted


def noisy(spread, count=2000, seed=5):
    return [int(value) for value in np.clip(np.random.default_rng(seed).normal(80, spread, count), 0, 100)]


def test_quiet_trials_stop_at_the_first_checkpoint():
    assert answer(StoppingRule(half_width=0.01), [90] * 400) == 10


def test_noisy_trials_go_on_to_the_end():
    assert answer(StoppingRule(half_width=0.001), noisy(15)) == 320


@pytest.mark.parametrize("half_width", [0.005, 0.01, 0.02, 0.05])
def test_stops_at_the_first_checkpoint_that_is_narrow_enough(half_width):
    rule, correct = StoppingRule(half_width=half_width, max_trials=160), noisy(6)
    stop = answer(rule, correct)
    widths = {n: trial_interval(sum(correct[:n]), sum(c * c for c in correct[:n]), n, 100).half_width
              for n in rule.checkpoints}
    narrow = [n for n in rule.checkpoints if widths[n] <= half_width]
    assert stop == (narrow[0] if narrow else 160)


@pytest.mark.parametrize("have", [0, 3, 10, 57, 320, 2000])
def test_more_trials_in_the_store_change_nothing(have):
    rule, correct = StoppingRule(half_width=0.01), noisy(5)
    stop = answer(rule, correct)
    wanted, enough = rule.decide(correct[:have], 100)
    assert (wanted == stop and enough) if have >= stop else not enough


def test_fixed_number():
    assert answer(StoppingRule(trials=7), [1] * 100) == 7
    assert StoppingRule(trials=7).decide([1] * 6, 10) == (7, False)


def test_small_limit_is_the_only_checkpoint():
    assert StoppingRule(max_trials=4).checkpoints == (4,)
    assert StoppingRule(max_trials=10).checkpoints == (10,)
    assert StoppingRule(max_trials=320).checkpoints == (10, 20, 40, 80, 160, 320)


@pytest.mark.parametrize("kwargs", [
    {"trials": 1}, {"trials": 0}, {"trials": -3}, {"trials": 2.5}, {"trials": True}, {"max_trials": 1},
    {"half_width": 0.0}, {"half_width": 0.5}, {"half_width": math.nan}, {"half_width": -0.1},
])
def test_values_out_of_bounds_are_refused(kwargs):
    with pytest.raises(InputError):
        StoppingRule(**kwargs)


@pytest.mark.parametrize("present", [set(), {0}, {3, 4}, set(range(40)), {9, 10, 11}])
def test_missing_batches_cover_the_gap_exactly_once(present):
    batches = missing_batches(present, 40, most=7)
    covered = [trial for first, count in batches for trial in range(first, first + count)]
    assert covered == [trial for trial in range(40) if trial not in present]
    assert all(1 <= count <= 7 for _, count in batches)


def test_counts_add_up_whatever_the_grouping():
    rng = np.random.default_rng(2)
    parts = [
        TrialCounts(trials=1, samples=50, correct=int(c), correct_squares=int(c) ** 2, bits_stored=800,
                    bits_exposed=700, bits_flipped=int(f), expected_flips=70.0, seconds=0.5)
        for c, f in zip(rng.integers(0, 51, 9), rng.integers(0, 701, 9), strict=True)
    ]
    whole = TrialCounts.total(parts)
    for cut in range(1, 9):
        assert TrialCounts.total(parts[:cut]) + TrialCounts.total(parts[cut:]) == whole
    assert TrialCounts.total(parts[::-1]) == whole
    assert whole.accuracy() == trial_interval(sum(p.correct for p in parts), sum(p.correct**2 for p in parts), 9, 50)


def test_a_decided_point_is_left_at_once():
    rule = StoppingRule(half_width=0.001, threshold=0.95)
    assert answer(rule, noisy(5)) == 10
    assert answer(StoppingRule(half_width=0.001), noisy(5)) == 320
    assert answer(StoppingRule(half_width=0.001, threshold=0.5), noisy(5)) == 10


def test_an_undecided_point_goes_on_to_the_half_width_or_the_end():
    assert answer(StoppingRule(half_width=0.001, threshold=0.795), noisy(5)) == 320
    loose = {"half_width": 0.02}
    assert answer(StoppingRule(**loose, threshold=0.795), noisy(8)) == answer(StoppingRule(**loose), noisy(8))


def skewed(generator, samples):
    """Answers of trials that lose little mostly and much now and then: mean 0.8, skewness -2.8."""
    lost = generator.gamma(0.5, 0.06 / 0.5, (2000, 320))
    return np.clip(np.round((0.86 - lost) * samples), 0, samples).astype(int)


@pytest.mark.parametrize("law", ["binomial", "skewed"])
def test_all_looks_together_decide_wrongly_at_most_as_often_as_one(law):
    """The truth lies on the threshold, so every early stop is a wrong decision; 2,000 sequences, false failure 1e-9."""
    generator, samples = np.random.default_rng(11), 1000
    draws = generator.binomial(samples, 0.8, (2000, 320)) if law == "binomial" else skewed(generator, samples)
    truth = 0.8 if law == "binomial" else float(skewed(np.random.default_rng(12), samples).mean()) / samples
    rule = StoppingRule(half_width=1e-6, max_trials=320, threshold=truth)
    early = sum(answer(rule, row.tolist(), samples=samples) < 320 for row in draws)
    assert early <= stats.binom.isf(1e-9, 2000, 0.05)
    assert early >= stats.binom.ppf(1e-9, 2000, 0.01)


@pytest.mark.parametrize("looks", [1, 2, 6])
def test_the_level_of_a_look_doubles_and_all_add_up(looks):
    """Symmetric trials: the test is Student's, at the first look with 1 / (2^looks - 1) of the level."""
    most = 10 * 2 ** (looks - 1)
    correct = [70, 74] * 5
    totals = (sum(correct), sum(value**2 for value in correct), 10, 100)
    first = trial_interval(*totals, 1.0 - 0.05 / (2**looks - 1))
    for threshold, decided in ((first.high + 1e-6, True), (first.high - 1e-6, False),
                               (first.low - 1e-6, True), (first.low + 1e-6, False)):
        rule = StoppingRule(half_width=1e-9, max_trials=most, threshold=threshold)
        assert rule.decide(correct, 100)[1] == (decided or looks == 1)


def test_a_long_left_tail_counts_against_the_mean_above_the_threshold():
    """Johnson's t written out, for nine trials of 28 and one of 18 right answers in 30: mean 0.9."""
    correct, samples = [28] * 9 + [18], 30
    shares = np.array(correct) / samples
    spread, third = shares.std(ddof=1), ((shares - shares.mean()) ** 3).mean()
    for threshold in (0.80, 0.84, 0.86, 0.93, 0.97):
        d = shares.mean() - threshold
        t = (d + third / (60 * spread**2) + third * d**2 / (3 * spread**4)) * np.sqrt(10) / spread
        assert is_decided(correct, samples, threshold, 0.9) == (abs(t) > stats.t.ppf(0.95, 9))
    assert not is_decided(correct, samples, 0.84, 0.9)
    assert is_decided([28, 24] * 5, samples, 0.80, 0.9)
