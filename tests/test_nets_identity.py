"""What tells networks apart beyond their tensors: forward passes, helpers, settings, the logits function."""

from __future__ import annotations

import functools
import operator
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qtaml_codesign as qc
from qtaml_codesign.nets.identity import code_identity
from qtaml_codesign.nets.workload import Workload

KEY = 20261122
ROOT = Path(__file__).parent.parent
HEAD = """
import enum
import torch
from torch import nn
from qtaml_codesign.nets.identity import code_identity

LIMIT, KINDS = 6.0, ("a", "b")
CALLS = 0

def act(x, most=None):
    return x.clamp(max=LIMIT if most is None else most)

class Round(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.round()

class Mode(enum.Enum):
    LOW, HIGH = 1, 2

class Base(nn.Module):
    factor = 1.0
    mode = Mode.LOW

    def __init__(self):
        super().__init__()
        self.most, self.options = 5.0, {"sign": [1, -1]}

    @property
    def half(self):
        return 0.5 * self.factor

    @staticmethod
    def shift(x):
        return x + 1.0

    def forward(self, x):
        return x

class Net(Base):
    def other(self, x):
        return 3.0 * x

    def forward(self, x):
        global CALLS
        CALLS += 1
        inner = lambda z: z * 2.0
        if x.dtype in {torch.float32, torch.float64} or "a" in {"a", "b", "c", "d"}:
            x = act(self.shift(x))
        return Round.apply(inner(super().forward(x)) * self.half)
"""
CHANGES = {
    "forward": ("z * 2.0", "z * 2.5"), "global": ("LIMIT, KINDS = 6.0", "LIMIT, KINDS = 7.0"),
    "function": ("LIMIT if most is None", "LIMIT if most is not None"), "default": ("most=None", "most=3.0"),
    "static": ("x + 1.0", "x + 1.5"),
    "property": ("0.5 * self", "0.6 * self"), "class": ("factor = 1.0", "factor = 2.0"),
    "parent": ("        return x\n\nclass Net", "        return -x\n\nclass Net"),
    "setting": ("self.most", "self.least"),
    "nested setting": ("[1, -1]", "[1, 1]"), "autograd": ("x.round()", "x.floor()"), "names": ("x.clamp", "x.clip"),
}
ALIKE = {
    "lines": ("LIMIT, KINDS", "\n\n# more\nLIMIT, KINDS"), "unused": ("3.0 * x", "4.0 * x"),
    "counter": ("CALLS = 0", "CALLS = 7"),
}


def identity_of(source: str, name: str = "one") -> bytes:
    space: dict[str, object] = {"__name__": name}
    exec(compile(source, f"{name}.py", "exec"), space)
    return code_identity(space["Net"](), None)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_forward_pass_computes_tells(change):
    old, new = CHANGES[change]
    assert HEAD.count(old) >= 1
    assert identity_of(HEAD.replace(old, new)) != identity_of(HEAD)


@pytest.mark.parametrize("change", ALIKE)
def test_what_it_does_not_compute_with_does_not(change):
    old, new = ALIKE[change]
    assert HEAD.count(old) == 1
    assert identity_of(HEAD.replace(old, new), "two") == identity_of(HEAD)


def test_another_process_finds_the_same():
    script = HEAD + "\nprint(code_identity(Net(), act).hex())"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "PYTHONHASHSEED": "1"})
    space: dict[str, object] = {"__name__": "elsewhere"}
    exec(compile("\n\n" + HEAD, "elsewhere.py", "exec"), space)
    assert found.stdout.strip() == code_identity(space["Net"](), space["act"]).hex()


class Times:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, z: Tensor) -> Tensor:
        return self.factor * z


def closing_over(value: object) -> object:
    return lambda z: z * value


def linear(weight: float) -> nn.Module:
    layer = nn.Linear(3, 3, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


LOGITS = [
    None, torch.tanh, torch.sigmoid, lambda z: z.softmax(-1), lambda z: z.tanh(), lambda z: 2.0 * z, lambda z: 3.0 * z,
    closing_over(2.0), closing_over(3.0), closing_over(torch.ones(3)), closing_over(2 * torch.ones(3)),
    closing_over(np.ones(3)), closing_over(2 * np.ones(3)), functools.partial(torch.mul, other=2.0),
    functools.partial(torch.mul, other=3.0), functools.partial(operator.mul, 2.0), Times(2.0), Times(3.0),
    Times(2.0).__call__, nn.Softmax(-1), nn.Softmax(1), linear(1.0), linear(2.0),
]


def test_logits_functions_tell():
    layer = nn.Linear(3, 3)
    found = [code_identity(layer, one) for one in LOGITS]
    assert len(set(found)) == len(LOGITS)
    assert found == [code_identity(layer, one) for one in LOGITS]
    assert code_identity(layer, closing_over(2.0)) == code_identity(layer, closing_over(2.0))


def hooked(hook: object) -> nn.Module:
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(hook)
    return layer


class Running(nn.Module):
    def __init__(self, run: object) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def scripted(run: object) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(torch.jit.trace(Running(run), torch.ones(2, 3)), nn.Linear(3, 3))


@pytest.mark.parametrize(("one", "same", "other"), [
    (nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 4)),
    (*(nn.TransformerEncoderLayer(8, 2, 8, norm_first=first) for first in (True, True, False)),),
    (*(hooked(lambda module, given, z, by=by: by * z) for by in (2.0, 2.0, 3.0)),),
    (*(torch.fx.symbolic_trace(Running(run)) for run in (torch.tanh, torch.tanh, torch.sigmoid)),),
    (*(scripted(run) for run in (torch.tanh, torch.tanh, torch.sigmoid)),),
], ids=["heads", "order of norms", "hook", "graph", "script"])
def test_what_the_description_of_a_module_leaves_out_tells(one, same, other):
    assert code_identity(one, None) == code_identity(same, None)
    assert code_identity(one, None) != code_identity(other, None)


class Clipped(nn.Module):
    def __init__(self, most: float) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.first, self.last, self.most = nn.Linear(20, 16), nn.Linear(16, 5), most

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)).clamp(max=self.most))


def workload(most: float = 50.0, logits: object = None) -> Workload:
    inputs = torch.randn(64, 20, generator=torch.Generator().manual_seed(KEY))
    with torch.no_grad():
        labels = Clipped(50.0)(inputs).argmax(-1)
    return Workload(Clipped(most), inputs, (inputs, labels), logits=logits)


def test_workloads_with_the_same_clean_predictions_are_told_apart():
    made = [workload(), workload(most=60.0), workload(logits=lambda z: z.softmax(-1))]
    assert all(torch.equal(one.scoring.clean_predictions, made[0].scoring.clean_predictions) for one in made)
    assert len({one.digest for one in made}) == 3
    assert workload().digest == made[0].digest


def test_a_plan_for_other_logits_is_not_taken_from_the_last_one():
    def scores(logits: object) -> dict[str, float]:
        return dict(qc.plan(workload(logits=logits), flip_probability=0.1, budget=0.05).scores)

    plain = scores(None)
    assert scores(lambda z: z.softmax(-1)) != plain == scores(None)
