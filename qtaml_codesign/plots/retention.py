"""Flip probability over time, with and without refresh."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qtaml_codesign.physics.retention import Retention
from qtaml_codesign.plots.style import COLOURS


def draw_retention(found: Retention, limit: float | None = None) -> Figure:
    """Flip probability against time since writing, both in logarithms.

    Args:
        found: of `physics.retention.retention`.
        limit: flip probability to mark; None: none.
    """
    figure = Figure(figsize=(8.0, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.loglog(found.time_s, found.probability, color=COLOURS[0], label="left alone")
    if found.refreshed is not None:
        axes.loglog(found.time_s, found.refreshed, color=COLOURS[1], label=f"refreshed every {found.refresh_s:g} s")
    if limit is not None:
        axes.axhline(limit, color="black", linewidth=0.8, linestyle=":", label=f"p = {limit:g}")
    axes.set_ylim(bottom=max(1e-18, 0.5 * float(found.probability[found.probability > 0.0].min(initial=1.0))), top=1.5)
    axes.set_xlabel("time since writing (s)")
    axes.set_ylabel("flip probability")
    axes.grid(alpha=0.3, which="major")
    axes.legend(frameon=False)
    figure.suptitle(f"{found.card.name}: flips over time, {found.card.flips.replace('_', ' ')}", fontsize=11)
    return figure


def save_retention(found: Retention, path: Path, limit: float | None = None) -> None:
    """Write `draw_retention`; the ending of the name says as what.

    Args:
        found: of `physics.retention.retention`.
        path: .png, .svg or .pdf.
        limit: flip probability to mark.
    """
    figure = draw_retention(found, limit)
    figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else None)
