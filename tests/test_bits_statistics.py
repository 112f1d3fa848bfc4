"""The sampler against exact binomial laws: rates by plane and direction, and independence.

Level: each comparison rejects at 1e-13, the fewer than 10 000 comparisons together at 1e-9 (see bits_oracles).
Visible bias, from the exact power function at power 0.999 and computed again by `test_visible_bias`: with 2^20 codes
a plane's rate that is too high by 126 % at p = 1e-4, 10.5 % at 0.01, 3.1 % at 0.1, 1.6 % at 0.3, 1.03 % at 0.5;
pooled over 8 planes and 4 trials (2^25 cells) by 19 %, 1.8 %, 0.55 %, 0.28 %, 0.18 %. Correlations between planes
show from 0.036 on and between neighbouring weights from 0.025 on, at every rate from 0.01 to 0.5.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from tests.bits_oracles import assert_binomial, joint_counts, joint_histogram, plane_counts, visible_excess

SIZE = 2**20
RATES = (1e-4, 0.01, 0.1, 0.3, 0.5)
VISIBLE_BY_PLANE = (1.256, 0.1046, 0.0310, 0.01574, 0.01029)
VISIBLE_POOLED = (0.189, 0.01816, 0.00546, 0.00278, 0.00182)
CODES = np.random.default_rng(20).integers(0, 256, SIZE).astype(np.uint8)
DIRECTIONS = {"symmetric": (1.0, 1.0), "charged 1": (1.0, 0.0), "charged 0": (0.0, 1.0)}


def errors_of(rate, direction="symmetric", encoding="offset_binary"):
    down, up = (np.full(8, rate * factor) for factor in DIRECTIONS[direction])
    return CellLaw("default", BitFormat(8, encoding), down, up)


def flips_of(rate, trial=0, seed=0, tensor="statistics", purpose="trial"):
    errors = BitErrorProfile.uniform(rate).regions[0]
    return draw_flips(CODES, errors, 0, flip_key(seed, tensor, purpose), trial).codes ^ CODES


VISIBLE = list(zip(RATES, VISIBLE_BY_PLANE, VISIBLE_POOLED, strict=True))


@pytest.mark.parametrize(("rate", "by_plane", "pooled"), VISIBLE)
def test_visible_bias(rate, by_plane, pooled):
    assert visible_excess(SIZE, rate) == pytest.approx(by_plane, rel=0.005)
    assert visible_excess(32 * SIZE, rate) == pytest.approx(pooled, rel=0.005)
    if rate >= 0.01:  # an excess x of p^2 is a correlation x p / (1 - p)
        assert visible_excess(SIZE // 4, rate**2) * rate / (1 - rate) < 0.036
        assert visible_excess(SIZE // 2, rate**2) * rate / (1 - rate) < 0.0255


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("rate", RATES)
def test_each_plane_and_direction_flips_at_its_rate(rate, direction, encoding):
    errors = errors_of(rate, direction, encoding)
    read = draw_flips(CODES, errors, 0, flip_key(1, encoding + direction), 0).codes
    histogram = joint_histogram(CODES, read, 8)
    for plane, stored in itertools.product(range(8), (0, 1)):
        expected = errors.one_to_zero[plane] if stored else errors.zero_to_one[plane]
        assert_binomial(*plane_counts(histogram, plane, stored), expected, (plane, stored))


@pytest.mark.parametrize("rate", RATES)
def test_pooled_rate_over_planes_and_trials(rate):
    total = sum(int(np.bitwise_count(flips_of(rate, trial)).sum()) for trial in range(4))
    assert_binomial(total, 32 * SIZE, rate, "pooled")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("rate", RATES)
def test_planes_are_pairwise_independent(rate, direction):
    """Both flip with probability r_a r_b, whatever the stored bits."""
    errors = errors_of(rate, direction)
    histogram = joint_histogram(CODES, draw_flips(CODES, errors, 0, flip_key(2, direction), 0).codes, 8)
    for (a, b), stored in itertools.product(itertools.combinations(range(8), 2), itertools.product((0, 1), repeat=2)):
        rates = [errors.one_to_zero if bit else errors.zero_to_one for bit in stored]
        chance = np.prod([rate[plane] for rate, plane in zip(rates, (a, b), strict=True)])
        assert_binomial(*joint_counts(histogram, (a, b), stored), chance, (a, b, stored))


@pytest.mark.parametrize("distance", [1, 2, 4, 8, 512])
@pytest.mark.parametrize("rate", RATES)
def test_neighbouring_weights_are_independent(rate, distance):
    """Disjoint pairs of weights `distance` apart; one row per plane."""
    left, right = np.moveaxis(flips_of(rate).reshape(-1, 2, distance), 1, 0)
    for a, b in itertools.product(range(8), repeat=2):
        both = int(((left >> a) & (right >> b) & 1).sum())
        assert_binomial(both, SIZE // 2, rate**2, (a, b))


@pytest.mark.parametrize(
    "other", [{"trial": 1}, {"trial": 2**32}, {"seed": 1}, {"tensor": "statistics2"}, {"purpose": "correction"}]
)
@pytest.mark.parametrize("rate", RATES)
def test_trials_seeds_tensors_and_purposes_are_independent(rate, other):
    here, there = flips_of(rate), flips_of(rate, **other)
    for plane in range(8):
        assert_binomial(int(((here & there) >> plane & 1).sum()), SIZE, rate**2, plane)


def test_per_plane_rates_reach_their_own_plane():
    down, up = np.linspace(0.05, 0.4, 16), np.linspace(0.3, 0.01, 16)
    codes = np.random.default_rng(3).integers(0, 2**16, SIZE).astype(np.uint16)
    read = draw_flips(codes, CellLaw("default", BitFormat(16), down, up), 0, flip_key(0, "wide"), 0).codes
    for plane in range(16):
        flipped, stored = (codes ^ read) >> plane & 1, codes >> plane & 1
        assert_binomial(int((flipped & stored).sum()), int(stored.sum()), down[plane], plane)
        assert_binomial(int((flipped & ~stored & 1).sum()), int((1 - stored).sum()), up[plane], plane)


def test_rates_between_float32_steps_and_powers_of_two_are_kept():
    """Rates just above 2^-k, where rounding to 2^-k or to 24 bits would show: 2^25 cells each."""
    for rate in (0.0626, 0.03, 0.24, 0.4999):
        total = sum(int(np.bitwise_count(flips_of(rate, trial)).sum()) for trial in range(4))
        assert_binomial(total, 32 * SIZE, rate, rate)
