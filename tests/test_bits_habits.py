"""Wrong samplers found in other fault injectors: each is caught by a test the exact sampler passes.

Level: as in bits_oracles. Every statistic below is run on the wrong sampler, where it must reject, and on ours,
where it must not; so the tests are known to have the power they need.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.flips import draw_flips, flip_key
from tests.bits_oracles import ALPHA, binomial_p_value, joint_counts, joint_histogram, plane_counts

CODES = np.random.default_rng(4).integers(0, 256, 2**17).astype(np.uint8)


def exact(codes, rate, trial=0, tensor="habits"):
    errors = BitErrorProfile.uniform(rate).regions[0]
    return draw_flips(codes, errors, 0, flip_key(0, tensor), trial).codes


def toggle(codes, cells):
    """XOR the given cells (repeats toggle again) into a copy of the codes."""
    read = codes.copy()
    np.bitwise_xor.at(read, cells // 8, (1 << cells % 8).astype(np.uint8))
    return read


def rounded_count(codes, rate, trial=0, tensor=""):
    """count = int(p N), then distinct positions."""
    generator = np.random.default_rng(trial)
    cells = codes.size * 8
    return toggle(codes, generator.choice(cells, int(rate * cells), replace=False))


def with_replacement(codes, rate, trial=0, tensor=""):
    """Positions drawn with replacement: a cell hit twice flips back."""
    generator = np.random.default_rng(trial)
    cells = codes.size * 8
    return toggle(codes, generator.integers(0, cells, generator.binomial(cells, rate)))


def one_bit_per_word(codes, rate, trial=0, tensor=""):
    """A word is hit with probability 1 - (1-p)^8; one bit of it flips."""
    generator = np.random.default_rng(trial)
    hit = np.flatnonzero(generator.random(codes.size) < 1 - (1 - rate) ** 8)
    return toggle(codes, hit * 8 + generator.integers(0, 8, hit.size))


def power_of_two(codes, rate, trial=0, tensor=""):
    """p rounded down to 2^-k."""
    return exact(codes, 2.0 ** np.floor(np.log2(rate)), trial)


def rate_p_value(sampler, rate):
    """Smallest p-value over planes and directions, and pooled."""
    histogram = joint_histogram(CODES, sampler(CODES, rate), 8)
    counts = np.array([plane_counts(histogram, plane, bit) for plane in range(8) for bit in (0, 1)])
    return min(binomial_p_value(*counts.T, rate).min(), binomial_p_value(*counts.sum(axis=0), rate))


def pair_p_value(sampler, rate):
    """Smallest p-value over pairs of planes."""
    histogram = joint_histogram(CODES, sampler(CODES, rate), 8)
    found = []
    for a in range(8):
        for b in range(a):
            counts = [joint_counts(histogram, (a, b), bits) for bits in ((0, 0), (0, 1), (1, 0), (1, 1))]
            found.append(binomial_p_value(*np.sum(counts, axis=0), rate**2))
    return min(found)


def any_flip_p_value(sampler, rate):
    """200 trials of 36 864 cells at p = 1e-5: P(at least one flip) = 0.31 per trial."""
    codes = np.zeros(36_864 // 8, np.uint8)
    hits = sum(bool(sampler(codes, rate, trial).any()) for trial in range(200))
    return binomial_p_value(hits, 200, -np.expm1(codes.size * 8 * np.log1p(-rate)))


@pytest.mark.parametrize(
    ("habit", "statistic", "rate"),
    [
        (rounded_count, any_flip_p_value, 1e-5),
        (with_replacement, rate_p_value, 0.05),
        (with_replacement, rate_p_value, 0.1), (with_replacement, rate_p_value, 0.3),
        (one_bit_per_word, rate_p_value, 0.1), (one_bit_per_word, pair_p_value, 0.1),
        (power_of_two, rate_p_value, 0.1),
        (power_of_two, rate_p_value, 0.05), (power_of_two, rate_p_value, 0.03),
    ],
)
def test_the_habit_is_caught_and_ours_passes(habit, statistic, rate):
    assert statistic(habit, rate) < ALPHA
    assert statistic(exact, rate) >= ALPHA


def spread_p_values(sampler, rate=0.01, trials=300):
    """How many trials give exactly n p flips: a few per cent of them for a binomial count, all for a fixed one."""
    codes = np.zeros(1000, np.uint8)
    mean = codes.size * 8 * rate
    exactly = sum(int(np.bitwise_count(sampler(codes, rate, trial)).sum()) == mean for trial in range(trials))
    return binomial_p_value(exactly, trials, stats.binom.pmf(mean, codes.size * 8, rate))


def test_a_fixed_count_is_caught():
    assert spread_p_values(rounded_count) < ALPHA
    assert spread_p_values(exact) >= ALPHA


SIZES = {"bias": 10, "conv": 300, "fc": 20_000}


def layers_exact(rate, trial):
    read = {name: exact(np.zeros(n, np.uint8), rate, trial, name) for name, n in SIZES.items()}
    return {name: int(np.bitwise_count(codes).sum()) for name, codes in read.items()}


def layer_picked_uniformly(rate, trial):
    """The total is right, but each flip first picks a tensor, all alike."""
    generator = np.random.default_rng(trial)
    total = generator.binomial(8 * sum(SIZES.values()), rate)
    return dict(zip(SIZES, generator.multinomial(total, [1 / 3] * 3).tolist(), strict=True))


def at_least_one(rate, trial):
    """max(1, round(p n)) flips in every tensor."""
    return {name: max(1, round(rate * 8 * n)) for name, n in SIZES.items()}


def tensor_p_value(sampler, rate=1e-3, trials=50):
    """Smallest p-value over tensors of the flips they got in all trials."""
    drawn = [sampler(rate, trial) for trial in range(trials)]
    totals = {name: sum(flips[name] for flips in drawn) for name in SIZES}
    return min(binomial_p_value(totals[name], 8 * n * trials, rate) for name, n in SIZES.items())


@pytest.mark.parametrize("habit", [layer_picked_uniformly, at_least_one])
def test_flips_are_shared_out_by_size(habit):
    assert tensor_p_value(habit) < ALPHA
    assert tensor_p_value(layers_exact) >= ALPHA
