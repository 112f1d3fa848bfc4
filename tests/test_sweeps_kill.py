"""Kill a sweep at random moments, interrupt it, lose a worker: what was finished stays, and the answer is the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.sweeps import collect
from qtaml_codesign.sweeps.pool import WorkerPool
from qtaml_codesign.sweeps.store import ResultStore
from qtaml_codesign.sweeps.workers import Job, Workers
from tests.conftest import FORK, stored_trials, tiny_network, until

FILES = ("sweep.csv", "knots.csv", "frontier.csv", "frontier.png")
ARGUMENTS = {"thickness_nm": np.linspace(1.72, 1.84, 4), "budgets": (0.05, 0.25), "half_width": 0.004,
             "max_trials": 160}
NETWORK = tiny_network()


@pytest.fixture(scope="module")
def whole(tiny_workload, rendered, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return tiny_workload, folder, qc.sweep(tiny_workload, "3nm", out=folder, **ARGUMENTS)


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def slow_sweep(network, folder):
    """In a process of its own: trials of a millisecond, so that whoever watches the store gets to read it."""
    run = Trials.run

    def slow(self, trial):
        time.sleep(0.001)
        return run(self, trial)

    Trials.run = slow
    qc.sweep(network, "3nm", out=folder, **ARGUMENTS)


def killed_at(moment, further_s, network, folder):
    """Begin or continue the sweep, and kill it when that many trials are stored, or a few milliseconds later."""
    child = FORK.Process(target=partial(slow_sweep, network, folder))
    child.start()
    assert until(lambda: stored_trials(folder) >= moment or not child.is_alive(), every=0.005)
    time.sleep(further_s)
    child.kill()
    child.join()


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.full)])
def test_kill_nine_many_times_then_resume(whole, tmp_path, kills):
    """Each process is killed at a moment drawn anew (fixed seed), wherever it is: planning, computing, writing.

    The moments are counted in stored trials, not in seconds, so that a slow machine is killed in the same places. Four
    kills catch what ten do, a store or a table that a kill spoils; ten hit more places of a run.
    """
    network, folder, result = whole
    rng = random.Random(11)
    moments = sorted([0, *(rng.randrange(1, result.new_trials * 9 // 10) for _ in range(kills - 1))])
    seen = []
    for moment in moments:
        killed_at(moment, rng.uniform(0.0, 0.02), network, tmp_path)
        seen.append(stored_trials(tmp_path))
    assert seen == sorted(seen)
    assert len(set(seen)) >= 3, f"the kills hit too few different moments: {seen}"
    assert not (tmp_path / "sweep.csv").exists() or seen[-1] == result.new_trials
    resumed = qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS)
    assert bytes_of(tmp_path) == bytes_of(folder)
    assert seen[-1] + resumed.new_trials == stored_trials(tmp_path) == stored_trials(folder) == result.new_trials
    assert qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS).new_trials == 0
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "run.json", "results.sqlite"}


def test_two_workers_killed_with_their_parent_leave_nobody_behind(
    whole, tiny_source, codesign, tmp_path, started_by, monkeypatch
):
    """SIGKILL a process with two workers, and they end; the command line runs the rest to the same bytes."""
    network, folder, _ = whole
    arguments = ["sweep", "--device", "3nm", "--workload", tiny_source, "--out", str(tmp_path), "--budget",
                 "0.05,0.25", "--half-width", "0.004", "--max-trials", "160", "--thickness", "1.72:1.84:4"]
    (tmp_path / "temporary").mkdir()
    with monkeypatch.context() as there:
        there.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        parent = FORK.Process(target=partial(qc.sweep, network, "3nm", out=tmp_path, workers=2, **ARGUMENTS))
        parent.start()
    assert until(lambda: stored_trials(tmp_path) >= 100 or not parent.is_alive())
    workers = children_of(parent.pid)
    parent.kill()
    parent.join()
    assert len(workers) >= 2
    assert stored_trials(tmp_path) >= 100
    ended = until(lambda: not any(alive(pid) for pid in workers))
    for pid in filter(alive, workers):  # none is left behind by this test either
        os.kill(pid, signal.SIGKILL)
    assert ended
    assert list((tmp_path / "temporary").iterdir()) == []
    done = codesign(*arguments, "--workers", "1")
    assert done.code == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(folder)
    assert stored_trials(tmp_path) >= stored_trials(folder)  # the command's first answer looks at knots of its own


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
    assert stored_trials(tmp_path) == 60
    assert not (tmp_path / "sweep.csv").exists()
    qc.sweep(network, "3nm", out=tmp_path, **ARGUMENTS)
    assert bytes_of(tmp_path) == bytes_of(folder)


def jobs(*functions):
    waiting = [Job((index,), function, ()) for index, function in enumerate(functions)]
    return lambda: waiting.pop(0) if waiting else None


def test_a_killed_worker_changes_nothing(whole, tmp_path, started_by):
    """SIGKILL to one of two workers in the middle of the run."""
    network, folder, result = whole
    killed = []

    def kill_one(progress):
        if progress.trials >= 200 and not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    again = qc.sweep(network, "3nm", out=tmp_path, workers=2, progress=kill_one, **ARGUMENTS)
    assert len(killed) == 1
    assert bytes_of(tmp_path) == bytes_of(folder)
    # its first answer looks at knots of its own
    assert again.new_trials == stored_trials(tmp_path) >= result.new_trials
    assert [note for note in again.warnings if "a worker process was lost (SIGKILL)" in note]


def test_a_caller_s_broken_executor_is_named(whole):
    executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with executor, pytest.raises(CodesignError, match="the executor lost a process") as caught:
        Workers(NETWORK, executor=executor).drain(jobs(partial(os._exit, 9)), print)
    assert "new executor" in caught.value.next_step


def test_a_script_that_workers_cannot_import_hears_about_its_main(tmp_path, monkeypatch):
    """Without `if __name__ == '__main__':` each worker would run the whole script again; Python ends it instead."""
    script = tmp_path / "bare.py"
    script.write_text("import multiprocessing\nmultiprocessing.get_context('spawn').Process(target=print).start()\n")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    with Workers(NETWORK, workers=2) as two, pytest.raises(CodesignError, match="processes cannot start") as caught:
        two.drain(jobs(partial(max, 1, 2)), print)
    assert "put what the script does under if __name__ == '__main__':" in caught.value.next_step
    assert two.notes == []


def test_workers_do_not_hear_an_interrupt(tmp_path, started_by):
    pool = WorkerPool(1, str(tmp_path / "alone" / "nothing"))
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
