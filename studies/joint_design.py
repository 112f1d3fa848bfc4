"""Accuracy against cells per weight when every cell flips: joint design, other stores at their honest cost, the limit.

The joint design drops each output channel, holds it in channel-optimised words, or in bits under a real code, so that a
number of cells per weight does most (method `joint`). The paper's methods protect bits ideally; here a protected bit
costs the cells of the cheapest real code that leaves hardly an error at this flip probability. The limit is a store
that reads each weight through the Gaussian test channel of rate-distortion at the capacity of the cells, simulated like
every other: no store of so many cells has a smaller weighted error, if weights are Gaussian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lab.claims import Claim, above, points, raises, shown
from lab.figures import new_figure
from lab.networks import LABELS
from lab.stores import LIMIT, kept, kept_by, paying_code, stored_point, stored_row
from lab.study import Scale, Study
from lab.summary import paired_difference

RATES = {"small-cnn": 0.10, "wide-cnn": 0.10, "deep-cnn": 0.10, "res-cnn": 0.10, "transformer": 0.05}
GOALS = {"small-cnn": 3.0, "wide-cnn": 3.0, "deep-cnn": 4.0, "res-cnn": 4.0, "transformer": 7.0}
KEPT = 0.99
PLAIN_CELLS = 8.0
CNN_AMOUNTS = {
    "joint": (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0), "channel-optimised": (2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    "tac": (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.25), "uniform-msp": (0.125, 0.25, 0.375),
    "none": (0.0,), LIMIT: (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0),
}
AMOUNTS = {**dict.fromkeys(RATES, CNN_AMOUNTS), "transformer": {
    "joint": (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0), "channel-optimised": (4.0, 5.0, 6.0, 8.0, 10.0),
    "tac": (0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.375, 0.50), "uniform-msp": (0.125, 0.25, 0.375, 0.50, 0.625),
    "none": (0.0,), LIMIT: (1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0),
}}
SMOKE = {"joint": (3.0,), "tac": (0.03,), "uniform-msp": (0.25,), "none": (0.0,), LIMIT: (2.0,)}
NAMES = {
    LIMIT: "Shannon limit", "joint": "joint design", "channel-optimised": "channel-optimised words, no code",
    "tac": "TAC, protection by a real code", "uniform-msp": "Uniform-MSP, by the same code",
    "none": "plain 8-bit store",
}
PROTECTING = ("tac", "uniform-msp")
"""Methods whose cells begin at those of the plain store."""
LOOKS: dict[str, dict[str, Any]] = {
    LIMIT: {"color": "#555555", "linestyle": (0, (4, 2)), "linewidth": 1.4, "marker": ""},
    "joint": {"color": "#0b5394", "linewidth": 2.8, "marker": "o", "markersize": 5.5, "zorder": 5},
    "channel-optimised": {"color": "#2f7d32", "linewidth": 1.6, "marker": "D", "markersize": 4.5, "linestyle": "-."},
    "tac": {"color": "#c1440e", "linewidth": 1.6, "marker": "s", "markersize": 4.0},
    "uniform-msp": {"color": "#8c6d1f", "linewidth": 1.6, "marker": "^", "markersize": 5.0, "linestyle": ":"},
    "none": {"color": "#000000", "linestyle": "", "marker": "X", "markersize": 9.0},
}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Every store and amount on every network and training seed."""
    amounts = {"small-cnn": SMOKE} if scale.smoke else AMOUNTS
    return [stored_point(network, seed, method, amount, RATES[network], scale.trials)
            for network, methods in amounts.items() for seed in scale.seeds
            for method, listed in methods.items() for amount in listed]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts, cells per weight, and the code that a protected bit is paid for in."""
    code = paying_code(case["rate"]).code
    return [{**stored_row(case, networks), "code": code.name, "cells_per_bit": code.cells_per_bit}]


def arm(rows: pd.DataFrame, network: str, method: str, amount: float) -> pd.DataFrame:
    """Rows of one store on one network, one per training seed."""
    return rows[(rows["network"] == network) & (rows["method"] == method) & (rows["amount"] == amount)]


def networks_of(rows: pd.DataFrame) -> list[str]:
    """The networks that were measured, in our order."""
    return [network for network in RATES if network in set(rows["network"])]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """What the joint design keeps, by cells per weight."""
    listed = [cells for cells in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
              if len(rows[(rows["method"] == "joint") & (rows["amount"] == cells)])]
    return pd.DataFrame([
        {"joint design, accuracy / clean": f"{LABELS[network]}, p = {RATES[network]:g}",
         **{f"{cells:g} cells": shown(kept(found)) if len(found := arm(rows, network, "joint", cells)) else ""
            for cells in listed}}
        for network in networks_of(rows)
    ])


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Fewest cells per weight that keep 95 % and 99 %, on lines between the amounts that were measured."""
    lines = []
    for network in networks_of(rows):
        found = rows[rows["network"] == network]
        line = {"cells per weight for 95 / 99 % of clean": LABELS[network]}
        for method, name in NAMES.items():
            if method != "none":
                own = found["method"].isin([method, "none"] if method in PROTECTING else [method])
                curve = kept_by(found[own], ["method", "amount"])
                line[name] = " / ".join(_fewest(curve, target) for target in (0.95, KEPT))
        code = found.iloc[0]
        line["code"] = f"{code['code']} ({code['cells_per_bit']:.3f} cells per bit)"
        lines.append(line)
    return pd.DataFrame(lines)


def _fewest(curve: pd.DataFrame, target: float) -> str:
    """Where a curve first comes to the target; `<=` at its first point, a dash where it does not."""
    if curve.empty or not (curve["kept"] >= target).any():
        return "-"
    ordered = curve.sort_values("cells")
    cells, margin = ordered["cells"].to_numpy(float), ordered["kept"].to_numpy(float) - target
    first = int(np.argmax(margin >= 0.0))
    if first == 0:
        return f"<= {cells[0]:.1f}"
    share = margin[first - 1] / (margin[first - 1] - margin[first])
    return f"{cells[first - 1] + share * (cells[first] - cells[first - 1]):.1f}"


def figure(rows: pd.DataFrame) -> Figure:
    """A panel per network, and one that says what is what."""
    found = networks_of(rows)
    columns = min(3, len(found) + 1)
    with mpl.rc_context({"font.size": 12}):
        drawn, axes = new_figure(-(-(len(found) + 1) // columns), columns, width=4.9, height=3.9)
    panels = axes.ravel()
    for network, axis in zip(found, panels, strict=False):
        _draw(axis, rows[rows["network"] == network], network)
    for axis in panels[len(found):]:
        axis.set_axis_off()
    lines, names = panels[0].get_legend_handles_labels()
    panels[len(found)].legend(lines, names, loc="center left", fontsize=12.5, frameon=False, handlelength=2.8,
                              labelspacing=0.85, borderaxespad=0.0,
                              title="Every cell flips with probability p", title_fontsize=13, alignment="left")
    return drawn


def _draw(axis: Any, rows: pd.DataFrame, network: str) -> None:
    curves = {method: kept_by(rows[rows["method"] == method], ["amount"]).sort_values("cells")
              for method in NAMES if len(rows[rows["method"] == method])}
    limit = curves[LIMIT]
    axis.fill_betweenx(limit["kept"], 0.0, limit["cells"], color="#000000", alpha=0.06, linewidth=0)
    for method, name in NAMES.items():
        look, curve = LOOKS[method], curves.get(method)
        if curve is None:
            axis.plot([], [], label=name, **look)
            continue
        with_plain = pd.concat([curves["none"], curve]) if method in PROTECTING else curve
        axis.plot(with_plain["cells"], with_plain["kept"], label=name, **look)
        axis.fill_between(with_plain["cells"], with_plain["low"], with_plain["high"], color=look["color"], alpha=0.16,
                          linewidth=0)
    axis.axvline(PLAIN_CELLS, color="#999999", linewidth=0.9, zorder=0)
    axis.axhline(KEPT, color="#b00020", linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    passing = curves["joint"][curves["joint"]["kept"] >= KEPT]
    if len(passing):
        first = passing.iloc[0]
        axis.annotate(f"99 % of clean\nin {first['amount']:g} cells", (first["cells"], first["kept"]),
                      xytext=(7.75, 0.36), ha="right", fontsize=12, color=LOOKS["joint"]["color"],
                      fontweight="bold", bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.5},
                      zorder=6, arrowprops={"arrowstyle": "-|>", "color": LOOKS["joint"]["color"],
                                                     "linewidth": 1.2, "shrinkB": 5})
    axis.set(xlim=(0.0, 14.0), ylim=(0.0, 1.04), xlabel="cells per weight", ylabel="accuracy / clean",
             title=f"{LABELS[network]}, p = {RATES[network]:g}")
    axis.set_xticks(np.arange(0, 15, 2))
    axis.title.set(fontsize=14, fontweight="bold")
    axis.xaxis.label.set_fontsize(12.5)
    axis.yaxis.label.set_fontsize(12.5)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """99 % of clean within so many cells, and more than the plain store keeps in eight."""
    found = []
    for network in networks_of(rows):
        cells = GOALS[network]
        group = arm(rows, network, "joint", cells)
        value, ahead = kept(group), paired_difference(group, arm(rows, network, "none", 0.0))
        place = f"{cells:g} cells, p = {RATES[network]:g}"
        found += [
            Claim(f"joint-{network}", place, f"{LABELS[network]} keeps {100 * KEPT:g} % of clean in {cells:g} cells "
                  "per weight, all of them flipping", shown(value), above(value, KEPT), f"It keeps {shown(value)}.",
                  kind="ours"),
            Claim(f"joint-plain-{network}", place, f"{LABELS[network]}: {cells:g} cells keep more than the 8 of the "
                  "plain store", points(ahead), raises(ahead), f"The difference is {points(ahead)}.", kind="ours"),
        ]
    return found


STUDY = Study(
    name="joint_design", title="Accuracy against cells per weight, every cell flipping", where="the joint design",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, second_table=second_table,
    decided_by_smoke=("joint-plain-small-cnn",), most_seeds=5,
)

if __name__ == "__main__":
    STUDY.main()
