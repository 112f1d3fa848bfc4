"""Workers and schedulers that are killed in the middle of a sweep."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter

import dask
import pytest
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

import qtaml_codesign as qc
from qtaml_codesign.sweeps.cluster import DaskCluster
from tests.conftest import ROOT, tiny_network, until
from tests.test_sweeps_cluster import OPTIONS, bytes_of


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
