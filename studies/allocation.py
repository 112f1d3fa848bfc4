"""Scores per layer, and where the budget goes (section 5.3, Figure 3).

Left: score ||W||_inf^2 J^2 of every layer of SmallCNN, one dot per training seed. Middle: the protected bits of TAC by
layer as the budget grows, a stack of shares of the stored bits. Right: the protected planes of each layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, above, holds, shown
from lab.figures import COLOURS, HATCHES, new_figure
from lab.networks import CNNS, LABELS, trained
from lab.study import Scale, Study
from lab.summary import mean_over
from qtaml_codesign.statistics import Interval

RATE = 0.10
BUDGETS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.10, 0.125, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50, 0.75,
           1.0)
SMALL = "small-cnn"


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One plan per network, training seed, budget and solver; the smoke version looks at SmallCNN alone."""
    networks = (SMALL,) if scale.smoke else CNNS
    solvers = ("greedy",) if scale.smoke else ("greedy", "exact")
    return [{"network": network, "seed": seed, "budget": budget, "allocation": solver}
            for network in networks for solver in solvers for budget in BUDGETS for seed in scale.seeds
            if network == SMALL or budget == 0.05]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """A row per layer: score, gain, scale, depth."""
    workload = trained(case["network"], case["seed"], networks)
    plan = qc.plan(workload, "tac-bits-only", RATE, case["budget"], case["seed"], allocation=case["allocation"])
    return [{"layer": layer.name.removesuffix(".weight"), "weights": layer.weights, "score": layer.score,
             "gain": layer.jacobian_gain, "scale": layer.scale, "depth": layer.depth,
             "share": layer.depth * layer.weights / plan.stored_bits} for layer in plan.layers]


def scores(rows: pd.DataFrame, network: str) -> pd.DataFrame:
    """Layers x training seeds: scores of one network."""
    found = rows[(rows["network"] == network) & (rows["budget"] == 0.05) & (rows["allocation"] == "greedy")]
    return found.pivot(index="layer", columns="seed", values="score").loc[list(dict.fromkeys(found["layer"]))]


def spread(rows: pd.DataFrame, network: str) -> Interval:
    """Decades between the largest and the smallest score."""
    found = scores(rows, network)
    return mean_over(np.log10(found.max() / found.min()).to_numpy())


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Geometric mean of the scores by layer, and the decades between them, for every network."""
    lines = []
    for network in dict.fromkeys(rows["network"]):
        means = np.exp(np.log(scores(rows, str(network))).mean(axis=1))
        lines.append({"network": LABELS[str(network)], "decades of scores": shown(spread(rows, str(network)), 2),
                      "scores (geometric mean over training seeds)": ", ".join(f"{layer} {value:.3g}"
                                                                               for layer, value in means.items())})
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Scores by layer, the stack of protected bits (greedy), and the depths."""
    drawn, axes = new_figure(1, 3, width=4.9, height=4.2)
    found = scores(rows, SMALL)
    left, middle, right = axes[0]
    for index, (_, values) in enumerate(found.iterrows()):
        left.scatter(np.full(len(values), index), values, color=COLOURS[index], alpha=0.45, s=20, linewidth=0)
        left.plot(index, np.exp(np.log(values).mean()), "_", color=COLOURS[index], markersize=22, markeredgewidth=2.5)
    weights = rows[rows["network"] == SMALL].drop_duplicates("layer").set_index("layer")["weights"]
    left.set_xticks(range(len(found)), [f"{layer}\n{weights[layer]}" for layer in found.index])
    left.set(yscale="log", ylabel="score ||W||² J²", xlabel="layer and its weights", xlim=(-0.5, len(found) - 0.5),
             title="SmallCNN: scores, dots: training seeds")
    mean = rows[(rows["network"] == SMALL) & (rows["allocation"] == "greedy")]
    shares = mean.pivot_table(index="budget", columns="layer", values="share", aggfunc="mean")[list(found.index)]
    depths = mean.pivot_table(index="budget", columns="layer", values="depth", aggfunc="mean")[list(found.index)]
    stack = middle.stackplot(100 * shares.index, 100 * shares.to_numpy().T, labels=list(shares.columns),
                             colors=COLOURS[:len(found)], alpha=0.85)
    for area, hatch in zip(stack, HATCHES, strict=False):
        area.set(hatch=hatch, edgecolor="white", linewidth=0)
    middle.set(xlabel="ECC budget (% of stored bits)", ylabel="protected (% of stored bits)", xlim=(0, 50),
               ylim=(0, 50),
               title="Where the budget goes")
    middle.legend(loc="upper left")
    for index, layer in enumerate(found.index):
        right.plot(100 * depths.index, depths[layer], marker="os^D"[index], color=COLOURS[index], label=layer)
    right.set(xscale="log", xlabel="ECC budget (% of stored bits)", ylabel="protected planes of 8", ylim=(-0.2, 9.4),
              title="Depth by layer, mean of training seeds")
    right.set_xticks([0.25, 1, 3, 10, 30, 100], ["0.25", "1", "3", "10", "30", "100"])
    right.minorticks_off()
    right.legend(loc="upper center", ncols=4, columnspacing=1.0)
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Section 5.3: the spread of the scores, who is last, and the order of protection."""
    found, decades = scores(rows, SMALL), spread(rows, SMALL)
    smallest = found.idxmin().value_counts()
    depths = rows[(rows["network"] == SMALL) & (rows["allocation"] == "greedy")]
    by_budget = depths.pivot_table(index="budget", columns="layer", values="depth", aggfunc="mean")
    gain = rows[(rows["network"] == SMALL)].groupby("layer")["gain"].mean()
    first, early = by_budget.loc[0.05], by_budget.loc[:0.05]
    untouched = by_budget[by_budget["fc1"] == 0.0].index.max()
    return [
        Claim("5.3-spread", "5.3, Fig. 3a",
              "the scores of SmallCNN vary by nearly three orders of magnitude (agrees above three)",
              f"{shown(decades, 2)} decades", above(decades, 3.0),
              f"They span {shown(decades, 2)} decades over training seeds."),
        Claim("5.3-last", "5.3, Fig. 3a",
              "fc1 has the smallest score, by its low Jacobian gain, although it holds most weights",
              f"smallest in {smallest.get('fc1', 0)} of {found.shape[1]} training seeds; gain J {gain['fc1']:.3f}, "
              f"others {gain.drop('fc1').min():.3f} to {gain.max():.3f}",
              holds(smallest.get("fc1", 0) == found.shape[1] and gain.idxmin() == "fc1"),
              f"fc1 is smallest in {smallest.get('fc1', 0)} of {found.shape[1]} seeds."),
        Claim("5.3-first", "5.3, Fig. 3b",
              "TAC protects conv1 and fc2 first (no shallower than conv2 and fc1 at any budget up to 5 %)",
              f"5 %: conv1 {first['conv1']:.1f}, fc2 {first['fc2']:.1f}, conv2 {first['conv2']:.1f}, fc1 "
              f"{first['fc1']:.1f} planes; the paper's depths are lost",
              holds(bool((early[["conv1", "fc2"]].min(axis=1) >= early[["conv2", "fc1"]].max(axis=1)).all()
                         and first[["conv1", "fc2"]].min() > first[["conv2", "fc1"]].max())),
              f"Up to 5 % the mean depths are, budget by budget, conv1 {_listed(early['conv1'])}; fc2 "
              f"{_listed(early['fc2'])}; conv2 {_listed(early['conv2'])}; fc1 {_listed(early['fc1'])}."),
        Claim("5.3-gradual", "5.3, Fig. 3b",
              "conv2 is brought up gradually, fc1 stays unprotected until the budget is large",
              f"fc1 unprotected in all training seeds up to a budget of {100 * untouched:g} %; conv2: "
              + ", ".join(f"{by_budget.loc[budget, 'conv2']:.1f} at {100 * budget:g} %"
                          for budget in (0.02, 0.05, 0.10)),
              holds(untouched >= 0.05 and by_budget.loc[0.02, "conv2"] < by_budget.loc[0.05, "conv2"]
                    < by_budget.loc[0.10, "conv2"]),
              f"fc1 is unprotected up to {100 * untouched:g} %, and the depth of conv2 does not rise from 2 to 10 %."),
    ]


def _listed(depths: pd.Series[float]) -> str:
    return " ".join(f"{depth:.1f}" for depth in depths)


STUDY = Study(
    name="allocation", title="Scores per layer and the allocation", where="section 5.3, Figure 3",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims,
    decided_by_smoke=("5.3-spread", "5.3-last", "5.3-gradual"), sample="10 training seeds; deterministic for each",
)

if __name__ == "__main__":
    STUDY.main()
