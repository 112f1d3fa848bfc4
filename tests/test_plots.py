"""The figure of a sweep: what it shows, what it must not, and that it leaves the caller's matplotlib alone."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import qtaml_codesign as qc
from qtaml_codesign import plots
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.sweeps import result
from qtaml_codesign.tac.methods import METHODS
from tests.sweep_figures import (
    GRID,
    bars_of,
    curve,
    curves_of,
    draw,
    drawn_stretches,
    is_marker_line,
    octaves,
    searched,
    synthetic,
    texts_of,
)

pytestmark = pytest.mark.usefixtures("rendered")

def test_curves_hold_the_points_of_the_table():
    points = synthetic()
    axes = draw(points).axes[0]
    drawn = curves_of(axes)
    assert len(drawn) == 6
    first = points[(points.method == "tac") & (points.budget == 0.01)]
    np.testing.assert_array_equal(drawn[0].get_ydata(), first.accuracy)
    assert {line.get_linestyle() for line in drawn} == {"-", "--"}
    assert len(axes.collections) == 6, "one band per curve"


def test_every_measured_point_has_a_marker():
    points = synthetic()
    marked = [line for line in draw(points).axes[0].lines if is_marker_line(line)]
    assert [line.get_marker() for line in marked] == ["o"] * 3 + ["s"] * 3
    np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in marked]), points.accuracy)


@pytest.mark.parametrize("points", [searched(), searched(budgets=(0.01,))], ids=["two curves", "one curve"])
def test_a_search_draws_no_line_but_at_the_crossing(points):
    axes = draw(points, searched=True).axes[0]
    stretches = np.concatenate([drawn_stretches(line) for line in curves_of(axes)])
    assert len(stretches) == 2 * points.budget.nunique(), "about the crossing, a sixteenth of an octave apart"
    assert octaves(stretches).max() < 0.07
    for band in (band for band in axes.collections if hasattr(band, "get_paths") and not hasattr(band, "get_segments")):
        widths = [30.0 / np.log(2.0) * np.ptp(path.vertices[:, 0]) for path in band.get_paths()]
        assert max(widths) < 0.15
    bars = bars_of(axes)
    assert sum(len(ends) for ends in bars.values()) == len(points), "every knot shows its interval"


def test_curves_with_thicknesses_of_their_own_are_a_search_unsaid():
    for line in curves_of(draw(searched()).axes[0]):
        assert octaves(drawn_stretches(line)).max() < 0.07


def test_a_coarse_grid_is_not_joined_where_the_accuracy_moves():
    coarse = synthetic()[lambda frame: frame.thickness_nm.isin(GRID[::6])]  # 4 octaves
    axes = draw(coarse, searched=False).axes[0]
    for line in curves_of(axes):
        accuracy = np.asarray(line.get_ydata(), dtype=float)
        assert np.nanmax(np.abs(np.diff(accuracy))) <= 0.05
    stretches = sum(len(drawn_stretches(line)) for line in curves_of(axes))
    assert 0 < stretches < 6 * 5


def test_interpolated_curves_are_lines_whose_knots_alone_are_marked():
    points, knots = synthetic(), synthetic()[lambda frame: frame.thickness_nm.isin(GRID[::5])]
    axes = draw(points, knots=knots).axes[0]
    marked = [line for line in axes.lines if is_marker_line(line)]
    assert sum(len(line.get_xdata()) for line in marked) == len(knots)
    assert all(len(drawn_stretches(line)) == len(GRID) - 1 for line in curves_of(axes))


def test_coinciding_curves_are_drawn_once_and_named():
    once = curve("uniform-msp", 0.0, 1.9)
    same = [once.assign(budget=budget) for budget in (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)]
    points = pd.concat([curve("tac", 0.01, 1.8), curve("tac", 0.1, 1.75), curve("tac", 0.0, 1.95), *same,
                        once.assign(method="none")], ignore_index=True)
    figure = draw(points)
    assert len(curves_of(figure.axes[0])) == 4
    assert "Uniform-MSP 0, 1, 2, 3, 5, 10 %; uncompensated 0 % (coincide)" in texts_of(figure)
    assert not any("coincide" in text for text in texts_of(draw(synthetic())))


def test_axes_name_quantity_and_unit():
    figure = draw(synthetic())
    left, right = figure.axes
    assert left.get_xlabel() == "oxide thickness (nm)"
    assert left.get_ylabel() == "accuracy"
    assert "% of stored bits" in right.get_xlabel()
    assert right.get_ylabel().endswith("(nm)")
    assert texts_of(figure) == [
        "target: 0.95 × clean", "TAC", "Uniform-MSP", "budget 1 %", "budget 5 %", "budget 25 %",
        "markers: measured; lines join close ones", "TAC", "Uniform-MSP", "interval over trials",
    ]


def test_title_tells_card_target_window_trials_and_intervals():
    points = synthetic().assign(trials=20)
    title = draw(points, title="3nm card, small-cnn", window_s=1e-6).get_suptitle()
    first, second = title.split("\n")
    assert first == "3nm card, small-cnn"
    assert second == ("target 0.95 × clean = 0.931; inference window 1 µs; 20 trials per point; "
                      "bars and bands: 95 % intervals over trials")
    points.loc[0, "trials"] = 320
    assert "20 to 320 trials per point" in draw(points).get_suptitle()
    assert "inference window 3.156e+07 s" in draw(points, window_s=3.15576e7).get_suptitle()
    assert "bars and bands: 99 % intervals" in draw(points, confidence=0.99).get_suptitle()


def test_legends_stand_outside_of_the_panels():
    figure = draw(synthetic(methods=METHODS))
    figure.canvas.draw()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    panels = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == 2
    assert not any(box.overlaps(panel) for box in boxes for panel in panels)
    assert not boxes[0].overlaps(boxes[1])
    assert all(figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1) for box in boxes)


def test_a_legend_in_given_axes_hides_no_point():
    points = synthetic(methods=("tac", "uniform-msp", "magnitude"))
    figure = Figure(figsize=(6.0, 4.0))
    axes = Frontier(points, 0.95).plot(figure.subplots())
    figure.canvas.draw()
    box = axes.get_legend().get_window_extent()
    drawn = [axes.transData.transform((x, y)) for line in axes.lines
             for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True) if np.isfinite(y)]
    assert drawn
    assert all(y < box.y0 for _, y in drawn)


def test_flip_probability_axis_agrees_with_the_table():
    points = synthetic()
    figure = draw(points)
    figure.canvas.draw()
    top = figure.axes[0].child_axes[0]
    labels = [label.get_text() for label in top.get_xticklabels()]
    assert len(labels) >= 3
    for place, label in zip(top.get_xticks(), labels, strict=True):
        assert np.exp(-30.0 * (place - 1.65)) == pytest.approx(float(label), rel=1e-6)


def test_given_axes_are_used_and_returned():
    axes = Figure().subplots()
    assert Frontier(synthetic(), 0.95).plot(axes) is axes
    assert axes.lines


@pytest.mark.parametrize("points", [
    synthetic(budgets=(0.0,)), synthetic(methods=("none",)),
    synthetic(methods=METHODS), synthetic(methods=("a method of another version",)),
    synthetic().assign(accuracy=0.1, accuracy_low=0.1, accuracy_high=0.1),
    synthetic().assign(accuracy=0.98, accuracy_low=0.98, accuracy_high=0.98),
    synthetic().assign(flip_probability=0.0), synthetic()[lambda frame: frame.thickness_nm == GRID[3]],
], ids=["one budget", "one method", "every method", "unknown method", "none keeps", "all keep", "no flips",
        "one thickness"])
def test_degenerate_tables_still_draw(points, tmp_path):
    plots.save_sweep(points, Frontier(points, 0.95).to_frame(), 0.95, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_same_table_same_bytes_without_a_date(tmp_path):
    points = synthetic()
    for name in ("a.png", "b.png"):
        plots.save_sweep(points, Frontier(points, 0.95).to_frame(), 0.95, tmp_path / name, "card", window_s=1.0)
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


def test_a_saved_sweep_tells_the_figure_what_was_measured(tiny, tmp_path, monkeypatch):
    """One curve alone does not show in its table whether it was searched: the sweep says so."""
    network, known = qc.load_workload(tiny), []
    monkeypatch.setattr(result, "save_sweep", lambda *given, **more: known.append(more))
    qc.find_frontier(network, "3nm", (1.7, 2.1), [0.3], ["tac"], max_trials=20, workers=1).save(tmp_path)
    qc.sweep(network, "3nm", np.linspace(1.7, 2.1, 5), [0.3], ["tac"], trials=2, refine=False, workers=1).save(tmp_path)
    interpolated = qc.sweep(network, "3nm", np.linspace(1.7, 2.1, 5), [0.3], ["tac"], trials=2, interpolate=True,
                            workers=1)
    interpolated.save(tmp_path)
    assert [one["searched"] for one in known] == [True, False, False]
    assert [one["knots"] is None for one in known] == [True, True, False]
    assert {one["window_s"] for one in known} == {1e-6}
    assert {one["confidence"] for one in known} == {0.95}


def test_a_refined_sweep_shows_every_knot(tiny, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(result, "save_sweep", lambda points, *given, **more: shown.append(points))
    found = qc.sweep(qc.load_workload(tiny), "3nm", np.linspace(1.7, 2.1, 3), [0.3], ["tac"], trials=2, workers=1)
    found.save(tmp_path)
    assert found.knots is not None
    assert len(found.knots) > len(found.points)
    assert len(shown[0]) == len(found.knots)
    assert set(found.grid_nm) <= set(shown[0]["thickness_nm"])
