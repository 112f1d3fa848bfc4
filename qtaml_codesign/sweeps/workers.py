"""Who runs the jobs: this process, worker processes, or any `concurrent.futures.Executor` of the caller."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

from qtaml_codesign.errors import CodesignError
from qtaml_codesign.nets.parcel import Parcel, WorkloadAbsentError
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.handle import WorkloadHandle, by_value
from qtaml_codesign.sweeps.pool import WorkerPool

P = ParamSpec("P")
R = TypeVar("R")

_GRACE_S = 10.0
JOBS_PER_WORKER = 2
"""One under way and one that waits for it."""
FIRST_IN_FLIGHT, MOST_IN_FLIGHT = 16, 1024
"""Jobs in an executor of unknown width: one more for each that is done, so that a cluster fills in a few rounds, and
the workload is not sent by value much more often than there are machines."""
MOST_LOSSES = 3
"""So often a job may take its worker process along before the run gives up."""


@dataclass(frozen=True)
class Job:
    """One call of a job function; `key` tells the caller whose result it is, `label` a reader."""

    key: tuple[Any, ...]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    label: str = "a job"


class SerialExecutor(Executor):
    """Runs each job in this thread at the moment it is submitted.

    Example:
        >>> SerialExecutor().submit(max, 1, 2).result()
        2
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run the call now; its exception is kept in the future, an interrupt is not.

        Args:
            fn: what is called.
            args, kwargs: its arguments.
        """
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as failure:  # handed on by the future, as every executor does
            future.set_exception(failure)
        return future


Running = dict[Future[Any], Job]
Finished = Callable[[list[tuple[Job, Any]]], None]


@dataclass
class _Line:
    """The jobs to come: those to run again first, then the caller's next; how often each has lost its worker."""

    next_job: Callable[[], Job | None]
    again: deque[Job] = field(default_factory=deque)
    losses: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def next(self) -> Job | None:
        return self.again.popleft() if self.again else self.next_job()

    def suspects(self, running: Iterable[Job]) -> bool:
        """A job that has lost a worker is under way or next: it runs alone, so that it is known who is to blame."""
        return any(self.losses[job.key] for job in (*running, *self.again))


class Workers:
    """Runs jobs with a bounded number in flight; started when the first job comes.

    Args:
        workload: what the jobs need.
        workers: 1 (or None) runs in this process; more start that many processes. Beside an executor: how many workers
            it has, or None where nobody knows.
        executor: the caller's executor instead; it is used and left running.

    Attributes:
        handle: what a job takes along instead of the workload.
        notes: what the reader of the results may want to know about the run.
    """

    def __init__(self, workload: Workload, workers: int | None = None, executor: Executor | None = None) -> None:
        self._workers = workers or 1
        self._executor = executor
        self._own = executor is None
        self._grows = workers is None and not self._own
        alone = self._own and self._workers == 1
        self._in_flight = FIRST_IN_FLIGHT if self._grows else 1 if alone else JOBS_PER_WORKER * self._workers
        self._folder: TemporaryDirectory[str] | None = None
        self.handle = WorkloadHandle(workload, self._file)
        self.notes: list[str] = []

    def _file(self) -> str:
        """Where the workload lies for other processes, in a folder that goes when the run ends."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="codesign-", ignore_cleanup_errors=True)
        return str(Path(self._folder.name) / "workload.pt")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()

    def drain(self, next_job: Callable[[], Job | None], finished: Finished) -> None:
        """Run jobs until `next_job` returns None and none is under way.

        `finished` gets the results as they come, in this thread. Jobs whose worker process died run again in new ones.
        When a job fails, or on Ctrl-C, jobs that have not begun are cancelled, those that have are let finish, their
        results are handed over, and the exception goes on.

        Args:
            next_job: the next job, or None.
            finished: takes (job, result) pairs.

        Raises:
            CodesignError: a job ended its worker too often, workers cannot start, or the caller's executor broke.
        Exception: what a job raised, as it is.
        """
        running: Running = {}
        line = _Line(next_job)
        try:
            while self._fill(running, line):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                self._settle(running, done, line, finished)
        except BaseException:
            for future in running:
                future.cancel()
            done, _ = wait(running, timeout=_GRACE_S)
            _hand_over(running, done, finished)
            raise

    def _fill(self, running: Running, line: _Line) -> bool:
        while len(running) < (1 if line.suspects(running.values()) else self._in_flight):
            job = line.next()
            if job is None:
                break
            running[self._submit(job)] = job
        return bool(running)

    def _submit(self, job: Job) -> Future[Any]:
        if self._executor is None:
            self._executor = SerialExecutor() if self._workers == 1 else self._processes()
        try:
            return self._executor.submit(job.function, *job.arguments)
        except BrokenExecutor as failure:  # since the last look at it
            lost: Future[Any] = Future()
            lost.set_exception(failure)
            return lost

    def _processes(self) -> WorkerPool:
        self.handle.parcel()  # what cannot be sent is refused before a process starts
        return WorkerPool(self._workers, self._file())

    def _settle(self, running: Running, done: set[Future[Any]], line: _Line, finished: Finished) -> None:
        """Good results first, so that a failure beside them costs nothing; then jobs to run again, or the failure."""
        if self._own and self._executor is not None and any(_lost(future) for future in done):
            self._executor.shutdown(wait=True)
            done = set(running)  # a broken pool has ended them all
        before = len(running)
        _hand_over(running, done, finished)
        if self._grows:
            self._in_flight = min(self._in_flight + before - len(running), MOST_IN_FLIGHT)
        lost = []
        for future in [future for future in running if future in done]:
            job, failure = running.pop(future), future.exception()
            if isinstance(failure, WorkloadAbsentError):
                line.again.append(_by_value(job))
            elif _lost(future):
                lost.append(job)
            elif failure is not None:
                raise failure
        if lost:
            self._replace_workers(lost, line)

    def _replace_workers(self, lost: list[Job], line: _Line) -> None:
        pool, self._executor = self._executor, None
        if not isinstance(pool, WorkerPool):
            raise _executor_broke(pool)
        if pool.could_not_start:
            raise _cannot_start(pool)
        for job in lost:
            line.losses[job.key] += 1
            if line.losses[job.key] == MOST_LOSSES:
                raise _given_up(job, pool)
        line.again.extend(lost)
        self.notes.append(f"a worker process was lost ({pool.end}): others took its place and ran its jobs again")


def _hand_over(running: Running, done: set[Future[Any]], finished: Finished) -> None:
    """Give the good results away; what failed stays in `running`."""
    good = [future for future in done if not future.cancelled() and future.exception() is None]
    results = [(running.pop(future), future.result()) for future in good]
    if results:
        finished(results)


def _lost(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenExecutor)


def _by_value(job: Job) -> Job:
    """The same job for a machine that does not see the file of the workload."""
    return replace(job, arguments=tuple(
        by_value(part) if isinstance(part, WorkloadHandle | Parcel) else part for part in job.arguments
    ))


def _given_up(job: Job, pool: WorkerPool) -> CodesignError:
    return CodesignError(
        f"a job ended its worker process {MOST_LOSSES} times", where=job.label,
        rule="a worker process lives until its job is done", value=f"ended by {pool.end}",
        next_step="what was finished is kept: run it again with more free memory (SIGKILL mostly means that there was "
        "none left) or fewer workers; if it ends again, run the network alone on its inputs to see why",
    )


def _cannot_start(pool: WorkerPool) -> CodesignError:
    return CodesignError(
        "worker processes cannot start", where="workers (--workers)",
        rule="a script that uses workers starts under if __name__ == '__main__':, and can be imported",
        value=f"{pool.end}, before the first job; the reason stands above",
        next_step="put what the script does under if __name__ == '__main__':, or use workers=1, which needs no process",
    )


def _executor_broke(executor: object) -> CodesignError:
    return CodesignError(
        "the executor lost a process before its work was done", where="executor",
        rule="an executor that stays usable until the run ends", value=type(executor).__name__,
        next_step="what was finished is kept: run it again with a new executor, or with workers=..., which replaces "
        "lost processes",
    )
