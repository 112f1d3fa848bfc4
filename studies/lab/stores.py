"""Stores that choose their cells: what plans really cost, the limit of any store, and a reader at that limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq

import qtaml_codesign as qc
from lab.deploy import result_row
from lab.networks import trained
from lab.summary import counts_row, mean_over, pooled_accuracy
from qtaml_codesign.bits.cell_law import as_profile
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.codewords import keyed
from qtaml_codesign.ecc.currencies import price
from qtaml_codesign.ecc.family import RatedCode, cheapest_code
from qtaml_codesign.ecc.limits import capacity
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.normalisation import reestimated_statistics
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.groups import stakes
from qtaml_codesign.tac.methods import CELL_METHODS
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.store_design import READINGS, coherences_of, gains_of, shannon_floor
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
        parts = held.parts if isinstance(held, ByGroups) else ((None, held),)
        rows = sum(len(rows or ()) for rows, _ in parts) or 1
        for own, codec in parts:
            found[type(codec).__name__] += layer.weights * (len(own) / rows if own else 1.0) / plan.weights
    return {f"share_{kind}": share for kind, share in found.items()}


def paying_code(rate: float) -> RatedCode:
    """The code of fewest cells that makes a protected bit of real cells, as `joint` takes it.

    Raises:
        ValueError: no code is good enough.
    """
    found = cheapest_code(rate, MOST_RESIDUAL, laws_folder())
    if found is None:
        raise ValueError(f"no code leaves less than {MOST_RESIDUAL:g} of the bits wrong at p = {rate:g}")
    return found


def honest_cells(plan: qc.TacPlan, rate: float) -> float:
    """Cells per weight in which every cell flips: ideally protected bits lie under the cheapest code that suffices."""
    if not plan.protected_bits:
        return plan.cells_per_weight
    cost = price(plan.weights, round(plan.stored_bits), plan.protected_bits, rate, rate,
                 paying_code(rate).code.cells_per_bit)
    return cost.total_cells


def floor_at(workload: qc.Workload, rate: float, cells: float) -> float:
    """Shannon's floor of the expected squared error of the logits, at a number of cells per weight."""
    laws = as_profile(rate).assign(list(workload.weights))
    return shannon_floor(StoreRequest(workload, laws, LIMIT, 0.0, cells, 0, lambda stage, done, total: None), cells)


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

    A row of variance v that is read with relative error d goes through the test channel of rate-distortion: shrunk
    towards its mean by 1 - d, with noise of variance v d (1 - d). The rows' d minimise what a plan minimises.

    Source: T. M. Cover and J. A. Thomas, Elements of Information Theory, 2nd ed. (2006), section 10.3.
    """
    parts = {name: np.asarray(weight, np.float64).reshape(len(weight) if weight.ndim > 1 else 1, -1)
             for name, weight in workload.weights.items()}
    sizes = np.concatenate([np.full(len(flat), flat.shape[1]) for flat in parts.values()])
    losses = np.concatenate([stakes(workload.weights[name], gains_of(workload)[name]) for name in parts]) / sizes
    coherence = np.concatenate([np.full(len(flat), coherences_of(workload)[name]) for name, flat in parts.items()])
    lost = least_errors(losses, sizes, coherence, float(capacity(rate)) * cells * float(sizes.sum()))
    lost_by_name = dict(zip(parts, np.split(lost, np.cumsum([len(flat) for flat in parts.values()])[:-1]), strict=True))

    def read(trial: int) -> Weights:
        found = {}
        for name, flat in parts.items():
            share, centre = lost_by_name[name][:, None], flat.mean(axis=1, keepdims=True)
            noise = keyed(flip_key(seed, name, f"{LIMIT} {purpose}"), trial).standard_normal(flat.shape)
            spread = np.sqrt(flat.var(axis=1, keepdims=True) * share * (1.0 - share))
            found[name] = (centre + (1.0 - share) * (flat - centre) + spread * noise).astype(np.float32).reshape(
                workload.weights[name].shape)
        return found

    return read


def least_errors(losses: np.ndarray, sizes: np.ndarray, coherence: np.ndarray, bits: float) -> np.ndarray:
    """(G,) relative errors d of Gaussian rows that minimise sum n u (d + (K - 1) d^2) at sum n log2(1/d) / 2 = bits.

    With K = 1 this is reverse water-filling; else each row obeys u (d + 2 (K - 1) d^2) = level, or is dropped, d = 1.

    Example:
        >>> least_errors(np.array([4.0, 1.0, 0.1]), np.ones(3), np.ones(3), 2.0).round(6).tolist()
        [0.125, 0.5, 1.0]
    """
    def at(level: float) -> np.ndarray:
        ratio = np.exp2(level - height)
        return np.minimum(1.0, 2.0 * ratio / (1.0 + np.sqrt(1.0 + 8.0 * (coherence - 1.0) * ratio)))

    def excess(level: float) -> float:
        return float((sizes * np.log2(1.0 / at(level))).sum()) / 2.0 - bits

    with np.errstate(divide="ignore"):
        height = np.maximum(np.log2(losses), -1000.0)
    top = float((height + np.log2(2.0 * coherence)).max())
    return at(float(brentq(excess, top - 200.0, top)))


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
