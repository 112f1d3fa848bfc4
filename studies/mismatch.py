"""Robustness to a wrong flip probability at calibration (section 5.4, Figure 4).

TAC on SmallCNN is planned for one flip probability and deployed at another, on a grid of both. A heat map of the
accuracy, and TAC under its worst calibration against Uniform-MSP at the larger budget of 12.5 %.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lab.claims import Claim, Kind, all_of, close, lowers, points, raises, shown
from lab.deploy import accuracy_row
from lab.figures import COLOURS, curve, new_figure
from lab.study import Scale, Study
from lab.summary import over_seeds, paired_difference, pooled_accuracy
from qtaml_codesign.statistics import Interval

RATES = (0.01, 0.05, 0.10, 0.15, 0.20)
TAC_BUDGET = 0.05
UNIFORM_BUDGET = 0.125


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Every pair of rates for TAC, the deployed rates for Uniform-MSP (which does not depend on calibration)."""
    rates = (0.10, 0.20) if scale.smoke else RATES
    common = {"network": "small-cnn", "trials": scale.trials}
    tac = [{**common, "method": "tac", "budget": TAC_BUDGET, "planned": planned, "deployed": deployed, "seed": seed}
           for planned in rates for deployed in rates for seed in scale.seeds]
    return tac + [{**common, "method": "uniform-msp", "budget": UNIFORM_BUDGET, "planned": rate, "deployed": rate,
                   "seed": seed} for rate in rates for seed in scale.seeds]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one plan on one network."""
    return [accuracy_row(case, networks)]


def arm(rows: pd.DataFrame, method: str, planned: float | None, deployed: float) -> pd.DataFrame:
    """Rows of one pair of rates, one per training seed."""
    found = rows[(rows["method"] == method) & (rows["deployed"] == deployed)]
    return found if planned is None else found[found["planned"] == planned]


def grid(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of TAC, planned (rows) x deployed (columns)."""
    summary = over_seeds(rows[rows["method"] == "tac"], ["planned", "deployed"])
    return summary.pivot(index="planned", columns="deployed", values="accuracy")


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy with interval for every pair."""
    summary = over_seeds(rows[rows["method"] == "tac"], ["planned", "deployed"])
    summary["cell"] = [f"{r.accuracy:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in summary.itertuples()]
    wide = summary.pivot(index="planned", columns="deployed", values="cell")
    return wide.rename(columns=lambda rate: f"deployed at {rate:g}").reset_index(names="planned for")


def figure(rows: pd.DataFrame) -> Figure:
    """Heat map, and TAC under every calibration against Uniform-MSP."""
    drawn, axes = new_figure(1, 2, width=5.8, height=4.6)
    _heat(axes[0, 0], grid(rows), drawn)
    axis, summary = axes[0, 1], over_seeds(rows, ["method", "planned", "deployed"])
    tac = summary[summary["method"] == "tac"]
    right, worst = tac[tac["planned"] == tac["deployed"]], tac.loc[tac.groupby("deployed")["accuracy"].idxmin()]
    for index, (label, part) in enumerate(((f"TAC {100 * TAC_BUDGET:g} %, planned for the true rate", right),
                                           (f"TAC {100 * TAC_BUDGET:g} %, worst plan of the grid", worst),
                                           (f"Uniform-MSP {100 * UNIFORM_BUDGET:g} %",
                                            summary[summary["method"] == "uniform-msp"]))):
        curve(axis, part, "deployed", index, label=label, color=COLOURS[(0, 2, 1)[index]])
    axis.set(xlabel="deployed flip probability", ylabel="accuracy", ylim=(0.5, 1.02),
             title="Any calibration against more ECC")
    axis.legend(loc="lower left")
    return drawn


def _heat(axis: Any, cells: pd.DataFrame, drawn: Figure) -> None:
    image = axis.imshow(cells.to_numpy(), cmap="viridis", vmin=min(0.8, cells.min().min()), vmax=1.0, origin="lower")
    middle = (image.norm.vmin + 1.0) / 2.0
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            value = cells.iloc[row, column]
            axis.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=9,
                      color="white" if value < middle else "black")
    axis.set_xticks(range(cells.shape[1]), [f"{rate:g}" for rate in cells.columns])
    axis.set_yticks(range(cells.shape[0]), [f"{rate:g}" for rate in cells.index])
    axis.grid(visible=False)
    axis.set(xlabel="deployed flip probability", ylabel="flip probability of the plan",
             title=f"Accuracy of TAC at {100 * TAC_BUDGET:g} %")
    drawn.colorbar(image, ax=axis, shrink=0.85, label="accuracy")


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Section 5.4: worst corner, realistic mismatch, against the larger budget; identities while the depths stay."""
    cells = grid(rows)
    planned, deployed = cells.stack().idxmin()
    worst = pooled_accuracy(arm(rows, "tac", planned, deployed))
    least, most = float(cells.index.min()), float(cells.columns.max())
    corner = paired_difference(arm(rows, "tac", least, most), arm(rows, "tac", most, most))
    spread = _largest_loss(rows)
    ahead = {rate: _worst_against_uniform(rows, rate) for rate in cells.columns}
    closest = min(ahead.values(), key=lambda gap: gap.estimate)
    kind: Kind = "identity" if _depths_stay(rows) else "claim of the paper"
    reason = ("With one rate for all planes the factor p(1-p) is common to all layers, so that the allocation does not "
              "depend on the calibrated p at all; only the mean correction does, on the few layers that it touches.")
    found = [
        Claim("5.4-corner", "5.4, Fig. 4a",
              "the worst accuracy stands where the flip probability is most underestimated",
              f"lowest cell: planned for {planned:g}, deployed at {deployed:g}, {shown(worst)}; planning for {least:g} "
              f"instead of the true {most:g} changes it by {points(corner)}", lowers(corner),
              f"Planning for {least:g} instead of the true {most:g} changes the accuracy by {points(corner)}. {reason}",
              explain_open=True, kind=kind),
        Claim("5.4-uniform", "5.4, Fig. 4b",
              "at every deployment, even under the worst calibration, TAC at 5 % exceeds Uniform-MSP at 12.5 %",
              ", ".join(f"{rate:g}: {points(gap)}" for rate, gap in ahead.items()), all_of(map(raises, ahead.values())),
              f"The smallest lead is {points(closest)}: where flips are rare both are nearly clean.",
              explain_open=True),
    ]
    if spread is not None:
        found.insert(1, Claim(
            "5.4-realistic", "5.4, Fig. 4a", "a mismatch by a factor of up to two hardly matters",
            f"largest loss against the right calibration {points(spread)}; the paper's own range and figure are lost",
            close(spread), f"The largest loss is {points(spread)}.", kind=kind))
    return found


def _depths_stay(rows: pd.DataFrame) -> bool:
    """Whether the depths of every network are the same whatever flip probability TAC was planned for."""
    return bool((rows[rows["method"] == "tac"].groupby("seed")["depths"].nunique() == 1).all())


def _largest_loss(rows: pd.DataFrame) -> Interval | None:
    """Worst paired loss against the matched plan over pairs whose ratio lies between 1/2 and 2."""
    rates = sorted(rows["deployed"].unique())
    pairs = [(planned, deployed) for planned in rates for deployed in rates
             if planned != deployed and 0.499 <= planned / deployed <= 2.001]
    losses = [paired_difference(arm(rows, "tac", planned, deployed), arm(rows, "tac", deployed, deployed))
              for planned, deployed in pairs]
    return min(losses, key=lambda gap: gap.low) if losses else None


def _worst_against_uniform(rows: pd.DataFrame, deployed: float) -> Interval:
    """TAC under its worst calibration for this deployment minus Uniform-MSP, paired."""
    planned = grid(rows)[deployed].idxmin()
    return paired_difference(arm(rows, "tac", planned, deployed), arm(rows, "uniform-msp", None, deployed))


STUDY = Study(
    name="mismatch", title="Calibration mismatch", where="section 5.4, Figure 4",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, decided_by_smoke=("5.4-uniform",),
)

if __name__ == "__main__":
    STUDY.main()
