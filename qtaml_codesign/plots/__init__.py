"""The figures, drawn from tables alone: `points` as in `sweep.csv`, `table` as in `frontier.csv`.

They use `matplotlib.figure.Figure` directly, so that a caller's pyplot state and backend stay as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from qtaml_codesign.nets.metric import ACCURACY, Metric
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.plots.curves import draw_curves
from qtaml_codesign.plots.frontier import draw_frontier, panels_of
from qtaml_codesign.plots.saving import save_figure
from qtaml_codesign.plots.style import amounts_of, spent_text, typeset

__all__ = ["draw_curves", "draw_frontier", "draw_sweep", "save_sweep"]


def draw_sweep(
    points: pd.DataFrame, table: pd.DataFrame, target: float | str | Target, title: str = "", *,
    metric: Metric = ACCURACY, window_s: float | None = None, confidence: float = 0.95,
    knots: pd.DataFrame | None = None, searched: bool | None = None,
) -> Figure:
    """The panels of `frontier.png`: the metric against oxide thickness, and thinnest oxide against what is spent.

    Args:
        points, table: columns of `sweep.csv` and of `frontier.csv`.
        target: what is to be kept, as in `sweep`.
        metric: what was measured.
        title: card and workload; the line below it names target, window, trials and intervals.
        window_s: inference window in s; None leaves it out.
        confidence: two-sided level of the intervals.
        knots: what was measured where `points` was interpolated; None: `points`.
        searched: whether `points` are the knots of a search; None: when its curves have thicknesses of their own.

    Raises:
        InputError: a target that cannot be read.
    """
    widths = (1.25, sum(panel.width for panel in panels_of(table)))
    figure = Figure(figsize=(13.0 * max(1.0, sum(widths) / 2.25), 7.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=widths)
    wanted = as_target(target)
    draw_curves(points, wanted, left, knots, searched, below="left", metric=metric)
    draw_frontier(points, table, wanted, right, below="right")
    facts = _facts(points if knots is None else knots, wanted, metric, window_s, confidence)
    figure.suptitle(f"{title}\n{facts}" if title else facts, fontsize=12)
    return figure


def save_sweep(
    points: pd.DataFrame, table: pd.DataFrame, target: float | str | Target, path: Path | BinaryIO, title: str = "",
    *, figure_format: str = "png", **told: Any,
) -> None:
    """Write `draw_sweep` to a file that holds neither a date nor the name of a program.

    Args:
        points, table, target, title: as for `draw_sweep`.
        path: the file, or an open one in binary mode.
        figure_format: png, svg or pdf.
        told: its other arguments.

    Raises:
        InputError: a target that cannot be read.
        OSError: the file cannot be written.
    """
    save_figure(draw_sweep(points, table, target, title, **told), path, figure_format)


def _facts(
    measured: pd.DataFrame, target: Target, metric: Metric, window_s: float | None, confidence: float
) -> str:
    """Target, inference window, trials per measured point and what the bars are."""
    threshold = target.value(float(measured[metric.clean_column].iloc[0]))
    facts = [f"target {typeset(target)} = {threshold:.4g}" if target.factor else f"target {target}"]
    if window_s is not None:
        facts.append(f"inference window {EngFormatter('s')(window_s) if window_s < 1.0 else f'{window_s:.4g} s'}")
    for cells, amounts in amounts_of(measured).items():
        if len(amounts) == 1:
            spent = spent_text(cells, amounts)
            facts.append(f"{spent} per weight" if cells else f"budget {spent}")
    if "trials" in measured:
        few, many = int(measured["trials"].min()), int(measured["trials"].max())
        facts.append(f"{few} trials per point" if few == many else f"{few} to {many} trials per point")
    return "; ".join([*facts, f"bars and bands: {100.0 * confidence:.3g} % intervals over trials"])
