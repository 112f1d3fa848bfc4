"""Flip probability averaged over an array: published figures, closed forms, and quadrature that is not ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import integrate, special, stats

import qtaml_codesign as qc
from qtaml_codesign.cards import CellParameters, DeviceCard, list_cards, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import variation
from qtaml_codesign.physics.chain import flip_logs
from qtaml_codesign.physics.flip import flip_probability, log_slope_per_nm, thickness_for
from tests.physics_oracle import decay_constant, exact

CARD = load_card("3nm")
SWEPT = [name for name in list_cards() if load_card(name).sweep]
SIGMAS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
TABLE = {  # thickness in nm: p_flip of equal cells, then mean over it for each of SIGMAS
    1.765: (9.997e-2, 1.051, 1.199, 1.426, 1.980, 3.06, 3.95),
    1.822: (9.909e-3, 1.098, 1.425, 2.075, 4.68, 15.3, 29.5),
    1.900: (2.207e-4, 1.139, 1.662, 2.99, 13.4, 185, 801),
    2.000: (1.034e-6, 1.162, 1.814, 3.75, 30.7, 3969, 7.6e4),
    2.120: (1.292e-9, 1.171, 1.875, 4.09, 46.3, 8.1e4, 1.7e7),
}
DIGITS = {3.06: 3, 3.95: 3, 4.68: 3, 15.3: 3, 29.5: 3, 2.99: 3, 13.4: 3, 185: 3, 801: 3, 3.75: 3, 30.7: 3, 7.6e4: 2,
          4.09: 3, 46.3: 3, 8.1e4: 2, 1.7e7: 2}
RARE_LIMIT = (1.174, 1.90, 4.22, 54.7, 9.0e6, 6e27)


def varied(card: DeviceCard, sigma_nm: float, cells: str = "mean") -> DeviceCard:
    return card.with_field("variation", {"thickness_sigma_nm": sigma_nm, "cells": cells})


def mean(card: DeviceCard, sigma_nm: float, thickness_nm: float) -> float:
    return float(flip_probability(varied(card, sigma_nm), thickness_nm).probability)


def normal(x: float) -> float:
    """Phi(x)."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def over_electrons(cell: CellParameters, of_gap: Callable[[float], float], thickness_nm: float) -> float:
    """E_U[of_gap(d(U) - d)], U ~ Beta(k + 1, N - k), where an electron leaves through d(U) with chance U.

    p_flip(d) = P(U < p_esc(d)), so that cells of thickness N(d, sigma) flip with E_U[Phi((d(U) - d) / sigma)].
    """
    above, below = cell.flip_threshold + 1, cell.electrons - cell.flip_threshold
    decay, scale = 2.0 * float(decay_constant(cell)), special.betaln(above, below)

    def integrand(share: float) -> float:
        log_density = (above - 1) * math.log(share) + (below - 1) * math.log1p(-share) - scale
        own_nm = -math.log(-math.expm1(math.log1p(-share) / cell.attempts)) / decay
        return math.exp(log_density) * of_gap(own_nm - thickness_nm)

    inner = stats.beta(above, below).ppf([1e-12, 1e-9, 1e-6, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - 1e-6])
    return math.fsum(integrate.quad(integrand, low, high, epsabs=1e-290, epsrel=1e-12, limit=200)[0]
                     for low, high in pairwise([0.0, *inner, 1.0]))


@pytest.mark.parametrize("thickness_nm", TABLE)
def test_the_published_table(thickness_nm: float) -> None:
    """Every entry to 0.6 units of its last digit (13.35 was rounded twice)."""
    alike, *ratios = TABLE[thickness_nm]
    own = float(flip_probability(CARD, thickness_nm).probability)
    assert own == pytest.approx(alike, rel=5e-4, abs=0.0)
    for sigma_nm, ratio in zip(SIGMAS, ratios, strict=True):
        found = flip_probability(varied(CARD, sigma_nm), thickness_nm)
        assert found.log_complement == pytest.approx(math.log1p(-found.probability), rel=1e-12, abs=0.0)
        unit = 10.0 ** (math.floor(math.log10(ratio)) + 1 - DIGITS.get(ratio, 4))
        assert found.probability / own == pytest.approx(ratio, rel=0.6 * unit / ratio, abs=0.0)


def test_the_published_cards() -> None:
    """7nm at its own thickness: 9.7e-4 becomes 0.0339, 35 times as much; eDRAM: 0.0074 becomes 0.385, 52 times."""
    for name, alike, found, ratio in (("7nm", 9.7e-4, 0.0339, 35), ("edram_gain_cell", 0.0074, 0.385, 52)):
        card = load_card(name)
        own, wide = float(flip_probability(card).probability), mean(card, 0.03, card.resolve().thickness_nm)
        assert own == pytest.approx(alike, rel=0.006, abs=0.0)
        assert wide == pytest.approx(found, rel=0.002, abs=0.0)
        assert wide / own == pytest.approx(ratio, rel=0.01, abs=0.0)


def test_the_rare_limit() -> None:
    """mean / own -> exp((S' (k + 1) sigma)^2 / 2), which no mean exceeds and deep tails reach."""
    slope = 2.0 * float(decay_constant(CARD.resolve()))
    for sigma_nm, printed in zip(SIGMAS, RARE_LIMIT, strict=True):
        limit = math.exp((5.0 * slope * sigma_nm) ** 2 / 2.0)
        assert limit == pytest.approx(printed, rel=0.09 if printed > 1e20 else 0.004, abs=0.0)
        for thickness_nm, (alike, *_) in TABLE.items():
            assert mean(CARD, sigma_nm, thickness_nm) <= 1.0005 * alike * limit
        deep_nm = 5.0 + 70.0 * sigma_nm**2
        both = [flip_probability(one, deep_nm).log_probability for one in (varied(CARD, sigma_nm), CARD)]
        assert both[0] - both[1] == pytest.approx(math.log(limit), rel=1e-9, abs=0.0)


@pytest.mark.parametrize("name", ["3nm", "7nm", "edram_gain_cell", "hfo2_highk"])
@pytest.mark.parametrize("sigma_nm", [0.003, 0.03, 0.2])
def test_the_beta_identity(name: str, sigma_nm: float) -> None:
    """Both sides, and the slope in thickness, to 1e-12 and 1e-8: an integral over electrons in place of thickness."""
    card = load_card(name)
    low, high = card.sweep.thickness_nm
    for thickness_nm in (0.99 * low, 0.5 * (low + high), high):
        cell, found = card.resolve(), flip_probability(varied(card, sigma_nm), thickness_nm)
        above = over_electrons(cell, lambda gap: normal(gap / sigma_nm), thickness_nm)
        below = over_electrons(cell, lambda gap: normal(-gap / sigma_nm), thickness_nm)
        assert found.probability == pytest.approx(above, rel=1e-12, abs=0.0)
        assert math.exp(found.log_complement) == pytest.approx(below, rel=1e-12, abs=0.0)
        if low <= thickness_nm <= high:
            density = over_electrons(cell, lambda gap: math.exp(-0.5 * (gap / sigma_nm) ** 2), thickness_nm)
            density /= sigma_nm * math.sqrt(2.0 * math.pi)
            moved = varied(card, sigma_nm).with_field("barrier.thickness_nm", thickness_nm)
            assert log_slope_per_nm(moved) == pytest.approx(-density / above, rel=1e-7, abs=0.0)


@pytest.mark.parametrize("thickness_nm", [1.65, 1.9])
def test_fifty_digits(thickness_nm: float) -> None:
    """The sum over z at a step of sigma / 8, chain and sum by mpmath at 50 digits; both sides to 1e-12."""
    cell, above, below = CARD.resolve(), mpf(0), mpf(0)
    for z in range(-88, 89):
        logs = exact(replace(cell, thickness_nm=thickness_nm + 0.03 * z / 8.0))
        above, below = (total + mp.exp(log) * mp.npdf(mpf(z) / 8) / 8
                        for total, log in ((above, logs.log_flip), (below, logs.log_no_flip)))
    found = flip_probability(varied(CARD, 0.03), thickness_nm)
    assert found.log_probability == pytest.approx(float(mp.log(above)), rel=1e-12, abs=0.0)
    assert found.log_complement == pytest.approx(float(mp.log(below)), rel=1e-12, abs=0.0)


@pytest.mark.parametrize(("sigma_nm", "thickness_nm"), [(0.03, 1.65), (0.1, 1.9), (0.2, 5.0), (1.0, 1.765)])
def test_adaptive_quadrature(sigma_nm: float, thickness_nm: float) -> None:
    """scipy's quad over z of its own binomial tail; cells without oxide flip for sure."""
    cell = CARD.resolve()
    decay, bare = 2.0 * float(decay_constant(cell)), -thickness_nm / sigma_nm

    def integrand(z: float, tail: Callable[..., float]) -> float:
        share = -math.expm1(cell.attempts * math.log1p(-math.exp(-decay * (thickness_nm + sigma_nm * z))))
        return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * float(tail(share))

    ends = [max(-24.0, bare + 1e-9), *(z for z in np.arange(-23.0, 12.0) if z > bare + 1e-9)]
    above, below = (math.fsum(integrate.quad(integrand, low, high, (tail,), epsabs=0.0, epsrel=1e-9, limit=100)[0]
                              for low, high in pairwise(ends))
                    for tail in (partial(special.betainc, 5, 46), partial(special.betaincc, 5, 46)))
    found = flip_probability(varied(CARD, sigma_nm), thickness_nm)
    assert found.probability == pytest.approx(above + normal(bare), rel=1e-8, abs=0.0)
    assert math.exp(found.log_complement) == pytest.approx(below, rel=1e-8, abs=0.0)


def test_many_electrons() -> None:
    """Phi((d* - d) / sqrt(sigma^2 + w^2)), d* where p_flip = 1/2, to 0.3 % on the eDRAM card."""
    card = load_card("edram_gain_cell")
    cell, half_nm = card.resolve(), thickness_for(card, 0.5)
    width_nm = 1.0 / (2.0 * float(decay_constant(cell)) * math.sqrt(cell.flip_threshold + 1))
    for sigma_nm in (0.03, 0.1):
        closed = special.ndtr((half_nm - cell.thickness_nm) / math.hypot(sigma_nm, width_nm))
        assert mean(card, sigma_nm, cell.thickness_nm) == pytest.approx(closed, rel=0.003, abs=0.0)


def test_gauss_hermite_nodes_miss_a_sharp_step() -> None:
    """Relative errors of the published comparison: 11 nodes 1e-8 at sigma 0.03, 41 nodes 4 % and more for N = 1870."""
    def gauss(card: DeviceCard, sigma_nm: float, thickness_nm: float, nodes: int) -> float:
        z, weights = np.polynomial.hermite_e.hermegauss(nodes)
        p = flip_probability(card, thickness_nm + sigma_nm * z).probability
        return abs(float((weights * p).sum() / weights.sum()) / mean(card, sigma_nm, thickness_nm) - 1.0)

    assert gauss(CARD, 0.03, 1.765, 5) == pytest.approx(1.4e-4, rel=0.05, abs=0.0)
    assert gauss(CARD, 0.03, 1.765, 11) == pytest.approx(1.4e-8, rel=0.05, abs=0.0)
    assert gauss(CARD, 0.1, 1.765, 21) == pytest.approx(2.6e-4, rel=0.05, abs=0.0)
    assert gauss(CARD, 0.1, 1.765, 41) == pytest.approx(1.8e-5, rel=0.05, abs=0.0)
    sharp = load_card("edram_gain_cell")
    assert max(gauss(sharp, 0.03, nm, 41) for nm in np.linspace(1.967, 1.992, 9)) > 0.04


@pytest.mark.parametrize("name", SWEPT)
def test_the_step_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes at most 0.8 w and sigma / 2 apart at every sigma, and no more of them than the range and this step ask."""
    asked: list[np.ndarray] = []

    def recorded(cell: CellParameters, thickness_nm: np.ndarray) -> object:
        asked.append(thickness_nm)
        return flip_logs(cell, thickness_nm)

    cell = load_card(name).resolve()
    slope_per_nm = cell.barrier.slope_per_nm(cell.thickness_nm)
    width_nm = 1.0 / (slope_per_nm * math.sqrt(cell.flip_threshold + 1))
    for sigma_nm in (0.001, 0.03, 0.1):
        asked.clear()
        wide = replace(cell, variation=varied(load_card(name), sigma_nm).variation)
        variation.averaged_logs(wide, np.array([cell.thickness_nm]), recorded)  # type: ignore[arg-type]
        nodes = asked[1]
        assert np.ptp(np.diff(nodes)) < 1e-12
        step = nodes[1] - nodes[0]
        assert step <= min(0.8 * width_nm, 0.5 * sigma_nm) * (1 + 1e-9)
        assert np.ptp(nodes) >= 20.0 * sigma_nm
        assert nodes.size <= 20.0 * sigma_nm / step + 3.0
        assert step >= 0.25 * min(0.25 / slope_per_nm, 0.5 * width_nm, 0.5 * sigma_nm)


def test_what_the_rule_cannot_do_is_an_error() -> None:
    card = CARD.with_fields({"cell.electrons": 10**9, "cell.flip_threshold": 10**7})
    with pytest.raises(InputError) as caught:
        flip_probability(varied(card, 1.0), 1.7)
    assert caught.value.where == "variation.thickness_sigma_nm"


@pytest.mark.parametrize("begin", [{"_REACH": 2.0}, {"power_of_two": lambda values: np.full_like(values, 2.0**-4)}])
def test_a_rule_that_begins_too_short_or_too_coarse_mends_itself(
    begin: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same mean from a range of 2 sigma, and from a step of 2 sigma."""
    truth = mean(CARD, 0.03, 1.9)
    for name, value in begin.items():
        monkeypatch.setattr(variation, name, value)
    assert mean(CARD, 0.03, 1.9) == pytest.approx(truth, rel=1e-9, abs=0.0)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-6, 0.5), st.floats(1.0, 4.0), st.integers(1, 300), st.floats(0.0, 0.999))
def test_a_mean_lies_between_extremes_and_falls_with_thickness(
    sigma_nm: float, thickness_nm: float, electrons: int, share: float
) -> None:
    card = CARD.with_fields({"cell.electrons": electrons, "cell.flip_threshold": int(share * electrons)})
    wide = varied(card, sigma_nm)
    means = flip_probability(wide, [thickness_nm, thickness_nm + 0.01])
    ends = np.maximum(thickness_nm + 40.0 * sigma_nm * np.array([-1.0, 1.0]), 0.5)
    most, least = flip_logs(card.resolve(), ends).log_flip
    assert least <= means.log_probability[0] <= most or most == pytest.approx(means.log_probability[0], abs=1e-12)
    assert means.log_probability[0] >= means.log_probability[1]
    assert means.log_complement[0] <= means.log_complement[1]


def test_points_do_not_hang_on_their_neighbours_and_no_sigma_is_no_variation() -> None:
    """Bit for bit; nodes are shared by all thicknesses of a curve."""
    grid = np.linspace(1.6, 2.3, 91)
    curve = np.asarray(flip_probability(varied(CARD, 0.03), grid).log_probability)
    alone = [flip_probability(varied(CARD, 0.03), thickness).log_probability for thickness in grid]
    assert curve.tolist() == alone
    for card in (CARD, varied(CARD, 0.0)):
        np.testing.assert_array_equal(flip_probability(card, grid).log_probability,
                                      flip_probability(CARD, grid).log_probability)


def test_a_curve_shares_its_nodes() -> None:
    """500 thicknesses over 0.5 nm take fewer than 1,000 values of p_flip, of 53 nodes each."""
    taken = []

    def counted(cell: CellParameters, thickness_nm: np.ndarray) -> object:
        taken.append(thickness_nm.size)
        return flip_logs(cell, thickness_nm)

    cell = varied(CARD, 0.03).resolve()
    variation.averaged_logs(cell, np.linspace(1.7, 2.2, 500), counted)  # type: ignore[arg-type]
    assert sum(taken) - 500 < 500


def test_the_inverse_and_the_planes() -> None:
    card = varied(CARD, 0.03)
    for target in (0.4, 0.1, 1e-6):
        found = flip_probability(card, thickness_for(card, target))
        assert found.probability == pytest.approx(target, rel=1e-11, abs=0.0)
    thick = card.with_field("bit_planes.7.barrier.thickness_nm", 2.0)
    by_plane = flip_probability(thick).by_plane
    assert by_plane[7] == mean(CARD, 0.03, 2.0)
    assert by_plane[0] == mean(CARD, 0.03, 1.765)
    assert qc.flip_probability_of_cells(card, 1.765) == pytest.approx(float(flip_probability(CARD).probability))
