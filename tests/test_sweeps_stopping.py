"""The stopping rule: from the first trials alone, in their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import ACCURACY
from qtaml_codesign.statistics import hall_interval, union_interval
from qtaml_codesign.sweeps.collect import missing_batches
from qtaml_codesign.sweeps.stopping import StoppingRule
from tests.one_trial import one_trial


def answer(rule, correct, samples=100):
    """What a sweep that always runs what is wanted ends with."""
    have = 0
    while True:
        wanted, enough = rule.decide(correct[:have], samples)
        if enough:
            return wanted
        assert wanted > have
        have = wanted


def sums(correct):
    return [sum(count**power for count in correct) for power in (1, 2, 3)]


def noisy(spread, count=2000, seed=5):
    return [int(value) for value in np.clip(np.random.default_rng(seed).normal(80, spread, count), 0, 100)]


def test_quiet_trials_stop_at_the_first_checkpoint():
    assert answer(StoppingRule(half_width=0.01), [90] * 400) == 20


def test_noisy_trials_go_on_to_the_end():
    assert answer(StoppingRule(half_width=0.001), noisy(15)) == 320


@pytest.mark.parametrize("half_width", [0.005, 0.01, 0.02, 0.05])
def test_stops_at_the_first_checkpoint_that_is_narrow_enough(half_width):
    rule, correct = StoppingRule(half_width=half_width, max_trials=160), noisy(6)
    stop = answer(rule, correct)
    widths = {n: hall_interval(*sums(correct[:n]), n, 100, 0.98).half_width for n in rule.checkpoints}
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
    assert StoppingRule(max_trials=320).checkpoints == (20, 40, 80, 160, 320)
    assert StoppingRule(max_trials=30).checkpoints == (20, 30)


@pytest.mark.parametrize("kwargs", [
    {"trials": 1}, {"trials": 0}, {"trials": -3}, {"trials": 2.5}, {"trials": True}, {"max_trials": 1},
    {"half_width": 0.0}, {"half_width": 0.5}, {"half_width": math.nan}, {"half_width": -0.1},
])
def test_values_out_of_bounds_are_refused(kwargs):
    with pytest.raises(InputError):
        StoppingRule(**kwargs).measuring(ACCURACY, clean=1.0, target=0.95)


@pytest.mark.parametrize("present", [set(), {0}, {3, 4}, set(range(40)), {9, 10, 11}])
def test_missing_batches_cover_the_gap_exactly_once(present):
    batches = missing_batches(present, 40, most=7)
    covered = [trial for first, count in batches for trial in range(first, first + count)]
    assert covered == [trial for trial in range(40) if trial not in present]
    assert all(1 <= count <= 7 for _, count in batches)


def test_counts_add_up_whatever_the_grouping():
    rng = np.random.default_rng(2)
    parts = [
        one_trial(int(c), 50, stored=800, exposed=700, flipped=int(f), expected=70.0, seconds=0.5)
        for c, f in zip(rng.integers(0, 51, 9), rng.integers(0, 701, 9), strict=True)
    ]
    whole = TrialCounts.total(parts)
    for cut in range(1, 9):
        assert TrialCounts.total(parts[:cut]) + TrialCounts.total(parts[cut:]) == whole
    assert TrialCounts.total(parts[::-1]) == whole
    assert whole.interval() == union_interval(*sums([p.score for p in parts]), 9, 50)


def test_a_decided_point_is_left_at_once():
    rule = StoppingRule(half_width=0.001, threshold=0.95)
    assert answer(rule, noisy(5)) == 20
    assert answer(StoppingRule(half_width=0.001), noisy(5)) == 320
    assert answer(StoppingRule(half_width=0.001, threshold=0.5), noisy(5)) == 20


def test_an_undecided_point_goes_on_to_the_half_width_or_the_end():
    assert answer(StoppingRule(half_width=0.001, threshold=0.795), noisy(5)) == 320
    loose = {"half_width": 0.02}
    assert answer(StoppingRule(**loose, threshold=0.795), noisy(8)) == answer(StoppingRule(**loose), noisy(8))


def test_the_last_look_of_a_search_is_as_sure_as_the_others():
    """A thickness is read off several points, so that 98 % of each is wanted; a point alone is given at 95 %."""
    correct = noisy(5)[:320]
    counts = TrialCounts.total([one_trial(int(value), 100) for value in correct])
    assert StoppingRule().interval(counts) == union_interval(*sums(correct), 320, 100, 0.95)
    searching = StoppingRule(threshold=0.795)
    assert searching.interval(counts) == pytest.approx(union_interval(*sums(correct), 320, 100, 0.98), rel=1e-12)
    assert "at 0.98, over trials" in searching.describe_interval()


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


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_a_look_takes_halls_interval_at_two_fifths_of_the_error(confidence):
    correct = [74] * 17 + [60, 50, 71]
    look = hall_interval(*sums(correct), 20, 100, 1.0 - 0.4 * (1.0 - confidence))
    for threshold, decided in ((look.high + 1e-6, True), (look.high - 1e-6, False),
                               (look.low - 1e-6, True), (look.low + 1e-6, False)):
        rule = StoppingRule(half_width=1e-9, max_trials=40, threshold=threshold, confidence=confidence)
        assert rule.decide(correct, 100) == ((20, True) if decided else (40, False))


def test_the_interval_of_a_look_and_of_the_last_look():
    correct = [74] * 36 + [60, 50, 71, 30]
    counts = TrialCounts.total([one_trial(value, 100) for value in correct])
    look, last = hall_interval(*sums(correct), 40, 100, 0.98), union_interval(*sums(correct), 40, 100, 0.95)
    assert look != last
    assert StoppingRule().interval(counts) == look
    assert StoppingRule(max_trials=40).interval(counts) == last
    assert StoppingRule(trials=40).interval(counts) == last
    assert "0.98 per look" in StoppingRule().describe_interval()
    assert "look" not in StoppingRule(trials=40).describe_interval()


@pytest.mark.parametrize(("rule", "least"), [(StoppingRule(trials=30), 0.93), (StoppingRule(), 0.94)])
def test_the_intervals_of_skewed_trials_cover(rule, least):
    """2,000 sequences of trials of skewness -2.8; Student's interval covers 0.89 and, with looks from 10 on, 0.83."""
    draws = skewed(np.random.default_rng(21), 1000)
    truth, hits = float(skewed(np.random.default_rng(22), 1000).mean()) / 1000, 0
    for row in draws.tolist():
        n = answer(rule, row, samples=1000)
        found = rule.interval(TrialCounts.total([counts_of(sums(row[:n]), n, 1000)]))
        hits += found.low <= truth <= found.high
    assert hits / 2000 >= least


def counts_of(powers, trials, samples):
    """Counts of many trials from their sums alone."""
    return TrialCounts(trials=trials, samples=samples, score=powers[0], score_squares=powers[1],
                       score_cubes=powers[2], score_by_group=[powers[0]], bits_stored=trials, bits_exposed=trials,
                       bits_flipped=0, expected_flips=1.0, seconds=0.0)
