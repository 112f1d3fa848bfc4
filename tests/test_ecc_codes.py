"""Repetition, Hamming and SECDED codes against textbook numbers, exhaustive enumeration and decoding."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

from qtaml_codesign.ecc.code import Code, FlipRates, flip_rates
from qtaml_codesign.ecc.column_code import ColumnCode, hamming, secded
from qtaml_codesign.ecc.repetition import Repetition
from qtaml_codesign.errors import InputError

SMALL = [Repetition(3), Repetition(5), hamming(3), secded(4), secded(3), secded(1)]
names = pytest.mark.parametrize("code", SMALL, ids=lambda code: code.name)


def every_word(width: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=width)), np.uint8)


@names
@pytest.mark.parametrize("p", [1e-6, 0.03, 0.1, 0.3, 0.7])
def test_closed_forms_are_the_sums_over_all_patterns_of_flips(code: Code, p: float) -> None:
    patterns = every_word(code.n)
    weights = patterns.sum(axis=1)
    chance = p**weights * (1.0 - p) ** (code.n - weights)
    for data in ([0] * code.k, [1] * code.k):
        errors = code.decode(code.encode([data]) ^ patterns, p).bits ^ np.array(data)
        form = code.closed_form(flip_rates(p))
        assert form is not None
        assert form.word == pytest.approx(chance @ errors.any(axis=1), rel=1e-12)
        assert form.bit == pytest.approx(chance @ errors.mean(axis=1), rel=1e-12)


@pytest.mark.parametrize("p", [1e-9, 0.01, 0.1, 0.4])
def test_three_copies_leave_the_rate_of_the_textbook(p: float) -> None:
    assert Repetition(3).residual_rates(FlipRates(p, p)).zero_to_one == pytest.approx(3 * p**2 - 2 * p**3, rel=1e-12)


def test_copies_decide_for_the_likelier_value_under_charge_loss() -> None:
    """A cell that can only lose its one: a single one that is read proves it, and only n losses hide it."""
    code, rates = Repetition(5), FlipRates(0.0, 0.2)
    assert code.decode([[0, 0, 1, 0, 0], [0] * 5], rates).bits.tolist() == [[1], [0]]
    assert code.residual_rates(rates) == pytest.approx((0.0, 0.2**5), rel=1e-12)


@pytest.mark.parametrize("rates", [(0.01, 0.3), (0.3, 0.01), (0.05, 0.1)])
def test_no_rule_on_the_ones_that_are_read_beats_the_decoder(rates: tuple[float, float]) -> None:
    up, down = rates
    chances = [[comb(7, ones) * r**ones * (1 - r) ** (7 - ones) for ones in range(8)] for r in (up, 1 - down)]
    best = sum(min(pair) for pair in zip(*chances, strict=True)) / 2
    assert Repetition(7).residual_rates(FlipRates(*rates)).mean == pytest.approx(best, rel=1e-12)


def test_hamming_has_the_weights_of_the_textbook() -> None:
    weights = np.bincount(hamming(3).encode(every_word(4)).sum(axis=1), minlength=8)
    assert weights.tolist() == [1, 0, 0, 7, 7, 0, 0, 1]


@pytest.mark.parametrize(("checks", "size"), [(2, (3, 1)), (3, (7, 4)), (4, (15, 11)), (7, (127, 120))])
def test_hamming_is_perfect(checks: int, size: tuple[int, int]) -> None:
    """Every syndrome is a column: balls of radius one fill the space."""
    code = hamming(checks)
    assert (code.n, code.k) == size
    assert sorted([*code.columns, *(1 << i for i in range(checks))]) == list(range(1, 1 << checks))


@pytest.mark.parametrize("code", [secded(32), secded(64)], ids=lambda code: code.name)
def test_secded_corrects_every_single_and_reports_every_double(code: ColumnCode) -> None:
    data = np.random.default_rng(7).integers(0, 2, (1, code.k), dtype=np.uint8)
    word = code.encode(data)
    singles = np.eye(code.n, dtype=np.uint8)
    fixed = code.decode(word ^ singles, 0.1)
    assert (fixed.bits == data).all()
    assert not fixed.failed.any()
    doubles = np.array([singles[i] ^ singles[j] for i, j in itertools.combinations(range(code.n), 2)])
    found = code.decode(word ^ doubles, 0.1)
    assert found.failed.all()
    assert len(doubles) == comb(code.n, 2)
    assert (code.n, len(doubles)) in [(39, 741), (72, 2556)]
    assert ((found.bits ^ data) == doubles[:, : code.k]).all()  # left as they were read


def test_small_rates_keep_their_digits() -> None:
    """P(data wrong) -> pairs of flips that touch data, those of two check bits left out: (72 71 - 8 7) / 2 p^2."""
    form = secded(64).closed_form(FlipRates(1e-12, 1e-12))
    assert form is not None
    assert form.word == pytest.approx((72 * 71 - 8 * 7) / 2 * 1e-24, rel=1e-9)


def test_sizes_and_costs() -> None:
    code = secded(64)
    assert (code.name, code.n, code.k, code.rate, code.cells_per_bit) == ("secded-72-64", 72, 64, 64 / 72, 1.125)
    assert (code.cost.latency, code.cost.block_bits, code.cost.cells_per_access) == ("combinational", 72, 72)
    assert (Repetition(3).cells_per_bit, secded(32).name, hamming(4).name) == (3.0, "secded-39-32", "hamming-15-11")


@pytest.mark.parametrize("wrong", [
    lambda: Repetition(4), lambda: Repetition(0), lambda: hamming(1), lambda: secded(0),
    lambda: secded(4).encode([[0, 1, 2, 0]]), lambda: secded(4).encode([0, 1, 1, 0]),
    lambda: secded(4).encode([[0.5] * 4]),
    lambda: secded(4).decode(np.zeros((1, 7), int), 0.1), lambda: secded(4).decode(np.zeros((1, 8), int), 1.1),
    lambda: flip_rates([0.1, 0.2, 0.3]), lambda: flip_rates("often"),
])
def test_what_is_no_code_no_word_and_no_rate_is_refused(wrong) -> None:
    with pytest.raises(InputError, match="next:"):
        wrong()
