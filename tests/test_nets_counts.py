"""Counts of trials add up, in any order, and refuse what cannot be."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts

SAMPLES = 20


def one(correct: int, flipped: int = 3) -> TrialCounts:
    return TrialCounts(1, SAMPLES, correct, correct**2, 80, 40, flipped, 2.5, 0.25)


trial = st.builds(one, st.integers(0, SAMPLES), st.integers(0, 40))


@given(trial, trial, trial)
def test_addition_is_commutative_and_associative(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


def test_every_field_but_samples_is_summed():
    total = one(4) + one(6)
    assert asdict(total) == {
        "trials": 2, "samples": SAMPLES, "correct": 10, "correct_squares": 52, "bits_stored": 160,
        "bits_exposed": 80, "bits_flipped": 6, "expected_flips": 5.0, "seconds": 0.5,
    }


def test_total_of_a_list_is_the_repeated_sum():
    assert TrialCounts.total([one(1), one(2), one(3)]) == one(1) + one(2) + one(3)
    with pytest.raises(InputError, match="no counts"):
        TrialCounts.total([])


def test_accuracy_is_the_mean_over_trials():
    interval = (one(10) + one(20)).accuracy()
    assert interval.estimate == 0.75
    assert interval.low == 0.0  # two trials, t = 12.7
    assert one(10).accuracy() == (0.5, 0.0, 1.0)


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
        {"trials": 0}, {"samples": 0}, {"correct": -1}, {"correct": 21}, {"bits_flipped": 41}, {"bits_exposed": 81},
        {"correct_squares": 24}, {"correct_squares": 200}, {"bits_flipped": -1},
    ],
)
def test_impossible_counts_are_refused(change):
    with pytest.raises(InputError, match="cannot come from trials"):
        replace(one(5), **change)
