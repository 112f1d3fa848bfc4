"""Mean correction on every layer, on none, or decided layer by layer (appendix C.1, Table 9), and two rules of ours.

The correction enlarges the weights of a layer by 1/(1-2p) before they are clipped to the range of the layer and
stored. All arms share the bit allocation. Ours: correct exactly where no plane is protected; enlarge by the inverse
slope of the mean that the stored codes really have at their depth; and the reading in which the enlarged weights set a
new range, so that nothing is clipped and the correction is but a factor at readout. The first is measured without ECC,
on all five networks and at three flip probabilities as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lab.claims import Claim, all_of, keeps, lowers, points, raises
from lab.deploy import accuracy_row, point
from lab.figures import COLOURS, HATCHES, MARKERS, new_figure
from lab.networks import LABELS
from lab.study import Scale, Study
from lab.summary import over_seeds, paired_difference, pooled_accuracy
from qtaml_codesign.statistics import Interval

Point = tuple[str, float, float]
"""Network, ECC budget, flip probability."""
RATE = 0.10
TABLE_9 = (("small-cnn", 0.01), ("small-cnn", 0.05), ("wide-cnn", 0.01), ("wide-cnn", 0.05), ("deep-cnn", 0.02),
           ("deep-cnn", 0.05), ("deep-cnn", 0.25), ("res-cnn", 0.05), ("res-cnn", 0.10), ("res-cnn", 0.25))
RATES = (0.05, 0.10, 0.20)
BUDGETS = {"small-cnn": (0.0, 0.01, 0.05), "wide-cnn": (0.0, 0.01, 0.05), "deep-cnn": (0.0, 0.02, 0.05),
           "res-cnn": (0.0, 0.05, 0.10), "transformer": (0.0, 0.10, 0.20)}
ARMS = {"never": "tac-bits-only", "always": "tac-always-corrected", "decided": "tac",
        "where unprotected": "tac-unprotected-corrected", "by the slope": "tac-slope-corrected",
        "without clipping": "tac-rescaled"}
RULE = ("never", "decided", "where unprotected")
WITHOUT_ECC = {"never": "none", "where unprotected": "mean-only"}
"""Without protected planes these two are all there is: every layer is unprotected."""


def cases(scale: Scale) -> list[dict[str, Any]]:
    """All arms at the points of Table 9, and the rules at every network, budget and flip probability."""
    table = TABLE_9 if not scale.smoke else (("small-cnn", 0.05), ("res-cnn", 0.05))
    wide = () if scale.smoke else tuple((network, budget, rate) for network, budgets in BUDGETS.items()
                                        for budget in budgets for rate in RATES)
    chosen = {**{at: RULE for at in wide}, **{(network, budget, RATE): tuple(ARMS) for network, budget in table}}
    if scale.smoke:
        chosen["small-cnn", 0.0, RATE] = tuple(WITHOUT_ECC)
    return [{"arm": arm, **point(network, seed, method, budget, rate, scale.trials)}
            for (network, budget, rate), arms in chosen.items()
            for arm, method in (ARMS if budget else WITHOUT_ECC).items() if arm in arms for seed in scale.seeds]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one plan on one network."""
    return [accuracy_row(case, networks)]


def arm(rows: pd.DataFrame, at: Point, name: str) -> pd.DataFrame:
    """Rows of one arm, one per training seed; empty where it was not measured."""
    network, budget, rate = at
    return rows[(rows["network"] == network) & (rows["budget"] == budget) & (rows["planned"] == rate)
                & (rows["arm"] == name)]


def gap(rows: pd.DataFrame, at: Point, first: str, second: str) -> Interval:
    """Accuracy of one arm minus another's, paired by training seed."""
    return paired_difference(arm(rows, at, first), arm(rows, at, second))


def chosen_points(rows: pd.DataFrame, name: str) -> list[Point]:
    """Where an arm was measured: by network, budget and flip probability."""
    found = rows[rows["arm"] == name]
    return sorted(set(zip(found["network"], found["budget"], found["planned"], strict=True)),
                  key=lambda at: (list(LABELS).index(at[0]), *at[1:]))


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The points of Table 9: accuracy of every arm, and what the decision per layer gains on both extremes."""
    lines = []
    for at in chosen_points(rows, "always"):
        found = {name: pooled_accuracy(arm(rows, at, name)) for name in ARMS}
        lines.append({
            "network, p = 0.10": f"{LABELS[at[0]]} at {100 * at[1]:g} %",
            **{name: f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]" for name, value in found.items()},
            "decided - always": points(gap(rows, at, "decided", "always")),
            "decided - never": points(gap(rows, at, "decided", "never")),
        })
    return pd.DataFrame(lines)


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rule `correct where no plane is protected` against never, network and budget by flip probability."""
    found: dict[tuple[str, float], dict[str, str]] = {}
    for network, budget, rate in chosen_points(rows, "where unprotected"):
        line = found.setdefault((network, budget), {"network": f"{LABELS[network]} at {100 * budget:g} %"})
        gained = gap(rows, (network, budget, rate), "where unprotected", "never")
        line[f"where unprotected - never, p = {rate:g}"] = points(gained)
    return pd.DataFrame(found.values()).fillna("-")


def figure(rows: pd.DataFrame) -> Figure:
    """A bar per arm at the points of Table 9; the rule against never, a dot per network, budget and p."""
    drawn, axes = new_figure(2, 1, width=12.0, height=4.4)
    _draw_arms(axes[0, 0], rows)
    _draw_rule(axes[1, 0], rows)
    return drawn


def _draw_arms(axis: Any, rows: pd.DataFrame) -> None:
    chosen = chosen_points(rows, "always")
    summary = over_seeds(rows, ["network", "budget", "planned", "arm"]).set_index(["network", "budget", "planned"])
    for index, name in enumerate(ARMS):
        part = summary[summary["arm"] == name].loc[chosen]
        places = np.arange(len(chosen)) + 0.14 * (index - (len(ARMS) - 1) / 2)
        errors = np.maximum(np.stack([part["accuracy"] - part["low"], part["high"] - part["accuracy"]]), 0.0)
        axis.bar(places, part["accuracy"], width=0.13, color=COLOURS[index], alpha=0.85, label=name,
                 hatch=HATCHES[index], edgecolor="white", linewidth=0)
        axis.errorbar(places, part["accuracy"], yerr=errors, fmt="none", color="black", capsize=1.5, linewidth=0.8)
    axis.set_xticks(range(len(chosen)), [f"{LABELS[network]}\n{100 * budget:g} %" for network, budget, _ in chosen])
    axis.set(ylabel="accuracy", ylim=(0.0, 1.18), yticks=np.arange(0.0, 1.01, 0.2), xlabel="network and ECC budget",
             title=f"Mean correction under the same protection, p = {RATE:g}: which layers, and how")
    axis.legend(ncols=6, loc="upper left")
    axis.grid(axis="x", visible=False)


def _draw_rule(axis: Any, rows: pd.DataFrame) -> None:
    chosen = chosen_points(rows, "where unprotected")
    pairs = dict.fromkeys((network, budget) for network, budget, _ in chosen)
    places = {pair: index for index, pair in enumerate(pairs)}
    rates = sorted({rate for _, _, rate in chosen})
    for index, rate in enumerate(rates):
        at = [point for point in chosen if point[2] == rate]
        gaps = [gap(rows, point, "where unprotected", "never") for point in at]
        middles = [places[network, budget] + 0.2 * (index - (len(rates) - 1) / 2) for network, budget, _ in at]
        errors = [[100 * (g.estimate - g.low) for g in gaps], [100 * (g.high - g.estimate) for g in gaps]]
        axis.errorbar(middles, [100 * g.estimate for g in gaps], yerr=errors, fmt=MARKERS[index], color=COLOURS[index],
                      capsize=2.5, label=f"p = {rate:g}")
    axis.axhline(0.0, color="#777777", linewidth=0.8)
    axis.set_xticks(range(len(places)), [f"{LABELS[network]}\n{100 * budget:g} %" for network, budget in places])
    axis.set(ylabel="accuracy - never corrected (pp)", xlabel="network and ECC budget",
             title="Correcting exactly the layers without a protected plane")
    axis.legend()


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Table 9, statement by statement, and what our rules do."""
    chosen = chosen_points(rows, "always")
    found = [_residual_harm(rows, at) for at in chosen if at[0] == "res-cnn"]
    found += [_help(rows, at) for at in chosen if at[:2] in (("small-cnn", 0.01), ("wide-cnn", 0.01))]
    found += [_deep_harm(rows, at) for at in chosen if at[:2] == ("deep-cnn", 0.25)]
    return [*found, _recovers(rows, chosen), *_ours(rows)]


def _residual_harm(rows: pd.DataFrame, at: Point) -> Claim:
    effect, percent = gap(rows, at, "always", "never"), f"{100 * at[1]:g}"
    return Claim(f"C.1-residual-{percent}", "5.5, C.1, Table 9",
                 f"ResCNN at {percent} %: correcting every layer is harmful", f"always - never: {points(effect)}",
                 lowers(effect),
                 f"At {percent} % correcting every layer changes the accuracy by {points(effect)}.")


def _help(rows: pd.DataFrame, at: Point) -> Claim:
    effect = gap(rows, at, "always", "never")
    return Claim(f"C.1-shallow-{at[0]}", "C.1, Table 9",
                 f"{LABELS[at[0]]} at {100 * at[1]:g} %: correction helps shallow networks at small budgets",
                 f"always - never: {points(effect)}", raises(effect),
                 f"Correcting every layer of {LABELS[at[0]]} changes the accuracy by {points(effect)}.")


def _deep_harm(rows: pd.DataFrame, at: Point) -> Claim:
    effect = gap(rows, at, "always", "never")
    return Claim("C.1-deep-large", "C.1, Table 9",
                 f"DeepCNN at a large budget ({100 * at[1]:g} %): correcting every layer is harmful",
                 f"always - never: {points(effect)}", lowers(effect),
                 f"Correcting every layer changes the accuracy by {points(effect)}.")


def _recovers(rows: pd.DataFrame, chosen: list[Point]) -> Claim:
    """The decision against the better extreme at every point."""
    losses = [min((gap(rows, at, "decided", other) for other in ("always", "never")), key=lambda found: found.estimate)
              for at in chosen]
    worst = min(losses, key=lambda found: found.estimate)
    return Claim("C.1-adaptive", "4.4, C.1, Table 9", "the decision per layer recovers the better of the two extremes",
                 f"decided - better extreme, worst of {len(chosen)} points: {points(worst)}",
                 all_of(map(keeps, losses)),
                 f"At its worst point the decision per layer loses {points(worst)} against the better extreme. Each "
                 "layer is judged alone, with the others free of noise; corrections that help alone may not add up.")


def _ours(rows: pd.DataFrame) -> list[Claim]:
    """What the rules of ours do, each against the one that it departs from, at every point where both were measured."""
    compared = (
        ("C.1-unprotected", "where unprotected", "never",
         "correcting exactly the layers without a protected plane loses nothing against never"),
        ("C.1-slope", "by the slope", "always",
         "with every layer corrected, the inverse slope at its own depth loses nothing against 1/(1-2p)"),
        ("C.1-clipping", "decided", "without clipping",
         "keeping the range and clipping loses nothing against a range that grows with the weights"),
    )
    return [_never_worse(rows, *one) for one in compared]


def _never_worse(rows: pd.DataFrame, key: str, first: str, second: str, statement: str) -> Claim:
    both = set(chosen_points(rows, second))
    gaps = {at: gap(rows, at, first, second) for at in chosen_points(rows, first) if at in both}
    worst, best = (choose(gaps, key=lambda at: gaps[at].estimate) for choose in (min, max))
    networks = len({network for network, _, _ in gaps})
    return Claim(key, "ours", statement,
                 f"{len(gaps)} points of {networks} networks: worst {_at(worst, gaps)}, best "
                 f"{_at(best, gaps)}", all_of(map(keeps, gaps.values())),
                 f"At its worst point it changes the accuracy by {_at(worst, gaps)}.", kind="ours")


def _at(at: Point, gaps: dict[Point, Interval]) -> str:
    return f"{points(gaps[at])} ({LABELS[at[0]]} at {100 * at[1]:g} %, p = {at[2]:g})"


STUDY = Study(
    name="mean_correction", title="Mean correction: always, never, or decided per layer", where="appendix C.1, Table 9",
    cases=cases, measure=measure, figure=figure, table=table, second_table=second_table, claims=claims,
    decided_by_smoke=("C.1-clipping",),
)

if __name__ == "__main__":
    STUDY.main()
