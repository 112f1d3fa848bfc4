"""One look for all figures: readable in print, the same bytes at every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.methods import method_label

__all__ = ["COLOURS", "HATCHES", "MARKERS", "METHOD_COLOURS", "METHOD_HATCHES", "STYLES", "bars", "curve", "dots",
           "in_order", "method_label", "new_figure", "reach", "save"]
COLOURS = ("#0b5394", "#c1440e", "#2f7d32", "#6a3d9a", "#8c6d1f", "#444444", "#00838f", "#ad1457")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1)))
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "++", "oo")
METHOD_COLOURS = {
    "tac": "#0b5394", "tac-bits-only": "#5b9bd5", "tac-always-corrected": "#7b1fa2",
    "tac-unprotected-corrected": "#00838f", "tac-slope-corrected": "#ad1457", "tac-rescaled": "#a9c4e4",
    "uniform-msp": "#c1440e", "uniform-msp-fractional": "#e59866", "mean-only": "#6a3d9a", "magnitude": "#8c6d1f",
    "sensitivity": "#2f7d32", "random": "#444444", "random-layers": "#8d8d8d", "none": "#bdbdbd",
}
METHOD_HATCHES = {name: HATCHES[index % len(HATCHES)] for index, name in enumerate(METHOD_COLOURS)}
LOOK = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "legend.fontsize": 8.5, "axes.grid": True,
    "grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.6,
    "lines.markersize": 5, "savefig.dpi": 150, "svg.hashsalt": "qtaml-codesign", "svg.fonttype": "none",
}


def new_figure(
    rows: int = 1, columns: int = 1, width: float = 6.0, height: float = 4.2, **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, an array of shape (rows, columns); width and height in inches per axes."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def curve(axes: Any, table: pd.DataFrame, x: str, index: int = 0, y: str = "accuracy", label: str | None = None,
          scale: float = 1.0, **options: Any) -> None:
    """A line with markers through `y` against `scale` * `x`, and the band from `low` to `high`.

    `drawstyle="steps-post"` holds each value until the next, for methods that a budget in between buys nothing.
    """
    ordered = table.sort_values(x)
    places = scale * ordered[x].to_numpy(float)
    colour = options.pop("color", COLOURS[index % len(COLOURS)])
    options = {"marker": MARKERS[index % len(MARKERS)], "linestyle": STYLES[index % len(STYLES)], **options}
    axes.plot(places, ordered[y], color=colour, label=label, **options)
    step = "post" if options.get("drawstyle") == "steps-post" else None
    axes.fill_between(places, ordered["low"], ordered["high"], color=colour, alpha=0.15, linewidth=0, step=step)


def in_order(count: int) -> list[str]:
    """`count` colours from dark to light, for values with an order; they differ in print without colour too.

    Example:
        >>> in_order(2)
        ['#440154', '#b0dd2f']
    """
    return [mpl.colors.to_hex(mpl.colormaps["viridis"](place)) for place in np.linspace(0.0, 0.88, count)]


def bars(axes: Any, table: pd.DataFrame, labels: str, y: str = "accuracy", colours: Any = COLOURS[0],
         hatches: Sequence[str] | None = None) -> None:
    """Horizontal bars from the top down, with intervals and the value beside each."""
    places = np.arange(len(table))[::-1]
    errors = np.stack([table[y] - table["low"], table["high"] - table[y]])
    axes.barh(places, table[y], color=colours, alpha=0.8, height=0.65, hatch=hatches, edgecolor="white", linewidth=0)
    axes.errorbar(table[y], places, xerr=np.maximum(errors, 0.0), fmt="none", color="black", capsize=3, linewidth=1.0)
    for place, value, high in zip(places, table[y], table["high"], strict=True):
        axes.annotate(f"{value:.3f}", (high, place), xytext=(4, 0), textcoords="offset points", va="center",
                      fontsize=8.5)
    axes.set_yticks(places, [str(label) for label in table[labels]])
    axes.grid(axis="y", visible=False)


def reach(values: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """The estimates, and how far their intervals reach below and above, (2, n)."""
    middle = np.array([value.estimate for value in values])
    return middle, np.abs(np.array([[value.low, value.high] for value in values]).reshape(-1, 2).T - middle)


def dots(axes: Any, values: Sequence[Interval], places: np.ndarray, index: int, label: str) -> None:
    """Values across with their intervals, one at each place upwards."""
    middle, sides = reach(values)
    axes.errorbar(middle, places, xerr=sides, fmt=MARKERS[index], color=COLOURS[index], capsize=3, markersize=7,
                  label=label)


def save(figure: Figure, stem: Path) -> None:
    """Write STEM.png and STEM.svg; neither holds a date."""
    with mpl.rc_context(LOOK):
        figure.savefig(stem.with_suffix(".png"), metadata={"Software": None})
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
