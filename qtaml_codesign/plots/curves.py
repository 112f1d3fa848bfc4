"""The metric against oxide thickness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from qtaml_codesign.nets.metric import ACCURACY, Metric
from qtaml_codesign.nets.target import Target
from qtaml_codesign.plots.style import TARGET, Look, Side, colours_of, legend, looks, spent_text, typeset
from qtaml_codesign.tac.choices import Choice, choice_of, curve_columns
from qtaml_codesign.tac.methods import method_label

CLOSE_OCTAVES = 1.5
"""Neighbours of a grid no further apart than this in the flip probability are joined by a line."""

FLAT = 0.05
"""Neighbours of a grid whose values differ by no more than this part of the scale are joined too: the curve lies
between them. The scale of accuracy is 1; of a metric without bounds, 20 times what the target allows to lose."""

SEARCH_OCTAVES = 0.1
"""Of a search, only the knots around the crossing, a sixteenth of an octave apart, are joined."""

_TICKS = (0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-9, 1e-12, 1e-20, 1e-50, 1e-100, 1e-300)
VALUES = ("value", "low", "high")

Curves = list[tuple[pd.DataFrame, list[Choice]]]
"""Rows of a curve by rising thickness, and what it stands for."""


def draw_curves(
    points: pd.DataFrame, target: Target, axes: Any, knots: pd.DataFrame | None = None, searched: bool | None = None,
    below: Side | None = None, metric: Metric = ACCURACY,
) -> Any:
    """The metric against oxide thickness: a marker per measured point, coloured by budget or cells, shaped by method.

    Lines and bands join points of a grid where little can happen between them (`CLOSE_OCTAVES`, `FLAT`). A search
    leaves its knots with bars: between them nothing was measured. Curves with the same rows are drawn once, and the
    legend says so. The view ends where every curve has come within 1 % of the scale of its value at the thickest oxide.

    Args:
        points: columns of `sweep.csv`.
        target: what is to be kept.
        axes: matplotlib axes.
        knots: what was measured where `points` was interpolated; None: `points`.
        searched: whether `points` are the knots of a search; None: when its curves have thicknesses of their own.
        below: put the legend at the foot of the figure, on this side; None: into the axes.
        metric: what was measured.
    """
    clean = float(points[metric.clean_column].iloc[0])
    threshold = target.value(clean)
    scale = metric.limits[1] - metric.limits[0] if metric.is_bounded else abs(clean - threshold) / FLAT
    points, knots = _plain(points, metric, scale), knots if knots is None else _plain(knots, metric, scale)
    if searched is None:
        searched = bool(points.groupby("thickness_nm").size().nunique() > 1)
    curves, look, colours = _distinct(points), looks(points), colours_of(points)
    known = {} if knots is None else _by_curve(knots)
    for curve, (first, *_) in curves:
        measured = curve if knots is None else known[first]
        _draw_curve(axes, curve, measured, look[first.method], colours.get(first, look[first.method].colour), searched)
    aim = axes.axhline(threshold, color=TARGET, linewidth=1.2, linestyle=(0, (2, 2)),
                       label=f"target: {typeset(target)}")
    axes.set(xlabel="oxide thickness (nm)", ylabel=metric.name, xlim=_busy_range(points))
    view = _view(points, metric, clean)
    axes.set_ylim(*view)
    axes.grid(alpha=0.25)
    _flip_axis(points, axes)
    note = _note(searched, knots is not None, beyond=not points["value"].between(*view).all())
    legend(axes, [aim, *_handles(curves, look, colours, searched), note], 3, below)
    return axes


def _plain(points: pd.DataFrame, metric: Metric, scale: float) -> pd.DataFrame:
    """The table with the metric's columns as value, low and high; what is infinite is left out of the figure."""
    named = points.rename(columns=dict(zip(metric.columns, VALUES, strict=True)))
    return named.assign(scale=scale).replace([np.inf, -np.inf], np.nan)


def _view(points: pd.DataFrame, metric: Metric, clean: float) -> tuple[float, float]:
    """Ends of the axis: all that a bounded metric can be; else what lies within the scale of the clean value."""
    low, high = metric.limits
    if metric.is_bounded:
        return low, high + FLAT * (high - low)
    scale = float(points["scale"].iloc[0])
    low = max(min(clean, float(points["low"].min())), clean - scale)
    high = min(max(clean, float(points["high"].max())), clean + scale)
    return low - FLAT * scale, high + FLAT * scale


def _distinct(points: pd.DataFrame) -> Curves:
    """The curves of a table, those with the same rows as one."""
    found: dict[bytes, tuple[pd.DataFrame, list[Choice]]] = {}
    for choice, curve in _by_curve(points).items():
        rows = curve[["thickness_nm", *VALUES]].to_numpy(float).tobytes()
        found.setdefault(rows, (curve, []))[1].append(choice)
    return list(found.values())


def _by_curve(table: pd.DataFrame) -> dict[Choice, pd.DataFrame]:
    """The rows of each curve by rising thickness."""
    return {choice_of(rows.iloc[0]): rows.sort_values("thickness_nm")
            for _, rows in table.groupby(curve_columns(table.columns), sort=False)}


def _draw_curve(
    axes: Any, curve: pd.DataFrame, measured: pd.DataFrame, look: Look, colour: Any, searched: bool
) -> None:
    joined = _joined(curve, searched)
    places = np.flatnonzero(~joined) + 1
    x = np.insert(curve["thickness_nm"].to_numpy(float), places, np.nan)
    middle, low, high = (np.insert(curve[name].to_numpy(float), places, np.nan) for name in VALUES)
    axes.plot(x, middle, linestyle=look.dashes, color=colour, linewidth=1.5)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(measured["thickness_nm"], measured["value"], look.marker, color=colour, markersize=4.5,
              markeredgecolor="white", markeredgewidth=0.4, zorder=3)
    alone = curve if searched else curve[~(np.append(joined, False) | np.insert(joined, 0, False))]
    if len(alone):
        bars = [alone["value"] - alone["low"], alone["high"] - alone["value"]]
        axes.errorbar(alone["thickness_nm"], alone["value"], yerr=np.maximum(bars, 0.0), fmt="none", ecolor=colour,
                      elinewidth=1.0, zorder=2)


def _joined(curve: pd.DataFrame, searched: bool) -> NDArray[np.bool_]:
    """(n - 1,) whether a line may join each point of a curve with the next one."""
    flips = np.maximum(curve["flip_probability"].to_numpy(float), np.finfo(float).tiny)
    octaves = np.abs(np.diff(np.log2(flips)))
    if searched:
        return np.asarray(octaves <= SEARCH_OCTAVES)
    flat = np.abs(np.diff(curve["value"].to_numpy(float))) <= FLAT * curve["scale"].iloc[0]
    return np.asarray((octaves <= CLOSE_OCTAVES) | flat)


def _handles(curves: Curves, look: dict[str, Look], colours: dict[Choice, Any], searched: bool) -> list[Any]:
    """A shape per method, a colour per budget and per number of cells, and what coincides."""
    shaded = {choice.method for choice in colours}
    shapes = [Line2D([], [], color="black" if method in shaded else own.colour, marker=own.marker,
                     linestyle="none" if searched else own.dashes, label=method_label(method))
              for method, own in look.items()]
    by_amount = {(choice.spends_cells, choice.amount): colour for choice, colour in colours.items()}
    shades = [Line2D([], [], color=by_amount[cells, amount], linewidth=3,
                     label=f"{'' if cells else 'budget '}{spent_text(cells, [amount])}")
              for cells, amount in sorted(by_amount)]
    same = [Line2D([], [], color=colours.get(first, look[first.method].colour), marker=look[first.method].marker,
                   linestyle="none" if searched else look[first.method].dashes, label=_coinciding([first, *others]))
            for _, (first, *others) in curves if others]
    return [*shapes, *shades, *same]


def _note(searched: bool, interpolated: bool, beyond: bool) -> Any:
    lines = "nothing between them" if searched else "lines: interpolated" if interpolated else "lines join close ones"
    left_out = "; worse values lie beyond the axis" if beyond else ""
    return Line2D([], [], color="none", label=f"markers: measured; {lines}{left_out}")


def _coinciding(names: list[Choice]) -> str:
    amounts: dict[tuple[str, bool], list[float]] = {}
    for one in names:
        amounts.setdefault((one.method, one.spends_cells), []).append(one.amount)
    text = "; ".join(f"{method_label(method)} {spent_text(cells, sorted(some))}"
                     for (method, cells), some in amounts.items())
    return f"{text} (coincide)"


def _busy_range(points: pd.DataFrame) -> tuple[float, float]:
    """Ends of the thickness axis: the thin end of the grid, and a little beyond the last thickness that matters."""
    grid = np.sort(points["thickness_nm"].unique())
    final = points.sort_values("thickness_nm").groupby(curve_columns(points.columns))["value"].transform("last")
    away = points.loc[(final - points["value"]).abs() > 0.01 * points["scale"], "thickness_nm"]
    last = float(away.max()) if len(away) else float(grid[-1])
    following = float(grid[min(int(np.searchsorted(grid, last)) + 1, len(grid) - 1)])
    end = min(float(grid[-1]), max(following, last + 0.25 * (last - float(grid[0]))))
    margin = 0.02 * (end - float(grid[0]) or end)
    return float(grid[0]) - margin, end + margin


def _flip_axis(points: pd.DataFrame, axes: Any) -> None:
    """Second axis on top: ticks at round flip probabilities, placed where the sweep's own curve has them."""
    curve = points.drop_duplicates("thickness_nm").sort_values("thickness_nm")
    curve = curve[curve["flip_probability"] > 0.0]
    if len(curve) < 2:
        return
    log_flips, thickness = np.log(curve["flip_probability"].to_numpy(float)), curve["thickness_nm"].to_numpy(float)
    wanted = [value for value in _TICKS if log_flips.min() <= np.log(value) <= log_flips.max()]
    places = np.interp(-np.log(wanted), -log_flips, thickness) if wanted else np.empty(0)
    start, end = axes.get_xlim()
    kept = [index for index in _spaced(places, 0.06 * (end - start)) if start <= places[index] <= end]
    top = axes.secondary_xaxis("top")
    top.set_xticks(places[kept], [f"{wanted[index]:.3g}" for index in kept])
    top.set_xlabel("flip probability per bit")


def _spaced(places: Any, gap: float) -> list[int]:
    """Indices of the ticks that stand at least `gap` apart, from the left."""
    kept: list[int] = []
    for index, place in enumerate(places):
        if not kept or place - places[kept[-1]] >= gap:
            kept.append(index)
    return kept
