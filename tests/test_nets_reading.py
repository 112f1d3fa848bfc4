"""Right answers are counted as the slow way counts them; replicas forget nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from qtaml_codesign.nets.labels import count_right, group_index, predictions
from qtaml_codesign.nets.replica import Replica


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
    groups = group_index(labels)
    right = np.zeros(groups.max() + 1, np.int64)
    count_right(logits, labels, groups, right)
    return right.tolist()


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (7, 7), (512, 512), (513, 512), (1500, 512)])
def test_groups_of_samples_are_even_shares_of_the_first_axis(rows, groups):
    index = group_index(torch.zeros(rows, 3, dtype=torch.int64))
    assert (index == index[:, :1]).all()
    sizes = np.bincount(index[:, 0])
    assert (sizes.size, sizes.max() - sizes.min() <= 1) == (groups, True)


def test_groups_of_a_sorted_evaluation_set_mix_its_classes():
    """Runs of a set sorted by class would be clusters of one class each, and its order would widen the interval."""
    labels = torch.arange(10).repeat_interleave(1000)
    index = group_index(labels)
    assert max(len(set(labels.numpy()[index == group])) for group in range(512)) > 5
    assert (index == group_index(labels)).all()


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
