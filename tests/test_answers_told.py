"""The words beside the answers: bounds of Shannon, budgets that are not spent, and ranges of the card."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.physics.corners import corners
from qtaml_codesign.report import sweep_report
from qtaml_codesign.report.notes import limit_notes, spending_notes
from qtaml_codesign.report.words import oxide_cells


def frontier_of(*rows: tuple[object, ...]) -> pd.DataFrame:
    names = ["method", "budget", "overhead", "thickness_nm", "thickness_low_nm", "thickness_high_nm",
             "flip_probability", "status"]
    return pd.DataFrame(rows, columns=names)


def test_the_bound_of_shannon_is_that_of_the_answers() -> None:
    """1/C - 1 at p = 0.10 is 0.883, and 2.26 at 0.20; rows that protect nothing, or hold no answer, do not count."""
    table = frontier_of(
        ("tac", 0.0, 0.0, 1.9, 1.8, 2.0, 1e-9, "crossing"), ("tac", 0.1, 0.1, 1.8, 1.7, 1.9, 0.10, "crossing"),
        ("tac", 0.2, 0.2, 1.7, 1.6, 1.8, 0.20, "at-or-below-range"), ("tac", 0.3, 0.3, np.nan, np.nan, np.nan, np.nan,
                                                                     "beyond-range"),
    )
    card = qc.load_card("3nm")
    (note,) = limit_notes(table, card)
    assert "p = 0.1 to 0.2" in note
    assert "at least 0.883 to 2.6 extra" in note
    assert limit_notes(table[:1], card) == ()
    (one,) = limit_notes(table[1:2], card)
    assert "p = 0.1, any real" in one
    assert "at least 0.883 extra" in one


def test_why_less_than_the_budget_is_spent() -> None:
    table = frontier_of(("tac", 0.03, 0.01459, 1.8, 1.7, 1.9, 0.1, "crossing"),
                        ("tac", 0.125, 0.1249, 1.7, 1.6, 1.8, 0.1, "crossing"))
    (note,) = spending_notes(table)
    assert "TAC 3 -> 1.459" in note
    assert "12.5" not in note
    assert "whole bit planes of whole layers" in note
    assert spending_notes(table[1:]) == ()


RANGED = {"value": 0.40, "low": 0.38, "high": 0.42, "kind": "derived", "source": "a paper"}


def test_the_corners_of_a_card_follow_the_action() -> None:
    """For the same p the action 2 kappa d is the same: d goes with 1 / sqrt(m), and 2.552 nm becomes 2.491, 2.618."""
    card = qc.load_card("3nm").with_field("barrier.effective_mass_m0", RANGED)
    for thickness in (1.76, 2.552):
        (found,) = corners(card, float(qc.flip_probability(card, thickness).probability))
        assert (found.field, found.low, found.high) == ("barrier.effective_mass_m0", 0.38, 0.42)
        assert found.ends_nm == pytest.approx((thickness * (0.40 / 0.42) ** 0.5, thickness * (0.40 / 0.38) ** 0.5),
                                               rel=1e-9)
    assert corners(qc.load_card("3nm"), 0.1) == ()
    open_ended = qc.load_card("3nm").with_field("window_s", {"value": 1e-6, "high": 1e-5})
    (window,) = corners(open_ended, 0.1)
    assert (window.low, window.high) == (1e-6, 1e-5)
    assert window.thickness_at_low_nm == pytest.approx(1.764991625, rel=1e-9)


def test_a_corner_outside_the_validity_is_none() -> None:
    card = qc.load_card("3nm").with_fields({
        "barrier.effective_mass_m0": RANGED, "validity.thickness_nm": [1.72, 1.80], "sweep.thickness_nm": [1.73, 1.79]})
    (found,) = corners(card, 0.1)
    assert found.thickness_at_low_nm is None
    assert found.thickness_at_high_nm is not None
    assert found.ends_nm == (found.thickness_at_high_nm,)


@pytest.fixture(scope="module")
def ranged() -> qc.Sweep:
    card = qc.load_card("3nm").with_field("barrier.effective_mass_m0", RANGED)
    return qc.sweep("small-cnn", card, (1.72, 1.78, 1.84), (0.03, 0.125), ("tac", "uniform-msp"), trials=4)


def test_the_card_range_stands_beside_the_answer(ranged: qc.Sweep) -> None:
    made = sweep_report(ranged)
    assert made.tables[1].title.startswith("Card range")
    assert made.tables[1].columns[-1] == "effective_mass_m0\n0.38 to 0.42"
    row = ranged.frontier().to_frame().iloc[0]
    low, high = (row.thickness_nm * (0.40 / mass) ** 0.5 for mass in (0.42, 0.38))
    assert made.tables[1].rows[0][-1] == f"{low:.3f} to {high:.3f}"
    assert f"[{row.image_low_nm:.3f},{row.image_high_nm:.3f}]" in made.tables[0].rows[0]
    assert "drawings of the flips" in made.tables[0].note
    assert "nothing else" in made.tables[0].note
    searched = replace(ranged, options=replace(ranged.options, rows="knots"))
    assert (len(made.tables), len(sweep_report(searched).tables)) == (3, 2)


def test_ranges_say_nothing_about_cells_with_numbers_of_their_own() -> None:
    """Their flip rates do not follow the base cell's, so that the same p there is not the same accuracy."""
    card = qc.load_card("3nm").with_fields({
        "barrier.effective_mass_m0": RANGED, "bit_planes": {7: {"barrier": {"thickness_nm": 1.85}}}})
    found = qc.sweep("small-cnn", card, (1.72, 1.84), (0.0, 0.125), ("uniform-msp",), trials=2)
    assert "crossing" in set(found.frontier().to_frame()["status"])
    made = sweep_report(found)
    assert not any(table.title.startswith("Card range") for table in made.tables)
    assert any("do not follow the flip probability" in note for note in made.notes)
    assert not any("Shannon" in note for note in made.notes)


def test_the_shannon_bound_of_one_way_flips_is_that_of_the_z_channel() -> None:
    table = pd.DataFrame({"overhead": [0.1], "status": ["crossing"], "flip_probability": [0.10]})
    card = qc.load_card("3nm")
    for flips, extra in (("symmetric", "0.883"), ("charge_loss", "0.311")):
        (note,) = limit_notes(table, card.with_field("flips", flips))
        assert f"at least {extra} extra cells" in note


def test_a_bound_that_the_interval_leaves_open_says_so() -> None:
    row = pd.Series({"thickness_nm": 1.72, "thickness_low_nm": math.nan, "thickness_high_nm": 1.7556,
                     "image_low_nm": math.nan, "image_high_nm": 1.7729, "flip_probability": 0.3,
                     "status": "at-or-below-range"})
    assert oxide_cells(row, (1.72, 2.25)) == ("<= 1.720 [<,1.756]", "[<,1.773]", "0.3")
    sure = row.replace({1.7556: 1.72, 1.7729: 1.72})
    assert oxide_cells(sure, (1.72, 2.25)) == ("<= 1.720", "-", "0.3")


def test_another_target_has_no_interval_over_images(ranged: qc.Sweep) -> None:
    """It is paired with the sweep's own target."""
    own, other = ranged.frontier().to_frame(), ranged.frontier(0.5).to_frame()
    assert own["image_high_nm"].notna().any()
    assert other["image_low_nm"].isna().all()
    assert other["image_high_nm"].isna().all()


def test_the_card_range_is_recorded(ranged: qc.Sweep, tmp_path: Path) -> None:
    import json

    ranged.save(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["card_provenance"]["barrier.effective_mass_m0"] == RANGED
    assert record["card_provenance"]["cell.electrons"]["kind"] == "derived"
    (corner,) = record["card_ranges"][0]["corners"]
    assert corner["thickness_at_high_nm"] < record["card_ranges"][0]["thickness_nm"] < corner["thickness_at_low_nm"]
    assert record["exposure"]["share"] == pytest.approx(38160 / 38330)
    assert "NaN" not in (tmp_path / "run.json").read_text()


def test_reprs_fit_a_screen(ranged: qc.Sweep) -> None:
    for value in (ranged, ranged.frontier()):
        lines = repr(value).splitlines()
        assert len(lines) <= 20
        assert max(map(len, lines)) <= 100
        assert "tac 0.03: 1.7" in repr(value)
    assert "small-cnn" in repr(ranged)
    assert "3nm" in repr(ranged)
