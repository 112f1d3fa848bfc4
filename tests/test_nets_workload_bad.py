"""Workloads that cannot work are refused with an error that says where and what to do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from qtaml_codesign.errors import CodesignError, WorkloadError
from qtaml_codesign.nets.workload import Workload

X = torch.arange(24.0).reshape(8, 3) / 24.0
Y = torch.zeros(8, dtype=torch.long)


def linear(**change: object) -> nn.Module:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    for name, value in change.items():
        setattr(model, name, value)
    return model


class Custom(nn.Module):
    """A linear layer whose output another function turns into something else."""

    def __init__(self, after: object) -> None:
        super().__init__()
        self.layer = linear()
        self.after = after

    def forward(self, x: torch.Tensor) -> object:
        return self.after(self.layer(x))  # type: ignore[operator]


class Projecting(nn.Module):
    """Draws a projection in its first forward pass and keeps it: every copy of it would have another."""

    def __init__(self):
        super().__init__()
        self.linear, self.kept = nn.Linear(3, 2), None

    def forward(self, x):
        if self.kept is None:
            self.kept = torch.rand(2)
        return self.linear(x) * self.kept


class Counting(nn.Module):
    """Keeps a count between calls, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(x) * self.calls


class Phase(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.to(torch.complex64) @ self.weight).real


def filled(value: float) -> nn.Module:
    model = linear()
    nn.init.constant_(model.weight, value)
    return model


def broken_running_statistics() -> nn.Module:
    model = nn.Sequential(linear(), nn.BatchNorm1d(2))
    model[1].running_var.fill_(math.nan)
    return model


def with_lock() -> nn.Module:
    import threading

    return linear(lock=threading.Lock())


def test_the_good_workload_of_this_file_is_good():
    assert Workload(linear(), X, (X, Y)).samples == 8


# model, calibration, evaluation, more, what the first line says, what the next step mentions
BAD = {
    "no module": (lambda x: x, X, (X, Y), {}, "not a torch module", "module"),
    "class, not instance": (nn.Linear, X, (X, Y), {}, "not a torch module", "Net()"),
    "sparse inputs": (linear(), X.to_sparse(), (X, Y), {}, "an input is not a tensor", "one batch"),
    "inputs without numbers": (linear(), X.to("meta"), (X, Y), {}, "an input is not a tensor", "one batch"),
    "labels without numbers": (linear(), X, (X, Y.to("meta")), {}, "labels are not whole", "labels.long()"),
    "no weights": (nn.ReLU(), X, (X, Y), {}, "no weight tensor", "tensors="),
    "only norms": (nn.BatchNorm1d(3), X, (X, Y), {}, "no weight tensor", "tensors="),
    "no patterns": (linear(), X, (X, Y), {"tensors": []}, "no weight tensor", "tensors="),
    "unknown pattern": (linear(), X, (X, Y), {"tensors": ["wieght"]}, "no parameter has", "did you mean weight"),
    "complex weights": (Phase(), X, (X, Y), {}, "real floating-point", "tensors="),
    "nan weight": (filled(math.nan), X, (X, Y), {}, "not a finite number", "train"),
    "infinite weight": (filled(math.inf), X, (X, Y), {}, "not a finite number", "train"),
    "cannot be copied": (with_lock(), X, (X, Y), {}, "cannot be copied", "plain module"),
    "nan logits": (broken_running_statistics(), X, (X, Y), {}, "not finite", "running statistics"),
    "empty calibration": (linear(), X[:0], (X, Y), {}, "no inputs", "one sample"),
    "empty evaluation": (linear(), X, (X[:0], Y[:0]), {}, "no inputs", "one sample"),
    "empty tuple": (linear(), (), (X, Y), {}, "no inputs|same samples", "sample"),
    "text as input": (linear(), "digits", (X, Y), {}, "not a tensor", "batch"),
    "scalar input": (linear(), torch.tensor(1.0), (X, Y), {}, "not a tensor", "batch"),
    "ragged inputs": (linear(), (X, X[:3]), (X, Y), {}, "same samples", "first axis"),
    "wrong width": (linear(), X[:, :2], (X, Y), {}, "fails on these inputs", "shapes"),
    "wrong width in evaluation": (linear(), X, (X[:, :2], Y), {}, "fails on these inputs", "shapes"),
    "no pair": (linear(), X, X, {}, "not a pair", "(inputs, labels)"),
    "too few labels": (linear(), X, (X, Y[:7]), {}, "differ in number", "same samples"),
    "one-hot labels": (linear(), X, (X, torch.eye(2, dtype=torch.long)[Y]), {}, "one-hot", "argmax"),
    "float labels": (linear(), X, (X, Y.float()), {}, "not whole numbers", "labels.long()"),
    "no labels": (linear(), X, (X, None), {}, "not a pair", "metric='agreement'"),
    "label too large": (linear(), X, (X, Y + 2), {}, "outside of the classes", "from 0"),
    "ignored label": (linear(), X, (X, Y - 100), {}, "outside of the classes", "from 0"),
    "returns two": (Custom(lambda z: {"a": z, "b": z}), X, (X, Y), {}, "cannot be told", "logits="),
    "one logit": (Custom(lambda z: z[:, :1]), X, (X, Y + 2), {}, "form of logits", "logits="),
    "flat output": (Custom(lambda z: z[:, 0]), X, (X, Y), {}, "form of logits", "logits="),
    "summed output": (Custom(lambda z: z.sum(0, keepdim=True)), X, (X, Y), {}, "form of logits", "logits="),
    "class numbers": (Custom(lambda z: (z > 0).long()), X, (X, Y), {}, "form of logits", "logits="),
    "logits function fails": (linear(), X, (X, Y), {"logits": lambda z: z.scores}, "logits function", "one batch"),
    "dropout in eval": (Custom(lambda z: nn.functional.dropout(z, 0.5)), X, (X, Y), {}, "not repeatable", "dropout"),
    "draws in vain": (Custom(lambda z: z + 0.0 * torch.rand(1)), X, (X, Y), {}, "not repeatable", "sampling"),
    "draws at first": (Projecting(), X, (X, Y), {}, "not repeatable", "sampling"),
    "state in forward": (Counting(), X, (X, Y), {}, "not repeatable", "state"),
    "batch size": (linear(), X, (X, Y), {"batch_size": 0}, "batch size", "512"),
    "name": (linear(), X, (X, Y), {"name": " "}, "name of a workload", "name="),
    "floor of unknown tensor": (linear(), X, (X, Y), {"residual_floors": {"weigth": 1}}, "no stored tensor", "weight"),
    "floor out of bounds": (linear(), X, (X, Y), {"residual_floors": {"weight": -1}}, "out of bounds", "MSB"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_workloads_are_refused(case):
    model, calibration, evaluation, more, message, next_step = BAD[case]
    seeds = torch.get_rng_state()
    with pytest.raises(WorkloadError, match=message) as caught:
        Workload(model, calibration, evaluation, **more)
    error = caught.value
    assert next_step in error.next_step
    assert all(str(part) for part in (error.what, error.where, error.rule))
    assert torch.equal(torch.get_rng_state(), seeds), "random state changed although the workload was refused"


def test_the_cause_is_kept_and_the_shape_named():
    with pytest.raises(WorkloadError) as caught:
        Workload(linear(), X[:, :2], (X, Y))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.value == "float32 (8, 2)"
    assert caught.value.where == "Linear.forward"


def test_interrupts_pass_through():
    def interrupted(_: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workload(Custom(interrupted), X, (X, Y))


def test_replaced_weights_are_checked():
    workload = Workload(linear(), X, (X, Y))
    with pytest.raises(CodesignError, match="no stored tensor"):
        workload.run(X, {"bias": workload.weights["weight"]})
    with pytest.raises(CodesignError, match="wrong shape"):
        workload.run(X, {"weight": workload.weights["weight"].T})


def test_ragged_labels_are_refused() -> None:
    with pytest.raises(CodesignError, match="is not an array"):
        Workload(linear(), X, (X, [[0]] * 7 + [[0, 1]]))
