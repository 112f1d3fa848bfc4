"""Right answers are counted as the slow way counts them; replicas forget nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.nets.metric import ACCURACY
from qtaml_codesign.nets.scoring import add_scores, group_index, predictions


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
