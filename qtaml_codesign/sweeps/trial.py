"""The jobs of a sweep: plain functions of picklable values that run in any process or thread.

A job names its workload by content. A worker gets it once, checks that it is the same to the last bit, and keeps it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.profile import BitErrorProfile, RegionErrors
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.device import placed
from qtaml_codesign.nets.evaluate import Trials, single_threaded
from qtaml_codesign.nets.parcel import TOP_LEVEL, pack, unpack
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.sweeps.task import ENGINE_VERSION, StoredLayer, SweepTask, content_digest
from qtaml_codesign.tac.baselines import METHOD_RULES
from qtaml_codesign.tac.plan import LayerPlan, TacPlan, plan
from qtaml_codesign.tac.planner import keep_gains

T = TypeVar("T")

_KEPT_WORKLOADS = 2
_KEPT_TRIALS = 4
_workloads: OrderedDict[str, Workload] = OrderedDict()
_loading = threading.Lock()
_of_this_thread = threading.local()


class WorkloadAbsentError(WorkloadError):
    """The file of a parcel is not there: the job runs on another machine and needs the bytes themselves."""


@dataclass(frozen=True)
class WorkloadHandle:
    """A workload by its digest, and how a process that does not have it yet gets it.

    Args:
        digest: `Workload.digest`.
        name: for messages.
        source: zoo name or "FILE.py:FACTORY", or None for one that was built in Python.
        workload: itself, as long as the jobs stay in this process.
        portable: True when jobs leave this process; `sent` makes the handle that they take along.
        parcel: path of a file that holds the workload by value, or the bytes of that file.
        obstacle: why there is no parcel.
    """

    digest: str
    name: str
    source: str | None
    workload: Workload | None = None
    portable: bool = False
    parcel: str | bytes | None = None
    obstacle: str = ""

    def sent(self, folder: str) -> WorkloadHandle:
        """The handle for other processes: the workload written to a file in `folder`, or by name for the zoo's."""
        away = replace(self, workload=None)
        if self.workload is None or (self.source is not None and ":" not in self.source):
            return away
        path = str(Path(folder) / f"{self.digest}.pt")
        try:
            pack(self.workload, path)
        except WorkloadError as failure:
            if self.source is None:
                raise
            return replace(away, obstacle=failure.what)
        return replace(away, parcel=path)

    def by_value(self) -> WorkloadHandle:
        """The same handle with the bytes of the file in it."""
        return replace(self, parcel=Path(self.parcel).read_bytes()) if isinstance(self.parcel, str) else self


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
    return WorkloadHandle(workload.digest, workload.name, workload.source, workload, portable)


def resolve(handle: WorkloadHandle) -> Workload:
    """The workload of a handle, brought into a process at most once."""
    if handle.workload is not None:
        return handle.workload
    with _loading:
        if handle.digest not in _workloads:
            _keep(_workloads, handle.digest, _received(handle), _KEPT_WORKLOADS)
        return _workloads[handle.digest]


def _received(handle: WorkloadHandle) -> Workload:
    """The workload as it was sent; from its source where nothing was sent, or another came out."""
    found, obstacle = _unpacked(handle)
    if (found is None or found.digest != handle.digest) and handle.source is not None:
        found = load_workload(handle.source)
    assert found is not None
    if found.digest != handle.digest:
        raise WorkloadError(
            "the workload changed between two processes of the same sweep", where=f"workload {handle.name!r}",
            rule="every process works on the same weights and inputs",
            value=f"the factory made another one in the worker process; it was not sent by value because: {obstacle}",
            next_step=f"{TOP_LEVEL}; or train once, save the weights, and load them in the factory; or use one worker",
        )
    return found


def _unpacked(handle: WorkloadHandle) -> tuple[Workload | None, str]:
    """What the parcel holds, and why that may not serve."""
    if handle.parcel is None:
        return None, handle.obstacle
    if isinstance(handle.parcel, str) and not Path(handle.parcel).is_file():
        raise WorkloadAbsentError(
            "the file of the workload is not on this machine", where=handle.parcel, rule="a file that can be read",
            value=handle.name, next_step="the job is sent again with the workload in it",
        )
    try:
        return unpack(handle.parcel, handle.source), "sent by value, it came out different"
    except WorkloadError as failure:
        if handle.source is None:
            raise
        return None, failure.what


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
    layers = tuple(_stored_layer(layer, errors[layer.name]) for layer in made.layers)
    return SweepTask(ENGINE_VERSION, workload_digest, layers, seed)


def _stored_layer(layer: LayerPlan, rates: RegionErrors) -> StoredLayer:
    return StoredLayer(
        name=layer.name, bits=layer.bits, encoding=layer.encoding, scale=layer.scale, factor=layer.factor,
        depth=layer.depth, loss=_floats(rates.loss), gain=_floats(rates.gain), deeper=layer.deeper,
        block=rates.block, spread=rates.spread, readout_gain=layer.gain, offset=layer.offset,
        planes=layer.planes,
    )


def store_model(workload: Workload, task: SweepTask) -> tuple[StoredModel, dict[str, RegionErrors]]:
    """Write the network into the memory that the task describes; codes and error rates by tensor name."""
    tensors, errors = [], {}
    for layer in task.layers:
        form = BitFormat(layer.bits, layer.encoding)
        tensors.append(store_tensor(layer.name, workload.weights[layer.name], form, scale=layer.scale or None,
                                    factor=layer.factor, depth=layer.depth, deeper=layer.deeper,
                                    gain=layer.readout_gain, offset=layer.offset, planes=layer.planes))
        errors[layer.name] = RegionErrors(layer.name, form, np.array(layer.loss), np.array(layer.gain), (layer.name,),
                                          layer.block, layer.spread)
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
