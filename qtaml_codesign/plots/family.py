"""The frontier over another card field: thinnest oxide against temperature, window and the like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qtaml_codesign.plots.frontier import arrow_handles, bar_handles, draw_points
from qtaml_codesign.plots.style import Look, colours_of, legend, looks, percent
from qtaml_codesign.tac.choices import choice_of, curve_columns
from qtaml_codesign.tac.methods import method_label

_LEAST_SPAN_nm = 0.01
"""Of the axis of thickness: picometres below it are beyond what any card knows."""


def draw_family(table: pd.DataFrame, field: str, title: str = "", ends: tuple[float, float] | None = None) -> Figure:
    """Thinnest oxide against a card field, a curve for each method and what it spends, with its interval.

    An open marker with an arrow stands at an end of the range of thicknesses where the answer lies outside; no line
    leads to it.

    Args:
        table: columns of `frontier.csv` after the fields that were varied; of these only the last is drawn, at the
            first value of the others.
        field: that one.
        title: what was swept.
        ends: of the range of thicknesses, in nm; None: those of the table.
    """
    others = list(table.columns[:list(table.columns).index(field)])
    shown = table[(table[others] == table[others].iloc[0]).all(axis=1)] if others else table
    figure = Figure(figsize=(8.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = shown[field].to_numpy(float)
    if values.min() > 0.0 and values.max() / values.min() >= 30.0:
        axes.set_xscale("log")
    handles = _draw_curves(axes, shown, field, _ends(table) if ends is None else ends)
    axes.set(xlabel=field, ylabel="thinnest oxide (nm)")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)
    _widen(axes)
    legend(axes, [*handles, *bar_handles(shown), *arrow_handles(shown)], 2, "center")
    fixed = "".join(f"; {name} = {table[name].iloc[0]:g}" for name in others)
    figure.suptitle(f"{title}{fixed}; bars: 95 % intervals", fontsize=11)
    return figure


def _draw_curves(axes: Any, shown: pd.DataFrame, field: str, ends: tuple[float, float]) -> list[Any]:
    """Lines between neighbouring crossings alone, markers that shrink so that those behind stay visible."""
    look, shades, handles = looks(shown), colours_of(shown), []
    groups = [group for _, group in shown.groupby(curve_columns(shown.columns), sort=False)]
    for group, size in zip(groups, np.linspace(4.0 + 1.5 * len(groups), 5.5, len(groups)), strict=True):
        own, choice = group.sort_values(field), choice_of(group.iloc[0])
        plain = look[choice.method]
        how = Look(shades.get(choice, plain.colour), plain.marker, plain.dashes)
        across = own[field].to_numpy(float)
        axes.plot(across, own["thickness_nm"].where(own["status"] == "crossing"), color=how.colour,
                  linestyle=how.dashes)
        draw_points(axes, across, own, how, size, ends)
        told = choice.spent if choice.spends_cells else _overheads(own["overhead"].min(), own["overhead"].max())
        handles.append(Line2D([], [], color=how.colour, marker=how.marker, linestyle=how.dashes,
                              label=f"{method_label(choice.method)}, {told}"))
    return handles


def _overheads(low: float, high: float) -> str:
    ends = dict.fromkeys((percent([low]), percent([high])))
    return f"{' to '.join(ends)} overhead"


def _ends(table: pd.DataFrame) -> tuple[float, float]:
    found = table[["thickness_nm", "thickness_low_nm", "thickness_high_nm"]].stack().to_numpy(float)
    return (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)


def _widen(axes: Any) -> None:
    """A curve that hardly moves is drawn as what it is."""
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN_nm:
        axes.set_ylim((low + high - _LEAST_SPAN_nm) / 2.0, (low + high + _LEAST_SPAN_nm) / 2.0)
