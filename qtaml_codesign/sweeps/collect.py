"""Measure points of a sweep: a plan for each, a task for each plan, and for each task counts of its first trials.

The store is asked first, the workers do the rest, and each batch is written down as it comes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

import pandas as pd

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.sensitivity import JacobianGains, jacobian_gains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.codes import know_codes
from qtaml_codesign.sweeps.coordinates import Place
from qtaml_codesign.sweeps.jobs import PlanRequest, make_plan, run_trials, task_for
from qtaml_codesign.sweeps.options import SweepOptions
from qtaml_codesign.sweeps.progress import Progress, Settled, SweepProgress
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.task import SweepTask, canonical_json
from qtaml_codesign.sweeps.workers import Job, Workers
from qtaml_codesign.tac.choices import Choice
from qtaml_codesign.tac.methods import CODED_METHODS
from qtaml_codesign.tac.plan import TacPlan

BATCH_TRIALS = 10


@dataclass(frozen=True)
class Point:
    """What is to be measured: a method and what it may spend, under flip rates."""

    choice: Choice
    place: Place


@dataclass(frozen=True)
class MeasuredPoint:
    """A point with its plan and counts."""

    point: Point
    plan: TacPlan
    counts: TrialCounts


@dataclass
class Measurement:
    """Measures points with one network, its workers and a store, as often as it is asked.

    Attributes:
        counts: of every distinct task so far.
        notes: what the plans want the reader to know.
        gains: the Jacobian gains, once a plan has needed them.
        known: flip laws and design margins whose codes have been looked for.
    """

    network: Workload
    options: SweepOptions
    workers: Workers
    store: ResultStore
    progress: Progress
    counts: dict[str, TrialCounts] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    gains: list[JacobianGains] = field(default_factory=list)
    known: set[tuple[CellLaw, float]] = field(default_factory=set)

    @property
    def threshold(self) -> float:
        """The value that just keeps the target."""
        return self.options.wanted.value(self.network.clean_value)

    def measure(self, points: Sequence[Point]) -> list[MeasuredPoint]:
        """Plan and counts of each point, in their order.

        Args:
            points: what to measure; equal tasks are run once.

        Raises:
            InputError: a plan that cannot be, or a card whose regions hold no tensor of the network.
            StoreError: the results cannot be read or written.
            CodesignError: workers that cannot start, or a job that ended its worker too often.
        """
        plans, tensors = self._plans(points), list(self.network.weights)
        tasks = [task_for(self.network.digest, plan, point.place.profile.assign(tensors), self.options.seed,
                          self.options.decode)
                 for plan, point in zip(plans, points, strict=True)]
        ids = [task.strong_id for task in tasks]
        first_of = dict(zip(reversed(ids), reversed(points), strict=True))
        board = _Board(self, dict(zip(ids, tasks, strict=True)), first_of)
        self.counts |= board.collect()
        self.notes += [f"{plan.method}: {note}" for plan in plans for note in plan.warnings]
        self.notes += [f"{plan.method}: nothing is decoded where the plan holds no weights under a code"
                       for plan in plans if self.options.decode and plan.method in CODED_METHODS and not plan.coded]
        return [MeasuredPoint(point, plan, self.counts[task_id])
                for point, plan, task_id in zip(points, plans, ids, strict=True)]

    def row(self, measured: MeasuredPoint, thickness_nm: float) -> tuple[object, ...]:
        """A measured point as a row of `sweep.csv` (see `table`).

        Args:
            measured: the point with its counts.
            thickness_nm: the oxide thickness in nm that it stands for.
        """
        place, counts, found = measured.point.place, measured.counts, self.options.stopping.interval(measured.counts)
        return (
            thickness_nm, place.flip_probability, *self.curve_of(measured).values(), measured.plan.overhead, *found,
            counts.trials, self.network.clean_value, counts.nominal_ber, counts.realised_ber,
            self.image_half_width(counts),
        )

    def curve_of(self, measured: MeasuredPoint) -> dict[str, object]:
        """What names the curve of a measured point, by column; the codes of a method that spends no cells take some.

        Args:
            measured: the point with its plan.
        """
        method, budget, cells = measured.point.choice
        own = Choice(method, budget, measured.plan.cells_per_weight if cells is None else cells)
        return {name: getattr(own, name) for name in self.options.curve_columns}

    def table(self, rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
        """The table of `sweep.csv`: the columns of the metric are named after it.

        Args:
            rows: each as `row` gives it.
        """
        metric = self.network.metric
        return pd.DataFrame(rows, columns=[
            "thickness_nm", "flip_probability", *self.options.curve_columns, "overhead", *metric.columns, "trials",
            metric.clean_column, "nominal_ber", "realised_ber", "image_half_width",
        ])

    def image_half_width(self, counts: TrialCounts) -> float:
        """Half-width of the metric beyond its target over evaluation samples, in the unit of the metric.

        Args:
            counts: those of a point.
        """
        scoring, options = self.network.scoring, self.options
        return counts.image_half_width(scoring.clean_by_group, scoring.group_sizes, options.wanted,
                                       options.stopping.confidence, scoring.metric)

    def near_clean(self, table: pd.DataFrame) -> list[str]:
        """A warning when what the target allows to lose is within the error over evaluation samples.

        That error is taken at the point whose value is nearest the threshold.

        Args:
            table: as `table` gives it.
        """
        network, metric = self.network, self.network.metric
        room = metric.margin(network.clean_value, self.threshold)
        half = float(table["image_half_width"].iloc[(table[metric.column] - self.threshold).abs().argmin()])
        if not room <= half:
            return []
        return [f"target {self.options.wanted} allows to lose {room:.4f} of {metric.name}, but {network.samples} "
                f"evaluation samples tell such a loss only to +- {half:.4f}: what just keeps the target cannot be told "
                "from the clean network; give more evaluation samples, or a lower target"]

    def _plans(self, points: Sequence[Point]) -> list[TacPlan]:
        """The plan of each point; those that the store knows are not made again."""
        ids, requests = [], {}
        for point in points:
            method, budget, cells = point.choice
            request = PlanRequest(
                self.network.digest, method, budget, self.options.seed, self.options.allocation,
                self.options.sensitivity_of(method), point.place.profile, cells,
                margin=self.options.margin_of(method), block=self.options.block_of(method),
            )
            ids.append(request.request_id)
            requests[ids[-1]] = request
        known = self.store.plans(requests)
        made = {key: TacPlan.from_json(text, where="result store") for key, text in known.items()}
        wanted = [request_id for request_id in requests if request_id not in made]
        know_codes([requests[request_id] for request_id in wanted], list(self.network.weights), self.known,
                   self.workers, self.progress)
        gains = self._gains() if any(requests[request_id].needs_gains for request_id in wanted) else None
        jobs = (self._plan_job(request_id, requests[request_id], gains) for request_id in wanted)

        def finished(results: list[tuple[Job, Any]]) -> None:
            fresh = {job.key[0]: plan for job, plan in results}
            self.store.add_plans({key: plan.to_json() for key, plan in fresh.items()})
            made.update(fresh)
            self.progress.add("plans", done=len(fresh))

        self.progress.add("plans", done=len(made), total=len(requests))
        self.workers.drain(lambda: next(jobs, None), finished)
        return [made[request_id] for request_id in ids]

    def _plan_job(self, request_id: str, request: PlanRequest, gains: JacobianGains | None) -> Job:
        label = f"plan {request_id[:12]}: {Choice(request.method, request.budget, request.cells).text}"
        needed = gains if request.needs_gains else None
        return Job((request_id,), make_plan, (self.workers.handle, request, needed), label)

    def _gains(self) -> JacobianGains:
        if not self.gains:
            self.gains.append(jacobian_gains(
                self.network, self.options.sensitivity, seed=self.options.seed,
                progress=lambda done, total: self.progress.tell(SweepProgress("calibration", done, total))))
        return self.gains[0]


class _Board:
    """Which batch of trials is next. Tasks are taken in the order of their ids, which is as good as shuffled.

    Args:
        measurement: whose workers and store are used, and whose rule chooses the number of trials.
        tasks: by their id.
        points: a point of each task, by the same id, to tell of.
    """

    def __init__(self, measurement: Measurement, tasks: Mapping[str, SweepTask], points: Mapping[str, Point]) -> None:
        self._of, self._tasks, self._points = measurement, tasks, points
        self._fresh = deque(sorted(tasks))
        self._rows: dict[str, dict[int, TrialCounts]] = {}
        self._awaited: Counter[str] = Counter()
        self._jobs: deque[Job] = deque()
        self._chosen: dict[str, TrialCounts] = {}

    def collect(self) -> dict[str, TrialCounts]:
        """Per task id, the counts of exactly its first n trials, summed; the rule chooses n from those counts alone."""
        self._of.store.add_tasks({task_id: canonical_json(task.to_json()) for task_id, task in self._tasks.items()})
        self._of.progress.add("trials", total=len(self._tasks))
        self._of.workers.drain(self._next_job, self._finished)
        return self._chosen

    def _next_job(self) -> Job | None:
        while not self._jobs and self._fresh:
            task_id = self._fresh.popleft()
            self._rows[task_id] = self._of.store.trials(task_id)
            self._decide(task_id)
        return self._jobs.popleft() if self._jobs else None

    def _finished(self, results: list[tuple[Job, Any]]) -> None:
        self._of.store.add_trials([(*job.key, counts) for job, counts in results])
        for job, counts in results:
            task_id, first = job.key
            self._rows[task_id].update(enumerate(counts, start=first))
            self._awaited[task_id] -= 1
            if not self._awaited[task_id]:
                self._decide(task_id)
        self._of.progress.add("trials", trials=sum(len(counts) for _, counts in results))

    def _decide(self, task_id: str) -> None:
        """Settle a task, or order the batches that it lacks."""
        rows, rule = self._rows[task_id], self._of.options.stopping
        leading = [rows[trial].score for trial in takewhile(lambda trial: trial in rows, count())]
        wanted, enough = rule.decide(leading, self._of.network.samples)
        if enough:
            chosen = self._chosen[task_id] = TrialCounts.total([rows[trial] for trial in range(wanted)])
            del self._rows[task_id]
            point = self._points[task_id]
            method, budget, cells = point.choice
            settled = Settled(method, budget, point.place.thickness_nm, point.place.flip_probability,
                              self._of.network.metric, rule.interval(chosen), chosen.trials, cells)
            self._of.progress.add("trials", done=1, settled=settled)
            return
        batches = missing_batches(set(rows), wanted)
        self._awaited[task_id] = len(batches)
        self._jobs.extendleft(reversed([self._job(task_id, *batch) for batch in batches]))

    def _job(self, task_id: str, first: int, count: int) -> Job:
        label = f"task {task_id[:12]}: trials {first} to {first + count - 1}"
        return Job((task_id, first), run_trials, (self._of.workers.handle, self._tasks[task_id], first, count), label)


def missing_batches(present: set[int], wanted: int, most: int = BATCH_TRIALS) -> list[tuple[int, int]]:
    """Runs (first trial, count) of the trials that are lacking, rising.

    Args:
        present: trials that are there.
        wanted: trials 0 .. wanted - 1 are to be there.
        most: trials of a run.

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
