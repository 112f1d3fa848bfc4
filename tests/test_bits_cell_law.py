"""Profiles: rates by region, plane and direction."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw, as_profile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.errors import InputError

RATES = np.linspace(0.01, 0.08, 8)


def region(name="default", flips="symmetric", charged_bit=1, tensors=(), rates=RATES, encoding="offset_binary"):
    """What physics hands over for one region."""
    return SimpleNamespace(
        name=name, bits=8, encoding=encoding, flips=flips, charged_bit=charged_bit, tensors=tensors,
        log_probability=np.log(rates), own_thickness=None,
    )


@pytest.mark.parametrize(
    ("flips", "charged_bit", "one_to_zero", "zero_to_one"),
    [
        ("symmetric", 1, 1.0, 1.0), ("symmetric", 0, 1.0, 1.0),
        ("charge_loss", 1, 1.0, 0.0), ("charge_loss", 0, 0.0, 1.0),
    ],
)
def test_only_cells_that_hold_charge_flip(flips, charged_bit, one_to_zero, zero_to_one):
    flip = SimpleNamespace(regions=(region(flips=flips, charged_bit=charged_bit),))
    found = BitErrorProfile.from_flip_probability(flip).regions[0]
    np.testing.assert_allclose(found.one_to_zero, one_to_zero * RATES, rtol=1e-15)
    np.testing.assert_allclose(found.zero_to_one, zero_to_one * RATES, rtol=1e-15)


def test_small_log_probabilities_survive():
    flip = SimpleNamespace(regions=(region(rates=np.full(8, 1e-300)),))
    np.testing.assert_allclose(BitErrorProfile.from_flip_probability(flip).regions[0].one_to_zero, 1e-300, rtol=1e-12)


def test_several_thicknesses_are_refused():
    flip = SimpleNamespace(regions=(region(rates=np.full((3, 8), 0.1)),))
    with pytest.raises(InputError, match=r"\.at\(index\)"):
        BitErrorProfile.from_flip_probability(flip)


def test_a_real_card_arrives_plane_by_plane():
    from qtaml_codesign.cards import load_card
    from qtaml_codesign.physics.flip import flip_probability

    flip = flip_probability(load_card("3nm"))
    found = as_profile(flip).regions[0]
    np.testing.assert_allclose(found.one_to_zero, flip.by_plane, rtol=1e-14)
    assert found.format == BitFormat(8)


def test_first_matching_region_wins_and_the_rest_is_default():
    named = [
        CellLaw(name, BitFormat(), np.full(8, rate), np.full(8, rate), tensors)
        for name, rate, tensors in [("default", 0.1, ()), ("a", 0.2, ("embed*", "*.bias")), ("b", 0.3, ("*",))]
    ]
    found = BitErrorProfile(tuple(named)).assign(["embed.weight", "fc.weight", "fc.bias"])
    assert {name: errors.name for name, errors in found.items()} == {
        "embed.weight": "a", "fc.weight": "b", "fc.bias": "a",
    }
    assert BitErrorProfile(tuple(named[:2])).assign(["embed.weight", "fc.weight"])["fc.weight"].name == "default"


def test_a_region_that_holds_nothing_is_refused_with_near_matches():
    lost = CellLaw("embeddings", BitFormat(), RATES, RATES, ("embedd.weigth",))
    profile = BitErrorProfile((*BitErrorProfile.uniform(0.1).regions, lost))
    with pytest.raises(InputError, match=r"did you mean embed\.weight"):
        profile.assign(["embed.weight", "fc.weight"])


def test_protection_zeroes_the_top_planes_only():
    errors = CellLaw("default", BitFormat(), RATES, RATES / 2)
    for depth in range(9):
        found = errors.protect(depth)
        assert found.one_to_zero.tolist() == [*RATES[: 8 - depth], *[0.0] * depth]
        assert found.zero_to_one.tolist() == [*(RATES / 2)[: 8 - depth], *[0.0] * depth]


def test_json_keeps_every_digit():
    errors = CellLaw(
        "default", BitFormat(4, "sign_magnitude"), [1e-300, 5e-324, 0.1, 1 / 3], [0, 1, 0.7, 2**-1074]
    )
    profile = BitErrorProfile((errors, CellLaw("x", BitFormat(), RATES, RATES, ("a*", "b"))))
    again = BitErrorProfile.from_json(json.loads(json.dumps(profile.to_json())))
    assert again == profile
    assert hash(again) == hash(profile)
    assert again != BitErrorProfile.uniform(0.1)


def test_the_callers_rates_are_copied():
    rates = RATES.copy()
    errors = CellLaw("default", BitFormat(), rates, rates)
    rates[:] = 0.5
    assert errors.one_to_zero.tolist() == RATES.tolist()
    with pytest.raises(ValueError, match="read-only"):
        errors.one_to_zero[0] = 0.5


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, np.nan, np.inf, [0.1] * 7, [[0.1] * 8], "0.1", True, None, {"p": 0.1}, 0.1j]
)
def test_rates_that_are_no_probabilities_are_refused(value):
    with pytest.raises(InputError) as caught:
        as_profile(value)
    assert "next:" in str(caught.value)


def test_numbers_take_the_format_and_profiles_keep_theirs():
    narrow = BitFormat(4, "twos_complement")
    assert as_profile(0.1, narrow).regions[0].format == narrow
    assert as_profile(np.float32(0.5)).regions[0].one_to_zero.tolist() == [0.5] * 8
    profile = as_profile([0.1, 0.2, 0.3, 0.4], narrow)
    assert as_profile(profile, BitFormat(8)) is profile


def test_a_profile_needs_its_default_region():
    with pytest.raises(InputError, match="default region"):
        BitErrorProfile((CellLaw("other", BitFormat(), RATES, RATES),))
