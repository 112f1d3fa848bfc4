"""Jobs of a sweep in threads of one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.jobs import run_trials, task_for
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac.api import plan


def test_threads_do_not_share_the_weights_of_a_trial(monkeypatch):
    """Two threads in the middle of a trial of the same task: each must still hold its own reading."""
    workload = load_workload("small-cnn")
    errors = BitErrorProfile.uniform(0.2).assign(workload.weights)
    task = task_for(workload.digest, plan(workload, "none", 0.2), errors, seed=0)
    handle = Workers(workload).handle
    alone = [run_trials(handle, task, first, 1)[0].score for first in (0, 1)]
    both, count = threading.Barrier(2, timeout=20), Workload.score_by_group

    def wait_then_count(self, weights=None):
        both.wait()
        return count(self, weights)

    monkeypatch.setattr(Workload, "score_by_group", wait_then_count)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run_trials, handle, task, first, 1) for first in (0, 1)]
        together = [job.result()[0].score for job in jobs]
    assert alone[0] != alone[1]
    assert together == alone
