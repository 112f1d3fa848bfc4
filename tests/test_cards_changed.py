"""Changed cards: fields that are replaced, cards that stay as they are, and which of the numbers counts."""

from __future__ import annotations

import copy

import pytest

from qtaml_codesign.cards import DeviceCard, load_card
from tests.test_cards import REGION, changed, refusal


def test_with_field() -> None:
    card = load_card("3nm")
    thick = card.with_field("barrier.thickness_nm", "2.0")
    assert (card.barrier.thickness_nm, thick.barrier.thickness_nm) == (1.765, 2.0)
    assert "barrier.thickness_nm" not in thick.provenance
    assert thick.provenance["cell.electrons"] == card.provenance["cell.electrons"]
    assert thick.with_field("storage.encoding", "sign_magnitude").storage.encoding == "sign_magnitude"
    assert thick.with_field("bit_planes.3.window_s", 1e-3).resolve(None, 3).window_s == 1e-3
    near_matches = {
        "barrier.thicknes_nm": "thickness_nm", "window": "window_s", "thickness_nm": "barrier.thickness_nm",
        "barrier.thickness_nm.low": "barrier.thickness_nm", "": "window_s",
    }
    for field, near in near_matches.items():
        assert near in refusal(lambda field=field: card.with_field(field, 3)).next_step
    assert "mapping" in str(refusal(lambda: card.with_field("cell", 3)))
    assert "unknown region" in refusal(lambda: card.with_field("regions.x.window_s", 3)).what
    assert "unknown region" in refusal(lambda: card.resolve("x")).what


def test_the_card_cannot_be_changed() -> None:
    card = load_card("3nm")
    with pytest.raises(Exception, match="frozen"):
        card.window_s = 3.0
    card.provenance.clear()
    assert card.provenance


def test_what_a_card_is_changed_with_stays_as_it_is() -> None:
    barrier = {"model": "trapezoidal", "height_eV": 3.1, "electron_energy_eV": 0.05, "effective_mass_m0": 0.4,
               "thickness_nm": 1.765, "bias_V": 0.1}
    given = copy.deepcopy(barrier)
    card = load_card("3nm").with_fields({"barrier": given, "barrier.bias_V": 0.65,
                                         "cell.attempt_frequency_anchor": "forced"})
    assert card.to_dict()["barrier"]["bias_V"] == 0.65
    assert given == barrier


def test_resolution_order_is_card_then_region_then_plane() -> None:
    tree = changed("regions/a", {**REGION, "window_s": 2.0, "bit_planes": {1: {"window_s": 3.0}}})
    tree["regions"]["b"] = {"tensors": ["x"], "cell": {"electrons": 60}}
    tree["bit_planes"] = {"1": {"window_s": 4.0}, 7: {"barrier": {"thickness_nm": {"value": 2.1, "kind": "assumed"}}}}
    card = DeviceCard(**tree)
    assert [card.resolve(None, plane).window_s for plane in (None, 0, 1)] == [1e-6, 1e-6, 4.0]
    assert [card.resolve("a", plane).window_s for plane in (None, 0, 1)] == [2.0, 2.0, 3.0]
    assert [card.resolve("b", plane).window_s for plane in (0, 1)] == [1e-6, 4.0]
    assert (card.resolve("b", 1).electrons, card.resolve("default").electrons) == (60, 50)
    assert [card.resolve(region, 7).thickness_nm for region in ("default", "a", "b")] == [2.1, 2.0, 2.1]
    assert [card.resolve(region, 7).own_thickness for region in ("a", "b")] == [True, True]
    assert not card.resolve("b", 1).own_thickness
    assert card.provenance["bit_planes.7.barrier.thickness_nm"].value == 2.1
    assert DeviceCard(**card.to_dict()) == card
    assert card.region_names == ("default", "a", "b")
