"""The figure of a sweep: what it shows, and that it leaves the caller's matplotlib alone."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from qtaml_codesign import plots
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.tac.baselines import METHODS

GRID = np.linspace(1.7, 2.2, 12)


def synthetic(methods=("tac", "uniform-msp"), budgets=(0.01, 0.05, 0.25), clean=0.98):
    rows = []
    for rank, method in enumerate(methods):
        for budget in budgets:
            middle = 1.8 + 0.1 * rank - 0.2 * budget
            accuracy = 0.1 + 0.88 / (1.0 + np.exp(-40.0 * (GRID - middle)))
            rows.append(pd.DataFrame({
                "thickness_nm": GRID, "flip_probability": np.exp(-30.0 * (GRID - 1.65)), "method": method,
                "budget": budget, "overhead": 0.9 * budget, "accuracy": accuracy, "accuracy_low": accuracy - 0.02,
                "accuracy_high": np.minimum(accuracy + 0.02, 1.0), "clean_accuracy": clean,
            }))
    return pd.concat(rows, ignore_index=True)


def draw(points, target=0.95):
    return plots.draw_sweep(points, Frontier(points, target).to_frame(), target)


def test_curves_hold_the_points_of_the_table():
    points = synthetic()
    axes = draw(points).axes[0]
    drawn = [line for line in axes.lines if len(line.get_xdata()) == len(GRID)]
    assert len(drawn) == 6
    first = points[(points.method == "tac") & (points.budget == 0.01)]
    np.testing.assert_array_equal(drawn[0].get_ydata(), first.accuracy)
    assert {line.get_linestyle() for line in drawn} == {"-", "--"}
    assert len(axes.collections) == 6, "one band per curve"


def test_axes_name_quantity_and_unit():
    left, right = draw(synthetic()).axes
    assert left.get_xlabel() == "oxide thickness (nm)"
    assert left.get_ylabel() == "accuracy"
    assert "% of stored bits" in right.get_xlabel()
    assert right.get_ylabel().endswith("(nm)")
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ["0.95 × clean", "TAC", "Uniform-MSP", "budget 1 %", "budget 5 %", "budget 25 %"]


def test_flip_probability_axis_agrees_with_the_table():
    points = synthetic()
    figure = draw(points)
    figure.canvas.draw()
    top = figure.axes[0].child_axes[0]
    labels = [label.get_text() for label in top.get_xticklabels()]
    assert len(labels) >= 3
    for place, label in zip(top.get_xticks(), labels, strict=True):
        assert np.exp(-30.0 * (place - 1.65)) == pytest.approx(float(label), rel=1e-6)


def test_frontier_panel_shows_the_frontier():
    points = synthetic()
    table = Frontier(points, 0.95).to_frame()
    axes = Frontier(points, 0.95).plot()
    tac = next(line for line in axes.lines if line.get_label() == "TAC")
    rows = table[table.method == "tac"]
    np.testing.assert_allclose(tac.get_xdata(), 100 * rows.overhead)
    np.testing.assert_allclose(tac.get_ydata(), rows.thickness_nm)


def test_given_axes_are_used_and_returned():
    axes = Figure().subplots()
    assert Frontier(synthetic(), 0.95).plot(axes) is axes
    assert axes.lines


@pytest.mark.parametrize("points", [
    synthetic(budgets=(0.0,)), synthetic(methods=("none",)),
    synthetic(methods=METHODS),
    synthetic().assign(accuracy=0.1, accuracy_low=0.1, accuracy_high=0.1),
    synthetic().assign(accuracy=0.98, accuracy_low=0.98, accuracy_high=0.98),
    synthetic().assign(flip_probability=0.0), synthetic()[lambda frame: frame.thickness_nm == GRID[3]],
], ids=["one budget", "one method", "every method", "none keeps", "all keep", "no flips", "one thickness"])
def test_degenerate_tables_still_draw(points, tmp_path):
    plots.save_sweep(points, Frontier(points, 0.95).to_frame(), 0.95, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_same_table_same_bytes_without_a_date(tmp_path):
    points = synthetic()
    for name in ("a.png", "b.png"):
        plots.save_sweep(points, Frontier(points, 0.95).to_frame(), 0.95, tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in content
    assert b"Date" not in content


def test_global_backend_and_pyplot_stay_as_they_were():
    before = dict(matplotlib.rcParams)
    draw(synthetic())
    assert dict(matplotlib.rcParams) == before
    script = "import sys, qtaml_codesign.plots; assert 'matplotlib.pyplot' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
