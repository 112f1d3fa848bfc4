"""Channel-wise TAC in the paper's own currency: protected bits that keep 95 % of clean, and what each part buys.

Left: accuracy kept at a small budget of protected bits, `tac-c` beside `tac`, over training seeds. Right: the shipped
network with each part of the design alone, and without it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, above, points, raises, shown
from lab.deploy import result_row
from lab.figures import dots, new_figure
from lab.networks import LABELS, trained
from lab.stores import kept
from lab.study import Scale, Study
from lab.summary import paired_difference
from qtaml_codesign.bits.cell_law import as_profile
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.tac.per_channel import ALL_PARTS, Parts, channel_wise
from qtaml_codesign.tac.request import StoreRequest

TARGET = 0.95
BUDGETS = {"small-cnn": (0.10, 0.0035), "wide-cnn": (0.10, 0.0012), "deep-cnn": (0.10, 0.015), "res-cnn": (0.10, 0.025),
           "transformer": (0.05, 0.07)}
"""Flip probability, and the protected-bit fraction that is to keep the target."""
PARTS = tuple(field.name for field in fields(Parts))
ABLATED = ("small-cnn", "res-cnn")
BINARY = "without open_base"
"""Open planes in base 2: the words of the plain store. Measured where the target is hardest, on every training seed."""
HARDEST = "transformer"
NAMES = {
    "row_scale": "scale for each channel", "clipping": "noise-optimal clipping", "readout": "conditional-mean readout",
    "nearest_mean": "word that reads nearest", "row_depth": "depth for each channel", "statistics": "norm statistics",
    "open_base": "base of the open planes", "noisy_gains": "gains at noisy weights",
    "fitted": "readout fitted to clean logits",
}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Both methods on every network and training seed, and the parts on two networks of one seed."""
    networks = ("small-cnn",) if scale.smoke else tuple(BUDGETS)
    main = [_case(network, seed, method, "all", scale.trials)
            for network in networks for seed in scale.seeds for method in ("tac-c", "tac")]
    if not scale.smoke:
        main += [_case(HARDEST, seed, "tac-c", BINARY, scale.trials) for seed in scale.seeds]
    wanted = ["none"] if scale.smoke else ["none", *(f"{how} {part}" for part in PARTS for how in ("only", "without"))]
    ablated = ("small-cnn",) if scale.smoke else ABLATED
    return main + [_case(network, scale.seeds[0], "tac-c", parts, scale.trials)
                   for network in ablated for parts in wanted]


def _case(network: str, seed: int, method: str, parts: str, trials: int) -> dict[str, Any]:
    rate, budget = BUDGETS[network]
    return {"network": network, "seed": seed, "method": method, "parts": parts, "rate": rate, "budget": budget,
            "trials": trials}


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: accuracy counts of one plan."""
    workload = trained(case["network"], case["seed"], networks)
    if case["method"] == "tac":
        plan = qc.plan(workload, "tac", case["rate"], case["budget"], case["seed"])
    else:
        laws = as_profile(case["rate"]).assign(list(workload.weights))
        request = StoreRequest(workload, laws, "tac-c", case["budget"], None, case["seed"], lambda *state: None)
        with single_threaded():
            plan = channel_wise(request, parts_of(case["parts"]))
    row = result_row(workload, plan, case["rate"], case["trials"], case["seed"])
    return [{**row, "budget": case["budget"], "metadata_bits": plan.metadata_bits, "protected": plan.protected_bits}]


def parts_of(name: str) -> Parts:
    """The switches that a case names: all, none, only one, or without one."""
    how, _, part = name.partition(" ")
    if how in ("all", "none"):
        return ALL_PARTS if how == "all" else Parts.none()
    return replace(Parts.none() if how == "only" else ALL_PARTS, **{part: how == "only"})


def arm(rows: pd.DataFrame, network: str, method: str, parts: str = "all") -> pd.DataFrame:
    """Rows of one network, method and choice of parts, one per training seed."""
    return rows[(rows["network"] == network) & (rows["method"] == method) & (rows["parts"] == parts)]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """What each network keeps at its budget."""
    return pd.DataFrame([
        {"network": LABELS[network], "p": f"{rate:g}", "protected bits, %": f"{100 * budget:g}",
         "TAC, accuracy / clean": shown(kept(arm(rows, network, "tac"))),
         "tac-c, accuracy / clean": shown(kept(arm(rows, network, "tac-c"))),
         "metadata bits per protected bit": f"{_metadata(arm(rows, network, 'tac-c')):.2g}"}
        for network, (rate, budget) in BUDGETS.items() if len(arm(rows, network, "tac-c"))
    ])


def _metadata(group: pd.DataFrame) -> float:
    return float((group["metadata_bits"] / group["protected"]).mean())


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Each part alone and all but one; intervals over trials of one network."""
    found = [network for network in ABLATED if len(arm(rows, network, "tac-c", "none"))]
    lines = [{"parts": "none", **_ablation(rows, found, "none", "none")},
             {"parts": "all", **_ablation(rows, found, "all", "all")}]
    lines += [{"parts": NAMES[part], **_ablation(rows, found, f"only {part}", f"without {part}")} for part in PARTS]
    return pd.DataFrame(lines)


def _ablation(rows: pd.DataFrame, networks: list[str], alone: str, without: str) -> dict[str, str]:
    cells = {}
    for network in networks:
        for head, parts in (("alone", alone), ("all but it", without)):
            group = arm(rows, network, "tac-c", parts)
            group = group[group["seed"] == group["seed"].min()]
            cells[f"{LABELS[network]}, {head}"] = shown(kept(group)) if len(group) else "-"
    return cells


def figure(rows: pd.DataFrame) -> Figure:
    """Accuracy kept by network, and by part."""
    drawn, axes = new_figure(1, 2, width=6.4, height=4.6)
    found = [network for network in BUDGETS if len(arm(rows, network, "tac-c"))]
    places = np.arange(len(found))[::-1]
    for index, method in enumerate(("tac-c", "tac")):
        dots(axes[0, 0], [kept(arm(rows, network, method)) for network in found], places, index, method)
    axes[0, 0].set_yticks(places, [f"{LABELS[name]}, {100 * BUDGETS[name][1]:g} %, p = {BUDGETS[name][0]:g}"
                                   for name in found])
    parts = [part for part in PARTS if len(arm(rows, ABLATED[0], "tac-c", f"only {part}"))]
    rungs = np.arange(len(parts))[::-1]
    for index, (how, label) in enumerate((("without", "all but this part"), ("only", "this part alone"))):
        groups = [arm(rows, ABLATED[0], "tac-c", f"{how} {part}") for part in parts]
        dots(axes[0, 1], [kept(group) for group in groups], rungs, index, label)
    axes[0, 1].set_yticks(rungs, [NAMES[part] for part in parts])
    titles = ("Protected bits of the paper's store", f"{LABELS[ABLATED[0]]}: what each part buys")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.axvline(TARGET, color="#b00020", linewidth=1.2, linestyle=(0, (2, 2)), label=f"{TARGET:g} x clean")
        axis.set(xlabel="accuracy / clean accuracy", xlim=(0.0, 1.03), title=title)
        axis.legend(loc="upper left")
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """The budgets, and that channel-wise TAC keeps more than TAC at the same one."""
    found = []
    for network, (rate, budget) in BUDGETS.items():
        group = arm(rows, network, "tac-c")
        if len(group):
            value = kept(group)
            found.append(Claim(
                f"tac-c-{network}", "protected bits", f"{LABELS[network]} keeps {100 * TARGET:g} % of clean with "
                f"{100 * budget:g} % of its bits protected, p = {rate:g}", shown(value), above(value, TARGET),
                f"It keeps {shown(value)} of clean.", kind="ours"))
    found += _base_claims(rows)
    ahead = paired_difference(arm(rows, "small-cnn", "tac-c"), arm(rows, "small-cnn", "tac"))
    found.append(Claim("tac-c-ahead", "protected bits", "SmallCNN keeps more than under TAC at the same budget",
                       points(ahead), raises(ahead), f"The difference is {points(ahead)}.", kind="ours"))
    return found


def _base_claims(rows: pd.DataFrame) -> list[Claim]:
    """What the base of the open planes buys on the hardest network, with each training seed of both."""
    free, binary = (arm(rows, HARDEST, "tac-c", parts).sort_values("seed") for parts in ("all", BINARY))
    if binary.empty:
        return []
    gain = paired_difference(free, binary)
    by_seed = [", ".join(f"{value:.3f}" for value in group["accuracy"] / group["clean_accuracy"])
               for group in (free, binary)]
    figure = f"{points(gain)}; seed by seed {by_seed[0]}, in base 2 {by_seed[1]}"
    return [Claim("tac-c-base", "protected bits", f"{LABELS[HARDEST]} keeps more with open planes in a base below 2 "
                  "than in base 2", figure, raises(gain), f"The difference is {figure}.", kind="ours")]


STUDY = Study(
    name="channel_wise", title="Channel-wise TAC in protected bits", where="method tac-c", cases=cases, measure=measure,
    figure=figure, table=table, claims=claims, second_table=second_table, decided_by_smoke=("tac-c-ahead",),
    most_seeds=5,
)

if __name__ == "__main__":
    STUDY.main()
