"""`codesign verify`: passes on the sampler and the law as they are, fails when either is broken on purpose."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from qtaml_codesign.bits import verification
from qtaml_codesign.bits.flips import FlippedCodes, draw_flips
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.moments import Cumulants
from qtaml_codesign.bits.verification import verify_theorems
from qtaml_codesign.errors import InputError


@pytest.mark.parametrize("rate", [1e-3, 0.05, 0.10, 0.37, 0.5, 0.9])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_every_theorem_holds(rate, bits):
    checks = verify_theorems(flip_probability=rate, bits=bits, trials=8, seed=1)
    assert [check for check in checks if not check.passed] == []
    assert all(np.isfinite([check.predicted, check.measured, check.standard_error, check.z]).all() for check in checks)


def test_wide_weights_hold_too():
    assert all(check.passed for check in verify_theorems(bits=16, trials=4))


def test_the_table_shows_the_papers_figures():
    predicted = {check.quantity: check.predicted for check in verify_theorems(trials=4)}
    step, p = 2.0**-7, 0.1
    for name, value in {
        "offset_binary: slope of E[read | w]": 1 - 2 * p,
        "offset_binary: E[read | w = 0]": -p * step,
        "offset_binary: Var[delta | w], mean over w": p * (1 - p) * step**2 * (4.0**8 - 1) / 3,
        "twos_complement: share of the variance in the MSB": 0.75 / (1 - 4.0**-8),
        "k = 2: slope of E[delta | w] on low(w)": -2 * p,
        "k = 2: E[delta | low(w) = 0]": p * step * (2.0**6 - 1),
        "k = 2: Var[delta | w], mean over w": p * (1 - p) * step**2 * (4.0**6 - 1) / 3,
        "sign_magnitude: coefficient of w": (1 - 2 * p) ** 2,
        "sign_magnitude: coefficient of sign(w)": (1 - 2 * p) * p * (1 - step),
        "charge loss: slope of E[read | w]": 1 - p,
        "charge loss: E[read | w = 0]": -p,
    }.items():
        assert predicted[name] == pytest.approx(value, rel=1e-12)


def test_standard_errors_are_those_seen_over_seeds():
    """z over 60 seeds: mean 0 and spread 1 in every row; bounds at about six standard errors of either."""
    tables = [verify_theorems(bits=4, trials=4, seed=seed) for seed in range(60)]
    scores = np.array([[row.z for row in table if "worst" not in row.quantity] for table in tables])
    assert np.abs(scores.mean(axis=0)).max() < 6 / np.sqrt(60)
    assert 0.45 < scores.std(axis=0).min() < scores.std(axis=0).max() < 1.6


def test_the_same_seed_repeats_and_another_does_not():
    first = verify_theorems(bits=4, trials=2, seed=5)
    assert verify_theorems(bits=4, trials=2, seed=5) == first
    assert verify_theorems(bits=4, trials=2, seed=6) != first


def test_command_prints_a_row_per_check_and_exits_with_0(codesign):
    done = codesign("verify", "--trials", 8, "--seed", 3, "--flip-probability", 0.05, "--bits", 6)
    assert done.code == 0
    assert done.stderr == ""
    count = len(verify_theorems(0.05, bits=6, trials=8, seed=3))
    assert f"{count} of {count} rows pass" in done.stdout
    assert len(re.findall(r"\d  pass$", done.stdout, re.MULTILINE)) == count
    assert "offset_binary: slope of E[read | w]" in done.stdout


def broken_drift(monkeypatch):
    """Sign of the mean drift."""
    right = ReadLaw.drift
    monkeypatch.setattr(ReadLaw, "drift", lambda law, codes=None: -right(law, codes))


def broken_variance(monkeypatch):
    """Variance 2 % too large."""
    right = ReadLaw._cumulants.func
    wrong = property(lambda law: Cumulants(right(law)[0], right(law)[1] * 1.02, *right(law)[2:]))
    monkeypatch.setattr(ReadLaw, "_cumulants", wrong)


def broken_depth(monkeypatch):
    """Protects the low planes instead of the top ones."""

    def sampler(codes, errors, depth, key, trial):
        keep = np.arange(errors.format.bits) >= depth
        fewer = replace(errors, one_to_zero=errors.one_to_zero * keep, zero_to_one=errors.zero_to_one * keep)
        return draw_flips(codes, fewer, 0, key, trial)

    monkeypatch.setattr(verification, "draw_flips", sampler)


def broken_direction(monkeypatch):
    """1 -> 0 and 0 -> 1 swapped."""
    monkeypatch.setattr(
        verification, "draw_flips",
        lambda codes, errors, *rest: draw_flips(
            codes, replace(errors, one_to_zero=errors.zero_to_one, zero_to_one=errors.one_to_zero), *rest),
    )


def broken_rate(monkeypatch):
    """p rounded down to a power of two."""

    def down(rates):
        return np.where(rates > 0, 2.0 ** np.floor(np.log2(np.maximum(rates, 1e-300))), 0.0)

    monkeypatch.setattr(
        verification, "draw_flips",
        lambda codes, errors, *rest: draw_flips(
            codes, replace(errors, one_to_zero=down(errors.one_to_zero), zero_to_one=down(errors.zero_to_one)), *rest
        ),
    )


def broken_words(monkeypatch):
    """At most one flip per word: the highest."""

    def sampler(codes, errors, *rest):
        flipped = (draw_flips(codes, errors, *rest).codes ^ codes).astype(np.int64)
        one = np.where(flipped > 0, 2 ** np.floor(np.log2(np.maximum(flipped, 1))).astype(np.int64), 0)
        counts = np.array([int((one >> plane & 1).sum()) for plane in range(errors.format.bits)])
        return FlippedCodes((codes ^ one).astype(codes.dtype), counts, codes.size)

    monkeypatch.setattr(verification, "draw_flips", sampler)


BREAKS = [broken_drift, broken_variance, broken_depth, broken_direction, broken_rate, broken_words]


@pytest.mark.parametrize("damage", BREAKS)
def test_command_exits_with_1_when_the_law_or_the_sampler_is_broken(damage, codesign, monkeypatch):
    damage(monkeypatch)
    done = codesign("verify")
    assert done.code == 1
    assert "FAIL" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--flip-probability", 0), ("--flip-probability", 1), ("--flip-probability", "nan"),
        ("--flip-probability", 1e-9),
        ("--bits", 1), ("--bits", 17), ("--trials", 0), ("--seed", -1),
    ],
)
def test_command_refuses_what_it_cannot_check(codesign, arguments):
    done = codesign("verify", *arguments)
    assert done.code == 2
    assert [part for part in ("where:", "rule:", "value:", "next:") if part not in done.stderr] == []
    assert done.stdout == ""


def test_library_refuses_what_is_no_number():
    with pytest.raises(InputError, match="next:"):
        verify_theorems(flip_probability="0.1")


def test_help_ends_with_an_example(codesign):
    assert "Example: codesign verify" in " ".join(codesign("verify", "--help").stdout.split())
