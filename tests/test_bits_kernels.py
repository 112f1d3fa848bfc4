"""The random numbers and the comparison u < rate: known answers, exactness, and compiled = uncompiled."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.flips import draw_flips, flip_key, read_back
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.profile import BitErrorProfile, RegionErrors
from tests.bits_oracles import slow_philox, slow_read, slow_uniform

# Random123, tests/kat_vectors, lines "philox4x32 10": counter, key, answer
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
WORDS = st.integers(0, 2**32 - 1)
EXTREME_RATES = [5e-324, 1e-300, 1e-12, 2.0**-32, 2.0**-33, 0.1, 1 / 3, 0.5, 1 - 2.0**-53, 1.0]
rates = st.one_of(st.floats(0.0, 1.0), st.sampled_from(EXTREME_RATES))
KEY = np.array(flip_key(5, "tensor").words, np.uint64)


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("philox", [kernels.philox_block, kernels.philox_block.py_func], ids=["compiled", "python"])
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(philox, counter, key, answer):
    found = philox(*(np.uint64(word) for word in words(counter) + words(key)))
    assert [int(word) for word in found] == words(answer)
    assert slow_philox(words(counter), words(key)) == words(answer)


INDICES, TRIALS = st.integers(0, 2**48 - 1), st.integers(0, 2**64 - 1)


@given(index=INDICES, plane=st.integers(0, 15), trial=TRIALS, level=st.integers(0, 35))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_digits_are_the_slow_twins_for_every_counter(index, plane, trial, level):
    expected = slow_uniform(5, "tensor", trial, index, plane, digits=level + 1)
    expected = int(expected * 2 ** (32 * (level + 1))) % 2**32
    for digit in (kernels.digit, kernels.digit.py_func):
        assert int(digit(KEY, np.uint64(trial), np.uint64(index), plane, level)) == expected


def digits_of(rate, count=36):
    """Digits of a rate below 1 in base 2^32, by exact fractions."""
    rest, digits = Fraction(rate), []
    for _ in range(count):
        rest *= 2**32
        digits.append(int(rest))
        rest -= int(rest)
    return digits


TAILS = st.lists(WORDS, min_size=36, max_size=36)


@given(rate=rates, level=st.integers(0, 35), change=st.sampled_from([-1, 0, 1]), tail=TAILS)
@settings(derandomize=True, max_examples=500, deadline=None)
def test_comparison_is_exact_for_numbers_that_tie_with_the_rate(monkeypatch_digits, rate, level, change, tail):
    """Digits equal to the rate's up to `level`, one off there, anything after: the hardest numbers to compare."""
    digits = digits_of(rate) if rate < 1.0 else [2**32 - 1] * 36
    digits = [*digits[:level], min(max(digits[level] + change, 0), 2**32 - 1), *tail[level + 1 :]]
    number = sum(Fraction(word, 2 ** (32 * (k + 1))) for k, word in enumerate(digits))
    assert monkeypatch_digits(rate, digits) == (number < Fraction(rate))


@pytest.fixture(scope="module")
def monkeypatch_digits():
    """is_below.py_func with the digits of u given."""

    def compare(rate, digits):
        original = kernels.digit
        kernels.digit = lambda key, trial, index, plane, level: digits[level]
        try:
            return bool(kernels.is_below.py_func(rate, KEY, 0, 0, 0))
        finally:
            kernels.digit = original

    return compare


def test_single_precision_numbers_would_fail_that_comparison():
    """u on the grid 2^-24 flips a 1e-12 cell 59605 times too often, and decides near ties wrongly."""
    chance = Fraction(int(np.ceil(1e-12 * 2**24)), 2**24)
    assert float(chance / Fraction(1e-12)) == pytest.approx(59604.6, rel=1e-5)
    for rate in (0.1, 0.3, 1 / 3, 1e-12):
        just_below = Fraction(rate) * (1 - Fraction(1, 2**40))
        assert not np.float32(float(just_below)) < np.float32(rate)


@pytest.mark.parametrize("plane", [0, 3, 6])
def test_true_ties_of_the_compiled_sampler_go_on_to_the_next_digit(plane):
    """A cell whose first digit is small has a float64 rate that ties with its first two digits exactly."""
    key, indices = flip_key(0, "ties"), np.arange(40_000)
    words = np.array(key.words, np.uint64)
    first = [int(kernels.digit(words, np.uint64(0), np.uint64(i), plane, 0)) for i in indices]
    index = int(np.argmin(first))
    assert first[index] < 2**21
    number = slow_uniform(0, "ties", 0, index, plane)
    at_tie = [Fraction(first[index], 2**32), Fraction(int(number * 2**64), 2**64)]
    for tie, unit in zip(at_tie, (2**32, 2**64), strict=True):
        for rate in (tie, tie + Fraction(1, unit)):
            assert Fraction(float(rate)) == rate
            codes = np.zeros(index + 1, np.uint8)
            read = read_back(codes, float(rate), seed=0, tensor="ties")
            assert bool(read[index] >> plane & 1) == (number < rate) == (rate > tie)


@pytest.mark.parametrize("bits", [2, 8, 11, 16])
def test_compiled_and_uncompiled_loops_and_the_slow_twin_agree(bits, monkeypatch):
    generator = np.random.default_rng(bits)
    fmt = BitFormat(bits)
    codes = generator.integers(0, 2**bits, 700).astype(fmt.code_dtype)
    loss, gain = generator.uniform(0, 0.6, bits), generator.uniform(0, 0.6, bits)
    loss[0], gain[-1] = 1.0, 1.0
    key, trial = flip_key(9, "layer.weight"), 2**40 + 3
    compiled = kernels.run_flips(codes, loss, gain, key.words, trial, 0)
    assert compiled[0][:60].tolist() == slow_read(codes[:60].tolist(), loss, gain, 9, "layer.weight", trial)
    for name in ("philox_block", "digit", "is_below", "first_digits", "flip_plane", "flip_codes"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    plain = kernels.run_flips(codes, loss, gain, key.words, trial, 0)
    assert np.array_equal(plain[0], compiled[0])
    assert np.array_equal(plain[1], compiled[1])


def test_ties_in_the_uncompiled_loop(monkeypatch):
    """Every first digit ties with the rates; the loop must then ask `is_below`, with the right rate, for each cell."""
    asked = []
    loss, gain = 3 / 2**32, 5 / 2**32

    def ask(rate, key, trial, index, plane):
        asked.append((rate, int(index)))
        return True

    monkeypatch.setattr(kernels, "is_below", ask)
    codes, read = np.array([0, 4, 0, 4], np.uint8), np.array([0, 4, 0, 4], np.uint8)
    found = kernels.flip_plane.py_func(codes, np.array([5, 3, 4, 9]), loss, gain, KEY, 0, np.uint64(100), 2, read)
    assert asked == [(gain, 100), (loss, 101)]
    assert (found, read.tolist()) == (3, [4, 0, 4, 4])


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12])
def test_tiny_rates_never_flip_by_rounding(rate):
    """8e6 cells at 1e-12 flip with probability 8e-6 under this key; a 24-bit or 32-bit u would show 0.4 or 0.002."""
    errors = BitErrorProfile.uniform(rate).regions[0]
    assert draw_flips(np.zeros(1_000_000, np.uint8), errors, 0, flip_key(0, "tiny"), 0).flipped == 0


def test_rate_one_always_flips_and_rate_zero_never_does():
    codes = np.arange(256, dtype=np.uint8)
    errors = RegionErrors("default", BitFormat(), loss=np.ones(8), gain=np.zeros(8))
    assert not draw_flips(codes, errors, 0, flip_key(0, "t"), 0).codes.any()
    assert np.array_equal(read_back(codes, 1.0), 255 - codes)


def test_indices_beyond_32_bits_get_their_own_numbers():
    errors = BitErrorProfile.uniform(0.5).regions[0]
    key, start = flip_key(5, "tensor"), 2**32 - 3
    read = draw_flips(np.zeros(6, np.uint8), errors, 0, key, 0, first_index=start).codes
    expected = [
        sum((slow_uniform(5, "tensor", 0, start + i, plane, 2) < 0.5) << plane for plane in range(8)) for i in range(6)
    ]
    assert read.tolist() == expected
