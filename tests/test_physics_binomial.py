"""The chain for many thicknesses at once: against its slow twin, point by point, and against 50 digits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

from qtaml_codesign.cards import load_card
from qtaml_codesign.physics import binomial, kernels
from qtaml_codesign.physics.escape import escape_logs, log_flips
from qtaml_codesign.physics.flip import flip_probability
from tests.physics_oracle import exact

CELLS = [(1, 0), (2, 0), (2, 1), (20, 2), (50, 4), (50, 49), (604, 301), (1000, 998), (20_000, 6000), (100_000, 1)]
ACTIONS = np.concatenate([np.geomspace(1e-6, 5.0, 60), np.linspace(5.0, 40.0, 1500), np.geomspace(41.0, 30_000.0, 60)])
NEW_KERNELS = ("tail_coefficients", "blocks_needed", "tail_series", "near_peak", "join_tail", "rare_hazard", "log_peak")


def slow(action: np.ndarray, attempts: float, n: int, k: int) -> np.ndarray:
    out = np.empty((4, action.size))
    kernels.flip_chain(action, attempts, float(n), float(k), kernels.BINOMIAL, out)
    return out


@pytest.mark.parametrize(("n", "k"), CELLS)
@pytest.mark.parametrize("attempts", [0.5, 2.4e7, 3e20])
def test_the_slow_twin_agrees(n: int, k: int, attempts: float) -> None:
    """Of ln p and ln(1 - p), the one far from 0 as a number, the one near 0 by its ratio: errors of p, either way."""
    found, truth = np.stack(escape_logs(ACTIONS, attempts, n, k)), slow(ACTIONS, attempts, n, k)
    for row, other in ((0, 1), (1, 0), (2, 3), (3, 2)):
        allowed = 1e-13 + 1e-14 * (np.abs(truth[row]) + np.abs(truth[other]) + (k + 1) * ACTIONS)
        gap = np.abs(found[row] - truth[row])
        near_zero = (truth[row] > -0.5) & (truth[row] < 0.0)
        gap[near_zero] /= -truth[row, near_zero]
        assert np.max(gap / allowed) <= 1.0, (row, ACTIONS[np.argmax(gap / allowed)])
    assert np.all(found <= 0.0)


def test_a_point_does_not_depend_on_its_neighbours() -> None:
    """Alone, reversed, shuffled or in the middle of 20,000: the same 64 bits."""
    rng = np.random.default_rng(5)
    for n, k in CELLS:
        action = rng.uniform(1.0, 60.0, 20_000)
        together = np.stack(escape_logs(action, 2.4e7, n, k))
        order = rng.permutation(action.size)
        np.testing.assert_array_equal(np.stack(escape_logs(action[order], 2.4e7, n, k)), together[:, order])
        for place in (0, 8191, 8192, 19_999):
            alone = np.stack(escape_logs(action[place:place + 1], 2.4e7, n, k))
            np.testing.assert_array_equal(alone[:, 0], together[:, place])


@pytest.mark.parametrize("tail", ["binomial", "poisson", "leading"])
def test_log_flips_are_the_same_numbers(tail: str) -> None:
    for n, k in CELLS:
        whole = escape_logs(ACTIONS.reshape(27, 60), 2.4e7, n, k, tail)
        np.testing.assert_array_equal(log_flips(ACTIONS.reshape(27, 60), 2.4e7, n, k, tail), whole.log_flip)


def test_uncompiled_kernels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = np.array([1e-6, 0.3, 2.0, 17.0, 19.975, 30.0, 60.0, 900.0])
    cells = [(1, 0), (50, 4), (50, 49), (604, 301)]
    compiled = [np.stack(escape_logs(actions, 2.4e7, n, k)) for n, k in cells]
    for name in NEW_KERNELS:
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    binomial._tail.cache_clear()
    plain = [np.stack(escape_logs(actions, 2.4e7, n, k)) for n, k in cells]
    binomial._tail.cache_clear()
    np.testing.assert_allclose(plain, compiled, rtol=1e-13, atol=0.0)


@pytest.mark.parametrize(
    ("name", "low", "high", "typical"),
    [("3nm", 1.6, 2.6, 1e-14), ("7nm", 1.7, 1.9, 3e-14), ("ideal_paper", 2.0, 3.1, 1e-14),
     ("edram_gain_cell", 1.96, 2.0, 1.2e-13), ("dram_1t1c", 5.53, 5.54, 1e-12), ("sram_6t", 0.56, 0.62, 1e-13),
     ("nor_flash_floating_gate", 4.2, 12.0, 1e-11)],
)
def test_fifty_digits(name: str, low: float, high: float, typical: float) -> None:
    """Median and largest error of p_flip over 60 thicknesses: what one ulp of the thickness does, and no more."""
    cell = load_card(name).resolve()
    thickness = np.random.default_rng(8).uniform(low, high, 60)
    flip = flip_probability(load_card(name), thickness)
    errors = []
    for place, width in enumerate(thickness):
        truth = exact(replace(cell, thickness_nm=float(width)))
        errors.append(float(abs(mp.expm1(mpf(flip.log_probability[place]) - truth.log_flip))))
    assert np.median(errors) <= typical
    assert max(errors) <= 8 * typical


@pytest.mark.parametrize(("n", "j"), [(1, 1), (50, 5), (50, 50), (604, 302), (20_000, 6001), (100_000, 99_998)])
def test_tail_series_is_the_sum_of_masses(n: int, j: int) -> None:
    coefficients = kernels.tail_coefficients(float(n), float(j))
    for odds in (1e-12, 0.01 * j / max(n - j, 1), 0.999 * j / max(n - j, 1)):
        total, scale = np.empty(1), (n - j) / (j + 1.0)
        blocks = kernels.blocks_needed(coefficients, scale * odds)
        kernels.tail_series(np.array([odds]), scale, coefficients, blocks, total)
        term = truth = mpf(1)
        for i in itertools.count(j):
            term *= mpf(n - i) / (i + 1) * mpf(odds)
            truth += term
            if term < truth * mpf(10) ** -25:
                break
        assert float(abs(mpf(total[0]) / truth - 1)) <= 2e-15 * math.sqrt(coefficients.size)


@pytest.mark.parametrize(("n", "j"), [(1, 1), (2, 1), (50, 5), (38_984, 38_983), (85_800, 25_740), (10**9, 10**9 - 3)])
def test_peak_of_the_mass(n: int, j: int) -> None:
    """Near j = n as well: there 1 - j / n, rounded, would cost five digits."""
    with mp.workdps(60):
        choose = mp.loggamma(n + 1) - mp.loggamma(j + 1) - mp.loggamma(n - j + 1)
        rest = (n - j) * mp.log(mpf(n - j) / n) if j < n else mpf(0)
        truth = float(choose + j * mp.log(mpf(j) / n) + rest)
    assert abs(kernels.log_peak(float(n), float(j)) - truth) <= 4e-15


def test_planes_share_one_array_only_where_they_are_alike() -> None:
    card = load_card("3nm")
    flip = flip_probability(card, [1.7, 1.8])
    assert flip.regions[0].log_probability.strides[-1] == 0
    other = flip_probability(card.with_field("bit_planes.7.cell.electrons", 60), [1.7, 1.8])
    assert other.by_plane[0, 7] > other.by_plane[0, 0]
    np.testing.assert_array_equal(other.by_plane[:, :7], flip.by_plane[:, :7])
