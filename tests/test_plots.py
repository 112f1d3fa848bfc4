"""The figure of a sweep: what it shows, what it must not, and that it leaves the caller's matplotlib alone."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import qtaml_codesign as qc
from qtaml_codesign import plots
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.plots import style
from qtaml_codesign.sweeps import result
from qtaml_codesign.tac.methods import METHODS, method_label

pytestmark = pytest.mark.usefixtures("rendered")

GRID = np.linspace(1.7, 2.2, 34)
"""Steps of 0.66 octaves in the flip probability."""


def curve(method, budget, middle, grid=GRID, clean=0.98):
    accuracy = 0.1 + 0.88 / (1.0 + np.exp(-40.0 * (grid - middle)))
    return pd.DataFrame({
        "thickness_nm": grid, "flip_probability": np.exp(-30.0 * (grid - 1.65)), "method": method,
        "budget": budget, "overhead": 0.9 * budget, "accuracy": accuracy, "accuracy_low": accuracy - 0.02,
        "accuracy_high": np.minimum(accuracy + 0.02, 1.0), "clean_accuracy": clean,
    })


def synthetic(methods=("tac", "uniform-msp"), budgets=(0.01, 0.05, 0.25), clean=0.98):
    return pd.concat([curve(method, budget, 1.8 + 0.1 * rank - 0.2 * budget, clean=clean)
                      for rank, method in enumerate(methods) for budget in budgets], ignore_index=True)


def searched(budgets=(0.01, 0.05)):
    """Knots of a search: the ends, and some that close in on a crossing, at other places for each curve."""
    steps = 2.0 ** -np.arange(-2, 5.0) * np.log(2.0) / 30.0  # 4 octaves down to a sixteenth
    tables = []
    for budget in budgets:
        middle = 1.9 - budget
        tables.append(curve("tac", budget, middle - 0.06, np.unique([1.7, 2.2, middle, *(middle - steps)])))
    return pd.concat(tables, ignore_index=True)


def draw(points, target=0.95, **known):
    return plots.draw_sweep(points, Frontier(points, target).to_frame(), target, **known)


def is_marker_line(line):
    return line.get_linestyle() == "None"


def curves_of(axes):
    """The lines of the curves, without the target's and without markers."""
    return [line for line in axes.lines if not is_marker_line(line) and line.get_transform() == axes.transData]


def texts_of(figure):
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert not any(line.startswith("%") for text in texts for line in text.split("\n"))
    return [text.replace("\n", " ").replace("\u00a0", " ") for text in texts]


def drawn_stretches(line):
    """Pairs of neighbouring points that a line joins: shape (k, 2)."""
    x = np.asarray(line.get_xdata(), dtype=float)
    pairs = np.stack([x[:-1], x[1:]], axis=1)
    return pairs[np.isfinite(pairs).all(axis=1)]


def octaves(pairs):
    return 30.0 * (pairs[:, 1] - pairs[:, 0]) / np.log(2.0)


def arrows_of(axes):
    """(x, y, +1 or -1) of each arrow."""
    return [(*text.xy, np.sign(text.xyann[1])) for text in axes.texts if isinstance(text, Annotation)]


def bars_of(axes):
    """Line width -> low and high ends of its bars, in the order in which they were drawn."""
    bars: dict[float, list[tuple[float, float]]] = {}
    for container in axes.containers:
        for lines in container.lines[2]:
            ends = [(segment[0, 1], segment[1, 1]) for segment in lines.get_segments()]
            bars.setdefault(float(lines.get_linewidth()[0]), []).extend(ends)
    return bars


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


def test_methods_with_the_same_frontier_share_a_line():
    points = pd.concat([synthetic(methods=("tac",)), synthetic(methods=("tac",)).assign(method="magnitude"),
                        synthetic(methods=("tac",)).assign(method="none", budget=0.0, overhead=0.0)[:len(GRID)]],
                       ignore_index=True)
    figure = draw(points)
    lines = [line for line in figure.axes[1].lines if line.get_drawstyle() == "steps-post"]
    assert len(lines) == 2
    assert "TAC; magnitude (coincide)" in texts_of(figure)


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


def test_every_method_has_a_label_and_a_marker_of_its_own():
    assert len({method_label(method) for method in METHODS}) == len(METHODS)
    looks = style.looks(pd.DataFrame({"method": METHODS}))
    assert len({look.marker for look in looks.values()}) == len(METHODS)
    assert method_label("tac") == "TAC"
    assert method_label("none") == "uncompensated"


# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291, severity 1.
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def lab(colour, sight):
    """CIE L*a*b* of a colour as seen with a matrix of linear RGB."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(sight) @ linear, 0.0, 1.0) / (0.9505, 1.0, 1.089)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.array([116.0 * root[1] - 16.0, 500.0 * (root[0] - root[1]), 200.0 * (root[1] - root[2])])


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["normal", "deuteranopia", "protanopia"])
def test_method_colours_stay_apart(sight):
    seen = [lab(colour, sight) for colour in style.COLOURS]
    assert min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2)) > 15.0


def test_the_first_method_colours_stay_apart_in_grey():
    lightness = sorted(lab(colour, np.eye(3))[0] for colour in style.COLOURS[:4])
    assert min(np.diff(lightness)) > 10.0


def test_no_number_of_cells_looks_like_the_target():
    """CIE distance; that of the method colours from one another is 15 at least."""
    for count in range(2, 8):
        points = pd.DataFrame({"method": "joint", "budget": 0.0, "cells": np.arange(1.0, count + 1.0)})
        seen = [lab(tuple(colour)[:3], np.eye(3)) for colour in style.colours_of(points).values()]
        assert len(seen) == count
        assert min(np.linalg.norm(one - lab(style.TARGET, np.eye(3))) for one in seen) > 40.0


def test_a_refined_sweep_shows_every_knot(tiny, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(result, "save_sweep", lambda points, *given, **more: shown.append(points))
    found = qc.sweep(qc.load_workload(tiny), "3nm", np.linspace(1.7, 2.1, 3), [0.3], ["tac"], trials=2, workers=1)
    found.save(tmp_path)
    assert found.knots is not None
    assert len(found.knots) > len(found.points)
    assert len(shown[0]) == len(found.knots)
    assert set(found.grid_nm) <= set(shown[0]["thickness_nm"])


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
