"""FILE.py:FACTORY: what works, and every way in which it does not."""

from __future__ import annotations

import pickle
import random
import sys

import numpy as np
import pytest
import torch

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.loading import load_workload

NET = '''
import torch
import qtaml_codesign as qc
from sibling import CLASSES

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, CLASSES)

    def forward(self, x):
        return self.layer(x)

def make():
    torch.manual_seed(0)
    x = torch.rand(8, 3)
    return qc.Workload(Net(), calibration=x, evaluation=(x, torch.zeros(8, dtype=int)), name="mine")

def number():
    return 3

def raises():
    return {}["key"]

def needs(argument):
    return argument

def leaves():
    raise SystemExit(3)

constant = 1
'''

LOCAL = '''
import torch
import qtaml_codesign as qc

def make():
    class Net(torch.nn.Linear):
        pass

    torch.manual_seed(0)
    x = torch.rand(8, 3)
    return qc.Workload(Net(3, 2), calibration=x, evaluation=(x, torch.zeros(8, dtype=int)))
'''


@pytest.fixture
def file(tmp_path):
    (tmp_path / "sibling.py").write_text("CLASSES = 2\n")
    path = tmp_path / "net.py"
    path.write_text(NET)
    yield path
    sys.modules.pop("sibling", None)


def test_a_factory_is_called_once_and_what_it_made_travels(file):
    paths, states = list(sys.path), (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    workload = load_workload(f"{file}:make")
    assert (workload.name, workload.source) == ("mine", f"{file}:make")
    again = pickle.loads(pickle.dumps(workload))
    assert (again.digest, again.source) == (workload.digest, workload.source)
    assert sys.path == paths
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])


def test_relative_paths_become_absolute(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert load_workload("net.py:make").source == f"{file.resolve()}:make"


def test_an_edited_factory_does_not_change_what_was_sent(file):
    workload = load_workload(f"{file}:make")
    sent = pickle.dumps(workload)
    file.write_text(NET.replace("manual_seed(0)", "manual_seed(17)"))
    assert pickle.loads(sent).digest == workload.digest


def test_a_class_inside_the_factory_travels_by_source_and_an_edit_is_seen(file):
    file.write_text(LOCAL)
    workload = load_workload(f"{file}:make")
    sent = pickle.dumps(workload)
    assert pickle.loads(sent).digest == workload.digest
    file.write_text(LOCAL.replace("manual_seed(0)", "manual_seed(17)"))
    with pytest.raises(WorkloadError, match="changed between two processes"):
        pickle.loads(sent)


def test_a_workload_passes_through(file):
    workload = load_workload(f"{file}:make")
    assert load_workload(workload) is workload


@pytest.mark.parametrize(
    ("factory", "message", "next_step"),
    [
        (":mkae", "no such function", "did you mean make"),
        (":constant", "no such function", "number"),
        (":_hidden", "no such function", "make"),
        (":", "not named", "known: Net, leaves, make"),
        ("", "not named", "make"),
        (":number", "returns something else", "return Workload"),
        (":raises", "KeyError: 'key'", "traceback"),
        (":needs", "missing 1 required positional argument", "traceback"),
        (":leaves", "SystemExit: 3", "traceback"),
    ],
)
def test_bad_factories(file, factory, message, next_step):
    with pytest.raises(WorkloadError, match=message) as caught:
        load_workload(f"{file}{factory}")
    assert next_step in caught.value.next_step


def test_bad_files(file):
    with pytest.raises(WorkloadError, match="does not exist") as caught:
        load_workload(f"{file.parent / 'nett.py'}:make")
    assert "did you mean net.py" in caught.value.next_step
    with pytest.raises(WorkloadError, match="not a Python file"):
        load_workload(f"{file.parent / 'net.txt'}:make")
    with pytest.raises(WorkloadError, match="does not exist") as caught:
        load_workload(f"{file.parent / 'nowhere' / 'net.py'}:make")
    assert "no Python file" in caught.value.next_step
    (file.parent / "torn.py").write_text("def make(:\n")
    with pytest.raises(WorkloadError, match="SyntaxError") as caught:
        load_workload(f"{file.parent / 'torn.py'}:make")
    assert isinstance(caught.value.__cause__, SyntaxError)
    private = [module for name, module in sys.modules.items() if name.startswith("_qtaml_codesign_workload")]
    assert not any(str(module.__file__).endswith("torn.py") for module in private)


def test_other_types_are_refused():
    with pytest.raises(WorkloadError, match="named by a text"):
        load_workload(torch.nn.Linear(3, 2))  # type: ignore[arg-type]
