"""The sweep as a whole, on a tiny network: what is in the table, what changes it, and what does not."""

from __future__ import annotations

import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.sweeps.grid import thickness_grid
from qtaml_codesign.sweeps.jobs import task_for, trials_of
from qtaml_codesign.sweeps.outputs import csv_text
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.tac.evaluation import deploy_plan

GRID = (1.73, 1.78, 1.9)
OPTIONS = {"thickness_nm": GRID, "budgets": (0.125, 0.3), "trials": 6}
POINT = {"thickness_nm": (1.78,), "budgets": (0.3,), "methods": ("tac",), "trials": 6}
FILES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png")


@pytest.fixture(scope="module")
def network(tiny_workload):
    return tiny_workload


@pytest.fixture(scope="module")
def base(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, qc.sweep(network, "3nm", out=folder, **OPTIONS)


@pytest.fixture(scope="module")
def point(network):
    """The rows of one point."""
    return qc.sweep(network, "3nm", **POINT).to_frame()


def table(network, card="3nm", **changes):
    return csv_text(qc.sweep(network, card, **{**OPTIONS, **changes}).to_frame())


def test_columns_order_and_row_order(base):
    frame = base[1].to_frame()
    assert ",".join(frame.columns) == (
        "thickness_nm,flip_probability,method,budget,overhead,accuracy,accuracy_low,accuracy_high,trials,"
        "clean_accuracy,nominal_ber,realised_ber,image_half_width"
    )
    wanted = [(m, b, t) for m in ("tac", "uniform-msp") for b in (0.125, 0.3) for t in GRID]
    assert list(zip(frame.method, frame.budget, frame.thickness_nm, strict=True)) == wanted


def test_each_point_agrees_with_plan_and_evaluate(base, network):
    """The sweep is no second engine: the same figures come from the two public functions."""
    for row in base[1].to_frame().itertuples():
        flip = qc.flip_probability(qc.load_card("3nm"), row.thickness_nm)
        plan = qc.plan(network, row.method, flip, row.budget, seed=0)
        result = qc.evaluate(network, plan, flip, trials=6, seed=0)
        assert (row.accuracy, row.accuracy_low, row.accuracy_high) == (result.accuracy, result.low, result.high)
        assert (row.realised_ber, row.nominal_ber) == (result.realised_ber, result.nominal_ber)
        assert (row.overhead, row.flip_probability, row.trials) == (plan.overhead, flip.probability, 6)


def test_seed_keys_plan_and_trials(network):
    flip = qc.flip_probability(qc.load_card("3nm"), 1.78)
    for seed in (3, 4):
        row = qc.sweep(network, "3nm", [1.78], [0.3], ["random"], seed=seed, trials=4).to_frame().iloc[0]
        plan = qc.plan(network, "random", flip, 0.3, seed=seed)
        assert row.accuracy == qc.evaluate(network, plan, flip, trials=4, seed=seed).accuracy
        assert row.overhead == plan.overhead


@pytest.mark.parametrize(("method", "budget"), [("tac", 0.3), ("mean-only", 0.0)])
def test_a_task_deploys_what_evaluate_deploys(network, method, budget):
    flip = qc.flip_probability(qc.load_card("3nm"), 1.75)
    plan = qc.plan(network, method, flip, budget)
    assert method == "tac" or all(plan.mean_correction.values())
    errors = qc.BitErrorProfile.from_flip_probability(flip).assign(list(network.weights))
    sent = pickle.loads(pickle.dumps(task_for(network.digest, plan, errors, 0)))
    expected = Trials(network, deploy_plan(network, plan, flip), 0).run(3)
    assert replace(trials_of(network, sent).run(3), seconds=0.0) == replace(expected, seconds=0.0)
    assert [group.codec for group in sent.groups] == list(plan.codecs.values())
    assert {group.name: group.law for group in sent.groups} == errors


def test_thin_oxide_hurts_and_protection_helps(base):
    frame = base[1].to_frame().set_index(["method", "budget", "thickness_nm"])
    assert frame.loc[("tac", 0.125, 1.73), "accuracy"] < frame.loc[("tac", 0.125, 1.9), "accuracy"]
    assert frame.loc[("tac", 0.125, 1.78), "accuracy"] < frame.loc[("tac", 0.3, 1.78), "accuracy"]
    assert ((frame.accuracy_low <= frame.accuracy) & (frame.accuracy <= frame.accuracy_high)).all()
    many = frame[frame.flip_probability > 0.02]
    assert len(many) == 8
    assert ((many.realised_ber / many.nominal_ber - 1.0).abs() < 0.2).all()


def test_files_hold_the_same_numbers_in_full(base):
    folder, result = base
    exact = dict.fromkeys(set(result.to_frame().columns) - {"method", "trials"}, float)
    back = pd.read_csv(folder / "sweep.csv", converters=exact)
    pd.testing.assert_frame_equal(back, result.to_frame(), check_exact=True)
    knots = pd.read_csv(folder / "knots.csv", converters=exact)
    pd.testing.assert_frame_equal(knots, result.knots, check_exact=True)
    again = qc.Frontier(back, 0.95, result.frontier().flip_law, knots).to_frame()
    assert csv_text(again) == (folder / "frontier.csv").read_text()
    assert (folder / "frontier.csv").read_text().startswith(
        "method,budget,overhead,thickness_nm,thickness_low_nm,thickness_high_nm,flip_probability,status,"
        "image_low_nm,image_high_nm\n"
    )
    assert {path.name for path in folder.iterdir()} == {*FILES, "run.json", "results.sqlite"}
    assert b"\r" not in (folder / "sweep.csv").read_bytes()


def test_record_of_the_run(base):
    folder, result = base
    record = json.loads((folder / "run.json").read_text())
    assert record["card"]["barrier"]["height_eV"] == qc.load_card("3nm").barrier.height_eV
    assert record["workload"]["digest"] == result.workload_digest
    assert record["thickness_nm"] == list(GRID)
    assert record["stopping"] == {"rule": "fixed", "trials": 6, "confidence": 0.95}
    assert {"python", "numpy", "torch", "numba", "scipy"} <= set(record["versions"])
    assert record["workload"]["clean_accuracy_low"] < record["workload"]["clean_accuracy"] == 1.0
    assert (record["seed"], record["budgets"], record["target"]) == (0, [0.125, 0.3], 0.95)
    assert record["command"]


def test_again_runs_nothing_and_writes_the_same_bytes(base, network):
    folder, result = base
    before = {name: (folder / name).read_bytes() for name in (*FILES, "run.json")}
    with ResultStore(folder / "results.sqlite") as store:
        rows = store.count_trials()
    again = qc.sweep(network, "3nm", out=folder, **OPTIONS)
    assert (result.new_trials > 0, again.new_trials) == (True, 0)
    with ResultStore(folder / "results.sqlite") as store:
        assert store.count_trials() == rows == result.tasks * 6
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_points_that_store_the_same_share_their_trials(network):
    """Uniform-MSP at 1 % and 5 % both protect nothing; so does `none`."""
    result = qc.sweep(network, "3nm", [1.75], [0.01, 0.05], ["uniform-msp", "none"], trials=3)
    assert (len(result.to_frame()), result.tasks, result.new_trials) == (3, 1, 3)
    assert result.to_frame().accuracy.nunique() == 1


def test_what_else_the_folder_holds_changes_nothing(base, network, tmp_path):
    qc.sweep(network, "3nm", out=tmp_path, **{**OPTIONS, "trials": 40})
    qc.sweep(network, "7nm", [1.7], [0.3], out=tmp_path, trials=2)
    assert qc.sweep(network, "3nm", out=tmp_path, refine=False, **OPTIONS).new_trials == 0
    result = qc.sweep(network, "3nm", out=tmp_path, **OPTIONS)
    assert 0 < result.new_trials < result.counts.trials
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (base[0] / name).read_bytes()


def test_an_executor_of_the_caller_gives_the_same_bytes(base, network, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        qc.sweep(network, "3nm", out=tmp_path, executor=executor, **OPTIONS)
        assert executor.submit(max, 1, 2).result() == 2
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (base[0] / name).read_bytes()


def test_adaptive_rule_uses_the_first_trials_only(network, tmp_path):
    adaptive = {"thickness_nm": [1.74, 2.0], "budgets": [0.25], "half_width": 0.03, "max_trials": 80}
    first = qc.sweep(network, "3nm", out=tmp_path, **adaptive).to_frame()
    assert first.trials.nunique() > 1
    assert set(first.trials) <= {10, 20, 40, 80}
    qc.sweep(network, "3nm", [1.74, 2.0], [0.25], out=tmp_path, trials=100)
    again = qc.sweep(network, "3nm", out=tmp_path, **adaptive)
    pd.testing.assert_frame_equal(first, again.to_frame(), check_exact=True)
    assert again.new_trials == 0


CHANGES = {
    "thickness": {"thickness_nm": (1.79,)}, "budgets": {"budgets": (0.125,)}, "methods": {"methods": ("uniform-msp",)},
    "seed": {"seed": 1}, "trials": {"trials": 7}, "half_width": {"trials": None, "half_width": 0.4},
    "card": {"card": "2nm_gaa"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_choice_changes_the_table(point, network, name):
    changed = {"card": "3nm", **POINT, **CHANGES[name]}
    assert qc.sweep(network, **changed).to_frame().accuracy.tolist() != point.accuracy.tolist()


def test_half_width_and_limit_each_change_the_number_of_trials(network):
    point = {"thickness_nm": [1.75], "budgets": [0.2], "methods": ["tac"], "trials": None}
    runs = [qc.sweep(network, "3nm", **point, **more).to_frame().trials[0]
            for more in ({"half_width": 0.001, "max_trials": 15}, {"half_width": 0.001, "max_trials": 30},
                         {"half_width": 0.3, "max_trials": 30})]
    assert runs == [15, 30, 20]


def test_target_moves_the_frontier(base):
    result = base[1]
    low, high = (result.frontier(target).to_frame().thickness_nm for target in (0.6, 0.95))
    assert (low < high).any()
    pd.testing.assert_frame_equal(result.frontier().to_frame(), result.frontier(0.95).to_frame())


@pytest.mark.parametrize(("field", "value"), [
    ("cell.electrons", 80), ("cell.flip_threshold", 6), ("window_s", 3e-6), ("cell.attempt_frequency_Hz", 9e13),
    ("barrier.height_eV", 3.3), ("barrier.effective_mass_m0", 0.42), ("barrier.electron_energy_eV", 0.2),
    ("storage.bits", 6), ("storage.encoding", "sign_magnitude"), ("flips", "charge_loss"),
])
def test_each_card_field_reaches_the_accuracy(point, network, field, value):
    card = qc.load_card("3nm").with_field(field, value)
    assert card != qc.load_card("3nm")
    assert not qc.sweep(network, card, **POINT).to_frame().accuracy.equals(point.accuracy)


def test_allocation_is_part_of_the_plan_and_of_its_name(base, network):
    folder = base[0]
    exact = qc.sweep(network, "3nm", allocation="exact", **OPTIONS)
    assert exact.options.allocation == "exact"
    with ResultStore(folder / "results.sqlite") as store:
        before = set(store.plans())
    qc.sweep(network, "3nm", out=folder, allocation="exact", **OPTIONS)
    with ResultStore(folder / "results.sqlite") as store:
        fresh = [json.loads(text) for key, text in store.plans().items() if key not in before]
    assert {plan["allocation"] for plan in fresh if plan["method"] == "tac"} == {"exact"}
    qc.sweep(network, "3nm", out=folder, **OPTIONS)


def test_no_flips_at_all_is_the_quantised_network(network):
    result = qc.sweep(network, "sram_6t", [3.0], [0.125], ["tac", "uniform-msp", "none"], trials=2)
    assert list(result.to_frame().flip_probability) == [0.0] * 3
    assert list(result.to_frame().realised_ber) == [0.0] * 3
    assert result.counts.bits_exposed > 0
    assert result.counts.bits_flipped == 0


def test_every_bit_protected(network):
    frame = qc.sweep(network, "3nm", [1.75], [1.0], ["uniform-msp"], trials=2).to_frame()
    assert frame.overhead[0] == 1.0
    assert math.isnan(frame.realised_ber[0])
    assert frame.accuracy[0] > 0.95


def test_default_grid_covers_the_range_of_the_card():
    card = qc.load_card("3nm")
    grid = thickness_grid(card)
    assert (grid[0], grid[-1]) == card.sweep.thickness_nm
    assert card.barrier.thickness_nm in grid
    chances = qc.flip_probability(card, grid).probability
    for wanted in (0.3, 0.15, 0.01, 1e-3, 1e-6):
        assert np.isclose(chances, wanted, rtol=1e-9, atol=0).any()
    assert (np.diff(grid) > 0.001).all()
