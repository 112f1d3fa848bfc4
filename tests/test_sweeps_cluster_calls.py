"""Calls on their way to a cluster: put together, sent again, ended, against a client whose tasks the test settles."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from types import SimpleNamespace

import pytest
from distributed import KilledWorker

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError, WorkloadError
from qtaml_codesign.nets.parcel import Parcel, WorkloadAbsentError
from qtaml_codesign.sweeps import bundle, cluster
from qtaml_codesign.sweeps.bundle import Bundle, Label, Outcome, keep, run_bundle, versions_here
from qtaml_codesign.sweeps.cluster import DaskCluster
from qtaml_codesign.sweeps.dask_client import parcel_of
from qtaml_codesign.sweeps.handle import Received
from tests.conftest import tiny_network, until
from tests.test_sweeps_cluster import OPTIONS


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
    assert max(sizes(elsewhere.tasks)) <= 2


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
