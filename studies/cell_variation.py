"""Bad cells that stay bad are not a higher mean: oxides that differ from cell to cell, read again and again.

Cards whose oxides have a spread of 0.03 nm from cell to cell, at thicknesses where a network is in trouble, in three
ways: all cells alike (the spread ignored), every cell at the mean flip probability of the array, and every cell at the
rate of its own oxide, which it keeps over all readings of a chip. Plans are made for the probability of each way.

Over chips, one reading has the same law in the last two ways: a mixture of Bernoulli variables is a Bernoulli variable.
What differs is how the spread of accuracies divides into that between chips and that between readings of one chip. Of
the variance of a cell's flips the chips have (E[r^2]/p - p) / (1 - p), which is small while sigma is less than the
width of the flip in thickness (3nm: 0.04 nm) and near 1 far beyond it (eDRAM: 0.0036 nm).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, above, close, points, raises, shown
from lab.figures import COLOURS, MARKERS, method_label, new_figure
from lab.networks import trained
from lab.study import Scale, Study
from qtaml_codesign.statistics import Interval, mean_interval

SIGMA_nm = 0.03
WAYS = {"alike": "all cells alike", "mean": "mean probability", "own_rate": "own rates"}
POINTS = (("3nm", 1.80, "none", 0.0), ("3nm", 1.83, "none", 0.0), ("3nm", 1.765, "tac", 0.05),
          ("7nm", 1.777, "none", 0.0), ("7nm", 1.738, "tac", 0.05), ("edram_gain_cell", 2.032, "none", 0.0))
NETWORK = "small-cnn"
READINGS = 8
RESAMPLES = 2000


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per card, thickness, plan and way; `scale.trials` chips each."""
    points, readings = (POINTS[5:], 3) if scale.smoke else (POINTS, READINGS)
    return [{"network": NETWORK, "seed": 0, "card": card, "thickness_nm": thickness, "method": method, "budget": budget,
             "way": way, "chips": scale.trials, "readings": readings}
            for card, thickness, method, budget in points for way in WAYS]


def card_of(name: str, way: str) -> qc.DeviceCard:
    """A card with its cells in one of three ways."""
    card = qc.load_card(name)
    return card if way == "alike" else card.with_field("variation", {"thickness_sigma_nm": SIGMA_nm, "cells": way})


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row per chip: right answers of every reading."""
    workload = trained(case["network"], case["seed"], networks)
    flips = qc.flip_probability(card_of(case["card"], case["way"]), case["thickness_nm"])
    plan = qc.plan(workload, case["method"], flips, case["budget"], case["seed"])
    return [{"chip": chip, "flip_probability": float(flips.probability), "samples": workload.samples,
             "clean_accuracy": workload.clean_accuracy,
             "by_trial": " ".join(map(str, qc.evaluate(workload, plan, flips, case["readings"], chip).score_by_trial))}
            for chip in range(case["chips"])]


def accuracies(rows: pd.DataFrame) -> np.ndarray:
    """(chips, readings) accuracy."""
    return np.array([text.split() for text in rows["by_trial"]], dtype=float) / float(rows["samples"].iloc[0])


def spreads(table: np.ndarray) -> tuple[Interval, Interval, Interval]:
    """Standard deviation between chips, between readings of one chip, and the chips' share of the variance.

    One-way analysis of variance; 95 % intervals from 2,000 resamplings of the chips.
    """
    generator = np.random.default_rng(0)
    found = np.array([_components(table[generator.integers(0, len(table), len(table))]) for _ in range(RESAMPLES)])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    between, within, share = (Interval(*ends) for ends in zip(_components(table), low, high, strict=True))
    return between, within, share


def _components(table: np.ndarray) -> tuple[float, float, float]:
    readings = table.shape[1]
    within = float(table.var(axis=1, ddof=1).mean())
    between = max(float(table.mean(axis=1).var(ddof=1)) - within / readings, 0.0)
    total = between + within
    return between**0.5, within**0.5, between / total if total > 1e-12 else 0.0


@cache
def again(card: str, way: str, thickness_nm: float) -> float:
    """Chance that a bit which flipped flips in another reading too: E[r^2] / E[r] over cells."""
    flips = qc.flip_probability(card_of(card, way), thickness_nm)
    law = qc.BitErrorProfile.from_flip_probability(flips).regions[0]
    if not law.own_rates:
        return float(flips.probability)
    z = np.linspace(-8.2, 8.2, 4001)
    rates, weights = law.own_rates[0].rates(z), np.exp(-0.5 * z * z)
    return float((weights * rates**2).sum() / (weights * rates).sum())


def groups(rows: pd.DataFrame) -> Any:
    """Rows of one card, thickness and plan."""
    return rows.groupby(["card", "thickness_nm", "method", "budget"], sort=False)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per point and way."""
    lines = []
    for (card, thickness, method, budget), point in groups(rows):
        for way, part in point.groupby("way", sort=False):
            found = accuracies(part)
            between, within, share = spreads(found)
            lines.append({
                "plan": method_label(method) + (f", {100 * budget:g} %" if budget else ""),
                "card": card, "oxide (nm)": thickness, "cells": WAYS[way],
                "p_flip": f"{part['flip_probability'].iloc[0]:.3g}",
                "a flipped bit flips again": f"{again(card, way, thickness):.3g}",
                "accuracy": shown(mean_interval(found.mean(axis=1))),
                "sd between chips": shown(between), "sd between readings": shown(within),
                "chips' share of the variance": shown(share, 2),
            })
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """The chips of every point in order of their mean accuracy, with the range of their readings."""
    shown_points = list(groups(rows))
    columns = min(3, len(shown_points))
    drawn, axes = new_figure(-(-len(shown_points) // columns), columns, width=4.4, height=3.4)
    for axis, ((card, thickness, method, _), point) in zip(axes.flat, shown_points, strict=False):
        for index, (way, part) in enumerate(point.groupby("way", sort=False)):
            found = accuracies(part)
            found = found[np.argsort(found.mean(axis=1))]
            places, middle = np.linspace(0.0, 1.0, len(found)) + 0.006 * (index - 1), found.mean(axis=1)
            reach = np.stack([middle - found.min(axis=1), found.max(axis=1) - middle])
            axis.errorbar(places, middle, yerr=reach, fmt=MARKERS[index], color=COLOURS[index], markersize=3.0,
                          elinewidth=0.6, label=WAYS[way])
        axis.set(title=f"{card}, {thickness:g} nm: {method_label(method)}",
                 xlabel="chips, from worst to best", ylabel="accuracy: mean and range of readings")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawn


def difference(point: pd.DataFrame, first: str, second: str) -> Interval:
    """Mean accuracy of one way minus another, paired by chip (they share the seed of the flips)."""
    one, other = (accuracies(point[point["way"] == way].sort_values("chip")).mean(axis=1) for way in (first, second))
    return mean_interval(one - other)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Ignoring the spread, the mean over chips, and whose the variance is."""
    found = []
    for (card, thickness, method, _), point in groups(rows):
        where, gap = f"{card}, {thickness:g} nm, {method}", difference(point, "alike", "mean")
        same = difference(point, "own_rate", "mean")
        shares = {way: spreads(accuracies(point[point["way"] == way]))[2] for way in WAYS}
        key = f"{card}-{thickness:g}-{method}"
        found += [
            Claim(f"ignored-{key}", where, "ignoring the spread promises more accuracy than there is", points(gap),
                  raises(gap), f"The difference is {points(gap)}.", kind="ours"),
            Claim(f"mean-{key}", where, "over chips, own rates have the accuracy of the mean probability", points(same),
                  close(same), f"The difference is {points(same)}.", kind="identity"),
            Claim(f"chips-{key}", where, "with own rates a chip is better or worse than others in all its readings",
                  f"the chips' share of the variance is {shown(shares['own_rate'], 2)}, with the mean probability "
                  f"{shown(shares['mean'], 2)}",
                  above(shares["own_rate"], shares["mean"].high),
                  f"The share is {shown(shares['own_rate'], 2)}.", kind="ours"),
        ]
    return found


STUDY = Study(
    name="cell_variation", title="Oxides that differ from cell to cell by 0.03 nm", where="ours", cases=cases,
    measure=measure, figure=figure, table=table, claims=claims, most_seeds=1,
    decided_by_smoke=("ignored-edram_gain_cell-2.032-none",),
    sample=f"small-cnn as it ships, 30 chips x {READINGS} readings at full size",
)

if __name__ == "__main__":
    STUDY.main()
