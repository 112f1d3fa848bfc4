"""How methods, and what they spend, look in every panel alike.

A method has a marker, a dash pattern and a colour of its own. A budget among several has a colour of a ramp that
darkens, which then takes the place of the method's in the curves; so has a number of cells, of another ramp. The
method colours stay apart under simulated deuteranopia and protanopia; where two of them come near in grey, marker and
dashes differ.
"""

from __future__ import annotations

import textwrap
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

from qtaml_codesign.nets.target import Target
from qtaml_codesign.tac.choices import Choice, choices_of

COLOURS = ("#004488", "#d55e00", "#000000", "#66b3e6", "#009e73", "#e69f00", "#117733")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*", "<", ">", "h", "d", "8", "H", (4, 1, 0), (6, 1, 0), (3, 1, 0))
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1)))

_ROW_POINTS = 13.0

RAMPS = {False: ("viridis_r", 0.15), True: ("copper_r", 0.05)}
"""Colour maps, and where they begin to be dark enough, of budgets, and under True of cells; neither holds the red of
the target."""
TARGET = "#b00020"

Side = Literal["left", "center", "right"]


class Look(NamedTuple):
    """Colour, marker and dash pattern of a method."""

    colour: str
    marker: Any
    dashes: Any


def looks(points: pd.DataFrame) -> dict[str, Look]:
    """The look of each method of a table, by its place there; the first eighteen have markers of their own.

    Args:
        points: columns of `sweep.csv`.
    """
    return {
        method: Look(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])
        for index, method in enumerate(str(method) for method in dict.fromkeys(points["method"]))
    }


def typeset(target: Target) -> str:
    """A target as text, with the sign of multiplication.

    Args:
        target: what is to be kept.

    Example:
        >>> typeset(Target(0.95))
        '0.95 × clean'
    """
    return str(target).replace(" x ", " × ")


def amounts_of(points: pd.DataFrame) -> dict[bool, list[float]]:
    """The budgets of a table, and the cells of its methods that spend them (under True), each once, rising.

    Args:
        points: columns of `sweep.csv`.
    """
    choices = choices_of(points)
    return {cells: sorted({one.amount for one in choices if one.spends_cells == cells}) for cells in RAMPS}


def colours_of(points: pd.DataFrame) -> dict[Choice, Any]:
    """A colour for each curve of a table by what it spends, from light to dark.

    A curve has none where what it spends is the only budget of the table, or its only number of cells.

    Args:
        points: columns of `sweep.csv`.
    """
    shades = {}
    for cells, amounts in amounts_of(points).items():
        name, lightest = RAMPS[cells]
        ramp = mpl.colormaps[name](np.linspace(lightest, 1.0, len(amounts)))
        shades[cells] = dict(zip(amounts, ramp, strict=True)) if len(amounts) > 1 else {}
    return {one: shades[one.spends_cells][one.amount] for one in choices_of(points) if shades[one.spends_cells]}


def spent_text(cells: bool, amounts: list[float]) -> str:
    """Amounts of one currency as text.

    Args:
        cells: whether they are cells per weight, not budgets.
        amounts: cells per weight, or fractions in 0..1.

    Example:
        >>> spent_text(True, [2.0, 4.0]), spent_text(False, [0.03])
        ('2, 4 cells', '3 %')
    """
    return f"{', '.join(f'{amount:g}' for amount in amounts)} cells" if cells else percent(amounts)


def percent(fractions: list[float]) -> str:
    """Budgets as text, in per cent.

    Args:
        fractions: in 0..1.

    Example:
        >>> percent([0.0, 0.01, 0.125])
        '0, 1, 12.5 %'
    """
    return ", ".join(f"{100.0 * fraction:.3g}" for fraction in fractions) + " %"


def legend(axes: Any, handles: list[Any], columns: int, below: Side | None) -> None:
    """A legend that hides nothing: at the foot of a constrained layout, or on top in the axes, made higher for it.

    Args:
        axes: matplotlib axes.
        handles: what it explains; their labels are wrapped.
        columns: of the legend at the foot; that in the axes has two.
        below: side of the foot; None: into the axes.
    """
    for handle in handles:
        handle.set_label(textwrap.fill(handle.get_label().replace(" %", "\u00a0%"), 30))  # no line starts with a %
    if below:
        axes.figure.legend(handles=handles, loc=f"outside lower {below}", ncols=columns, fontsize=9, frameon=False)
        return
    rows = sum(1 + handle.get_label().count("\n") for handle in handles) / 2.0 + 1.5
    share = min(_ROW_POINTS * rows / (72.0 * axes.bbox.height / axes.figure.dpi), 0.6)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (high - low) * share / (1.0 - share))
    axes.legend(handles=handles, loc="upper right", ncols=2, fontsize=9)
