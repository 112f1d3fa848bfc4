"""Barriers on cards: fields, overrides, settings, the anchor of the attempt frequency, and what they do to a card."""

from __future__ import annotations

import math
import pickle
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import yaml

import qtaml_codesign as qc
from qtaml_codesign.barriers.exact import Exact
from qtaml_codesign.barriers.prefactor import Prefactor
from qtaml_codesign.barriers.profile import Profile
from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.barriers.stack import Layer, Stack
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.cards import DeviceCard, load_card, with_settings
from qtaml_codesign.errors import CardError
from qtaml_codesign.physics.corners import corners
from qtaml_codesign.physics.inverse import log_slope_per_nm
from qtaml_codesign.physics.tables import flip_table
from tests.test_seam_barrier import Tilted

NUMBERS = {"electron_energy_eV": 0.05, "thickness_nm": 1.765}
RECTANGLE = {**NUMBERS, "height_eV": 3.10, "effective_mass_m0": 0.40}
LAYERS = [{"height_eV": {"value": 3.10, "low": 3.0, "high": 3.2, "source": "photoemission"}, "effective_mass_m0": 0.40,
           "relative_permittivity": 3.9, "thickness_nm": "0.8"},
          {"height_eV": 2.05, "effective_mass_m0": 0.11, "relative_permittivity": 22}]
STACK = {"model": "stack", "electron_energy_eV": 0.05, "thickness_nm": 2.0, "layers": LAYERS}
POINTS = {"model": "profile", **NUMBERS, "effective_mass_m0": 0.4, "points": [[0, 3.1], ["0.5", 3.4], [1.0, 2.9]]}
TRAPEZOID = {"model": "trapezoidal", **RECTANGLE, "bias_V": 0.65}
EXACT = {"transmission": "exact", "electrode_mass_m0": 0.916}


def card(barrier: dict[str, Any], anchor: str | None = "forced", **changes: Any) -> DeviceCard:
    tree = load_card("3nm").to_dict()
    cell = {**tree["cell"], **({} if anchor is None else {"attempt_frequency_anchor": anchor})}
    return DeviceCard(**{**tree, "validity": {"thickness_nm": [0.5, 5.0]}, "barrier": barrier, "cell": cell, **changes})


EVERY = {
    "trapezoidal": TRAPEZOID, "stack": STACK, "profile": POINTS, "exact": {**RECTANGLE, **EXACT},
    "exact stack": {**STACK, **EXACT, "bias_V": 0.4}, "prefactor": {**TRAPEZOID, **EXACT, "transmission": "prefactor"},
    "image force": {"model": "image_force", **RECTANGLE, "relative_permittivity": 8.0},
    "two bands": {"model": "two_band", **NUMBERS, "height_eV": 3.1, "band_edge_mass_m0": 0.61, "band_gap_eV": 9.0},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_card_with_it_goes_everywhere_and_back(name: str, tmp_path: Any) -> None:
    made = card(EVERY[name])
    assert DeviceCard(**made.to_dict()) == made
    assert DeviceCard(**made.to_dict()).to_dict() == made.to_dict()
    assert pickle.loads(pickle.dumps(made)) == made
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(made.to_dict()), encoding="utf-8")
    assert load_card(path) == made
    at = qc.thickness_for(made, 0.1)
    assert qc.flip_probability(made, at).probability == pytest.approx(0.1, rel=1e-10)
    step = 1e-4
    logs = qc.flip_probability(made, [at - step, at + step]).log_probability
    slope = log_slope_per_nm(made.with_field("barrier.thickness_nm", at))
    assert slope == pytest.approx((logs[1] - logs[0]) / (2.0 * step), rel=1e-6)


def test_the_shapes_behind_the_fields() -> None:
    assert card(TRAPEZOID).resolve().barrier == Trapezoidal(3.10, 0.05, 0.40, 0.65)
    assert card({**TRAPEZOID, "transmission": "wkb"}).resolve().barrier == Trapezoidal(3.10, 0.05, 0.40, 0.65)
    stack = Stack((Layer(3.10, 0.40, 3.9, 0.8), Layer(2.05, 0.11, 22.0)), 0.05)
    assert card(STACK, None).resolve().barrier == stack
    assert card({**STACK, **EXACT}).resolve().barrier == Exact(stack, 0.916)
    assert card(EVERY["prefactor"]).resolve().barrier == Prefactor(Trapezoidal(3.10, 0.05, 0.40, 0.65), 0.916)
    points = ((0.0, 3.1), (0.5, 3.4), (1.0, 2.9))
    assert card(POINTS, None).resolve().barrier == Profile(points, 0.05, 0.4)


def test_fields_of_layers_have_names() -> None:
    made = card(STACK)
    assert made.provenance["barrier.layers.0.height_eV"].high == 3.2
    changed = with_settings(made, ["barrier.layers.1.height_eV=1.5", "barrier.layers.1.effective_mass_m0=0.18"])
    assert changed.resolve().barrier == Stack((Layer(3.10, 0.40, 3.9, 0.8), Layer(1.5, 0.18, 22.0)), 0.05)
    (corner,) = corners(made, 0.1)
    ends = [qc.thickness_for(made.with_field("barrier.layers.0.height_eV", end), 0.1) for end in (3.0, 3.2)]
    assert (corner.field, set(corner.ends_nm)) == ("barrier.layers.0.height_eV", set(ends))
    table = flip_table(made, vary={"barrier.layers.0.thickness_nm": np.array([0.7, 0.8])})
    assert table.rows[1][table.columns.index("flip_probability")] == qc.flip_probability(made).probability
    whole = with_settings(card(RECTANGLE), [
        "barrier={model: stack, electron_energy_eV: 0.05, thickness_nm: 2.0, "
        "layers: [{height_eV: 3, effective_mass_m0: 0.4, relative_permittivity: 4}]}"])
    assert whole.resolve().barrier == Stack((Layer(3.0, 0.4, 4.0),), 0.05)


def test_regions_and_planes_replace_numbers() -> None:
    made = card(TRAPEZOID, regions={"a": {"tensors": ["x"], "barrier": {"bias_V": 0.2}}},
                bit_planes={7: {"barrier": {"height_eV": 3.3}}})
    assert made.resolve("a").barrier == Trapezoidal(3.10, 0.05, 0.40, 0.2)
    assert made.resolve("a", 7).barrier == Trapezoidal(3.3, 0.05, 0.40, 0.2)
    free = {"tensors": ["x"], "barrier": {"bias_V": 0.0}, "cell": {"attempt_frequency_anchor": "rectangular_wkb"}}
    assert card(TRAPEZOID, regions={"a": free}).resolve("a").attempt_frequency_anchor == "rectangular_wkb"
    with pytest.raises(CardError, match="another one") as caught:
        card(TRAPEZOID, regions={"a": {**free, "barrier": {}}})
    assert caught.value.where.endswith("regions.a.cell.attempt_frequency_anchor")


@pytest.mark.parametrize("given", [{"transmission": "exact"}, {"electrode_mass_m0": 0.9}, {"layers": LAYERS}])
def test_the_way_and_the_layers_are_the_card_s(given: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="unknown key"):
        card(TRAPEZOID, regions={"a": {"tensors": ["x"], "barrier": given}})


@pytest.mark.parametrize("anchor", [None, "rectangular_wkb"])
@pytest.mark.parametrize("name", ["trapezoidal", "exact", "exact stack", "prefactor"])
def test_the_trap_is_refused(name: str, anchor: str | None) -> None:
    with pytest.raises(CardError) as caught:
        card(EVERY[name], anchor)
    assert caught.value.where.endswith("cell.attempt_frequency_anchor")
    for text in ("+103 pm", "-193 pm", "+23 pm", "this_barrier", "forced"):
        assert text in str(caught.value)
    assert card(EVERY[name], "this_barrier") != card(EVERY[name])


@pytest.mark.parametrize("name", ["stack", "profile", "image force", "two bands"])
def test_what_is_no_trap_needs_no_anchor(name: str) -> None:
    card(EVERY[name], None)
    card({**TRAPEZOID, "bias_V": 0.0}, None)


def test_neither_alone() -> None:
    """Thickness at p = 0.1 in nm: 1.765 rectangular, 1.868 with the bias, 1.572 with the prefactor, 1.788 with both."""
    cards = [card(RECTANGLE), card(TRAPEZOID), card({**RECTANGLE, **EXACT}), card({**TRAPEZOID, **EXACT})]
    found = [qc.thickness_for(made, 0.1) for made in cards]
    assert [round(place, 3) for place in found] == [1.765, 1.868, 1.572, 1.788]
    assert [round(1e3 * (place - found[0])) for place in found[1:]] == [103, -193, 23]


@pytest.mark.parametrize(("barrier", "at_a", "at_b"), [
    (TRAPEZOID, 8.6, 690), ({**RECTANGLE, **EXACT}, 1.0e-4, 1.9e-5),
    ({"model": "image_force", **RECTANGLE, "relative_permittivity": 2.13}, 10, 8e8),
    ({"model": "image_force", **RECTANGLE, "relative_permittivity": 3.9}, 10, 8e6), (EVERY["two bands"], 0.77, 0.61),
    ({**EVERY["two bands"], "band_edge_mass_m0": 0.40}, 10, 2.7e8),
    ({**TRAPEZOID, **EXACT}, 2.06, None),
])
def test_the_published_effects(barrier: dict[str, Any], at_a: float, at_b: float | None) -> None:
    """p_flip over that of the 3 nm card, at 1.765 and at 2.12 nm, to the digits of the table."""
    thickness = [1.765, 2.12]
    plain = qc.flip_probability("3nm", thickness).probability
    times = qc.flip_probability(card(barrier), thickness).probability / plain
    assert times[0] == pytest.approx(at_a, rel=0.05)
    assert at_b is None or times[1] == pytest.approx(at_b, rel=0.07)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "masses mixed": ({**EVERY["two bands"], "effective_mass_m0": 0.4}, "barrier.effective_mass_m0", "0.40 and 0.61 m0"),
    "no bias": ({"model": "trapezoidal", **RECTANGLE}, "barrier.bias_V", "missing"),
    "bias of a rectangle": ({**RECTANGLE, "bias_V": 0.5}, "barrier.bias_V", "no number of a rectangular"),
    "negative bias": ({**TRAPEZOID, "bias_V": -0.5}, "barrier.bias_V", "0 <= bias_V"),
    "layers of a rectangle": ({**RECTANGLE, "layers": LAYERS}, "barrier.layers", "no number of a rectangular"),
    "no layers": ({**STACK, "layers": None}, "barrier.layers", "missing"),
    "two swept": ({**STACK, "layers": [LAYERS[1], LAYERS[1]]}, "barrier.layers", "exactly one layer"),
    "key of a layer": ({**STACK, "layers": [{**LAYERS[1], "hight_eV": 1}]}, "layers.0.hight_eV", "height_eV"),
    "number of a layer": ({**STACK, "layers": [{**LAYERS[1], "height_eV": "x"}]}, "layers.0.height_eV", "not a number"),
    "bounds of a layer": ({**STACK, "layers": [{**LAYERS[1], "height_eV": 40}]}, "layers.0.height_eV", "<= 20"),
    "layers in a text": ({**STACK, "layers": "SiO2"}, "barrier.layers", "a list"),
    "points in a text": ({**POINTS, "points": "flat"}, "barrier.points", "not a list of pairs"),
    "a point of three": ({**POINTS, "points": [[0, 1, 2]]}, "barrier.points", "not a list of pairs"),
    "points that stop": ({**POINTS, "points": [[0, 3.1], [0.9, 3.1]]}, "barrier.points", "end with 1"),
    "share beyond": ({**POINTS, "points": [[0, 3.1], [1.1, 3.1]]}, "barrier.points", "0 <= share <= 1"),
    "way": ({**RECTANGLE, "transmission": "exakt"}, "barrier.transmission", "did you mean exact"),
    "no electrode": ({**RECTANGLE, "transmission": "exact"}, "barrier.electrode_mass_m0", "add `electrode_mass_m0:`"),
    "electrode of WKB": ({**RECTANGLE, "electrode_mass_m0": 0.9}, "barrier.electrode_mass_m0", "leave it out"),
    "at rest": ({**RECTANGLE, **EXACT, "electron_energy_eV": 0.0}, "barrier.electron_energy_eV", "> 0"),
    "prefactor at rest": ({**EVERY["prefactor"], "electron_energy_eV": 0.0}, "barrier.electron_energy_eV", "> 0"),
    "prefactor of a triangle": ({**EVERY["prefactor"], "bias_V": 3.5}, "barrier.transmission", "transmission: exact"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_card_may_not_say(case: str) -> None:
    barrier, where, text = REFUSED[case]
    with pytest.raises(CardError) as caught:
        card({name: value for name, value in barrier.items() if value is not None})
    assert where in caught.value.where
    assert text in str(caught.value)


@pytest.mark.parametrize(("field", "text"), [("2.height_eV", "no entry 2"), ("x.height_eV", "no entry x"),
                                             ("0.hight_eV", "did you mean height_eV")])
def test_a_field_that_no_layer_has(field: str, text: str) -> None:
    with pytest.raises(CardError) as caught:
        card(STACK).with_field(f"barrier.layers.{field}", 1.0)
    assert text in str(caught.value)


def test_a_shape_from_outside_has_no_landscape() -> None:
    """Its exact transmission is refused where the card is read."""
    with patch.dict(BARRIERS):
        qc.register_barrier("tilted", Tilted)
        with pytest.raises(CardError, match="tells no potential"):
            card({"model": "tilted", "thickness_nm": 1.95, "height_eV": 3.1, "field_eV_per_nm": 0.4,
                  "effective_mass_m0": 0.4, **EXACT})


def test_a_card_without_the_new_fields_says_none_of_them() -> None:
    tree = load_card("3nm").to_dict()
    assert set(tree["barrier"]) == {"model", *RECTANGLE}
    assert set(tree["cell"]) == {"electrons", "flip_threshold", "attempt_frequency_Hz"}


def test_what_card_show_and_flip_say(codesign: Any, tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(card({**STACK, **EXACT, "bias_V": 0.2}).to_dict()), encoding="utf-8")
    shown = codesign("card", "show", path)
    assert shown.code == 0, shown.stderr
    for text in ("EOT (nm)", "1.154", "thickness of all layers (nm)", "exact transmission / WKB", "photoemission",
                 "barrier.layers.1.relative_permittivity", "cell.attempt_frequency_anchor"):
        assert text in shown.stdout
    flip = codesign("flip", "--device", path, "--vary", "barrier.layers.1.height_eV=1.9:2.1:3")
    assert flip.code == 0, flip.stderr
    assert "stack barrier, exact transmission" in flip.stderr
    franz = tmp_path / "franz.yaml"
    franz.write_text(yaml.safe_dump(card(EVERY["two bands"], None).to_dict()), encoding="utf-8")
    assert "parabolic mass of the same kappa (m0)" in codesign("card", "show", franz).stdout
    refused = codesign("flip", "--device", "3nm", "--set", "barrier.transmission=exact", "--set",
                       "barrier.electrode_mass_m0=0.916")
    assert refused.code == 2
    assert "+103 pm" in refused.stderr


def test_cells_of_an_array() -> None:
    """20,000 cells by table, 20 of them one by one: 1e-9."""
    made = card({**TRAPEZOID, **EXACT})
    thickness = np.random.default_rng(3).normal(1.9, 0.03, 20_000)
    log_p = qc.flip_probability_of_cells(made, thickness, log=True)
    exact = qc.flip_probability(made, thickness[::1000]).log_probability
    assert np.abs(np.expm1(log_p[::1000] - exact)).max() < 1e-9
    assert math.isfinite(log_p.sum())
