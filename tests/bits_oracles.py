"""Oracles for the tests of `bits`: slow twins that share no code with the package, and exact binomial tests.

Every stochastic comparison of the suite is an exact two-sided binomial test at level ALPHA. The tests of `bits` make
fewer than FAMILY of them, so by Bonferroni the whole family fails falsely with probability below 1e-9, over all keys.
The keys are fixed, so a run repeats exactly; the rate speaks of the choice of keys.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import numpy as np
from scipy import optimize, stats

FAMILY = 10_000
ALPHA = 1e-9 / FAMILY
POWER = 0.999


def binomial_p_value(count, cells, rate):
    """Exact two-sided p-value of `count` successes in `cells` Bernoulli(rate) draws (twice the smaller tail)."""
    lower = stats.binom.cdf(count, cells, rate)
    upper = stats.binom.sf(np.asarray(count) - 1, cells, rate)
    return np.minimum(1.0, 2.0 * np.minimum(lower, upper))


def assert_binomial(count, cells, rate, what):
    """Fail when the exact binomial test rejects at ALPHA."""
    p_value = binomial_p_value(count, cells, rate)
    assert np.all(p_value >= ALPHA), f"{what}: {count} of {cells} at rate {rate}, p-value {np.min(p_value):.1e}"


def visible_excess(cells, rate):
    """Smallest relative excess of the true rate that the test of `cells` draws rejects with probability POWER."""
    limit = stats.binom.isf(ALPHA / 2.0, cells, rate) + 1

    def shortfall(excess):
        return stats.binom.sf(limit - 1, cells, rate * (1.0 + excess)) - POWER

    return optimize.brentq(shortfall, 1e-9, 1.0 / rate - 1.0 - 1e-9)


def joint_histogram(codes, read, bits):
    """Counts of (stored code, flip pattern), shape (2^B, 2^B)."""
    pairs = codes.astype(np.int64) << bits | (codes ^ read)
    return np.bincount(pairs.ravel(), minlength=4**bits).reshape(2**bits, 2**bits)


def plane_counts(histogram, plane, stored_bit):
    """Flips and cells of one plane among the codes whose bit there is `stored_bit`."""
    codes = np.arange(histogram.shape[0])
    rows = histogram[(codes >> plane) & 1 == stored_bit]
    return rows[:, (codes >> plane) & 1 == 1].sum(), rows.sum()


def joint_counts(histogram, planes, stored_bits):
    """Codes in which both planes flip, and all codes, among those with these two stored bits."""
    codes = np.arange(histogram.shape[0])
    bits = [(codes >> plane) & 1 for plane in planes]
    rows = histogram[(bits[0] == stored_bits[0]) & (bits[1] == stored_bits[1])]
    return rows[:, (bits[0] == 1) & (bits[1] == 1)].sum(), rows.sum()


def slow_philox(counter, key, rounds=7):
    """Philox4x32 in Python integers, from the paper of Salmon et al. (2011)."""
    c, k = list(counter), list(key)
    for _ in range(rounds):
        left, right = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(right >> 32) ^ c[1] ^ k[0], right % 2**32, (left >> 32) ^ c[3] ^ k[1], left % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def slow_digit(seed, tensor, trial, index, plane, level, purpose="trial"):
    """Binary digit `level` of the cell's uniform number."""
    digest = hashlib.blake2b(
        json.dumps(["qtaml-codesign flips 2", seed, tensor, purpose]).encode(), digest_size=16
    ).digest()
    key, fold = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    word, folded = index // 8, trial ^ fold
    counter = (word % 2**32, word >> 32 | plane // 8 << 16 | level // 2 << 20, folded % 2**32, folded >> 32)
    words = slow_philox(counter, (key % 2**32, key >> 32))
    pair = words[2 * (level % 2)] | words[2 * (level % 2) + 1] << 32
    return pair >> (8 * (index % 8) + plane % 8) & 1


def slow_uniform(seed, tensor, trial, index, plane, digits=1100, purpose="trial"):
    """The cell's uniform number as an exact fraction, cut after `digits` binary digits."""
    found = 0
    for level in range(digits):
        found = 2 * found + slow_digit(seed, tensor, trial, index, plane, level, purpose)
    return Fraction(found, 2**digits)


def slow_is_below(rate, seed, tensor, trial, index, plane, purpose="trial"):
    """u < rate with as many digits as it takes: the number lies in [low, low + 2^-count)."""
    low, unit, wanted = Fraction(0), Fraction(1), Fraction(float(rate))
    for level in range(1100):
        if low + unit <= wanted or low >= wanted:
            break
        unit /= 2
        low += unit * slow_digit(seed, tensor, trial, index, plane, level, purpose)
    return low + unit <= wanted


def slow_read(codes, down, up, seed, tensor, trial):
    """Read codes, one cell at a time, with exact fractions."""
    read = []
    for index, code in enumerate(codes):
        flips = 0
        for plane in range(len(down)):
            rate = down[plane] if code >> plane & 1 else up[plane]
            flips |= slow_is_below(rate, seed, tensor, trial, index, plane) << plane
        read.append(code ^ flips)
    return read


def slow_value(code, bits, encoding):
    """Value of a code as a fraction, from the definition of each encoding."""
    step = Fraction(2, 2**bits)
    planes = [code >> plane & 1 for plane in range(bits)]
    if encoding == "offset_binary":
        return step * sum(2**i * bit for i, bit in enumerate(planes)) - 1
    magnitude = sum(2**i * bit for i, bit in enumerate(planes[:-1]))
    if encoding == "twos_complement":
        return step * (magnitude - 2 ** (bits - 1) * planes[-1])
    return step * magnitude * (-1 if planes[-1] else 1)
