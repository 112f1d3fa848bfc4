"""One trial: right counts, the same in any order and process, and no slower than it must be."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from qtaml_codesign.bits.noise import noise_model
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from tests.in_memory import network_stored, uniform


def test_counts_of_a_trial_from_first_principles(small):
    model = network_stored(small, uniform(0.1), depth=1)
    counts = Trials(small, model, seed=4).run(2)
    read = model.prepare(4).read(2)
    right = (small.run(small.evaluation_inputs, read.weights).argmax(1) == small.labels).numpy()
    correct = int(right.sum())
    assert replace(counts, seconds=0.0) == TrialCounts(
        1, 360, correct, correct**2, correct**3, right, 38160 * 8, 38160 * 7, read.bits_flipped, model.expected_flips,
        0.0,
    )
    assert counts.seconds > 0.0
    assert counts.nominal_ber == pytest.approx(0.1, rel=1e-12)


def test_trials_do_not_depend_on_order(small):
    trials = Trials(small, network_stored(small, uniform(0.05)), seed=0)
    forward = [trials.run(trial).score for trial in range(4)]
    assert forward == [trials.run(trial).score for trial in reversed(range(4))][::-1]
    assert len(set(forward)) > 1


def test_without_flips_the_quantised_network_is_as_good(small):
    counts = Trials(small, network_stored(small, uniform(0.0)), 0).run(0)
    assert counts.bits_flipped == 0
    assert abs(counts.score - small.scoring.clean_by_group.sum()) <= 2
    protected = Trials(small, network_stored(small, uniform(0.3), depth=8), 0).run(0)
    assert (protected.score, protected.bits_exposed) == (counts.score, 0)


def test_flips_hurt_as_much_as_reported_for_this_network(small):
    """First reproduction: 0.26 without compensation, 0.865 with one protected plane, 0.974 with two, at p = 0.10."""
    found = []
    for depth in (0, 1, 2):
        trials = Trials(small, network_stored(small, uniform(0.1), depth=depth), 0)
        found.append(TrialCounts.total([trials.run(trial) for trial in range(12)]).interval())
    assert [interval.estimate for interval in found] == pytest.approx([0.26, 0.865, 0.974], abs=0.1)


def test_only_some_tensors_stored(small):
    groups = network_stored(small, uniform(0.1)).groups
    part = DeployedModel(tuple(group for group in groups if group.name == "fc1.weight"))
    counts = Trials(small, part, 0).run(0)
    assert counts.bits_stored == 32768 * 8
    assert counts.score > 0.5 * 360


def test_a_noise_model_reaches_the_trial(small):
    """Runs of sixteen weights that flip together hurt otherwise than single ones, at the same number of flips."""
    model, sizes = network_stored(small, uniform(0.1)), {name: w.size for name, w in small.weights.items()}
    laws = noise_model("clusters-16").apply_to({group.name: group.law for group in model.groups}, sizes)
    tied = DeployedModel(tuple(replace(group, law=laws[group.name]) for group in model.groups))
    one, other = Trials(small, model, 0).run(0), Trials(small, tied, 0).run(0)
    assert (one.expected_flips, one.bits_exposed) == (other.expected_flips, other.bits_exposed)
    assert one.bits_flipped != other.bits_flipped


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
    model = network_stored(workload, uniform(0.2))
    table = model.prepare(0).read(1).weights["embedding.weight"]
    counts = Trials(workload, model, 0).run(1)
    assert counts.bits_stored == 20 * 8
    assert counts.score == int(((table @ table.T).argmax(1) == tokens).sum())
