"""The sparse sampler: its law enumerated, its slow twin, its statistics, its nesting, and what it refuses.

Level of the statistical tests: each comparison rejects at 1e-13, all of the family together at 1e-9 (see bits_oracles).
Visible bias at power 0.999, checked by `test_visible_bias`: with 2^20 codes a plane's rate that is too high by 126 % at
p = 1e-4, 35 % at 1e-3, 10.5 % at 0.01, 3.1 % at 0.1; pooled over 8 planes and 4 trials (2^25 cells) by 19 %, 5.8 %,
1.8 %, 0.55 %.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from qtaml_codesign.bits import kernels as dense
from qtaml_codesign.bits.flips import draw_flips, flip_key, read_back
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.profile import BitErrorProfile, RegionErrors
from qtaml_codesign.bits.sparse import events, kernels
from qtaml_codesign.errors import InputError
from tests.bits_oracles import (
    assert_binomial,
    joint_counts,
    joint_histogram,
    plane_counts,
    slow_event_time,
    slow_event_word,
    slow_sparse_read,
    visible_excess,
)
from tests.test_bits_habits import any_flip_p_value, pair_p_value, rate_p_value, spread_p_values

SIZE = 2**20
CODES = np.random.default_rng(30).integers(0, 256, SIZE).astype(np.uint8)
KEY = flip_key(0, "sparse")
RATES = (1e-4, 1e-3, 0.01, 0.1)
ALPHA = 1e-13


def sparse(codes, errors, depth=0, key=KEY, trial=0, first=0):
    return draw_flips(codes, errors, depth, key, trial, first, sampler="sparse")


def mask(rate, depth=0, trial=0, codes=CODES, fmt=None, key=KEY):
    errors = BitErrorProfile.uniform(rate, fmt or BitFormat()).regions[0]
    return sparse(codes, errors, depth, key, trial).codes ^ codes


def law_of(level):
    """P(count = c), c = 0, 1, ..., exactly as the table draws it."""
    above = [Fraction(1), *(Fraction(int(entry), 2**64) for entry in events.count_table(level)), Fraction(0)]
    return [before - after for before, after in itertools.pairwise(above)]


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12, 1e-7, 2.0**-14, 1e-4, 1e-3, 0.01])
def test_the_law_of_a_cell_is_its_rate(rate):
    """No sampling: every count of every level and every 44-bit time is enumerated, in 1500 binary digits."""
    _, ends, whole, rest = events.event_tables(np.zeros(8).tobytes(), np.full(8, rate).tobytes())
    with mpmath.workprec(1500):
        untouched = mpmath.mpf(1)
        for row, level in enumerate(events.levels_of(rate)):
            share = (mpmath.mpf(int(whole[row, 1, 3])) + mpmath.mpf(rest[row, 1, 3])) / 2**44
            missed, power, total = 1 - share / 2**20, mpmath.mpf(1), mpmath.mpf(0)
            for chance in law_of(level):
                total += power * mpmath.mpf(chance.numerator) / chance.denominator
                power *= missed
            untouched *= total
        assert ends.size == len(events.levels_of(rate)) + 1
        assert abs((1 - untouched) / mpmath.mpf(rate) - 1) < 2e-16
    assert not whole[:, 0].any()
    assert not rest[:, 0].any()


@pytest.mark.parametrize("level", [14, 12, 11])
def test_count_tables_are_those_of_mpmath(level):
    table, mean = events.count_table(level), float(events.mean_count(level))
    assert mean == 2**20 * 2.0 ** -min(level + 1, 14)
    with mpmath.workdps(60):
        for j in range(table.size + 1):
            tail = mpmath.floor(2**64 * mpmath.gammainc(j + 1, 0, mean, regularized=True))
            assert int(min(tail, 2**64 - 1)) == (int(table[j]) if j < table.size else 0)


def test_count_tables_keep_their_mean_at_every_level():
    for level in range(events.SHALLOWEST, events.DEEPEST + 1):
        entries = sum(int(entry) for entry in events.count_table(level).tolist())
        mean = Fraction(events.mean_count(level))
        assert 0 <= 1 - Fraction(entries, 2**64) / mean < Fraction(1, 2**62)


@pytest.mark.parametrize("rate", [0.0, 5e-324, 1e-300, 2.0**-61, 2.0**-60, 1e-15, 1e-9, 1e-3, 0.03, 0.1])
def test_event_times_are_rounded_once(rate):
    exact = slow_event_time(rate)
    assert abs(Fraction(events.event_time(rate)) - exact) <= Fraction(1, 2**53) * exact
    if rate:
        assert events.levels_of(rate)[-1] == min(14, math.floor(-math.log2(events.event_time(rate))))


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12, 2.0**-14, 1e-3, 0.0123])
def test_thresholds_of_the_levels_add_up_to_the_time(rate):
    rates = np.array([rate, *np.linspace(0, rate, 7)])
    _, _, whole, rest = events.event_tables(rates.tobytes(), np.zeros(8).tobytes())
    for plane in range(8):
        total = Fraction(0)
        for row, level in enumerate(events.levels_of(rate)):
            units = int(whole[row, 0, plane]) + Fraction(rest[row, 0, plane])
            total += units / 2**44 * Fraction(1, 2 ** min(level + 1, 14))
        assert total == Fraction(events.event_time(rates[plane]))


@pytest.mark.parametrize(("bits", "first", "size"), [(8, 0, 4000), (5, 2**17 - 1500, 3000), (16, 2**40 + 3, 1500)])
def test_the_slow_twin_agrees(bits, first, size):
    generator = np.random.default_rng(bits)
    fmt = BitFormat(bits)
    codes = generator.integers(0, 2**bits, size).astype(fmt.code_dtype)
    loss, gain = generator.uniform(0, 0.015, bits), generator.uniform(0, 0.015, bits)
    loss[0], gain[-1] = 0.0, 0.0
    found = sparse(codes, RegionErrors("default", fmt, loss, gain), 0, flip_key(4, "twin"), 2**40 + 1, first).codes
    assert np.count_nonzero(found ^ codes) > 100
    assert found.tolist() == slow_sparse_read(codes.tolist(), loss, gain, 4, "twin", 2**40 + 1, first)


def test_compiled_and_uncompiled_loops_agree(monkeypatch):
    codes = CODES[:500].astype(np.uint16) * 257
    loss, gain = np.linspace(0, 0.002, 16), np.linspace(0.002, 0, 16)
    compiled = kernels.run_events(codes, loss, gain, KEY.words, 3, 2**17 - 100)
    for name in ("event_words", "count_of", "tie_is_below", "draw_words", "apply_events", "flip_events"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    for name in ("philox_block", "stream_words"):
        monkeypatch.setattr(kernels, name, getattr(dense, name).py_func)
    monkeypatch.setattr(kernels, "copy_codes", lambda codes, read: np.copyto(read[:codes.size], codes))
    with np.errstate(over="ignore"):
        plain = kernels.run_events(codes, loss, gain, KEY.words, 3, 2**17 - 100)
    assert compiled[1].sum() > 5
    assert np.array_equal(plain[0], compiled[0])
    assert np.array_equal(plain[1], compiled[1])


APPLY = [kernels.apply_events, kernels.apply_events.py_func]
STREAM = tuple(np.uint64(word) for word in (1, 2, 3, 4))


@pytest.mark.parametrize("apply", APPLY, ids=["compiled", "python"])
def test_a_cell_hit_twice_flips_once(apply):
    codes, flips = np.array([0, 4], np.uint8), np.zeros(8, np.int64)
    read = codes.copy()
    words = np.array([(1 << 3 | 2) << 44 | 7, (1 << 3 | 2) << 44 | 5, 1 << 44, (2 << 3) << 44], np.uint64)
    apply(words, 0, STREAM, 0, 9, 0, np.full((2, 8), 2**44, np.uint64), np.zeros((2, 8)), codes, 0, read, flips)
    assert read.tolist() == [2, 0]
    assert flips.tolist() == [0, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("apply", APPLY, ids=["compiled", "python"])
def test_a_time_that_ties_goes_on_to_its_next_bits(apply):
    """The 52 bits of chunk 1 decide: just above them flips, at them or below them does not."""
    stream = dense.stream_words(np.array(KEY.words, np.uint64), np.uint64(0))
    stream = tuple(np.uint64(word) for word in stream)
    more = slow_event_word(0, "sparse", 0, 5, 9, 0, 1, 77)[0] >> 12
    for rest, flipped in ((more, 0), (more + 1, 1), (more - 1, 0)):
        codes, flips = np.zeros(1, np.uint8), np.zeros(8, np.int64)
        read, rests = codes.copy(), np.full((2, 8), rest / 2**52)
        words = np.array([123 | 6 << 44], np.uint64)
        apply(words, 77, stream, 5, 9, 0, np.full((2, 8), 123, np.uint64), rests, codes, 0, read, flips)
        assert read.tolist() == [64 * flipped]


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1 / 3, 2.0**-60, 1 - 2.0**-53])
def test_ties_are_decided_exactly(rate, monkeypatch):
    """Bits equal to the fraction's up to the last, then one unit less, none or one more."""
    scale = 52 * 21
    target = int(Fraction(rate) * 2**scale)
    for time in (target - 1, target, target + 1):
        chunks = [time >> scale - 52 * k & (2**52 - 1) for k in range(1, 22)]

        def words(stream, block, level, group, chunk, number, chunks=chunks):
            return np.uint64(chunks[chunk - 1] << 12), np.uint64(0)

        monkeypatch.setattr(kernels, "event_words", words)
        assert bool(kernels.tie_is_below.py_func(rate, STREAM, 0, 9, 0, 0)) == (time < Fraction(rate) * 2**scale)


@pytest.mark.parametrize(
    ("rate", "by_plane", "pooled"),
    [(1e-4, 1.256, 0.189), (1e-3, 0.347, 0.0584), (0.01, 0.1046, 0.01816), (0.1, 0.031, 0.00546)],
)
def test_visible_bias(rate, by_plane, pooled):
    assert visible_excess(SIZE, rate) == pytest.approx(by_plane, rel=0.01)
    assert visible_excess(32 * SIZE, rate) == pytest.approx(pooled, rel=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_every_plane_and_direction_has_its_rate(rate):
    rates = rate * np.array([1.0, 0.9, 0.6, 0.5, 0.3, 0.7, 0.8, 1.0])
    errors = RegionErrors("default", BitFormat(), loss=rates, gain=rates[::-1] / 2)
    histogram = sum(joint_histogram(CODES, sparse(CODES, errors, trial=trial).codes, 8) for trial in range(4))
    for plane in range(8):
        assert_binomial(*plane_counts(histogram, plane, 1), errors.loss[plane], (plane, "loss"))
        assert_binomial(*plane_counts(histogram, plane, 0), errors.gain[plane], (plane, "gain"))


@pytest.mark.parametrize("rate", RATES)
def test_the_pooled_rate(rate):
    total = sum(int(np.bitwise_count(mask(rate, trial=trial)).sum()) for trial in range(4))
    assert_binomial(total, 32 * SIZE, rate, rate)


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_pairs_of_cells_are_uncorrelated(rate):
    """Planes of one weight, neighbours, cells a block apart: both flip with the product of the rates."""
    flips = mask(rate)
    histogram = joint_histogram(CODES, flips ^ CODES, 8)
    for pair in itertools.combinations(range(8), 2):
        counts = [joint_counts(histogram, pair, stored) for stored in itertools.product((0, 1), repeat=2)]
        assert_binomial(*np.sum(counts, axis=0), rate**2, pair)
    for distance in (1, 8, 2**17):
        left, right = np.moveaxis(flips.reshape(-1, 2, distance), 1, 0)
        for a, b in itertools.product(range(8), repeat=2):
            assert_binomial(int(((left >> a) & (right >> b) & 1).sum()), SIZE // 2, rate**2, (distance, a, b))


@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize("other", [{"trial": 1}, {"key": flip_key(1, "sparse")}, {"key": flip_key(0, "other")}])
def test_trials_seeds_and_tensors_are_independent(rate, other):
    both = mask(rate) & mask(rate, **other)
    for plane in range(8):
        assert_binomial(int((both >> plane & 1).sum()), SIZE, rate**2, plane)


def test_the_samplers_are_independent_of_each_other():
    errors = BitErrorProfile.uniform(0.1).regions[0]
    both = mask(0.1) & (draw_flips(CODES, errors, 0, KEY, 0).codes ^ CODES)
    assert_binomial(int(np.bitwise_count(both).sum()), 8 * SIZE, 0.01, "dense and sparse")


def habit(codes, rate, trial=0, tensor="habits"):
    return sparse(codes, BitErrorProfile.uniform(rate).regions[0], key=flip_key(0, tensor), trial=trial).codes


@pytest.mark.parametrize(
    ("statistic", "rate"),
    [(any_flip_p_value, 1e-5), (rate_p_value, 0.1), (rate_p_value, 0.05), (rate_p_value, 0.03), (pair_p_value, 0.1)],
)
def test_the_habits_of_other_samplers_are_not_there(statistic, rate):
    """The statistics that catch a rounded count, positions with replacement, one bit a word, and powers of two."""
    assert statistic(habit, rate) >= ALPHA
    assert spread_p_values(habit) >= ALPHA


def test_flips_nest_over_the_rate():
    rates = (1e-6, 5e-5, 2.0**-14, 1e-4, 2.0**-13, 1e-3, np.nextafter(1e-3, 1), 0.01, 0.03, 0.1)
    masks = [mask(rate) for rate in rates]
    assert [bool(found.any()) for found in masks] == [True] * len(masks)
    for smaller, larger in itertools.pairwise(masks):
        assert not (smaller & ~larger).any()


def test_flips_nest_over_the_depth_and_protected_planes_never_flip():
    errors = BitErrorProfile.uniform(0.05).regions[0]
    for depth in range(9):
        found = sparse(CODES, errors, depth)
        assert np.array_equal(found.codes ^ CODES, mask(0.05) & (2 ** (8 - depth) - 1))
        assert found.exposed == SIZE * (8 - depth)
        moved = found.codes ^ CODES
        assert found.flips_by_plane.tolist() == [int((moved >> plane & 1).sum()) for plane in range(8)]


def test_flips_do_not_depend_on_the_codes_bits_or_direction():
    reference = mask(0.02)
    assert np.array_equal(mask(0.02, codes=np.zeros_like(CODES)), reference)
    assert np.array_equal(mask(0.02, codes=CODES & 31, fmt=BitFormat(5)), reference & 31)
    assert np.array_equal(mask(0.02, codes=CODES.astype(np.uint16), fmt=BitFormat(16)) & 255, reference)
    charge = RegionErrors("default", BitFormat(), loss=np.full(8, 0.02), gain=np.zeros(8))
    assert np.array_equal(sparse(CODES, charge).codes ^ CODES, reference & CODES)


def test_any_piece_of_a_tensor_gives_the_flips_of_the_whole():
    errors = BitErrorProfile.uniform([0.03, *[0.01] * 7]).regions[0]
    for base in (0, 2**32 - 5, 2**47):
        whole = sparse(CODES[:300_000], errors, first=base).codes
        for start, stop in [(0, 1), (1, 131_000), (131_000, 131_080), (131_080, 300_000)]:
            piece = sparse(CODES[start:stop], errors, first=base + start).codes
            assert np.array_equal(piece, whole[start:stop])


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12])
def test_tiny_rates_never_flip_by_rounding(rate):
    """8e6 cells at 1e-12 flip with probability 8e-6 under this key."""
    assert not mask(rate).any()


def test_planes_of_rate_zero_and_empty_codes():
    errors = BitErrorProfile.uniform([0.0, 0.1, *[0.0] * 6]).regions[0]
    found = sparse(CODES, errors)
    assert set(np.unique(found.codes ^ CODES)) == {0, 2}
    assert sparse(np.zeros((0, 3), np.uint8), errors).codes.shape == (0, 3)
    assert sparse(CODES, errors, 8).flipped == 0


def test_the_stream_is_pinned():
    found = hashlib.blake2b(digest_size=16)
    for bits, first in ((8, 0), (16, 2**33 + 7), (3, 131_071)):
        codes = (np.arange(200_000) * 40503 % 2**bits).astype(BitFormat(bits).code_dtype)
        errors = RegionErrors("default", BitFormat(bits), np.linspace(1e-4, 0.1, bits), np.linspace(0.02, 0.0, bits))
        read = sparse(codes, errors, 1, flip_key(11, "pinned"), 2**63, first)
        found.update(read.codes.astype("<u2").tobytes() + read.flips_by_plane.astype("<i8").tobytes())
    assert found.hexdigest() == "7fc392dd5fe14df9cd913ff56795ce47"


def test_read_back_takes_a_sampler():
    errors = BitErrorProfile.uniform(0.015).regions[0]
    expected = sparse(CODES, errors, 2, flip_key(7, "t"), 5).codes
    for sampler in ("sparse", "auto"):
        found = read_back(CODES.astype(np.int32), 0.015, protected=2, seed=7, trial=5, tensor="t", sampler=sampler)
        assert found.dtype == np.int32
        assert np.array_equal(found, expected)
    assert np.array_equal(read_back(CODES, 0.016, sampler="auto"), read_back(CODES, 0.016))
    assert not np.array_equal(read_back(CODES, 0.015), read_back(CODES, 0.015, sampler="auto"))


def test_auto_looks_at_the_rates_before_protection():
    errors = BitErrorProfile.uniform([0.01] * 7 + [0.2]).regions[0]
    for depth in (0, 1):
        auto = draw_flips(CODES, errors, depth, KEY, 0, sampler="auto").codes
        assert np.array_equal(auto, draw_flips(CODES, errors, depth, KEY, 0).codes)


@pytest.mark.parametrize("cells", [{"block": 4}, {"spread": 0.3}])
def test_unlike_cells_are_dense(cells):
    errors = RegionErrors("default", BitFormat(), np.full(8, 0.01), np.full(8, 0.01), **cells)
    auto = draw_flips(CODES[:1000], errors, 0, KEY, 0, sampler="auto").codes
    assert np.array_equal(auto, draw_flips(CODES[:1000], errors, 0, KEY, 0).codes)
    with pytest.raises(InputError, match="sparse sampler cannot"):
        sparse(CODES[:1000], errors)


@pytest.mark.parametrize(("rate", "sampler", "message"), [
    (1.0, "sparse", "sparse sampler cannot"), (np.nextafter(0.1, 1), "sparse", "sparse sampler cannot"),
    (0.1, "spars", "did you mean sparse"), (0.1, None, "known: auto, dense, sparse"),
])
def test_what_cannot_be_drawn_is_refused(rate, sampler, message):
    with pytest.raises(InputError) as caught:
        read_back(CODES, rate, sampler=sampler)
    assert message in str(caught.value)
    assert [part for part in ("where:", "rule:", "value:", "next:") if part not in str(caught.value)] == []


@pytest.mark.parametrize("first", [-1, 0.5, 2**48 + 1])
def test_a_first_index_outside_the_tensor_is_refused(first):
    with pytest.raises(InputError, match="next:"):
        sparse(CODES[:4], BitErrorProfile.uniform(0.01).regions[0], first=first)
