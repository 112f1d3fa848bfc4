"""The random numbers and the comparison u < rate: known answers, exactness, and compiled = uncompiled."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import FlipDrawing, FlipKey, draw_flips, flip_key, read_back
from qtaml_codesign.bits.formats import BitFormat
from tests.bits_oracles import slow_digit, slow_philox, slow_read, slow_uniform

# Random123, tests/kat_vectors, lines "philox4x32": rounds, counter, key, answer
KNOWN_ANSWERS = [
    (7, "00000000 00000000 00000000 00000000", "00000000 00000000", "5f6fb709 0d893f64 4f121f81 4f730a48"),
    (7, "ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "5207ddc2 45165e59 4d8ee751 8c52f662"),
    (7, "243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "4dfccaba 190a87f0 c47362ba b6b5242a"),
    (10, "00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (10, "ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (10, "243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
EXTREME_RATES = [5e-324, 1e-300, 1e-12, 2.0**-32, 2.0**-33, 0.1, 1 / 3, 0.5, 1 - 2.0**-53, 1.0]
rates = st.one_of(st.floats(0.0, 1.0), st.sampled_from(EXTREME_RATES))
KEY = np.array(flip_key(5, "tensor").words, np.uint64)


def run_flips(codes, down, up, key, trial, first):
    """Read codes, and flips by plane (B,)."""
    law = CellLaw("default", BitFormat(down.size), down, up)
    return FlipDrawing(law, FlipKey(key)).draw(codes, trial, first)


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("philox", [kernels.philox_block, kernels.philox_block.py_func], ids=["compiled", "python"])
@pytest.mark.parametrize(("rounds", "counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(philox, rounds, counter, key, answer):
    assert slow_philox(words(counter), words(key), rounds) == words(answer)
    if rounds == kernels.ROUNDS:
        found = philox(*(np.uint64(word) for word in words(counter) + words(key)))
        assert [int(word) for word in found] == words(answer)


KERNELS = ("philox_block", "stream_words", "digit_words", "compare_pair", "compare_first", "compare_rest", "flip_bytes",
           "bytes_between")
INDICES, TRIALS = st.integers(0, 2**48 - 1), st.integers(0, 2**64 - 1)


@given(index=INDICES, plane=st.integers(0, 15), trial=TRIALS, level=st.integers(0, 1080))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_digits_are_the_slow_twins_for_every_counter(index, plane, trial, level):
    expected = slow_digit(5, "tensor", trial, index, plane, level)
    for digit in (kernels.digit, kernels.digit.py_func):
        assert int(digit(KEY, np.uint64(trial), np.uint64(index), plane, level)) == expected


def digits_of(rate, count=1100):
    """Binary digits of a rate below 1, by exact fractions."""
    rest, digits = Fraction(rate), []
    for _ in range(count):
        rest *= 2
        digits.append(int(rest))
        rest -= int(rest)
    return digits


def number_of(digits):
    """The number with these binary digits, exactly."""
    return Fraction(int("".join(map(str, digits)), 2), 2 ** len(digits))


@given(rate=rates, level=st.integers(0, 1099), flip=st.booleans(), tail=st.integers(0, 2**64 - 1))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_comparison_is_exact_for_numbers_that_tie_with_the_rate(monkeypatch_digits, rate, level, flip, tail):
    """Digits equal to the rate's up to `level`, perhaps another one there, anything after: the hardest to compare."""
    digits = digits_of(rate) if rate < 1.0 else [1] * 1100
    after = [tail >> k % 64 & 1 for k in range(1099 - level)]
    digits = [*digits[:level], digits[level] ^ flip, *after]
    assert monkeypatch_digits(rate, digits) == (number_of(digits) < Fraction(rate))


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


@given(up=st.lists(rates, min_size=8, max_size=8), down=st.lists(rates, min_size=8, max_size=8))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_patterns_hold_every_digit_of_every_rate(up, down):
    lanes, sure, digits = kernels.rate_patterns(np.array(up).tobytes(), np.array(down).tobytes())
    assert digits.shape[1] % 2 == 0
    for plane in range(8):
        assert int(lanes) >> plane & 1 == (up[plane] > 0.0 or down[plane] > 0.0)
        for stored, rate in enumerate((up[plane], down[plane])):
            column = [int(word) >> plane & 1 for word in digits[stored]]
            certain = int(sure[stored]) >> plane & 1
            assert certain + (number_of(column) if column else 0) == Fraction(rate)
    for word in (lanes, *sure, *digits.ravel()):
        assert int(word) == (int(word) & 0xFF) * 0x0101010101010101


def test_single_precision_numbers_would_fail_that_comparison():
    """u on the grid 2^-24 flips a 1e-12 cell 59605 times too often, and decides near ties wrongly."""
    chance = Fraction(int(np.ceil(1e-12 * 2**24)), 2**24)
    assert float(chance / Fraction(1e-12)) == pytest.approx(59604.6, rel=1e-5)
    for rate in (0.1, 0.3, 1 / 3, 1e-12):
        just_below = Fraction(rate) * (1 - Fraction(1, 2**40))
        assert not np.float32(float(just_below)) < np.float32(rate)


@pytest.mark.parametrize("plane", [0, 3, 6])
def test_true_ties_of_the_compiled_sampler_go_on_to_the_last_digit(plane):
    """Rates that equal the first 20, 40 or 52 digits of a cell's own number, and one unit more."""
    index = 1234
    for count in (20, 40, 52):
        number = slow_uniform(0, "ties", 0, index, plane, digits=count)
        for rate in (number, number + Fraction(1, 2**count)):
            assert Fraction(float(rate)) == rate
            read = read_back(np.zeros(index + 1, np.uint8), float(rate), seed=0, tensor="ties")
            assert bool(read[index] >> plane & 1) == (rate > number)


@pytest.mark.parametrize("bits", [2, 8, 11, 16])
def test_compiled_and_uncompiled_loops_and_the_slow_twin_agree(bits, monkeypatch):
    generator = np.random.default_rng(bits)
    fmt = BitFormat(bits)
    codes = generator.integers(0, 2**bits, 300).astype(fmt.code_dtype)
    down, up = generator.uniform(0, 0.6, bits), generator.uniform(0, 0.6, bits)
    down[0], up[-1], down[-1] = 1.0, 1.0, 0.0
    key, trial = flip_key(9, "layer.weight"), 2**40 + 3
    compiled = run_flips(codes, down, up, key.words, trial, 0)
    assert compiled[0].tolist() == slow_read(codes.tolist(), down, up, 9, "layer.weight", trial)
    for name in KERNELS:
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    with np.errstate(over="ignore"):
        plain = run_flips(codes, down, up, key.words, trial, 0)
    assert np.array_equal(plain[0], compiled[0])
    assert np.array_equal(plain[1], compiled[1])
    moved = codes ^ compiled[0]
    assert compiled[1].tolist() == [int((moved >> plane & 1).sum()) for plane in range(bits)]


@pytest.mark.parametrize("size", [1, 7, 8, 127, 128, 129, 1000, 70_001])
@pytest.mark.parametrize("first", [0, 3, 8, 2**32 - 5])
def test_any_piece_of_a_tensor_gives_the_flips_of_the_whole(size, first):
    """Whole words in place, ends in padded copies, unaligned memory: all read the same cells."""
    codes = np.random.default_rng(size).integers(0, 256, size + 64).astype(np.uint8)
    rate = np.linspace(0.05, 0.4, 8)
    whole, _ = run_flips(codes, rate, rate, (5, 7), 2, first)
    part, flips = run_flips(codes[33:33 + size], rate, rate, (5, 7), 2, first + 33)
    assert np.array_equal(part, whole[33:33 + size])
    assert flips.sum() == np.bitwise_count(part ^ codes[33:33 + size]).sum()
    ends = run_flips(codes[32:32 + size].copy(), rate, rate, (5, 7), 2, first + 32)[0]
    assert np.array_equal(ends, whole[32:32 + size])


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12])
def test_tiny_rates_never_flip_by_rounding(rate):
    """8e6 cells at 1e-12 flip with probability 8e-6 under this key; a 24-bit or 32-bit u would show 0.4 or 0.002."""
    errors = BitErrorProfile.uniform(rate).regions[0]
    assert draw_flips(np.zeros(1_000_000, np.uint8), errors, 0, flip_key(0, "tiny"), 0).flipped == 0


def test_rate_one_always_flips_and_rate_zero_never_does():
    codes = np.arange(256, dtype=np.uint8)
    errors = CellLaw("default", BitFormat(), one_to_zero=np.ones(8), zero_to_one=np.zeros(8))
    assert not draw_flips(codes, errors, 0, flip_key(0, "t"), 0).codes.any()
    assert np.array_equal(read_back(codes, 1.0), 255 - codes)


def test_indices_beyond_32_bits_get_their_own_numbers():
    errors = BitErrorProfile.uniform(0.5).regions[0]
    key, start = flip_key(5, "tensor"), 2**32 - 3
    read = draw_flips(np.zeros(6, np.uint8), errors, 0, key, 0, first_index=start).codes
    expected = [
        sum((1 - slow_digit(5, "tensor", 0, start + i, plane, 0)) << plane for plane in range(8)) for i in range(6)
    ]
    assert read.tolist() == expected


def test_the_stream_of_flips_is_that_of_engine_2():
    """Digests of 18 readings, taken from the sampler that compared sixteen words at a time."""
    generator, found = np.random.default_rng(7), hashlib.blake2b(digest_size=16)
    pieces = [(10**6, 0, 8), (100_003, 5, 8), (12_305, 2**40 + 3, 16), (1, 0, 8), (129, 7, 8), (70_000, 3, 5)]
    for size, first, bits in pieces:
        codes = generator.integers(0, 2**bits, size).astype(BitFormat(bits).code_dtype)
        even, sure = np.full(bits, 0.1), np.full(bits, 1.0)
        for down, up in [(even, even), (np.linspace(0, 0.4, bits), np.linspace(0.5, 0, bits)), (sure, sure / 3)]:
            read, flips = run_flips(codes, down, up, (123456789012345678, 2**63 + 11), 2**33 + 1, first)
            found.update(read.astype("<u2").tobytes() + flips.astype("<i8").tobytes())
    assert found.hexdigest() == "74b8f71f1dabd6c4a93ac31935429556"
