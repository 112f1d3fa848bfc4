"""How a workload reaches the processes that work on it: by value, once, and its owner keeps what it has."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import sys
import tempfile
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.parcel import pack
from qtaml_codesign.sweeps import handle
from qtaml_codesign.sweeps.handle import Received, resolve
from qtaml_codesign.sweeps.workers import FIRST_IN_FLIGHT, Workers
from tests.conftest import FORK, tiny_network

OPTIONS = {"thickness_nm": [1.75], "budgets": [0.25], "trials": 12}

TRAINED = '''
import pathlib
import torch
import qtaml_codesign as qc


class Recogniser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(4, 16, batch_first=True)
        self.head = torch.nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def make():
    """Nothing here is seeded, and the sums may run on several threads."""
    with pathlib.Path(__file__).with_suffix(".calls").open("a") as calls:
        calls.write("called\\n")
    torch.seed()
    inputs = torch.randn(200, 8, 4)
    labels = inputs.sum(1).argmax(1)
    model = Recogniser()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    return qc.Workload(model, calibration=inputs[:32], evaluation=(inputs, labels), name="trained")


def local():
    class Net(torch.nn.Linear):
        pass

    torch.seed()
    inputs = torch.randn(20, 4)
    return qc.Workload(Net(4, 3), calibration=inputs, evaluation=(inputs, torch.zeros(20, dtype=int)))


def named_late():
    global Late

    class Late(torch.nn.Linear):
        pass

    Late.__qualname__ = "Late"
    torch.manual_seed(0)
    inputs = torch.randn(20, 4)
    return qc.Workload(Late(4, 3), calibration=inputs, evaluation=(inputs, torch.zeros(20, dtype=int)))
'''


@pytest.fixture
def trained(tmp_path):
    file = tmp_path / "trained.py"
    file.write_text(TRAINED, encoding="utf-8")
    return file


@pytest.fixture
def new_process(monkeypatch):
    """Forget what this process has received, as a worker that has just started."""
    monkeypatch.setattr(handle, "RECEIVED", Received(2))


def sweep_twice(folder):
    """Sweep a network of this process with one process and with two; write down what became of it and its weights."""
    written = []
    handle.pack = lambda workload, path: (written.append(path), pack(workload, path))[1]
    tempfile.tempdir = str(folder)
    inputs = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    module = nn.Sequential(nn.Linear(64, 1500), nn.ReLU(), nn.Linear(1500, 1500), nn.ReLU(), nn.Linear(1500, 4))
    workload = qc.Workload(module, inputs[:8], (inputs, module(inputs).argmax(1)))
    before = {name: weight.copy() for name, weight in workload.weights.items()}
    alone, both = (qc.sweep(workload, "3nm", [1.75], budgets=[0.25], methods=["uniform-msp"], trials=2, workers=number)
                   .to_frame() for number in (1, 2))
    gc.collect()
    room = [np.full(1500 * 1500, np.nan, np.float32) for _ in range(4)]
    assert all(np.array_equal(workload.weights[name], before[name]) for name in before), room[0][0]
    assert not any(parameter.is_shared() for parameter in workload.network.module.parameters())
    assert both.equals(alone)
    assert len(written) == 1


def test_a_network_built_in_python_is_written_once_and_its_weights_stay(tmp_path, started_by):
    """One process or two, the same table; the file that two need is cleared away, one process writes none.

    In a process of its own: reading memory that torch has moved away gives garbage, or ends the process.
    """
    child = FORK.Process(target=sweep_twice, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("codesign")] == []


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_factory_that_trains_is_called_once(trained, two_threads):
    """A worker takes the driver's weights and data: one process or two, the same table."""
    workload = qc.load_workload(f"{trained}:make")
    options = OPTIONS | {"methods": ["uniform-msp"]}
    alone = qc.sweep(workload, "3nm", **options)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        both = qc.sweep(workload, "3nm", executor=other, **options)
    assert both.to_frame().equals(alone.to_frame())
    assert 0.0 < alone.to_frame()["accuracy"].min() < workload.clean_accuracy
    assert trained.with_suffix(".calls").read_text() == "called\n"


def test_a_class_inside_the_factory_is_refused_with_what_to_do(trained, tmp_path, new_process):
    workload = qc.load_workload(f"{trained}:local")
    parcel = pack(workload, str(tmp_path / "parcel"))
    assert parcel.content is None
    with pytest.raises(WorkloadError, match="changed between two processes") as caught:
        resolve(parcel)
    assert "local.<locals>.Net" in caught.value.value
    assert "at the top level of a file" in caught.value.next_step
    assert "save the weights, and load them" in caught.value.next_step


@pytest.mark.parametrize("metric", ["accuracy", "perplexity", "top-2"])
def test_a_class_that_only_the_factory_makes_is_made_again(metric, trained, tmp_path, new_process, monkeypatch):
    """It is written in this process, and cannot be read where the factory has not run."""
    workload = qc.load_workload(f"{trained}:named_late").with_metric(metric)
    parcel = pickle.loads(pickle.dumps(pack(workload, str(tmp_path / "parcel"))))
    assert parcel.content is not None
    for name in [name for name in sys.modules if name.startswith("_qtaml_codesign_workload")]:
        monkeypatch.delitem(sys.modules, name)
    found = resolve(parcel)
    assert found is not workload
    assert (found.digest, found.metric) == (workload.digest, workload.metric)


def test_a_file_is_imported_and_its_factory_not_called(trained, tmp_path, new_process, monkeypatch):
    workload = qc.load_workload(f"{trained}:make")
    parcel = pack(workload, str(tmp_path / "parcel"))
    for name in [name for name in sys.modules if name.startswith("_qtaml_codesign_workload")]:
        monkeypatch.delitem(sys.modules, name)
    found = resolve(parcel)
    assert (found.digest, found.source, found.name) == (workload.digest, workload.source, "trained")
    assert trained.with_suffix(".calls").read_text() == "called\n"
    assert len(pickle.dumps(parcel)) < 1000


def test_a_job_takes_a_parcel_along_and_not_the_workload(tmp_path, new_process):
    """What is pickled, with whatever executor, is a few hundred bytes that lead to the file."""
    workload = tiny_network()
    with Workers(workload) as workers:
        assert resolve(workers.handle) is workload
        sent = pickle.dumps((workers.handle, 1))
        assert len(sent) < 1000
        found = resolve(pickle.loads(sent)[0])
        assert found is not workload
        assert found.digest == workload.digest
        assert resolve(pickle.loads(sent)[0]) is found


def test_a_logits_function_without_a_name_stays_at_home():
    inputs, module = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
        module.bias.zero_()
    workload = qc.Workload(module, inputs, (inputs, module(inputs).argmax(1)), logits=lambda output: output * 2.0)
    qc.sweep(workload, "3nm", **OPTIONS)
    with pytest.raises(WorkloadError, match="cannot be sent") as caught:
        qc.sweep(workload, "3nm", workers=2, **OPTIONS)
    assert "workers=1" in caught.value.next_step


class Elsewhere(Executor):
    """One worker on another machine: what reaches it is bytes, and files of this one are not there."""

    def __init__(self, monkeypatch):
        self.sizes = []
        self._monkeypatch = monkeypatch

    def submit(self, fn, /, *args, **kwargs):
        sent = pickle.dumps((fn, args, kwargs))
        self.sizes.append(len(sent))
        future: Future[object] = Future()
        with self._monkeypatch.context() as there:
            there.setattr(Path, "is_file", lambda path: False)
            function, arguments, named = pickle.loads(sent)
            try:
                future.set_result(function(*arguments, **named))
            except Exception as failure:
                future.set_exception(pickle.loads(pickle.dumps(failure)))
        return future


def test_another_machine_gets_the_workload_once(new_process, monkeypatch):
    workload, executor = tiny_network(), Elsewhere(monkeypatch)
    alone = qc.sweep(workload, "3nm", **OPTIONS)
    assert qc.sweep(workload, "3nm", executor=executor, **OPTIONS).to_frame().equals(alone.to_frame())
    size = len(pickle.dumps(workload))
    heavy = [sent for sent in executor.sizes if sent > size // 2]
    assert len(executor.sizes) >= 4
    # the jobs that were under way when the first of them was turned back, and no other
    assert 1 <= len(heavy) <= FIRST_IN_FLIGHT
    assert executor.sizes[-1] < size // 2


def test_bytes_of_a_workload_share_no_memory_with_it():
    workload = tiny_network()
    again = pickle.loads(pickle.dumps(workload))
    assert again.digest == workload.digest
    for name, weight in workload.weights.items():
        assert not workload.network.module.get_parameter(name).is_shared()
        assert weight.ctypes.data == workload.network.module.get_parameter(name).data_ptr()
        assert again.weights[name].ctypes.data != weight.ctypes.data


def test_nothing_is_written_for_jobs_of_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    workload = tiny_network()
    with Workers(workload) as one:
        assert resolve(one.handle) is workload
        left = [file.name for file in tmp_path.iterdir() if file.name.startswith("codesign")]
    assert left == []
