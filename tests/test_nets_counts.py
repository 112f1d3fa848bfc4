"""Counts of trials add up, in any order, and refuse what cannot be."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.target import Target
from qtaml_codesign.statistics import hall_interval, mean_interval, trial_interval, union_interval
from tests.one_trial import one_trial

SAMPLES = 20


def one(correct: int, flipped: int = 3) -> TrialCounts:
    return one_trial(correct, SAMPLES, exposed=40, flipped=flipped)


trial = st.builds(one, st.integers(0, SAMPLES), st.integers(0, 40))


@given(trial, trial, trial)
def test_addition_is_commutative_and_associative(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


def test_every_field_but_samples_is_summed():
    total = one(4) + one(6)
    groups = asdict(total).pop("score_by_group")
    assert groups.tolist() == [2] * 4 + [1] * 2 + [0] * 14
    assert {name: value for name, value in asdict(total).items() if name != "score_by_group"} == {
        "trials": 2, "samples": SAMPLES, "score": 10, "score_squares": 52, "score_cubes": 280, "bits_stored": 160,
        "bits_exposed": 80, "bits_flipped": 6, "expected_flips": 5.0, "seconds": 0.5,
    }


def test_counts_differ_by_their_groups_alone_and_cannot_be_changed():
    moved = replace(one(2), score_by_group=[0, 1, 1] + [0] * 17)
    assert moved != one(2)
    assert (moved + moved, hash(moved)) == (moved + moved, hash(replace(moved)))
    with pytest.raises(ValueError, match="read-only"):
        moved.score_by_group[0] = 1


def test_the_interval_of_many_trials_allows_for_their_skewness():
    total = TrialCounts.total([one(value) for value in [19] * 18 + [3, 11]])
    sums = (total.score, total.score_squares, total.score_cubes)
    assert total.interval(confidence=0.9) == union_interval(*sums, 20, SAMPLES, 0.9)
    assert total.interval(confidence=0.9, skewed=True) == hall_interval(*sums, 20, SAMPLES, 0.9)
    assert total.interval().low < trial_interval(*sums[:2], 20, SAMPLES).low


def test_the_interval_over_samples_is_students_of_the_paired_difference():
    """Groups of one sample each: mean over samples of (share of trials right - 0.75 x right when clean)."""
    rng = np.random.default_rng(3)
    right, clean = rng.integers(0, 2, (8, 60)), rng.integers(0, 2, 60)
    counts = TrialCounts.total([
        replace(one_trial(int(row.sum()), 60), score_by_group=row) for row in right
    ])
    expected = mean_interval(right.mean(axis=0) - 0.75 * clean, 0.9).half_width
    assert counts.image_half_width(clean, np.ones(60, int), Target(0.75), 0.9) == pytest.approx(expected, rel=1e-12)


def test_total_of_a_list_is_the_repeated_sum():
    assert TrialCounts.total([one(1), one(2), one(3)]) == one(1) + one(2) + one(3)
    with pytest.raises(InputError, match="no counts"):
        TrialCounts.total([])


def test_accuracy_is_the_mean_over_trials():
    interval = (one(10) + one(20)).interval()
    assert interval.estimate == 0.75
    assert interval.low == 0.0  # two trials, t = 12.7
    assert one(10).interval() == (0.5, 0.0, 1.0)


def test_rates_are_per_exposed_cell():
    assert one(1).realised_ber == 3 / 40
    assert one(1).nominal_ber == 2.5 / 40
    hidden = replace(one(1), bits_exposed=0, bits_flipped=0, expected_flips=0.0)
    assert math.isnan(hidden.realised_ber)
    assert math.isnan(hidden.nominal_ber)


def test_counts_of_different_evaluation_sets_do_not_add():
    with pytest.raises(InputError, match="different evaluation sets"):
        one(1) + replace(one(1), samples=21)
    with pytest.raises(TypeError):
        one(1) + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        {"trials": 0}, {"samples": 0}, {"score": -1}, {"score": 21}, {"bits_flipped": 41}, {"bits_exposed": 81},
        {"score_squares": 24}, {"score_squares": 200}, {"bits_flipped": -1}, {"score_cubes": 124},
        {"score_cubes": 501}, {"score_by_group": [1, 1, 2]}, {"score_by_group": [6, -1]},
    ],
)
def test_impossible_counts_are_refused(change):
    with pytest.raises(InputError, match="cannot come from trials"):
        replace(one(5), **change)
