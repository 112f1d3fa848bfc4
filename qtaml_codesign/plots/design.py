"""What a solved card field hangs on: a tornado of its numbers, and a map over two of them."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qtaml_codesign.plots.style import COLOURS

_SHOWN = 12


def draw_tornado(table: pd.DataFrame, field: str, value: float, title: str = "") -> Figure:
    """Bars from the solved value to where each card field moves it, the farthest on top.

    Args:
        table: of `Design.tornado`.
        field: the solved field.
        value: its value with the card as it is.
        title: what was solved.
    """
    shown = table.head(_SHOWN).iloc[::-1]
    figure = Figure(figsize=(9.0, 1.6 + 0.45 * len(shown)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes, places = figure.subplots(), np.arange(len(shown))
    for end, colour, told in (("low", COLOURS[0], "low end"), ("high", COLOURS[1], "high end")):
        axes.barh(places, shown[f"at_{end}"] - value, left=value, color=colour, height=0.6, label=told)
    ends = shown[["at_low", "at_high"]].to_numpy(float)
    if _spans_decades(ends[np.isfinite(ends)]):
        axes.set_xscale("log")
    axes.axvline(value, color="black", linewidth=1.0)
    axes.set_yticks(places, [_bar_name(row) for _, row in shown.iterrows()])
    axes.set_xlabel(f"{field} that keeps the target")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, loc="best", title="of the range")
    figure.suptitle(title, fontsize=11)
    return figure


def draw_map(table: pd.DataFrame, title: str = "") -> Figure:
    """The solved field as filled contours over two other fields.

    Args:
        table: of `Design.map` over two fields.
        title: what was solved.
    """
    across, up, solved = table.columns
    grid = table.pivot(index=up, columns=across, values=solved)
    figure = Figure(figsize=(8.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = np.ma.masked_invalid(grid.to_numpy(float))
    geometric = _spans_decades(values.compressed())
    levels = np.geomspace(values.min(), values.max(), 15) if geometric else np.linspace(values.min(), values.max(), 15)
    norm = mpl.colors.LogNorm() if geometric else None
    filled = axes.contourf(grid.columns, grid.index, values, levels=levels, cmap="viridis", norm=norm)
    lines = axes.contour(grid.columns, grid.index, values, levels=levels[1:-1:2], colors="white", linewidths=0.8)
    axes.clabel(lines, fmt=lambda level: f"{level:.3g}", fontsize=8)
    for name, axis, ticks in ((across, "x", grid.columns), (up, "y", grid.index)):
        getattr(axes, f"set_{axis}label")(name)
        if _spans_decades(np.asarray(ticks, dtype=float)):
            getattr(axes, f"set_{axis}scale")("log")
    figure.colorbar(mpl.cm.ScalarMappable(filled.norm, filled.cmap), ax=axes, label=f"{solved} that keeps the target")
    figure.suptitle(title, fontsize=11)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the ending of the name says as what.

    Args:
        figure: of this module.
        path: .png, .svg or .pdf.
    """
    figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else None)


def _bar_name(row: pd.Series) -> str:
    return f"{row['field']}\n{row['low']:.4g} to {row['high']:.4g}" + ("" if row["stated"] else " (assumed)")


def _spans_decades(values: NDArray[np.float64]) -> bool:
    """Whether a logarithmic axis shows them better."""
    return bool(len(values) > 2 and values.min() > 0.0 and values.max() / values.min() >= 10.0)
