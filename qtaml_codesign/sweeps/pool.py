"""Fresh worker processes: started together, watched, and gone when this process is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class WorkerPool(Executor):
    """Processes of one thread each; they ignore Ctrl-C and end when this process does, however that ends.

    Args:
        workers: how many.
        file: a path in a folder of its own; both are removed if this process is killed before it can do so itself.
    """

    def __init__(self, workers: int, file: str) -> None:
        others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(file,)
        )
        with _interrupts_ignored():  # a child inherits this, so Ctrl-C cannot hit it while it is still importing
            self._ready = [self._pool.submit(_nothing) for _ in range(workers)]
            self._processes: set[BaseProcess] = set(multiprocessing.active_children()) - others

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """One call, in any of the processes.

        Args:
            fn: what is called; it and its arguments are pickled.
            args, kwargs: its arguments.

        Raises:
            BrokenExecutor: a process has ended (`concurrent.futures`).
            RuntimeError: the pool was shut down.
        """
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the processes end.

        Args:
            wait: return when they have, and every future is done.
            cancel_futures: cancel the calls that have not begun.
        """
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    @property
    def could_not_start(self) -> bool:
        """After `shutdown`: no process came to its first job, and one ended with an error of its own making."""
        began = any(future.done() and not future.cancelled() and future.exception() is None for future in self._ready)
        return not began and any((process.exitcode or 0) > 0 for process in self._processes)

    @property
    def end(self) -> str:
        """After `shutdown`: how the first process ended; the pool itself sends SIGTERM to the others.

        Example of a value: "SIGKILL", "exit code 9".
        """
        codes = sorted({process.exitcode or 0 for process in self._processes})
        own = [code for code in codes if code not in (0, -signal.SIGTERM)] or [-signal.SIGTERM]
        return ", ".join(signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in own)


def _begin(file: str) -> None:
    """First thing in a worker: no Ctrl-C of its own, one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent, file), daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with(parent: Any, file: str) -> None:
    """A worker whose parent was killed would wait for jobs for ever, and the parent left its file behind."""
    parent.join()
    with suppress(OSError):  # another worker was here first
        Path(file).unlink(missing_ok=True)
        Path(file).parent.rmdir()
    os._exit(1)


def _nothing() -> None:
    """Asking for it starts a worker."""


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
