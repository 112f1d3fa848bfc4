"""Tails over all charges and past traps at once: against mpmath, against one charge after the other, and figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray
from scipy import special

import qtaml_codesign as qc
from qtaml_codesign.cards import load_card
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.physics import charge_noise, inverse
from qtaml_codesign.physics.cell_fields import with_number
from qtaml_codesign.physics.chain import flip_logs, remembering_logs
from qtaml_codesign.physics.death_process import kernels
from qtaml_codesign.physics.leaving import leaving_logs
from qtaml_codesign.physics.sampling import flip_band
from qtaml_codesign.physics.self_limiting import death_logs
from qtaml_codesign.physics.solving import solve_field

Array = NDArray[np.float64]
KEY = 20260722
TRAPS = {"density_per_cm3": 1e17, "area_nm2": 264.0}
SPREAD: dict[str, object] = {"variation": {"thickness_sigma_nm": 0.03}}
FALLING: dict[str, object] = {
    "barrier.model": "trapezoidal", "barrier.bias_V": 0.65, "cell.attempt_frequency_anchor": "forced",
    "temperature_K": 300, "escape.field": "self_limiting", "escape.node_capacitance_aF": 12.2,
    "escape.charge_noise": "kTC"}
ALL: dict[str, object] = {**SPREAD, "temperature_K": 320, "escape": {
    "thermal_averaging": "elastic", "roughness_nm": 0.05, "activation_energy_eV": 0.05, "reference_temperature_K": 300,
    "charge_noise_electrons": 1.4, "traps": {**TRAPS, "activation_energy_eV": 0.05},
    "access": {"leakage_pA": 0.01, "activation_energy_eV": 0.3}}}
FIGURES: list[tuple[dict[str, object], float, float, float]] = [
    ({**SPREAD, "escape.traps": TRAPS}, 1.765, -1.7905168393450612, -0.18257026817354646),
    ({"escape.traps": TRAPS, "escape.charge_noise_electrons": 1.4}, 1.765, -1.7150925841894342, -0.1983863794531841),
    ({**SPREAD, **FALLING}, 1.765, -0.25739386939947395, -1.4830857751632678),
    ({**FALLING, "escape.traps": TRAPS}, 1.9, -2.359387204945818, -0.09924381771471402),
    ({"cell.electrons": 1870, "cell.flip_threshold": 600, "escape.traps": TRAPS}, 1.765, -6.553484475359845,
     -0.0014261575469889515),
    (ALL, 1.765, -0.9489359740286847, -0.48963955019653743)]


def exact_leaving(x: float, rate: float, electrons: int, threshold: int, rms: float) -> tuple[mpf, mpf]:
    """p and 1 - p at 60 digits: the incomplete beta function of each charge, and the sum over them."""
    def flips(extra: int) -> mpf:
        if extra < -threshold:
            return mpf(1)
        others = mpf(electrons - threshold) + mpf(rate) / mpf(x)
        return mp.betainc(threshold + extra + 1, others, 0, -mp.expm1(-mpf(x)), regularized=True)

    if rms == 0.0:
        return flips(0), 1 - flips(0)
    reach = range(-math.ceil(16 * rms) - threshold - 1, math.ceil(16 * rms) + 1)
    share = {extra: mp.exp(-(mpf(extra) / mpf(rms)) ** 2 / 2) for extra in reach}
    above = mp.fsum(share[extra] * flips(extra) for extra in reach) / mp.fsum(share.values())
    return above, 1 - above


def one_after_the_other(tail: Callable[[int], tuple[Array, Array]], rms: float, threshold: int) -> tuple[Array, Array]:
    """ln p and ln(1 - p) averaged over the charge at the start, from those of each; cells that start too empty flip."""
    reach = math.ceil(16.0 * rms)
    extra = np.arange(-threshold - 1 - reach, reach + 1) if rms else np.array([0])
    shares = -0.5 * (extra / (rms or 1.0)) ** 2
    shares -= special.logsumexp(shares)
    empty = np.zeros_like(tail(0)[0]), np.full_like(tail(0)[0], -np.inf)
    logs = [tail(more) if more >= -threshold else empty for more in extra.tolist()]
    above, below = (special.logsumexp(shares[:, None] + np.stack(side), axis=0) for side in zip(*logs, strict=True))
    return above, below


@pytest.mark.parametrize(("x", "rate"), [(1e-3, 0.0), (0.05, 0.7), (1e-9, 3.0), (0.3, 40.0), (1e-5, 1e-7), (2.0, 0.1)])
@pytest.mark.parametrize(("electrons", "threshold", "rms"), [(50, 4, 0.0), (50, 4, 1.4), (7, 6, 0.0), (5, 0, 0.6)])
def test_the_sum_is_that_of_incomplete_beta_functions(
    x: float, rate: float, electrons: int, threshold: int, rms: float
) -> None:
    """Both sides to 1e-11 of themselves, at 60 digits."""
    with mp.workdps(60):
        exact = exact_leaving(x, rate, electrons, threshold, rms)
        found = leaving_logs(np.log([x]), math.log(rate) if rate else -math.inf, electrons, threshold, rms)
        for side, truth in zip(found, exact, strict=True):
            assert float(side[0]) == pytest.approx(float(mp.log(truth)), rel=1e-11, abs=0.0)


@pytest.mark.parametrize(("electrons", "threshold"), [(1, 0), (50, 4), (50, 49), (302, 150)])
@pytest.mark.parametrize("rms", [0.0, 1e-3, 1.4])
def test_one_sum_is_one_charge_after_the_other(electrons: int, threshold: int, rms: float) -> None:
    """From x = e^-40 to e^14 and R to e^12, against contour integrals; ln p and ln(1 - p) to 1e-11."""
    rng = np.random.default_rng(KEY)
    log_x, log_rate = rng.uniform(-40.0, 14.0, 6), rng.uniform(-30.0, 12.0, 6)

    def tail(extra: int) -> tuple[Array, Array]:
        return death_logs(np.stack([np.logaddexp(math.log(electrons - lost) + log_x, log_rate)
                                    for lost in range(-extra, threshold + 1)]), threshold + extra)

    found = np.stack(leaving_logs(log_x, log_rate, electrons, threshold, rms))
    slow = np.stack(one_after_the_other(tail, rms, threshold))
    np.testing.assert_array_less(np.abs(found - slow), 1e-11 * np.maximum(1.0, np.abs(slow)))


@pytest.mark.parametrize(("electrons", "threshold"), [(1, 0), (5, 4), (50, 24), (200, 99)])
@pytest.mark.parametrize("rms", [0.0, 0.2, 1.4, 3.0])
def test_one_contour_is_one_charge_after_the_other(electrons: int, threshold: int, rms: float) -> None:
    """Rates that fall by up to a quarter and more; 1 - p above e^-60 and every p to 1e-11."""
    rng = np.random.default_rng(KEY)
    log_x, fall = rng.uniform(-12.0, 4.0, 5), rng.uniform(0.0, 0.25, 5) / (threshold + 1)
    numbers = range(-charge_noise.most_extra(rms), threshold + 1)

    def rate(lost: int) -> Array:
        return np.asarray(math.log(electrons - lost) + log_x - fall * lost)

    def tail(extra: int) -> tuple[Array, Array]:
        return death_logs(np.stack([rate(lost) for lost in range(-extra, threshold + 1)]), threshold + extra)

    found = np.stack(death_logs(np.stack([rate(lost) for lost in numbers]), threshold, rms))
    slow = np.stack(one_after_the_other(tail, rms, threshold))
    known = slow > np.array([[-np.inf], [-60.0]])
    np.testing.assert_array_less((np.abs(found - slow) / np.maximum(1.0, np.abs(slow)))[known], 1e-11)


def test_one_contour_beside_a_mean_time_of_one_window() -> None:
    """601 stages whose times add up to 1 on average: against the sum over the negative binomial law, to 1e-11."""
    log_x, log_rate = np.full(9, math.log(0.3281286)), np.log(np.linspace(80.0, 100.0, 9))
    rates = np.stack([np.logaddexp(math.log(1870 - lost) + log_x, log_rate) for lost in range(601)])
    found, summed = death_logs(rates, 600), leaving_logs(log_x, log_rate, 1870, 600)
    np.testing.assert_allclose(np.stack(found), np.stack(summed), rtol=1e-11, atol=0.0)


@pytest.mark.parametrize(("changes", "thickness_nm", "log_flip", "log_stay"), FIGURES)
def test_figures_of_one_charge_after_the_other(
    changes: dict[str, object], thickness_nm: float, log_flip: float, log_stay: float
) -> None:
    """What cards gave when every charge and every place of a trap had a contour of its own; to 1e-10."""
    found = qc.flip_probability(load_card("3nm").with_fields(changes), thickness_nm)
    assert found.log_probability == pytest.approx(log_flip, rel=1e-10, abs=0.0)
    assert found.log_complement == pytest.approx(log_stay, rel=1e-10, abs=0.0)


def test_uncompiled_kernels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    log_x, log_rate = np.array([-20.0, -3.0, -1.0, 2.0]), np.array([-5.0, -np.inf, 2.0, 1.0])
    chances = charge_noise.chances_by_number(1.4, 4, 3.0, 1000)
    shares, sure = charge_noise.shares_at_start(0.4, 2)
    rates = np.linspace(2.0, 1.0, shares.size)[:, None] + np.array([-6.0, -1.0, 2.0])
    compiled, plain = (np.empty((2, 4)), np.empty((2, 3))), (np.empty((2, 4)), np.empty((2, 3)))
    kernels.leaving_logs(log_x, log_rate, 46.0, 4, *chances, compiled[0])
    kernels.death_logs(rates, shares, sure, compiled[1])
    for name in ("log_add", "stirling_error_of", "deviance_by", "log_leaving_mass", "weighted_peak", "weighted_sum",
                 "tilted", "tilted_mean", "contour_area"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    kernels.leaving_logs.py_func(log_x, log_rate, 46.0, 4, *chances, plain[0])
    kernels.death_logs.py_func(rates, shares, sure, plain[1])
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=0.0)


def test_the_inverse_works_out_each_oxide_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbouring means share their nodes, and nodes far from the answer are not asked for."""
    asked: list[float] = []

    def counted(*args: object, **named: object) -> object:
        asked.extend(np.ravel(args[1]).tolist())  # type: ignore[call-overload]
        return flip_logs(*args, **named)  # type: ignore[arg-type]

    cell = replace(load_card("3nm").with_fields({**SPREAD, "escape.traps": TRAPS}).resolve())
    monkeypatch.setattr("qtaml_codesign.physics.chain.flip_logs", counted)
    logs_of = remembering_logs(cell)
    once = [float(logs_of(np.array([place])).log_flip[0]) for place in (1.8, 1.801, 1.8)]
    assert len(asked) == len(set(asked)) < 100
    assert once[0] == once[2] > once[1]
    card = load_card("3nm").with_fields({**SPREAD, "escape.traps": TRAPS})
    asked.clear()
    found = qc.thickness_for(card, 0.1)
    assert len(asked) == len(set(asked)) < 200
    monkeypatch.undo()
    assert qc.flip_probability(card, found).log_probability == pytest.approx(math.log(0.1), rel=1e-10)
    monkeypatch.setattr(inverse, "_nearby", lambda gap, start, low, high: (low, high))
    assert qc.thickness_for(card, 0.1) == pytest.approx(found, rel=1e-10)


def test_a_bias_that_is_drawn_or_solved_needs_its_attempt_frequency() -> None:
    """As one that is written; a card that forces its attempt frequency takes it."""
    flat = load_card("3nm").with_fields({"barrier.model": "trapezoidal", "barrier.bias_V": 0.0})
    with pytest.raises(CardError, match="another one"):
        flat.with_field("barrier.bias_V", 0.3)
    with pytest.raises(InputError, match="another one") as caught:
        with_number(flat.resolve(), "barrier.bias_V", 0.3)
    assert caught.value.where == "cell.attempt_frequency_anchor"
    with pytest.raises(InputError, match="another one"):
        solve_field(flat, "barrier.bias_V", math.log(0.2))
    ranged = {"barrier.bias_V": {"value": 0.0, "low": 0.0, "high": 0.4}}
    drawn = flip_band(flat.with_fields(ranged), samples=40)
    assert 10 < drawn.failed < 30
    forced = flat.with_field("cell.attempt_frequency_anchor", "forced")
    assert flip_band(forced.with_fields(ranged), samples=40).failed == 0
    assert solve_field(forced, "barrier.bias_V", math.log(0.2)).value > 0.0
