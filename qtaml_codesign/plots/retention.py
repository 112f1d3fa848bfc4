"""Flip probability over time, with and without refresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from qtaml_codesign.physics.retention import Retention
from qtaml_codesign.plots.style import COLOURS


def draw_retention(found: Retention, limit: float | None = None, reached_s: Sequence[float] = ()) -> Figure:
    """Flip probability against time since writing, both in logarithms.

    Args:
        found: of `physics.retention.retention`.
        limit: flip probability to mark; None: none.
        reached_s: times at which the curves reach it, left alone and with refresh; those inside the axes are marked.
    """
    figure = Figure(figsize=(8.0, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.loglog(found.time_s, found.probability, color=COLOURS[0], label="left alone")
    if found.refreshed is not None:
        axes.loglog(found.time_s, found.refreshed, color=COLOURS[1],
                    label=f"refreshed every {_seconds(found.refresh_s)}")
    if limit is not None:
        axes.axhline(limit, color="black", linewidth=0.8, linestyle=":", label=f"p = {limit:g}")
        _mark(axes, found, limit, reached_s)
    axes.set_ylim(bottom=max(1e-18, 0.5 * float(found.probability[found.probability > 0.0].min(initial=1.0))), top=1.5)
    axes.set_xlabel("time since writing")
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("flip probability")
    axes.grid(alpha=0.3, which="major")
    axes.legend(frameon=False)
    figure.suptitle(f"{found.card.name}: flips over time, {found.card.flips.replace('_', ' ')}", fontsize=11)
    return figure


def _mark(axes: Any, found: Retention, limit: float, reached_s: Sequence[float]) -> None:
    """A point on each curve where it reaches the limit, with the time."""
    for after, colour in zip(reached_s, COLOURS, strict=False):
        if found.time_s.min() <= after <= found.time_s.max():
            axes.plot(after, limit, "o", color=colour, markeredgecolor="white", zorder=4)
            axes.annotate(_seconds(after), (after, limit), (-6.0, 6.0), textcoords="offset points", ha="right",
                          color=colour)


def _seconds(time_s: float | None) -> str:
    """A time with the prefix of its power of ten, to three digits."""
    return EngFormatter(unit="s")(float(f"{time_s or 0.0:.3g}"))
