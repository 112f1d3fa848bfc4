"""Flip probability against oxide thickness, several device cards in one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.comparison import DRAWN, flips_over_thickness
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.plots.style import COLOURS, DASHES


def draw_cards(cards: Sequence[DeviceCard]) -> Figure:
    """A curve for each card, with a dot at its own thickness; a card outside the axes has its dot at their foot.

    Args:
        cards: any number.
    """
    figure = Figure(figsize=(8.0, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lowest = math.log10(DRAWN[1])
    for place, card in enumerate(cards):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
        look: dict[str, Any] = {"color": colour, "linestyle": dashes}
        axes.plot(*flips_over_thickness(card), **look)
        own = float(flip_probability(card).log10_probability)
        beyond = own < lowest
        axes.plot(card.barrier.thickness_nm, max(own, lowest), "v" if beyond else "o", color=colour,
                  markeredgecolor="white", clip_on=False, zorder=4)
        axes.plot([], [], **look, marker="v" if beyond else "o", label=f"{card.name}, {card.barrier.thickness_nm:g} nm")
    axes.set_ylim(lowest, 0.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda exponent, _: f"$10^{{{exponent:.0f}}}$"))
    axes.set_xlabel("oxide thickness (nm)")
    axes.set_ylabel("flip probability of one stored bit")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
