"""Measure points of a sweep: a plan for each, a task for each plan, counts for each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import ACCURACY, Metric
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.collect import collect_plans, collect_trials
from qtaml_codesign.sweeps.crew import Crew
from qtaml_codesign.sweeps.jobs import PlanRequest, task_for
from qtaml_codesign.sweeps.progress import ProgressReport, Settled, SweepProgress
from qtaml_codesign.sweeps.settings import SweepSettings
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.tac.algorithm import measured_gains
from qtaml_codesign.tac.api import TacPlan


def columns_of(metric: Metric = ACCURACY) -> list[str]:
    """The columns of `sweep.csv`: those of the metric are named after it."""
    return ["thickness_nm", "flip_probability", "method", "budget", "overhead", *metric.columns, "trials",
            metric.clean_column, "nominal_ber", "realised_ber", "image_half_width"]


@dataclass(frozen=True)
class Point:
    """What is to be measured: a method and a budget under flip rates; thickness and probability go into the row."""

    thickness_nm: float
    flip_probability: float
    method: str
    budget: float
    profile: BitErrorProfile


@dataclass(frozen=True)
class MeasuredPoint:
    """A point with its plan and counts."""

    point: Point
    plan: TacPlan
    task_id: str
    counts: TrialCounts


@dataclass
class Measurement:
    """Measures points with one network, crew and store, as often as it is asked.

    Attributes:
        counts: of every distinct task so far.
        notes: what the plans want the reader to know.
    """

    network: Workload
    settings: SweepSettings
    crew: Crew
    store: ResultStore
    report: ProgressReport
    counts: dict[str, TrialCounts] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _reported: dict[str, SweepProgress] = field(default_factory=dict, init=False)

    def measure(self, points: Sequence[Point]) -> list[MeasuredPoint]:
        """Plan and counts of each point, in order; what the store knows is not run again."""
        requests = [self._request(point) for point in points]
        ids = [request.request_id for request in requests]
        report = self._onwards()
        texts = collect_plans(dict(zip(ids, requests, strict=True)), self.crew, self.store, report, self._gains)
        plans = [TacPlan.from_json(texts[request_id], where="result store") for request_id in ids]
        tensors = list(self.network.weights)
        tasks = [
            task_for(self.network.digest, plan, point.profile.assign(tensors), self.settings.seed)
            for plan, point in zip(plans, points, strict=True)
        ]
        distinct = {task.strong_id: task for task in tasks}
        point_of = dict(zip((task.strong_id for task in reversed(tasks)), reversed(points), strict=True))

        def settled(task_id: str, counts: TrialCounts) -> None:
            report(SweepProgress("trials", 0, 0, settled=self._settled(point_of[task_id], counts)))

        self.counts |= collect_trials(distinct, self.settings.rule, self.network.samples, self.crew, self.store,
                                      report, settled)
        self.notes += [f"{plan.method}: {note}" for plan in plans for note in plan.warnings]
        return [
            MeasuredPoint(point, plan, task.strong_id, self.counts[task.strong_id])
            for point, plan, task in zip(points, plans, tasks, strict=True)
        ]

    def table(self, rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
        """Rows (see `row`) as the table of a sweep."""
        return pd.DataFrame(rows, columns=columns_of(self.network.metric))

    def row(self, measured: MeasuredPoint) -> tuple[object, ...]:
        """A measured point as a row of `sweep.csv` (`columns_of`)."""
        point, counts, found = measured.point, measured.counts, self.settings.rule.interval(measured.counts)
        return (
            point.thickness_nm, point.flip_probability, point.method, point.budget, measured.plan.overhead,
            *found, counts.trials, self.network.clean_value,
            counts.nominal_ber, counts.realised_ber, self.image_half_width(counts),
        )

    @property
    def threshold(self) -> float:
        """The value to keep."""
        return self.settings.wanted.value(self.network.clean_value)

    def image_half_width(self, counts: TrialCounts) -> float:
        """Half-width of the metric beyond its target over evaluation samples."""
        scoring = self.network.scoring
        return counts.image_half_width(scoring.clean_by_group, scoring.group_sizes, self.settings.wanted,
                                       self.settings.rule.confidence, scoring.metric)

    def near_clean(self, table: pd.DataFrame) -> list[str]:
        """A warning when what the target allows to lose is within the error over evaluation samples.

        That error is taken at the point of the table (`columns_of`) whose value is nearest the threshold.
        """
        network, metric, threshold = self.network, self.network.metric, self.threshold
        room = metric.margin(network.clean_value, threshold)
        nearest = (table[metric.column] - threshold).abs().argmin()
        half = float(table["image_half_width"].iloc[nearest])
        if not room <= half:
            return []
        return [f"target {self.settings.wanted} allows to lose {room:.4f} of {metric.name}, but {network.samples} "
                f"evaluation samples tell such a loss only to +- {half:.4f}: what just keeps the target cannot be told "
                "from the clean network; give more evaluation samples, or a lower target"]

    def _request(self, point: Point) -> PlanRequest:
        return PlanRequest(self.network.digest, point.method, point.budget, self.settings.seed,
                           self.settings.allocation, self.settings.sensitivity, point.profile)

    def _gains(self, progress: Callable[[int, int], None]) -> JacobianGains:
        return measured_gains(self.network, self.settings.sensitivity, self.settings.seed, progress)

    def _settled(self, point: Point, counts: TrialCounts) -> Settled:
        found = self.settings.rule.interval(counts)
        return Settled(point.method, point.budget, point.thickness_nm, point.flip_probability, self.network.metric,
                       found, counts.trials)

    def _onwards(self) -> ProgressReport:
        """Progress that counts on from what earlier calls have done."""
        before, last = dict(self._reported), self._reported

        def report(now: SweepProgress) -> None:
            if now.settled is not None:
                self.report(replace(last.get(now.stage, now), settled=now.settled))
                return
            done = before.get(now.stage, SweepProgress(now.stage, 0, 0))
            last[now.stage] = SweepProgress(now.stage, done.done + now.done, done.total + now.total,
                                            done.trials + now.trials)
            self.report(last[now.stage])

        return report
