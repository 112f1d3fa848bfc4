"""Workers of a sweep: jobs that fail, that end their worker, and how many are in flight."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from functools import partial
from typing import ClassVar

import pytest

from qtaml_codesign.errors import CodesignError
from qtaml_codesign.sweeps import workers
from qtaml_codesign.sweeps.pool import WorkerPool
from qtaml_codesign.sweeps.workers import Job, Workers
from tests.test_sweeps_kill import NETWORK, jobs


def broken():
    raise ValueError("one bad job")


def test_a_failing_job_does_not_take_its_neighbours_along():
    gate, results = threading.Event(), []

    def slow():
        gate.wait(5.0)
        return "slow"

    def fail():
        gate.set()
        return broken()

    with ThreadPoolExecutor(3) as executor, pytest.raises(ValueError, match="one bad job"):
        Workers(NETWORK, executor=executor).drain(
            jobs(slow, lambda: "quick", fail), lambda done: results.extend(value for _, value in done)
        )
    assert sorted(results) == ["quick", "slow"]


@pytest.mark.parametrize(("told", "most"), [(3, 6), (None, 64)])
def test_number_of_jobs_in_flight_is_bounded(told, most):
    """Two for each worker that the caller tells of; else no more than the executor can run at once, here."""
    begun, lock, handed = [0, 0], threading.Lock(), []

    def work():
        with lock:
            begun[0] += 1
            begun[1] = max(begun[1], begun[0])
        time.sleep(0.001)
        with lock:
            begun[0] -= 1

    with ThreadPoolExecutor(64) as executor:
        Workers(NETWORK, told, executor).drain(jobs(*[work] * 200), handed.extend)
    assert len(handed) == 200
    assert begun[1] <= most


def test_a_job_that_ends_its_worker_every_time_is_given_up(started_by):
    results, deadly = [], Job(("deadly",), partial(os._exit, 9), (), "the deadly job")
    waiting = [Job(("before",), max, (1, 2)), deadly, *(Job((n,), max, (n, 3)) for n in range(6))]
    with Workers(NETWORK, workers=2) as two, pytest.raises(CodesignError, match="worker process 3 times") as caught:
        two.drain(lambda: waiting.pop(0) if waiting else None, results.extend)
    assert (caught.value.where, caught.value.value) == ("the deadly job", "ended by exit code 9")
    assert "what was finished is kept" in caught.value.next_step
    assert "__main__" not in str(caught.value)
    assert deadly not in [job for job, _ in results]
    assert len(two.notes) == 2


class Together(WorkerPool):
    """Everything in flight runs at once, when it is waited for; a deadly job takes the others along."""

    could_not_start, end = False, "exit code 9"
    calls: ClassVar[dict[Future, partial]] = {}

    def __init__(self, workers, file):
        """No process."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.calls[future] = partial(fn, *args, **kwargs)
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Nothing to end."""

    @classmethod
    def wait(cls, running, **_):
        deadly = any(cls.calls[future].func is os._exit for future in running)
        for future in running:
            if deadly:
                future.set_exception(BrokenExecutor())
            else:
                future.set_result(cls.calls[future]())
        return set(running), set()


def test_a_job_is_not_blamed_for_its_neighbour(monkeypatch):
    """After the first loss each job of that moment runs alone."""
    monkeypatch.setattr(workers, "WorkerPool", Together)
    monkeypatch.setattr(workers, "wait", Together.wait)
    results, deadly = [], Job(("deadly",), os._exit, (9,), "the deadly job")
    waiting = [Job(("beside",), max, (1, 2)), deadly, Job(("after",), max, (3, 4))]
    with Workers(NETWORK, workers=2) as two, pytest.raises(CodesignError, match="worker process 3 times") as caught:
        two.drain(lambda: waiting.pop(0) if waiting else None, results.extend)
    assert caught.value.where == "the deadly job"
    assert [job.key for job, _ in results] == [("beside",), ("after",)]


def test_workers_killed_before_their_first_job_are_replaced(started_by):
    results, waiting = [], [Job((n,), max, (n, 1)) for n in range(4)]

    def next_job():
        if len(waiting) == 3:  # the first job has started the pool
            for worker in multiprocessing.active_children():
                worker.kill()
        return waiting.pop(0) if waiting else None

    with Workers(NETWORK, workers=2) as two:
        two.drain(next_job, results.extend)
    assert sorted(value for _, value in results) == [1, 1, 2, 3]
