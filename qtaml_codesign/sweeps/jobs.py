"""The jobs of a sweep: plain functions of picklable values that run in any process or thread.

A job names its workload by content. A worker gets it once, checks that it is the same to the last bit, and keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.codecs.coded import decoding
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.parcel import Parcel
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.handle import WorkloadHandle, resolve
from qtaml_codesign.sweeps.task import ENGINE_VERSION, SweepTask, TaskGroup, content_digest
from qtaml_codesign.tac.api import TacPlan, plan
from qtaml_codesign.tac.choices import MOST_FLIPS
from qtaml_codesign.tac.methods import METHOD_RULES
from qtaml_codesign.tac.ways import rated_for


@dataclass(frozen=True)
class PlanRequest:
    """Everything a protection plan depends on."""

    workload_digest: str
    method: str
    budget: float
    seed: int
    allocation: str
    sensitivity: str
    profile: BitErrorProfile
    cells: float | None = None
    margin: float = 1.0
    block: int | None = None

    @property
    def needs_gains(self) -> bool:
        """Whether the plan follows from Jacobian gains."""
        return METHOD_RULES[self.method].needs_gains or self.sensitivity != "auto"

    @property
    def request_id(self) -> str:
        """SHA-256 (hex) of the content."""
        content = {
            "engine": ENGINE_VERSION, "workload_digest": self.workload_digest, "method": self.method,
            "budget": self.budget, "seed": self.seed, "allocation": self.allocation, "sensitivity": self.sensitivity,
            "profile": self.profile.to_json(),
        }
        of_stores = {"cells": (self.cells, None), "margin": (self.margin, 1.0), "block": (self.block, None)}
        return content_digest(content | {name: value for name, (value, usual) in of_stores.items() if value != usual})

    @property
    def usable_margin(self) -> float:
        """The design margin, less where it would go beyond a flip probability of 1/2: a curve runs on to there."""
        highest = max(float(max(law.one_to_zero.max(), law.zero_to_one.max())) for law in self.profile.regions)
        return max(1.0, min(self.margin, MOST_FLIPS / highest)) if highest > 0.0 else self.margin


def make_plan(handle: WorkloadHandle | Parcel, request: PlanRequest, gains: JacobianGains | None) -> TacPlan:
    """Job: one protection plan.

    Args:
        handle: the workload.
        request: what the plan depends on.
        gains: Jacobian gains that the driver has measured; None: measured here if the method needs them.

    Raises:
        InputError: a request that cannot be.
        WorkloadError: the workload cannot be opened here.
    """
    with single_threaded():
        return plan(resolve(handle), request.method, request.profile, request.budget, request.seed,
                    cells=request.cells, margin=request.usable_margin, block=request.block,
                    sensitivity=request.sensitivity, gains=gains,
                    allocation=request.allocation if METHOD_RULES[request.method].spend == "allocate" else None)


def know_code(law: CellLaw, margin: float) -> None:
    """Job: find the code that plans take in such cells; what it leaves is then kept for them.

    Args:
        law: flip rates of the raw cells.
        margin: design margin on the raw bit error rate.
    """
    with single_threaded():
        rated_for(law, margin)


def run_trials(handle: WorkloadHandle | Parcel, task: SweepTask, first: int, count: int) -> list[TrialCounts]:
    """Job: the counts of trials first .. first + count - 1, one entry each.

    Args:
        handle: the workload.
        task: what is stored, under which flip rates and seed.
        first: index of the first trial.
        count: how many trials.

    Raises:
        InputError: a task that does not fit the workload.
        WorkloadError: the workload cannot be opened here, or it fails.
    """
    with single_threaded():
        trials = trials_of(resolve(handle), task)
        return [trials.run(trial) for trial in range(first, first + count)]


@lru_cache(maxsize=4)
def trials_of(workload: Workload, task: SweepTask) -> Trials:
    """The network in the memory that the task describes, ready to be read; kept for the next batch of the task.

    Args:
        workload: the network.
        task: what is stored, under which flip rates and seed.

    Raises:
        InputError: a task that does not fit the workload.
    """
    codecs = {group.name: group.codec for group in task.groups}
    laws = {group.name: group.law for group in task.groups}
    return Trials(workload, deploy(workload.weights, codecs, laws, dict(task.statistics)), task.seed)


def task_for(
    workload_digest: str, made: TacPlan, laws: Mapping[str, CellLaw], seed: int, decode: bool = False
) -> SweepTask:
    """The task of a plan: only what acts on the counts.

    Args:
        workload_digest: `Workload.digest`.
        made: the plan.
        laws: flip rates of the raw cells of each tensor, by its name.
        seed: key of the trials.
        decode: whether codewords are really decoded in every trial.
    """
    codecs = {name: decoding(codec) if decode else codec for name, codec in made.codecs.items()}
    groups = tuple(TaskGroup(name, codec, laws[name]) for name, codec in codecs.items())
    return SweepTask(ENGINE_VERSION, workload_digest, groups, seed, tuple(made.statistics.items()))
