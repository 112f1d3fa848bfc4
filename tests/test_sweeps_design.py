"""The chain backwards: a field of a card from a target, a tornado, a map, and the least budget."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

import qtaml_codesign as qc
from qtaml_codesign.commands.main import app
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.cell_fields import value_of
from qtaml_codesign.physics.solving import solvable_field, solve_field
from qtaml_codesign.plots.design import draw_map, draw_tornado
from qtaml_codesign.sweeps import design as backwards

FEW = {"max_trials": 12, "half_width": 0.05}


@pytest.fixture(scope="module")
def found() -> qc.Design:
    return qc.design("small-cnn", "3nm", "window_s", budget=0.05, **FEW)


@pytest.mark.parametrize("field", ["window_s", "barrier.height_eV", "barrier.effective_mass_m0", "cell.electrons",
                                   "cell.flip_threshold", "cell.attempt_frequency_Hz", "barrier.thickness_nm"])
@pytest.mark.parametrize("wanted", [0.3, 0.02, 1e-6])
def test_a_solved_field_gives_the_wanted_probability(field: str, wanted: float) -> None:
    """Put back on the card; of whole numbers the last one that flips no more often, the next one does."""
    card = qc.load_card("3nm")
    one = solve_field(card, field, math.log(wanted))
    if field.startswith(("cell.electrons", "cell.flip")):
        further = int(one.value) + (1 if one.sense == "at most" else -1)
        near = qc.flip_probability(card.with_field(field, int(one.value))).probability
        assert near <= wanted < qc.flip_probability(card.with_field(field, further)).probability
    else:
        back = qc.flip_probability(card.with_field(field, one.value)).probability
        np.testing.assert_allclose(back, wanted, rtol=1e-9, atol=0.0)
    falls = field.startswith(("barrier", "cell.flip"))
    assert one.sense == ("at least" if falls else "at most")


def test_the_window_agrees_with_the_binomial_tail_of_scipy(found: qc.Design) -> None:
    """tau from p by the inverse beta function, with the rectangle's action written out here."""
    share = stats.beta(5, 46).ppf(found.flip_probability)  # I_x(k + 1, N - k), N = 50, k = 4
    action = 2.0 * 5.12316721967 * math.sqrt(0.4 * 3.05) * 1.765
    attempts = math.log1p(-share) / math.log1p(-math.exp(-action))
    assert found.solution.value == pytest.approx(attempts / 2.4e13, rel=1e-7)
    assert found.low < found.solution.value < found.high
    assert found.flips[0] < found.flip_probability < found.flips[1]


def test_all_fields_are_solved_for_the_same_flip_probability(found: qc.Design) -> None:
    other = qc.design("small-cnn", "3nm", budget=0.05, **FEW)
    assert other.flip_probability == found.flip_probability
    assert other.solution.value == pytest.approx(qc.thickness_for("3nm", found.flip_probability), rel=1e-12)


def test_a_map_is_solved_point_by_point(found: qc.Design) -> None:
    table = found.map({"height_eV": [3.0, 3.2], "barrier.thickness_nm": [1.7, 1.9]})
    assert list(table.columns) == ["barrier.height_eV", "barrier.thickness_nm", "window_s"]
    for _, row in table.iterrows():
        card = qc.load_card("3nm").with_fields(dict(row))
        np.testing.assert_allclose(qc.flip_probability(card).probability, found.flip_probability, rtol=1e-9, atol=0.0)
    with pytest.raises(InputError, match="cannot be varied"):
        found.map({"window_s": [1e-6]})
    axes = draw_map(table, here=(3.1, 1.765)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("barrier.height_eV", "barrier.thickness_nm")
    bands, lines = axes.collections[:2]
    np.testing.assert_array_equal(lines.levels, bands.levels)
    assert 4 <= len(bands.levels) <= 10
    assert {f"{level:.0e}" for level in bands.levels} == {f"{level:.6g}" for level in bands.levels}
    (star,) = [line for line in axes.lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(star.get_xydata(), [[3.1, 1.765]])
    assert all(line.get_marker() != "*" for line in draw_map(table, here=(3.1, 2.0)).axes[0].lines)


def test_a_map_of_the_solved_field_is_refused_before_the_search(tmp_path: Path) -> None:
    asked = ["design", "--device", "3nm", "--out", str(tmp_path), "--vary", "thickness_nm=1.7:1.8:3"]
    told = CliRunner().invoke(app, asked)
    assert isinstance(told.exception, InputError)
    assert "cannot be varied" in told.exception.what
    assert not list(tmp_path.iterdir())


def test_the_thickness_of_a_stack_is_that_of_the_whole() -> None:
    layers = [{"height_eV": 3.1, "effective_mass_m0": 0.4, "relative_permittivity": 3.9, "thickness_nm": 0.6},
              {"height_eV": 2.0, "effective_mass_m0": 0.2, "relative_permittivity": 20.0}]
    barrier = {"model": "stack", "electron_energy_eV": 0.05, "thickness_nm": 2.2, "layers": layers}
    card = qc.load_card("3nm").with_field("barrier", barrier)
    assert solvable_field(card, "thickness_nm") == "barrier.thickness_nm"
    assert solvable_field(card, "barrier.layers.0.thickness_nm") == "barrier.layers.0.thickness_nm"
    with pytest.raises(InputError, match="several fields"):
        solvable_field(card, "height_eV")


def test_the_tornado_names_what_moves_the_answer_most(found: qc.Design) -> None:
    """The action is proportional to d sqrt(m (V0 - E)): 5 % of d moves it twice as far as 5 % of m; nu as 1 / tau."""
    table = found.tornado().set_index("field")
    assert table.index[0] == "barrier.thickness_nm"
    assert not table["stated"].any()
    frequency = table.loc["cell.attempt_frequency_Hz"]
    assert frequency["at_low"] == pytest.approx(found.solution.value / 0.95, rel=1e-9)
    mass, thickness = (np.log(table.loc[name, "at_high"] / found.solution.value)
                       for name in ("barrier.effective_mass_m0", "barrier.thickness_nm"))
    assert thickness / mass == pytest.approx(0.05 / (math.sqrt(1.05) - 1.0), rel=1e-6)
    bars = draw_tornado(found.tornado(), "window_s", found.solution.value).axes[0]
    assert "thickness" in bars.get_yticklabels()[-1].get_text()


def test_the_range_on_the_card_takes_the_place_of_five_per_cent() -> None:
    card = qc.load_card("3nm").with_field("barrier.height_eV", {"value": 3.1, "low": 2.9, "high": 3.3})
    table = qc.design("small-cnn", card, budget=0.05, **FEW).tornado().set_index("field")
    assert table.loc["barrier.height_eV", ["low", "high", "stated"]].tolist() == [2.9, 3.3, True]


REFUSED = {
    "unknown field": ("3nm", {"solve": "colour"}, "no field of the card"),
    "cells that differ": ("planes", {"solve": "window_s"}, "do not all flip alike"),
    "no such value": ("thin", {"solve": "electron_energy_eV"}, "no value of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_solved_says_so(case: str) -> None:
    name, asked, text = REFUSED[case]
    card = qc.load_card("3nm")
    if name == "planes":
        card = card.with_field("bit_planes", {7: {"barrier": {"thickness_nm": 2.1}}})
    if name == "thin":
        card = card.with_field("barrier.thickness_nm", 1.2)
    with pytest.raises(InputError, match=text):
        qc.design("small-cnn", card, **{**FEW, "budget": 0.05, **asked})


@pytest.fixture(scope="module")
def least() -> qc.LeastBudget:
    return qc.least_budget("small-cnn", "3nm", **FEW)


def test_the_least_budget_keeps_the_target_and_the_next_does_not(least: qc.LeastBudget) -> None:
    points = least.search.to_frame().set_index("budget")
    kept = points["accuracy"] >= 0.95 * points["clean_accuracy"]
    assert kept[least.budget]
    assert not kept[least.below]
    assert least.budget - least.below < 0.03 / 20
    assert not kept[points.index < least.budget].any()


def test_the_rounds_measure_nothing_twice(tmp_path: Path, least: qc.LeastBudget) -> None:
    """The last sweep in the folder itself, those before it inside; begun again, it finds every trial."""
    told: list[str] = []
    asked = {**FEW, "out": tmp_path, "progress": lambda state: told.append(state.note)}
    first, again = (qc.least_budget("small-cnn", "3nm", **asked) for _ in range(2))
    assert not any("other options" in note for note in told)
    assert sorted(place.name for place in tmp_path.iterdir() if place.is_dir()) == ["round-1", "round-2"]
    assert first.search.borrowed_trials > 0
    assert first.search.borrowed_trials + first.search.new_trials == first.search.counts.trials
    assert again.search.new_trials == 0
    assert (least.budget, least.below) == (first.budget, first.below) == (again.budget, again.below)
    assert first.search.to_frame().equals(least.search.to_frame())


def test_a_thick_oxide_needs_no_budget(tmp_path: Path) -> None:
    card = qc.load_card("3nm").with_field("barrier.thickness_nm", 2.4)
    least = qc.least_budget("small-cnn", card, out=tmp_path, **FEW)
    assert (least.budget, least.below) == (0.0, None)
    assert (tmp_path / "sweep.csv").read_text() == (tmp_path / "round-1" / "sweep.csv").read_text()


SWITCHED_OFF = {
    "temperature_K": "escape.thermal_averaging: elastic",
    "escape.activation_energy_eV": "escape.reference_temperature_K",
    "variation.thickness_sigma_nm": "`variation.thickness_sigma_nm` with a value",
}


@pytest.mark.parametrize("name", SWITCHED_OFF)
def test_a_field_that_is_switched_off_says_what_switches_it_on(found: qc.Design, name: str) -> None:
    with pytest.raises(InputError) as solved:
        qc.design("small-cnn", "3nm", name)
    assert SWITCHED_OFF[name] in solved.value.next_step
    assert "--solve" in solved.value.where
    for varied in (lambda: found.map({name: [1.0]}), lambda: qc.sweep_family("small-cnn", "3nm", {name: [1.0]})):
        with pytest.raises(InputError) as caught:
            varied()
        assert "--vary" in caught.value.where


@pytest.mark.parametrize("settings", [
    {"temperature_K": 300.0, "escape": {"thermal_averaging": "elastic"}},
    {"temperature_K": 300.0, "escape": {"activation_energy_eV": 0.1, "reference_temperature_K": 300.0}},
])
def test_what_the_message_advises_switches_the_temperature_on(settings: dict[str, object]) -> None:
    card = qc.load_card("3nm").with_fields(settings)
    assert solvable_field(card, "temperature_K") == "temperature_K"


def test_the_commands_say_what_was_asked_and_what_stays(tmp_path: Path) -> None:
    asked = ["design", "--device", "3nm", "--max-trials", "12", "--workers", "1", "--out", str(tmp_path)]
    told = " ".join(CliRunner().invoke(app, [*asked, "--solve", "electrons", "--budget", "0.05"]).output.split())
    assert "note: cell.flip_threshold stays 4 while cell.electrons is solved" in told
    assert "trials stand behind this curve, taken over or new" in told
    told = " ".join(CliRunner().invoke(app, [*asked, "--solve", "budget"]).output.split())
    between = r"least budget between [\d.]+ % of the stored bits \(does not keep .*\) and [\d.]+ % \(does\)"
    assert re.search(between, told)
    assert "Annotated" not in CliRunner().invoke(app, ["design", "--help"]).output


def test_the_commands(tmp_path: Path) -> None:
    asked = ["design", "--device", "3nm", "--max-trials", "12", "--workers", "1", "--out", str(tmp_path)]
    grid = ["--vary", "height_eV=3:3.2:3", "--vary", "thickness_nm=1.7:1.8:3"]
    result = CliRunner().invoke(app, [*asked, "--solve", "window_s", *grid])
    assert result.exit_code == 0, result.output
    assert "window_s at most" in " ".join(result.output.split())
    for name in ("tornado.csv", "tornado.png", "map.csv", "map.png", "results.sqlite"):
        assert (tmp_path / name).is_file()
    assert (tmp_path / "map.csv").read_text().count("\n") == 10


def test_fields_of_every_kind_are_solved() -> None:
    """Counted electrons, a layer of a stack, and a number that starts from nothing."""
    falling = {"barrier.model": "trapezoidal", "barrier.bias_V": 0.65, "cell.attempt_frequency_anchor": "forced",
               "escape.field": "self_limiting", "escape.node_capacitance_aF": 12.2}
    layers = [{"height_eV": 3.1, "effective_mass_m0": 0.4, "relative_permittivity": 3.9, "thickness_nm": 0.8},
              {"height_eV": 2.05, "effective_mass_m0": 0.11, "relative_permittivity": 22.0}]
    stack = {"barrier": {"model": "stack", "thickness_nm": 2.0, "layers": layers, "electron_energy_eV": 0.05}}
    for name, changes, field in (("3nm", falling, "cell.flip_threshold"), ("3nm", stack, "barrier.layers.1.height_eV"),
                                 ("igzo_2t0c", {"escape.access.leakage_pA": 0.0}, "escape.access.leakage_pA")):
        card = qc.load_card(name).with_fields(changes)
        value = solve_field(card, field, math.log(0.3)).value
        back = qc.flip_probability(card.with_field(field, value)).probability
        assert back == pytest.approx(0.3, rel=1e-7) if field != "cell.flip_threshold" else back <= 0.3
        for every in card.cell_fields:
            value_of(card, every)


@pytest.mark.parametrize(("field", "sense"), [("window_s", "at most"), ("barrier.thickness_nm", "at least")])
def test_an_open_end_stays_on_its_side(monkeypatch: pytest.MonkeyPatch, field: str, sense: str) -> None:
    """Where no flip probability is known to be rare enough, it is the safe end that is open."""
    monkeypatch.setattr(backwards, "_flips", lambda search, row: (math.nan, 0.05, 0.07))
    found = qc.design("small-cnn", "3nm", field, budget=0.05, **FEW)
    assert found.solution.sense == sense
    if sense == "at most":
        assert math.isnan(found.low)
        assert found.solution.value < found.high
    else:
        assert math.isnan(found.high)
        assert found.low < found.solution.value


def test_cells_that_keep_their_rates_are_refused() -> None:
    card = qc.load_card("3nm").with_field("variation", {"thickness_sigma_nm": 0.03, "cells": "own_rate"})
    with pytest.raises(InputError, match="keep their own rates"):
        qc.design("small-cnn", card, "window_s", budget=0.05, **FEW)
