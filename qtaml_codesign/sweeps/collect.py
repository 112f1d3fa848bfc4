"""Measure points of a sweep: a plan for each, a task for each plan, and for each task counts of its first trials.

The store is asked first, the crew does the rest, and each batch is written down as it comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.coordinates import Place
from qtaml_codesign.sweeps.crew import Crew, Job
from qtaml_codesign.sweeps.jobs import PlanRequest, make_plan, run_trials, task_for
from qtaml_codesign.sweeps.options import SweepOptions
from qtaml_codesign.sweeps.progress import Progress, Settled, SweepProgress
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.task import SweepTask, canonical_json
from qtaml_codesign.tac.algorithm import measured_gains
from qtaml_codesign.tac.api import TacPlan

BATCH_TRIALS = 10
COLUMNS = (
    "thickness_nm", "flip_probability", "method", "budget", "overhead", "accuracy", "accuracy_low", "accuracy_high",
    "trials", "clean_accuracy", "nominal_ber", "realised_ber", "image_half_width",
)


@dataclass(frozen=True)
class Point:
    """What is to be measured: a method at a budget, under flip rates."""

    method: str
    budget: float
    place: Place


@dataclass(frozen=True)
class MeasuredPoint:
    """A point with its plan and counts."""

    point: Point
    plan: TacPlan
    counts: TrialCounts


@dataclass
class Measurement:
    """Measures points with one network, crew and store, as often as it is asked.

    Attributes:
        counts: of every distinct task so far.
        notes: what the plans want the reader to know.
    """

    network: Workload
    options: SweepOptions
    crew: Crew
    store: ResultStore
    progress: Progress
    counts: dict[str, TrialCounts] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def threshold(self) -> float:
        """The accuracy that just keeps the target."""
        return self.options.target * self.network.clean_accuracy

    def measure(self, points: Sequence[Point]) -> list[MeasuredPoint]:
        """Plan and counts of each point, in order."""
        plans, tensors = self._plans(points), list(self.network.weights)
        tasks = [task_for(self.network.digest, plan, point.place.profile.assign(tensors), self.options.seed)
                 for plan, point in zip(plans, points, strict=True)]
        ids = [task.strong_id for task in tasks]
        first_of = dict(zip(reversed(ids), reversed(points), strict=True))
        board = _Board(self, dict(zip(ids, tasks, strict=True)), first_of)
        self.counts |= board.collect()
        self.notes += [f"{plan.method}: {note}" for plan in plans for note in plan.warnings]
        return [MeasuredPoint(point, plan, self.counts[task_id])
                for point, plan, task_id in zip(points, plans, ids, strict=True)]

    def row(self, measured: MeasuredPoint, thickness_nm: float) -> tuple[object, ...]:
        """A measured point as a row of `sweep.csv`, columns `COLUMNS`, at the thickness that it stands for."""
        point, counts, accuracy = measured.point, measured.counts, self.options.stopping.interval(measured.counts)
        return (
            thickness_nm, point.place.flip_probability, point.method, point.budget, measured.plan.overhead,
            accuracy.estimate, accuracy.low, accuracy.high, counts.trials, self.network.clean_accuracy,
            counts.nominal_ber, counts.realised_ber, self.image_half_width(counts),
        )

    def image_half_width(self, counts: TrialCounts) -> float:
        """Half-width of accuracy - target x clean accuracy over evaluation samples."""
        network, options = self.network, self.options
        return counts.image_half_width(network.clean_by_group, network.group_sizes, options.target,
                                       options.stopping.confidence)

    def near_clean(self, table: pd.DataFrame) -> list[str]:
        """A warning when the accuracy that the target allows to lose is within the error over evaluation samples.

        That error is taken at the point of the table (columns `COLUMNS`) whose accuracy is nearest the threshold.
        """
        target, room = self.options.target, (1.0 - self.options.target) * self.network.clean_accuracy
        nearest = (table["accuracy"] - self.threshold).abs().argmin()
        half = float(table["image_half_width"].iloc[nearest])
        if room > half:
            return []
        return [f"target {target:g} allows to lose {room:.4f} of accuracy, but {self.network.samples} evaluation "
                f"samples tell such a loss only to +- {half:.4f}: what just keeps the target cannot be told from the "
                "clean network; give more evaluation samples, or a lower target"]

    def _plans(self, points: Sequence[Point]) -> list[TacPlan]:
        requests = [
            PlanRequest(self.network.digest, point.method, point.budget, self.options.seed, self.options.allocation,
                        self.options.sensitivity, point.place.profile) for point in points
        ]
        ids = [request.request_id for request in requests]
        texts = collect_plans(dict(zip(ids, requests, strict=True)), self.crew, self.store, self.progress, self._gains)
        return [TacPlan.from_json(texts[request_id], where="result store") for request_id in ids]

    def _gains(self) -> JacobianGains:
        return measured_gains(self.network, self.options.sensitivity, self.options.seed,
                              lambda done, total: self.progress.tell(SweepProgress("calibration", done, total)))


def collect_plans(
    requests: Mapping[str, PlanRequest], crew: Crew, store: ResultStore, progress: Progress,
    calibrate: Callable[[], JacobianGains],
) -> dict[str, str]:
    """JSON of the plan of each request id; those the store knows are not made again.

    `calibrate()` measures Jacobian gains; it is called once, if a plan that is made needs them.
    """
    made = store.plans(requests)
    waiting = deque(request_id for request_id in requests if request_id not in made)
    needed = any(requests[request_id].needs_gains for request_id in waiting)
    gains = calibrate() if needed else None

    def next_job() -> Job | None:
        if not waiting:
            return None
        request_id = waiting.popleft()
        request = requests[request_id]
        arguments = (crew.handle, request, gains if request.needs_gains else None)
        return Job((request_id,), make_plan, arguments,
                   f"plan {request_id[:12]}: {request.method}, budget {request.budget:g}")

    def finished(results: list[tuple[Job, Any]]) -> None:
        fresh = {job.key[0]: text for job, text in results}
        store.add_plans(fresh)
        made.update(fresh)
        progress.add("plans", done=len(fresh))

    progress.add("plans", done=len(made), total=len(requests))
    crew.drain(next_job, finished)
    return made


@dataclass
class _Case:
    """One task under way: its trials so far, and how many batches are out."""

    task: SweepTask
    rows: dict[int, TrialCounts]
    awaited: int = 0

    def leading(self) -> list[int]:
        """Correct answers of trials 0, 1, ... up to the first gap."""
        correct: list[int] = []
        while len(correct) in self.rows:
            correct.append(self.rows[len(correct)].correct)
        return correct


class _Board:
    """Which batch of trials is next. Tasks are taken in the order of their ids, which is as good as shuffled.

    Args:
        measurement: whose crew and store are used, and whose rule chooses the number of trials.
        tasks: by their id.
        points: a point of each task, by the same id, to tell of.
    """

    def __init__(self, measurement: Measurement, tasks: Mapping[str, SweepTask], points: Mapping[str, Point]) -> None:
        self._of, self._tasks, self._points = measurement, tasks, points
        self._fresh = deque(sorted(tasks))
        self._cases: dict[str, _Case] = {}
        self._jobs: deque[Job] = deque()
        self._chosen: dict[str, TrialCounts] = {}

    def collect(self) -> dict[str, TrialCounts]:
        """Per task id, the counts of exactly its first n trials, summed; the rule chooses n from those counts alone."""
        self._of.store.add_tasks({task_id: canonical_json(task.to_json()) for task_id, task in self._tasks.items()})
        self._of.progress.add("trials", total=len(self._tasks))
        self._of.crew.drain(self._next_job, self._finished)
        return self._chosen

    def _next_job(self) -> Job | None:
        while not self._jobs and self._fresh:
            task_id = self._fresh.popleft()
            self._cases[task_id] = _Case(self._tasks[task_id], self._of.store.trials(task_id))
            self._decide(task_id)
        return self._jobs.popleft() if self._jobs else None

    def _finished(self, results: list[tuple[Job, Any]]) -> None:
        self._of.store.add_trials([(job.key[0], job.key[1], counts) for job, counts in results])
        for job, counts in results:
            task_id, first = job.key
            case = self._cases[task_id]
            case.rows.update({first + offset: one for offset, one in enumerate(counts)})
            case.awaited -= 1
            if case.awaited == 0:
                self._decide(task_id)
        self._of.progress.add("trials", trials=sum(len(counts) for _, counts in results))

    def _decide(self, task_id: str) -> None:
        case = self._cases[task_id]
        wanted, enough = self._of.options.stopping.decide(case.leading(), self._of.network.samples)
        if enough:
            self._chosen[task_id] = TrialCounts.total([case.rows[trial] for trial in range(wanted)])
            del self._cases[task_id]
            self._of.progress.add("trials", done=1, settled=self._settled(task_id))
            return
        batches = missing_batches(set(case.rows), wanted)
        case.awaited = len(batches)
        self._jobs.extendleft(reversed([self._job(task_id, first, count) for first, count in batches]))

    def _settled(self, task_id: str) -> Settled:
        point, counts = self._points[task_id], self._chosen[task_id]
        return Settled(point.method, point.budget, point.place.thickness_nm, point.place.flip_probability,
                       self._of.options.stopping.interval(counts), counts.trials)

    def _job(self, task_id: str, first: int, count: int) -> Job:
        arguments = (self._of.crew.handle, self._cases[task_id].task, first, count)
        return Job((task_id, first), run_trials, arguments,
                   f"task {task_id[:12]}: trials {first} to {first + count - 1}")


def missing_batches(present: set[int], wanted: int, most: int = BATCH_TRIALS) -> list[tuple[int, int]]:
    """Runs (first trial, count) of the trials below `wanted` that are not there, at most `most` each.

    Example:
        >>> missing_batches({0, 1, 4}, wanted=10, most=3)
        [(2, 2), (5, 3), (8, 2)]
    """
    batches: list[tuple[int, int]] = []
    for trial in range(wanted):
        if trial in present:
            continue
        first, count = batches[-1] if batches else (-1, most)
        if first + count == trial and count < most:
            batches[-1] = (first, count + 1)
        else:
            batches.append((trial, 1))
    return batches
