"""Sweeps of methods that spend cells per weight: what names a curve, what the tables hold, and what stays as it was."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.cards import with_settings
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.codecs.registry import CODECS
from qtaml_codesign.errors import InputError
from qtaml_codesign.report import sweep_report
from qtaml_codesign.sweeps.jobs import PlanRequest
from qtaml_codesign.sweeps.options import sweep_options
from qtaml_codesign.sweeps.outputs import csv_text
from qtaml_codesign.tac.choices import Choice, choices_of, curve_columns
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.plan import TacPlan, weights_digest
from qtaml_codesign.tac.stores import STORES
from tests.conftest import tiny_network

METHOD = "channel-optimised"
GRID = (1.74, 1.79, 1.9)
OPTIONS = {"thickness_nm": GRID, "budgets": (0.0, 0.25), "cells": (6, 3), "methods": (METHOD, "tac"), "trials": 5}
FILES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png")
NETWORK = tiny_network()
NOWHERE = "nowhere.py:make"


@dataclass(frozen=True)
class Words(PlaneProtected):
    """Codes of as many bits as there are cells, which flip as those of the card do, from the first one on."""

    def cell_law(self, law):
        down, up = (np.resize(rates, self.format.bits) for rates in (law.one_to_zero, law.zero_to_one))
        return replace(law, format=self.format, one_to_zero=down, zero_to_one=up)

    def to_json(self):
        return {**super().to_json(), "codec": "words"}


def store_of_words(request):
    """A plan that holds every tensor in words of as many cells as are asked for."""
    layers = tuple(
        StoredLayer(name=name, weights=weight.size, jacobian_gain=None, score=None,
                    codec=Words.fitted(weight, BitFormat(int(request.cells))))
        for name, weight in request.workload.weights.items()
    )
    return TacPlan(
        method=request.method, workload=request.workload.name, weights_digest=weights_digest(request.workload.weights),
        budget=request.budget, seed=request.seed, allocation="none", sensitivity="none", rho_star=None,
        predicted_variance=None, uniform_variance=None, layers=layers, warnings=(), cells=request.cells,
    )


@pytest.fixture(scope="module", autouse=True)
def a_store():
    """A method that spends cells, whatever this version designs for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STORES, METHOD, store_of_words)
        patch.setitem(CODECS, "words", Words.from_json)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, qc.sweep(NETWORK, "3nm", out=folder, **OPTIONS)


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_cells_stand_after_the_budget_and_name_the_curve(whole):
    frame = whole[1].to_frame()
    assert list(frame.columns)[:6] == ["thickness_nm", "flip_probability", "method", "budget", "cells", "overhead"]
    curves = [(METHOD, 0.0, 3.0), (METHOD, 0.0, 6.0), ("tac", 0.0, 8.0), ("tac", 0.25, 8.0)]
    rows = list(zip(frame.method, frame.budget, frame.cells, frame.thickness_nm, strict=True))
    assert rows == [(*curve, nm) for curve in curves for nm in GRID]
    assert whole[1].options.to_json()["cells"] == [3.0, 6.0]
    for name in ("sweep.csv", "knots.csv", "frontier.csv"):
        table = pd.read_csv(whole[0] / name)
        assert curve_columns(table.columns) == ["method", "budget", "cells"]
        assert [tuple(one) for one in choices_of(table)] == curves


def test_each_point_agrees_with_plan_and_evaluate(whole):
    for row in whole[1].to_frame().query("method == @METHOD").itertuples():
        flip = qc.flip_probability(qc.load_card("3nm"), row.thickness_nm)
        plan = qc.plan(NETWORK, METHOD, flip, cells=row.cells)
        result = qc.evaluate(NETWORK, plan, flip, trials=5)
        assert plan.cells_per_weight == row.cells
        assert (row.accuracy, row.accuracy_low, row.accuracy_high) == (result.accuracy, result.low, result.high)
        assert (row.realised_ber, row.overhead) == (result.realised_ber, 0.0)


def test_methods_of_the_paper_keep_their_rows_and_their_files(whole, tmp_path):
    """Beside a method that spends cells they gain a column, alone not a byte."""
    alone = qc.sweep(NETWORK, "3nm", out=tmp_path, **{**OPTIONS, "methods": ("tac",), "cells": None})
    for name in ("sweep.csv", "knots.csv", "frontier.csv"):
        assert "cells" not in (tmp_path / name).read_text()
    record = json.loads((tmp_path / "run.json").read_text())
    assert "cells" not in json.dumps([record["options"], record["units"], record["card_ranges"]])
    both = whole[1]
    for one, beside in ((alone.to_frame(), both.to_frame()), (alone.knots, both.knots),
                        (alone.frontier().to_frame(), both.frontier().to_frame())):
        beside = beside[beside.method == "tac"]
        assert (beside["cells"] == 8.0).all()
        assert csv_text(beside.drop(columns="cells")) == csv_text(one)


def killed_after(settled, folder):
    """In a process of its own, which kills itself when so many tasks have settled."""
    def watch(state):
        nonlocal settled
        settled -= state.settled is not None
        if settled < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    qc.sweep(NETWORK, "3nm", out=folder, progress=watch, **OPTIONS)


def test_a_killed_sweep_goes_on_to_the_same_bytes(whole, tmp_path):
    for settled in (0, 4):
        child = multiprocessing.get_context("fork").Process(target=killed_after, args=(settled, tmp_path))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "sweep.csv").exists()
    resumed = qc.sweep(NETWORK, "3nm", out=tmp_path, **OPTIONS)
    assert 0 < resumed.new_trials < resumed.counts.trials
    assert bytes_of(tmp_path) == bytes_of(whole[0])
    assert qc.sweep(NETWORK, "3nm", out=tmp_path, **OPTIONS).new_trials == 0


def test_workers_change_nothing(whole, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        qc.sweep(NETWORK, "3nm", out=tmp_path, executor=executor, **OPTIONS)
    assert bytes_of(tmp_path) == bytes_of(whole[0])


def test_another_sweep_lends_the_cells_that_both_ask_for(whole):
    asked = {"thickness_nm": GRID, "cells": (6, 4), "methods": METHOD, "trials": 5, "refine": False}
    more = qc.sweep(NETWORK, "3nm", reuse=[whole[0]], **asked)
    assert (more.borrowed_trials, more.new_trials) == (5 * len(GRID), 5 * len(GRID))


def test_cells_name_the_plan_and_their_absence_keeps_old_names():
    law = qc.BitErrorProfile.uniform(0.1)
    requests = [PlanRequest("digest", METHOD, 0.0, 0, "greedy", "auto", law, cells) for cells in (None, 3.0, 6.0)]
    assert len({request.request_id for request in requests}) == 3


def test_an_interpolated_sweep_and_a_search_have_curves_by_cells():
    grid = np.linspace(1.73, 1.97, 50)
    between = qc.sweep(NETWORK, "3nm", grid, cells=[6, 8], methods=[METHOD], half_width=0.1, max_trials=10)
    assert between.interpolated
    assert between.to_frame().groupby("cells").size().to_dict() == {6.0: 50, 8.0: 50}
    found = qc.find_frontier(NETWORK, "3nm", cells=[6, 8], methods=[METHOD], max_trials=20).frontier().to_frame()
    assert list(found.cells) == [6.0, 8.0]
    both = between.frontier().to_frame()
    assert np.allclose(both.thickness_nm, found.thickness_nm, atol=0.02)


def test_the_default_is_as_many_cells_as_plain_codes_take():
    assert sweep_options(qc.load_card("3nm"), methods=METHOD).curves == (Choice(METHOD, 0.0, 8.0),)
    assert sweep_options(qc.load_card("3nm"), methods="tac").cells == ()


REFUSED = {
    "no method spends them": ({"cells": 4, "methods": "tac"}, "none of the methods spends cells"),
    "twice": ({"cells": (4, 4.0)}, "names one twice"), "none": ({"cells": ()}, "is empty"),
    "nought": ({"cells": 0}, "0.1 <= cells per weight"), "not a number": ({"cells": (4, math.nan)}, "not a number"),
    "text": ({"cells": "4"}, "not a number"), "too many": ({"cells": 65}, "out of bounds"),
    "a budget that nothing spends": ({"budgets": 0.1}, "none of the methods spends a budget"),
}


@pytest.mark.parametrize("function", [qc.sweep, qc.find_frontier])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_or_changes_nothing_is_refused_before_anything_is_loaded(function, name):
    asked, words = REFUSED[name]
    with pytest.raises(InputError, match=words):
        function(NOWHERE, "3nm", **{"methods": METHOD, **asked})


def answers(*rows):
    """A table with these (method, budget, cells, overhead, accuracy at 1.8 nm, at 2 nm)."""
    return pd.DataFrame([
        {"thickness_nm": nm, "flip_probability": p, "method": method, "budget": budget, "cells": cells,
         "overhead": overhead, "accuracy": accuracy, "accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.01,
         "clean_accuracy": 1.0}
        for method, budget, cells, overhead, *values in rows
        for nm, p, accuracy in zip((1.8, 2.0), (0.1, 0.001), values, strict=True)
    ])


def least_cells(overhead, p):
    """Eight cells and what a code at capacity 1 - h(p) adds to those whose bits are protected."""
    capacity = 1.0 + p * math.log2(p) + (1.0 - p) * math.log2(1.0 - p)
    return 8.0 * (1.0 + overhead * (1.0 / capacity - 1.0))


def test_the_tables_of_the_report_tell_of_both_currencies(whole):
    report = sweep_report(whole[1])
    oxide, smallest = report.tables[0], report.tables[-1]
    p = whole[1].frontier().to_frame().flip_probability.iloc[3]
    assert oxide.title.endswith("for each ECC budget and number of cells per weight")
    assert oxide.columns[:4] == ("method", "budget\n%", "cells\n/weight", "overhead\n%")
    assert [row[:4] for row in oxide.rows] == [
        ("channel-optimised", "-", "3", "0"), ("channel-optimised", "-", "6", "0"), ("TAC", "0", "8", "0"),
        ("TAC", "25", f">= {least_cells(0.25, p):.4g}", "25")]
    assert smallest.columns == ("oxide\nnm", "p", "channel-optimised\ncells", "TAC\n%")
    assert smallest.title.startswith("Smallest ECC overhead (% of stored bits) or number of cells per weight")
    assert smallest.rows[0][2] == "> 6"
    assert smallest.rows[-1][2].strip("~") == "6"


def test_protected_codes_take_at_least_the_cells_of_a_code_at_capacity(whole):
    """Answers at a crossing, at the thin end, at no oxide, and under regions whose cells have rates of their own."""
    rows = answers((METHOD, 0.0, 3.0, 0.0, 0.3, 0.98), ("tac", 0.0, 8.0, 0.0, 0.3, 0.98),
                   ("tac", 0.25, 8.0, 0.2, 0.945, 0.99), ("tac", 0.5, 8.0, 0.5, 0.97, 0.99),
                   ("tac", 0.75, 8.0, 0.0, 0.7, 0.99), ("tac", 1.0, 8.0, 1.0, 0.3, 0.4))
    found = replace(whole[1], points=rows, knots=None)
    p = found.frontier().to_frame().flip_probability.to_list()
    assert 0.001 < p[2] < p[3] == 0.1
    oxide = sweep_report(found).tables[0]
    assert [row[2] for row in oxide.rows] == [
        "3", "8", f">= {least_cells(0.2, p[2]):.4g}", f">= {least_cells(0.5, 0.1):.4g}", "8", "8 + ECC"]
    assert "fewest in which any code holds their protected bits" in oxide.note
    assert "come on top" in oxide.note
    apart = with_settings(found.card, ["bit_planes={7: {barrier: {thickness_nm: 2.0}}}"])
    assert [row[2] for row in sweep_report(replace(found, card=apart)).tables[0].rows] == [
        "3", "8", "8 + ECC", "8 + ECC", "8", "8 + ECC"]


def test_commands_take_lists_of_cells(codesign, tiny, tmp_path):
    common = ("--device", "3nm", "--workload", tiny, "--workers", 1, "--method")
    done = codesign("sweep", *common, f"{METHOD},tac", "--cells", "4,8", "--budget", "10%", "--thickness", "1.75,1.85",
                    "--trials", 3, "--out", tmp_path / "sweep")
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "sweep" / "run.json").read_text())["cells"] == [4.0, 8.0]
    assert "number of cells per weight" in done.stdout
    assert "settled: channel-optimised 4 cells" in done.stderr
    done = codesign("frontier", *common, METHOD, "--cells", "6", "--max-trials", 10, "--out", tmp_path / "frontier")
    assert done.code == 0, done.stderr
    assert pd.read_csv(tmp_path / "frontier" / "frontier.csv").cells.tolist() == [6.0]
    done = codesign("sweep", *common, "tac", "--cells", "4")
    assert (done.code, "cells (--cells)" in done.stderr) == (2, True)
    done = codesign("sweep", *common, METHOD, "--cells", "four")
    assert (done.code, "four is not a number" in done.stderr) == (2, True)
