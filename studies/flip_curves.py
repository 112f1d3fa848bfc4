"""p_flip of the 3 nm card over thickness, with each effect; and how much a falling field holds back.

The last panel is a death process (each electron that leaves lowers the voltage on the node) over the fixed field of a
full node, where the fixed field gives the same p_flip for all: by how much thinner the oxide may be because of it, and
the share of p_flip that is left.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, holds
from lab.effects import BIAS_V, CARD, EFFECTS, self_limiting, trapezoid
from lab.figures import COLOURS, STYLES, new_figure
from lab.study import Scale, Study

PANELS = {
    "barriers": ("both", "image-static", "two-band", "bias", "prefactor"),
    "how the electrons leave": ("thermal", "roughness-0.1", "activated-0.1", "traps-0.1", "access"),
    "cells that differ": ("charge-noise", "variation-0.03", "variation-0.10", "charge-loss"),
}
RANGE_nm, POINTS, DEEPEST = (1.5, 2.4), 46, -12.0
NODES = ((50, 4), (50, 24), (302, 150), (1000, 499))
COMMON = 0.1
OTHERS = {(50, 24): (0.066, 0.026), (302, 150): (3.4e-5, 0.027)}
"""Share of p_flip = 0.1 that is left, and nm, from matrix exponentials at 0.65 V."""


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per curve and per node of the death process."""
    shown = ["base", *(name for names in PANELS.values() for name in names)]
    points = 5 if scale.smoke else POINTS
    return [*({"curve": name, "points": points} for name in (shown[:3] if scale.smoke else shown)),
            *({"curve": "death process", "electrons": electrons, "threshold": threshold, "points": points}
              for electrons, threshold in (NODES[1:2] if scale.smoke else NODES))]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """A row per thickness: log10 p_flip, or log10 of the share that a falling field leaves of it."""
    places = np.linspace(*RANGE_nm, case["points"])
    if case["curve"] == "death process":
        return _falling(case["electrons"], case["threshold"], case["points"])
    if case["curve"] == "base":
        logs = qc.flip_probability(qc.load_card(CARD), places).log_probability
    else:
        logs = EFFECTS[case["curve"]].log_flips(places)
    return [{"thickness_nm": place, "log10_p": value} for place, value in zip(places, logs / math.log(10), strict=True)]


def _falling(electrons: int, threshold: int, points: int) -> list[dict[str, Any]]:
    """Over thicknesses at which a fixed field gives p = 0.1, and then 0.4 to 1e-12."""
    node = {"cell.electrons": electrons, "cell.flip_threshold": threshold}
    fixed, falling = (qc.load_card(CARD).with_fields({**node, **fields})
                      for fields in (trapezoid(BIAS_V), self_limiting(electrons)))
    targets = np.array([COMMON, *np.geomspace(0.4, 1e-12, points)])
    places = np.array([qc.thickness_for(fixed, target) for target in targets.tolist()])
    log_left = qc.flip_probability(falling, places).log_probability - np.log(targets)
    return [{"thickness_nm": place, "log10_p": math.log10(target), "log10_left": left / math.log(10),
             "thinner_nm": place - qc.thickness_for(falling, COMMON) if target == COMMON else math.nan}
            for place, target, left in zip(places.tolist(), targets.tolist(), log_left.tolist(), strict=True)]


def common(rows: pd.DataFrame) -> pd.DataFrame:
    """The death processes where a fixed field gives p_flip = 0.1: the first row of each."""
    return rows[rows["curve"] == "death process"].groupby(["electrons", "threshold"], sort=False).first().reset_index()


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """What a falling field leaves of p_flip = 0.1."""
    return pd.DataFrame([{
        "electrons": f"{row['electrons']:.0f}", "threshold": f"{row['threshold']:.0f}",
        "oxide at which a fixed field of 0.65 V gives p = 0.10 (nm)": f"{row['thickness_nm']:.4f}",
        "p_flip with a falling field": f"{COMMON * 10.0 ** row['log10_left']:.3g}",
        "the oxide may be thinner by (pm)": f"{1e3 * row['thinner_nm']:.1f}",
    } for _, row in common(rows).iterrows()])


def figure(rows: pd.DataFrame) -> Figure:
    """Three panels of curves over thickness, and the share that a falling field leaves."""
    drawn, axes = new_figure(2, 2, width=5.4, height=4.0)
    base = rows[rows["curve"] == "base"]
    for axis, (title, names) in zip(axes.flat, PANELS.items(), strict=False):
        axis.plot(base["thickness_nm"], base["log10_p"], color="black", linewidth=2.2, label="card as it ships")
        for index, name in enumerate(names):
            part, alone = rows[rows["curve"] == name], EFFECTS[name].kind == "alone"
            axis.plot(part["thickness_nm"], part["log10_p"], color="#9a9a9a" if alone else COLOURS[index],
                      linestyle=STYLES[index % len(STYLES)], label=EFFECTS[name].label)
        axis.axvline(1.765, color="#777777", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="oxide thickness (nm)", ylabel="log10 p_flip", xlim=RANGE_nm, ylim=(DEEPEST, 0.5))
        axis.legend(fontsize=7.5, loc="lower left")
    last, parts = axes[1, 1], rows[rows["curve"] == "death process"]
    for index, ((electrons, threshold), part) in enumerate(parts.groupby(["electrons", "threshold"], sort=False)):
        ordered = part.sort_values("log10_p")
        last.plot(ordered["log10_p"], ordered["log10_left"], color=COLOURS[index], linestyle=STYLES[index],
                  label=f"{electrons:.0f} electrons, flips above {threshold:.0f}")
    last.set(title="falling field beside a fixed one of 0.65 V", xlabel="log10 p_flip, fixed field",
             ylabel="log10 of the share of p_flip left", xlim=(DEEPEST, 0.0))
    last.legend(fontsize=7.5)
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """A falling field holds back, by as much as matrix exponentials say."""
    left, found = rows["log10_left"].dropna(), common(rows).set_index(["electrons", "threshold"])
    close = [abs(10.0 ** found.loc[node, "log10_left"] / share - 1.0) < 0.02
             and abs(found.loc[node, "thinner_nm"] - thinner) < 6e-4
             for node, (share, thinner) in OTHERS.items() if node in found.index]
    return [
        Claim("never-more", "all nodes", "a falling field never flips more bits than the fixed field of a full node",
              f"largest share {10.0 ** left.max():.4g}", holds(bool(left.max() <= 0.0)), "A share exceeds 1.",
              kind="ours"),
        Claim("death-process", "p = 0.10", "what a falling field leaves is what matrix exponentials leave",
              f"{sum(close)} of {len(close)}", holds(all(close)), "A share or a thickness is another.",
              kind="ours"),
    ]


STUDY = Study(
    name="flip_curves", title="p_flip over thickness, effect by effect", where="ours", cases=cases, measure=measure,
    figure=figure, table=table, claims=claims, most_seeds=1, decided_by_smoke=("never-more", "death-process"),
    sample="the 3nm card; no chance in it",
)

if __name__ == "__main__":
    STUDY.main()
