"""The frontier over another card field: thinnest oxide against temperature, window and the like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qtaml_codesign.plots.style import COLOURS, MARKERS
from qtaml_codesign.tac.choices import choice_of, curve_columns


def draw_family(table: pd.DataFrame, field: str, title: str = "") -> Figure:
    """Thinnest oxide against a card field, a curve for each method and what it spends, with its interval.

    Args:
        table: columns of `frontier.csv` after the fields that were varied; of these only the last is drawn, at the
            first value of the others.
        field: that one.
        title: what was swept.
    """
    others = list(table.columns[:list(table.columns).index(field)])
    shown = table[(table[others] == table[others].iloc[0]).all(axis=1)] if others else table
    figure = Figure(figsize=(8.0, 5.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (_, group) in enumerate(shown.groupby(curve_columns(shown.columns), sort=False)):
        across, middle = group[field].to_numpy(float), group["thickness_nm"].to_numpy(float)
        ends = [np.abs(group[name].to_numpy(float) - middle) for name in ("thickness_low_nm", "thickness_high_nm")]
        axes.errorbar(across, middle, yerr=np.nan_to_num(ends), marker=MARKERS[place % len(MARKERS)], capsize=3.0,
                      color=COLOURS[place % len(COLOURS)], label=choice_of(group.iloc[0]).text)
    values = shown[field].to_numpy(float)
    if values.min() > 0.0 and values.max() / values.min() >= 30.0:
        axes.set_xscale("log")
    axes.set_xlabel(field)
    axes.set_ylabel("thinnest oxide (nm)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    fixed = "".join(f"; {name} = {table[name].iloc[0]:g}" for name in others)
    figure.suptitle(f"{title}{fixed}; bars: 95 % intervals over trials", fontsize=11)
    return figure


def save_family(table: pd.DataFrame, field: str, path: Path, title: str = "") -> None:
    """Write `draw_family` as a PNG.

    Args:
        table, field, title: as for `draw_family`.
        path: the file.
    """
    draw_family(table, field, title).savefig(path, dpi=150, format="png", metadata={"Software": None})
