"""Thinnest oxide against what is spent: ECC overhead, or cells per weight."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from qtaml_codesign.nets.target import Target
from qtaml_codesign.plots.style import Look, Side, legend, looks, percent, typeset
from qtaml_codesign.tac.choices import choice_of
from qtaml_codesign.tac.methods import CELL_METHODS, method_label

_SAME = ["thickness_nm", "thickness_low_nm", "thickness_high_nm"]
_ARROW_POINTS = 20.0
_AXES = {"overhead": "ECC overhead (protected bits, % of stored bits)", "cells": "cells per weight"}

Array = NDArray[np.float64]


class Panel(NamedTuple):
    """Rows of a frontier that share an axis of what is spent.

    Attributes:
        table: columns of `frontier.csv`.
        spent: column of that axis, `overhead` or `cells`; None where the methods stand side by side.
        width: of the panel, 1 that of a panel alone.
    """

    table: pd.DataFrame
    spent: str | None
    width: float


def panels_of(table: pd.DataFrame) -> list[Panel]:
    """The panels of a frontier, from the left: one for each currency, as neither converts into the other.

    Where every method has one budget, or one number of cells, alone there is no line to draw, and one panel for all.

    Args:
        table: columns of `frontier.csv`.
    """
    if len(table) and table.groupby("method").size().max() == 1:
        return [Panel(table, None, 0.7)]
    cells = table["method"].isin(CELL_METHODS)
    if "cells" not in table or not cells.any():
        return [Panel(table, "overhead", 1.0)]
    if cells.all():
        return [Panel(table, "cells", 1.0)]
    width = min(1.0, 0.55 + 0.1 * table["cells"][cells].nunique())
    return [Panel(table[~cells], "overhead", 1.0), Panel(table[cells], "cells", width)]


def draw_frontier(points: pd.DataFrame, table: pd.DataFrame, target: Target, axes: Any = None,
                  below: Side | None = None) -> Any:
    """Thinnest oxide (nm) against the protected fraction of the stored bits (%), one line per method.

    Methods that spend cells per weight have an axis of these, in a panel of its own to the right of the others, whose
    place they share. The lines are steps: an overhead between two budgets of the sweep buys what the smaller one buys,
    and so do cells. Thick bars are
    intervals over trials, thin ones over evaluation images where the table has them. An open marker with an arrow
    stands at the end of the range: at its thick end, upwards, when no oxide keeps the target; at its thin end,
    downwards, when all do. So does the arrow of a bar that leaves the range. Where every method has one budget, or
    one number of cells, alone, the methods stand side by side instead.

    Args:
        points: columns of `sweep.csv`; its thicknesses are the range.
        table: columns of `frontier.csv`.
        target: what is to be kept.
        axes: matplotlib axes; None: of a new figure.
        below: put the legend at the foot of the figure, on this side; None: into the axes.
    """
    if axes is None:
        figure = Figure(figsize=(6.0, 5.4), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes, below = figure.subplots(), "center"
    ends = (float(points["thickness_nm"].min()), float(points["thickness_nm"].max()))
    look, panels, handles = looks(points), panels_of(table), []
    places = _places(axes, panels)
    for panel, place in zip(panels, places, strict=True):
        handles += _draw_panel(place, panel, look, ends, alone=len(panels) == 1)
        place.grid(alpha=0.25)
    axes.set_ylabel(f"thinnest oxide that keeps {typeset(target)} (nm)")
    axes.margins(y=0.12)
    legend(places[-1], [*handles, *bar_handles(table), *arrow_handles(table)], 2, below)
    return axes


def _places(axes: Any, panels: list[Panel]) -> list[Any]:
    """Axes for each panel, in the place of those given; they share the axis of thickness."""
    if len(panels) == 1:
        return [axes]
    box = axes.get_position()
    place = axes.get_subplotspec() or GridSpec(1, 1, axes.figure, box.x0, box.y0, box.x1, box.y1)[0]
    both = place.subgridspec(1, 2, width_ratios=[panel.width for panel in panels], wspace=0.04)
    axes.set_subplotspec(both[0])
    beside = axes.figure.add_subplot(both[1], sharey=axes)
    beside.tick_params(labelleft=False)
    return [axes, beside]


def _draw_panel(axes: Any, panel: Panel, look: dict[str, Look], ends: tuple[float, float], alone: bool) -> list[Any]:
    """What the legend is to explain of it; beside another one its text is kept narrow."""
    by = panel.spent or "overhead"
    rows = {str(method): own.sort_values([by, "budget"]).drop_duplicates(by)
            for method, own in panel.table.groupby("method", sort=False)}
    if panel.spent is None:
        _draw_side_by_side(axes, rows, look, ends)
        return []
    axes.set_xlabel(_AXES[by] if alone else textwrap.fill(_AXES[by], 24))
    if by == "cells":
        axes.set_xticks(sorted(panel.table["cells"].unique()))
    return _draw_lines(axes, rows, look, ends, by)


def _draw_side_by_side(
    axes: Any, rows: dict[str, pd.DataFrame], look: dict[str, Look], ends: tuple[float, float]
) -> None:
    for place, (method, own) in enumerate(rows.items()):
        draw_points(axes, np.array([float(place)]), own, look[method], 7.0, ends)
    few, choices = len(rows) <= 3, [choice_of(own.iloc[0]) for own in rows.values()]
    spent = [one.spent if one.spends_cells else percent([float(rows[one.method]["overhead"].iloc[0])])
             for one in choices]
    names = [method_label(one.method) + ("\n" if few else ", ") + text
             for one, text in zip(choices, spent, strict=True)]
    also = f"\nor {_AXES['cells']}" if any(one.spends_cells for one in choices) else ""
    axes.set_xticks(range(len(rows)), names, rotation=0 if few else 40, ha="center" if few else "right")
    axes.set(xlim=(-0.6, len(rows) - 0.4), xlabel=f"method, {_AXES['overhead']}{also}")


def _draw_lines(
    axes: Any, rows: dict[str, pd.DataFrame], look: dict[str, Look], ends: tuple[float, float], by: str
) -> list[Any]:
    """One line for the methods whose rows are the same; markers shrink, so that those behind stay visible."""
    groups: dict[bytes, list[str]] = {}
    for method, own in rows.items():
        groups.setdefault(own[[by, *_SAME]].to_numpy(float).tobytes(), []).append(method)
    sizes, handles = np.linspace(5.0 + 1.5 * (len(groups) - 1), 5.0, len(groups)), []
    for names, size in zip(groups.values(), sizes, strict=True):
        own, how = rows[names[0]], look[names[0]]
        spent = own[by].to_numpy(float) * (1.0 if by == "cells" else 100.0)
        inside = own["thickness_nm"].where(own["status"] == "crossing").to_numpy(float)
        text = "; ".join(method_label(name) for name in names) + (" (coincide)" if len(names) > 1 else "")
        axes.plot(spent, inside, color=how.colour, linewidth=1.6, linestyle=how.dashes, drawstyle="steps-post")
        draw_points(axes, spent, own, how, float(size), ends)
        handles.append(Line2D([], [], color=how.colour, marker=how.marker, linestyle=how.dashes, label=text))
    return handles


def draw_points(axes: Any, x: Array, rows: pd.DataFrame, look: Look, size: float, ends: tuple[float, float]) -> None:
    """Crossings with their bars; an open marker with an arrow at the end of the range where the answer lies outside.

    Args:
        axes: matplotlib axes.
        x: (rows,) places on the other axis.
        rows: of `frontier.csv`.
        look: of the method.
        size: of the markers, in points.
        ends: of the range of thicknesses, in nm.
    """
    inside = (rows["status"] == "crossing").to_numpy(bool)
    kept_nowhere = (rows["status"] == "beyond-range").to_numpy(bool)
    found = rows["thickness_nm"].fillna(ends[1]).to_numpy(float)
    _draw_bars(axes, x, rows, ("thickness_low_nm", "thickness_high_nm"), look.colour, 1.8, size, ends)
    if _has_images(rows):
        _draw_bars(axes, x, rows, ("image_low_nm", "image_high_nm"), look.colour, 0.7, size, ends)
    axes.plot(x[inside], found[inside], look.marker, color=look.colour, markersize=size, markeredgecolor="white",
              markeredgewidth=0.5, zorder=3)
    axes.plot(x[~inside], found[~inside], look.marker, color=look.colour, markersize=size, markerfacecolor="white",
              zorder=3)
    for place in np.flatnonzero(~inside):
        _arrow(axes, x[place], found[place], look.colour, upwards=bool(kept_nowhere[place]))


def _draw_bars(
    axes: Any, x: Array, rows: pd.DataFrame, columns: tuple[str, str], colour: str, width: float,
    size: float, ends: tuple[float, float],
) -> None:
    """Bars from the low to the high column; an end that is NaN lies outside the range and is drawn as an arrow."""
    inside = (rows["status"] == "crossing").to_numpy(bool)
    found = rows["thickness_nm"].fillna(ends[1]).to_numpy(float)
    low, high = (rows[name].to_numpy(float) for name in columns)
    open_low, open_high = inside & np.isnan(low), inside & np.isnan(high)
    low = np.where(np.isnan(low), np.where(inside, ends[0], found), np.minimum(low, found))
    high = np.where(np.isnan(high), ends[1], np.maximum(high, found))
    some = high > low
    axes.errorbar(x[some], found[some], yerr=np.stack([found - low, high - found])[:, some], fmt="none", ecolor=colour,
                  elinewidth=width, capsize=size / 2.0 + 1.5, capthick=width, zorder=2)
    for place in np.flatnonzero(open_low):
        _arrow(axes, x[place], low[place], colour, upwards=False)
    for place in np.flatnonzero(open_high):
        _arrow(axes, x[place], high[place], colour, upwards=True)


def _arrow(axes: Any, x: float, y: float, colour: str, upwards: bool) -> None:
    """An arrow of fixed length on the page, from a point of the axes up or down."""
    tip = _ARROW_POINTS if upwards else -_ARROW_POINTS
    axes.annotate("", xy=(x, y), xytext=(0.0, tip), textcoords="offset points",
                  arrowprops={"arrowstyle": "<|-", "color": colour, "linewidth": 1.2, "shrinkA": 0.0, "shrinkB": 3.0})


def _has_images(table: pd.DataFrame) -> bool:
    return bool(table[["image_low_nm", "image_high_nm"]].notna().any(axis=None))


def bar_handles(table: pd.DataFrame) -> list[Any]:
    """What the legend says of the bars.

    Args:
        table: columns of `frontier.csv`.
    """
    bars = [(1.8, "interval over trials")]
    if _has_images(table):
        bars.append((0.7, "interval over evaluation images"))
    return [Line2D([], [], color="black", marker="|", linestyle="none", markersize=12, markeredgewidth=width,
                   label=text) for width, text in bars]


def arrow_handles(table: pd.DataFrame) -> list[Any]:
    """What the legend says of the arrows, as far as there are any.

    Args:
        table: columns of `frontier.csv`.
    """
    meanings = (("at-or-below-range", r"$\downarrow$", "thin end of the range, or thinner"),
                ("beyond-range", r"$\uparrow$", "no oxide of the range keeps it"))
    return [Line2D([], [], color="black", marker=marker, linestyle="none", markersize=10, label=text)
            for status, marker, text in meanings if (table["status"] == status).any()]
