"""Flip probability of many cells: every step of the proof, the bound on all cards, and the cells against 50 digits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

import qtaml_codesign as qc
from qtaml_codesign.cards import CellParameters, list_cards, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import binomial, cells, kernels
from qtaml_codesign.physics.escape import escape_logs, log_flips
from qtaml_codesign.physics.flip import flip_probability
from tests.physics_oracle import exact, relative

CARD = load_card("3nm")
SWEEPS = {name: load_card(name).sweep.thickness_nm for name in list_cards() if load_card(name).sweep}
SWEEPS["sram_6t"] = (0.58, 0.617)  # the card flips nowhere near its own thickness
WIDE = {name: (0.97 * low, 1.04 * high) for name, (low, high) in SWEEPS.items()}
DEEP = {"sram_6t": (1.6, 1.9), "nor_flash_floating_gate": (8.5, 9.5), "3nm": (4.0, 6.0)}
RANGES = [(name, *ends) for chosen in (SWEEPS, WIDE, DEEP) for name, ends in chosen.items()]


def log_flip(n: int, k: int, v: mpf) -> mpf:
    """ln p_flip at ln x = v, by the finite sum."""
    q = mp.exp(-mp.exp(v))
    return mp.log(mp.fsum(mp.binomial(n, i) * (1 - q) ** i * q ** (n - i) for i in range(k + 1, n + 1)))


def actions(cell: CellParameters, *thickness_nm: float) -> list[float]:
    return [cell.barrier.action(thickness) for thickness in thickness_nm]


def parts(n: int, k: int, v: mpf) -> tuple[mpf, ...]:
    """G, H, Q and a2 at ln x = v; d P(K > k) / dx = (n - k) P(K = k)."""
    log_density = lambda s: s + k * mp.log(-mp.expm1(-mp.exp(s))) - (n - k) * mp.exp(s)  # noqa: E731
    slope = (n - k) * mp.binomial(n, k) * mp.exp(log_density(v) - log_flip(n, k, v))
    lead = slope - mp.diff(log_density, v)
    return slope, lead, -mp.diff(log_density, v, 2) - slope * lead, -mp.diff(log_density, v, 3)


@pytest.mark.parametrize(("n", "k"), [(1, 0), (20, 2), (50, 4), (100, 80), (213, 21)])
@pytest.mark.parametrize("v", [-6.0, -2.0, -0.5, 0.7])
def test_steps_one_to_three_of_the_proof(n: int, k: int, v: float) -> None:
    """G, H, Q, a2 >= 0; a2 below its bound; and f'''' is what step 3 says, all against derivatives by mpmath."""
    with mp.workdps(250):
        g, h, q, a2 = parts(n, k, mpf(v))
        assert min(g, h, q, a2) >= 0
        assert a2 <= (n - k + mpf(k) / 2) * mp.exp(v) * (1 + mpf(10) ** -60)
        third, fourth = (mp.diff(lambda s: log_flip(n, k, s), mpf(v), order) for order in (3, 4))
        size = g * ((g + 3 * h) * q + (g + h) * h**2 + a2)
        assert abs(third - g * (h**2 - q)) <= 1e-12 * g * (h**2 + q)
        assert abs(fourth - g * ((g + 3 * h) * q - (g + h) * h**2 - a2)) <= 1e-12 * size


@pytest.mark.parametrize(("n", "k"), [(1, 0), (20, 2), (50, 4), (50, 49), (213, 21)])
def test_slopes_on_both_sides_of_the_middle(n: int, k: int) -> None:
    """G at the knots to 1e-13, from x = 1e-9 to where nothing is left of it."""
    action = math.log(2.4e7) - np.linspace(-20.0, 1.0, 30)
    logs = np.stack(escape_logs(action, 2.4e7, n, k))
    for place, found in enumerate(binomial.log_slopes(logs, float(n), float(k))):
        with mp.workdps(250):
            truth = parts(n, k, mp.log(-mpf(logs[1, place])))[0]
        assert relative(float(found), truth) <= 1e-13


def test_the_elementary_functions_of_the_proof_stay_in_their_bounds() -> None:
    """w = (x b')' in [-1/2, 0.112], x up to 60 and then below 1e-20; v1 to v4 for all u < 0.0092."""
    b = lambda x: x / mp.expm1(x)  # noqa: E731
    w = lambda x: mp.diff(b, x) + x * mp.diff(b, x, 2)  # noqa: E731
    values = [w(mpf(i) / 50) for i in range(1, 3000)]
    assert min(values) > -0.5
    assert 0.1115 < max(values) < cells.LEAST_SHARE
    assert abs(w(mpf(60))) < 1e-20
    for share in (1e-12, 1e-6, 1e-3, 0.003, 0.0091):
        top = -mp.log(mpf(share) / (1 + mpf(share)))
        v = lambda minus_s: mp.log(-mp.log1p(-mp.exp(minus_s)))  # noqa: E731
        with mp.workdps(80):
            v1, v2, v3, v4 = (mp.diff(v, -top, order) for order in (1, 2, 3, 4))
        assert 1 <= v1 <= 1 + mpf(share) / 2
        assert max(abs(v2), abs(v3)) <= share
        assert abs(v4) <= 2 * share
    assert math.exp(-cells.LEAST_ACTION) / (1 - math.exp(-cells.LEAST_ACTION)) < 0.0092


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_the_bound_holds_on_every_card_and_is_not_vacuous(name: str, low: float, high: float) -> None:
    """Against the exact chain at 40,000 thicknesses; the largest error lies within the bound and above 1/40 of it."""
    cell = load_card(name).resolve()
    table = cells.table_for(cell, *actions(cell, low, high), most_intervals=10**6)
    assert table is not None
    action = np.random.default_rng(3).uniform(*actions(cell, low, high), 40_000)
    found = np.empty_like(action)
    table.read(action, found)
    truth = log_flips(action, cell.attempts, cell.electrons, cell.flip_threshold)
    rounding = 2.0**-50 * (cell.flip_threshold + 1) * float(action.max())
    worst = float(np.max(np.abs(found - truth)))
    assert worst <= table.error_bound + rounding
    assert table.error_bound <= cells.MOST_ERROR < 1e-9
    assert name in DEEP or worst >= table.error_bound / 40


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("intervals", [40, 200])
def test_the_bound_holds_for_coarse_tables(name: str, intervals: int) -> None:
    """Errors large enough to see nothing but the interpolation."""
    cell, (low, high) = load_card(name).resolve(), SWEEPS[name]
    table = cells.tabulate(cell, *actions(cell, low, high), intervals)
    action = np.random.default_rng(4).uniform(*actions(cell, low, high), 20_000)
    found = np.empty_like(action)
    table.read(action, found)
    worst = float(np.max(np.abs(found - log_flips(action, cell.attempts, cell.electrons, cell.flip_threshold))))
    assert table.error_bound / 40 <= worst <= table.error_bound


@pytest.mark.parametrize("name", SWEEPS)
def test_cells_agree_with_fifty_digits(name: str) -> None:
    """20,000 cells around the middle of the sweep, 40 of them against mpmath, relative error of p at most 1e-9."""
    card, (low, high) = load_card(name), SWEEPS[name]
    thickness = np.random.default_rng(6).normal(0.5 * (low + high), 0.01, 20_000)
    log_p = qc.flip_probability_of_cells(card, thickness, log=True)
    np.testing.assert_array_equal(np.exp(log_p), qc.flip_probability_of_cells(card, thickness))
    for place in range(0, thickness.size, 500):
        truth = exact(replace(card.resolve(), thickness_nm=float(thickness[place]))).log_flip
        assert abs(mp.expm1(mpf(log_p[place]) - truth)) <= 1e-9


def test_shapes_regions_and_planes() -> None:
    thickness = np.random.default_rng(1).normal(1.8, 0.02, (40, 50)).T
    card = CARD.with_field("bit_planes.7.cell.electrons", 60)
    before = thickness.copy()
    p = qc.flip_probability_of_cells(card, thickness)
    assert p.shape == (50, 40)
    np.testing.assert_allclose(p, flip_probability(card, thickness).by_plane[..., 0], rtol=1e-9, atol=0.0)
    top = qc.flip_probability_of_cells(card, thickness, region="default", plane=7)
    np.testing.assert_allclose(top, flip_probability(card, thickness).by_plane[..., 7], rtol=1e-9, atol=0.0)
    np.testing.assert_array_equal(thickness, before)
    assert qc.flip_probability_of_cells(card, 1.765).shape == ()


def test_where_there_is_no_table_the_chain_is_exact() -> None:
    """Few cells, equal cells, an action below 4.7, and thresholds of almost all electrons."""
    many = np.random.default_rng(2).uniform(1.7, 1.9, 3000)
    thin = CARD.with_field("validity.thickness_nm", [0.1, 10])
    steep = CARD.with_field("cell.flip_threshold", 48)
    cases = [(CARD, many[:50]), (CARD, np.full(5000, 1.8)), (thin, np.append(many, 0.3)), (steep, many)]
    for card, thickness in cases:
        p = qc.flip_probability_of_cells(card, thickness)
        np.testing.assert_array_equal(p, flip_probability(card, thickness).probability)
    assert cells.table_for(steep.resolve(), 1.7, 1.9, 10**6) is None
    assert cells.table_for(thin.resolve(), 0.3, 1.9, 10**6) is None


@pytest.mark.parametrize(
    "bad", [math.nan, -1.8, 0.0, 0.4, 10.1, math.inf, [], [1.8] * 9 + [math.nan], [1.8, -1.8], "1.8", None, [True]]
)
def test_bad_thickness_is_refused(bad: object) -> None:
    with pytest.raises(InputError) as caught:
        qc.flip_probability_of_cells(CARD, bad)
    assert caught.value.where == "thickness_nm"


def test_the_uncompiled_kernel_is_the_same() -> None:
    places, table, found = np.array([1.0, 1.24, 1.99]), np.arange(8.0).reshape(2, 4), np.empty((2, 3))
    kernels.piecewise_cubic(places, 1.0, 2.0, table, found[0])
    kernels.piecewise_cubic.py_func(places, 1.0, 2.0, table, found[1])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-15, atol=0.0)
