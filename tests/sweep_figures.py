"""Tables of sweeps to draw, and what a figure of them shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.text import Annotation

from qtaml_codesign import plots
from qtaml_codesign.frontier import Frontier

GRID = np.linspace(1.7, 2.2, 34)
"""Steps of 0.66 octaves in the flip probability."""


def curve(method, budget, middle, grid=GRID, clean=0.98):
    accuracy = 0.1 + 0.88 / (1.0 + np.exp(-40.0 * (grid - middle)))
    return pd.DataFrame({
        "thickness_nm": grid, "flip_probability": np.exp(-30.0 * (grid - 1.65)), "method": method,
        "budget": budget, "overhead": 0.9 * budget, "accuracy": accuracy, "accuracy_low": accuracy - 0.02,
        "accuracy_high": np.minimum(accuracy + 0.02, 1.0), "clean_accuracy": clean,
    })


def synthetic(methods=("tac", "uniform-msp"), budgets=(0.01, 0.05, 0.25), clean=0.98):
    return pd.concat([curve(method, budget, 1.8 + 0.1 * rank - 0.2 * budget, clean=clean)
                      for rank, method in enumerate(methods) for budget in budgets], ignore_index=True)


def searched(budgets=(0.01, 0.05)):
    """Knots of a search: the ends, and some that close in on a crossing, at other places for each curve."""
    steps = 2.0 ** -np.arange(-2, 5.0) * np.log(2.0) / 30.0  # 4 octaves down to a sixteenth
    tables = []
    for budget in budgets:
        middle = 1.9 - budget
        tables.append(curve("tac", budget, middle - 0.06, np.unique([1.7, 2.2, middle, *(middle - steps)])))
    return pd.concat(tables, ignore_index=True)


def draw(points, target=0.95, **known):
    return plots.draw_sweep(points, Frontier(points, target).to_frame(), target, **known)


def is_marker_line(line):
    return line.get_linestyle() == "None"


def curves_of(axes):
    """The lines of the curves, without the target's and without markers."""
    return [line for line in axes.lines if not is_marker_line(line) and line.get_transform() == axes.transData]


def texts_of(figure):
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert not any(line.startswith("%") for text in texts for line in text.split("\n"))
    return [text.replace("\n", " ").replace("\u00a0", " ") for text in texts]


def drawn_stretches(line):
    """Pairs of neighbouring points that a line joins: shape (k, 2)."""
    x = np.asarray(line.get_xdata(), dtype=float)
    pairs = np.stack([x[:-1], x[1:]], axis=1)
    return pairs[np.isfinite(pairs).all(axis=1)]


def octaves(pairs):
    return 30.0 * (pairs[:, 1] - pairs[:, 0]) / np.log(2.0)


def arrows_of(axes):
    """(x, y, +1 or -1) of each arrow."""
    return [(*text.xy, np.sign(text.xyann[1])) for text in axes.texts if isinstance(text, Annotation)]


def bars_of(axes):
    """Line width -> low and high ends of its bars, in the order in which they were drawn."""
    bars: dict[float, list[tuple[float, float]]] = {}
    for container in axes.containers:
        for lines in container.lines[2]:
            ends = [(segment[0, 1], segment[1, 1]) for segment in lines.get_segments()]
            bars.setdefault(float(lines.get_linewidth()[0]), []).extend(ends)
    return bars
