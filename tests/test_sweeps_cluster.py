"""A sweep on a Dask cluster of processes: the same bytes as one process, each worker is sent the network once."""

from __future__ import annotations

import ast
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError, InputError, WorkloadError
from qtaml_codesign.nets.parcel import Parcel, WorkloadAbsentError
from qtaml_codesign.sweeps import bundle, cluster, dask_client
from qtaml_codesign.sweeps.bundle import Bundle, Label, Outcome, keep, run_bundle, versions_here
from qtaml_codesign.sweeps.cluster import DaskCluster
from qtaml_codesign.sweeps.dask_client import parcel_of
from qtaml_codesign.sweeps.handle import Received
from tests.conftest import ROOT, stored_trials, tiny_network, until
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


class Task:
    """A future of Dask, settled by the test."""

    def __init__(self, key, sent):
        self.key, self.sent, self.status, self._told = key, sent, "pending", None

    def add_done_callback(self, function):
        self._told = function

    def result(self, timeout=None):
        if self.status == "cancelled":
            raise OSError("cancelled")
        return self._outcome

    def exception(self):
        return self._outcome

    def settle(self, status, outcome=None):
        self.status, self._outcome = status, outcome
        self._told(self)


class Elsewhere:
    """A client whose tasks stay as they are until the test settles them."""

    def __init__(self, threads=2):
        self.status, self.scheduler = "running", SimpleNamespace(address="tcp://elsewhere:1")
        self.threads, self.tasks, self.cancelled = threads, [], []

    def nthreads(self):
        return {"tcp://worker:1": self.threads}

    def get_versions(self, packages):
        return {"workers": {}}

    def submit(self, function, sent, name, key, pure):
        self.tasks.append(Task(key, sent))
        return self.tasks[-1]

    def cancel(self, futures):
        self.cancelled += futures

    def done(self, seconds):
        """The tasks that are there now end well, each call after so many seconds."""
        for task in [task for task in self.tasks if task.status == "pending"]:
            task.settle("finished", [Outcome(max(arguments), None, seconds) for _, arguments in task.sent.calls])


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(cluster, "connected", lambda where: where)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.01)
    return Elsewhere()


def sizes(tasks):
    return [len(task.sent.calls) for task in tasks]


def test_calls_whose_result_is_lost_with_the_scheduler_end(elsewhere):
    """The scheduler is given up while a task's result is being fetched: its calls are in no list just then."""
    with DaskCluster(elsewhere) as executor:
        future = executor.submit(max, 1, 0)
        (task,) = elsewhere.tasks

        def lost(timeout):
            elsewhere.status = "closed"
            executor._give_up()
            while "codesign-cluster" in [thread.name for thread in threading.enumerate()]:  # it looks once more
                time.sleep(0.01)
            raise TimeoutError

        task.result = lost
        task.settle("finished", [])
        with pytest.raises(CodesignError, match="has gone"):
            future.result(timeout=5.0)


def test_calls_wait_when_the_connection_is_lost_as_they_are_sent(elsewhere, monkeypatch):
    send, failures = elsewhere.submit, [OSError("gone"), OSError("gone")]

    def submit(*given, **named):
        if failures:
            raise failures.pop()
        return send(*given, **named)

    monkeypatch.setattr(elsewhere, "submit", submit)
    with DaskCluster(elsewhere) as executor:
        future = executor.submit(max, 7, 0)
        while not elsewhere.tasks:
            assert not future.done()
            time.sleep(0.01)
        elsewhere.done(0.1)
        assert future.result(timeout=5.0) == 7


def test_calls_are_put_together_until_a_task_takes_two_seconds(elsewhere):
    with DaskCluster(elsewhere) as executor:
        futures = [executor.submit(max, number, 0) for number in range(100)]
        assert sizes(elsewhere.tasks) == [1, 1, 1, 1]  # nothing is known of their length yet
        elsewhere.done(0.25)
        assert sizes(elsewhere.tasks)[4:] == [8, 8, 8, 8]
        while not futures[-1].done():
            assert len(executor._under_way) <= 4
            elsewhere.done(0.25)
        assert max(sizes(elsewhere.tasks)) == 8
        assert [future.result() for future in futures] == list(range(100))
    assert sum(sizes(elsewhere.tasks)) == 100


def test_the_last_calls_are_shared_out(elsewhere):
    with DaskCluster(elsewhere) as executor:
        futures = [executor.submit(max, number, 0) for number in range(12)]
        while not all(future.done() for future in futures):
            elsewhere.done(0.001)
    assert sizes(elsewhere.tasks) == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1] or max(sizes(elsewhere.tasks)) <= 2


def test_what_a_lost_connection_cancels_is_sent_again(elsewhere):
    told = []
    with DaskCluster(elsewhere, told.append) as executor:
        first = executor.submit(max, 1, 2)
        elsewhere.status = "connecting"
        elsewhere.tasks[0].settle("cancelled")
        assert until(lambda: any("is lost: waiting until it is back" in state.note for state in told))
        assert len(elsewhere.tasks) == 1
        elsewhere.status = "running"
        assert until(lambda: len(elsewhere.tasks) == 2)
        elsewhere.done(0.1)
        assert first.result() == 2


def test_a_scheduler_that_does_not_come_back_ends_the_run(elsewhere):
    with DaskCluster(elsewhere) as executor:
        first = executor.submit(max, 1, 2)
        elsewhere.status = "closed"
        with pytest.raises(CodesignError, match="scheduler of the cluster has gone") as caught:
            first.result(timeout=300)
        assert "what was finished is kept" in caught.value.next_step
        with pytest.raises(CodesignError, match="scheduler of the cluster has gone"):
            executor.submit(max, 1, 2).result(timeout=300)


def test_of_a_task_that_workers_die_of_each_call_is_tried_alone(elsewhere):
    """The one that is to blame is told, and the others are done."""
    killed = KilledWorker("task", SimpleNamespace(address="tcp://worker:1"), 3)
    with DaskCluster(elsewhere) as executor:
        futures = [executor.submit(max, number, 0) for number in range(20)]
        elsewhere.done(0.1)
        task = elsewhere.tasks[4]
        assert sizes([task]) == [4]
        task.settle("error", killed)
        alone = [task for task in elsewhere.tasks if task.status == "pending" and task.sent.calls[0][1] == (4, 0)]
        assert sizes(alone) == [1]
        alone[0].settle("error", killed)
        while not all(future.done() for future in futures):
            elsewhere.done(0.1)
        assert [future.result() for future in futures[:4] + futures[5:]] == [*range(4), *range(5, 20)]
        with pytest.raises(CodesignError, match="a task failed on the cluster") as caught:
            futures[4].result()
    assert "KilledWorker" in caught.value.value


def test_a_call_is_not_sent_for_ever(elsewhere):
    with DaskCluster(elsewhere) as executor:
        first = executor.submit(max, 1, 2)
        while not first.done():
            elsewhere.tasks[-1].settle("cancelled")
        with pytest.raises(CodesignError, match="a task failed"):
            first.result()
    assert len(elsewhere.tasks) == 10


def test_cancelled_calls_are_seen_to_be_gone(elsewhere):
    """Whoever waits for all calls after an interrupt need not wait for those that had not begun."""
    executor = DaskCluster(elsewhere)
    futures = [executor.submit(max, number, 0) for number in range(8)]
    assert [future.cancel() for future in futures] == [False] * 4 + [True] * 4
    assert wait(futures[4:], timeout=300).not_done == set()
    executor.shutdown(cancel_futures=True)
    assert [task.key for task in elsewhere.cancelled] == [task.key for task in elsewhere.tasks]
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(max, 1, 2)


def broken():
    raise ValueError("one bad call")


def test_a_failing_call_leaves_those_of_its_task_alone():
    found = run_bundle(Bundle(((max, (1, 2)), (broken, ()), (min, (1, 2))), versions_here()), lambda: "here")
    assert [one.value for one in found] == [2, None, 1]
    assert str(found[1].failure) == "one bad call"


def test_a_workload_is_opened_once_and_its_bytes_are_let_go(monkeypatch):
    opened = []
    monkeypatch.setattr(bundle, "RECEIVED", Received(2))
    monkeypatch.setattr(Parcel, "open", lambda parcel: opened.append(parcel) or tiny_network())
    sent, one = parcel_of(tiny_network()), Label(tiny_network().digest)
    calls = Bundle(((lambda handle: handle.workload.samples, (one,)),) * 3, versions_here())
    with pytest.raises(WorkloadAbsentError) as caught:
        run_bundle(calls, lambda: "tcp://worker:1")
    assert (caught.value.where, caught.value.value) == ("tcp://worker:1", one.digest)
    keep(sent)
    assert [outcome.value for outcome in run_bundle(calls, lambda: "here")] == [120] * 3
    assert opened == [sent]
    assert one.digest not in bundle._COME


class Kept:
    """Cannot be pickled."""

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("it stays here")


def test_what_cannot_be_pickled_is_told(elsewhere):
    workload = tiny_network()
    workload.network.module.kept = Kept()
    with DaskCluster(elsewhere) as executor, pytest.raises(WorkloadError, match="cannot be sent"):
        qc.sweep(workload, "3nm", executor=executor, **OPTIONS)


class Reassigned(SchedulerPlugin):
    """Counts the tasks that a lost worker had, and another one got."""

    def __init__(self):
        self.tasks = Counter()

    def transition(self, key, start, finish, *args, **kwargs):
        if start == "processing" and finish == "released" and str(key).startswith("codesign-calls"):
            self.tasks[key] += 1


LONG = OPTIONS | {"half_width": 0.004, "max_trials": 60}


@pytest.mark.full
def test_a_worker_killed_three_times_changes_nothing(tmp_path):
    """SIGKILL, each time to a worker at work; what is repeated are the tasks that it had."""
    workload, again, killed = tiny_network(), Reassigned(), []
    alone = qc.sweep(workload, "3nm", out=tmp_path / "alone", **LONG)
    with dask.config.set({"distributed.worker.multiprocessing-method": "fork"}), LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as workers:
        workers.scheduler.add_plugin(again)
        with DaskCluster(workers.scheduler_address) as executor:

            def kill(state):
                busy = [one for one in workers.scheduler.workers.values() if one.processing]
                if busy and state.trials >= 200 * (len(killed) + 1) and len(killed) < 3:
                    busy = max(busy, key=lambda one: len(one.processing))
                    killed.append(workers.workers[busy.name].pid)
                    os.kill(killed[-1], signal.SIGKILL)

            found = qc.sweep(workload, "3nm", out=tmp_path / "out", executor=executor, progress=kill, **LONG)
            most = executor.most
    assert len(set(killed)) == 3
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "alone")
    assert found.counts.trials == alone.counts.trials
    assert sum(again.tasks.values()) <= 3 * most


@pytest.mark.full
def test_a_scheduler_that_is_started_again_goes_on(tmp_path):
    """Its workers end with it; new ones are started, and the run goes on to the same bytes."""
    workload, restarted = tiny_network(), []
    qc.sweep(workload, "3nm", out=tmp_path / "alone", **LONG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    running = started(port)
    try:
        assert until(lambda: answers(port))
        with DaskCluster(f"dask://127.0.0.1:{port}") as executor:

            def restart(state):
                if state.trials >= 400 and not restarted:
                    restarted.append(state.trials)
                    running[0].kill()
                    running[0].wait()
                    running.extend(started(port))

            qc.sweep(workload, "3nm", out=tmp_path / "out", executor=executor, progress=restart, **LONG)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert restarted
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "alone")


def started(port):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    commands = [["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
                ["dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny", "--no-dashboard"]]
    return [subprocess.Popen([sys.executable, "-m", f"distributed.cli.{name}", *rest], env=environment,
                             stderr=subprocess.DEVNULL) for name, *rest in commands]


def answers(port):
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
