"""The networks of the zoo: sizes of the paper, clean accuracies, data without leaks, building without side effects."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.architectures import sinusoidal_positions
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.zoo import ZOO, digits, sequences, trained_network

SIZES = {
    "small-cnn": [144, 4608, 32768, 640],
    "wide-cnn": [288, 18432, 131072, 1280],
    "deep-cnn": [144, 2304, 4608, 9216, 32768, 640],
    "res-cnn": [288, 9216, 9216, 9216, 9216, 32768, 640],
    "transformer": [480, 6912, 2304, 4608, 4608, 6912, 2304, 4608, 4608, 480],
}
CLEAN = {"small-cnn": 354, "wide-cnn": 358, "deep-cnn": 356, "res-cnn": 356, "transformer": 1000}


@pytest.mark.parametrize("name", ZOO)
def test_sizes_and_clean_accuracy(name):
    workload = load_workload(name)
    assert [weight.size for weight in workload.weights.values()] == SIZES[name]
    right = workload.scoring.clean_by_group.sum()
    assert abs(right - CLEAN[name]) <= 1  # another machine may round one logit the other way
    assert workload.samples == (1000 if name == "transformer" else 360)
    assert workload.source == workload.name == name
    assert all(weight.dtype == np.float32 for weight in workload.weights.values())


def test_calibration_inputs_are_not_in_the_evaluation_set():
    for name in ("small-cnn", "transformer"):
        workload = load_workload(name)
        assert workload.calibration.shape[0] == 64
        evaluation = {row.numpy().tobytes() for row in workload.evaluation_inputs}
        assert not any(row.numpy().tobytes() in evaluation for row in workload.calibration)


def test_digits_are_split_by_class_and_scaled():
    train, evaluation = digits("train"), digits("evaluation")
    assert (len(train.labels), len(evaluation.labels)) == (1437, 360)
    assert (float(train.inputs.min()), float(train.inputs.max())) == (0.0, 1.0)
    counts = torch.bincount(evaluation.labels)
    assert int(counts.min()) >= 34
    assert int(counts.max()) <= 38


def test_sequences_are_fixed_and_labelled_by_their_ends():
    first, again = sequences("evaluation", 50), sequences("evaluation", 50)
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, sequences("train", 50).inputs)
    ends = first.inputs[:, 0] + first.inputs[:, 15]
    assert torch.equal(first.labels, ends - 10 * (ends >= 10))
    assert set(first.inputs.unique().tolist()) == set(range(10))


def test_positions_against_the_formula():
    table = sinusoidal_positions(16, 48)
    for position, column in ((0, 0), (3, 6), (15, 47)):
        angle = position / 10000 ** (2 * (column // 2) / 48)
        expected = np.sin(angle) if column % 2 == 0 else np.cos(angle)
        assert float(table[position, column]) == pytest.approx(expected, abs=1e-5)


def test_batch_norms_bring_their_running_statistics():
    network = trained_network("small-cnn")
    assert not torch.equal(network.norm1.running_var, torch.ones(16))
    assert int(network.norm1.num_batches_tracked) == 30 * 23


def test_loading_changes_no_global_state():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    before, threads = np.random.get_state()[2], torch.get_num_threads()
    for name in ZOO:
        load_workload(name)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert np.random.get_state()[2] == before
    assert random.getstate() == states[2]
    assert torch.get_num_threads() == threads


def test_unknown_name_gets_near_matches():
    with pytest.raises(WorkloadError, match=r"did you mean small-cnn") as caught:
        load_workload("smal-cnn")
    assert "FILE.py:FACTORY" in str(caught.value)
