"""What a solved card field hangs on: a tornado of its numbers, and a map over two of them."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from qtaml_codesign.plots.style import COLOURS

_SHOWN = 12
_LEVELS = 8
_LABEL_REACH = 0.42
"""Half the share of the axes, about their middle, inside which a line may be labelled whole."""
_STAR_REACH = 0.1
_FINE = 200


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


def draw_map(table: pd.DataFrame, title: str = "", here: tuple[float, float] | None = None) -> Figure:
    """The solved field as filled contours over two other fields, lines and bands at the same round values.

    Args:
        table: of `Design.map` over two fields.
        title: what was solved.
        here: the card's own values of the two fields; a star marks them where they lie inside the grid.
    """
    across, up, solved = table.columns
    grid = table.pivot(index=up, columns=across, values=solved)
    figure = Figure(figsize=(8.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = table[solved].dropna().to_numpy(float)
    levels, norm = _round_levels(values), mpl.colors.LogNorm() if _spans_decades(values) else None
    fine = _refined(grid)
    filled = axes.contourf(*fine, levels=levels, cmap="viridis", norm=norm)
    lines = axes.contour(*fine, levels=levels, colors="white", linewidths=0.8)
    for name, axis, ticks in ((across, "x", grid.columns), (up, "y", grid.index)):
        getattr(axes, f"set_{axis}label")(name)
        if _spans_decades(np.asarray(ticks, dtype=float)):
            getattr(axes, f"set_{axis}scale")("log")
    if here is not None:
        _mark_card(axes, here, grid)
    axes.clabel(lines, fmt=_number, fontsize=8, manual=_label_places(axes, lines, here))
    figure.colorbar(filled, ax=axes, ticks=levels, format=mpl.ticker.FuncFormatter(lambda level, _: _number(level)),
                    label=f"{solved} that keeps the target")
    figure.suptitle(title, fontsize=11)
    return figure


def _bar_name(row: pd.Series) -> str:
    return f"{row['field']}\n{row['low']:.4g} to {row['high']:.4g}" + ("" if row["stated"] else " (assumed)")


def _spans_decades(values: NDArray[np.float64]) -> bool:
    """Whether a logarithmic axis shows them better."""
    return bool(len(values) > 2 and values.min() > 0.0 and values.max() / values.min() >= 10.0)


def _round_levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """About eight round numbers, the first and the last of them around all values."""
    low, high = float(values.min()), float(values.max())
    if _spans_decades(values):
        few = high / low < 10.0 ** (_LEVELS / 3.0)
        locator: Any = mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=_LEVELS + 1)
    else:
        locator = mpl.ticker.MaxNLocator(_LEVELS, steps=[1, 2, 2.5, 5, 10])
    levels: NDArray[np.float64] = np.asarray(locator.tick_values(low, high), dtype=np.float64)
    below, above = levels[levels <= low], levels[levels >= high]
    least = np.searchsorted(levels, below.max(initial=levels[0]))
    return levels[least:len(levels) - len(above) + 1]


def _refined(grid: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places across and up, and the values there, interpolated in logarithms where the axes are: lines do not kink."""
    across, up = (np.asarray(ticks, dtype=float) for ticks in (grid.columns, grid.index))
    values = grid.to_numpy(float)
    logs = [_spans_decades(one) for one in (up, across, values[np.isfinite(values)])]
    scaled = [np.log(one) if log else one for one, log in zip((up, across, values), logs, strict=True)]
    fine = [np.linspace(one.min(), one.max(), _FINE) for one in scaled[:2]]
    found = RegularGridInterpolator(scaled[:2], scaled[2])(tuple(np.meshgrid(*fine, indexing="ij")))
    rows, columns, inner = (np.exp(one) if log else one for one, log in zip((*fine, found), logs, strict=True))
    return columns, rows, np.ma.masked_invalid(inner)


def _label_places(axes: Any, lines: Any, here: tuple[float, float] | None) -> list[tuple[float, float]]:
    """For each level the point of its line that is nearest to the middle, but not at the edge nor under the star."""
    to_axes = axes.transData + axes.transAxes.inverted()
    star = to_axes.transform([here or (np.nan, np.nan)])
    places = []
    for path in lines.get_paths():
        place = to_axes.transform(path.vertices)
        reach = np.abs(place - 0.5).max(axis=1)
        free = (reach < _LABEL_REACH) & ~(np.abs(place - star).max(axis=1) < _STAR_REACH)
        if free.any():
            nearest = path.vertices[np.argmin(np.where(free, reach, np.inf))]
            places.append((float(nearest[0]), float(nearest[1])))
    return places


def _mark_card(axes: Any, here: tuple[float, float], grid: pd.DataFrame) -> None:
    ends = ((grid.columns.min(), grid.columns.max()), (grid.index.min(), grid.index.max()))
    if all(low <= value <= high for value, (low, high) in zip(here, ends, strict=True)):
        axes.plot(*here, "*", color=COLOURS[1], markersize=15, markeredgecolor="white", label="the card",
                  clip_on=False, zorder=5)
        axes.legend(loc="best")


def _number(level: float) -> str:
    return f"{level:.4g}"
