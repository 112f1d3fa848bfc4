"""The numbers that a page reads p_flip from: read with numpy and scipy, they are the package's own p_flip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy import stats

import qtaml_codesign as qc
from qtaml_codesign.physics import portable
from qtaml_codesign.physics.portable import is_independent, portable_flips

LEAST_LOG = math.log(1e-290)  # scipy's tails end a little below


def read(numbers, thickness_nm, window_s):
    """ln p_flip from the plain values, by numpy and scipy alone."""
    (a, b), (s, t) = numbers["ends_nm"], numbers["ends_s"]
    u = (2.0 * thickness_nm - a - b) / (b - a)
    if numbers["table"] is not None:
        w = (2.0 * math.log(window_s) - math.log(s * t)) / math.log(t / s)
        return float(chebyshev.chebval2d(u, w, np.array(numbers["table"])))
    x = window_s * math.exp(chebyshev.chebval(u, numbers["rate"]))
    return float(stats.binom.logsf(numbers["flip_threshold"], numbers["electrons"], -math.expm1(-x)))


def worst(card, numbers, key, places=60):
    """Largest relative difference of p_flip at random thicknesses and windows."""
    rng = np.random.default_rng(key)
    thickness = rng.uniform(*numbers["ends_nm"], places)
    windows = np.exp(rng.uniform(*np.log(numbers["ends_s"]), places))
    found = 0.0
    for nm, window in zip(thickness.tolist(), windows.tolist(), strict=True):
        log_p = float(qc.flip_probability(card.with_field("window_s", window), nm).log_probability)
        if log_p > LEAST_LOG:
            found = max(found, abs(math.expm1(read(numbers, nm, window) - log_p)))
    return found


@pytest.mark.parametrize("name", ["3nm", "7nm", "hfo2_highk", "igzo_2t0c", "edram_gain_cell"])
def test_independent_electrons_are_exact(name):
    card = qc.load_card(name)
    numbers = portable_flips(card, *card.sweep.thickness_nm).to_json()
    assert numbers["table"] is None
    assert numbers["error"] < 1e-10
    assert worst(card, numbers, key=1) < 1e-9
    assert numbers["log_choose"] == pytest.approx(
        math.log(math.comb(numbers["electrons"], numbers["flip_threshold"] + 1)), rel=1e-13)


EFFECTS = {
    "variation": {"variation": {"thickness_sigma_nm": 0.03}},
    "charge noise": {"escape": {"charge_noise_electrons": 1.4}},
}
STILL_INDEPENDENT = {
    "roughness": {"escape": {"roughness_nm": 0.05}},
    "thermal": {"temperature_K": 350.0, "escape": {"thermal_averaging": "elastic"}},
    "access": {"temperature_K": 350.0, "escape": {"reference_temperature_K": 300.0, "access": {
        "leakage_pA": 0.1, "activation_energy_eV": 0.5}}},
    "image force": {"barrier": {"model": "image_force", "height_eV": 3.1, "electron_energy_eV": 0.05,
                                "effective_mass_m0": 0.4, "thickness_nm": 1.9, "relative_permittivity": 3.9}},
}


@pytest.mark.parametrize("name", EFFECTS)
def test_other_cards_have_a_table_that_is_as_near(name):
    card = qc.load_card("3nm").with_fields(EFFECTS[name])
    numbers = portable_flips(card, 1.72, 2.25).to_json()
    assert numbers["table"] is not None
    assert numbers["error"] < 1e-9
    assert worst(card, numbers, key=2) < 1e-9


@pytest.mark.parametrize("name", STILL_INDEPENDENT)
def test_effects_on_the_rate_alone_need_no_table(name):
    card = qc.load_card("3nm").with_fields(STILL_INDEPENDENT[name])
    assert is_independent(card.resolve())
    numbers = portable_flips(card, 1.72, 2.25).to_json()
    assert numbers["error"] < 1e-9
    assert worst(card, numbers, key=3) < 1e-9


def test_a_table_that_is_too_short_says_so(monkeypatch):
    monkeypatch.setattr(portable, "_TABLES", ((6, 6),))
    card = qc.load_card("3nm").with_fields(EFFECTS["variation"])
    numbers = portable_flips(card, 1.72, 2.25).to_json()
    assert 1e-4 < numbers["error"] < 1.0
    assert worst(card, numbers, key=4) > 1e-4


def test_the_range_stays_inside_the_validity_of_the_card():
    card = qc.load_card("3nm").with_field("validity.thickness_nm", [1.7, 2.3])
    assert portable_flips(card, 1.72, 2.25).ends_nm == (1.7, 2.3)


@pytest.mark.parametrize("fields", [
    {"escape": {"traps": {"density_per_cm3": 1e17, "area_nm2": 264.0}}}, EFFECTS["charge noise"], EFFECTS["variation"],
])
def test_what_is_not_independent(fields):
    assert not is_independent(qc.load_card("3nm").with_fields(fields).resolve())
