"""The panel of the frontier: steps, bars, bounds, budgets and cells."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from qtaml_codesign import plots
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.plots import style
from tests.sweep_figures import (
    GRID,
    arrows_of,
    bars_of,
    curve,
    curves_of,
    draw,
    synthetic,
    texts_of,
)


def test_methods_with_the_same_frontier_share_a_line():
    points = pd.concat([synthetic(methods=("tac",)), synthetic(methods=("tac",)).assign(method="magnitude"),
                        synthetic(methods=("tac",)).assign(method="none", budget=0.0, overhead=0.0)[:len(GRID)]],
                       ignore_index=True)
    figure = draw(points)
    lines = [line for line in figure.axes[1].lines if line.get_drawstyle() == "steps-post"]
    assert len(lines) == 2
    assert "TAC; magnitude (coincide)" in texts_of(figure)


def test_frontier_panel_shows_the_frontier():
    points = synthetic()
    table = Frontier(points, 0.95).to_frame()
    axes = Frontier(points, 0.95).plot()
    tac = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    rows = table[table.method == "tac"]
    np.testing.assert_allclose(tac.get_xdata(), 100 * rows.overhead)
    np.testing.assert_allclose(tac.get_ydata(), rows.thickness_nm)
    (ends,) = bars_of(axes).values()
    np.testing.assert_allclose(ends, table[["thickness_low_nm", "thickness_high_nm"]])
    assert arrows_of(axes) == []


def test_bounds_are_arrows_and_no_line():
    keeps = curve("tac", 0.1, 1.3).assign(overhead=0.1)
    never = curve("tac", 0.01, 2.6).assign(overhead=0.01)
    points = pd.concat([never, curve("tac", 0.05, 1.9).assign(overhead=0.05), keeps], ignore_index=True)
    figure = draw(points)
    axes = figure.axes[1]
    assert arrows_of(axes) == [(pytest.approx(1.0), GRID[-1], 1.0), (pytest.approx(10.0), GRID[0], -1.0)]
    line = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert np.isfinite(line.get_ydata()).tolist() == [False, True, False]
    assert "thin end of the range, or thinner" in texts_of(figure)
    assert "no oxide of the range keeps it" in texts_of(figure)


def test_a_bar_that_leaves_the_range_ends_in_an_arrow():
    points = synthetic(methods=("tac",))
    table = Frontier(points, 0.95).to_frame()
    table.loc[0, "thickness_low_nm"] = table.loc[1, "thickness_high_nm"] = np.nan
    axes = plots.draw_frontier(points, table, 0.95)
    assert arrows_of(axes) == [(pytest.approx(0.9), GRID[0], -1.0), (pytest.approx(4.5), GRID[-1], 1.0)]


@pytest.mark.parametrize("budgets", [(0.05,), (0.01, 0.05, 0.25)], ids=["one budget", "several"])
def test_bars_over_evaluation_images_stand_outside(budgets):
    points = synthetic(budgets=budgets)
    table = Frontier(points, 0.95).to_frame()
    wide = table.assign(image_low_nm=table.thickness_nm - 0.03, image_high_nm=table.thickness_nm + 0.04)
    plain, both = (plots.draw_sweep(points, each, 0.95) for each in (table, wide))
    (thick,) = bars_of(plain.axes[1])
    bars = bars_of(both.axes[1])
    thin = min(bars)
    assert set(bars) == {thin, thick}
    np.testing.assert_allclose(bars[thin], wide[["image_low_nm", "image_high_nm"]])
    assert "interval over evaluation images" in texts_of(both)
    assert "interval over evaluation images" not in texts_of(plain)


def test_one_budget_sets_the_methods_side_by_side():
    points = synthetic(methods=("tac", "uniform-msp", "magnitude"), budgets=(0.05,)).assign(trials=20)
    figure = draw(points)
    right = figure.axes[1]
    assert [label.get_text() for label in right.get_xticklabels()] == ["TAC\n4.5 %", "Uniform-MSP\n4.5 %",
                                                                      "magnitude\n4.5 %"]
    shown = np.array([(line.get_xdata()[0], line.get_ydata()[0]) for line in right.lines if len(line.get_xdata()) == 1
                      and line.get_marker() in style.MARKERS])
    np.testing.assert_allclose(shown[:, 0], [0, 1, 2])
    np.testing.assert_allclose(shown[:, 1], Frontier(points, 0.95).to_frame().thickness_nm)
    low, high = right.get_xlim()
    assert high - low < 4.0, "the points fill the panel"
    assert "budget 5 %" in figure.get_suptitle()
    colours = [line.get_color() for line in curves_of(figure.axes[0])]
    assert colours == list(style.COLOURS[:3]), "no budgets to tell apart: the curves have the colours of their methods"


def test_panels_of_both_currencies_lie_beside_one_another_and_show_every_answer():
    """The panel of cells is as wide as its text, and nothing lies over anything."""
    protected = [curve("tac", budget, 1.84 - 0.25 * budget).assign(cells=8.0) for budget in (0.01, 0.05, 0.25)]
    chosen = [curve("joint", 0.0, 1.95 - 0.06 * np.log2(cells)).assign(cells=cells) for cells in (2.0, 8.0)]
    points = pd.concat([*protected, *chosen], ignore_index=True)
    table = Frontier(points).to_frame()
    figure = draw(points)
    figure.draw_without_rendering()
    curves, overhead, cells = figure.axes
    spent = table[table.method == "joint"]
    (line,) = [line for line in cells.lines if line.get_drawstyle() == "steps-post"]
    np.testing.assert_array_equal(line.get_xydata(), spent[["cells", "thickness_nm"]])
    (line,) = [line for line in overhead.lines if line.get_drawstyle() == "steps-post"]
    np.testing.assert_allclose(line.get_xdata(), [0.9, 4.5, 22.5], rtol=1e-12)
    boxes = [axes.get_tightbbox() for axes in (curves, overhead, cells)]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    assert cells.xaxis.label.get_window_extent().width < cells.get_window_extent().width
    assert boxes[-1].x1 <= figure.bbox.x1
    assert not any(box.overlaps(legend.get_window_extent()) for box in boxes for legend in figure.legends)
