"""Kill a sweep at random moments, interrupt it, lose a worker: what was finished stays, and the answer is the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError
from qtaml_codesign.nets.evaluate import Trials
from qtaml_codesign.sweeps import collect, crew
from qtaml_codesign.sweeps.crew import Crew, Job
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.trial import WorkloadHandle
from tests.conftest import ROOT, TINY_WORKLOAD

FILES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png")
ARGUMENTS = {"thickness_nm": np.linspace(1.72, 1.84, 6), "budgets": (0.05, 0.125, 0.25), "half_width": 0.004,
             "max_trials": 160}
KILLS = 10
HANDLE = WorkloadHandle("none", "none", None)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    file = tmp_path_factory.mktemp("network") / "tiny.py"
    file.write_text(TINY_WORKLOAD, encoding="utf-8")
    return f"{file}:make"


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """An uninterrupted run."""
    torch.set_num_threads(1)
    network, folder = qc.load_workload(source), tmp_path_factory.mktemp("whole")
    return network, folder, qc.sweep(network, "3nm", out=folder, **ARGUMENTS)


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def rows(folder):
    path = folder / "results.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(path, timeout=20.0) as database:
        try:
            return database.execute("SELECT count(*) FROM trial").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def wait_for(folder, child, trials, pause):
    """Until the store holds that many trials (or the child has ended), and a little longer."""
    deadline = time.monotonic() + 60.0
    while rows(folder) < trials and child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(pause)


def slow_sweep(network, folder):
    """In a process of its own: trials of a millisecond, so that whoever watches the store gets to read it."""
    run = Trials.run

    def slow(self, trial):
        time.sleep(0.001)
        return run(self, trial)

    Trials.run = slow
    qc.sweep(network, "3nm", out=folder, **ARGUMENTS)


def test_kill_nine_ten_times_then_resume(whole, tmp_path):
    """Each process is killed at a moment drawn anew (fixed seed), wherever it is: planning, computing, writing.

    The moments are counted in stored trials, not in seconds, so that a slow machine is killed in the same places.
    """
    network, folder, result = whole
    fork, rng = multiprocessing.get_context("fork"), random.Random(11)
    moments = sorted([0, 0, *(rng.randrange(1, result.new_trials * 9 // 10) for _ in range(KILLS - 2))])
    seen = []
    for moment in moments:
        child = fork.Process(target=partial(slow_sweep, network, tmp_path))
        child.start()
        wait_for(tmp_path, child, moment, rng.uniform(0.0, 0.02))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        seen.append(rows(tmp_path))
    assert seen == sorted(seen)
    assert len(set(seen)) >= 3, f"the kills hit too few different moments: {seen}"
    assert not (tmp_path / "sweep.csv").exists() or seen[-1] == result.new_trials
    resumed = qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS)
    assert bytes_of(tmp_path) == bytes_of(folder)
    assert seen[-1] + resumed.new_trials == rows(tmp_path) == rows(folder) == result.new_trials
    assert qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS).new_trials == 0
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "run.json", "results.sqlite"}


def test_two_workers_killed_with_their_parent_leave_nobody_behind(whole, source, tmp_path):
    """The command line with two processes: SIGKILL the parent, its workers end; the rest runs to the same bytes."""
    folder = whole[1]
    command = [sys.executable, "cli.py", "sweep", "--device", "3nm", "--workload", source, "--out", str(tmp_path),
               "--budget", "0.05,0.125,0.25", "--half-width", "0.004", "--max-trials", "160", "--workers", "2",
               "--thickness", "1.72:1.84:6"]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60.0
    while rows(tmp_path) < 100 and parent.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = children_of(parent.pid)
    parent.kill()
    parent.wait()
    assert len(workers) >= 2
    assert rows(tmp_path) >= 100
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(folder)
    assert rows(tmp_path) == rows(folder)


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(text) for text in found.stdout.split()]


def alive(pid):
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")


def test_interrupt_keeps_what_was_finished(whole, tmp_path, monkeypatch):
    network, folder, _ = whole
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return original(*arguments)

    original = collect.run_trials
    monkeypatch.setattr(collect, "run_trials", interrupted)
    with pytest.raises(KeyboardInterrupt):
        qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS)
    monkeypatch.undo()
    assert rows(tmp_path) == 60
    assert not (tmp_path / "sweep.csv").exists()
    qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS)
    assert bytes_of(tmp_path) == bytes_of(folder)


def jobs(*functions):
    waiting = [Job((index,), function, ()) for index, function in enumerate(functions)]
    return lambda: waiting.pop(0) if waiting else None


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
        Crew(HANDLE, executor=executor).drain(
            jobs(slow, lambda: "quick", fail), lambda done: results.extend(value for _, value in done)
        )
    assert sorted(results) == ["quick", "slow"]


def test_number_of_jobs_in_flight_is_bounded():
    begun, lock, handed = [0, 0], threading.Lock(), []

    def work():
        with lock:
            begun[0] += 1
            begun[1] = max(begun[1], begun[0])
        time.sleep(0.001)
        with lock:
            begun[0] -= 1

    with ThreadPoolExecutor(64) as executor:
        Crew(HANDLE, executor=executor).drain(jobs(*[work] * 200), handed.extend)
    assert len(handed) == 200
    assert begun[1] <= 2 * (os.cpu_count() or 1)


def test_a_worker_that_dies_is_reported():
    results = []
    with Crew(HANDLE, workers=2) as two, pytest.raises(CodesignError, match="worker process ended") as caught:
        two.drain(jobs(partial(max, 1, 2), partial(os._exit, 9)), results.extend)
    assert "what was finished is kept" in str(caught.value)


def test_network_built_in_python_travels_to_worker_processes(whole):
    """No file names it, so each worker gets the network itself."""
    original = whole[0]
    network = qc.Workload(original.network.module, original.calibration,
                          (original.evaluation_inputs, original.labels), name="in memory")
    assert network.source is None
    options = {"thickness_nm": [1.75], "budgets": [0.25], "trials": 25}
    alone = qc.sweep(network, "3nm", **options)
    assert qc.sweep(network, "3nm", workers=2, **options).to_frame().equals(alone.to_frame())


def test_workers_do_not_hear_an_interrupt():
    pool = crew.start_pool(HANDLE, 1)
    try:
        pid = pool.submit(os.getpid).result()
        os.kill(pid, signal.SIGINT)
        assert pool.submit(os.getpid).result() == pid
    finally:
        pool.shutdown()


def test_memory_store_and_file_store_agree(whole):
    network, folder, result = whole
    with ResultStore(folder / "results.sqlite") as store:
        assert store.count_trials() == result.new_trials
    memory = qc.sweep(network, "3nm", **ARGUMENTS)
    assert memory.to_frame().equals(result.to_frame())
