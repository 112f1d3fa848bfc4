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
from qtaml_codesign.sweeps.stopping import StoppingRule


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


def test_all_looks_together_decide_wrongly_at_most_as_often_as_one():
    """The truth lies on the threshold, so every early stop is a wrong decision; 2,000 sequences, false failure 1e-9."""
    rule = StoppingRule(half_width=1e-6, max_trials=320, threshold=0.8)
    draws = np.random.default_rng(11).binomial(1000, 0.8, (2000, 320))
    early = sum(answer(rule, row.tolist(), samples=1000) < 320 for row in draws)
    assert early <= stats.binom.isf(1e-9, 2000, 0.05)
    assert early >= stats.binom.ppf(1e-9, 2000, 0.02)


@pytest.mark.parametrize("looks", [1, 6])
def test_the_level_of_a_look_is_shared_among_the_looks(looks):
    rule = StoppingRule(half_width=1e-9, max_trials=10 * 2 ** (looks - 1), threshold=0.8)
    correct = [70 + 2 * (index % 2) for index in range(10)]
    totals = (sum(correct), sum(value**2 for value in correct), 10, 100)
    narrow = trial_interval(*totals, 1.0 - 0.05 / looks)
    just_outside = StoppingRule(half_width=1e-9, max_trials=rule.max_trials, threshold=narrow.high + 1e-9)
    just_inside = StoppingRule(half_width=1e-9, max_trials=rule.max_trials, threshold=narrow.high - 1e-9)
    assert just_outside.decide(correct, 100) == (10, True)
    assert just_inside.decide(correct, 100)[1] == (looks == 1)
