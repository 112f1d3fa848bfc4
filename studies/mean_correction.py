"""Mean correction on every layer, on none, or decided layer by layer (appendix C.1, Table 9).

Four CNNs at p = 0.10 with the same bit allocation in all three arms. The correction undoes the shrinkage 1 - 2p of the
stored weights and amplifies them by 1.25, protected planes included; where planes are protected it overshoots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lab.claims import Claim, above, below, points
from lab.deploy import accuracy_row, point
from lab.figures import COLOURS, new_figure
from lab.networks import LABELS
from lab.study import Scale, Study
from lab.summary import over_seeds, paired_difference

FLIP_PROBABILITY = 0.10
POINTS = (("small-cnn", 0.01), ("small-cnn", 0.05), ("wide-cnn", 0.01), ("wide-cnn", 0.05), ("deep-cnn", 0.02),
          ("deep-cnn", 0.05), ("deep-cnn", 0.25), ("res-cnn", 0.05), ("res-cnn", 0.10), ("res-cnn", 0.25))
ARMS = {"tac-always-corrected": "always", "tac-bits-only": "never", "tac": "adaptive"}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Three arms per network, budget and training seed."""
    chosen = (("small-cnn", 0.05), ("res-cnn", 0.05)) if scale.smoke else POINTS
    return [point(network, seed, method, budget, FLIP_PROBABILITY, scale.trials)
            for network, budget in chosen for method in ARMS for seed in scale.seeds]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one plan on one network."""
    return [accuracy_row(case, networks)]


def arm(rows: pd.DataFrame, network: str, budget: float, method: str) -> pd.DataFrame:
    """Rows of one arm, one per training seed."""
    return rows[(rows["network"] == network) & (rows["budget"] == budget) & (rows["method"] == method)]


def chosen_points(rows: pd.DataFrame) -> list[tuple[str, float]]:
    """Networks and budgets in the order of the cases."""
    return list(dict.fromkeys(zip(rows["network"], rows["budget"], strict=True)))


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the three arms, and what the decision per layer gains on both extremes."""
    summary = over_seeds(rows, ["network", "budget", "method"])
    summary["cell"] = [f"{r.accuracy:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in summary.itertuples()]
    lines = []
    for network, budget in chosen_points(rows):
        group = summary[(summary["network"] == network) & (summary["budget"] == budget)].set_index("method")["cell"]
        adaptive, always, never = (arm(rows, network, budget, method)
                                   for method in ("tac", "tac-always-corrected", "tac-bits-only"))
        lines.append({
            "network": f"{LABELS[network]} at {100 * budget:g} %",
            **{f"{name} corrected" if name != "adaptive" else name: group[method] for method, name in ARMS.items()},
            "adaptive - always": points(paired_difference(adaptive, always)),
            "adaptive - never": points(paired_difference(adaptive, never)),
        })
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Three bars per network and budget."""
    drawn, axes = new_figure(1, 1, width=9.5, height=4.4)
    axis, chosen = axes[0, 0], chosen_points(rows)
    summary = over_seeds(rows, ["network", "budget", "method"])
    for index, (method, name) in enumerate(ARMS.items()):
        part = summary[summary["method"] == method]
        places = np.arange(len(chosen)) + 0.27 * (index - 1)
        errors = np.maximum(np.stack([part["accuracy"] - part["low"], part["high"] - part["accuracy"]]), 0.0)
        axis.bar(places, part["accuracy"], width=0.25, color=COLOURS[index], alpha=0.85,
                 label=name if name == "adaptive" else f"{name} corrected",
                 hatch=("", "//", "..")[index], edgecolor="white", linewidth=0)
        axis.errorbar(places, part["accuracy"], yerr=errors, fmt="none", color="black", capsize=2.5, linewidth=1.0)
    axis.set_xticks(range(len(chosen)), [f"{LABELS[network]}\n{100 * budget:g} %" for network, budget in chosen])
    axis.set(ylabel="accuracy", ylim=(0.0, 1.18), yticks=np.arange(0.0, 1.01, 0.2), xlabel="network and ECC budget",
             title=f"Mean correction under the same protection, p = {FLIP_PROBABILITY:g}")
    axis.legend(ncols=3, loc="upper left")
    axis.grid(axis="x", visible=False)
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Table 9, statement by statement."""
    chosen = chosen_points(rows)
    found = [_residual_harm(rows, budget) for network, budget in chosen if network == "res-cnn"]
    found += [_help(rows, *at) for at in (("small-cnn", 0.01), ("wide-cnn", 0.01)) if at in chosen]
    found += [_deep_harm(rows, at[1]) for at in chosen if at == ("deep-cnn", 0.25)]
    return [*found, _recovers(rows, chosen)]


def _always_minus_never(rows: pd.DataFrame, network: str, budget: float) -> Any:
    return paired_difference(*(arm(rows, network, budget, method) for method in ("tac-always-corrected",
                                                                                 "tac-bits-only")))


def _residual_harm(rows: pd.DataFrame, budget: float) -> Claim:
    effect = _always_minus_never(rows, "res-cnn", budget)
    return Claim(f"C.1-residual-{100 * budget:g}", "5.5, C.1, Table 9",
                 f"ResCNN at {100 * budget:g} %: correcting every layer is harmful",
                 f"always - never: {points(effect)}", below(effect, 0.0),
                 f"At {100 * budget:g} % correcting every layer changes the accuracy by {points(effect)}: not "
                 "harmful here.")


def _help(rows: pd.DataFrame, network: str, budget: float) -> Claim:
    effect = _always_minus_never(rows, network, budget)
    return Claim(f"C.1-shallow-{network}", "C.1, Table 9",
                 f"{LABELS[network]} at {100 * budget:g} %: correction helps shallow networks at small budgets",
                 f"always - never: {points(effect)}", above(effect, 0.0, negligible=0.01),
                 f"Correcting every layer of {LABELS[network]} changes the accuracy by {points(effect)}, less than a "
                 "percentage point of gain. A common factor on the last layer scales all logits alike and moves no "
                 "decision; and these networks lose but a few points when all their weights shrink by 20 % without "
                 "flips: the variance of the flips, not their mean, costs the accuracy.")


def _deep_harm(rows: pd.DataFrame, budget: float) -> Claim:
    effect = _always_minus_never(rows, "deep-cnn", budget)
    return Claim("C.1-deep-large", "C.1, Table 9",
                 f"DeepCNN at a large budget ({100 * budget:g} %): correcting every layer is harmful",
                 f"always - never: {points(effect)}", below(effect, 0.0),
                 f"Correcting every layer changes the accuracy by {points(effect)}.")


def _recovers(rows: pd.DataFrame, chosen: list[tuple[str, float]]) -> Claim:
    """Adaptive against the better extreme, the worst of all points; a percentage point is let pass."""
    losses = []
    for network, budget in chosen:
        adaptive = arm(rows, network, budget, "tac")
        against = [paired_difference(adaptive, arm(rows, network, budget, other)) for other in ("tac-always-corrected",
                                                                                                "tac-bits-only")]
        losses.append(min(against, key=lambda gap: gap.estimate))
    worst = min(losses, key=lambda gap: gap.low)
    return Claim("C.1-adaptive", "4.4, C.1, Table 9", "the decision per layer recovers the better of the two extremes",
                 f"adaptive - better extreme, worst of {len(chosen)} points: {points(worst)}", above(worst, -0.01),
                 f"At its worst point the decision per layer loses {points(worst)} against the better extreme. Each "
                 "layer is judged alone, with the others free of noise; corrections that help alone may add up to "
                 "too much amplification.")


STUDY = Study(
    name="mean_correction", title="Mean correction: always, never, or decided per layer", where="appendix C.1, Table 9",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, decided_by_smoke=("C.1-residual-5",),
)

if __name__ == "__main__":
    STUDY.main()
