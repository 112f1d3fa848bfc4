"""One call on its way to a cluster, and the errors for what may end it there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from qtaml_codesign.errors import CodesignError, shorten
from qtaml_codesign.sweeps.dask_client import CONNECT_S


@dataclass(eq=False)
class Call:
    """A function, its arguments and what becomes of it.

    Attributes:
        sent: in how many tasks it has been so far.
        absent: how often a worker has turned it back that lacked the network.
        sent_s: when it was sent last, by `time.monotonic`.
        alone: whether it goes in a task of its own.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    sent: int = 0
    absent: int = 0
    sent_s: float = 0.0
    alone: bool = False

    def begins(self) -> bool:
        """Whether it is to be sent: nobody has cancelled it."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def fail(self, failure: BaseException) -> None:
        """End it, begun or not.

        Args:
            failure: what whoever waits for it gets.
        """
        if not self.future.done():
            self.future.set_exception(failure)


def task_failed(address: str, failure: BaseException) -> CodesignError:
    """The error for a task that ended otherwise than by its own calls.

    Args:
        address: of the scheduler.
        failure: how it ended.
    """
    return CodesignError(
        "a task failed on the cluster", where=f"cluster {address} (--cluster)",
        rule="workers that live until a task is done, and hold the packages that it needs",
        value=f"{type(failure).__name__}: {shorten(failure, 400)}",
        next_step="what was finished is kept: see the log of the worker; give workers more memory if they were killed, "
        "install there what the network imports (but for its own file and those beside it), then run it again",
    )


def scheduler_lost(address: str) -> CodesignError:
    """The error for a scheduler that has gone and did not come back.

    Args:
        address: where it was.
    """
    return CodesignError(
        "the scheduler of the cluster has gone", where=f"cluster {address} (--cluster)",
        rule=f"a scheduler that is back within {CONNECT_S:g} s", value="no answer",
        next_step="what was finished is kept: start it and its workers again, and run the same command",
    )
