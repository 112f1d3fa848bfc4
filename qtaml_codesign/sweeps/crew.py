"""Who runs the jobs: this process, worker processes, or any `concurrent.futures.Executor` of the caller."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from qtaml_codesign.errors import CodesignError
from qtaml_codesign.sweeps.trial import WorkloadHandle, resolve

P = ParamSpec("P")
R = TypeVar("R")

_GRACE_S = 10.0


@dataclass(frozen=True)
class Job:
    """One call of a job function; `key` tells the caller whose result it is."""

    key: tuple[Any, ...]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class SerialExecutor(Executor):
    """Runs each job in this thread at the moment it is submitted.

    Example:
        >>> SerialExecutor().submit(max, 1, 2).result()
        2
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run the call now; its exception is kept in the future, an interrupt is not."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as failure:  # handed on by the future, as every executor does
            future.set_exception(failure)
        return future


class Crew:
    """Runs jobs with a bounded number in flight; started when the first job comes.

    Args:
        handle: the workload that the jobs need.
        workers: 1 runs in this process; more start that many processes.
        executor: the caller's executor instead; it is used and left running.
    """

    def __init__(self, handle: WorkloadHandle, workers: int = 1, executor: Executor | None = None) -> None:
        self._handle = handle
        self._workers = workers
        self._executor = executor
        self._own = executor is None
        width = workers if self._own else os.cpu_count() or 1
        self._in_flight = 1 if self._own and workers == 1 else 2 * width

    @property
    def handle(self) -> WorkloadHandle:
        """The handle to put into a job: light where the workers got the workload at their start."""
        return self._handle.light() if self._own else self._handle

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def drain(
        self, next_job: Callable[[], Job | None], finished: Callable[[list[tuple[Job, Any]]], None]
    ) -> None:
        """Run jobs until `next_job` returns None and none is under way.

        `finished` gets the results as they come, in this thread. When a job fails, or on Ctrl-C, jobs that have not
        begun are cancelled, those that have are let finish, their results are handed over, and the exception goes on.
        """
        running: dict[Future[Any], Job] = {}
        try:
            with _explained():
                while self._fill(running, next_job):
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    _hand_over(running, done, finished)
        except BaseException:
            for future in running:
                future.cancel()
            done, _ = wait(running, timeout=_GRACE_S)
            good = {future for future in done if not future.cancelled() and future.exception() is None}
            _hand_over(running, good, finished)
            raise

    def _fill(self, running: dict[Future[Any], Job], next_job: Callable[[], Job | None]) -> bool:
        while len(running) < self._in_flight and (job := next_job()) is not None:
            running[self._submit(job)] = job
        return bool(running)

    def _submit(self, job: Job) -> Future[Any]:
        if self._executor is None:
            self._executor = SerialExecutor() if self._workers == 1 else start_pool(self._handle, self._workers)
        return self._executor.submit(job.function, *job.arguments)


def start_pool(handle: WorkloadHandle, workers: int) -> ProcessPoolExecutor:
    """Fresh worker processes that hold the workload; they ignore Ctrl-C and end when this process does."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(handle,)
    )
    with _interrupts_ignored():  # a child inherits this, so Ctrl-C cannot hit it while it is still importing
        for _ in range(workers):
            pool.submit(_ready)
    return pool


def _begin(handle: WorkloadHandle) -> None:
    """First thing in a worker: no Ctrl-C of its own, one thread, the workload in memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import torch

    torch.set_num_threads(1)
    if handle.payload is not None:
        resolve(handle)


def _end_with(parent: Any) -> None:
    """A worker whose parent was killed would wait for jobs for ever."""
    parent.join()
    os._exit(1)


def _ready() -> None:
    """Nothing: asking for it starts a worker."""


def _hand_over(
    running: dict[Future[Any], Job], done: set[Future[Any]], finished: Callable[[list[tuple[Job, Any]]], None]
) -> None:
    """Give the good results away first, so that a failure beside them costs nothing; then let the failure speak."""
    good = [future for future in done if future.exception() is None]
    results = [(running.pop(future), future.result()) for future in good]
    if results:
        finished(results)
    for future in done - set(good):
        running.pop(future)
        future.result()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenExecutor as failure:
        raise CodesignError(
            "a worker process ended before its work was done", where="workers (--workers)",
            rule="worker processes stay alive; a script that uses them starts under if __name__ == '__main__':",
            value=failure,
            next_step="run it again, what was finished is kept; fewer workers need less memory, one needs no process",
        ) from failure
