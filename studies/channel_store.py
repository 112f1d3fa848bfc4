"""The store chosen for the channel, nothing protected: what a network keeps, and how thin its oxide may be.

A word of 8 cells per weight, as in the plain store, but its words and its reader are chosen for the flips (method
`channel-optimised`). Left: accuracy kept on five networks beside the plain store. Right: SmallCNN against the oxide
thickness of the 3nm card, every thickness with words of its own; with one flip probability for all cells the accuracy
depends on the card through that probability alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, above, below, points, raises, shown
from lab.figures import COLOURS, MARKERS, dots, new_figure
from lab.networks import CNNS, LABELS
from lab.stores import kept, kept_by, stored_point, stored_row
from lab.study import Scale, Study
from lab.summary import mean_over, paired_difference
from qtaml_codesign.frontier import crossing
from qtaml_codesign.statistics import Interval

CELLS = 8.0
CARD = "3nm"
TARGET = 0.95
NETWORK_RATES = (*((name, rate) for name in CNNS for rate in (0.10, 0.05)), ("transformer", 0.05))
GOALS = {("small-cnn", 0.10): 0.96, ("wide-cnn", 0.10): 0.96, ("deep-cnn", 0.10): 0.95, ("res-cnn", 0.10): 0.95,
         **{(name, 0.05): 0.985 for name in CNNS}, ("transformer", 0.05): 0.75}
THINNEST_GOAL_NM = 1.765
FLIP_PROBABILITIES = (0.005, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.11, 0.12, 0.13,
                      0.14, 0.16, 0.20, 0.25, 0.30)
AMOUNTS = {"channel-optimised": CELLS, "none": 0.0}
NAMES = {"channel-optimised": "channel-optimised words", "none": "plain 8-bit store"}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Both stores on every network, and on SmallCNN at every flip probability."""
    if scale.smoke:
        wanted = [("small-cnn", rate) for rate in (0.005, 0.10, 0.20)]
    else:
        wanted = list(dict.fromkeys([*NETWORK_RATES, *(("small-cnn", rate) for rate in FLIP_PROBABILITIES)]))
    return [stored_point(network, seed, method, amount, rate, scale.trials)
            for network, rate in wanted for seed in scale.seeds for method, amount in AMOUNTS.items()]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one store on one network."""
    return [stored_row(case, networks)]


def arm(rows: pd.DataFrame, method: str, network: str, rate: float) -> pd.DataFrame:
    """Rows of one store on one network at one flip probability, one per training seed."""
    return rows[(rows["method"] == method) & (rows["network"] == network) & (rows["rate"] == rate)]


def thinnest(rows: pd.DataFrame, method: str) -> Interval:
    """Thinnest oxide of the card that keeps the target: mean over training seeds, in nm; NaN outside the grid."""
    card, found = qc.load_card(CARD), []
    for _, group in rows[(rows["method"] == method) & (rows["network"] == "small-cnn")].groupby("seed"):
        ordered = group.sort_values("rate", ascending=False)
        places = np.array([qc.thickness_for(card, rate) for rate in ordered["rate"]])
        margin = (ordered["accuracy"] - TARGET * ordered["clean_accuracy"]).to_numpy(float)
        place, _, status = crossing(places, margin)
        found.append(place if status == "crossing" else np.nan)
    return mean_over(found) if np.isfinite(found).all() else Interval(*[float("nan")] * 3)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """What each network keeps in either store."""
    return pd.DataFrame([
        {"network": LABELS[network], "p": f"{rate:g}",
         "plain store, accuracy / clean": shown(kept(arm(rows, "none", network, rate))),
         "channel-optimised, accuracy / clean": shown(kept(arm(rows, "channel-optimised", network, rate))),
         "goal": f"{GOALS[network, rate]:g}"}
        for network, rate in NETWORK_RATES if len(arm(rows, "none", network, rate))
    ])


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The thinnest oxide of SmallCNN without any ECC."""
    card = qc.load_card(CARD)
    lines = []
    for method in AMOUNTS:
        found = thinnest(rows, method)
        inside = np.isfinite(found.estimate)
        rate = float(qc.flip_probability(card, thickness_nm=found.estimate).probability) if inside else np.nan
        lines.append({"SmallCNN, nothing protected": NAMES[method],
                      f"thinnest oxide for {TARGET:g} x clean, card {CARD} (nm)": shown(found, 4),
                      "flip probability there": f"{rate:.3f}"})
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Accuracy kept by network, and against the oxide thickness."""
    drawn, axes = new_figure(1, 2, width=6.4, height=4.6)
    _draw_networks(axes[0, 0], rows)
    _draw_thickness(axes[0, 1], rows)
    return drawn


def _draw_networks(axis: Any, rows: pd.DataFrame) -> None:
    found = [pair for pair in NETWORK_RATES if len(arm(rows, "none", *pair))]
    places = np.arange(len(found))[::-1]
    for index, method in enumerate(AMOUNTS):
        dots(axis, [kept(arm(rows, method, *pair)) for pair in found], places, index, NAMES[method])
    axis.scatter([GOALS[pair] for pair in found], places, marker="|", s=260, color="#b00020", label="goal", zorder=1)
    axis.set_yticks(places, [f"{LABELS[network]}, p = {rate:g}" for network, rate in found])
    axis.set(xlabel="accuracy / clean accuracy", xlim=(0.0, 1.03), ylim=(-0.6, len(found) - 0.4),
             title="8 cells per weight, nothing protected")
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.11), ncols=3, borderaxespad=0.0)


def _draw_thickness(axis: Any, rows: pd.DataFrame) -> None:
    card = qc.load_card(CARD)
    for index, method in enumerate(AMOUNTS):
        group = rows[(rows["method"] == method) & (rows["network"] == "small-cnn")]
        curve = kept_by(group, ["rate"]).sort_values("rate", ascending=False)
        nm = [qc.thickness_for(card, rate) for rate in curve["rate"]]
        axis.plot(nm, curve["kept"], marker=MARKERS[index], color=COLOURS[index], label=NAMES[method])
        axis.fill_between(nm, curve["low"], curve["high"], color=COLOURS[index], alpha=0.15, linewidth=0)
        if np.isfinite(place := thinnest(rows, method).estimate):
            axis.plot([place, place], [0.0, TARGET], color=COLOURS[index], linewidth=1.0, linestyle=(0, (2, 2)))
            axis.annotate(f"{place:.3f} nm", (place, 0.03), xytext=(4, 0), textcoords="offset points", fontsize=9,
                          color=COLOURS[index])
    axis.axhline(TARGET, color="#b00020", linewidth=1.2, linestyle=(0, (2, 2)), label=f"{TARGET:g} x clean")
    axis.set(xlabel="oxide thickness (nm)", ylabel="accuracy / clean accuracy", ylim=(0.0, 1.03),
             title=f"SmallCNN on card {CARD}, zero ECC")
    axis.legend(loc="center right")
    rates = (0.3, 0.2, 0.1, 0.05, 0.02)
    top = axis.secondary_xaxis("top")
    top.set_xticks([qc.thickness_for(card, rate) for rate in rates], [f"{rate:g}" for rate in rates], fontsize=8.5)
    top.set_xlabel("flip probability per bit")


def claims(rows: pd.DataFrame) -> list[Claim]:
    """What is kept on each network, and the oxide."""
    found = []
    for (network, rate), goal in GOALS.items():
        group = arm(rows, "channel-optimised", network, rate)
        if len(group):
            value = kept(group)
            found.append(Claim(
                f"channel-{network}-{rate:g}", "8 cells", f"{LABELS[network]} keeps {100 * goal:g} % of clean at "
                f"p = {rate:g}, nothing protected", shown(value), above(value, goal),
                f"It keeps {shown(value)} of clean.", kind="ours"))
    ahead = paired_difference(arm(rows, "channel-optimised", "small-cnn", 0.10), arm(rows, "none", "small-cnn", 0.10))
    thin, plain = thinnest(rows, "channel-optimised"), thinnest(rows, "none")
    found.append(Claim("channel-plain", "8 cells", "SmallCNN keeps more than in the plain store at p = 0.1",
                       points(ahead), raises(ahead), f"The difference is {points(ahead)}.", kind="ours"))
    found.append(Claim(
        "channel-oxide", f"card {CARD}", f"SmallCNN: the thinnest oxide at zero ECC is {THINNEST_GOAL_NM:g} nm or less",
        f"{shown(thin, 4, ' nm')}; the plain store {shown(plain, 4, ' nm')}", below(thin, THINNEST_GOAL_NM),
        f"It is {shown(thin, 4, ' nm')}.", kind="ours"))
    return found


STUDY = Study(
    name="channel_store", title="Words chosen for the flips, nothing protected", where="8 cells per weight",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, second_table=second_table,
    decided_by_smoke=("channel-plain", "channel-oxide"), most_seeds=5,
)

if __name__ == "__main__":
    STUDY.main()
