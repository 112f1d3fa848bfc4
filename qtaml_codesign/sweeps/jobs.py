"""The jobs of a sweep: plain functions of picklable values that run in any process or thread.

A job names its workload by content. A worker gets it once, checks that it is the same to the last bit, and keeps it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.device import placed
from qtaml_codesign.nets.evaluate import Trials, single_threaded
from qtaml_codesign.nets.parcel import Parcel
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.handle import Latest, WorkloadHandle, resolve
from qtaml_codesign.sweeps.task import ENGINE_VERSION, StoredLayer, SweepTask, content_digest
from qtaml_codesign.tac.api import LayerPlan, TacPlan, plan
from qtaml_codesign.tac.methods import METHOD_RULES

_KEPT_TRIALS = 4
_of_this_thread = threading.local()


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


def make_plan(handle: WorkloadHandle | Parcel, request: PlanRequest, gains: JacobianGains | None) -> str:
    """Job: the JSON of one protection plan, by gains that the driver has measured."""
    with single_threaded():
        made = plan(resolve(handle), request.method, request.profile, request.budget, request.seed,
                    sensitivity=request.sensitivity, gains=gains,
                    allocation=request.allocation if METHOD_RULES[request.method].spend == "allocate" else None)
    return made.to_json()


def run_trials(handle: WorkloadHandle | Parcel, task: SweepTask, first: int, count: int) -> list[TrialCounts]:
    """Job: the counts of trials first .. first + count - 1, one entry each."""
    workload = resolve(handle)
    with single_threaded():
        drawings = _trials_of(workload, task)
        return [drawings.run(trial) for trial in range(first, first + count)]


def task_for(workload_digest: str, made: TacPlan, errors: dict[str, CellLaw], seed: int) -> SweepTask:
    """The task of a plan under error rates: only what acts on the counts."""
    layers = tuple(_stored_layer(layer, errors[layer.name]) for layer in made.layers)
    return SweepTask(ENGINE_VERSION, workload_digest, layers, seed)


def _stored_layer(layer: LayerPlan, rates: CellLaw) -> StoredLayer:
    return StoredLayer(
        name=layer.name, bits=layer.bits, encoding=layer.encoding, scale=layer.scale, factor=layer.factor,
        depth=layer.depth, one_to_zero=_floats(rates.one_to_zero), zero_to_one=_floats(rates.zero_to_one),
        deeper=layer.deeper,
        block=rates.block, spread=rates.spread, readout_gain=layer.gain, offset=layer.offset,
        planes=layer.planes,
    )


def store_model(workload: Workload, task: SweepTask) -> tuple[StoredModel, dict[str, CellLaw]]:
    """Write the network into the memory that the task describes; codes and error rates by tensor name."""
    tensors, errors = [], {}
    for layer in task.layers:
        form = BitFormat(layer.bits, layer.encoding)
        tensors.append(store_tensor(layer.name, workload.weights[layer.name], form, scale=layer.scale or None,
                                    factor=layer.factor, depth=layer.depth, deeper=layer.deeper,
                                    gain=layer.readout_gain, offset=layer.offset, planes=layer.planes))
        errors[layer.name] = CellLaw(layer.name, form, np.array(layer.one_to_zero), np.array(layer.zero_to_one),
                                     (layer.name,),
                                          layer.block, layer.spread)
    return StoredModel(tuple(tensors)), errors


def _trials_of(workload: Workload, task: SweepTask) -> Trials:
    """Prepared trials of a task, kept by each thread for itself: they reuse their memory from trial to trial."""
    if not hasattr(_of_this_thread, "trials"):
        _of_this_thread.trials = Latest[Trials](_KEPT_TRIALS)
    kept: Latest[Trials] = _of_this_thread.trials

    def prepared() -> Trials:
        stored, errors = store_model(workload, task)
        return Trials(workload, placed(stored, workload.network.device), errors, task.seed)

    return kept.get(task.strong_id, prepared)


def _floats(values: object) -> tuple[float, ...]:
    return tuple(float(value) for value in np.asarray(values, dtype=np.float64))
