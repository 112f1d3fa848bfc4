"""What a sweep tells while it runs: a first answer, the points that settle, and what becomes of earlier tables."""

from __future__ import annotations

import math

import pytest

import qtaml_codesign as qc
from qtaml_codesign.nets.metric import ACCURACY
from qtaml_codesign.nets.target import Target
from qtaml_codesign.report import answer_line, settled_line
from qtaml_codesign.statistics import Interval
from qtaml_codesign.sweeps.outputs import csv_text
from qtaml_codesign.sweeps.progress import FirstAnswer, Settled

GRID = (1.73, 1.78, 1.9)
OPTIONS = {"thickness_nm": GRID, "budgets": (0.04, 0.3), "max_trials": 20}


@pytest.fixture(scope="module")
def network(tiny_workload):
    return tiny_workload


@pytest.fixture(scope="module")
def heard(network):
    seen = []
    return qc.sweep(network, "3nm", progress=seen.append, **OPTIONS), seen


def test_the_first_answer_is_that_of_the_bisection_and_comes_first(network, heard):
    _, seen = heard
    (answer,) = [state.answer for state in seen if state.answer is not None]
    alone = qc.find_frontier(network, "3nm", GRID, [0.04], ["tac"], max_trials=20).frontier().to_frame().iloc[0]
    assert (answer.method, answer.budget, answer.overhead) == ("tac", 0.04, alone.overhead)
    assert (answer.thickness_nm, answer.low_nm, answer.high_nm) == tuple(
        alone[["thickness_nm", "thickness_low_nm", "thickness_high_nm"]])
    assert (answer.flip_probability, answer.status) == (alone.flip_probability, "crossing")
    stages = ["answer" if state.answer else "settled" if state.settled else "" for state in seen]
    assert stages.index("answer") < stages.index("settled")


def test_whoever_listens_changes_nothing(network, heard):
    silent = qc.sweep(network, "3nm", **OPTIONS)
    assert csv_text(heard[0].to_frame()) == csv_text(silent.to_frame())
    assert csv_text(heard[0].knots) == csv_text(silent.knots)


def test_the_trials_of_the_first_answer_are_used_again(network, heard):
    alone = qc.find_frontier(network, "3nm", GRID, [0.04], ["tac"], max_trials=20)
    extra = heard[0].new_trials - heard[0].counts.trials
    assert 0 <= extra < alone.counts.trials
    seen = []
    options = {**OPTIONS, "thickness_nm": GRID[::2]}
    found = qc.find_frontier(network, "3nm", progress=seen.append, **options)
    assert found.new_trials == found.counts.trials  # a bisection measures every knot of its first answer


def test_every_task_settles_once_with_the_numbers_of_its_row(heard):
    result, seen = heard
    settled = [state.settled for state in seen if state.settled is not None]
    assert len(settled) == result.tasks
    on_grid = [one for one in settled if not math.isnan(one.thickness_nm)]
    table = result.to_frame().set_index(["method", "budget", "thickness_nm"])
    assert on_grid
    for one in on_grid:
        row = table.loc[(one.method, one.budget, one.thickness_nm)]
        assert (one.found.estimate, one.found.low, one.found.high, one.trials) == (
            row.accuracy, row.accuracy_low, row.accuracy_high, row.trials)


@pytest.mark.parametrize("options", [{"thickness_nm": [1.8]}, {"budgets": [0.04], "methods": ["tac"]}])
def test_no_first_answer_where_there_is_none_to_give(network, options):
    seen = []
    qc.sweep(network, "3nm", progress=seen.append, **{**OPTIONS, **options, "max_trials": 4})
    assert [state.answer for state in seen if state.answer is not None] == []


def test_the_lines_say_it_in_words():
    ends = (1.72, 2.25)
    answer = FirstAnswer("tac", 0.03, 0.0146, Target(0.95), 1.76, 1.7577, 1.7619, 0.107, "crossing", ends)
    assert "TAC at 3 % ECC keeps 0.95 x clean down to 1.760 [1.758,1.762] nm, p = 0.107" in answer_line(answer)
    below = FirstAnswer("tac", 0.03, 0.0146, Target(0.95), 1.72, math.nan, 1.72, 0.3, "at-or-below-range", ends)
    assert "<= 1.720 nm" in answer_line(below)
    nowhere = (math.nan,) * 4
    beyond = FirstAnswer("tac", 0.03, 0.0146, Target(0.95), *nowhere, "beyond-range", ends)
    assert "TAC at 3 % ECC does not keep 0.95 x clean up to 2.25 nm" in answer_line(beyond)
    point = Settled("uniform-msp", 0.125, 1.8, 0.0257, ACCURACY, Interval(0.5, 0.4, 0.6), 20)
    assert settled_line(point) == (
        "settled: Uniform-MSP 12.5 %, 1.8000 nm, p = 0.0257: accuracy 0.5000 [0.4000, 0.6000], 20 trials")
    knot = Settled("tac", 0.0, math.nan, 2.5e-4, ACCURACY, Interval(0.5, 0.4, 0.6), 20)
    assert settled_line(knot).startswith("settled: TAC 0 %, p = 2.50e-04: ")
