"""Trials prepared once give the counts of `StoredModel.read`, whatever is read apart; replicas forget nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.noise import noise_model
from qtaml_codesign.nets import reading
from qtaml_codesign.nets.evaluate import Trials
from qtaml_codesign.nets.metric import ACCURACY
from qtaml_codesign.nets.reading import TrialReader
from qtaml_codesign.nets.replica import Replica
from qtaml_codesign.nets.scoring import add_scores, group_index, predictions
from qtaml_codesign.nets.storage import StoredModel, store_tensor
from qtaml_codesign.nets.workload import load_workload


def stored_model(workload, bits=8, depth=1, deeper=0, encoding="offset_binary"):
    form = BitFormat(bits, encoding)
    return StoredModel(tuple(store_tensor(name, weights, form, depth=depth, deeper=deeper)
                             for name, weights in workload.weights.items()))


def same(workload, stored, errors, trials=(0, 7, 2**63)):
    reader = TrialReader(stored, errors, seed=3)
    for trial in trials:
        quick, slow = reader.read(trial), stored.read(3, trial, errors)
        assert quick.weights.keys() == slow.weights.keys()
        for name, weights in slow.weights.items():
            np.testing.assert_array_equal(quick.weights[name].numpy(), weights)
            assert quick.flips.by_plane[name].tolist() == slow.flips.by_plane[name].tolist()
        for field in ("bits_exposed", "bits_flipped", "expected_flips"):
            assert getattr(quick.flips, field) == getattr(slow.flips, field)


@pytest.mark.parametrize("case", [
    {}, {"bits": 5}, {"bits": 8, "encoding": "sign_magnitude", "depth": 0}, {"bits": 12}, {"bits": 16, "depth": 16},
    {"depth": 8}, {"deeper": 10}, {"bits": 2, "depth": 2},
])
def test_a_prepared_reading_is_the_reading(case):
    workload = load_workload("small-cnn")
    errors = BitErrorProfile.uniform(0.07, BitFormat(case.get("bits", 8), case.get("encoding", "offset_binary")))
    same(workload, stored_model(workload, **case), errors.assign(workload.weights))


def test_the_flips_of_a_reading_outlive_the_next_one():
    workload = load_workload("small-cnn")
    reader = TrialReader(stored_model(workload), BitErrorProfile.uniform(0.1).assign(workload.weights), seed=0)
    first = reader.read(0)
    kept = {name: planes.tolist() for name, planes in first.flips.by_plane.items()}
    reader.read(1)
    assert {name: planes.tolist() for name, planes in first.flips.by_plane.items()} == kept


@pytest.mark.parametrize("limit", [0, 100, 10_000])
def test_large_tensors_are_read_apart(limit, monkeypatch):
    monkeypatch.setattr(reading, "LARGEST_PACKED", limit)
    workload = load_workload("small-cnn")
    same(workload, stored_model(workload), BitErrorProfile.uniform(0.1).assign(workload.weights))


@pytest.mark.parametrize("noise", ["cell-variation-0.3", "clusters-16"])
def test_unlike_cells_are_read_apart(noise):
    workload = load_workload("small-cnn")
    sizes = {name: weight.size for name, weight in workload.weights.items()}
    errors = noise_model(noise).apply_to(BitErrorProfile.uniform(0.1).assign(workload.weights), sizes, 0)
    same(workload, stored_model(workload), errors, trials=(0,))


def test_planes_and_directions_have_their_own_rates():
    workload = load_workload("small-cnn")
    rates = np.linspace(0.0, 0.3, 8)
    errors = BitErrorProfile.uniform(rates).assign(workload.weights)
    same(workload, stored_model(workload, depth=0), errors)


def test_trials_count_what_the_slow_way_counts():
    workload = load_workload("small-cnn")
    stored, errors = stored_model(workload, depth=0), BitErrorProfile.uniform(0.05).assign(workload.weights)
    trials = Trials(workload, stored, errors, seed=0)
    for trial in (5, 0, 5):
        logits = workload.run(workload.evaluation_inputs, stored.read(0, trial, errors).weights)
        assert trials.run(trial).score == int((predictions(logits) == workload.labels).sum())


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.randoms(use_true_random=False))
def test_right_answers_are_first_largest_logits_and_never_nan(rows, classes, random):
    choices = [0.0, 1.0, 1.0, -1.0, float("nan"), float("inf"), float("-inf"), -0.0]
    logits = torch.tensor([[random.choice(choices) for _ in range(classes)] for _ in range(rows)])
    labels = torch.tensor([random.randrange(classes) for _ in range(rows)])
    expected = (predictions(logits) == labels).int()
    assert right_of(logits, labels) == expected.tolist() == right_of(logits.double(), labels)
    assert right_of(logits.half(), labels) == expected.tolist()
    twice = (logits[None].expand(2, -1, -1), labels[None].expand(2, -1))
    assert right_of(*twice) == [int(expected.sum())] * 2 == right_of(twice[0].half(), twice[1])


def right_of(logits, labels):
    groups = group_index(tuple(labels.shape))
    right = np.zeros(groups.max() + 1, np.int64)
    add_scores(ACCURACY, logits, labels, groups, right)
    return right.tolist()


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (7, 7), (512, 512), (513, 512), (1500, 512)])
def test_groups_of_samples_are_even_shares_of_the_first_axis(rows, groups):
    index = group_index((rows, 3))
    assert (index == index[:, :1]).all()
    sizes = np.bincount(index[:, 0])
    assert (sizes.size, sizes.max() - sizes.min() <= 1) == (groups, True)


def test_groups_of_a_sorted_evaluation_set_mix_its_classes():
    """Runs of a set sorted by class would be clusters of one class each, and its order would widen the interval."""
    labels = torch.arange(10).repeat_interleave(1000)
    index = group_index(tuple(labels.shape))
    assert max(len(set(labels.numpy()[index == group])) for group in range(512)) > 5
    assert (index == group_index(tuple(labels.shape))).all()


class Stateful(nn.Module):
    """Writes into one buffer, replaces another, and uses one weight in two places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.seen += 1.0
        self.calls = self.calls + 1.0
        y = nn.functional.batch_norm(self.first(x), self.norm.running_mean, self.norm.running_var, training=True)
        return self.second(y) + self.norm(y) + self.seen + self.calls


@pytest.mark.parametrize("weights", [{}, {"first.weight": torch.full((4, 4), 0.3)},
                                     {"first.weight": torch.eye(4), "first.bias": torch.ones(4)}])
def test_a_replica_is_functional_call_with_fresh_buffers_each_time(weights):
    torch.manual_seed(0)
    module, x = Stateful().eval(), torch.randn(5, 4)
    before = copy.deepcopy(module.state_dict())
    with torch.inference_mode():
        state = {name: value.clone() for name, value in module.named_buffers()}
        expected = functional_call(copy.deepcopy(module), {**state, **weights}, (x,))
        replica = Replica(module)
        for _ in range(3):
            with replica.with_weights(weights) as swapped:
                torch.testing.assert_close(swapped(x), expected, rtol=0.0, atol=0.0)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_failing_forward_pass_puts_the_weights_back():
    module = nn.Linear(3, 2)
    replica = Replica(module)
    with pytest.raises(RuntimeError), replica.with_weights({"weight": torch.zeros(2, 3)}) as swapped:
        swapped(torch.zeros(1, 7))
    with replica.with_weights({}) as swapped:
        assert torch.equal(swapped(torch.ones(1, 3)), module(torch.ones(1, 3)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused_in_words():
    module = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    replica = Replica(module)
    with pytest.raises(RuntimeError, match="Jitted"), replica.with_weights({"0.weight": torch.zeros(2, 3)}) as swapped:
        swapped(torch.zeros(1, 3))
