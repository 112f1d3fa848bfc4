"""Stores that choose their cells: what plans really cost, the limit of any store, and a reader at that limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import qtaml_codesign as qc
from lab.deploy import result_row
from lab.networks import trained
from lab.summary import counts_row, mean_over, pooled_accuracy
from qtaml_codesign.bits.cell_law import as_profile
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.codecs.by_rows import ByRows
from qtaml_codesign.codecs.coded import keyed
from qtaml_codesign.ecc.currencies import price
from qtaml_codesign.ecc.family import RatedCode, best_codes
from qtaml_codesign.ecc.limits import capacity
from qtaml_codesign.ecc.rate_distortion import water_filling
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.normalisation import reestimated_statistics
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.methods import CELL_METHODS
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.store_design import READINGS, gains_of, shannon_floor, stakes
from qtaml_codesign.tac.ways import MOST_RESIDUAL, laws_folder

LIMIT = "limit"
"""In place of a method: a reader at Shannon's limit."""

Weights = dict[str, np.ndarray]


def stored_point(network: str, seed: int, method: str, amount: float, rate: float, trials: int) -> dict[str, Any]:
    """A case that spends `amount`: cells per weight, or a budget where the method spends protected bits."""
    return {"network": network, "seed": seed, "method": method, "amount": amount, "rate": rate, "trials": trials}


def stored_plan(workload: qc.Workload, case: Mapping[str, Any]) -> qc.TacPlan:
    """The plan of a case of `stored_point`, for its own flip probability."""
    spends_cells = case["method"] in CELL_METHODS
    return qc.plan(workload, case["method"], case["rate"], 0.0 if spends_cells else case["amount"], case["seed"],
                   cells=case["amount"] if spends_cells else None)


def stored_row(case: dict[str, Any], networks: Path) -> dict[str, Any]:
    """Accuracy counts of a case, with the cells per weight that it really takes."""
    workload = trained(case["network"], case["seed"], networks)
    if case["method"] == LIMIT:
        return {"cells": case["amount"], **limit_row(workload, case)}
    plan = stored_plan(workload, case)
    return {"cells": honest_cells(plan, case["rate"]), **shares(plan),
            **result_row(workload, plan, case["rate"], case["trials"], case["seed"])}


def shares(plan: qc.TacPlan) -> dict[str, float]:
    """Shares of the weights by kind of store, where the method chooses it."""
    found: Counter[str] = Counter()
    for layer in plan.layers:
        held = layer.codec
        parts = held.parts if isinstance(held, ByRows) else ((None, held),)
        rows = sum(len(rows or ()) for rows, _ in parts) or 1
        for own, codec in parts:
            found[type(codec).__name__] += layer.weights * (len(own) / rows if own else 1.0) / plan.weights
    return {f"share_{kind}": share for kind, share in found.items()}


def cheapest_code(rate: float) -> RatedCode:
    """The code of fewest cells that makes a protected bit of real cells, as `joint` takes it.

    Raises:
        ValueError: no code is good enough.
    """
    found = best_codes(rate, MOST_RESIDUAL, laws_folder())
    if not found:
        raise ValueError(f"no code leaves less than {MOST_RESIDUAL:g} of the bits wrong at p = {rate:g}")
    return found[0]


def honest_cells(plan: qc.TacPlan, rate: float) -> float:
    """Cells per weight in which every cell flips: ideally protected bits lie under the cheapest code that suffices."""
    if not plan.protected_bits:
        return plan.cells_per_weight
    cost = price(plan.weights, round(plan.stored_bits), plan.protected_bits, rate, rate,
                 cheapest_code(rate).code.cells_per_bit)
    return cost.total_cells


def floor_at(workload: qc.Workload, rate: float, cells: float) -> float:
    """Shannon's floor of the expected squared error of the logits, at a number of cells per weight."""
    laws = as_profile(rate).assign(list(workload.weights))
    return shannon_floor(StoreRequest(workload, laws, LIMIT, 0.0, cells, 0, lambda stage, done, total: None))


def weighted_error(workload: qc.Workload, weights: Mapping[str, Any]) -> float:
    """Squared error of read weights, each row with the mean gain of its weights: what `floor_at` is the floor of."""
    total = 0.0
    for name, clean in workload.weights.items():
        rows = len(clean) if clean.ndim > 1 else 1
        error = (np.asarray(weights[name], np.float64) - np.asarray(clean, np.float64)).reshape(rows, -1)
        gain = gains_of(workload)[name].reshape(rows, -1).mean(axis=1, dtype=np.float64)
        total += float((gain * np.square(error).sum(axis=1)).sum())
    return total


def limit_row(workload: qc.Workload, case: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy counts of a store at Shannon's limit, its normalisation statistics re-estimated as those of a plan."""
    with single_threaded():
        drawn = reader_at_the_limit(workload, case["rate"], case["amount"], case["seed"], "statistics")
        found = reestimated_statistics(workload, (drawn(trial) for trial in range(READINGS)))
        statistics = {name: torch.tensor(values, dtype=torch.float32) for name, values in found.items()}
        read = reader_at_the_limit(workload, case["rate"], case["amount"], case["seed"], "trial")
        counts = TrialCounts.total([
            TrialCounts.of_trial(workload.score_by_group(read(trial) | statistics), workload.samples, 0, 0, 0, 0.0, 0.0)
            for trial in range(case["trials"])
        ])
    return {"overhead": 0.0, **counts_row(counts, workload)}


def reader_at_the_limit(
    workload: qc.Workload, rate: float, cells: float, seed: int, purpose: str
) -> Callable[[int], Weights]:
    """Trial -> weights as the best store of so many cells reads them: Gaussian noise that no store can undercut.

    A row of variance v that is read with squared error d goes through the test channel of rate-distortion: shrunk
    towards its mean by 1 - d/v, with noise of variance d (1 - d/v). The rows' d follow from reverse water-filling.

    Source: T. M. Cover and J. A. Thomas, Elements of Information Theory, 2nd ed. (2006), section 10.3.
    """
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (np.asarray(weight, np.float64).reshape(len(weight) if weight.ndim > 1 else 1, -1),
               stakes(weight, gains_of(workload)[name])) for name, weight in workload.weights.items()
    }
    sizes = np.concatenate([np.full(len(flat), flat.shape[1]) for flat, _ in parts.values()])
    losses = np.concatenate([stake for _, stake in parts.values()]) / sizes
    best = water_filling(losses, sizes, 1.0, float(capacity(rate)) * cells * float(sizes.sum()))
    lost = np.divide(best.distortions, losses, out=np.ones_like(losses), where=losses > 0.0)
    ends = np.cumsum([len(flat) for flat, _ in parts.values()])[:-1]
    lost_by_name = dict(zip(parts, np.split(lost, ends), strict=True))

    def read(trial: int) -> Weights:
        found = {}
        for name, (flat, _) in parts.items():
            share, centre = lost_by_name[name][:, None], flat.mean(axis=1, keepdims=True)
            noise = keyed(flip_key(seed, name, f"{LIMIT} {purpose}"), trial).standard_normal(flat.shape)
            spread = np.sqrt(flat.var(axis=1, keepdims=True) * share * (1.0 - share))
            found[name] = (centre + (1.0 - share) * (flat - centre) + spread * noise).astype(np.float32).reshape(
                workload.weights[name].shape)
        return found

    return read


def kept(group: pd.DataFrame) -> Interval:
    """Accuracy over clean accuracy: mean over training seeds with its interval; with one seed, that over trials."""
    if len(group) > 1:
        return mean_over(group["accuracy"] / group["clean_accuracy"])
    return Interval(*(value / float(group["clean_accuracy"].iloc[0]) for value in pooled_accuracy(group)))


def kept_by(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per group: `kept` with `low` and `high`, and the mean of `cells`."""
    return pd.DataFrame([
        {**dict(zip(by, names, strict=True)), **dict(zip(("kept", "low", "high"), kept(group), strict=True)),
         "cells": float(group["cells"].mean())}
        for names, group in rows.groupby(by, sort=False)
    ])
