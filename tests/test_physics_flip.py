"""flip_probability as a value: shapes, regions, planes, warnings, inverse, and the wiring of every card field."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.flip import flip_probability, thickness_for

SIGNS = {
    "barrier.height_eV": -1, "barrier.electron_energy_eV": 1, "barrier.effective_mass_m0": -1,
    "barrier.thickness_nm": -1, "cell.electrons": 1, "cell.flip_threshold": -1, "cell.attempt_frequency_Hz": 1,
    "window_s": 1,
}
CARD = load_card("3nm")
RICH = DeviceCard(**{
    **CARD.to_dict(),
    "regions": {
        "embeddings": {"tensors": ["*embed*"], "barrier": {"thickness_nm": 2.0}, "flips": "charge_loss",
                       "storage": {"bits": 6, "encoding": "sign_magnitude", "charged_bit": 0}},
        "slow": {"tensors": ["head.*"], "window_s": 1e-5, "bit_planes": {0: {"cell": {"electrons": 60}}}},
    },
    "bit_planes": {5: {"barrier": {"thickness_nm": 2.1}}, 0: {"window_s": 1e-7}},
})


@pytest.mark.parametrize("field", CARD.cell_fields)
def test_every_number_moves_the_flip_probability_the_right_way(field: str) -> None:
    *path, last = field.split(".")
    value = getattr(getattr(CARD, path[0]) if path else CARD, last)
    larger = CARD.with_field(field, value + 1 if isinstance(value, int) else value * 1.01)
    change = flip_probability(larger).log_probability - flip_probability(CARD).log_probability
    assert math.copysign(1.0, change) == SIGNS[field]
    assert abs(change) > 1e-6


@pytest.mark.parametrize("field", [f for f in CARD.cell_fields if f != "barrier.thickness_nm"])
def test_an_override_moves_only_its_own_region_or_plane(field: str) -> None:
    *path, last = field.split(".")
    value = getattr(getattr(CARD, path[0]) if path else CARD, last)
    new = value + 1 if isinstance(value, int) else value * 1.01
    before = flip_probability(RICH).log_by_region
    region = flip_probability(RICH.with_field(f"regions.embeddings.{field}", new)).log_by_region
    assert {name for name in before if not np.array_equal(before[name], region[name])} == {"embeddings"}
    plane = flip_probability(RICH.with_field(f"bit_planes.3.{field}", new)).log_by_region
    moved = {name: np.flatnonzero(before[name] != plane[name]).tolist() for name in before}
    assert moved == {"default": [3], "embeddings": [3], "slow": []}


def test_storage_and_direction_travel() -> None:
    flip = flip_probability(RICH)
    default, embeddings, slow = flip.regions
    assert (default.bits, default.encoding, default.flips, default.charged_bit) == (8, "offset_binary", "symmetric", 1)
    assert (embeddings.bits, embeddings.encoding, embeddings.flips) == (6, "sign_magnitude", "charge_loss")
    assert (embeddings.charged_bit, embeddings.tensors, default.tensors) == (0, ("*embed*",), ())
    assert [len(planes) for planes in flip.by_region.values()] == [8, 6, 8]
    assert list(flip.by_region) == ["default", "embeddings", "slow"]
    assert slow.name == "slow"
    assert flip_probability(CARD.with_field("storage.bits", 5)).by_plane.shape == (5,)


def test_planes_and_regions_hold_the_flip_probability_of_their_own_cell() -> None:
    flip = flip_probability(RICH)
    of = lambda **changes: flip_probability(_with(CARD, changes)).probability  # noqa: E731
    np.testing.assert_array_equal(flip.by_plane, [of(window_s=1e-7), *[of()] * 4, of(thickness=2.1), of(), of()])
    embeddings = flip.by_region["embeddings"]
    inner = [of(thickness=2.0)] * 4
    np.testing.assert_array_equal(embeddings, [of(thickness=2.0, window_s=1e-7), *inner, of(thickness=2.1)])
    np.testing.assert_array_equal(flip.by_region["slow"], [of(window_s=1e-5, electrons=60), *[of(window_s=1e-5)] * 7])


def _with(card: DeviceCard, changes: dict[str, float]) -> DeviceCard:
    names = {"thickness": "barrier.thickness_nm", "electrons": "cell.electrons"}
    for name, value in changes.items():
        card = card.with_field(names.get(name, name), value)
    return card


def test_a_sweep_leaves_overridden_thicknesses_alone() -> None:
    flip = flip_probability(RICH, np.array([1.7, 1.9]))
    assert flip.by_plane[0, 5] == flip.by_plane[1, 5]
    assert flip.by_plane[0, 6] > flip.by_plane[1, 6]
    assert np.array_equal(flip.by_region["embeddings"][0], flip.by_region["embeddings"][1])


def test_shapes_broadcast_and_points_are_the_scalars() -> None:
    grid = np.array([[1.7, 1.8, 1.9], [2.0, 2.1, 2.2]])
    flip = flip_probability(RICH, grid)
    assert flip.probability.shape == (2, 3)
    assert flip.by_plane.shape == (2, 3, 8)
    assert flip.regime.tolist() == [["high-escape", "transition", "transition"], ["rare"] * 3]
    point, alone = flip.at((1, 0)), flip_probability(RICH, 2.0)
    assert isinstance(alone.probability, float)
    assert isinstance(alone.regime, str)
    assert point.log_probability == alone.log_probability
    assert (point.thickness_nm, point.warnings, point.regime) == (2.0, alone.warnings, alone.regime)
    assert np.array_equal(point.by_region["embeddings"], alone.by_region["embeddings"])
    assert pickle.loads(pickle.dumps(flip)).at((1, 0)).log_complement == alone.log_complement
    for wrong in (0, (2, 0), (0, 0, 0)):
        with pytest.raises(InputError, match="no such thickness point"):
            flip.at(wrong)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, 0.4, 10.1, [], [1.7, math.nan], "1.7", True, [[]]])
def test_bad_thickness(bad: object) -> None:
    with pytest.raises(InputError) as caught:
        flip_probability(CARD, bad)
    assert caught.value.where == "thickness_nm"


def test_warnings_travel_with_the_number() -> None:
    assert flip_probability(CARD).warnings == ()
    wide = CARD.with_field("validity.thickness_nm", [0.01, 10])
    thin = "\n".join(flip_probability(wide, 0.1).warnings)
    assert "WKB action 1.13" in thin
    assert "0.1 nm is below 0.5 nm" in thin
    assert "0.5 or more" in thin
    assert any("500 of 1000" in text for text in flip_probability(load_card("nor_flash_floating_gate")).warnings)
    assert any("0.0011 nm" in text for text in flip_probability(load_card("dram_1t1c")).warnings)
    assert any("attempts" in text for text in flip_probability(CARD.with_field("window_s", 1e-15)).warnings)
    few = CARD.with_field("cell.flip_threshold", 1).with_field("cell.electrons", 9)
    assert any("9 electrons" in text for text in flip_probability(few).warnings)
    assert any("approximation" in text for text in flip_probability(CARD, tail="poisson").warnings)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan, math.inf, None, "0.1", True])
def test_unreachable_targets(bad: object) -> None:
    with pytest.raises(InputError):
        thickness_for(CARD, bad)
    with pytest.raises(InputError):
        thickness_for(CARD, 0.1, log_flip_probability=-1.0)
    with pytest.raises(InputError, match="inside its validity"):
        thickness_for(CARD, log_flip_probability=-1e6)


@pytest.mark.parametrize("name", ["3nm", "sram_6t", "nor_flash_floating_gate", "edram_gain_cell", "ideal_paper"])
@pytest.mark.parametrize("log_target", [-28204.0, -3000.0, -600.0, -400.0, -30.0, -0.7, -0.69, -1e-3, -1e-12, -1e-30])
def test_round_trip(name: str, log_target: float) -> None:
    card = load_card(name).with_field("validity.thickness_nm", [1e-3, 1000])
    flip = flip_probability(card, thickness_for(card, log_flip_probability=log_target))
    slack = 1e-15 * 20 * (card.cell.flip_threshold + 1) * max(1.0, -flip.log_transmission)
    if log_target < -0.69:
        assert flip.log_probability == pytest.approx(log_target, abs=slack)
    else:
        slack *= card.cell.electrons / (card.cell.flip_threshold + 1) * max(1.0, card.cell.electrons / 20)
        assert math.log(-flip.log_probability) == pytest.approx(math.log(-log_target), abs=slack)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(1, 400), st.floats(0, 0.999), st.floats(0.5, 9.0), st.floats(1e-6, 0.5))
def test_thicker_is_safer_and_the_complement_is_consistent(n: int, part: float, thickness: float, more: float) -> None:
    card = CARD.with_field("cell.flip_threshold", 0).with_field("cell.electrons", n)
    card = card.with_field("cell.flip_threshold", int(part * n))
    thin, thick = (flip_probability(card, width) for width in (thickness, thickness + more))
    assert thick.log_probability <= thin.log_probability
    assert thick.log_complement >= thin.log_complement
    assert math.exp(thin.log_probability) + math.exp(thin.log_complement) == pytest.approx(1.0, rel=1e-14)
    assert 0.0 <= thin.probability <= 1.0
