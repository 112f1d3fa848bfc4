"""One trial: right counts, the same in any order and process, and no slower than it must be."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.evaluate import run_trial, single_threaded
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import Workload, load_workload


@pytest.fixture(scope="module")
def small() -> Workload:
    return load_workload("small-cnn")


def stored_as(workload: Workload, depth: int = 0) -> StoredModel:
    return StoredModel(tuple(store_tensor(name, weight, depth=depth) for name, weight in workload.weights.items()))


def rates(workload: Workload, value: float):
    return BitErrorProfile.uniform(value).assign(workload.weights)


def test_counts_of_a_trial_from_first_principles(small):
    stored, errors = stored_as(small, depth=1), rates(small, 0.1)
    counts = run_trial(small, stored, errors, seed=4, trial=2)
    read = stored.read(4, 2, errors)
    logits = small.run(small.evaluation_inputs, read.weights)
    correct = int((logits.argmax(1) == small.labels).sum())
    assert replace(counts, seconds=0.0) == TrialCounts(
        1, 360, correct, correct**2, correct**3, (logits.argmax(1) == small.labels).numpy(), 38160 * 8, 38160 * 7,
        read.flips.bits_flipped, read.flips.expected_flips, 0.0,
    )
    assert counts.seconds > 0.0
    assert counts.nominal_ber == pytest.approx(0.1, rel=1e-12)


def test_trials_do_not_depend_on_order(small):
    stored, errors = stored_as(small), rates(small, 0.05)
    forward = [run_trial(small, stored, errors, 0, trial).score for trial in range(4)]
    backward = [run_trial(small, stored, errors, 0, trial).score for trial in reversed(range(4))]
    assert forward == backward[::-1]
    assert len(set(forward)) > 1


def test_without_flips_the_quantised_network_is_as_good(small):
    counts = run_trial(small, stored_as(small), rates(small, 0.0), 0, 0)
    assert counts.bits_flipped == 0
    assert abs(counts.score - small.scoring.clean_by_group.sum()) <= 2
    protected = run_trial(small, stored_as(small, depth=8), rates(small, 0.3), 0, 0)
    assert (protected.score, protected.bits_exposed) == (counts.score, 0)


def test_flips_hurt_as_much_as_reported_for_this_network(small):
    """First reproduction: 0.26 without compensation, 0.865 with one protected plane, 0.974 with two, at p = 0.10."""
    found = []
    for depth in (0, 1, 2):
        stored, errors = stored_as(small, depth), rates(small, 0.1)
        found.append(TrialCounts.total([run_trial(small, stored, errors, 0, trial) for trial in range(12)]).interval())
    assert [interval.estimate for interval in found] == pytest.approx([0.26, 0.865, 0.974], abs=0.1)


def test_only_some_tensors_stored(small):
    part = StoredModel(tuple(tensor for tensor in stored_as(small) if tensor.name == "fc1.weight"))
    counts = run_trial(small, part, rates(small, 0.1), 0, 0)
    assert counts.bits_stored == 32768 * 8
    assert counts.score > 0.5 * 360


def test_one_thread_inside_and_the_old_number_after():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with single_threaded():
            with single_threaded():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), single_threaded():
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_overlapping_threads_restore_the_number():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with single_threaded():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    try:
        with single_threaded():
            other.start()
            inside.wait(10)
        leave.set()
        other.join()
        seen: list[int] = []
        fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert seen == [2]
    finally:
        leave.set()
        torch.set_num_threads(before)


def test_tied_weights_are_stored_and_flipped_once():
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(5, 4)
            self.head = torch.nn.Linear(4, 5, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.embedding(tokens))

    tokens = torch.arange(5)
    workload = Workload(Tied(), tokens, (tokens, tokens))
    stored = stored_as(workload)
    read = stored.read(0, 1, rates(workload, 0.2))
    counts = run_trial(workload, stored, rates(workload, 0.2), 0, 1)
    table = read.weights["embedding.weight"]
    assert counts.bits_stored == 20 * 8
    assert counts.score == int(((table @ table.T).argmax(1) == np.arange(5)).sum())
