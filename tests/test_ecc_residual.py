"""What codes leave of the flips, measured by decoding, against closed forms; how failures are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.ecc.code import Code, FlipRates
from qtaml_codesign.ecc.column_code import hamming, secded
from qtaml_codesign.ecc.repetition import Repetition
from qtaml_codesign.ecc.residual import ResidualLaw, measure
from qtaml_codesign.errors import InputError

FALSE_ALARM = 1e-9
CLOSED = [Repetition(3), Repetition(9), hamming(3), hamming(5), secded(32), secded(64)]


def check_against_closed_form(code: Code, p: object, bits: int) -> None:
    """Wrong words by an exact binomial test; wrong bits by their mean over words, which lies in [0, 1] (Hoeffding)."""
    law = measure(code, p, bits // code.k, seed=3)
    assert law.exact is not None
    assert stats.binomtest(law.wrong, law.words, min(1.0, law.exact.word / law.share)).pvalue > FALSE_ALARM
    slack = law.share * np.sqrt(np.log(2 / FALSE_ALARM) / 2 / law.words)
    assert law.bit_error_rate.estimate == pytest.approx(law.exact.bit, abs=slack)


@pytest.mark.parametrize("code", CLOSED, ids=lambda code: code.name)
@pytest.mark.parametrize("p", [0.1, 0.01, 1e-7])
def test_decoding_agrees_with_the_closed_form(code: Code, p: float) -> None:
    check_against_closed_form(code, p, 100_000)


@pytest.mark.full
@pytest.mark.parametrize("code", CLOSED, ids=lambda code: code.name)
@pytest.mark.parametrize("p", [0.1, 0.05, 0.01, 1e-3, 1e-7])
def test_decoding_millions_of_bits_agrees_with_the_closed_form(code: Code, p: float) -> None:
    check_against_closed_form(code, p, 4_000_000)


def test_repetition_under_charge_loss_agrees_with_its_closed_form() -> None:
    check_against_closed_form(Repetition(3), (0.0, 0.1), 100_000)


def test_words_above_the_radius_stand_for_all_words() -> None:
    """The same rate by flips drawn cell by cell: with the rates a hair apart nothing is known of the count."""
    some, all_words = measure(secded(32), 0.02, 20_000), measure(secded(32), (0.02, 0.02 + 1e-15), 60_000)
    assert (some.share < 0.2, all_words.share) == (True, 1.0)
    table = [[all_words.wrong, all_words.words - all_words.wrong]]
    expected = some.word_error_rate.estimate
    assert stats.binomtest(table[0][0], all_words.words, expected).pvalue > FALSE_ALARM


def test_miscorrections_are_counted() -> None:
    """Hamming never reports; three flips of a SECDED word look like one to it: most of what is not reported."""
    assert measure(hamming(4), 0.1, 2000).miscorrected == 1.0
    law = measure(secded(64), 1e-4, 50_000)
    assert 0.0 < law.miscorrected < 0.01


def test_the_same_seed_gives_the_same_law() -> None:
    one, same, other = (measure(secded(32), 0.05, 2000, seed=seed) for seed in (1, 1, 2))
    assert (one.wrong, one.wrong_bits, one.patterns.tobytes()) == (same.wrong, same.wrong_bits, same.patterns.tobytes())
    assert one.patterns.tobytes() != other.patterns.tobytes()


def test_drawn_words_fail_whole_and_as_often_as_the_law_says() -> None:
    law = measure(secded(64), 0.005, 20_000)
    errors = law.draw(np.random.default_rng(1), 40_000)
    failed = errors.any(axis=1)
    assert law.exact is not None
    assert stats.binomtest(int(failed.sum()), 40_000, law.exact.word).pvalue > FALSE_ALARM
    assert {row.tobytes() for row in errors[failed]} <= {row.tobytes() for row in law.patterns}
    assert len({row.tobytes() for row in errors[failed]}) > 0.9 * len({row.tobytes() for row in law.patterns})
    assert errors.mean() == pytest.approx(law.exact.bit, rel=0.15)
    assert errors[failed].sum(axis=1).mean() > 1.9  # clustered: a lost word holds two wrong bits and more


def test_a_smaller_rate_fails_a_subset_of_the_words() -> None:
    few, many = (measure(secded(64), p, 3000).draw(np.random.default_rng(5), 5000).any(axis=1) for p in (0.01, 0.02))
    assert (few <= many).all()
    assert few.sum() < many.sum()


def test_what_never_failed_is_drawn_without_errors() -> None:
    law = measure(secded(32), 0.0, 10)
    assert (law.word_error_rate.estimate, law.word_error_rate.high > 0.2) == (0.0, True)
    assert not law.draw(np.random.default_rng(0), 100).any()


@pytest.mark.parametrize("arguments", [{"words": 0}, {"words": 1.5}, {"words": 10, "seed": -1}])
def test_bad_numbers_are_refused(arguments: dict) -> None:
    with pytest.raises(InputError, match="next:"):
        measure(secded(32), 0.1, **arguments)


def test_few_failures_are_taken_with_one_more_that_is_left_as_it_was_read() -> None:
    """0 of 2,000 lost is no proof of none; 300 of 3,000 speak for themselves."""
    none = ResidualLaw("c", 96, 48, FlipRates(0.1, 0.1), 2000, 0, 0, 0, 1.0, 0, np.zeros((0, 48), np.uint8))
    assert none.expected.word == 1 / 2002
    assert none.expected.bit == pytest.approx(0.1 / 2002)
    many = replace(none, words=3000, wrong=300, wrong_bits=1200)
    assert many.expected.word == pytest.approx(0.1, rel=0.01)
    assert many.expected.bit == pytest.approx(many.bit_error_rate.estimate, rel=0.03)
