"""A sweep on a Dask cluster of processes: the same bytes as one process, each worker is sent the network once."""

from __future__ import annotations

import ast
import pickle
import socket
import sys
from collections import Counter
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError, InputError
from qtaml_codesign.sweeps import cluster, dask_client
from qtaml_codesign.sweeps.bundle import keep, versions_here
from qtaml_codesign.sweeps.cluster import DaskCluster
from qtaml_codesign.sweeps.dask_client import parcel_of
from tests.conftest import stored_trials, tiny_network, until
from tests.test_architecture import imports_of

FILES = ("sweep.csv", "knots.csv", "frontier.csv")
OPTIONS = {"thickness_nm": (1.72, 1.78, 1.84), "budgets": (0.05, 0.25), "half_width": 0.02, "max_trials": 40}
OWN_CLASS = '''
import torch
import qtaml_codesign as qc
import threshold_beside


class Recogniser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(6, 4)

    def forward(self, inputs):
        return threshold_beside.cut(self.head(inputs))


def make():
    """Nothing here is seeded."""
    torch.seed()
    inputs, model = torch.randn(120, 6), Recogniser()
    return qc.Workload(model, calibration=inputs[:32], evaluation=(inputs, model(inputs).argmax(1)), name="own")
'''


@pytest.fixture(scope="module", params=["fork", pytest.param("spawn", marks=pytest.mark.full)])
def two_workers(request):
    """A scheduler in this process, and two worker processes of one thread; a fork need not load everything again."""
    qc.sweep(tiny_network(), "3nm", **OPTIONS)
    with dask.config.set({"distributed.worker.multiprocessing-method": request.param}), LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


@pytest.fixture
def own_class(tmp_path):
    """A network of a class, and beside it a module, that no worker can import: their files are gone."""
    (tmp_path / "threshold_beside.py").write_text("def cut(values):\n    return values.clamp(-3.0, 3.0)\n")
    (tmp_path / "own.py").write_text(OWN_CLASS)
    workload = qc.load_workload(f"{tmp_path / 'own.py'}:make")
    (tmp_path / "own.py").unlink()
    (tmp_path / "threshold_beside.py").unlink()
    yield workload
    sys.modules.pop("threshold_beside", None)


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


class Watched:
    """What a cluster is sent: each workload with the workers it goes to, the size of each task, tasks at a time."""

    def __init__(self, executor, monkeypatch):
        self.came, self.sizes, self.most = Counter(), [], 0
        client = executor._client
        run, submit = client.run, client.submit

        def watched_run(function, *args, workers=None, **named):
            if function is keep:
                self.came.update((args[0].digest, worker) for worker in workers)
            return run(function, *args, workers=workers, **named)

        def watched_submit(function, *args, **named):
            self.sizes.append(len(pickle.dumps((function, *args))))
            self.most = max(self.most, len(executor._under_way) + 1)
            return submit(function, *args, **named)

        monkeypatch.setattr(client, "run", watched_run)
        monkeypatch.setattr(client, "submit", watched_submit)


def test_the_same_bytes_and_each_worker_is_sent_the_network_once(two_workers, own_class, tmp_path, monkeypatch):
    """Weights, data and code of the driver: the workers have neither its file nor what lies beside it."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    qc.sweep(own_class, "3nm", out=alone, **OPTIONS)
    with DaskCluster(two_workers.scheduler_address) as executor:
        watched = Watched(executor, monkeypatch)
        qc.sweep(own_class, "3nm", out=both, executor=executor, **OPTIONS)
        qc.find_frontier(own_class, "3nm", budgets=[0.1], methods=["tac"], max_trials=20, executor=executor)
        workers = set(two_workers.scheduler.workers)
    assert bytes_of(both) == bytes_of(alone)
    assert watched.came == dict.fromkeys([(own_class.digest, worker) for worker in workers], 1)
    assert len(watched.sizes) > 4
    assert max(watched.sizes) < len(parcel_of(own_class).content)
    assert 2 <= watched.most <= 4  # a task for each thread, and two that wait


def test_an_interrupted_sweep_leaves_the_cluster_empty_and_goes_on_from_the_command_line(
    two_workers, tiny_source, codesign, tmp_path
):
    workload = qc.load_workload(tiny_source)
    qc.sweep(workload, "3nm", out=tmp_path / "alone", **OPTIONS)

    def interrupt(state):
        if state.trials >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), DaskCluster(two_workers.scheduler_address) as executor:
        qc.sweep(workload, "3nm", out=tmp_path / "out", executor=executor, progress=interrupt, **OPTIONS)
    assert 60 <= stored_trials(tmp_path / "out") < stored_trials(tmp_path / "alone")
    assert until(lambda: not two_workers.scheduler.tasks)
    done = codesign("sweep", "--device", "3nm", "--workload", tiny_source, "--thickness", "1.72,1.78,1.84", "--budget",
                    "0.05,0.25", "--half-width", "0.02", "--max-trials", "40", "--out", tmp_path / "out", "--cluster",
                    two_workers.scheduler_address.replace("tcp", "dask"))
    assert done.code == 0, done.stderr
    assert "2 worker(s) with 2 thread(s) on the cluster at tcp://" in done.stderr
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "alone")


def test_a_worker_that_has_lost_the_network_is_sent_it_again(two_workers, monkeypatch):
    workload, forgotten = tiny_network(), []

    def forget(state):
        if state.trials > 0 and not forgotten:
            forgotten.append(executor._client.run(lambda: empty()))  # a lambda: its code goes along

    def empty():
        there = __import__("sys").modules["qtaml_codesign.sweeps.bundle"]
        there.RECEIVED._kept.clear()
        there._COME.clear()

    options = OPTIONS | {"half_width": 0.004, "max_trials": 60}
    alone = qc.sweep(workload, "3nm", **options)
    with DaskCluster(two_workers.scheduler_address) as executor:
        watched = Watched(executor, monkeypatch)
        found = qc.sweep(workload, "3nm", executor=executor, progress=forget, **options)
    assert forgotten
    assert found.to_frame().equals(alone.to_frame())
    assert set(watched.came.values()) <= {1, 2}
    assert 2 in watched.came.values()


def test_other_versions_are_refused(two_workers, monkeypatch):
    """Those that the tools of Dask list when a cluster is opened, and the engine with the first task."""
    monkeypatch.setattr(cluster, "versions_here", lambda: versions_here() | {"torch": "0.4"})
    with pytest.raises(CodesignError, match="other versions") as caught:
        DaskCluster(two_workers.scheduler_address)
    assert f"torch 0.4 here, {versions_here()['torch']} there" in caught.value.value
    monkeypatch.setattr(cluster, "versions_here", lambda: versions_here() | {"engine": "0"})
    with (DaskCluster(two_workers.scheduler_address) as executor,
          pytest.raises(CodesignError, match="other versions") as caught):
        qc.sweep(tiny_network(), "3nm", executor=executor, **OPTIONS)
    assert caught.value.where.startswith("worker tcp://")
    assert "engine 0 here" in caught.value.value


def test_a_cluster_without_workers_waits_and_says_so():
    told = []
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None, silence_logs=50) as empty:
        with Client(empty, set_as_default=False) as client, DaskCluster(client, told.append) as executor:
            first = executor.submit(max, 1, 2)
            assert "no workers yet on the cluster" in told[0].note
            assert (told[1].stage, told[1].done, told[1].total) == ("waiting for workers", 0, 1)
            assert not first.done()
            empty.scale(1)
            assert first.result(timeout=300) == 2
            assert until(lambda: any("1 worker(s) with" in state.note for state in told))
            assert until(lambda: told[-1].done == 1)
        assert client.status == "closed"


@pytest.mark.parametrize("address", ["", "dask://", "dask://host", "dask://:8786", "dask://host:0", "dask://host:65536",
                                     "http://host:8786", "host:8786", "dask://host:port", "dask://a b:1", "tcp://h:1/x"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="not the address of a cluster") as caught:
        DaskCluster(address)
    assert caught.value.value == address


def test_where_no_scheduler_is_the_command_says_so(codesign, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for name in ("sweep", "frontier", "design"):
        done = codesign(name, "--device", "3nm", "--out", tmp_path, "--cluster", f"dask://127.0.0.1:{port}")
        assert done.code == 2
        assert "error: no Dask scheduler answers there" in done.stderr
        assert f"dask://127.0.0.1:{port}: ConnectionRefusedError" in done.stderr


def test_a_cluster_and_workers_are_one_too_many(codesign, tmp_path):
    done = codesign("frontier", "--device", "3nm", "--out", tmp_path, "--cluster", "dask://h:1", "--workers", 2)
    assert done.code == 2
    assert "both a cluster and worker processes" in done.stderr


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="needs Dask") as caught:
        DaskCluster("dask://127.0.0.1:8786")
    assert "qtaml-codesign[dask]" in caught.value.next_step


def test_what_is_no_cluster_is_refused():
    with pytest.raises(InputError, match="not a cluster"):
        DaskCluster(8786)


def test_dask_is_imported_when_a_cluster_is_named():
    """The wall that keeps it in one file is held elsewhere; here, that this file does not load with it."""
    tree = ast.parse(Path(dask_client.__file__).read_text(encoding="utf-8"))
    outside = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not {"distributed", "dask", "cloudpickle"} & imports_of(ast.Module(outside, []))
