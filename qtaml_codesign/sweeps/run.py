"""The sweep: card + network -> accuracy at every oxide thickness, method and ECC budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qtaml_codesign.bits.profile import BitErrorProfile
from qtaml_codesign.cards import DeviceCard, load_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.evaluate import single_threaded
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.physics.flip import FlipProbability, flip_probability
from qtaml_codesign.sweeps.collect import ProgressReport, SweepProgress, collect_plans, collect_trials
from qtaml_codesign.sweeps.crew import Crew
from qtaml_codesign.sweeps.grid import checked_grid, thickness_grid
from qtaml_codesign.sweeps.outputs import STORE_NAME, writable_folder
from qtaml_codesign.sweeps.result import COLUMNS, Sweep
from qtaml_codesign.sweeps.settings import (
    DEFAULT_METHODS,
    SweepSettings,
    check_settings,
    stopping_rule,
    worker_count,
)
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.task import SweepTask
from qtaml_codesign.sweeps.trial import PlanRequest, handle_for, task_for
from qtaml_codesign.tac.plan import TacPlan

__all__ = ["Sweep", "SweepProgress", "sweep"]


def sweep(
    workload: Workload | str,
    card: DeviceCard | str | Path,
    thickness_nm: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    seed: int = 0,
    *,
    target: float = 0.95,
    trials: int | None = None,
    half_width: float | None = None,
    max_trials: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    out: str | Path | None = None,
    allocation: str | None = None,
    progress: ProgressReport | None = None,
) -> Sweep:
    """Accuracy under tunnelling flips over oxide thickness, for each protection method and ECC budget.

    The same arguments give the same table to the last bit, whatever the number of workers, and also when the run
    was killed and started again on the same `out` folder: each trial's flips are keyed by (seed, trial, tensor,
    cell), and the number of trials of a point is decided from its own first trials alone.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path.
        thickness_nm: oxide thicknesses in nm; default: see `thickness_grid`.
        budgets: protected-bit fractions in [0, 1]; default 0 to 37.5 %. Methods that protect nothing ignore them.
        methods: protection methods to compare.
        seed: key of every drawing, >= 0.
        target: fraction of the clean accuracy that the frontier keeps, in (0, 1].
        trials: exactly this many drawings per point, >= 2; default: adaptive.
        half_width: adaptive rule: go on until the 95 % interval of the accuracy is +- this; default 0.01.
        max_trials: adaptive rule: stop here at the latest; default 320.
        workers: processes to run trials in; 1 (default) runs them in this one. A script that asks for more must
            start under `if __name__ == "__main__":`, as Python's process pools need it.
        executor: any `concurrent.futures.Executor` instead; it is left running.
        out: folder for the result store, the CSV files, the figure and run.json; None keeps everything in memory.
        allocation: "greedy" (default) or "exact", for methods that allocate by score.
        progress: called in this thread with a `SweepProgress` after each step.

    Example:
        >>> import qtaml_codesign as qc
        >>> result = qc.sweep("small-cnn", "3nm", thickness_nm=[1.75, 2.0], budgets=[0.05], trials=2)
        >>> result.to_frame().shape
        (4, 12)
    """
    rule = stopping_rule(trials, half_width, max_trials)
    settings = check_settings(methods, budgets, seed, target, allocation, rule)
    width = worker_count(workers, executor)
    device = card if isinstance(card, DeviceCard) else load_card(card)
    grid = thickness_grid(device) if thickness_nm is None else checked_grid(thickness_nm)
    flips = flip_probability(device, grid)
    folder = None if out is None else writable_folder(out)
    network = _known_workload(workload)
    points = _points(settings, flips, len(grid))
    leaves_process = width > 1 or not (executor is None or isinstance(executor, ThreadPoolExecutor))
    crew = Crew(handle_for(network, portable=leaves_process), width, executor)
    with ResultStore(None if folder is None else folder / STORE_NAME) as store, crew, single_threaded():
        measured = _measure(network, points, settings, crew, store, progress or _silent)
    result = _result(network, device, settings, flips, points, measured)
    if folder is not None:
        result.save(folder)
    return result


@dataclass(frozen=True)
class _Point:
    """One row of the table before it is measured."""

    thickness_nm: float
    flip_probability: float
    method: str
    budget: float
    profile: BitErrorProfile


@dataclass(frozen=True)
class _Measured:
    """Plan and task of each point, the counts of each task."""

    plans: tuple[TacPlan, ...]
    task_ids: tuple[str, ...]
    counts: dict[str, TrialCounts]
    new_trials: int


def _points(settings: SweepSettings, flips: FlipProbability, count: int) -> tuple[_Point, ...]:
    rows = [flips.at(index) for index in range(count)]
    profiles = [BitErrorProfile.from_flip_probability(row) for row in rows]
    return tuple(
        _Point(float(row.thickness_nm), float(row.probability), method, budget, profile)
        for method in settings.methods
        for budget in settings.budgets_of(method)
        for row, profile in zip(rows, profiles, strict=True)
    )


def _measure(
    network: Workload, points: tuple[_Point, ...], settings: SweepSettings, crew: Crew, store: ResultStore,
    report: ProgressReport,
) -> _Measured:
    requests = [_request(network, point, settings) for point in points]
    ids = [request.request_id for request in requests]
    texts = collect_plans(dict(zip(ids, requests, strict=True)), crew, store, report)
    plans = tuple(TacPlan.from_json(texts[request_id], where="result store") for request_id in ids)
    tasks = [_task(network, plan, point, settings) for plan, point in zip(plans, points, strict=True)]
    distinct = {task.strong_id: task for task in tasks}
    before = store.count_trials()
    chosen = collect_trials(distinct, settings.rule, network.samples, crew, store, report)
    counts = {task_id: TrialCounts.total(rows) for task_id, rows in chosen.items()}
    return _Measured(plans, tuple(task.strong_id for task in tasks), counts, store.count_trials() - before)


def _request(network: Workload, point: _Point, settings: SweepSettings) -> PlanRequest:
    return PlanRequest(network.digest, point.method, point.budget, settings.seed, settings.allocation, point.profile)


def _task(network: Workload, plan: TacPlan, point: _Point, settings: SweepSettings) -> SweepTask:
    return task_for(network.digest, plan, point.profile.assign(list(network.weights)), settings.seed)


def _result(
    network: Workload, device: DeviceCard, settings: SweepSettings, flips: FlipProbability,
    points: tuple[_Point, ...], measured: _Measured,
) -> Sweep:
    rows = [
        _row(network, point, plan, measured.counts[task_id], settings)
        for point, plan, task_id in zip(points, measured.plans, measured.task_ids, strict=True)
    ]
    notes = [*flips.warnings, *(f"{plan.method}: {note}" for plan in measured.plans for note in plan.warnings)]
    return Sweep(
        points=pd.DataFrame(rows, columns=list(COLUMNS)), card=device, grid_nm=np.asarray(flips.thickness_nm),
        settings=settings, workload_name=network.name, workload_digest=network.digest,
        clean_correct=network.clean_correct, samples=network.samples,
        counts=TrialCounts.total([measured.counts[key] for key in sorted(measured.counts)]),
        tasks=len(measured.counts), new_trials=measured.new_trials, warnings=tuple(dict.fromkeys(notes)),
    )


def _row(
    network: Workload, point: _Point, plan: TacPlan, counts: TrialCounts, settings: SweepSettings
) -> tuple[object, ...]:
    accuracy = counts.accuracy(settings.rule.confidence)
    return (
        point.thickness_nm, point.flip_probability, point.method, point.budget, plan.overhead, accuracy.estimate,
        accuracy.low, accuracy.high, counts.trials, network.clean_accuracy, counts.nominal_ber, counts.realised_ber,
    )


def _known_workload(workload: Workload | str) -> Workload:
    if isinstance(workload, Workload):
        return workload
    if isinstance(workload, str):
        return load_workload(workload)
    raise InputError("this is not a workload", where="workload", rule="a Workload, a zoo name, or 'FILE.py:FACTORY'",
                     value=type(workload).__name__,
                     next_step="wrap it: qc.Workload(model=..., calibration=..., evaluation=(inputs, labels))")


def _silent(_: SweepProgress) -> None:
    """Progress that nobody reads."""
