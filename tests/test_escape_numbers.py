"""What each effect on the escape does to the 3 nm card, against published-style figures worked out independently.

A is the card's own thickness, 1.765 nm (p = 0.1); B is 2.12 nm (p = 1.3e-9).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

import qtaml_codesign as qc
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, BOLTZMANN_eV_per_K
from qtaml_codesign.physics.arrhenius import log_factor
from qtaml_codesign.physics.charge_noise import thermal_rms_electrons
from qtaml_codesign.physics.thermal import thermal_action

A_nm, B_nm = 1.765, 2.12
WARM = {"escape.thermal_averaging": "elastic"}
TRAPS = {"temperature_K": 300, "escape.traps.density_per_cm3": 1e17, "escape.traps.area_nm2": 264}


def probability(thickness_nm: float, changes: dict[str, object], name: str = "3nm") -> float:
    return float(qc.flip_probability(load_card(name).with_fields(changes), thickness_nm).probability)


def factor(thickness_nm: float, changes: dict[str, object], name: str = "3nm") -> float:
    return probability(thickness_nm, changes, name) / probability(thickness_nm, {}, name)


@pytest.mark.parametrize(("barrier", "thickness_nm", "temperature_K", "expected"), [
    (Rectangular(3.10, 0.05, 0.40), 1.765, 300.0, 1.0925), (Rectangular(3.10, 0.05, 0.40), 1.765, 398.0, 1.127),
    (Rectangular(2.05, 0.05, 0.11), 5.5, 300.0, 1.206), (Rectangular(2.05, 0.05, 0.11), 5.5, 398.0, 1.293),
])
def test_thermal_factor_of_the_transmission(
    barrier: Rectangular, thickness_nm: float, temperature_K: float, expected: float
) -> None:
    """Where the integral over energies has 1.0930, 1.127, 1.208 and 1.298."""
    per_eV = np.array([barrier.log_transmission_per_eV(thickness_nm)])
    gain = -thermal_action(np.zeros(1), per_eV, temperature_K)[0]
    assert math.exp(gain) == pytest.approx(expected, rel=5e-4)


def test_the_transmission_rises_by_3_27_per_electronvolt() -> None:
    assert load_card("3nm").resolve().barrier.log_transmission_per_eV(A_nm) == pytest.approx(3.27, rel=2e-3)


@pytest.mark.parametrize(("thickness_nm", "at_300_K", "to_398_K"), [(A_nm, 1.31, 1.10), (B_nm, 1.71, 1.21)])
def test_thermal_averaging_at_the_two_points(thickness_nm: float, at_300_K: float, to_398_K: float) -> None:
    warm = factor(thickness_nm, {**WARM, "temperature_K": 300})
    assert warm == pytest.approx(at_300_K, rel=6e-3)
    assert factor(thickness_nm, {**WARM, "temperature_K": 398}) / warm == pytest.approx(to_398_K, rel=6e-3)


def test_thermal_averaging_of_a_high_k_oxide_is_larger() -> None:
    """HfO2 at p = 0.1 and 3e-9: x 2.2 and x 5.8 by the factor at 5.5 nm, 1.206; the thicker oxide of 3e-9 has 1.23."""
    card = load_card("hfo2_highk")
    frequency = card.cell.attempt_frequency_Hz
    for chance, at_5_5_nm, own in ((0.1, 2.2, 2.25), (3e-9, 5.8, 6.84)):
        place = qc.thickness_for(card, chance)
        often = factor(place, {"cell.attempt_frequency_Hz": 1.206 * frequency}, "hfo2_highk")
        assert often == pytest.approx(at_5_5_nm, rel=0.02)
        assert factor(place, {**WARM, "temperature_K": 300}, "hfo2_highk") == pytest.approx(own, rel=2e-3)


@pytest.mark.parametrize(("energy_eV", "expected"), [(0.1, 2.6), (0.3, 17.0), (1.1, 3.5e4)])
def test_rates_from_300_to_398_K(energy_eV: float, expected: float) -> None:
    assert math.exp(log_factor(energy_eV, 398.0, 300.0)) == pytest.approx(expected, rel=0.03)


def test_the_retention_standard_has_one_activation_energy() -> None:
    """A year at 30 C = 500 h at 52 C = 96 h at 66 C: 1.106 and 1.111 eV."""
    year, kelvin = 365.25 * 24.0, 273.15
    for hours, celsius, energy in ((500.0, 52.0, 1.106), (96.0, 66.0, 1.111)):
        found = optimize.brentq(
            lambda e, t=celsius, h=hours: log_factor(e, t + kelvin, 30.0 + kelvin) - math.log(year / h), 0.5, 2.0)
        assert found == pytest.approx(energy, abs=1e-3)


@pytest.mark.parametrize(("rms_nm", "transmission", "at_a", "at_b"), [
    (0.03, 1.06, None, None), (0.1, 1.90, 4.9, 24.0), (0.2, 13.0, 10.0, 2.4e5)])
def test_roughness(rms_nm: float, transmission: float, at_a: float | None, at_b: float | None) -> None:
    changes = {"escape.roughness_nm": rms_nm}
    plain, rough = (qc.flip_probability(load_card("3nm").with_fields(fields)) for fields in ({}, changes))
    assert rough.transmission / plain.transmission == pytest.approx(transmission, rel=0.01)
    if at_a is not None:
        assert factor(A_nm, changes) == pytest.approx(at_a, rel=0.01)
        assert factor(B_nm, changes) == pytest.approx(at_b, rel=0.015)


def test_the_best_place_of_a_trap_is_the_middle() -> None:
    """There it passes sqrt(1/T)/2 times as much as one electron leaks: 1.1e4 at A, 8e4 at B."""
    for place, expected in ((A_nm, 1.1e4), (B_nm, 8e4)):
        plain = float(qc.flip_probability(load_card("3nm"), place).log_transmission)
        assert 0.5 * math.exp(-0.5 * plain) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("energy_eV", "at_a", "at_b", "rel"), [(0.0, 1.26, 1.2e7, 0.03), (0.1, 1.10, 5.6e4, 0.01),
                                                                (0.3, 1.00, 1.0006, 1e-3)])
def test_traps(energy_eV: float, at_a: float, at_b: float, rel: float) -> None:
    """x 1.26, 1.10, 1.00 and x 1e7, 6e4, 1.01; the last is 1.0006 where no Poisson tail is used."""
    changes = {**TRAPS, "escape.traps.activation_energy_eV": energy_eV}
    assert factor(A_nm, changes) == pytest.approx(at_a, rel=3e-3)
    assert factor(B_nm, changes) == pytest.approx(at_b, rel=rel)


@pytest.mark.parametrize(("thickness_nm", "expected"), [(1.765, 1.57), (1.90, 33.9), (2.12, 6e5), (2.247, 6e8)])
def test_charge_noise(thickness_nm: float, expected: float) -> None:
    changes = {"escape.charge_noise_electrons": 1.41}
    assert factor(thickness_nm, changes) == pytest.approx(expected, rel=0.03 if expected > 1e3 else 2e-3)


def test_charge_noise_of_a_node_and_its_floor() -> None:
    """1.40 electrons (18 mV) on 12.2 aF; below 8e-4 at B no thickness helps."""
    assert thermal_rms_electrons(12.2, 300.0) == pytest.approx(1.40, rel=3e-3)
    assert thermal_rms_electrons(12.2, 300.0) * ELEMENTARY_CHARGE_C / 12.2e-18 == pytest.approx(0.018, rel=0.03)
    changes = {"escape.node_capacitance_aF": 12.2, "escape.charge_noise": "kTC", "temperature_K": 300}
    given = {"escape.charge_noise_electrons": thermal_rms_electrons(12.2, 300.0)}
    assert probability(B_nm, changes) == pytest.approx(8e-4, rel=0.06)
    assert probability(B_nm, changes) == pytest.approx(probability(B_nm, given), rel=1e-12, abs=0.0)
    assert probability(5.0, changes) == pytest.approx(probability(8.0, changes), rel=1e-9, abs=0.0)


def test_leakage_of_the_access_device() -> None:
    """The oxide of the 3 nm card leaks 0.41 pA; 0.1 pA more is x 1.90 at p = 0.1 and x 1,181 at 1e-6."""
    card = load_card("3nm")
    cell, more = card.resolve(), {"escape.access.leakage_pA": 0.1}
    hazard = -math.log1p(-float(qc.flip_probability(card).escape_probability))
    assert cell.electrons * ELEMENTARY_CHARGE_C * hazard / cell.window_s == pytest.approx(0.41e-12, rel=0.01)
    for chance, expected in ((0.1, 1.9002), (1e-6, 1180.86)):
        assert factor(qc.thickness_for(card, chance), more) == pytest.approx(expected, rel=1e-4)


def test_boltzmann() -> None:
    assert pytest.approx(8.617333262e-5, rel=1e-10) == BOLTZMANN_eV_per_K


def test_the_inverse_finds_the_thickness_of_every_effect() -> None:
    """p rises by each of them, so that the oxide must be thicker, and p there is the one that was asked for."""
    plain = qc.thickness_for(load_card("3nm"), 0.1)
    for changes in ({**WARM, "temperature_K": 398}, {"escape.roughness_nm": 0.1}, TRAPS,
                    {"escape.charge_noise_electrons": 1.41}, {"escape.access.leakage_pA": 0.1}):
        card: DeviceCard = load_card("3nm").with_fields(changes)
        found = qc.thickness_for(card, 0.1)
        assert found > plain
        assert float(qc.flip_probability(card, found).probability) == pytest.approx(0.1, rel=1e-10, abs=0.0)
