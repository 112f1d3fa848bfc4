"""A metric of one's own, defined outside the package, from the workload to the files of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import qtaml_codesign as qc
from qtaml_codesign.sweeps.store import ResultStore

FILE = '''
import torch
import qtaml_codesign as qc


def cost(outputs, targets):
    """Real numbers: 3 for a wrong answer, 1 for a right one."""
    return 3.0 - 2.0 * (outputs.argmax(-1) == targets)


def undefined_where_wrong(outputs, targets):
    return torch.where(outputs.argmax(-1) == targets, 0.5, float("nan"))


COST = qc.Metric("cost-of-answers", cost, larger_is_better=False, bounds=(1.0, 3.0))
BREAKING = qc.Metric("breaking", undefined_where_wrong, larger_is_better=False, bounds=(0.0, float("inf")))


def make(metric=COST):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(120, 6, generator=generator)
    module = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        labels = module(inputs).argmax(1)
    labels = labels if metric is BREAKING else torch.where(torch.arange(120) < 12, (labels + 1) % 4, labels)
    return qc.Workload(module, inputs[:32], (inputs, labels), name="tiny", metric=metric)


def breaking():
    return make(BREAKING)
'''
GRID = np.linspace(1.73, 1.95, 4)
OPTIONS = {"budgets": (0.3,), "max_trials": 80}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "net.py"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def swept(file, tmp_path_factory):
    """The sweep by cost, and that of the same network and trials by accuracy, which is (3 - cost) / 2."""
    workload, folder = qc.load_workload(f"{file}:make"), tmp_path_factory.mktemp("cost")
    clean = workload.with_metric("accuracy").clean_accuracy
    by_cost = qc.sweep(workload, "3nm", GRID, target=f"= {3.0 - 2.0 * 0.95 * clean!r}", half_width=0.02, out=folder,
                       **OPTIONS)
    right = qc.sweep(workload, "3nm", GRID, metric="accuracy", target=f"= {0.95 * clean!r}", half_width=0.01, **OPTIONS)
    return workload, folder, by_cost, right


def test_the_table_of_a_linear_function_of_accuracy_is_that_function_of_its_table(swept):
    _, folder, by_cost, right = swept
    table, other = pd.read_csv(folder / "sweep.csv"), right.to_frame()
    assert list(table.columns) == [
        "thickness_nm", "flip_probability", "method", "budget", "overhead", "cost_of_answers", "cost_of_answers_low",
        "cost_of_answers_high", "trials", "clean_cost_of_answers", "nominal_ber", "realised_ber", "image_half_width",
    ]
    assert table.equals(by_cost.to_frame())
    np.testing.assert_allclose(table.cost_of_answers, 3.0 - 2.0 * other.accuracy, rtol=1e-13)
    spread = other.accuracy_high - other.accuracy_low > 0.0026  # where no rule of three for counts holds
    assert spread.sum() >= 4
    np.testing.assert_allclose(table.cost_of_answers_low[spread], 3.0 - 2.0 * other.accuracy_high[spread], rtol=1e-10)
    np.testing.assert_allclose(table.cost_of_answers_high[spread], 3.0 - 2.0 * other.accuracy_low[spread], rtol=1e-10)
    assert table.trials.tolist() == other.trials.tolist()


def test_the_frontier_is_that_of_accuracy_with_the_better_end_on_the_thin_side(swept):
    _, folder, by_cost, right = swept
    table, other = pd.read_csv(folder / "frontier.csv"), right.frontier().to_frame()
    assert (table.status == "crossing").any()
    for name in ("thickness_nm", "thickness_low_nm", "thickness_high_nm", "flip_probability", "image_low_nm",
                 "image_high_nm"):
        np.testing.assert_allclose(table[name], other[name], rtol=1e-9, err_msg=name)
    assert table.image_low_nm.notna().any()
    pd.testing.assert_frame_equal(
        qc.Frontier(by_cost.to_frame(), by_cost.options.wanted, metric=by_cost.metric).smallest_budgets()["status"]
        .to_frame(), right.frontier().smallest_budgets()["status"].to_frame())


def test_evaluate_measures_it_with_the_trials_of_the_sweep(swept):
    workload, _, by_cost, _ = swept
    flips = qc.flip_probability(qc.load_card("3nm"), GRID[0])
    row = by_cost.to_frame().iloc[0]
    result = qc.evaluate(workload, qc.plan(workload, row.method, flips, row.budget), flips, trials=int(row.trials))
    assert (result.metric.name, result.value) == ("cost-of-answers", row.cost_of_answers)
    accuracy = qc.evaluate(workload, qc.plan(workload, row.method, flips, row.budget), flips, trials=int(row.trials),
                           metric="accuracy")
    assert [3 * 120 - 2 * right for right in accuracy.score_by_trial] == list(result.score_by_trial)
    with pytest.raises(qc.CodesignError, match="no accuracy was measured"):
        _ = result.accuracy


def test_the_store_gives_every_trial_back_and_workers_change_nothing(swept, file, tmp_path, started_by):
    _, folder, by_cost, _ = swept
    options = {**OPTIONS, "target": by_cost.options.wanted, "half_width": 0.02}
    again = qc.sweep(f"{file}:make", "3nm", GRID, out=folder, **options)
    assert again.new_trials == 0
    qc.sweep(f"{file}:make", "3nm", GRID, out=tmp_path, workers=2, **options)
    for name in ("sweep.csv", "frontier.csv", "knots.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    with ResultStore(folder / "results.sqlite", read_only=True) as store:
        assert store.count_trials() >= by_cost.counts.trials


def test_scores_that_are_no_numbers_are_the_worst_and_end_no_sweep(file, tmp_path):
    """An infinite mean stays infinite, so the first look decides; the frontier is where no trial breaks any more."""
    workload = qc.load_workload(f"{file}:breaking")
    assert workload.clean_value == 0.5
    options = {"budgets": (0.3,), "methods": ("uniform-msp",)}
    result = qc.sweep(workload, "3nm", np.linspace(1.73, 2.1, 4), out=tmp_path, **options)
    table = pd.read_csv(tmp_path / "sweep.csv")
    broken = np.isinf(table.breaking)
    assert broken.any()
    assert not broken.all()
    assert (table[broken][["breaking_low", "trials"]] == [np.inf, 20]).all(axis=None)
    assert table[~broken].breaking.eq(0.5).all()
    row = result.frontier().to_frame().iloc[0]
    assert row.status == "crossing"
    assert table[broken].thickness_nm.max() < row.thickness_nm <= table[~broken].thickness_nm.min()
    between = qc.sweep(workload, "3nm", np.linspace(1.73, 2.1, 5), interpolate=True, max_trials=20, **options)
    assert np.isinf(between.to_frame().breaking).any()
    assert between.frontier().to_frame().thickness_nm[0] <= row.thickness_nm + 0.02


def test_the_command_line_knows_it_by_the_workload(codesign, file, tmp_path):
    done = codesign("sweep", "--device", "3nm", "--workload", f"{file}:make", "--thickness", "1.75:1.95:3", "--budget",
                    "0.3", "--trials", 4, "--workers", 1, "--out", tmp_path / "run", "--target", "clean + 0.1")
    assert done.code == 0, done.stderr
    assert "clean cost-of-answers" in done.stdout
    assert "keeps clean cost-of-answers + 0.1" in done.stdout
    assert "clean_cost_of_answers" in (tmp_path / "run" / "sweep.csv").read_text().splitlines()[0]
