"""How far stores are from Shannon's floor, in dB at equal cells per weight, and what holds the joint design back.

The floor bounds the squared error of the read weights, each row of a tensor weighed by what it does to the logits. That
error is measured over readings of every store, beside the one foretold, and beside the squared error of the logits
themselves on the calibration inputs. Then the joint design is planned again with parts that do not exist: a code at the
capacity of the cells, and words that lose no more than rate-distortion says; the difference is what the real part
costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import qtaml_codesign as qc
from lab.claims import Claim, below, holds, shown, within
from lab.figures import COLOURS, MARKERS, STYLES, in_order, method_label, new_figure
from lab.networks import LABELS, trained
from lab.stores import floor_at, honest_cells, stored_plan, stored_point, weighted_error
from lab.study import Scale, Study
from lab.summary import mean_over
from qtaml_codesign.bits.cell_law import as_profile
from qtaml_codesign.ecc.limits import capacity
from qtaml_codesign.ecc.rate_distortion import distance_dB, gaussian_distortion
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.cell_allocation import allocate_cells
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.groups import small_groups
from qtaml_codesign.tac.store_design import gains_of
from qtaml_codesign.tac.ways import DROP, coded_ways, word_ways

RATES = {"small-cnn": 0.10, "wide-cnn": 0.10, "deep-cnn": 0.10, "res-cnn": 0.10, "transformer": 0.05}
CELLS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
GOAL_CELLS, GOAL_DB = 8.0, 8.0
OTHERS = (("channel-optimised", 8.0), ("tac", 0.05), ("tac", 0.25), ("uniform-msp", 0.25), ("none", 0.0))
SPLITS = {"as it is": (False, False), "code at capacity": (True, False), "ideal words": (False, True),
          "both": (True, True)}
PARTS = {"code": "the code is not at capacity", "words": "one weight at a time", "rest": "whole bits, whole channels",
         "coherent": "errors that add up count more"}


def cases(scale: Scale) -> list[dict[str, Any]]:
    """Errors of every store, and plans of the joint design with parts that do not exist."""
    networks = {"small-cnn": 0.10} if scale.smoke else RATES
    amounts = (3.0, 8.0) if scale.smoke else CELLS
    stores = [*(("joint", cells) for cells in amounts), *(OTHERS[:2] if scale.smoke else OTHERS)]
    found: list[dict[str, Any]] = []
    for network, rate in networks.items():
        for seed in scale.seeds:
            found += [{"kind": "error", **stored_point(network, seed, method, amount, rate, scale.trials)}
                      for method, amount in stores]
            found.append({"kind": "split", "network": network, "seed": seed, "rate": rate, "amount": GOAL_CELLS})
    return found


def measure(case: dict[str, Any], networks: Path) -> list[dict[str, Any]]:
    """One row: errors of a store, or errors foretold of joint designs, beside the floor."""
    workload = trained(case["network"], case["seed"], networks)
    if case["kind"] == "split":
        return [{"floor": floor_at(workload, case["rate"], case["amount"]),
                 "planned": stored_plan(workload, case | {"method": "joint"}).predicted_variance,
                 **{name: foretold(workload, case, *parts) for name, parts in SPLITS.items()}}]
    return [measured_errors(workload, case)]


def measured_errors(workload: qc.Workload, case: dict[str, Any]) -> dict[str, Any]:
    """Weighted error of the read weights, and squared error of the logits with the network's own statistics."""
    plan, weights, logits = stored_plan(workload, case), [], []
    cells = honest_cells(plan, case["rate"])
    reader = deploy_plan(workload, plan, case["rate"]).prepare(case["seed"], purpose="distance")
    with single_threaded():
        clean = workload.run(workload.calibration).double()
        for trial in range(case["trials"]):
            read = reader.read(trial).weights
            weights.append(weighted_error(workload, read))
            moved = workload.run(workload.calibration, read).double() - clean
            logits.append(float(moved.square().sum(dim=-1).mean()))
    return {"cells": cells, "metadata": plan.metadata_bits / plan.weights,
            "foretold": plan.predicted_variance, "weighted": float(np.mean(weights)),
            "weighted_error": float(np.std(weights, ddof=1) / np.sqrt(len(weights))),
            "logits": float(np.mean(logits)), "floor": floor_at(workload, case["rate"], cells)}


def foretold(workload: qc.Workload, case: dict[str, Any], at_capacity: bool, ideal_words: bool) -> float:
    """Least error foretold of any joint design, with a code at capacity or with words at rate-distortion if wished."""
    law = next(iter(as_profile(case["rate"]).assign(["w"]).values()))
    coded, plain = coded_ways(law), [DROP, *word_ways(law)]
    bits = np.arange(1, len(coded) + 1)
    cells = bits / float(capacity(case["rate"])) if at_capacity else np.array([way.cells for way in coded])
    losses = gaussian_distortion(1.0, bits) if ideal_words else np.array([way.error for way in coded])
    costs = np.concatenate([[way.cells for way in plain], cells])
    errors = np.concatenate([[way.error for way in plain], losses])
    groups = [group for name, weight in workload.weights.items()
              for group in small_groups(name, weight, gains_of(workload))]
    by_group = [errors * group.stake for group in groups]
    chosen = allocate_cells([costs * group.size for group in groups], by_group,
                            case["amount"] * sum(group.size for group in groups))
    return float(sum(error[way] for error, way in zip(by_group, chosen, strict=True)))


def distances(rows: pd.DataFrame, error: str = "weighted") -> Interval:
    """Distance from the floor in dB: mean over training seeds with its interval; with one seed, over the readings."""
    found = distance_dB(rows[error], rows["floor"])
    if len(rows) > 1:
        return mean_over(found)
    half = 1.96 * 10.0 / np.log(10.0) * float((rows["weighted_error"] / rows["weighted"]).iloc[0])
    return Interval(float(found[0]), float(found[0]) - half, float(found[0]) + half)


def split(rows: pd.DataFrame) -> pd.DataFrame:
    """What holds the joint design back, in dB: a row per network, means over training seeds.

    The code's part is the mean of what a code at capacity gains with real words and with ideal ones; so is the words'.
    """
    found = rows[rows["kind"] == "split"]
    real, code, words, both, planned = (distance_dB(found[name], found["floor"]) for name in (*SPLITS, "planned"))
    parts = pd.DataFrame({"network": found["network"].to_numpy(), "code": (real - code + words - both) / 2.0,
                          "words": (real - words + code - both) / 2.0, "rest": both,
                          "coherent": planned - real, "total": planned})
    return parts.groupby("network", sort=False).mean().reset_index()


def stores_of(rows: pd.DataFrame) -> list[tuple[str, float, str]]:
    """(method, amount, words for both) of what was measured, the joint design first."""
    pairs = rows[rows["kind"] == "error"].drop_duplicates(["method", "amount"])
    return [(method, amount, f"{method_label(method)}, " + (f"{amount:g} cells" if method in ("joint",
            "channel-optimised") else f"{100 * amount:g} %") if amount else "plain 8-bit store")
            for method, amount in zip(pairs["method"], pairs["amount"], strict=True)]


def arm(rows: pd.DataFrame, network: str, method: str, amount: float) -> pd.DataFrame:
    """Error rows of one store on one network, one per training seed."""
    return rows[(rows["kind"] == "error") & (rows["network"] == network) & (rows["method"] == method)
                & (rows["amount"] == amount)]


def networks_of(rows: pd.DataFrame) -> list[str]:
    """The networks that were measured, in our order."""
    return [network for network in RATES if network in set(rows["network"])]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Distance of every store, with the cells it takes."""
    lines = []
    for method, amount, name in stores_of(rows):
        line = {"distance from the Shannon floor (dB)": name}
        for network in networks_of(rows):
            found = arm(rows, network, method, amount)
            line[f"{LABELS[network]}, p = {RATES[network]:g}"] = (
                f"{shown(distances(found), 1)} at {found['cells'].mean():.1f} cells")
        lines.append(line)
    return pd.DataFrame(lines)


def second_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What holds the joint design back, and how well its error is foretold."""
    lines = []
    for part in split(rows).itertuples():
        found = arm(rows, part.network, "joint", GOAL_CELLS)
        lines.append({
            f"joint design at {GOAL_CELLS:g} cells (dB)": LABELS[part.network], **{
                words: f"{getattr(part, name):.1f}" for name, words in PARTS.items()},
            "together, as foretold": f"{part.total:.1f}", "measured": shown(distances(found), 1),
            "measured / foretold error of the weights": shown(mean_over(found["weighted"] / found["foretold"]), 3),
            "error of the logits / of the weights": shown(mean_over(found["logits"] / found["weighted"]), 2),
            "metadata (bits per weight)": f"{found['metadata'].mean():.2f}",
        })
    return pd.DataFrame(lines)


def figure(rows: pd.DataFrame) -> Figure:
    """Distance of the joint design over cells with the other stores beside it, and its parts at 8 cells."""
    drawn, axes = new_figure(1, 2, width=6.4, height=4.8)
    left, right = axes[0]
    shades = in_order(len(RATES))
    for index, network in enumerate(networks_of(rows)):
        found = rows[(rows["kind"] == "error") & (rows["network"] == network)]
        for method, style, face in (("joint", STYLES[index], None), ("channel-optimised", "", "white"),
                                    ("tac", "", "white"), ("uniform-msp", "", "white")):
            groups = [group for _, group in found[found["method"] == method].groupby("amount")]
            if groups:
                left.plot([group["cells"].mean() for group in groups], [distances(group).estimate for group in groups],
                          color=shades[index], linestyle=style, markerfacecolor=face or shades[index],
                          marker={"joint": "o", "channel-optimised": "D", "tac": "s", "uniform-msp": "^"}[method],
                          label=LABELS[network] if method == "joint" else None)
    for method, marker in (("channel-optimised", "D"), ("tac", "s"), ("uniform-msp", "^")):
        left.plot([], [], color="black", linestyle="", marker=marker, markerfacecolor="white",
                  label=method_label(method))
    left.axhline(GOAL_DB, color="#b00020", linewidth=1.0, linestyle=(0, (2, 2)))
    left.set(xlabel="cells per weight, every cell flipping", ylabel="distance from the Shannon floor (dB)",
             ylim=(0.0, None), title="Joint design (lines) and other stores")
    left.legend(loc="upper left", ncols=2)
    parts = split(rows)
    places, start = np.arange(len(parts))[::-1], np.zeros(len(parts))
    for index, (name, words) in enumerate(PARTS.items()):
        right.barh(places, parts[name], left=start, color=COLOURS[index], label=words, height=0.6, alpha=0.85,
                   edgecolor="white")
        start += parts[name].to_numpy(float)
    measured = [distances(arm(rows, network, "joint", GOAL_CELLS)).estimate for network in parts["network"]]
    right.plot(measured, places, linestyle="", marker=MARKERS[5], color="black", label="measured")
    right.axvline(GOAL_DB, color="#b00020", linewidth=1.0, linestyle=(0, (2, 2)))
    right.set_yticks(places, [LABELS[network] for network in parts["network"]])
    right.grid(axis="y", visible=False)
    furthest = max(*measured, *parts["total"], GOAL_DB)
    right.set(xlabel="distance from the Shannon floor (dB)", xlim=(0.0, 1.05 * furthest),
              ylim=(-0.6, len(parts) + 0.9), title=f"What holds the joint design back at {GOAL_CELLS:g} cells")
    right.legend(loc="upper left", ncols=2)
    return drawn


def claims(rows: pd.DataFrame) -> list[Claim]:
    """Within 8 dB at 8 cells, never below the floor, and foretold."""
    found, errors = [], rows[rows["kind"] == "error"]
    for part in split(rows).itertuples():
        value = distances(arm(rows, part.network, "joint", GOAL_CELLS))
        listing = ", ".join(f"{words} {getattr(part, name):.1f} dB" for name, words in PARTS.items())
        found.append(Claim(
            f"distance-{part.network}", f"{GOAL_CELLS:g} cells", f"{LABELS[part.network]}: the joint design lies "
            f"within {GOAL_DB:g} dB of the Shannon floor", shown(value, 1, " dB"), below(value, GOAL_DB),
            f"It lies {shown(value, 1, ' dB')} above: {listing}.", explain_open=True, kind="ours"))
    least = float(distance_dB(errors["weighted"], errors["floor"]).min())
    joint = errors[errors["method"] == "joint"]
    ratio = mean_over((joint["weighted"] / joint["foretold"]).groupby([joint["network"], joint["seed"]]).mean())
    found += [
        Claim("distance-floor", "all stores", "no store passes below the floor of Gaussian weights",
              f"the nearest lies {least:.1f} dB above it", holds(least > 0.0),
              f"One lies {-least:.1f} dB below it: weights are not Gaussian.", kind="ours"),
        Claim("distance-foretold", "all cells", "the weighted error of a joint design is foretold within 1.5 dB",
              f"measured / foretold {shown(ratio)}", within(ratio, 10.0**-0.15, 10.0**0.15),
              f"The ratio is {shown(ratio)}.", kind="ours"),
    ]
    return found


STUDY = Study(
    name="shannon_distance", title="Distance from the Shannon floor", where="equal cells per weight",
    cases=cases, measure=measure, figure=figure, table=table, claims=claims, second_table=second_table,
    decided_by_smoke=("distance-floor", "distance-foretold"), most_seeds=5,
)

if __name__ == "__main__":
    STUDY.main()
