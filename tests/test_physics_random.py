"""2,000 random cells against mpmath, from 1e-10000 to 1 - 1e-15; fixed key, so no chance of a false failure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special

from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.cards import CellParameters
from qtaml_codesign.physics.flip import FlipProbability, flip_probability
from tests.physics_oracle import Exact, binomial_tail, card_of, decay_constant, exact, relative

KEY, CARDS = 20260607, 2000
EIGHT_ULP = 8 * 2.0**-52


def random_cell(rng: np.random.Generator) -> CellParameters | None:
    electrons = int(10 ** rng.uniform(0, 5))
    spread = int(rng.integers(electrons)), min(electrons - 1, int(10 ** rng.uniform(0, 3)) - 1)
    threshold = spread[int(rng.integers(2))]
    height, mass = rng.uniform(1, 5), rng.uniform(0.05, 1)
    frequency, window = 10 ** rng.uniform(11, 15), 10 ** rng.uniform(-9, 9)
    cell = CellParameters(Rectangular(height, rng.uniform(0, 0.9), mass), 1.0, electrons, threshold, frequency, window)
    log_hazard = log_hazard_of(cell, rng)
    log_share = log_hazard - math.log(frequency * window)
    action = -log_share if log_share < -35 else -math.log(-math.expm1(-math.exp(log_share)))
    thickness = action / float(2 * decay_constant(cell))
    in_range = math.isfinite(log_hazard) and 0.05 < thickness < 500
    return replace(cell, thickness_nm=thickness) if in_range else None


def log_hazard_of(cell: CellParameters, rng: np.random.Generator) -> float:
    """ln(-ln(1 - p_esc)) for a flip probability in the far tail, in the floats, or close to 1."""
    n, k, kind = cell.electrons, cell.flip_threshold, rng.integers(3)
    if kind == 0:
        log_flip = -rng.uniform(100, 10000) * math.log(10)
        return (log_flip - math.log(math.comb(n, k + 1))) / (k + 1) if n < 2000 else log_flip / (k + 1)
    if kind == 1:
        share = special.betaincinv(k + 1, n - k, 10 ** rng.uniform(-170, -0.1))
    else:
        share = 1.0 - special.betaincinv(n - k, k + 1, 10 ** rng.uniform(-15, -0.1))
    return math.log(-math.log1p(-share)) if 0.0 < share < 1.0 else math.nan


def cells() -> Iterator[CellParameters]:
    rng, made = np.random.default_rng(KEY), 0
    while made < CARDS:
        cell = random_cell(rng)
        if cell is not None:
            made += 1
            yield cell


def check(cell: CellParameters, flip: FlipProbability, truth: Exact) -> tuple[float, float]:
    """Errors as shares of what is allowed: of p_flip (through its log), and of ln p_flip or ln(1 - p_flip)."""
    condition = EIGHT_ULP * (cell.flip_threshold + 1) * float(-flip.log_transmission)
    error = float(abs(mp.expm1(mpf(flip.log_probability) - truth.log_flip)))
    of_p = error / max(1e-10, condition)
    if truth.log_flip < mp.log(0.5):
        return of_p, relative(flip.log_probability, truth.log_flip) / max(1e-12, condition / float(-truth.log_flip))
    nearby = exact(cell, 1 + mpf(10) ** -20)
    slope = float(abs(nearby.log_no_flip - truth.log_no_flip)) * 1e20
    off = float(abs(mp.expm1(mpf(flip.log_complement) - truth.log_no_flip)))
    return of_p, off / max(1e-12, EIGHT_ULP * slope)


def test_random_cells_agree_with_fifty_digits() -> None:
    worst = (0.0, 0.0)
    lowest, highest = 0.0, 0.0
    for cell in cells():
        flip, truth = flip_probability(card_of(cell)), exact(cell)
        found = check(cell, flip, truth)
        worst = max(worst[0], found[0]), max(worst[1], found[1])
        assert max(found) <= 1.0, (cell, found)
        lowest, highest = min(lowest, float(truth.log_flip)), min(highest, float(truth.log_no_flip))
    assert lowest < -9000 * math.log(10)
    assert highest < -14 * math.log(10)
    assert worst[0] > 0.0


@pytest.mark.parametrize(("n", "k"), [(1, 0), (5, 2), (50, 4), (300, 299), (1000, 10)])
@pytest.mark.parametrize("share", ["1e-30", "0.003", "0.3", "0.97"])
def test_the_oracle_is_right(n: int, k: int, share: str) -> None:
    """The series of the oracle against mpmath's own incomplete beta function."""
    p = mpf(share)
    above, below = binomial_tail(n, k, mp.log(p), mp.log1p(-p))
    with mp.workdps(80):
        assert abs(mp.exp(above) / mp.betainc(k + 1, n - k, 0, p, regularized=True) - 1) < mpf("1e-30")
        assert abs(mp.exp(below) / mp.betainc(n - k, k + 1, 0, 1 - p, regularized=True) - 1) < mpf("1e-30")
