"""The jobs of a sweep: plain functions of picklable values that run in any process or thread.

A job names its workload by content. A worker loads it once, checks that it is the same to the last bit, and keeps it.
"""

from __future__ import annotations

import threading
from _pickle import PicklingError
from collections import OrderedDict
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import TypeVar

import numpy as np

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.profile import BitErrorProfile, RegionErrors
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.device import placed
from qtaml_codesign.nets.evaluate import Trials, single_threaded
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.sweeps.task import ENGINE_VERSION, StoredLayer, SweepTask, content_digest
from qtaml_codesign.tac.baselines import METHOD_RULES
from qtaml_codesign.tac.plan import TacPlan, plan
from qtaml_codesign.tac.planner import keep_gains

T = TypeVar("T")

_KEPT_WORKLOADS = 2
_KEPT_TRIALS = 4
_workloads: OrderedDict[str, Workload] = OrderedDict()
_of_this_thread = threading.local()


@dataclass(frozen=True)
class WorkloadHandle:
    """A workload by its digest, and how a process that does not have it yet gets it.

    Args:
        digest: `Workload.digest`.
        name: for messages.
        source: zoo name or "FILE.py:FACTORY", or None for one that was built in Python.
        payload: the workload itself when it has no source; None in a job whose process was given it at its start.
    """

    digest: str
    name: str
    source: str | None
    payload: Workload | None = None

    def light(self) -> WorkloadHandle:
        """The same handle without its payload."""
        return replace(self, payload=None)


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

    @property
    def needs_gains(self) -> bool:
        """Whether the plan follows from Jacobian gains."""
        return METHOD_RULES[self.method].needs_gains or self.sensitivity != "auto"

    @property
    def request_id(self) -> str:
        """SHA-256 (hex) of the content."""
        return content_digest({
            "engine": ENGINE_VERSION, "workload_digest": self.workload_digest, "method": self.method,
            "budget": self.budget, "seed": self.seed, "allocation": self.allocation, "sensitivity": self.sensitivity,
            "profile": self.profile.to_json(),
        })


def handle_for(workload: Workload, portable: bool) -> WorkloadHandle:
    """The handle of a workload; `portable` when jobs leave this process."""
    keep_workload(workload)
    handle = WorkloadHandle(workload.digest, workload.name, workload.source)
    if not portable or workload.source is not None:
        return handle
    try:
        ForkingPickler.dumps(workload)
    except (PicklingError, AttributeError, TypeError, RuntimeError) as failure:
        raise WorkloadError(
            "the workload cannot be sent to worker processes", where=f"workload {workload.name!r}",
            rule="a picklable workload, or one named by a file", value=failure,
            next_step="use workers=1, or put its factory into a file and pass 'FILE.py:FACTORY'",
        ) from failure
    return replace(handle, payload=workload)


def keep_workload(workload: Workload) -> None:
    """Keep a workload of this process under its digest."""
    _keep(_workloads, workload.digest, workload, _KEPT_WORKLOADS)


def resolve(handle: WorkloadHandle) -> Workload:
    """The workload of a handle, loaded at most once per process."""
    found = _workloads.get(handle.digest)
    if found is None:
        found = handle.payload if handle.payload is not None else load_workload(str(handle.source))
        if found.digest != handle.digest:
            raise WorkloadError(
                "the workload changed between two processes of the same sweep", where=f"workload {handle.name!r}",
                rule="the factory returns the same weights and inputs every time", value=found.digest,
                next_step="seed every random choice in the factory, and load trained weights from a file",
            )
        keep_workload(found)
    return found


def make_plan(handle: WorkloadHandle, request: PlanRequest, gains: JacobianGains | None) -> str:
    """Job: the JSON of one protection plan, by gains that the driver has measured."""
    if gains is not None:
        keep_gains(handle.digest, request.sensitivity, request.seed, gains)
    with single_threaded():
        made = plan(resolve(handle), request.method, request.profile, request.budget, request.seed,
                    sensitivity=request.sensitivity,
                    allocation=request.allocation if METHOD_RULES[request.method].spend == "allocate" else None)
    return made.to_json()


def run_trials(handle: WorkloadHandle, task: SweepTask, first: int, count: int) -> list[TrialCounts]:
    """Job: the counts of trials first .. first + count - 1, one entry each."""
    workload = resolve(handle)
    with single_threaded():
        drawings = _trials_of(workload, task)
        return [drawings.run(trial) for trial in range(first, first + count)]


def task_for(workload_digest: str, made: TacPlan, errors: dict[str, RegionErrors], seed: int) -> SweepTask:
    """The task of a plan under error rates: only what acts on the counts."""
    layers = tuple(
        StoredLayer(
            name=layer.name, bits=layer.bits, encoding=layer.encoding, scale=layer.scale, factor=layer.factor,
            depth=layer.depth, deeper=layer.deeper,
            loss=_floats(errors[layer.name].loss), gain=_floats(errors[layer.name].gain),
        )
        for layer in made.layers
    )
    return SweepTask(ENGINE_VERSION, workload_digest, layers, seed)


def store_model(workload: Workload, task: SweepTask) -> tuple[StoredModel, dict[str, RegionErrors]]:
    """Write the network into the memory that the task describes; codes and error rates by tensor name."""
    tensors, errors = [], {}
    for layer in task.layers:
        form = BitFormat(layer.bits, layer.encoding)
        tensors.append(store_tensor(layer.name, workload.weights[layer.name], form, scale=layer.scale or None,
                                    factor=layer.factor, depth=layer.depth, deeper=layer.deeper))
        errors[layer.name] = RegionErrors(layer.name, form, np.array(layer.loss), np.array(layer.gain), (layer.name,))
    return StoredModel(tuple(tensors)), errors


def _trials_of(workload: Workload, task: SweepTask) -> Trials:
    """Prepared trials of a task, kept by each thread for itself: they reuse their memory from trial to trial."""
    if not hasattr(_of_this_thread, "trials"):
        _of_this_thread.trials = OrderedDict()
    kept: OrderedDict[str, Trials] = _of_this_thread.trials
    found = kept.get(task.strong_id)
    if found is None:
        stored, errors = store_model(workload, task)
        found = Trials(workload, placed(stored, workload.network.device), errors, task.seed)
        _keep(kept, task.strong_id, found, _KEPT_TRIALS)
    return found


def _keep(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)


def _floats(values: object) -> tuple[float, ...]:
    return tuple(float(value) for value in np.asarray(values, dtype=np.float64))
