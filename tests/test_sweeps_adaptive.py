"""Knots, interpolation, bisection and reuse, on a tiny network; the slow twin is a sweep that measures every point."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError, StoreError
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.sweeps.outputs import csv_text

OPTIONS = {"budgets": (0.125, 0.3), "trials": 40}
RANGE = (1.73, 2.1)
FILES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png")


@pytest.fixture(scope="module")
def network(tiny_workload):
    return tiny_workload


@pytest.fixture(scope="module")
def fine(network, tmp_path_factory):
    """An interpolated sweep of many thicknesses; whoever needs its knots again takes them from its folder."""
    folder = tmp_path_factory.mktemp("fine")
    return folder, qc.sweep(network, "3nm", np.linspace(*RANGE, 60), out=folder, **OPTIONS)


@pytest.fixture(scope="module")
def dense(network):
    """The slow twin: every point of a narrow grid about the crossings measured, with the trials of the others."""
    return qc.sweep(network, "3nm", np.linspace(1.74, 1.90, 41), interpolate=False, refine=False, **OPTIONS)


@pytest.fixture(scope="module")
def found(network):
    return qc.find_frontier(network, "3nm", RANGE, budgets=OPTIONS["budgets"], max_trials=40)


def mixed_card():
    return qc.load_card("3nm").with_field("bit_planes", {7: {"barrier": {"thickness_nm": 1.9}}})


def test_many_thicknesses_cost_what_few_cost(network, fine):
    few = qc.sweep(network, "3nm", np.linspace(*RANGE, 3), interpolate=True, reuse=[fine[0]], **OPTIONS)
    assert (few.tasks, few.counts.trials, few.new_trials) == (fine[1].tasks, fine[1].counts.trials, 0)
    assert len(fine[1].to_frame()) == 60 * 4
    assert fine[1].knots is not None
    assert fine[1].tasks < 80  # 240 points


def test_more_than_48_thicknesses_are_interpolated_unless_told_otherwise(network):
    grid = np.linspace(1.9, 2.1, 49)
    options = {"budgets": [0.3], "methods": ["tac"], "trials": 2}
    assert qc.sweep(network, "3nm", grid, **options).interpolated
    assert not qc.sweep(network, "3nm", grid[:48], **options).interpolated
    assert not qc.sweep(network, "3nm", grid, interpolate=False, **options).interpolated
    with pytest.raises(InputError, match="always bisects"):
        qc.sweep(network, "3nm", grid, refine=False, **options)


def test_a_grid_is_refined_where_it_crosses_the_target(network, fine):
    """The frontier of a coarse grid is that of the knots; without the refinement it depends on the grid."""
    coarse = np.array([1.73, 1.78, 1.9, 2.1])
    refined = qc.sweep(network, "3nm", coarse, reuse=[fine[0]], **OPTIONS)
    plain = qc.sweep(network, "3nm", coarse, refine=False, reuse=[fine[0]], **OPTIONS)
    assert csv_text(refined.to_frame()) == csv_text(plain.to_frame())
    assert plain.knots is None
    assert len(plain.to_frame()) < len(refined.knots) < 2.5 * len(fine[1].knots)
    exact, quick, rough = (one.frontier().to_frame().thickness_nm for one in (fine[1], refined, plain))
    assert np.abs(quick - exact).max() < 0.003
    assert np.abs(rough - exact).max() > 0.01


@pytest.mark.parametrize("card", ["3nm", mixed_card()])
def test_interpolated_rows_agree_with_measured_ones(network, fine, card):
    """Same trials, nested flips: what is left is the error of interpolation, inside its allowance."""
    grid = np.linspace(1.75, 1.95, 9)
    direct = qc.sweep(network, card, grid, **OPTIONS).to_frame()
    between = qc.sweep(network, card, grid, interpolate=True, reuse=[fine[0]], **OPTIONS).to_frame()
    assert list(between.columns) == list(direct.columns)
    for name in ("thickness_nm", "flip_probability", "method", "budget", "clean_accuracy"):
        assert between[name].tolist() == direct[name].tolist()
    assert ((between.accuracy_low <= direct.accuracy) & (direct.accuracy <= between.accuracy_high)).all()
    np.testing.assert_allclose(between.accuracy, direct.accuracy, rtol=0.0, atol=0.03)
    assert np.abs(between.accuracy - direct.accuracy).mean() < 0.006
    np.testing.assert_allclose(between.nominal_ber, direct.nominal_ber, rtol=1e-9, atol=0.0)  # a plan's is a line in p
    assert between.realised_ber.isna().all()


def test_knots_are_measured_points(network, fine):
    knots = fine[1].knots
    rows = knots[knots.realised_ber.notna() & (knots.accuracy < 0.97)]
    assert len(rows) > 8
    for row in rows.iloc[::5].itertuples():
        plan = qc.plan(network, row.method, row.flip_probability, row.budget)
        result = qc.evaluate(network, plan, row.flip_probability, trials=40)
        assert (row.accuracy, row.accuracy_low, row.accuracy_high) == (result.accuracy, result.low, result.high)
        assert (row.realised_ber, row.nominal_ber) == (result.realised_ber, result.nominal_ber)
        physics = qc.flip_probability(qc.load_card("3nm"), row.thickness_nm).probability
        assert physics == pytest.approx(row.flip_probability, rel=1e-12, abs=0.0)


def test_the_frontier_of_knots_is_that_of_a_dense_grid(dense, fine):
    slow, quick = (result.frontier().to_frame() for result in (dense, fine[1]))
    assert quick[["method", "budget", "status"]].equals(slow[["method", "budget", "status"]])
    np.testing.assert_allclose(quick.thickness_nm, slow.thickness_nm, rtol=0.0, atol=0.004)
    for end in ("thickness_low_nm", "thickness_high_nm"):
        np.testing.assert_allclose(quick[end], slow[end], rtol=0.0, atol=0.006)


def test_bisection_finds_the_same_frontier_with_a_fraction_of_the_trials(dense, found):
    bisected, table = found.frontier().to_frame(), dense.frontier().to_frame()
    np.testing.assert_allclose(bisected.thickness_nm, table.thickness_nm, rtol=0.0, atol=0.004)
    assert (bisected.thickness_low_nm <= bisected.thickness_nm).all()
    assert (bisected.thickness_nm <= bisected.thickness_high_nm).all()
    assert found.counts.trials * 3 < dense.counts.trials


def test_a_point_is_left_once_it_is_decided(found):
    rule = found.options.stopping
    assert rule.threshold == 0.95 * found.clean_accuracy
    points = found.to_frame()
    far = (points.accuracy - rule.threshold).abs() > 0.2
    assert far.sum() >= 3
    assert (points.trials[far] == 20).all()
    assert points.trials.max() > 20


def test_a_search_answers_what_it_has_looked_for_and_nothing_else(found):
    assert len(found.frontier(0.95).to_frame()) == 4
    with pytest.raises(InputError, match="another target"):
        found.frontier(0.5)
    with pytest.raises(InputError, match="not measured at the same thicknesses"):
        found.frontier().smallest_budgets()
    assert found.to_frame().realised_ber.notna().all()


def test_rows_hold_what_is_measured_far_from_the_crossing_and_above_one_half(network):
    """Where knots are far apart and where accuracy rises again: TAC from p = 0.97 to 1e-5, off the knots."""
    grid = np.concatenate([np.linspace(1.64, 1.74, 6), np.linspace(1.76, 1.95, 7)])
    options = {"budgets": (0.02, 0.125, 0.3), "methods": ["tac"], "trials": 40, "refine": None}
    direct = qc.sweep(network, "3nm", grid, interpolate=False, **options).to_frame()
    between = qc.sweep(network, "3nm", grid, interpolate=True, **options).to_frame()
    assert direct.flip_probability.max() > 0.95
    apart = (between.accuracy_low > direct.accuracy_high) | (between.accuracy_high < direct.accuracy_low)
    assert not apart.any()
    outside = (between.accuracy_low > direct.accuracy) | (direct.accuracy > between.accuracy_high)
    assert outside.sum() <= 0.05 * len(direct)


def test_one_thickness_is_measured_as_it_is(network):
    result = qc.sweep(network, mixed_card(), [10.0], [0.3], ["tac"], trials=2, interpolate=True)
    assert (result.interpolated, len(result.to_frame())) == (False, 1)


def test_the_ends_of_the_range_bound_the_answer(network):
    found = qc.find_frontier(network, "3nm", (1.9, 2.1), budgets=[0.3], methods=["tac"], max_trials=20)
    row = found.frontier().to_frame().iloc[0]
    assert (row.status, row.thickness_nm) == ("at-or-below-range", 1.9)
    found = qc.find_frontier(network, "3nm", (1.6, 1.7), budgets=[0.125], methods=["tac"], max_trials=20)
    assert found.frontier().to_frame().iloc[0].status == "beyond-range"


def test_threads_a_kill_and_a_second_run_change_nothing(network, fine, tmp_path):
    """Stopped in the middle by what shows the progress, then run again, on threads both times."""
    class Stop(Exception):
        pass

    def stop_in_the_middle(progress):
        if progress.trials > 300:
            raise Stop

    options = {"thickness_nm": np.linspace(*RANGE, 60), "out": tmp_path, **OPTIONS}
    with ThreadPoolExecutor(3) as pool, pytest.raises(Stop):
        qc.sweep(network, "3nm", executor=pool, progress=stop_in_the_middle, **options)
    with ThreadPoolExecutor(3) as pool:
        again = qc.sweep(network, "3nm", executor=pool, **options)
    assert 0 < again.new_trials < again.counts.trials
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (fine[0] / name).read_bytes(), name
    assert qc.sweep(network, "3nm", **options).new_trials == 0


def test_a_second_card_over_the_same_plans_costs_nothing_new(network, fine, tmp_path):
    first, other = qc.load_card("3nm"), qc.load_card("3nm").with_field("barrier.height_eV", 3.4)
    ends = [qc.thickness_for(other, float(qc.flip_probability(first, end).probability)) for end in RANGE]
    grid = np.linspace(*ends, 33)
    second = qc.sweep(network, other, grid, interpolate=True, out=tmp_path, reuse=[fine[0]], **OPTIONS)
    assert (second.new_trials, second.borrowed_trials) == (0, fine[1].counts.trials)
    alone = qc.sweep(network, other, grid, interpolate=True, **OPTIONS)
    assert alone.new_trials > 0
    assert csv_text(alone.to_frame()) == csv_text(second.to_frame())
    first_frontier, second_frontier = fine[1].frontier().to_frame(), second.frontier().to_frame()
    np.testing.assert_allclose(second_frontier.flip_probability, first_frontier.flip_probability, rtol=0.05, atol=0.0)
    assert (second_frontier.thickness_nm < first_frontier.thickness_nm).all()


def test_a_lender_is_not_written_to_and_what_it_lent_is_kept(network, fine, tmp_path):
    before = (fine[0] / "results.sqlite").read_bytes()
    qc.sweep(network, "3nm", np.linspace(*RANGE, 5), interpolate=True, out=tmp_path, reuse=[fine[0]], **OPTIONS)
    assert (fine[0] / "results.sqlite").read_bytes() == before
    again = qc.sweep(network, "3nm", np.linspace(*RANGE, 5), interpolate=True, out=tmp_path, **OPTIONS)
    assert (again.new_trials, again.borrowed_trials) == (0, 0)
    both = qc.sweep(network, "3nm", np.linspace(*RANGE, 5), interpolate=True, out=tmp_path, reuse=[fine[0]], **OPTIONS)
    assert (both.new_trials, both.borrowed_trials) == (0, 0)


def test_progress_counts_on_over_the_rounds(network):
    seen = []
    result = qc.find_frontier(network, "3nm", RANGE, [0.3], ["tac"], max_trials=20, progress=seen.append)
    for stage in ("plans", "trials"):
        states = [state for state in seen if state.stage == stage]
        assert [state.done for state in states] == sorted(state.done for state in states)
        assert states[-1].done == states[-1].total >= result.tasks
    assert max(state.trials for state in seen) == result.new_trials


@pytest.mark.parametrize("place", ["nowhere", "empty", "text"])
def test_what_is_no_store_cannot_lend(network, tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one")
    with pytest.raises(StoreError, match=r"reuse|not a result store"):
        qc.sweep(network, "3nm", [1.8], [0.3], trials=2, reuse=[tmp_path / place])
    assert (tmp_path / "text").read_text().startswith("not a database")


def test_the_record_says_what_was_interpolated(fine, tmp_path, network):
    assert json.loads((fine[0] / "run.json").read_text())["interpolated"] is True
    assert (fine[0] / "knots.csv").read_text() == csv_text(fine[1].knots)
    qc.sweep(network, "3nm", [1.8, 1.9], out=tmp_path, interpolate=True, reuse=[fine[0]], **OPTIONS)
    qc.sweep(network, "3nm", [1.8, 1.9], out=tmp_path, reuse=[fine[0]], **OPTIONS)
    assert json.loads((tmp_path / "run.json").read_text())["interpolated"] is False
    assert (tmp_path / "knots.csv").exists()
    qc.sweep(network, "3nm", [1.8, 1.9], out=tmp_path, refine=False, **OPTIONS)
    assert not (tmp_path / "knots.csv").exists()


def test_a_frontier_looks_at_its_knots():
    row = {"flip_probability": 0.1, "method": "tac", "budget": 0.05, "overhead": 0.05, "clean_accuracy": 1.0}
    coarse = pd.DataFrame([{**row, "thickness_nm": d, "accuracy": a, "accuracy_low": a, "accuracy_high": a}
                           for d, a in ((1.0, 0.0), (2.0, 1.0))])
    knots = pd.DataFrame([{**row, "thickness_nm": d, "accuracy": a, "accuracy_low": a, "accuracy_high": a}
                          for d, a in ((1.0, 0.0), (1.9, 0.5), (2.0, 1.0))])
    assert Frontier(coarse, 0.5).to_frame().thickness_nm.tolist() == [1.5]
    assert Frontier(coarse, 0.5, knots=knots).to_frame().thickness_nm.tolist() == [1.9]


def test_one_end_is_no_range(network):
    with pytest.raises(InputError):
        qc.find_frontier(network, "3nm", (1.8, 1.8))
    with pytest.raises(InputError, match="no range"):
        qc.find_frontier(network, "3nm", 1.8)


def test_the_command(codesign, network, tmp_path):
    done = codesign("frontier", "--device", "3nm", "--workload", network.source, "--thickness", "1.73:2.1", "--budget",
                    "0.3", "--max-trials", 20, "--workers", 1, "--out", tmp_path / "run")
    assert (done.code, "note:" in done.stderr) == (0, False)
    assert done.stderr.startswith("loading ")
    assert "Thinnest oxide (nm)" in done.stdout
    assert "Smallest ECC" not in done.stdout
    direct = qc.find_frontier(network, "3nm", (1.73, 2.1), [0.3], max_trials=20).frontier().to_frame()
    assert (tmp_path / "run" / "frontier.csv").read_text() == csv_text(direct)
    assert "decided" in json.dumps(json.loads((tmp_path / "run" / "run.json").read_text())["stopping"])
    bad = codesign("frontier", "--device", "3nm", "--thickness", "1.73:2.1:9")
    assert (bad.code, "A:B" in bad.stderr) == (2, True)


def test_sweeps_beside_the_default_folder_are_reused(codesign, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("--workload", network.source, "--budget", "0.3", "--method", "tac", "--workers", 1)
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "results.sqlite").write_text("this is no database at all, only some text in a file")
    sweep = ("sweep", "--device", "3nm", "--thickness", "1.73:2.1:60", "--trials", 10, *common)
    first = codesign(*sweep)
    assert (first.code, "from other sweeps" in first.stdout) == (0, False)
    assert "broken are not reused" in first.stderr
    (tmp_path / "runs" / "3nm-tiny-make").rename(tmp_path / "runs" / "before")
    second = codesign(*sweep)
    assert "; 0 run now, " in second.stdout
    assert "from other sweeps" in second.stdout
