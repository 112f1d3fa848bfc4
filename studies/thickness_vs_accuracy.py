"""Accuracy against oxide thickness: how thin may the oxide be, and what does ECC buy (appendix C, device to accuracy)?

SmallCNN on cards of four technology nodes. With one flip probability for all cells the accuracy depends on the card
only through that probability, so the trials are run once on a grid of flip probabilities and every card translates them
into its own thickness with the exact inverse. Top: accuracy of one card, with the flip probability on a second axis,
and its frontier. Bottom: four cards, and the price of a longer inference window.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, above, holds, shown
from lab.deploy import accuracy_row, point
from lab.figures import COLOURS, curve, in_order, method_label, new_figure
from lab.study import Scale, Study
from lab.summary import over_seeds
from qtaml_codesign.frontier import AT_OR_BELOW
from qtaml_codesign.statistics import Interval, mean_interval

MAIN_CARD = "3nm"
CARDS = ("2nm_gaa", "3nm", "5nm", "7nm")
FLIP_PROBABILITIES = (0.48, 0.45, 0.40, 0.35, 0.30, 0.25, 0.20, 0.16, 0.13, 0.10, 0.075, 0.05, 0.035, 0.025, 0.015,
                      0.01, 0.005, 0.002, 0.001)
ARMS = (("none", 0.0), ("tac", 0.01), ("tac", 0.03), ("tac", 0.05), ("tac", 0.125), ("uniform-msp", 0.125),
        ("tac", 0.25), ("uniform-msp", 0.25))
WINDOWS_S = np.logspace(-9, 0, 19)
TARGET = 0.95


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Every arm x flip probability x training seed."""
    rates = (0.48, 0.10, 0.05, 0.01) if scale.smoke else FLIP_PROBABILITIES
    arms = (ARMS[0], ARMS[3], ARMS[5]) if scale.smoke else ARMS
    return [point("small-cnn", seed, method, budget, rate, scale.trials)
            for method, budget in arms for rate in rates for seed in scale.seeds]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one plan on one network."""
    return [accuracy_row(case, networks)]


def thickness(rates: pd.Series[float] | np.ndarray, card: qc.DeviceCard) -> np.ndarray:
    """Oxide thickness in nm at which a card has each flip probability; NaN stays NaN."""
    return np.array([qc.thickness_for(card, float(rate)) if np.isfinite(rate) else np.nan for rate in rates])


def tolerated(rows: pd.DataFrame) -> pd.DataFrame:
    """Largest flip probability that keeps the target: one row per arm and training seed, NaN when out of the grid."""
    card, found = qc.load_card(MAIN_CARD), []
    for seed, group in rows.groupby("seed", sort=False):
        table = group.assign(thickness_nm=thickness(group["deployed"], card), flip_probability=group["deployed"],
                             accuracy_low=group["accuracy"], accuracy_high=group["accuracy"])
        law = lambda nm: float(qc.flip_probability(card, thickness_nm=nm).probability)  # noqa: E731
        frontier = qc.Frontier(table, TARGET, law).to_frame()
        inside = frontier["status"] == "crossing"
        found.append(frontier.assign(seed=seed, flip_probability=frontier["flip_probability"].where(inside)))
    return pd.concat(found, ignore_index=True)


def thinnest(limits: pd.DataFrame, card: qc.DeviceCard) -> pd.DataFrame:
    """Thinnest oxide of a card per arm: mean over training seeds with its interval, in nm."""
    rows = []
    for (method, budget), group in limits.groupby(["method", "budget"], sort=False):
        found = _mean(thickness(group["flip_probability"], card))
        rows.append({"method": method, "budget": budget, "overhead": group["overhead"].mean(), "nm": found.estimate,
                     "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> Interval:
    """Mean with its interval over training seeds; NaN when a seed has no value, no interval with one seed."""
    if len(values) > 1 and np.isfinite(values).all():
        return mean_interval(values)
    return Interval(float(values.mean()), float("nan"), float("nan"))


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Tolerated flip probability and thinnest oxide of every card, by arm."""
    limits = tolerated(rows)
    by_card = {name: thinnest(limits, qc.load_card(name)) for name in CARDS}
    lines = []
    for index, (method, budget) in enumerate(dict.fromkeys(zip(limits["method"], limits["budget"], strict=True))):
        arm = limits[(limits["method"] == method) & (limits["budget"] == budget)]
        line = {"method": method_label(method), "budget": f"{100 * budget:g} %",
                "tolerated flip probability": _or_dash(_mean(arm["flip_probability"].to_numpy(float)), 3)}
        for name, found in by_card.items():
            line[f"{name}: thinnest oxide (nm)"] = _or_dash(Interval(*found.loc[index, ["nm", "low", "high"]]), 4)
        lines.append(line)
    return pd.DataFrame(lines)


def _or_dash(interval: Interval, digits: int) -> str:
    return shown(interval, digits) if np.isfinite(interval.estimate) else "outside the grid"


def figure(rows: pd.DataFrame) -> Figure:
    """Accuracy and frontier of the main card above; the other cards and the inference window below."""
    drawn, axes = new_figure(2, 2, width=6.6, height=4.6)
    summary, limits = over_seeds(rows, ["method", "budget", "deployed"]), tolerated(rows)
    clean = float(rows["clean_accuracy"].mean())
    _accuracy(axes[0, 0], summary, clean)
    _frontier(axes[0, 1], limits)
    _cards(axes[1, 0], summary, clean)
    _windows(axes[1, 1], limits)
    return drawn


def _accuracy(axis: Any, summary: pd.DataFrame, clean: float) -> None:
    card = qc.load_card(MAIN_CARD)
    placed = summary.assign(nm=thickness(summary["deployed"], card))
    budgets = sorted(placed["budget"].unique())
    shades = in_order(len(budgets))
    for (method, budget), arm in placed.groupby(["method", "budget"], sort=False):
        dashed = method == "uniform-msp"
        label = "no ECC" if method == "none" else f"{method_label(str(method))}, {100 * budget:g} %"
        place = budgets.index(budget)
        curve(axis, arm, "nm", place, label=label, linestyle="--" if dashed else "-", markersize=3.5,
              color=shades[place], markerfacecolor="white" if dashed else shades[place])
    _target_line(axis, clean)
    axis.set(xlabel="oxide thickness (nm)", ylabel="accuracy", ylim=(0.0, 1.03),
             title=f"Card {MAIN_CARD}: accuracy against oxide thickness")
    axis.legend(loc="lower right")
    rates = (0.4, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
    top = axis.secondary_xaxis("top")
    top.set_xticks(thickness(np.array(rates), card), [f"{rate:g}" for rate in rates], fontsize=8.5)
    top.set_xlabel("flip probability per bit")


def _target_line(axis: Any, clean: float) -> None:
    axis.axhline(TARGET * clean, color="#b00020", linewidth=1.2, linestyle=(0, (2, 2)), label=f"{TARGET:g} x clean")


def _frontier(axis: Any, limits: pd.DataFrame) -> None:
    card = qc.load_card(MAIN_CARD)
    found = thinnest(limits, card)
    for index, method in enumerate(("tac", "uniform-msp")):
        arm = found[found["method"].isin(["none", method])].dropna(subset="nm").sort_values("overhead")
        style = {"color": COLOURS[index], "marker": "os"[index], "capsize": 3}
        places, values = 100.0 * arm["overhead"], arm["nm"]
        axis.errorbar(places, values, yerr=[values - arm["low"], arm["high"] - values], linestyle="none", **style)
        axis.step(places, values, where="post", color=COLOURS[index], label=method_label(method),
                  linestyle=("-", "--")[index])
    out = found[found["nm"].isna() & (found["method"] == "tac")]
    axis.plot(100.0 * out["overhead"], np.full(len(out), found["low"].min()), "v", color=COLOURS[0],
              markerfacecolor="white",
              label=f"TAC, off the grid (p > {max(FLIP_PROBABILITIES):g})" if len(out) else None)
    axis.set(xlabel="ECC overhead (protected bits, % of stored bits)",
             ylabel=f"thinnest oxide for {TARGET:g} x clean (nm)", title=f"Card {MAIN_CARD}: the frontier")
    axis.legend(loc=(0.54, 0.62))
    bottom, top = axis.get_ylim()
    rates = [rate for rate in (0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
             if bottom < qc.thickness_for(card, rate) < top]
    right = axis.secondary_yaxis("right")
    right.set_yticks(thickness(np.array(rates), card), [f"{rate:g}" for rate in rates], fontsize=8.5)
    right.set_ylabel("flip probability per bit")


def _cards(axis: Any, summary: pd.DataFrame, clean: float) -> None:
    for index, name in enumerate(CARDS):
        card = qc.load_card(name)
        for method, budget, style in (("tac", 0.05, "-"), ("none", 0.0, ":")):
            arm = summary[(summary["method"] == method) & (summary["budget"] == budget)]
            curve(axis, arm.assign(nm=thickness(arm["deployed"], card)), "nm", index, linestyle=style, markevery=3,
                  markersize=3.5, label=name if method == "tac" else None)
    axis.plot([], [], color="black", label="TAC, 5 %")
    axis.plot([], [], color="black", linestyle=":", label="no ECC")
    _target_line(axis, clean)
    axis.set(xlabel="oxide thickness (nm)", ylabel="accuracy", ylim=(0.0, 1.03),
             title="Four cards, TAC at 5 % against no ECC")
    axis.legend(loc="lower right", ncols=2)


def _windows(axis: Any, limits: pd.DataFrame) -> None:
    card = qc.load_card(MAIN_CARD)
    for index, (method, budget) in enumerate((("none", 0.0), ("uniform-msp", 0.125), ("tac", 0.05))):
        arm = limits[(limits["method"] == method) & (limits["budget"] == budget)]
        rows = [{"window": window, **thinnest(arm, card.with_field("window_s", float(window))).iloc[0]}
                for window in WINDOWS_S]
        label = method_label(method) + (f", {100 * budget:g} %" if budget else "")
        curve(axis, pd.DataFrame(rows), "window", index, y="nm", label=label, marker="")
    axis.axvline(card.window_s, color="#777777", linewidth=1.0, linestyle=(0, (2, 2)))
    axis.annotate("the card's window", (card.window_s, axis.get_ylim()[0]), xytext=(4, 6), textcoords="offset points",
                  fontsize=8.5)
    axis.set(xscale="log", xlabel="inference window (s)", ylabel=f"thinnest oxide for {TARGET:g} x clean (nm)",
             title=f"Card {MAIN_CARD}: the price of a longer window")
    axis.legend(loc="upper left")


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Appendix C: networks run below the reliability that general computing needs, and the map is quantitative.

    A training seed that keeps the target on the whole grid counts with the largest flip probability of the grid.
    """
    limits = tolerated(rows)
    limits.loc[limits["status"] == AT_OR_BELOW, "flip_probability"] = max(rows["deployed"])

    def rate(method: str, budget: float) -> Interval:
        arm = limits[(limits["method"] == method) & (limits["budget"] == budget)]
        return _mean(arm["flip_probability"].to_numpy(float))

    small, bare = rate("tac", 0.05), rate("none", 0.0)
    card = qc.load_card(MAIN_CARD)
    conventional = qc.thickness_for(card, 1e-12)
    found = [Claim(
        "C-below-floor", "1, appendix C", "where general computing cannot work, a network still does, with some ECC",
        f"TAC at 5 % keeps 95 % of clean up to p = {small.estimate:.3f}; {MAIN_CARD}: "
        f"{qc.thickness_for(card, small.estimate):.3f} nm, where p = 1e-12 needs {conventional:.3f} nm",
        holds(small.estimate > 1e-3),
    )]
    if limits["seed"].nunique() > 1:
        gain = _paired(limits, ("uniform-msp", 0.125), ("tac", 0.05), card)
        found.append(Claim(
            "C-thinner", "appendix C", "TAC at a small budget allows a thinner oxide than Uniform-MSP at a larger one",
            f"{MAIN_CARD}: {shown(gain, 4, ' nm')} thinner at 5 % than Uniform-MSP at 12.5 %; tolerated p "
            f"{shown(small)} against "
            f"{shown(rate('uniform-msp', 0.125))}, without ECC {shown(bare)}", above(gain, 0.0),
            f"TAC at 5 % tolerates p = {shown(small)}, Uniform-MSP at 12.5 % {shown(rate('uniform-msp', 0.125))}.",
            kind="ours",
        ))
    return found


def _paired(limits: pd.DataFrame, thick: tuple[str, float], thin: tuple[str, float], card: qc.DeviceCard) -> Interval:
    """Thickness saved by `thin` against `thick`, paired by training seed, in nm."""
    arms = [limits[(limits["method"] == method) & (limits["budget"] == budget)].sort_values("seed")["flip_probability"]
            for method, budget in (thick, thin)]
    return _mean(thickness(arms[0], card) - thickness(arms[1], card))


STUDY = Study(
    name="thickness_vs_accuracy", title="Accuracy against oxide thickness, and the frontier", where="appendix C",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, decided_by_smoke=("C-below-floor",),
)

if __name__ == "__main__":
    STUDY.main()
