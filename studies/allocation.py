"""Scores per layer, and where the budget goes (section 5.3, Figure 3).

Above: the score ||W||_inf^2 J^2 of every layer of SmallCNN with its interval over training seeds, and the share of the
protected bits that each layer gets as the budget grows. Below: protected planes of each layer by the paper's greedy
rule and by the exact integer programme. Everything is deterministic for one trained network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, below, holds, shown, within
from lab.figures import COLOURS, MARKERS, curve, new_figure
from lab.networks import CNNS, LABELS, trained
from lab.study import Scale, Study
from lab.summary import mean_over
from qtaml_codesign.statistics import Interval

RATE = 0.10
BUDGETS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.10, 0.125, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50, 0.75,
           1.0)
SMALL, TABLE_BUDGET = "small-cnn", 0.05
SOLVERS = ("greedy", "exact")
NEARLY_THREE = (2.5, 3.0)
"""Decades that "nearly three orders of magnitude" stands for."""


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One plan per network, training seed, budget and solver; the smoke version looks at SmallCNN alone."""
    networks = (SMALL,) if scale.smoke else CNNS
    return [{"network": network, "seed": seed, "budget": budget, "allocation": solver}
            for network in networks for solver in SOLVERS for budget in BUDGETS for seed in scale.seeds
            if network == SMALL or budget == TABLE_BUDGET]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """A row per layer: score, gain, scale, depth, share of the protected bits; predicted variance of the plan."""
    workload = trained(case["network"], case["seed"], networks)
    plan = qc.plan(workload, "tac-bits-only", RATE, case["budget"], case["seed"], allocation=case["allocation"])
    protected = sum(layer.depth * layer.weights for layer in plan.layers)
    return [{"layer": layer.name.removesuffix(".weight"), "weights": layer.weights, "score": layer.score,
             "gain": layer.jacobian_gain, "scale": layer.scale, "depth": layer.depth,
             "share": layer.depth * layer.weights / max(protected, 1), "variance": plan.predicted_variance}
            for layer in plan.layers]


def per_seed(rows: pd.DataFrame, network: str, column: str) -> pd.DataFrame:
    """Layers x training seeds of one column of one network, layers in the order of the module."""
    found = rows[(rows["network"] == network) & (rows["budget"] == TABLE_BUDGET) & (rows["allocation"] == "greedy")]
    return found.pivot(index="layer", columns="seed", values=column).loc[list(dict.fromkeys(found["layer"]))]


def decades(rows: pd.DataFrame, network: str) -> np.ndarray:
    """Decades between the largest and the smallest score, one per training seed."""
    found = per_seed(rows, network, "score")
    return np.log10(found.max() / found.min()).to_numpy()


def geometric(scores: pd.DataFrame) -> dict[str, Interval]:
    """Geometric mean of each layer's score over training seeds, interval taken in the logarithm."""
    return {str(layer): Interval(*np.exp(mean_over(np.log(values)))) for layer, values in scores.iterrows()}


def depths(rows: pd.DataFrame, solver: str, network: str = SMALL) -> pd.DataFrame:
    """One row per budget, layer and training seed."""
    return rows[(rows["network"] == network) & (rows["allocation"] == solver)]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores, the decades between them and the depths at 5 % by both solvers, for every network."""
    lines = []
    for network in map(str, dict.fromkeys(rows["network"])):
        found = geometric(per_seed(rows, network, "score"))
        planes = {solver: depths(rows, solver, network).query("budget == @TABLE_BUDGET").groupby("layer", sort=False)
                  ["depth"].mean() for solver in SOLVERS}
        lines.append({
            "network": LABELS[network], "decades of scores": shown(mean_over(decades(rows, network)), 2),
            "score: geometric mean [interval]": ", ".join(
                f"{layer} {value.estimate:.3g} [{value.low:.3g}, {value.high:.3g}]" for layer, value in found.items()),
            **{f"planes at 5 %, {solver}": " ".join(f"{value:.3g}" for value in planes[solver]) for solver in SOLVERS},
        })
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Scores by layer, shares of the protected bits, and the depths by both solvers."""
    drawn, axes = new_figure(2, 2, width=6.2, height=4.0)
    layers = list(per_seed(rows, SMALL, "score").index)
    _draw_scores(axes[0, 0], rows, layers)
    _draw_shares(axes[0, 1], rows, layers)
    for axis, solver in zip(axes[1], SOLVERS, strict=True):
        _draw_depths(axis, depths(rows, solver), layers)
        axis.set_title(f"Depth, {'greedy rule of the paper' if solver == 'greedy' else 'exact integer programme'}")
    return drawn


def _draw_scores(axis: Any, rows: pd.DataFrame, layers: list[str]) -> None:
    found = per_seed(rows, SMALL, "score")
    weights = per_seed(rows, SMALL, "weights").iloc[:, 0]
    for index, (layer, mean) in enumerate(geometric(found).items()):
        values = found.loc[layer]
        axis.scatter(np.full(len(values), index - 0.12), values, color=COLOURS[index], alpha=0.45, s=20, linewidth=0)
        axis.errorbar(index + 0.12, mean.estimate, color=COLOURS[index], fmt=MARKERS[index], capsize=5,
                      yerr=[[mean.estimate - mean.low], [mean.high - mean.estimate]])
    axis.set_xticks(range(len(layers)), [f"{layer}\n{weights[layer]:.0f}" for layer in layers])
    axis.set(yscale="log", ylabel="score ||W||² J²", xlabel="layer and its weights", xlim=(-0.5, len(layers) - 0.5),
             title="SmallCNN: score of each training seed, and mean")


def _draw_shares(axis: Any, rows: pd.DataFrame, layers: list[str]) -> None:
    """One stacked bar per budget, and that of Uniform-MSP, which pays by size."""
    shares = depths(rows, "greedy").pivot_table(index="budget", columns="layer", values="share", aggfunc="mean")
    weights = per_seed(rows, SMALL, "weights").iloc[:, 0]
    places, bottom = [*range(len(shares)), len(shares) + 0.6], np.zeros(len(shares) + 1)
    for index, layer in enumerate(layers):
        values = 100.0 * np.append(shares[layer].to_numpy(), weights[layer] / weights.sum())
        axis.bar(places, values, bottom=bottom, width=0.9, color=COLOURS[index], alpha=0.85, label=layer)
        bottom += values
    names = [f"{100 * budget:g}" for budget in shares.index]
    axis.set_xticks(places, [*names, "Uniform"], rotation=90, fontsize=8.5)
    axis.set(xlabel="ECC budget (% of stored bits)", ylabel="share of the protected bits (%)", ylim=(0, 118),
             title="Where TAC's budget goes (greedy)")
    axis.set_yticks(range(0, 101, 20))
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper center", ncols=4, columnspacing=1.0)


def _draw_depths(axis: Any, found: pd.DataFrame, layers: list[str]) -> None:
    for index, layer in enumerate(layers):
        groups = found[found["layer"] == layer].groupby("budget")["depth"]
        means = pd.DataFrame([{"budget": budget, **dict(zip(("depth", "low", "high"), mean_over(group), strict=True))}
                              for budget, group in groups])
        curve(axis, means, "budget", index, y="depth", label=layer, scale=100.0)
    axis.set(xscale="log", xlabel="ECC budget (% of stored bits)", ylabel="protected planes of 8", ylim=(-0.2, 9.6))
    axis.set_xticks([0.25, 1, 3, 10, 30, 100], ["0.25", "1", "3", "10", "30", "100"])
    axis.minorticks_off()
    axis.legend(loc="upper center", ncols=4, columnspacing=1.0)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Section 5.3, what 5.6 says of the CNNs, and what Algorithm 1 says of its greedy rule."""
    found = [_spread(rows), _last(rows), _first(rows), _gradual(rows), _late(rows), _uniform(rows), _greedy(rows)]
    return [*found, _widest(rows)] if set(CNNS) <= set(rows["network"]) else found


def _spread(rows: pd.DataFrame) -> Claim:
    values = decades(rows, SMALL)
    mean, (low, high) = mean_over(values), NEARLY_THREE
    return Claim(
        "5.3-spread", "5.3, Fig. 3a", "the scores of SmallCNN vary by nearly three orders of magnitude (read as "
        f"{low:g} to {high:g} decades; the four printed scores are lost)",
        f"{shown(mean, 2)} decades; single networks {values.min():.2f} to {values.max():.2f}",
        within(mean, low, high),
        f"They span {shown(mean, 2)} decades; {int(((values >= low) & (values <= high)).sum())} of {len(values)} "
        f"networks lie between {low:g} and {high:g}. The direction of the claim is not in doubt: importance is very "
        "uneven, here by somewhat more than the paper says. The largest score is the square of one extreme weight "
        "times a gain, both of which depend on how the network was trained, and the paper shows one network.")


def _last(rows: pd.DataFrame) -> Claim:
    score, gain, scale = (per_seed(rows, SMALL, column) for column in ("score", "gain", "scale"))
    weights = per_seed(rows, SMALL, "weights").iloc[:, 0]
    last, low_gain, low_scale = (int((part.idxmin() == "fc1").sum()) for part in (score, gain, scale))
    seeds = score.shape[1]
    return Claim(
        "5.3-last", "5.3, Fig. 3a",
        "fc1 holds most weights and has the smallest score, by its low Jacobian gain (not by a small scale)",
        f"{100 * weights['fc1'] / weights.sum():.1f} % of the weights; smallest score in {last}, smallest gain in "
        f"{low_gain}, smallest scale in {low_scale} of {seeds} training seeds; mean gain {gain.loc['fc1'].mean():.3f}, "
        f"others {gain.drop('fc1').mean(axis=1).min():.3f} to {gain.mean(axis=1).max():.3f}",
        holds(last == low_gain == seeds and low_scale < seeds and weights["fc1"] > weights.sum() / 2),
        f"Of {seeds} networks fc1 has the smallest score in {last}, the smallest gain in {low_gain} and the smallest "
        f"scale in {low_scale}.")


def _planes(rows: pd.DataFrame, layer: str, budget: float, solver: str = "greedy") -> pd.Series:
    found = depths(rows, solver)
    return found[(found["layer"] == layer) & (found["budget"] == budget)]["depth"]


def _starts(rows: pd.DataFrame, layer: str, solver: str = "greedy") -> float:
    """Smallest budget of the grid at which any network protects the layer."""
    found = depths(rows, solver)
    return float(found[(found["layer"] == layer) & (found["depth"] > 0)]["budget"].min())


def _listed(rows: pd.DataFrame, budget: float, solver: str) -> str:
    layers = per_seed(rows, SMALL, "score").index
    return ", ".join(f"{layer} {_planes(rows, layer, budget, solver).mean():.3g}" for layer in layers)


def _first(rows: pd.DataFrame) -> Claim:
    starts = {layer: _starts(rows, layer) for layer in ("conv1", "fc2", "conv2", "fc1")}
    full = min(int(_planes(rows, layer, TABLE_BUDGET).min()) for layer in ("conv1", "fc2"))
    order = ", ".join(f"{layer} {100 * budget:g} %" for layer, budget in starts.items())
    return Claim(
        "5.3-first", "5.3, Fig. 3b", "TAC protects conv1 and fc2 first, and almost fully at a few per cent (read as 7 "
        "of 8 planes or more at 5 %; the printed depths and budgets are lost)",
        f"first protected at: {order}; planes at 5 %: greedy {_listed(rows, TABLE_BUDGET, 'greedy')}; exact "
        f"{_listed(rows, TABLE_BUDGET, 'exact')}",
        holds(full >= 7 and max(starts["conv1"], starts["fc2"]) < min(starts["conv2"], starts["fc1"])),
        f"Layers are first protected at {order}; the fewest planes of conv1 and fc2 at 5 % are {full}.")


def _gradual(rows: pd.DataFrame) -> Claim:
    budgets = [0.02, 0.03, 0.05, 0.075, 0.10, 0.125, 0.15]
    rising = pd.DataFrame({budget: _planes(rows, "conv2", budget).to_numpy() for budget in budgets})
    back = {solver: [f"{100 * after:g} %" for before, after in zip(BUDGETS, BUDGETS[1:], strict=False)
                     if _planes(rows, "conv2", after, solver).mean() < _planes(rows, "conv2", before, solver).mean()]
            for solver in SOLVERS}
    return Claim(
        "5.3-gradual", "5.3, Fig. 3b", "conv2 is brought up gradually, until fc1 competes for the budget",
        "conv2, greedy: " + ", ".join(f"{mean:.3g} at {100 * budget:g} %" for budget, mean in rising.mean().items())
        + f"; it falls back where a plane of fc1 is bought (greedy at {', '.join(back['greedy']) or 'none'}; exact "
        f"at {', '.join(back['exact']) or 'none'})",
        holds(bool((rising.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None) and rising[0.10].min() > rising[0.02].max())),
        "The depth of conv2 does not rise with every step of the budget from 2 to 15 %.")


def _late(rows: pd.DataFrame) -> Claim:
    weights = per_seed(rows, SMALL, "weights").iloc[:, 0]
    plane = weights["fc1"] / weights.sum() / 8
    starts = {solver: _starts(rows, "fc1", solver) for solver in SOLVERS}
    return Claim(
        "5.3-late", "5.3, Fig. 3b", "fc1 stays unprotected until the budget is large (the printed threshold is lost; "
        "read as: even where a plane of it would fit)",
        f"a plane of fc1 costs {100 * plane:.1f} % of the stored bits; fc1 is first protected at "
        f"{100 * starts['greedy']:g} % (greedy), {100 * starts['exact']:g} % (exact)",
        holds(min(starts.values()) > 0.125),
        f"A plane of fc1 fits above {100 * plane:.1f} % and is bought at {100 * starts['greedy']:g} % by the greedy "
        f"rule and at {100 * starts['exact']:g} % by the exact one.")


def _uniform(rows: pd.DataFrame) -> Claim:
    weights, score = per_seed(rows, SMALL, "weights").iloc[:, 0], per_seed(rows, SMALL, "score")
    share = weights["fc1"] / weights.sum()
    return Claim(
        "5.3-uniform", "5.3", "Uniform-MSP pays by layer size, so most of its budget goes to the layer that needs it "
        "least", f"{100 * share:.1f} % of its protected bits lie in fc1, which has the smallest score (a count)",
        holds(share > 0.5 and bool((score.idxmin() == "fc1").all())), "fc1 is not the largest or not the last layer.")


def _greedy(rows: pd.DataFrame) -> Claim:
    wide = rows[rows["network"] == SMALL].drop_duplicates(["seed", "budget", "allocation"]).pivot(
        index=["seed", "budget"], columns="allocation", values="variance")
    excess = (wide["greedy"] / wide["exact"])[wide["exact"] > 0.0]
    worst, optimal = excess.groupby("budget").mean(), int((excess < 1.0 + 1e-9).sum())
    return Claim(
        "4.4-greedy", "4.4, Algorithm 1 step 2", "the greedy rule gives the optimal allocation",
        f"SmallCNN: optimal in {optimal} of {len(excess)} plans (networks x budgets); worst mean excess of the "
        f"predicted variance {100 * (worst.max() - 1.0):.3g} %, at a budget of {100 * worst.idxmax():g} %",
        holds(optimal == len(excess)),
        f"The exact solver predicts a smaller variance in {len(excess) - optimal} of {len(excess)} plans, by up to "
        f"{100 * (excess.max() - 1.0):.3g} %. The layers have planes of unequal cost, so that the problem is a "
        "knapsack: greedy fills up small layers before it sees that the rest would have paid for a plane of a large "
        "one. Where nothing is left over the two agree.")


def _widest(rows: pd.DataFrame) -> Claim:
    found = {network: mean_over(decades(rows, network)) for network in CNNS}
    widest = max(found, key=lambda network: found[network].estimate)
    listing = ", ".join(f"{LABELS[network]} {shown(value, 2)}" for network, value in found.items())
    return Claim(
        "5.6-cnn-spread", "5.6", "the scores of the CNNs spread over at most three orders of magnitude",
        f"decades: {listing}", below(found[widest], 3.0),
        f"{LABELS[widest]} spreads over {shown(found[widest], 2)} decades ({listing}). One layer decides it on either "
        "side: the first convolution has few weights with large gains, the big fully connected layer many with small "
        "ones.")


STUDY = Study(
    name="allocation", title="Scores per layer and the allocation", where="section 5.3, Figure 3",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims,
    decided_by_smoke=("5.3-last", "5.3-first", "5.3-gradual", "5.3-late", "5.3-uniform"),
    sample="10 training seeds; deterministic for each",
)

if __name__ == "__main__":
    STUDY.main()
