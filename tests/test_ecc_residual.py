"""What codes leave of the flips, measured by decoding, against closed forms; its counts and their intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from qtaml_codesign.ecc.code import Code, FlipRates
from qtaml_codesign.ecc.column_code import hamming, secded
from qtaml_codesign.ecc.repetition import Repetition
from qtaml_codesign.ecc.residual import ResidualLaw, WordCounts, measure
from qtaml_codesign.errors import InputError

FALSE_ALARM = 1e-9
CLOSED = [Repetition(3), Repetition(9), hamming(3), hamming(5), secded(32), secded(64)]


def check_against_closed_form(code: Code, p: object, bits: int) -> None:
    """Wrong words by an exact binomial test; wrong bits by their mean over words, which lies in [0, 1] (Hoeffding)."""
    law = measure(code, p, bits // code.k, seed=3)
    assert law.exact is not None
    seen, share = law.counts, law.counts.share
    assert stats.binomtest(seen.wrong, seen.words, min(1.0, law.exact.word / share)).pvalue > FALSE_ALARM
    slack = share * np.sqrt(np.log(2 / FALSE_ALARM) / 2 / seen.words)
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
    some, every = (measure(secded(32), rates, words).counts for rates, words in (
        (0.02, 20_000), ((0.02, 0.02 + 1e-15), 60_000)))
    assert (some.share < 0.2, every.share) == (True, 1.0)
    assert stats.binomtest(every.wrong, every.words, some.word_error_rate.estimate).pvalue > FALSE_ALARM


def test_miscorrections_are_counted() -> None:
    """Hamming never reports; three flips of a SECDED word look like one to it: most of what is not reported."""
    assert measure(hamming(4), 0.1, 2000).counts.miscorrected == 1.0
    assert 0.0 < measure(secded(64), 1e-4, 50_000).counts.miscorrected < 0.01


def test_the_same_seed_gives_the_same_law() -> None:
    one, same, other = (measure(secded(32), 0.05, 2000, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.counts != other.counts


def test_the_interval_of_the_counts_is_that_of_the_binomial_tails() -> None:
    """Each end of the interval leaves 2.5 % of the binomial law beyond what was seen, found here by bisection."""
    counts = WordCounts(words=300, wrong=7, wrong_bits=90, reported=3, share=0.25)
    low = optimize.brentq(lambda p: stats.binom.sf(6, 300, p) - 0.025, 1e-6, 0.5, xtol=1e-15)
    high = optimize.brentq(lambda p: stats.binom.cdf(7, 300, p) - 0.025, 1e-6, 0.5, xtol=1e-15)
    np.testing.assert_allclose(counts.word_error_rate, [0.25 * 7 / 300, 0.25 * low, 0.25 * high], rtol=1e-9, atol=0)
    law = ResidualLaw("c", 96, 48, FlipRates(0.1, 0.1), counts, 0)
    assert law.word_error_rate == counts.word_error_rate
    np.testing.assert_allclose(law.bit_error_rate, np.array(counts.word_error_rate) * 90 / 7 / 48, rtol=1e-12, atol=0)


def test_the_interval_holds_the_closed_form_as_often_as_it_says() -> None:
    """95 % or more of 200 measurements; false alarm 5e-10 below 167 of them (binomial)."""
    exact = secded(32).closed_form(FlipRates(0.01, 0.01))
    assert exact is not None
    found = [measure(secded(32), 0.01, 400, seed).word_error_rate for seed in range(200)]
    assert sum(one.low <= exact.word <= one.high for one in found) >= 167


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (10, 11, 11, 0), (10, 2, 1, 0), (10, 2, 2, 3), (10, -1, 0, 0),
                                    (10.0, 1, 1, 1), (10, 1, 1, 1, 1.5)])
def test_counts_that_cannot_be_are_refused(counts: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="no counts of decoded words"):
        WordCounts(*counts)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"words": 0}, {"words": 1.5}, {"words": 10, "seed": -1}])
def test_bad_numbers_are_refused(arguments: dict) -> None:
    with pytest.raises(InputError, match="next:"):
        measure(secded(32), 0.1, **arguments)


def test_few_failures_are_taken_with_one_more_that_is_left_as_it_was_read() -> None:
    """0 of 2,000 lost is no proof of none; 300 of 3,000 speak for themselves."""
    none = ResidualLaw("c", 96, 48, FlipRates(0.1, 0.1), WordCounts(2000, 0, 0, 0), 0)
    assert none.expected.word == 1 / 2002
    assert none.expected.bit == pytest.approx(0.1 / 2002)
    many = replace(none, counts=WordCounts(3000, 300, 1200, 0))
    assert many.expected.word == pytest.approx(0.1, rel=0.01)
    assert many.expected.bit == pytest.approx(many.bit_error_rate.estimate, rel=0.03)
