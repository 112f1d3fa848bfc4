"""What a card says of effects that act, and of numbers that act on nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import qtaml_codesign as qc
from qtaml_codesign.physics.effect_validity import acting, idle_numbers
from qtaml_codesign.physics.prospects import prospects

AT_WORK: list[dict[str, object]] = [
    {"temperature_K": 400, "escape": {"thermal_averaging": "elastic"}},
    {"temperature_K": 400, "escape": {"charge_noise": "kTC", "node_capacitance_aF": 12.0}},
    {"temperature_K": 400, "escape": {"activation_energy_eV": 0.1, "reference_temperature_K": 300}},
    {"temperature_K": 400, "escape": {"access": {"leakage_pA": 0.1, "activation_energy_eV": 0.5},
                                      "reference_temperature_K": 300}},
    {"temperature_K": 400, "escape": {"traps": {"density_per_cm3": 1e17, "area_nm2": 264,
                                                "activation_energy_eV": 0.1}}},
    {},
]


def test_a_temperature_that_acts_on_nothing_is_named() -> None:
    card = qc.load_card("3nm").with_field("temperature_K", 400)
    assert qc.flip_probability(card).probability == qc.flip_probability("3nm").probability
    for told in (idle_numbers(card.resolve()), prospects(card), qc.flip_probability(card).warnings):
        assert any(text.startswith("temperature_K acts on nothing") for text in told)


@pytest.mark.parametrize("fields", AT_WORK)
def test_numbers_that_act_are_not(fields: dict[str, object]) -> None:
    card = qc.load_card("3nm").with_fields(fields)
    assert list(idle_numbers(card.resolve())) == []
    assert (qc.flip_probability(card).probability == qc.flip_probability("3nm").probability) == (not fields)


def test_the_transmission_is_that_of_the_oxide_whatever_leaks_beside_it() -> None:
    leaky = qc.load_card("3nm").with_field("escape.access", {"leakage_pA": 1.0})
    np.testing.assert_array_equal(qc.flip_probability(leaky).transmission, qc.flip_probability("3nm").transmission)
    assert qc.flip_probability(leaky).escape_probability > 2.0 * qc.flip_probability("3nm").escape_probability


def test_the_spread_and_the_temperature_are_among_what_is_assumed() -> None:
    card = qc.load_card("3nm").with_fields({"variation": {"thickness_sigma_nm": 0.03}, "temperature_K": 350})
    told = acting(card.resolve())
    assert told[-1] == "350 K"
    assert "averaged over cells of 0.03 nm spread" in told[0]


def test_leakage_of_the_access_device_does_not_hang_on_the_attempts() -> None:
    """Hardly an attempt in the window: 1 - p_esc = exp(-I tau / (q N)), and the binomial tail of scipy."""
    card = qc.load_card("3nm").with_fields({"cell.attempt_frequency_Hz": 68.0, "escape.access": {"leakage_pA": 4.0}})
    share = -np.expm1(-4e-12 * 1e-6 / (1.602176634e-19 * 50))
    flip = qc.flip_probability(card)
    np.testing.assert_allclose(flip.escape_probability, share, rtol=1e-9, atol=0.0)
    np.testing.assert_allclose(flip.probability, stats.binom.sf(4, 50, share), rtol=1e-9, atol=0.0)
