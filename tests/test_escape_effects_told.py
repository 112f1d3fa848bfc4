"""The effects on the escape of electrons as a user meets them: refusals, warnings, fields, and what a card shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.cards import load_card
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.physics.effect_validity import acting
from qtaml_codesign.physics.tables import flip_table
from tests.conftest import Finished
from tests.test_escape_effects import TRAPS, changed

Run = Callable[..., Finished]


@pytest.mark.parametrize("tail", ["poisson", "leading"])
def test_approximate_tails_are_refused(tail: str) -> None:
    with pytest.raises(InputError, match="approximate tail beside effects"):
        qc.flip_probability(changed({"escape.roughness_nm": 0.1}), tail=tail)


@pytest.mark.parametrize(("changes", "said"), [
    ({"temperature_K": 320, "escape.charge_noise": "kTC"}, "needs the capacitance"),
    ({"escape.charge_noise_electrons": 13.0}, "not small beside the charge"),
    ({"escape.thermal_averaging": "elastic"}, "needs a temperature"),
    ({"escape.node_capacitance_aF": 12.2, "escape.charge_noise_electrons": 1.4}, "capacitance of the node changes"),
    ({"temperature_K": 320, "escape.reference_temperature_K": 300,
      "escape.traps": {**TRAPS, "activation_energy_eV": 0.3}}, "reference temperature changes nothing")])
def test_what_does_not_go_together(changes: dict[str, object], said: str) -> None:
    with pytest.raises(CardError, match=said):
        changed(changes)


@pytest.mark.parametrize(("changes", "thickness_nm", "said"), [
    ({"temperature_K": 398, "escape.thermal_averaging": "elastic"}, 5.0, "thermal averaging is near its limit"),
    ({"escape.roughness_nm": 0.3}, 1.765, "places thinner by 1"),
    ({"escape.charge_noise_electrons": 1.4}, 2.3, "no thickness brings p_flip below"),
    ({"escape.traps": {**TRAPS, "density_per_cm3": 1e18}}, 1.765, "0.47 traps per cell"),
    ({"escape.access.leakage_pA": 1.0}, 1.765, "leaks more than the oxide")])
def test_warnings(changes: dict[str, object], thickness_nm: float, said: str) -> None:
    assert any(said in warning for warning in qc.flip_probability(changed(changes), thickness_nm).warnings)
    mild = {"temperature_K": 300, "escape.thermal_averaging": "elastic", "escape.roughness_nm": 0.05,
            "escape.traps": TRAPS, "escape.access.leakage_pA": 0.01}
    assert not any(said in warning for warning in qc.flip_probability(changed(mild)).warnings)


def test_fields_are_varied_and_effects_are_named(codesign: Run) -> None:
    card = changed({"temperature_K": 300, "escape.thermal_averaging": "elastic", "escape.roughness_nm": 0.05})
    assert acting(card.resolve()) == ("thermal averaging", "roughness within a cell", "300 K")
    assert acting(load_card("3nm").resolve()) == ()
    grid = {"temperature_K": np.array([300.0, 400.0]), "escape.roughness_nm": np.array([0.0, 0.1])}
    table = flip_table(card, vary=grid)
    chances = [row[table.columns.index("flip_probability")] for row in table.rows]
    assert len(set(chances)) == 4
    shown = codesign("flip", "--device", "3nm", "--set", "escape.roughness_nm=0.05", "--set", "temperature_K=300",
                     "--set", "escape.thermal_averaging=elastic", "--vary", "escape.roughness_nm=0:0.1:2")
    assert shown.code == 0
    assert "WKB barrier; thermal averaging; roughness within a cell" in shown.stderr


def test_card_show_has_the_units(codesign: Run) -> None:
    noisy = ("--set", "escape.charge_noise=kTC")
    units = {"temperature_K=300": "K", "escape.node_capacitance_aF=12.2": "aF", "escape.access.leakage_pA=0.1": "pA",
             "escape.traps.area_nm2=264": "nm2", "escape.traps.density_per_cm3=1e14": "per"}
    shown = codesign("card", "show", "3nm", *noisy, *(part for field in units for part in ("--set", field)))
    assert shown.code == 0
    rows = {words[0]: words[2] for line in shown.stdout.splitlines() if len(words := line.split()) > 2}
    assert {field: rows[field.partition("=")[0]] for field in units} == units


def test_effects_that_no_such_cell_has() -> None:
    noisy = {"temperature_K": 300, "escape.charge_noise": "kTC"}
    assert changed({**noisy, "escape.node_capacitance_aF": 900.0}).name == "3nm"  # 12.05 electrons rms of 50
    with pytest.raises(CardError, match="one by one as they pass a trap"):
        load_card("dram_1t1c").with_field("escape.traps", TRAPS)
    with pytest.raises(CardError, match="not small beside the charge"):
        changed({**noisy, "escape.node_capacitance_aF": 1000.0})
