"""`codesign sweep`: options reach the sweep, the tables answer the questions, and fit a terminal of 80 columns."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign import report
from qtaml_codesign.sweeps.outputs import csv_text
from tests.conftest import ROOT, stored_trials, until

COMMON = ("sweep", "--device", "3nm", "--thickness", "1.73:1.9:4", "--budget", "0.05,0.25", "--workers", 1,
          "--trials", 4)
FEW = ("sweep", "--device", "3nm", "--thickness", "1.75:1.8:2", "--budget", "0.25", "--workers", 1, "--trials", 2)


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


TOLD = ("loading ", "calibration: ", "plans: ", "trials: ", "settled: ", "first answer: ")


def news(stderr):
    """Lines on stderr apart from what any run tells while it goes."""
    return [line for line in stderr.splitlines() if not line.startswith(TOLD)]


def test_files_and_tables(codesign, tiny, tmp_path):
    done = codesign(*COMMON, "--workload", tiny, "--out", tmp_path / "run")
    assert (done.code, news(done.stderr)) == (0, [])
    assert done.stderr.startswith(f"loading workload {tiny} and card 3nm ...\n")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "results.sqlite", "sweep.csv", "knots.csv", "frontier.csv", "frontier.png", "run.json"
    }
    assert len(pd.read_csv(tmp_path / "run" / "sweep.csv")) == 4 * 2 * 2
    for words in ("Thinnest oxide (nm)", "Smallest ECC overhead", "clean accuracy  1.0000", str(tmp_path),
                  "88.24% of 136 parameters lie in tunnelling cells", "images"):
        assert words in done.stdout
    assert -1 < done.stderr.find("first answer: TAC at 5 % ECC keeps") < done.stderr.find("settled: ")
    assert "bit error rate" not in done.stdout
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout


def test_long_rows_are_never_cut(codesign, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    done = codesign("sweep", "--device", "dram_1t1c", "--workload", tiny, "--budget", "0.125", "--trials", 3,
                    "--workers", 1, "--out", tmp_path)
    assert done.code == 0, done.stderr
    assert "…" not in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("  12.5")]
    assert len(rows) == 1
    assert rows[0].count("[") == rows[0].count("]") >= 1


def test_command_and_function_give_the_same_table(codesign, tiny, tmp_path):
    codesign(*COMMON, "--workload", tiny, "--out", tmp_path / "run", "--seed", 3, "--target", 0.8)
    import numpy as np

    result = qc.sweep(tiny, "3nm", np.linspace(1.73, 1.9, 4), (0.05, 0.25), seed=3, target=0.8, trials=4)
    assert (tmp_path / "run" / "sweep.csv").read_text() == csv_text(result.to_frame())
    assert (tmp_path / "run" / "frontier.csv").read_text() == csv_text(result.frontier().to_frame())


@pytest.mark.parametrize(("options", "key", "value"), [
    (("--target", "70%"), "target", 0.7), (("--budget", "1%,5%"), "budgets", [0.01, 0.05]),
    (("--thickness", "1.75,1.8"), "thickness_nm", [1.75, 1.8]),
    (("--seed", 5), "seed", 5), (("--target", 0.7), "target", 0.7), (("--budget", "0.1"), "budgets", [0.1]),
    (("--thickness", "1.8"), "thickness_nm", [1.8]), (("--allocation", "exact"), "allocation", "exact"),
    (("--method", "none", "--method", "tac"), "methods", ["none", "tac"]),
    (("--trials", 3), "stopping", {"rule": "fixed", "trials": 3, "confidence": 0.95}),
])
def test_each_option_reaches_the_run(codesign, tiny, tmp_path, options, key, value):
    done = codesign(*FEW, "--workload", tiny, "--out", tmp_path, *options)
    assert done.code == 0, done.stderr
    assert run_of(tmp_path)[key] == value


def test_adaptive_options_reach_the_run(codesign, tiny, tmp_path):
    done = codesign("sweep", "--device", "3nm", "--workload", tiny, "--thickness", "1.8", "--budget", "0.1", "--out",
                    tmp_path, "--half-width", 0.2, "--max-trials", 30, "--workers", 1)
    assert done.code == 0, done.stderr
    stopping = run_of(tmp_path)["stopping"]
    assert (stopping["half_width"], stopping["max_trials"], stopping["checkpoints"]) == (0.2, 30, [20, 30])
    assert run_of(tmp_path)["interval"].startswith("Hall (1992) at 0.98 per look")


@pytest.mark.parametrize(("command", "grid"), [("sweep", "1.73:1.9:2"), ("frontier", "1.73:1.9")])
def test_sensitivity_and_changed_fields_reach_the_run(codesign, tiny, tmp_path, command, grid):
    done = codesign(command, "--device", "3nm", "--workload", tiny, "--thickness", grid, "--budget", "0.25", "--method",
                    "tac", "--max-trials", 2, "--sensitivity", "random-sign", "--set", "window_s=2e-6", "--workers",
                    1, "--out", tmp_path)
    assert done.code == 0, done.stderr
    assert run_of(tmp_path)["options"]["sensitivity"] == "random-sign"
    assert run_of(tmp_path)["card"]["window_s"] == 2e-6


def test_the_calibration_is_seen_on_the_screen(codesign, tiny, tmp_path, no_quiet):
    done = codesign(*COMMON, "--workload", tiny, "--method", "tac", "--sensitivity", "random-sign", "--out",
                    tmp_path)
    assert done.code == 0, done.stderr
    assert -1 < done.stderr.find("\ncalibration: ") < done.stderr.find("\nsettled: ")


def test_default_folder_names_card_and_workload(codesign, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = codesign(*FEW, "--workload", tiny)
    assert done.code == 0, done.stderr
    assert (tmp_path / "runs" / "3nm-tiny-make" / "sweep.csv").is_file()


@pytest.mark.parametrize("methods", [("tac",), ("none", "mean-only"), ("tac", "none"), ("tac", "magnitude", "random")])
def test_tables_for_any_set_of_methods(tiny, methods):
    budgets = None if methods == ("none", "mean-only") else (0.05, 0.3)
    result = qc.sweep(tiny, "3nm", (1.74, 1.8, 2.0), budgets, methods, trials=3)
    made = report.sweep_report(result)
    for table in made.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert not any("nan" in cell for row in table.rows for cell in row)
    assert len(made.tables[1].rows) == 3


def synthetic(accuracy_tac, accuracy_uniform):
    grid = (1.7, 1.8, 1.9, 2.0)
    rows = [
        (nm, 10.0 ** (-10 * (nm - 1.6)), method, 0.1, overhead, value, value - 0.01, value + 0.01, 5, 1.0, 0.1, 0.1,
         0.02)
        for method, overhead, curve in (("tac", 0.08, accuracy_tac), ("uniform-msp", 0.1, accuracy_uniform))
        for nm, value in zip(grid, curve, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(qc.sweep("small-cnn", "3nm", [2.0], [0.0], trials=2).to_frame().columns))


@pytest.mark.parametrize(("tac", "uniform", "cells"), [
    ((0.5, 1.0, 1.0, 1.0), (0.5, 0.5, 0.5, 1.0), ("1.790", "1.990", "200.0")),
    ((1.0, 1.0, 1.0, 1.0), (0.5, 0.5, 0.5, 1.0), ("<= 1.700", "1.990", ">= 290.0")),
    ((0.5, 0.5, 0.5, 1.0), (0.5, 0.5, 0.5, 0.5), ("1.990", "> 2.000", "in range")),
    ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 1.0), ("> 2.000", "1.990", "-")),
    ((0.5, 0.5, 0.5, 1.0), (1.0, 1.0, 1.0, 1.0), ("1.990", "<= 1.700", "<= -290.0")),
])
def test_oxide_row_says_what_is_known(tac, uniform, cells):
    """Crossings lie 9/10 between 0.5 and 1 for a target of 0.95."""
    from dataclasses import replace

    result = replace(qc.sweep("small-cnn", "3nm", [2.0], [0.1], trials=2), points=synthetic(tac, uniform))
    (row,) = report.sweep_report(result).tables[0].rows
    assert (row[1].split(" [")[0], row[4].split(" [")[0], row[7]) == cells


def test_help_is_quick_and_ends_with_an_example(codesign):
    done = codesign("sweep", "--help")
    assert done.code == 0
    assert "codesign sweep --device 3nm" in done.stdout[done.stdout.index("Example") :]
    script = "import sys, qtaml_codesign.commands.sweep; print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert loaded.strip() == "set()"


def heed_ctrl_c() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and a suite run as one hands that on to its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_on_two_workers_is_one_message(tiny, tmp_path):
    """In the middle of the work: some trials are stored, most are to come."""
    command = [sys.executable, "cli.py", "sweep", "--device", "3nm", "--workload", tiny, "--out", str(tmp_path / "run"),
               "--trials", "4000", "--workers", "2"]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, preexec_fn=heed_ctrl_c)
    assert until(lambda: stored_trials(tmp_path / "run") > 0)
    os.killpg(started.pid, signal.SIGINT)  # what a terminal does: parent and workers get it
    _, text = started.communicate(timeout=120)
    assert started.returncode == 130
    assert "Traceback" not in text
    assert sum("interrupted" in line for line in text.splitlines()) == 1


OTHERS = {
    "card": ("--set", "window_s=2e-6"), "workload": ("--workload", "other"), "methods": ("--method", "tac"),
    "budgets": ("--budget", "0.125"), "thickness_nm": ("--thickness", "1.75:1.8:3"), "target": ("--target", "90%"),
    "seed": ("--seed", 1), "stopping": ("--trials", 3), "allocation": ("--allocation", "exact"),
    "refine": ("--no-refine",), "rows": ("--interpolate",),
}


@pytest.fixture(scope="module")
def once(tiny_source, tmp_path_factory):
    """A folder that one run has filled, and what that run was asked for; the tests work on copies of the folder."""
    folder = tmp_path_factory.mktemp("once")
    qc.sweep(tiny_source, "3nm", (1.75, 1.8), (0.25,), trials=2, out=folder)
    return folder, (*FEW, "--workload", tiny_source)


def test_the_same_command_keeps_its_tables_where_they_are(codesign, once, tmp_path):
    shutil.copytree(once[0], tmp_path / "run")
    assert news(codesign(*once[1], "--out", tmp_path / "run").stderr) == []
    assert not (tmp_path / "run" / "earlier").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_tables_of_other_options_are_kept(codesign, once, tmp_path, name):
    """What differs is said before the run; the earlier files are moved, not lost."""
    common = (*once[1], "--out", tmp_path / "run")
    shutil.copytree(once[0], tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".sqlite"}
    tiny = common[common.index("--workload") + 1]
    other = [tiny.replace(":make", ":other") if option == "other" else option for option in OTHERS[name]]
    done = codesign(*common, *other)
    assert done.code == 0, done.stderr
    (note,) = news(done.stderr)
    assert note.startswith("note: the tables in")
    assert name in note[note.index("(") : note.index(")")]
    assert done.stderr.index(note) < done.stderr.index("settled: ")
    (kept,) = (tmp_path / "run" / "earlier").iterdir()
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert str(kept) in note
    assert run_of(tmp_path / "run")["options"] != json.loads(before["run.json"])["options"]


def test_a_record_that_cannot_be_read_is_kept_too(codesign, tiny, tmp_path):
    (tmp_path / "run.json").write_text("[]")
    done = codesign(*FEW, "--workload", tiny, "--out", tmp_path)
    assert "(not recorded)" in done.stderr
    assert next((tmp_path / "earlier").iterdir()).joinpath("run.json").read_text() == "[]"


def test_version(codesign):
    assert codesign("--version").stdout == f"qtaml-codesign {qc.__version__}\n"


def test_evaluate_speaks_of_the_metric_and_refuses_before_it_warns(codesign, tiny, tmp_path):
    first = codesign("evaluate", "--help").stdout.split("Example")[0]
    assert "the metric of a plan" in " ".join(first.replace("│", " ").split())
    words = codesign("glossary").stdout
    assert "\nmetric: " in words
    assert "\ntarget: " in words
    plan = tmp_path / "plan.json"
    qc.plan(qc.load_workload(tiny), method="uniform-msp", flip_probability=0.1, budget=0.25).save(plan)
    done = codesign("evaluate", "--workload", tiny, "--plan", plan, "--flip-probability", 1.5)
    assert done.code != 0
    assert "1.5" in done.stderr
    assert "warning" not in done.stderr


def test_one_of_a_thing_is_written_in_the_singular(codesign, tiny, tmp_path):
    done = codesign("sweep", "--device", "3nm", "--workload", tiny, "--thickness", "1.8", "--budget", "0.25",
                    "--method", "tac", "--workers", 1, "--trials", 2, "--out", tmp_path)
    assert done.code == 0, done.stderr
    assert "1 thickness," in done.stdout
    assert "over 1 task for 1 point;" in done.stdout
