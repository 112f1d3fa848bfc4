"""How many weights should share a mean and a scale? Tensor, output channel, and blocks of the memory.

Method `channel-optimised` in 8 and 4 cells per weight, every cell flipping: the tables are the same for all groupings,
what changes is how many means and scales lie beside the cells, and how well they follow the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, holds, keeps, points, shown
from lab.deploy import result_row
from lab.figures import COLOURS, MARKERS, new_figure, reach
from lab.networks import LABELS, trained
from lab.stores import kept
from lab.study import Scale, Study
from lab.summary import mean_over, paired_difference
from qtaml_codesign.statistics import Interval

RATE = 0.10
NETWORKS = ("small-cnn", "res-cnn")
AMOUNTS = (8.0, 4.0)
GROUPINGS: dict[str, int | None] = {"tensor": 10**9, "output channel": None, "block of 256": 256, "block of 64": 64,
                                    "block of 16": 16}
"""A block larger than a tensor is the tensor."""


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Every grouping in every number of cells."""
    networks, amounts = (NETWORKS[:1], AMOUNTS[1:]) if scale.smoke else (NETWORKS, AMOUNTS)
    return [{"network": network, "seed": seed, "cells": cells, "grouping": grouping, "trials": scale.trials}
            for network in networks for seed in scale.seeds for cells in amounts for grouping in GROUPINGS]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of a plan, the cells that it takes, and the bits of means and scales beside them."""
    workload = trained(case["network"], case["seed"], networks)
    plan = qc.plan(workload, "channel-optimised", RATE, seed=case["seed"], cells=case["cells"],
                   block=GROUPINGS[case["grouping"]])
    beside = sum(layer.codec.metadata_bits for layer in plan.layers) / plan.weights
    return [{"taken": plan.cells_per_weight, "beside": beside, "foretold": plan.predicted_variance,
             **result_row(workload, plan, RATE, case["trials"], case["seed"])}]


def arm(rows: pd.DataFrame, network: str, cells: float, grouping: str) -> pd.DataFrame:
    """Rows of one grouping of one network, one per training seed."""
    return rows[(rows["network"] == network) & (rows["cells"] == cells) & (rows["grouping"] == grouping)]


def measured(rows: pd.DataFrame) -> list[tuple[str, float]]:
    """Networks and cells that were measured."""
    return list(dict.fromkeys(zip(rows["network"], rows["cells"], strict=True)))


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """What each grouping keeps, and what lies beside its cells."""
    lines = []
    for grouping in GROUPINGS:
        line: dict[str, str] = {"a mean and a scale for each": grouping}
        for network, cells in measured(rows):
            group = arm(rows, network, cells, grouping)
            line[f"{LABELS[network]}, {cells:g} cells: accuracy / clean"] = shown(kept(group))
            if cells == measured(rows)[0][1]:
                line[f"{LABELS[network]}: bits beside, for each weight"] = f"{group['beside'].mean():.3g}"
        lines.append(line)
    return pd.DataFrame(lines)


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The error that plans foretell, in units of that of one mean and one scale for each tensor."""
    lines = []
    for grouping in GROUPINGS:
        line: dict[str, str] = {"expected output error / that of whole tensors": grouping}
        for network, cells in measured(rows):
            ours, tensor = (arm(rows, network, cells, one)["foretold"].to_numpy() for one in (grouping, "tensor"))
            line[f"{LABELS[network]}, {cells:g} cells"] = f"{(ours / tensor).mean():.3f}"
        lines.append(line)
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Accuracy kept by grouping, and below each the bits beside the cells."""
    networks = list(dict.fromkeys(rows["network"]))
    drawn, axes = new_figure(1, len(networks), width=5.8, height=4.0)
    for axis, network in zip(axes[0], networks, strict=True):
        own = [cells for name, cells in measured(rows) if name == network]
        for index, cells in enumerate(own):
            values = [kept(arm(rows, network, cells, grouping)) for grouping in GROUPINGS]
            _draw(axis, values, index, f"{cells:g} cells")
        beside = [arm(rows, network, own[0], grouping)["beside"].mean() for grouping in GROUPINGS]
        axis.set_xticks(range(len(GROUPINGS)), [f"{name.replace('block of', 'block')}\n{bits:.2g} bits"
                                                for name, bits in zip(GROUPINGS, beside, strict=True)], fontsize=8.5)
        axis.set(xlabel="what has a mean and a scale; their bits for each weight", ymargin=0.15,
                 ylabel="accuracy / clean accuracy", title=f"{LABELS[network]}, p = {RATE:g}, nothing protected")
        axis.legend(loc="lower left", ncols=2)
    return drawn


def _draw(axis: Any, values: list[Interval], index: int, label: str) -> None:
    """One number of cells: a point for each grouping."""
    middle, sides = reach(values)
    axis.errorbar(np.arange(len(values)) + 0.08 * index, middle, yerr=sides, color=COLOURS[index],
                  marker=MARKERS[index], linestyle=":", capsize=3, label=label)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """What smaller groups bring, and what they cost."""
    found = [_count(rows)]
    for network, cells in measured(rows):
        where = f"{cells:g} cells, p = {RATE:g}, the shipped network"
        by_channel = arm(rows, network, cells, "output channel")
        keeping = paired_difference(arm(rows, network, cells, "block of 64"), by_channel)
        found.append(Claim(
            f"blocks-64-{network}-{cells:g}", where, f"{LABELS[network]} keeps as much with a mean and a scale for "
            "each 64 weights as for each output channel", points(keeping), keeps(keeping),
            f"The difference is {points(keeping)}.", kind="ours"))
    return found


def _count(rows: pd.DataFrame) -> Claim:
    """64 bits for each block, and 64 more at most for the short one of each tensor."""
    beside = rows[rows["grouping"] == "block of 16"]["beside"]
    return Claim("blocks-price", "block of 16", "a mean and a scale for each 16 weights lie beside the cells as 4 bits "
                 "for each weight", f"{shown(mean_over(beside))} bits", holds(bool((beside - 4.0).abs().max() < 0.01)),
                 f"{shown(mean_over(beside))} bits were counted.", kind="identity")


STUDY = Study(
    name="blocks", title="How many weights share a mean and a scale", where="channel-optimised words",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, second_table=second_table,
    decided_by_smoke=("blocks-price",), most_seeds=1,
)

if __name__ == "__main__":
    STUDY.main()
