"""The effects on the escape of electrons: oracles by quadrature, sums and drawing, and what holds for all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray
from scipy import integrate, linalg, stats

import qtaml_codesign as qc
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.arrhenius import log_factor
from qtaml_codesign.physics.chain import flip_logs
from qtaml_codesign.physics.flip import log_slope_per_nm
from qtaml_codesign.physics.hazard import action_of, log_hazard_of
from qtaml_codesign.physics.leaving import leaving_logs
from qtaml_codesign.physics.roughness import rough_action
from qtaml_codesign.physics.thermal import thermal_action, thermal_share
from qtaml_codesign.physics.traps import average_over_places, log_trap_rate

Array = NDArray[np.float64]
KEY = 20260721
BOLTZMANN_eV_per_K = 8.617333262e-5
OXIDE = Rectangular(3.10, 0.05, 0.40)
TRAPS = {"density_per_cm3": 1e17, "area_nm2": 264.0}
ESCAPE: dict[str, object] = {
    "thermal_averaging": "elastic", "roughness_nm": 0.05, "activation_energy_eV": 0.05, "reference_temperature_K": 300,
    "charge_noise_electrons": 1.4, "traps": {**TRAPS, "activation_energy_eV": 0.05},
    "access": {"leakage_pA": 0.01, "activation_energy_eV": 0.3}}
EVERYTHING: dict[str, object] = {"temperature_K": 320, "escape": ESCAPE}
EFFECTS: dict[str, dict[str, object]] = {
    "thermal": {"temperature_K": 320, "escape.thermal_averaging": "elastic"},
    "roughness": {"escape.roughness_nm": 0.1},
    "activation": {"temperature_K": 320, "escape.activation_energy_eV": 0.1, "escape.reference_temperature_K": 300},
    "access": {"escape.access.leakage_pA": 0.02}, "noise": {"escape.charge_noise_electrons": 1.4},
    "kTC": {"temperature_K": 320, "escape.charge_noise": "kTC", "escape.node_capacitance_aF": 12.2},
    "traps": {"escape.traps": TRAPS}, "everything": EVERYTHING,
}


def changed(changes: dict[str, object], name: str = "3nm") -> DeviceCard:
    return load_card(name).with_fields(changes)


@pytest.mark.parametrize(("thickness_nm", "temperature_K", "error"), [
    (1.0, 300.0, 3e-4), (1.765, 300.0, 5e-4), (1.765, 398.0, 1e-3), (4.0, 300.0, 2e-3), (5.0, 398.0, 5e-3)])
def test_thermal_average_against_the_integral_over_energies(
    thickness_nm: float, temperature_K: float, error: float
) -> None:
    """int e^-u T(E + u kT) du below the top of a rectangle; the line of ln T leaves the stated error, from below."""
    kT = BOLTZMANN_eV_per_K * temperature_K

    def gain(u: float) -> float:
        height = OXIDE.height_eV - OXIDE.electron_energy_eV
        return math.exp(-u + OXIDE.action(thickness_nm) * (1.0 - math.sqrt(1.0 - u * kT / height)))

    exact = integrate.quad(gain, 0.0, 80.0, epsabs=0.0, epsrel=1e-10)[0]
    per_eV = np.array([OXIDE.log_transmission_per_eV(thickness_nm)])
    found = math.exp(-thermal_action(np.zeros(1), per_eV, temperature_K)[0])
    assert -error < found / exact - 1.0 < 0.0
    assert thermal_share(per_eV, temperature_K)[0] == pytest.approx(1.0 - 1.0 / found, rel=1e-9)


def test_log_transmission_per_eV_against_differences() -> None:
    """Of the closed form, and the differences that serve shapes without one."""
    exact = mp.diff(lambda e: -2 * mp.sqrt(mpf("0.4") * (mpf("3.1") - e)) * mpf("5.12316721967"), mpf("0.05")) * 1.765
    assert OXIDE.log_transmission_per_eV(1.765) == pytest.approx(float(exact), rel=1e-10)
    assert qc.Barrier.log_transmission_per_eV(OXIDE, 1.765) == pytest.approx(float(exact), rel=1e-8)


def test_roughness_against_quadrature_over_the_area() -> None:
    for rms in (0.03, 0.1, 0.2):
        slope = OXIDE.slope_per_nm(1.765)
        places = np.linspace(-1.0, 1.0, 20_001) * (12.0 * rms + slope * rms**2)
        mean = integrate.simpson(np.exp(-slope * places) * stats.norm.pdf(places, scale=rms), x=places)
        action = rough_action(np.array([OXIDE.action(1.765)]), np.array([slope]), rms)[0]
        assert math.exp(OXIDE.action(1.765) - action) == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("attempts", [1e-2, 2.4e7, 1e20])
def test_hazard_and_action_are_inverse(attempts: float) -> None:
    """Against mpmath at 50 digits, from an action of 1e-6 to 1e5; ln x is good to 1e-14 of max(1, |ln x|)."""
    action = np.geomspace(1e-6, 1e5, 40)
    found = log_hazard_of(action, attempts)
    with mp.workdps(50):
        for place, log_x in zip(action, found, strict=True):
            exact = mp.log(-mpf(attempts) * mp.log1p(-mp.exp(-mpf(place))))
            assert abs(mpf(log_x) - exact) <= 2e-14 * max(mpf(1), abs(exact))
    np.testing.assert_allclose(action_of(found, attempts), action, rtol=1e-9, atol=0.0)


def test_a_barrier_that_roughness_removes_holds_nothing_back() -> None:
    flip = qc.flip_probability(changed({"escape.roughness_nm": 0.5}), [0.6, 1.0, 1.765])
    assert np.all(flip.probability == 1.0)


def midpoint_rule(thickness_nm: float, places: int) -> float:
    """p of a cell of the 3 nm card with one trap, by matrix exponentials at equidistant places."""
    cell = load_card("3nm").resolve()
    action = cell.barrier.action(thickness_nm)
    hazard = -cell.attempts * math.log1p(-math.exp(-action))
    total = 0.0
    for y in (np.arange(places) + 0.5) / places:
        rate = cell.attempts / (math.exp(action * y) + math.exp(action * (1.0 - y)))
        left = np.arange(cell.electrons, cell.electrons - cell.flip_threshold - 1, -1.0) * hazard + rate
        total += float(linalg.expm(np.diag(np.append(-left, 0.0)) + np.diag(left, 1))[0, -1])
    return total / places


@pytest.mark.parametrize("thickness_nm", [1.765, 1.9])
def test_traps_against_the_midpoint_rule(thickness_nm: float) -> None:
    """500 places; the midpoint rule is good to about 1e-5 there."""
    found, plain = (float(qc.flip_probability(changed(fields), thickness_nm).probability)
                    for fields in ({"escape.traps": TRAPS}, {}))
    number = 1e17 * 264.0 * thickness_nm * 1e-21
    one = midpoint_rule(thickness_nm, 500)
    assert found == pytest.approx(math.exp(-number) * plain - math.expm1(-number) * one, rel=2e-5)


@pytest.mark.parametrize("needed", [1, 5, 40, 300])
def test_error_of_the_rule_over_places(needed: int) -> None:
    """The tail of j Poisson electrons at most 0.3 j to 3,000 j on average, against many more panels: below 1e-11."""
    for action, most in ((12.0, 0.3), (20.0, 1.0), (20.0, 40.0), (60.0, 3e3)):
        rate = most * needed * math.exp(0.5 * action)

        def tail(share: Array, action: float = action, rate: float = rate) -> tuple[Array, Array]:
            mean = np.exp(log_trap_rate(np.array([action]), share, rate, 0.0))
            return stats.poisson.logsf(needed - 1, mean), stats.poisson.logcdf(needed - 1, mean)

        (above, below), (fine, _) = (average_over_places(tail, np.array([action]), much) for much in (needed, 10_000))
        assert abs(math.expm1(above[0] - fine[0])) < 1e-11
        assert abs(math.exp(above[0]) + math.exp(below[0]) - 1.0) < 1e-11


@pytest.mark.parametrize(("rms", "threshold", "chance"), [
    (1.4, 4, 0.05), (0.2, 4, 1e-3), (3.0, 4, 1e-12), (1.0, 0, 0.3), (6.0, 24, 0.5), (1.4, 24, 1e-8), (1.4, 4, 0.9)])
def test_charge_noise_against_the_whole_sum(rms: float, threshold: int, chance: float) -> None:
    """Over all numbers of electrons from 0 to 200, cell by cell with scipy; both sides to 1e-11."""
    extra = np.arange(-120, 121)
    share = np.exp(-0.5 * (extra / rms) ** 2)
    share /= share.sum()
    flips = [1.0 if more < -threshold else stats.binom.sf(threshold + more, 50 + more, chance) for more in extra]
    stays = [0.0 if more < -threshold else stats.binom.cdf(threshold + more, 50 + more, chance) for more in extra]
    above, below = leaving_logs(np.log([-math.log1p(-chance)]), -math.inf, 50, threshold, rms)
    assert math.exp(above[0]) == pytest.approx(float(share @ flips), rel=1e-11, abs=0.0)
    assert math.exp(below[0]) == pytest.approx(float(share @ stays), rel=1e-11, abs=0.0)


def test_simulated_cells_with_noise_traps_and_leakage() -> None:
    """300,000 cells: charge from the discrete normal, traps placed at random, every escape drawn; key fixed.

    One key in 1e9 would fail (6.1 standard errors of p = 0.2, a relative bias of 2 %).
    """
    rng, cells, thickness = np.random.default_rng(KEY), 300_000, 1.765
    card = changed({"escape": {"charge_noise_electrons": 1.4, "traps": TRAPS, "access": {"leakage_pA": 0.02}}})
    cell = card.resolve()
    states = np.arange(-20, 21)
    share = np.exp(-0.5 * (states / 1.4) ** 2)
    started = 50 + rng.choice(states, cells, p=share / share.sum())
    hazard = -cell.attempts * math.log1p(-math.exp(-OXIDE.action(thickness))) + 0.02e-12 * 1e-6 / (50 * 1.602176634e-19)
    places = rng.random(cells) * OXIDE.action(thickness)
    trapped = rng.random(cells) < -math.expm1(-1e-4 * 264.0 * thickness)
    rate = trapped * cell.attempts / (np.exp(places) + np.exp(OXIDE.action(thickness) - places))
    left, clock = started.astype(float), np.zeros(cells)
    flipped = left <= 45
    for _ in range(40):
        clock += rng.exponential(size=cells) / (left * hazard + rate)
        left = np.where(clock < 1.0, left - 1.0, left)
        flipped |= left <= 45
    chance = float(qc.flip_probability(card, thickness).probability)
    assert abs(flipped.mean() - chance) < 6.1 * math.sqrt(chance * (1.0 - chance) / cells)


@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_keeps_both_sides_and_falls_with_thickness(name: str) -> None:
    """p + (1 - p) = 1, no NaN, p above that without the effect, and the inverse relies on the fall."""
    thickness = np.linspace(1.62, 2.6, 7)
    cell, plain = changed(EFFECTS[name]).resolve(), load_card("3nm").resolve()
    logs, before = flip_logs(cell, thickness), flip_logs(plain, thickness)
    np.testing.assert_allclose(np.exp(logs.log_flip) + np.exp(logs.log_no_flip), 1.0, rtol=1e-11)
    assert np.all(np.isfinite(np.stack(logs)))
    assert np.all(np.diff(logs.log_flip) < 0.0)
    thick = slice(2, None) if "noise" in name or name in ("kTC", "everything") else slice(None)
    assert np.all(logs.log_flip[thick] > before.log_flip[thick])
    alone = np.stack([np.stack(flip_logs(cell, np.array([place])))[:, 0] for place in thickness[:2]], axis=1)
    np.testing.assert_allclose(np.stack(logs)[:, :2], alone, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name, fields in EFFECTS.items() if "temperature_K" in fields])
def test_warmer_cells_flip_more(name: str) -> None:
    chances = [float(qc.flip_probability(changed({**EFFECTS[name], "temperature_K": warm}), 1.9).log_probability)
               for warm in (250, 320, 400)]
    assert np.all(np.diff(chances) > 0.0)


def test_averages_lie_between_their_extremes() -> None:
    """Of noise between the emptiest and fullest cells that matter; of traps between none and the middle place."""
    cell = load_card("3nm").resolve()
    for thickness in (1.7, 1.9, 2.3):
        (chance,) = np.exp(flip_logs(changed({"escape.traps": TRAPS}).resolve(), np.array([thickness])).log_flip)
        (without,) = np.exp(flip_logs(cell, np.array([thickness])).log_flip)
        middle = cell.attempts * math.exp(-0.5 * OXIDE.action(thickness)) / 2.0
        best = stats.poisson.sf(4, middle + 50.0 * cell.attempts * math.exp(-OXIDE.action(thickness)))
        number = 1e-4 * 264.0 * thickness
        assert without < chance < without - math.expm1(-number) * best
        little = changed({"escape.charge_noise_electrons": 0.5}).resolve()
        (noisy,) = np.exp(flip_logs(little, np.array([thickness])).log_flip)
        emptier, fuller = (np.exp(flip_logs(replace(cell, electrons=50 + more, flip_threshold=4 + more),
                                            np.array([thickness])).log_flip[0]) for more in (-4, 4))
        assert fuller < noisy < emptier


def test_activation_is_a_factor_of_the_attempts_and_one_at_the_reference() -> None:
    """Of the direct channel as of a faster window; of the access device as of a larger current."""
    warm = {"temperature_K": 398, "escape.reference_temperature_K": 300}
    faster = math.exp(log_factor(0.3, 398.0, 300.0))
    for name, field, value in (("escape.activation_energy_eV", "cell.attempt_frequency_Hz", 2.4e13),
                               ("escape.access.activation_energy_eV", "escape.access.leakage_pA", 0.05)):
        base: dict[str, object] = {"escape.access.leakage_pA": 0.05}
        activated, scaled = (float(qc.flip_probability(changed({**base, **fields}), 2.0).log_probability)
                             for fields in ({**warm, name: 0.3}, {field: value * faster}))
        assert activated == pytest.approx(scaled, rel=1e-12)
        same = {**warm, "temperature_K": 300, name: 0.3}
        assert qc.flip_probability(changed({**base, **same}), 2.0).log_probability == \
            qc.flip_probability(changed(base), 2.0).log_probability


def test_inverse_and_slope_with_everything_on() -> None:
    """All but traps, which take their time."""
    card = changed({**EVERYTHING, "escape": {**ESCAPE, "traps": None}})
    found = qc.thickness_for(card, 0.3)
    assert float(qc.flip_probability(card, found).probability) == pytest.approx(0.3, rel=1e-10)
    places = np.array([1.764, 1.766])
    rise = np.diff(np.asarray(qc.flip_probability(card, places).log_probability))[0] / 0.002
    assert log_slope_per_nm(card) == pytest.approx(float(rise), rel=1e-4)


def test_hot_cards_are_still_inverted() -> None:
    """At 500 K electrons go over 10 nm of oxide, where the card's validity ends, but not over what is sought."""
    hot = changed({"temperature_K": 500, "escape.thermal_averaging": "elastic"})
    assert float(qc.flip_probability(hot, qc.thickness_for(hot, 0.1)).probability) == pytest.approx(0.1, rel=1e-10)
    with pytest.raises(InputError, match="over the barrier"):
        qc.flip_probability(hot, 9.0)


def test_millions_of_cells_take_the_same_chain() -> None:
    card, thickness = changed({"escape.roughness_nm": 0.1}), np.random.default_rng(KEY).normal(1.9, 0.03, 3000)
    np.testing.assert_allclose(qc.flip_probability_of_cells(card, thickness, log=True),
                               qc.flip_probability(card, thickness).log_probability, rtol=1e-12)


@pytest.mark.parametrize("more", [
    {"variation": {"thickness_sigma_nm": 0.03}},
    {"barrier.model": "trapezoidal", "barrier.bias_V": 0.65, "cell.attempt_frequency_anchor": "forced",
     "escape.field": "self_limiting", "escape.node_capacitance_aF": 12.2, "escape.charge_noise": "kTC"}])
def test_warm_cards_whose_cells_differ_are_inverted(more: dict[str, object]) -> None:
    """Some cell is thicker, or fuller, than any of which the thermal average is known, long before the others are."""
    warm = changed({"temperature_K": 300, "escape.thermal_averaging": "elastic", **more})
    assert float(qc.flip_probability(warm, qc.thickness_for(warm, 0.1)).probability) == pytest.approx(0.1, rel=1e-9)
    assert float(qc.flip_probability(warm, qc.thickness_for(warm, 0.002)).probability) == pytest.approx(0.002, rel=1e-9)
