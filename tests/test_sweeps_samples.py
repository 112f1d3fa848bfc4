"""The interval over evaluation samples in sweeps, targets that it cannot resolve, and lenders that fail."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.statistics import mean_interval
from qtaml_codesign.sweeps.outputs import csv_text

OPTIONS = {"budgets": (0.3,), "trials": 20}
RANGE = (1.73, 2.1)


@pytest.fixture(scope="module")
def network(tiny_workload):
    return tiny_workload


@pytest.fixture(scope="module")
def fine(network, tmp_path_factory):
    """An interpolated sweep of a range."""
    folder = tmp_path_factory.mktemp("fine")
    return folder, qc.sweep(network, "3nm", np.linspace(*RANGE, 9), out=folder, interpolate=True, **OPTIONS)


@pytest.fixture(scope="module")
def found(network):
    return qc.find_frontier(network, "3nm", RANGE, budgets=OPTIONS["budgets"], max_trials=80)


def test_the_interval_over_samples_reaches_tables_and_files(fine, found):
    for result in (fine[1], found):
        row = result.frontier().to_frame()
        inside = row[row.status == "crossing"]
        assert len(inside) > 0
        assert (inside.image_low_nm < inside.thickness_nm).all()
        assert (inside.thickness_nm < inside.image_high_nm).all()
    for name in ("sweep.csv", "knots.csv"):
        table = pd.read_csv(fine[0] / name)
        assert table.columns[-1] == "image_half_width"
        assert (table.image_half_width >= 3 / 120).all()
    assert pd.read_csv(fine[0] / "frontier.csv").columns[-2:].tolist() == ["image_low_nm", "image_high_nm"]


def test_the_half_width_of_a_point_is_that_of_its_own_trials(network):
    """Paired with the clean network over single samples, from an evaluation of the same plan and trials.

    One label in eight is another class's, so that the clean network is not right everywhere.
    """
    labels = network.labels.clone()
    labels[:15] = (labels[:15] + 1) % 4
    network = qc.Workload(network.network.module, network.calibration, (network.evaluation_inputs, labels))
    assert network.clean_accuracy == 0.875
    row = qc.sweep(network, "3nm", [1.78], [0.3], ["tac"], trials=8, target=0.8).to_frame().iloc[0]
    flips = qc.flip_probability(qc.load_card("3nm"), 1.78)
    result = qc.evaluate(network, qc.plan(network, "tac", flips, 0.3), flips, trials=8)
    right, clean = result.counts.score_by_group / 8, network.scoring.clean_predictions.numpy() == network.labels.numpy()
    assert row.image_half_width == pytest.approx(mean_interval(right - 0.8 * clean).half_width, rel=1e-12)


@pytest.mark.parametrize(("target", "flagged"), [(0.99, True), (0.6, False)])
def test_a_target_too_close_to_clean_is_flagged(network, target, flagged):
    result = qc.sweep(network, "3nm", (1.75, 1.9), [0.3], ["tac"], trials=4, target=target)
    notes = [note for note in result.warnings if "cannot be told from the clean network" in note]
    assert len(notes) == flagged
    assert not flagged or all(part in notes[0] for part in ("0.0100", "120", "0.99"))


def test_a_lender_that_fails_in_mid_run_is_a_note_and_changes_no_number(fine, network, tmp_path):
    (tmp_path / "spoiled").mkdir()
    place = tmp_path / "spoiled" / "results.sqlite"
    place.write_bytes((fine[0] / "results.sqlite").read_bytes())
    with sqlite3.connect(place) as other:
        other.execute("UPDATE trial SET seconds = -1 WHERE trial = 3")
    other.close()
    options = {**OPTIONS, "thickness_nm": np.linspace(*RANGE, 5), "interpolate": True}
    alone, helped = (qc.sweep(network, "3nm", **options, reuse=reuse) for reuse in ((), [place]))
    assert csv_text(helped.to_frame()) == csv_text(alone.to_frame())
    assert sum("spoiled" in note and "not as it was written" in note for note in helped.warnings) == 1
    assert alone.warnings == tuple(note for note in helped.warnings if "spoiled" not in note)
