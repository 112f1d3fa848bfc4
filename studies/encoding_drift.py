"""Mean drift of the three encodings and of charge-loss flips (appendix A.8), closed form against Monte Carlo.

Offset binary and two's complement shrink by the same 1 - 2p; sign-magnitude shrinks by (1 - 2p)^2 and pushes away from
zero; flips of charged cells only pull every offset-binary weight to the bottom of its range, and, once the MSB is
protected, every two's complement weight too. Below: what that does to SmallCNN, and what a constant readout offset per
layer gives back.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import qtaml_codesign as qc
from lab.claims import Claim, holds, points, raises, shown
from lab.deploy import result_row
from lab.figures import COLOURS, HATCHES, MARKERS, new_figure
from lab.networks import trained
from lab.study import Scale, Study
from lab.summary import over_seeds, paired_difference, pooled_accuracy
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.correction import NOTHING, ProtectedLayer
from qtaml_codesign.tac.evaluation import laws_for
from qtaml_codesign.tac.plan import LayerPlan

RATE = 0.10
STEP = 2.0**-7
LEVEL = 1e-6
STORES = {
    "offset binary": ("offset_binary", 1.0), "two's complement": ("twos_complement", 1.0),
    "sign-magnitude": ("sign_magnitude", 1.0), "offset binary, charge loss": ("offset_binary", 0.0),
}
"""Name -> encoding, and how often a stored 0 flips for each flip of a stored 1."""
DEPLOYED = (("offset_binary", 0.0), ("offset_binary", 0.03), ("twos_complement", 0.03), ("sign_magnitude", 0.03))
"""Encoding and ECC budget of SmallCNN under charge loss."""
NAMES = {"offset_binary": "offset binary", "twos_complement": "two's complement", "sign_magnitude": "sign-magnitude"}
READOUTS = {"plain": "no offset", "offset": "offset", "tac": "TAC decides"}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """One case per way of storing (34 stored values, many reads of each), and per deployment and readout."""
    reads = [{"kind": "reads", "store": name, "draws": 20_000 if scale.smoke else 400_000} for name in STORES]
    return reads + [{"kind": "charge loss", "network": "small-cnn", "seed": seed, "encoding": encoding,
                     "budget": budget, "readout": readout, "trials": scale.trials}
                    for encoding, budget in DEPLOYED for readout in READOUTS for seed in scale.seeds]


def charge_loss(encoding: str) -> qc.BitErrorProfile:
    """Stored ones flip to zero with the rate p, zeros never flip."""
    errors = qc.BitErrorProfile.uniform(RATE, qc.BitFormat(8, encoding)).regions[0]
    return qc.BitErrorProfile((type(errors)("default", errors.format, errors.one_to_zero, 0.0 * errors.zero_to_one),))


def law_of(store: str) -> qc.ReadLaw:
    """Closed form of one way of storing."""
    encoding, share = STORES[store]
    form = qc.BitFormat(8, encoding)
    errors = qc.BitErrorProfile.uniform(RATE, form).regions[0]
    return qc.ReadLaw(type(errors)("default", form, errors.one_to_zero, share * errors.zero_to_one))


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """Drift of every chosen code, or the accuracy of one deployment."""
    return measure_drift(case) if case["kind"] == "reads" else [measure_accuracy(case, networks)]


def measure_accuracy(case: dict[str, Any], networks: Path) -> dict[str, Any]:
    """Accuracy of SmallCNN under charge loss: uncorrected, with an offset per layer alone, or as TAC decides."""
    workload, profile = trained(case["network"], case["seed"], networks), charge_loss(case["encoding"])
    method = "tac" if case["readout"] == "tac" else "tac-bits-only"
    plan = qc.plan(workload, method, profile, case["budget"], case["seed"])
    if case["readout"] == "offset":
        plan = with_offsets(workload, plan, profile)
    return result_row(workload, plan, profile, case["trials"], case["seed"])


def with_offsets(workload: qc.Workload, plan: qc.TacPlan, profile: qc.BitErrorProfile) -> qc.TacPlan:
    """The plan with the readout offset of each layer that takes the mean drift of its codes away."""
    laws = laws_for(workload, plan, profile)

    def offset(layer: LayerPlan) -> float:
        plain = ProtectedLayer.unprotected(layer.name, workload.weights[layer.name], laws[layer.name])
        return plain.protected(layer.depth).centred(NOTHING).offset

    layers = tuple(layer.model_copy(update={"offset": offset(layer)}) for layer in plan.layers)
    return plan.model_copy(update={"layers": layers})


def measure_drift(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Drift of every chosen code: measured, predicted by the law, predicted by the formula of the paper."""
    law, rows = law_of(case["store"]), []
    codes = np.linspace(0, 255, 34).round().astype(int)
    profile = qc.BitErrorProfile((law.errors,))
    for code in codes:
        stored = np.full(case["draws"], code, np.uint8)
        read = qc.read_back(stored, profile, encoding=law.errors.format.encoding, seed=int(code), tensor=case["store"])
        moved = law.values[read] - law.values[code]
        rows.append({
            "value": float(law.values[code]), "drift": float(moved.mean()), "law": float(law.drift([code])[0]),
            "formula": formula(case["store"], float(law.values[code])),
            "error": math.sqrt(float(law.variance([code])[0]) / case["draws"]),
        })
    return rows


def formula(store: str, value: float) -> float:
    """E[read | w] - w, written out for one rate p: appendix A.8 of the paper, and charge loss by the same sum."""
    if store == "sign-magnitude":
        return (1 - 2 * RATE) ** 2 * value + (1 - 2 * RATE) * RATE * math.copysign(1 - STEP, value) - value
    if store == "offset binary, charge loss":
        return -RATE * (value + 1)
    return -2 * RATE * value - RATE * STEP


def reads(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of single weights."""
    return rows[rows["kind"] == "reads"]


def arm(rows: pd.DataFrame, encoding: str, budget: float, readout: str) -> pd.DataFrame:
    """The rows of one deployment, one per training seed."""
    return rows[(rows["encoding"] == encoding) & (rows["budget"] == budget) & (rows["readout"] == readout)]


def slopes(rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """(measured, predicted) slope of E[read | w] for w > 0, where every store is affine."""
    found = {}
    for store, group in rows[rows["value"] > 0.0].groupby("store", sort=False):
        fits = [np.polyfit(group["value"], group["value"] + group[column], 1)[0] for column in ("drift", "formula")]
        found[str(store)] = (float(fits[0]), float(fits[1]))
    return found


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Slope of the mean and what undoes it, with the largest deviation of Monte Carlo from the law."""
    remedies = {
        "offset binary": "1 / (1 - 2p), leaves -pD", "two's complement": "1 / (1 - 2p), leaves -pD",
        "sign-magnitude": "1 / (1 - 2p)^2 and an offset by sign",
        "offset binary, charge loss": "1 / (1 - p) and an offset",
    }
    lines = []
    rows = reads(rows)
    for store, (measured, predicted) in slopes(rows).items():
        group = rows[rows["store"] == store]
        worst = ((group["drift"] - group["law"]).abs() / group["error"]).max()
        lines.append({"store": store, "slope of E[read | w], closed form": f"{predicted:.4f}",
                      "Monte Carlo": f"{measured:.4f}", "undone by": remedies[store],
                      "largest deviation (standard errors)": f"{worst:.2f}"})
    return pd.DataFrame(lines)


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of SmallCNN under charge loss by encoding and budget (rows) and readout (columns)."""
    return pd.DataFrame([{
        "SmallCNN, charge loss, p = 0.10": f"{NAMES[encoding]}, {_budget(budget)}",
        **{label: shown(pooled_accuracy(arm(rows, encoding, budget, readout))) for readout, label in READOUTS.items()},
        "offset - no offset": points(_gained(rows, encoding, budget)),
    } for encoding, budget in DEPLOYED])


def _budget(budget: float) -> str:
    return f"ECC {100 * budget:g} %" if budget else "no ECC"


def _gained(rows: pd.DataFrame, encoding: str, budget: float) -> Interval:
    return paired_difference(*(arm(rows, encoding, budget, readout) for readout in ("offset", "plain")))


def figure(rows: pd.DataFrame) -> Figure:
    """Drift against the stored value, left; accuracy under charge loss, right."""
    drawn, axes = new_figure(1, 2, width=6.6, height=4.6)
    _draw_drift(axes[0, 0], reads(rows))
    _draw_accuracy(axes[0, 1], rows)
    return drawn


def _draw_drift(axis: Any, rows: pd.DataFrame) -> None:
    for index, (store, group) in enumerate(rows.groupby("store", sort=False)):
        ordered = group.sort_values("value")
        axis.errorbar(ordered["value"], ordered["drift"], yerr=1.96 * ordered["error"], color=COLOURS[index], alpha=0.8,
                      fmt=MARKERS[index], markersize=6 - index, label=str(store))
        axis.plot(ordered["value"], ordered["law"], color=COLOURS[index], linewidth=1.0)
    axis.axhline(0.0, color="#777777", linewidth=0.8)
    axis.set(xlabel="stored value w", ylabel="E[read | w] - w",
             title=f"Mean drift, 8 bits, p = {RATE:g} (lines: closed form)")
    axis.legend()


def _draw_accuracy(axis: Any, rows: pd.DataFrame) -> None:
    summary = over_seeds(rows[rows["kind"] == "charge loss"], ["encoding", "budget", "readout"])
    for index, (readout, label) in enumerate(READOUTS.items()):
        part = summary[summary["readout"] == readout].set_index(["encoding", "budget"]).loc[list(DEPLOYED)]
        errors = np.maximum(np.stack([part["accuracy"] - part["low"], part["high"] - part["accuracy"]]), 0.0)
        axis.bar(np.arange(len(DEPLOYED)) + 0.27 * (index - 1), part["accuracy"], yerr=errors, width=0.25, capsize=2.5,
                 color=COLOURS[index], alpha=0.85, label=label, hatch=HATCHES[index], edgecolor="white", linewidth=0)
    axis.set_xticks(range(len(DEPLOYED)), [f"{NAMES[encoding]}\n{_budget(budget)}"
                                           for encoding, budget in DEPLOYED], fontsize=8.5)
    axis.set(ylabel="accuracy", ylim=(0.0, 1.18), yticks=np.arange(0.0, 1.01, 0.2),
             title=f"SmallCNN under charge loss, p = {RATE:g}")
    axis.legend(ncols=3, loc="upper left", title="readout")
    axis.grid(axis="x", visible=False)


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Appendix A.8: formulas, shared slope, what sign-magnitude needs; ours: what an offset gives back."""
    return [*_drift_claims(reads(rows)), *(_offset_claim(rows, encoding, budget) for encoding, budget in DEPLOYED[:3])]


def _offset_claim(rows: pd.DataFrame, encoding: str, budget: float) -> Claim:
    plain, offset = (pooled_accuracy(arm(rows, encoding, budget, readout)) for readout in ("plain", "offset"))
    gained = _gained(rows, encoding, budget)
    return Claim(f"A.8-offset-{encoding}-{100 * budget:g}", "ours",
                 f"charge loss, {NAMES[encoding]}, {_budget(budget)}: a readout offset per layer helps",
                 f"{shown(plain)} without, {shown(offset)} with it: {points(gained)}", raises(gained),
                 f"The offset changes the accuracy by {points(gained)}.", kind="ours")


def _drift_claims(rows: pd.DataFrame) -> list[Claim]:
    nonzero = rows[rows["value"] != 0.0]
    gap = float((nonzero["law"] - nonzero["formula"]).abs().max())
    worst = float(((rows["drift"] - rows["law"]).abs() / rows["error"]).max())
    bound = float(stats.norm.isf(LEVEL / 2.0 / len(rows)))
    laws = [law_of(store) for store in ("offset binary", "two's complement")]
    offset, twos = (law.drift()[np.argsort(law.values)] for law in laws)
    shared = float(np.abs(offset - twos).max())
    positive = rows[(rows["store"] == "sign-magnitude") & (rows["value"] > 0.0)]
    signed = float(np.polyfit(positive["value"], positive["value"] + positive["law"], 1)[0])
    return [
        Claim("A.8-formulas", "A.8", "closed forms of the drift of the three encodings",
              f"law against formula: {gap:.1e}; Monte Carlo of {len(rows)} codes within {worst:.2f} standard errors, "
              "a false alarm in "
              f"a million at {bound:.2f}", holds(gap < 1e-12 and worst < bound),
              f"The closed forms differ by {gap:.1e} or Monte Carlo by {worst:.2f} standard errors."),
        Claim("A.8-twos", "A.8", "two's complement has the drift of offset binary",
              f"largest difference over all codes {shared:.1e}",
              holds(shared < 1e-12), "The two laws differ."),
        Claim("A.8-sign", "A.8", "sign-magnitude needs another factor and an offset by sign",
              f"slope {signed:.4f} = (1 - 2p)^2, offset (1 - 2p) p (1 - D) sign(w)",
              holds(abs(signed - (1 - 2 * RATE) ** 2) < 1e-9),
              f"The slope is {signed:.4f}."),
    ]


STUDY = Study(
    name="encoding_drift", title="Mean drift of the encodings", where="appendix A.8",
    cases=cases, measure=measure, figure=figure, table=table, second_table=second_table,
    claims=claims, sample="400,000 reads of each of 34 codes; 10 training seeds x 30 trials under charge loss",
    decided_by_smoke=("A.8-formulas", "A.8-twos", "A.8-sign"),
)

if __name__ == "__main__":
    STUDY.main()
