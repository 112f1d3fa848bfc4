"""Whole trials with flips drawn on the device: the same counts as on the host, in evaluate and in a sweep's jobs."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets import device
from qtaml_codesign.nets.evaluate import run_trial
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.nets.zoo import trained_network
from qtaml_codesign.sweeps.handle import handle_for
from qtaml_codesign.sweeps.jobs import run_trials, task_for
from qtaml_codesign.tac.evaluation import errors_for
from tests.test_nets_device import GPU, on_each_device


@pytest.fixture
def drawn_there(monkeypatch):
    """The device path also for networks on the CPU; counts the tensors drawn there."""
    monkeypatch.setattr(device, "DRAWS_THERE", {"cuda", "cpu"})
    drawn, original = [], device.DeviceCodes.read

    def read(codes, *arguments):
        drawn.append(codes.shape)
        return original(codes, *arguments)

    monkeypatch.setattr(device.DeviceCodes, "read", read)
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
    tasks = [task_for(workload.digest, made, errors_for(workload, made, 0.05), seed) for seed in (21, 22)]
    there = run_trials(handle_for(workload, portable=False), tasks[0], 0, 2)
    assert len(drawn_there) == 2 * len(workload.weights)
    evaluated = qc.evaluate(workload, made, flip_probability=0.05, trials=2, seed=21)
    assert [counts.score for counts in there] == list(evaluated.score_by_trial)
    monkeypatch.setattr(device, "DRAWS_THERE", set())
    del drawn_there[:]
    run_trials(handle_for(workload, portable=False), tasks[1], 0, 1)
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
    stored = StoredModel(tuple(store_tensor(name, w, depth=1) for name, w in here.weights.items()))
    placed = device.placed(stored, there.network.device)
    assert isinstance(placed, device.DeviceModel)
    errors = BitErrorProfile.uniform(0.05).assign(here.weights)
    for trial in range(3):
        assert all(weights.is_cuda for weights in placed.read(0, trial, errors).weights.values())
        on_gpu, on_cpu = run_trial(there, placed, errors, 0, trial), run_trial(here, stored, errors, 0, trial)
        assert (on_gpu.bits_exposed, on_gpu.bits_flipped) == (on_cpu.bits_exposed, on_cpu.bits_flipped)
        assert on_gpu.expected_flips == on_cpu.expected_flips
        assert abs(on_gpu.score - on_cpu.score) <= 3
    made = plan_for(here)
    on_gpu, on_cpu = (qc.evaluate(workload, made, flip_probability=0.05, trials=2) for workload in (there, here))
    assert on_gpu.counts.bits_flipped == on_cpu.counts.bits_flipped
