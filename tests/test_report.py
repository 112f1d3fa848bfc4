"""`codesign report`: what is read back from a run, the page's values and its safety. A browser is elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError, StoreError
from qtaml_codesign.report.contents import answer, contents
from qtaml_codesign.report.page import report_page
from qtaml_codesign.report.runs import read_run
from tests.report_runs import HOSTILE, Elements, finish, hostile_card, scripts_of
from tests.test_physics_portable import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_workload):
    return finish(tmp_path_factory.mktemp("runs") / "small", tiny_workload)


@pytest.fixture(scope="module")
def page(folder):
    return report_page([read_run(folder)])


def content_of(page):
    return json.loads(scripts_of(page)[0])


@pytest.mark.parametrize("other", [
    {"budgets": [0.25], "refine": True},
    {"thickness_nm": np.linspace(1.74, 2.0, 60).tolist(), "budgets": [0.25], "methods": ("tac",), "refine": True},
    {"methods": ("channel-optimised", "tac"), "cells": (2,), "thickness_nm": [1.8, 2.0]},
    {"methods": ("tac", "none"), "sensitivity": "reverse", "seed": 3},
], ids=["grid", "interpolated", "cells", "own options"])
def test_a_run_is_read_back_with_the_plan_of_every_answer(other, tmp_path, tiny_workload):
    run = read_run(finish(tmp_path, tiny_workload, **other))
    assert run.card == qc.load_card("3nm")
    assert len(run.plans) == len(run.frontier)
    for found in run.plans[:4]:
        spent = {"cells": found.choice.cells} if found.choice.spends_cells else {"budget": found.choice.budget}
        more = {"sensitivity": other["sensitivity"]} if "sensitivity" in other and found.choice.method == "tac" else {}
        made = qc.plan(tiny_workload, found.choice.method, found.flip_probability, seed=other.get("seed", 0), **spent,
                       **more)
        assert found.plan.codecs == made.codecs
        assert found.plan.overhead == made.overhead


def test_a_search_for_the_frontier_alone_is_read_too(tmp_path, tiny_workload):
    qc.find_frontier(tiny_workload, "3nm", budgets=[0.05], methods=["tac"], max_trials=10, out=tmp_path)
    run = read_run(tmp_path)
    told = contents(run)
    assert len(run.plans) == 1
    assert told["curves"][0]["points"]["nm"] == sorted(told["curves"][0]["points"]["nm"])


def test_the_answer_is_a_sentence_with_its_interval(folder):
    run = read_run(folder)
    rows = run.frontier[run.frontier["method"] == "tac"]
    row = rows.loc[rows["thickness_nm"].idxmin()]
    assert f"{row['thickness_nm']:.3f} nm" in answer(run)
    assert f"[{row['thickness_low_nm']:.3f},{row['thickness_high_nm']:.3f}]" in answer(run)
    assert "tiny keeps 0.95 × clean accuracy" in answer(run)
    assert answer(run).endswith(".")


def test_ranges_of_the_card_are_told(tmp_path, tiny_workload):
    run = read_run(finish(tmp_path, tiny_workload, "dram_1t1c", thickness_nm=[5.5311, 5.533, 5.536]))
    told, (first, *_) = contents(run)["ranges"], run.record["card_ranges"]
    corner = first["corners"][0]
    assert told[0][3] == corner["field"]
    assert told[0][5] == " to ".join(sorted(f"{corner[f'thickness_at_{end}_nm']:.5f}" for end in ("low", "high")))


def test_limits_of_the_range_are_told_as_limits(tmp_path, tiny_workload):
    none = read_run(finish(tmp_path / "none", tiny_workload, thickness_nm=[1.72, 1.73], budgets=[0.0], methods=["tac"]))
    every = read_run(finish(tmp_path / "all", tiny_workload, thickness_nm=[2.1, 2.2], budgets=[0.0], methods=["tac"]))
    assert "does not keep 0.95 × clean accuracy at any thickness up to 1.7300 nm" in answer(none)
    assert "at every thickness measured, down to 2.100 nm" in answer(every)


def test_the_page_holds_all_it_needs(page):
    assert 1e6 < len(page.encode()) < 6e6
    elements = Elements(page)
    links = [value for _, attributes in elements.tags for name, value in attributes.items()
             if name in ("src", "href", "srcset", "action", "data", "poster")]
    assert links == ["data:,"]
    assert not re.search(r"url\(|@import", "".join(elements.inside("style")))
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", scripts_of(page)[2])
    (policy,) = [attributes["content"] for tag, attributes in elements.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'; ")
    for script in scripts_of(page)[1:]:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy.split("style-src")[0]


def test_the_numbers_in_the_page_give_p_flip(page):
    (run,) = content_of(page)["runs"]
    for nm, window in ((1.74, 1e-6), (1.9, 3e-9), (2.0, 5e-4)):
        log_p = qc.flip_probability(qc.load_card("3nm").with_field("window_s", window), nm).log_probability
        assert np.exp(read(run["flips"], nm, window) - log_p) == pytest.approx(1.0, rel=1e-9)


def test_values_of_the_page_are_those_of_the_tables(page, folder):
    (told,), run = content_of(page)["runs"], read_run(folder)
    curve = told["curves"][0]
    rows = run.measured[(run.measured["method"] == curve["method"]) & (run.measured["budget"] == curve["amount"])]
    rows = rows.sort_values("thickness_nm")
    assert curve["points"]["nm"] == rows["thickness_nm"].tolist()
    assert curve["points"]["value"] == rows["accuracy"].tolist()
    assert curve["points"]["trials"] == rows["trials"].tolist()
    assert [one["nm"] for one in told["answers"]] == run.frontier["thickness_nm"].tolist()
    assert told["plans"][0]["layers"][0]["depth"] == next(iter(run.plans[0].plan.depths.values()))
    assert told["command"] == run.record["command"]
    assert ["window_s", 1e-6, "s"] in [row[:3] for row in told["card"]]


def test_texts_of_users_never_become_markup(page, tmp_path, tiny_workload):
    place = tmp_path / "<b>run<!--"
    hostile = report_page([read_run(finish(place, tiny_workload, hostile_card()))])
    (told,) = content_of(hostile)["runs"]
    assert told["description"] == told["card_name"] == HOSTILE
    assert told["folder"] == str(place)
    assert [tag for tag, _ in Elements(hostile).tags] == [tag for tag, _ in Elements(page).tags]
    assert len(scripts_of(hostile)) == 3
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", scripts_of(page)[2])


def test_several_runs_stand_side_by_side(codesign, folder, tmp_path, tiny_workload):
    other = finish(tmp_path / "other", tiny_workload, "7nm", thickness_nm=[1.7, 1.72, 1.76, 1.8])
    done = codesign("report", folder, other, "--out", tmp_path / "both.html")
    assert done.code == 0, done.stderr
    told = content_of((tmp_path / "both.html").read_text(encoding="utf-8"))
    assert [run["card_name"] for run in told["runs"]] == ["3nm", "7nm"]
    assert len(told["compared"]["rows"]) == 2
    assert (tmp_path / "both.html").stat().st_size < 6e6
    assert done.stdout.startswith(f"{folder}: With ")


def test_the_page_lies_in_the_folder_unless_told_otherwise(codesign, folder):
    assert codesign("report", folder).code == 0
    assert (folder / "report.html").exists()


def broken(folder, place, kind):
    shutil.copytree(folder, place)
    if kind == "unfinished":
        (place / "run.json").unlink()
        (place / "sweep.csv").unlink()
    elif kind == "no run":
        shutil.rmtree(place)
        place.mkdir()
    elif kind == "family":
        shutil.copytree(folder, place / "window_s=1e-06")
        (place / "run.json").unlink()
        (place / "results.sqlite").unlink()
    elif kind == "record":
        (place / "run.json").write_text('{"card": 3}')
    elif kind == "table":
        (place / "sweep.csv").write_text("a,b\n1,2\n")
    else:
        (place / "results.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 9)


@pytest.mark.parametrize(("kind", "words"), [
    ("unfinished", ("this run has not finished", "no run.json, sweep.csv", "goes on from where it stopped")),
    ("no run", ("this is not the folder of a run", "runs/3nm-small-cnn")),
    ("family", ("this is not the folder of a run", "name a folder inside it: window_s=1e-06")),
    ("record", ("a file of the run cannot be read", "run the sweep again")),
    ("table", ("a file of the run cannot be read", "columns")),
    ("store", ("not a result store",)),
])
def test_what_is_no_finished_run_is_refused(codesign, folder, tmp_path, kind, words):
    broken(folder, tmp_path / "run", kind)
    done = codesign("report", tmp_path / "run")
    assert (done.code, done.stdout) == (2, "")
    for word in (*words, "where:", "rule:", "value:", "next:"):
        assert word in done.stderr
    with pytest.raises(StoreError):
        read_run(tmp_path / "run")


def test_a_folder_that_is_not_there(codesign, tmp_path):
    done = codesign("report", tmp_path / "nowhere")
    assert done.code == 2
    assert "value: no such folder" in done.stderr


def test_without_plotly_the_extra_is_named(codesign, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    done = codesign("report", folder)
    assert done.code == 2
    for words in ("plotly", "where:", "rule:  the extra `report`", "pip install 'qtaml-codesign[report]'"):
        assert words in done.stderr
    with pytest.raises(InputError):
        report_page([read_run(folder)])


def test_help_teaches(codesign):
    text = codesign("report", "--help").stdout
    for words in ("codesign report runs/3nm-small-cnn", "loads nothing", "[report]", "side by side"):
        assert words in text
