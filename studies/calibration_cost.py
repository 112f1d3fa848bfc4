"""What calibration costs (section 5.9, Table 6): passes and seconds of every way of scoring layers.

Magnitude needs no pass, sensitivity trials x layers forward passes and one clean one, the paper's
finite differences probes x layers + 1; reverse mode takes one reverse pass per calibration input and logit, random
signs one per probe, for all layers at once. Seconds are medians of repeats taken in turn in one run, and speak of this
machine only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, holds
from lab.figures import COLOURS, HATCHES, new_figure
from lab.networks import CNNS, LABELS, trained
from lab.study import Scale, Study
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.tac.correction import ProtectedLayer, layer_deviation

TRIALS = 5
PROBES = {"finite-difference": 8, "random-sign": 64}
WAYS = {"magnitude": "magnitude", "sensitivity": "sensitivity, 5 trials",
        "finite-difference": "finite differences, 8 probes",
        "random-sign": "random signs, 64 probes", "reverse": "reverse mode, exact"}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per network: all ways are timed in turn."""
    networks = ("small-cnn",) if scale.smoke else (*CNNS, "transformer")
    return [{"network": network, "seed": 0, "repeats": 2 if scale.smoke else 7} for network in networks]


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """Passes, seconds and error of every way; the ways alternate, repeat by repeat."""
    workload = trained(case["network"], case["seed"], networks)
    exact = jacobian_gains(workload).gains
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(case["repeats"]):
        for way in WAYS:
            started = time.perf_counter()
            gains, passes = calibrate(workload, way)
            seconds[way].append(time.perf_counter() - started)
    rows = []
    for way in WAYS:
        gains, passes = calibrate(workload, way)
        errors = [abs(gains[name] / exact[name] - 1.0) for name in gains] if way in (*PROBES, "reverse") else [np.nan]
        rows.append({"way": way, "passes": passes, "seconds": float(np.median(seconds[way])),
                     "fastest": min(seconds[way]), "slowest": max(seconds[way]), "largest_error": float(max(errors))})
    return rows


def calibrate(workload: qc.Workload, way: str) -> tuple[dict[str, float], int]:
    """Scores of the layers, and the passes over the calibration batch that they took."""
    if way == "magnitude":
        return {name: float(np.abs(weight).max() ** 2) for name, weight in workload.weights.items()}, 0
    if way == "sensitivity":
        law = BitErrorProfile.uniform(0.1).regions[0]
        alone = LayerAlone(workload.network, workload.calibration)
        scores = {name: layer_deviation(alone, ProtectedLayer.unprotected(name, weight, law).plain, 0, TRIALS)
                  for name, weight in workload.weights.items()}
        return scores, TRIALS * len(scores) + 1
    found = jacobian_gains(workload, way, probes=PROBES.get(way))
    return found.gains, found.passes


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Passes, seconds and error by network and way."""
    return pd.DataFrame([{
        "network": LABELS[r.network], "way": WAYS[r.way], "passes": r.passes,
        "seconds (median, range)": f"{r.seconds:.3g} ({r.fastest:.2g} to {r.slowest:.2g})",
        "largest error of J²": "-" if np.isnan(r.largest_error) else f"{100 * r.largest_error:.2g} %",
    } for r in rows.itertuples() if r.network in ("small-cnn", "transformer")])


def figure(rows: pd.DataFrame) -> Figure:
    """Seconds by network and way."""
    drawn, axes = new_figure(1, 1, width=8.5, height=4.2)
    axis, names = axes[0, 0], list(dict.fromkeys(rows["network"]))
    for index, (way, label) in enumerate(list(WAYS.items())[1:]):
        part = rows[rows["way"] == way]
        places = np.arange(len(names)) + 0.2 * (index - 1.5)
        spread = np.stack([part["seconds"] - part["fastest"], part["slowest"] - part["seconds"]])
        axis.bar(places, part["seconds"], width=0.19, color=COLOURS[index], alpha=0.85, label=label,
                 hatch=HATCHES[index], edgecolor="white", linewidth=0)
        axis.errorbar(places, part["seconds"], yerr=spread, fmt="none", color="black", capsize=2, linewidth=0.9)
    axis.set_xticks(range(len(names)), [LABELS[name] for name in names])
    axis.set(yscale="log", ylabel="seconds, one core (bars: range)", title="Calibration of all layers on 64 inputs")
    axis.legend(ncols=2, loc="upper left")
    axis.set_ylim(top=axis.get_ylim()[1] * 6)
    axis.grid(axis="x", visible=False)
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Section 5.9: the two measured scores cost alike; both cost seconds at most."""
    wide = rows.pivot(index="network", columns="way", values="seconds")
    ratio = wide["finite-difference"] / wide["sensitivity"]
    slowest = float(wide[["finite-difference", "sensitivity"]].max().max())
    passes = rows.pivot(index="network", columns="way", values="passes")
    errors = rows[rows["way"] == "finite-difference"].set_index("network")["largest_error"]
    speed = wide["finite-difference"] / wide["reverse"]
    return [
        Claim("5.9-cost", "5.9, Table 6",
              "wall-clock cost of TAC's and of sensitivity's calibration is similar (differs beyond 3x)",
              "finite differences over sensitivity: " + ", ".join(f"{LABELS[str(n)]} {v:.2g}x" for n,
                                                                  v in ratio.items())
              + f"; passes {passes['finite-difference'].min()} to {passes['finite-difference'].max()} against "
              f"{passes['sensitivity'].min()} to {passes['sensitivity'].max()}",
              holds(bool(ratio.between(1 / 3, 3).all())),
              "With 8 probes in float64 against 5 trials in float32 the ratios are "
              + ", ".join(f"{LABELS[str(n)]} {v:.2g}x" for n,
                          v in ratio.items()) + ": finite differences need double precision, "
              "or rounding drowns a step of 1e-3; timings speak of this machine."),
        Claim("5.9-seconds", "5.9", "calibration takes seconds at most", f"slowest {slowest:.2g} s, one core",
              holds(slowest < 10.0), f"The slowest calibration took {slowest:.2g} s."),
        Claim("5.9-reverse", "ours",
              "reverse mode gives the exact gains of all layers; 8 finite-difference probes are off by",
              ", ".join(f"{LABELS[str(n)]} {100 * v:.0f} %" for n, v in errors.items())
              + "; finite differences over reverse mode in time: "
              + ", ".join(f"{LABELS[str(n)]} {v:.2g}x" for n, v in speed.items()),
              holds(bool((errors > 0.0).all())), "A probe found an exact gain.", kind="ours"),
    ]


STUDY = Study(
    name="calibration_cost", title="The cost of calibration", where="section 5.9, Table 6",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims,
    decided_by_smoke=("5.9-seconds", "5.9-reverse"), sample="the shipped networks, 7 repeats of every way in turn",
)

if __name__ == "__main__":
    STUDY.main()
