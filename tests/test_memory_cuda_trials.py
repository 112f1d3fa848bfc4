"""Whole trials with flips drawn on the device: the same counts as on the host, in evaluate and in a sweep's jobs."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.memory import deploy
from qtaml_codesign.memory.cuda_reader import CudaReader, DeviceCells
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.nets.zoo import trained_network
from qtaml_codesign.sweeps.jobs import run_trials, task_for
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac.evaluation import laws_for
from tests.in_memory import network_stored, uniform
from tests.test_memory_cuda import GPU, on_each_device


@pytest.fixture
def drawn_there(monkeypatch):
    """The device path also for networks on the CPU; counts the tensors drawn there."""
    monkeypatch.setattr(deploy, "DRAWS_THERE", {"cuda", "cpu"})
    drawn, original = [], DeviceCells.read

    def read(cells, trial):
        drawn.append(cells.shape)
        return original(cells, trial)

    monkeypatch.setattr(DeviceCells, "read", read)
    return drawn


def plan_for(workload, method="tac"):
    return qc.plan(workload, method=method, flip_probability=0.05, budget=0.1)


def without_time(counts):
    return replace(counts, seconds=0.0)


@pytest.mark.parametrize("name", ["small-cnn", "transformer"])
def test_evaluate_gives_the_counts_of_the_host(name, request):
    workload = load_workload(name)
    made = plan_for(workload)
    here = qc.evaluate(workload, made, flip_probability=0.05, trials=3, seed=8)
    drawn = request.getfixturevalue("drawn_there")
    there = qc.evaluate(workload, made, flip_probability=0.05, trials=3, seed=8)
    assert len(drawn) == 3 * len(workload.weights)
    assert there.score_by_trial == here.score_by_trial
    assert without_time(there.counts) == without_time(here.counts)


@pytest.mark.parametrize(("method", "noise"), [("uniform-msp-fractional", None), ("tac", "clusters-16"),
                                               ("tac", "cell-variation-0.3")])
def test_what_is_read_on_the_host_gives_the_same_counts_too(method, noise, request):
    workload = load_workload("small-cnn")
    made = plan_for(workload, method)
    here = qc.evaluate(workload, made, flip_probability=0.05, trials=2, noise=noise)
    request.getfixturevalue("drawn_there")
    there = qc.evaluate(workload, made, flip_probability=0.05, trials=2, noise=noise)
    assert without_time(there.counts) == without_time(here.counts)


def test_the_jobs_of_a_sweep_draw_there_once_placed(drawn_there, monkeypatch):
    workload = load_workload("small-cnn")
    made = plan_for(workload)
    tasks = [task_for(workload.digest, made, laws_for(workload, made, 0.05), seed) for seed in (21, 22)]
    del drawn_there[:]
    there = run_trials(Workers(workload).handle, tasks[0], 0, 2)
    assert len(drawn_there) == 2 * len(workload.weights)
    evaluated = qc.evaluate(workload, made, flip_probability=0.05, trials=2, seed=21)
    assert [counts.score for counts in there] == list(evaluated.score_by_trial)
    monkeypatch.setattr(deploy, "DRAWS_THERE", set())
    del drawn_there[:]
    run_trials(Workers(workload).handle, tasks[1], 0, 1)
    assert drawn_there == []


@on_each_device
def test_tensors_replace_weights_like_arrays(where):
    module = torch.nn.Linear(3, 2).double().to(where)
    inputs = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    workload = Workload(module, inputs, (inputs, torch.zeros(7, dtype=torch.int64)))
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    as_tensor = {"weight": torch.from_numpy(weights).to(where)}
    assert torch.equal(workload.run(inputs, as_tensor), workload.run(inputs, {"weight": weights}))
    with pytest.raises(WorkloadError, match="wrong shape"):
        workload.run(inputs, {"weight": torch.zeros(3, 2)})


@GPU
def test_a_network_on_the_gpu_is_evaluated_under_the_flips_of_the_host():
    """The flips are the same to the last bit; logits are sums in another order, so a few answers may differ."""
    here = load_workload("small-cnn")
    there = Workload(copy.deepcopy(trained_network("small-cnn")).cuda(), here.calibration,
                     (here.evaluation_inputs, here.labels), name="small-cnn")
    model = network_stored(here, uniform(0.05), depth=1)
    reader = model.prepare(0, there.network.device)
    assert isinstance(reader, CudaReader)
    assert all(weights.is_cuda for weights in reader.read(0).weights.values())
    for trial in range(3):
        on_gpu, on_cpu = (Trials(workload, model, 0).run(trial) for workload in (there, here))
        assert (on_gpu.bits_exposed, on_gpu.bits_flipped) == (on_cpu.bits_exposed, on_cpu.bits_flipped)
        assert on_gpu.expected_flips == on_cpu.expected_flips
        assert abs(on_gpu.score - on_cpu.score) <= 3
    made = plan_for(here)
    on_gpu, on_cpu = (qc.evaluate(workload, made, flip_probability=0.05, trials=2) for workload in (there, here))
    assert on_gpu.counts.bits_flipped == on_cpu.counts.bits_flipped
