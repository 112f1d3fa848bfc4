"""The figures, drawn from tables alone: `points` as in `sweep.csv`, `table` as in `frontier.csv`.

They use `matplotlib.figure.Figure` directly, so that a caller's pyplot state and backend stay as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    import pandas as pd

_LINE_STYLES: tuple[Any, ...] = (
    "-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1)),
)
_METHOD_COLOURS = ("#0b5394", "#c1440e", "#2f7d32", "#6a3d9a", "#8c6d1f", "#444444", "#00838f", "#ad1457")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_METHOD_LABELS = {"tac": "TAC", "uniform-msp": "Uniform-MSP", "tac-bits-only": "TAC, bits only"}
_TICKS = (0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-9, 1e-12, 1e-20, 1e-50, 1e-100, 1e-300)


def draw_sweep(points: pd.DataFrame, table: pd.DataFrame, target: float, title: str = "") -> Figure:
    """The two panels of `frontier.png`: accuracy against oxide thickness, and thinnest oxide against ECC overhead.

    Bands and bars are the intervals of the sweep. Units: nm, % of stored bits, accuracy in 0..1.
    """
    figure = Figure(figsize=(13.0, 6.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    draw_accuracy(points, target, left)
    draw_frontier(points, table, target, right)
    if title:
        figure.suptitle(title, fontsize=13)
    return figure


def save_sweep(
    points: pd.DataFrame, table: pd.DataFrame, target: float, path: Path | BinaryIO, title: str = ""
) -> None:
    """Write `draw_sweep` as a PNG whose bytes hold neither a date nor the name of a program."""
    draw_sweep(points, table, target, title).savefig(path, dpi=150, format="png", metadata={"Software": None})


def draw_accuracy(points: pd.DataFrame, target: float, axes: Any) -> Any:
    """Accuracy against oxide thickness: one line per budget (colour) and method (line style), with bands.

    Curves with thicknesses of their own, as a bisection leaves them, show their points.

    The view ends where every curve has come within 0.01 of its value at the thickest oxide.
    """
    methods, budgets = _methods(points), sorted(points["budget"].unique())
    colours = _budget_colours(budgets)
    on_one_grid = points.groupby("thickness_nm").size().nunique() == 1
    for (method, budget), group in points.groupby(["method", "budget"], sort=False):
        curve = group.sort_values("thickness_nm")
        style, colour = _LINE_STYLES[methods.index(str(method)) % len(_LINE_STYLES)], colours[float(str(budget))]
        axes.plot(curve["thickness_nm"], curve["accuracy"], linestyle=style, color=colour, linewidth=1.5,
                  marker="" if on_one_grid else ".", markersize=4)
        axes.fill_between(curve["thickness_nm"], curve["accuracy_low"], curve["accuracy_high"], color=colour,
                          alpha=0.15, linewidth=0)
    clean = float(points["clean_accuracy"].iloc[0])
    aim = axes.axhline(target * clean, color="#b00020", linewidth=1.2, linestyle=(0, (2, 2)),
                       label=f"{target:.3g} × clean")
    axes.set(xlabel="oxide thickness (nm)", ylabel="accuracy", ylim=(0.0, 1.05), xlim=_busy_range(points))
    axes.grid(alpha=0.25)
    _flip_axis(points, axes)
    _accuracy_legend(axes, aim, methods, colours)
    return axes


def draw_frontier(points: pd.DataFrame, table: pd.DataFrame, target: float, axes: Any = None) -> Any:
    """Thinnest oxide (nm) against the protected fraction of the stored bits (%), one line per method.

    The lines are steps: an overhead between two budgets of the sweep buys what the smaller one buys.

    A bar that leaves the grid of the sweep is drawn to the grid's end. An open marker stands at the end of the grid:
    at its thick end when no oxide keeps the target, at its thin end when all do.
    """
    if axes is None:
        figure = Figure(figsize=(6.0, 5.0), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
    thinnest, thickest = points["thickness_nm"].min(), points["thickness_nm"].max()
    for index, method in enumerate(_methods(points)):
        rows = table[table["method"] == method].sort_values(["overhead", "budget"]).drop_duplicates("overhead")
        _frontier_line(axes, rows, index, str(method), float(thinnest), float(thickest))
    axes.set(xlabel="ECC overhead (protected bits, % of stored bits)",
             ylabel=f"thinnest oxide that keeps {target:.3g} × clean (nm)")
    axes.grid(alpha=0.25)
    handles, labels = axes.get_legend_handles_labels()
    if (table["status"] != "crossing").any():
        handles.append(Line2D([], [], color="black", marker="o", markerfacecolor="white", linestyle="none"))
        labels.append("no crossing inside the range")
    axes.legend(handles, labels, frameon=True, fontsize=9)
    return axes


def _frontier_line(axes: Any, rows: pd.DataFrame, index: int, method: str, thinnest: float, thickest: float) -> None:
    colour, marker = _METHOD_COLOURS[index % len(_METHOD_COLOURS)], _MARKERS[index % len(_MARKERS)]
    overhead = 100.0 * rows["overhead"].to_numpy(float)
    found = rows["thickness_nm"].fillna(thickest).to_numpy(float)
    low = rows["thickness_low_nm"].fillna(thinnest).to_numpy(float)
    high = rows["thickness_high_nm"].fillna(thickest).to_numpy(float)
    low = np.where(rows["thickness_nm"].isna(), found, np.minimum(low, found))
    axes.fill_between(overhead, low, np.maximum(high, found), color=colour, alpha=0.15, linewidth=0,
                      step="post")
    axes.plot(overhead, found, color=colour, linewidth=1.6, label=_METHOD_LABELS.get(method, method),
              drawstyle="steps-post", linestyle=_LINE_STYLES[index % len(_LINE_STYLES)])
    inside = (rows["status"] == "crossing").to_numpy(bool)
    bars = np.stack([found - low, np.maximum(high, found) - found])
    axes.errorbar(overhead[inside], found[inside], yerr=bars[:, inside],
                  fmt=marker, color=colour, markersize=6, capsize=3, linewidth=1.0)
    axes.plot(overhead[~inside], found[~inside], marker, color=colour, markersize=6, markerfacecolor="white")


def _busy_range(points: pd.DataFrame) -> tuple[float, float]:
    """Ends of the thickness axis: the thin end of the grid, and a little beyond the last thickness that matters."""
    grid = np.sort(points["thickness_nm"].unique())
    final = points.sort_values("thickness_nm").groupby(["method", "budget"])["accuracy"].transform("last")
    away = points.loc[(final - points["accuracy"]).abs() > 0.01, "thickness_nm"]
    last = float(away.max()) if len(away) else float(grid[-1])
    following = float(grid[min(int(np.searchsorted(grid, last)) + 1, len(grid) - 1)])
    end = min(float(grid[-1]), max(following, last + 0.25 * (last - float(grid[0]))))
    margin = 0.02 * max(end - float(grid[0]), 1e-9)
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


def _accuracy_legend(axes: Any, aim: Any, methods: list[str], colours: dict[float, Any]) -> None:
    """One legend: the target, a line style per method, a colour per budget; placed where it hides least."""
    lines = [aim] + [
        Line2D([], [], color="black", linestyle=_LINE_STYLES[index % len(_LINE_STYLES)],
               label=_METHOD_LABELS.get(method, method))
        for index, method in enumerate(methods)
    ]
    lines += [Line2D([], [], color=colour, linewidth=3, label=f"budget {100 * budget:.3g} %")
              for budget, colour in colours.items()]
    axes.legend(handles=lines, loc="lower right", ncols=2, fontsize=8, frameon=True, framealpha=0.9)


def _budget_colours(budgets: list[float]) -> dict[float, Any]:
    ramp = mpl.colormaps["viridis_r"](np.linspace(0.12, 1.0, max(len(budgets), 2)))
    return {float(budget): ramp[index] for index, budget in enumerate(budgets)}


def _methods(points: pd.DataFrame) -> list[str]:
    return [str(method) for method in dict.fromkeys(points["method"])]
