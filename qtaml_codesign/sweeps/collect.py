"""Gather plans and trials: ask the store first, let the crew do the rest, write down each batch as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.statistics import Exact
from qtaml_codesign.sweeps.crew import Crew, Job
from qtaml_codesign.sweeps.jobs import PlanRequest, make_plan, run_trials
from qtaml_codesign.sweeps.progress import ProgressReport, SweepProgress
from qtaml_codesign.sweeps.stopping import StoppingRule
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.task import SweepTask, canonical_json

BATCH_TRIALS = 10
TaskSettled = Callable[[str, TrialCounts], None]


def collect_plans(
    requests: Mapping[str, PlanRequest], crew: Crew, store: ResultStore, report: ProgressReport,
    calibrate: Callable[[Callable[[int, int], None]], JacobianGains],
) -> dict[str, str]:
    """JSON of the plan of each request id; those the store knows are not made again.

    `calibrate(progress)` measures Jacobian gains; it is called once, if a plan that is made needs them.
    """
    made = store.plans(requests)
    waiting = deque(request_id for request_id in requests if request_id not in made)
    needed = any(requests[request_id].needs_gains for request_id in waiting)
    gains = calibrate(lambda done, total: report(SweepProgress("calibration", done, total))) if needed else None

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
        report(SweepProgress("plans", len(made), len(requests)))

    report(SweepProgress("plans", len(made), len(requests)))
    crew.drain(next_job, finished)
    return made


def collect_trials(
    tasks: Mapping[str, SweepTask], rule: StoppingRule, samples: int, crew: Crew, store: ResultStore,
    report: ProgressReport, settled: TaskSettled,
) -> dict[str, TrialCounts]:
    """Per task id, the counts of exactly its first n trials, summed; the rule chooses n from those counts alone.

    settled: called with the id of a task and those counts as soon as they are enough.
    """
    store.add_tasks({task_id: canonical_json(task.to_json()) for task_id, task in tasks.items()})
    board = _Board(tasks, rule, samples, crew, store, report, settled)
    report(SweepProgress("trials", 0, len(tasks)))
    crew.drain(board.next_job, board.finished)
    return board.chosen


@dataclass
class _Case:
    """One task under way: its trials so far, and how many batches are out."""

    task: SweepTask
    rows: dict[int, TrialCounts]
    awaited: int = 0

    def leading(self) -> list[Exact]:
        """Summed scores of trials 0, 1, ... up to the first gap."""
        scores: list[Exact] = []
        while len(scores) in self.rows:
            scores.append(self.rows[len(scores)].score)
        return scores


@dataclass
class _Board:
    """Which batch is next. Tasks are taken in the order of their ids, which is as good as shuffled."""

    tasks: Mapping[str, SweepTask]
    rule: StoppingRule
    samples: int
    crew: Crew
    store: ResultStore
    report: ProgressReport
    settled: TaskSettled
    chosen: dict[str, TrialCounts] = field(default_factory=dict)
    trials: int = 0

    def __post_init__(self) -> None:
        self._fresh = deque(sorted(self.tasks))
        self._cases: dict[str, _Case] = {}
        self._jobs: deque[Job] = deque()

    def next_job(self) -> Job | None:
        while not self._jobs and self._fresh:
            task_id = self._fresh.popleft()
            self._cases[task_id] = _Case(self.tasks[task_id], self.store.trials(task_id))
            self._decide(task_id)
        return self._jobs.popleft() if self._jobs else None

    def finished(self, results: list[tuple[Job, Any]]) -> None:
        self.store.add_trials([(job.key[0], job.key[1], counts) for job, counts in results])
        for job, counts in results:
            task_id, first = job.key
            case = self._cases[task_id]
            case.rows.update({first + offset: one for offset, one in enumerate(counts)})
            case.awaited -= 1
            self.trials += len(counts)
            if case.awaited == 0:
                self._decide(task_id)
        self.report(SweepProgress("trials", len(self.chosen), len(self.tasks), self.trials))

    def _decide(self, task_id: str) -> None:
        case = self._cases[task_id]
        wanted, enough = self.rule.decide(case.leading(), self.samples)
        if enough:
            self.chosen[task_id] = TrialCounts.total([case.rows[trial] for trial in range(wanted)])
            del self._cases[task_id]
            self.settled(task_id, self.chosen[task_id])
            return
        batches = missing_batches(set(case.rows), wanted)
        case.awaited = len(batches)
        self._jobs.extendleft(reversed([self._job(task_id, first, count) for first, count in batches]))

    def _job(self, task_id: str, first: int, count: int) -> Job:
        arguments = (self.crew.handle, self._cases[task_id].task, first, count)
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
