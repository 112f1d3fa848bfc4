"""Electrons that leave one after the other, each at a rate of its own, against oracles that share no code with ours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import linalg, optimize

import qtaml_codesign as qc
from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C
from qtaml_codesign.errors import CardError
from qtaml_codesign.physics.escape import escape_logs
from qtaml_codesign.physics.hazard import log_hazard_of
from qtaml_codesign.physics.self_limiting import death_logs
from tests.biased_barrier import Biased

KEY = 20260720


@pytest.fixture(autouse=True)
def biased() -> Iterator[None]:
    with patch.dict(BARRIERS):
        qc.register_barrier("biased", Biased)
        yield


def biased_card(bias_V: float, electrons: int = 50, threshold: int = 4, **escape: object) -> DeviceCard:
    """The 3 nm card under bias; `falling` puts N q / V on its node and lets the field fall."""
    tree = load_card("3nm").to_dict()
    barrier = {"model": "biased", "thickness_nm": 1.765, "height_eV": 3.1, "electron_energy_eV": 0.05,
               "effective_mass_m0": 0.4, "bias_V": bias_V}
    cell = {"electrons": electrons, "flip_threshold": threshold, "attempt_frequency_Hz": 2.4e13}
    return DeviceCard(**{**tree, "barrier": barrier, "cell": cell, **({"escape": escape} if escape else {})})


def falling(bias_V: float, electrons: int = 50, threshold: int = 4, **more: object) -> DeviceCard:
    node = electrons * ELEMENTARY_CHARGE_C / bias_V * 1e18
    return biased_card(bias_V, electrons, threshold, field="self_limiting", node_capacitance_aF=node, **more)


def log_p(card: DeviceCard, thickness_nm: float) -> float:
    return float(qc.flip_probability(card, thickness_nm).log_probability)


@pytest.mark.parametrize(("electrons", "threshold"), [(1, 0), (5, 4), (10, 0), (50, 4), (50, 24), (50, 49), (302, 150),
                                                      (604, 301)])
@pytest.mark.parametrize("attempts", [1e-3, 1.0, 2.4e7, 1e15])
def test_equal_rates_are_the_binomial_tail(electrons: int, threshold: int, attempts: float) -> None:
    """Both sides, from ln p = -271,800 to 1 - p = e^-3e16: of p (beyond e^-100 of ln p) to 1e-12."""
    action = np.array([0.01, 0.5, 2.0, 10.0, 14.0, 17.0, 18.0, 19.0, 19.5, 20.0, 21.0, 25.0, 40.0, 100.0, 900.0])
    left = np.log(np.arange(electrons, electrons - threshold - 1, -1.0))[:, None]
    found = np.stack(death_logs(left + log_hazard_of(action, attempts), threshold))
    exact = np.stack(escape_logs(action, attempts, electrons, threshold)[2:])
    known = np.isfinite(exact) & (exact < 0.0)
    np.testing.assert_array_less((np.abs(found - exact) / np.maximum(1.0, np.abs(exact) / 100.0))[known], 1e-12)


@pytest.mark.parametrize("scale", [0.05, 0.5, 2.0, 8.0])
def test_unequal_rates_are_the_matrix_exponential(scale: float) -> None:
    """Of the bidiagonal generator, by scaling and squaring in float64; 12 sets of rates over four decades."""
    rng = np.random.default_rng(KEY)
    for _ in range(12):
        rates = scale * 10.0 ** rng.uniform(-2.0, 2.0, int(rng.integers(1, 12)))
        generator = np.diag(np.append(-rates, 0.0)) + np.diag(rates, 1)
        row = linalg.expm(generator)[0]
        above, below = (float(side[0]) for side in death_logs(np.log(rates)[:, None], len(rates) - 1))
        assert math.exp(above) == pytest.approx(row[-1], rel=1e-9, abs=1e-13)
        assert math.exp(below) == pytest.approx(row[:-1].sum(), rel=1e-9, abs=1e-13)


def test_rare_unequal_rates_by_partial_fractions() -> None:
    """P(sum > 1) = sum_i e^-r_i prod_j r_j / (r_j - r_i), at 600 digits: from e^-336 to 1 - e^-711."""
    rates = [mpf(rate) for rate in np.random.default_rng(KEY).uniform(1.0, 3.0, 15)]
    with mp.workdps(600):
        for scale in (mpf("1e-9"), mpf("0.01"), mpf("1"), mpf("20"), mpf("40"), mpf("700")):
            slow = [scale * rate for rate in rates]
            below = mp.fsum(mp.exp(-one) * mp.fprod(other / (other - one) for other in slow if other != one)
                            for one in slow)
            found = death_logs(np.array([[float(mp.log(rate))] for rate in slow]), len(slow) - 1)
            for side, exact in zip(found, (mp.log1p(-below), mp.log(below)), strict=True):
                assert float(side[0]) == pytest.approx(float(exact), rel=2e-13, abs=0.0)


@pytest.mark.parametrize(("thickness_nm", "expected"), [(1.81, 0.913), (1.90, 0.839), (2.12, 0.776), (2.30, 0.755)])
def test_share_of_the_fixed_field_that_is_left(thickness_nm: float, expected: float) -> None:
    """50 electrons on 13 aF, 5 of which must leave."""
    bias = 50 * ELEMENTARY_CHARGE_C / 13e-18
    ratio = math.exp(log_p(falling(bias), thickness_nm) - log_p(biased_card(bias), thickness_nm))
    assert ratio == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("electrons", "threshold", "bias_V", "expected", "shift_nm"), [
    (50, 24, 0.65, 0.066, 0.026), (302, 150, 0.65, 3.4e-5, 0.027), (1000, 499, 1.5, 1e-61, 0.086)])
def test_a_threshold_in_the_middle(
    electrons: int, threshold: int, bias_V: float, expected: float, shift_nm: float
) -> None:
    """Where the fixed field gives p = 0.1."""
    fixed, own = biased_card(bias_V, electrons, threshold), falling(bias_V, electrons, threshold)
    place = qc.thickness_for(fixed, 0.1)
    change = log_p(own, place) - math.log(0.1)
    assert change == pytest.approx(math.log(expected), rel=5e-3)
    found = optimize.brentq(lambda d: log_p(own, d) - math.log(0.1), place - 0.2, place, xtol=1e-7)
    assert place - found == pytest.approx(shift_nm, abs=5e-4)


def test_the_rates_are_those_of_the_bias_that_is_left() -> None:
    """At 2.12 nm, by the matrix exponential of 0.65 V less q/C for each electron that is gone."""
    shape = Biased(3.1, 0.05, 0.4, 0.65)
    lost = np.arange(5)
    actions = [shape.with_bias(0.65 * (1.0 - gone / 50)).action(2.0) for gone in lost]
    rates = (50 - lost) * -2.4e7 * np.log1p(-np.exp(-np.array(actions)))
    row = linalg.expm(np.diag(np.append(-rates, 0.0)) + np.diag(rates, 1))[0]
    assert math.exp(log_p(falling(0.65), 2.0)) == pytest.approx(row[-1], rel=1e-9, abs=0.0)


def test_a_falling_field_never_flips_more() -> None:
    """Also with every other effect beside it."""
    thickness = np.linspace(1.7, 2.6, 9)
    beside = {"roughness_nm": 0.05, "charge_noise_electrons": 1.4, "access": {"leakage_pA": 0.02}}
    for more in ({}, beside):
        fixed = qc.flip_probability(biased_card(0.65, **more), thickness)
        own = qc.flip_probability(falling(0.65, **more), thickness)
        assert np.all(own.log_probability <= fixed.log_probability + 1e-12)
        assert np.all(np.diff(own.log_probability) < 0.0)


def test_simulated_cells() -> None:
    """200,000 cells, every electron drawn, at p = 0.4; one key in 1e9 would fail (6.1 standard errors)."""
    rng = np.random.default_rng(KEY)
    shape, cells = Biased(3.1, 0.05, 0.4, 0.65), 200_000
    times = np.zeros(cells)
    for gone in range(5):
        action = shape.with_bias(0.65 * (1.0 - gone / 50)).action(1.81)
        times += rng.exponential(1.0 / ((50 - gone) * 2.4e7 * math.exp(-action)), cells)
    chance = math.exp(log_p(falling(0.65), 1.81))
    assert abs(np.mean(times < 1.0) - chance) < 6.1 * math.sqrt(chance * (1.0 - chance) / cells)


def test_refusals() -> None:
    with pytest.raises(CardError, match="over a barrier without bias"):
        load_card("3nm").with_fields({"escape.field": "self_limiting", "escape.node_capacitance_aF": 12.2})
    with pytest.raises(CardError, match="needs the capacitance"):
        biased_card(0.65, field="self_limiting")
    with pytest.raises(CardError, match="voltage on the node"):
        biased_card(0.65, field="self_limiting", node_capacitance_aF=0.1)


def test_warnings_follow_the_field() -> None:
    """What is not modelled under a fixed field is modelled under a falling one, if the capacitance fits the bias."""
    fixed, own = (qc.flip_probability(card).warnings for card in
                  (biased_card(0.65, 9, 4), falling(0.65, 9, 4)))
    assert sum("not modelled" in warning for warning in fixed) == 2
    assert not any("not modelled" in warning for warning in own)
    other = biased_card(0.65, field="self_limiting", node_capacitance_aF=20.0)
    assert any("under the card's own bias" in text for text in qc.flip_probability(other).warnings)
    assert not any("under the card's own bias" in text for text in own)
