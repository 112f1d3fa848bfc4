"""An executor that this package has never seen: jobs as bytes over a line, to machines that share nothing."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future

import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError
from tests.conftest import ROOT, tiny_network

OPTIONS = {"thickness_nm": [1.75], "budgets": [0.125, 0.25], "trials": 12}
REMOTE = """
import os, pickle, struct, sys
line, sys.stdout = sys.stdout.buffer, sys.stderr
while head := sys.stdin.buffer.read(8):
    function, arguments, named = pickle.loads(sys.stdin.buffer.read(*struct.unpack("q", head)))
    try:
        answer = pickle.dumps((function(*arguments, **named), None))
    except Exception as failure:
        answer = pickle.dumps((None, failure))
    line.write(struct.pack("q", len(answer)) + answer)
    line.flush()
"""


class Cluster(Executor):
    """Interpreters, fed through pipes; written with the standard library alone."""

    def __init__(self, machines: int) -> None:
        self.waiting = self.most = 0
        self._count = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[bytes, Future[object]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(machines)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn, /, *args, **kwargs):
        assert self._threads, "it was shut down"
        future: Future[object] = Future()
        with self._count:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        self._queue.put((pickle.dumps((fn, args, kwargs)), future))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _serve(self) -> None:
        command = [sys.executable, "-c", REMOTE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}) as machine:
            while (item := self._queue.get()) is not None:
                message, future = item
                machine.stdin.write(len(message).to_bytes(8, sys.byteorder) + message)
                machine.stdin.flush()
                size = int.from_bytes(machine.stdout.read(8), sys.byteorder)
                result, failure = pickle.loads(machine.stdout.read(size))
                with self._count:
                    self.waiting -= 1
                future.set_exception(failure) if failure else future.set_result(result)
            machine.stdin.close()


@pytest.mark.parametrize("machines", [1, pytest.param(2, marks=pytest.mark.full)])
def test_a_sweep_runs_on_an_executor_of_ones_own(machines):
    """The same table to the last bit, with two jobs at a time for each machine; it is left running."""
    workload = tiny_network()
    alone = qc.sweep(workload, "3nm", **OPTIONS)
    with Cluster(machines) as cluster:
        found = qc.sweep(workload, "3nm", executor=cluster, workers=machines, **OPTIONS)
        assert cluster.submit(max, 1, 2).result() == 2
    assert found.to_frame().equals(alone.to_frame())
    assert 1 <= cluster.most <= 2 * machines


class Here(Executor):
    """Runs a job when it is submitted, in this process."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future[object] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_an_executor_of_this_process_needs_nothing_that_can_be_pickled():
    network = tiny_network()
    parts, named = network.parts()
    local = qc.Workload(*parts, **{**named, "logits": lambda output: output * 2.0})
    alone = qc.sweep(local, "3nm", **OPTIONS)
    assert qc.sweep(local, "3nm", executor=Here(), **OPTIONS).to_frame().equals(alone.to_frame())


def test_what_is_no_executor_is_refused():
    with pytest.raises(InputError, match="not an executor"):
        qc.sweep(tiny_network(), "3nm", executor=object(), **OPTIONS)
