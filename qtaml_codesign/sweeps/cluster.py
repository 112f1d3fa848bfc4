"""A Dask cluster as an executor: calls go in tasks of a second or two, a workload goes to each worker once."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as all_done
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from qtaml_codesign.errors import CodesignError
from qtaml_codesign.nets.parcel import WorkloadAbsentError
from qtaml_codesign.sweeps.bundle import PACKAGES, Bundle, Label, Outcome, check_workers, run_bundle, versions_here
from qtaml_codesign.sweeps.calls import Call, scheduler_lost, task_failed
from qtaml_codesign.sweeps.dask_client import CONNECT_S, connected, killed_workers, worker_name
from qtaml_codesign.sweeps.delivery import Delivery
from qtaml_codesign.sweeps.handle import WorkloadHandle
from qtaml_codesign.sweeps.progress import ProgressReport, SweepProgress

P = ParamSpec("P")
R = TypeVar("R")

TASK_S: Final = 2.0
"""Calls are put together until a task is expected to last so long: what a lost worker costs, at most, per thread."""
WAITING: Final = "waiting for workers"
_CLOSE_S, _LOOK_S, _MOST_SENT = 5.0, 1.0, 10


class DaskCluster(Executor):
    """A Dask cluster that runs the trials of a sweep; nothing of a run depends on how many workers it has.

    As many tasks are on their way as the cluster has threads, and a few. A task whose worker is lost runs again on
    another one; when the scheduler comes back within half a minute, so do all that were on their way. Workers may come
    and go.

    Args:
        where: "dask://HOST:PORT" or "tcp://HOST:PORT" of the scheduler, or a `distributed.Client`, which is left open.
        tell: told of workers that come and go, from a thread of its own; None: nobody.

    Raises:
        InputError: an address that cannot be, or the extra is missing.
        CodesignError: no scheduler answers there, or a worker has other versions.

    Example:
        >>> import qtaml_codesign as qc
        >>> with qc.DaskCluster("dask://head-node:8786") as cluster:                            # doctest: +SKIP
        ...     qc.sweep("small-cnn", "3nm", executor=cluster)
    """

    def __init__(self, where: Any, tell: ProgressReport | None = None) -> None:
        self._own = isinstance(where, str)
        self._client = connected(where)
        self.address = str(self._client.scheduler.address)
        self._tell: ProgressReport = tell or (lambda state: None)
        self._turn, self._closed = threading.Lock(), threading.Event()
        self._waiting: deque[Call] = deque()
        self._under_way: dict[str, tuple[Any, list[Call]]] = {}
        self._delivery = Delivery(self._client)
        self._workers: dict[str, int] = {}
        self._seconds: dict[Callable[..., Any], float] = {}
        self._told = ""
        self._lost: CodesignError | None = None
        try:
            self._compare(absent=False)
            self._look()
        except BaseException:
            self._leave()
            raise
        threading.Thread(target=self._watch, daemon=True, name="codesign-cluster").start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """One call, in any thread of the cluster.

        Args:
            fn: what is called; it and its arguments are pickled.
            args: its arguments.
            kwargs: none; the jobs of a sweep have no named ones.

        Raises:
            RuntimeError: it was shut down.
        """
        if self._closed.is_set() or kwargs:
            raise RuntimeError("the cluster was shut down" if self._closed.is_set() else "no named arguments")
        future: Future[R] = Future()
        with self._turn:
            if self._lost is None:
                self._waiting.append(Call(fn, args, future))
            else:
                future.set_exception(self._lost)
        self._fill()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what it still works on for this process is cancelled there.

        Args:
            wait: first let everything finish that was submitted.
            cancel_futures: do not let it.
        """
        if wait and not cancel_futures:
            all_done([call.future for call in self._outstanding()])
        self._closed.set()
        for call in self._outstanding():
            if not call.future.cancel():
                call.fail(CancelledError())
        self._leave()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(cancel_futures=kind is not None)

    @property
    def most(self) -> int:
        """Tasks that may be on their way: one for each thread of the cluster, and a few that wait for it."""
        return self._threads + max(2, self._threads // 8)

    @property
    def _threads(self) -> int:
        return sum(self._workers.values())

    def _outstanding(self) -> list[Call]:
        with self._turn:
            return [*self._waiting, *(call for _, calls in self._under_way.values() for call in calls)]

    def _leave(self) -> None:
        with self._turn:
            futures = [future for future, _ in self._under_way.values()]
            self._under_way.clear()
        if self._client.status == "running":
            self._client.cancel(futures)
        if self._own:
            self._client.close(timeout=_CLOSE_S)

    def _fill(self) -> None:
        """Send tasks until enough are on their way; while no scheduler or no worker is there, calls wait here."""
        with self._turn:
            while self._waiting and len(self._under_way) < self.most and self._reachable():
                calls = self._next_task()
                if calls and not self._send(calls):
                    break

    def _reachable(self) -> bool:
        return bool(self._client.status == "running") and not self._closed.is_set()

    def _next_task(self) -> list[Call]:
        """The next calls: two seconds of them, but no more than a fair share of those that wait."""
        share, expected, calls = -(-len(self._waiting) // self.most), 0.0, list[Call]()
        while self._waiting and len(calls) < share and expected < TASK_S and not (calls and self._waiting[0].alone):
            call = self._waiting.popleft()
            if call.begins():
                calls.append(call)
                expected += self._seconds.get(call.function, TASK_S) if not call.alone else TASK_S
        return calls

    def _send(self, calls: list[Call]) -> bool:
        """Whether these calls need not be sent any more, or are on their way."""
        key = f"codesign-calls-{uuid.uuid4().hex}"
        try:
            bundle = Bundle(tuple((call.function, tuple(map(self._labelled, call.arguments))) for call in calls),
                            versions_here())
            future = self._client.submit(run_bundle, bundle, worker_name, key=key, pure=False)
        except OSError as failure:  # the connection was lost on the way, and may come back
            self._put_back(calls, failure, tries=1)
            return False
        except Exception as failure:  # what cannot be sent: whoever waits for it hears why
            for call in calls:
                call.fail(failure)
            return True
        for call in calls:
            call.sent, call.sent_s = call.sent + 1, time.monotonic()
        self._under_way[key] = (future, calls)
        future.add_done_callback(self._settle)
        return True

    def _labelled(self, part: Any) -> Any:
        """A workload among the arguments goes to every worker once, and each call takes its name along."""
        if not isinstance(part, WorkloadHandle):
            return part
        label = self._delivery.label(part.workload)
        self._delivery.bring(label, self._workers)
        return label

    def _settle(self, future: Any) -> None:
        """A task has ended, one way or another; runs in Dask's thread of callbacks."""
        with self._turn:
            _, calls = self._under_way.pop(future.key, (None, []))
        if not calls:
            return
        try:
            self._take(future, calls)
        except Exception as failure:  # no call may stay without an answer
            for call in calls:
                call.fail(failure)
        self._fill()

    def _take(self, future: Any, calls: list[Call]) -> None:
        if future.status == "error":
            self._failed(calls, future.exception())
            return
        try:
            outcomes = future.result(timeout=CONNECT_S)
        except Exception as failure:  # cancelled, or the connection was lost while the result was on its way
            self._again(calls, failure)
            return
        for call, outcome in zip(calls, outcomes, strict=True):
            self._hand_over(call, outcome)

    def _hand_over(self, call: Call, outcome: Outcome) -> None:
        self._seconds[call.function] = outcome.seconds
        if outcome.failure is None:
            call.future.set_result(outcome.value)
        else:
            call.future.set_exception(outcome.failure)

    def _failed(self, calls: list[Call], failure: BaseException) -> None:
        """A task that several workers died of is tried again call by call; any other reason is told."""
        killed = killed_workers(failure)
        if isinstance(failure, WorkloadAbsentError):
            self._delivery.bring_again(Label(str(failure.value)), failure.where, calls[0].sent_s)
            for call in calls:
                call.absent += 1
                call.sent -= call.absent < _MOST_SENT  # no try, unless it goes on for ever
        if (killed and len(calls) > 1) or isinstance(failure, WorkloadAbsentError):
            self._again(calls, failure, alone=killed)
            return
        if not isinstance(failure, CodesignError):
            if not killed:
                self._compare(absent=True)
            failure = task_failed(self.address, failure)
        for call in calls:
            call.fail(failure)

    def _again(self, calls: list[Call], failure: BaseException, alone: bool = False) -> None:
        for call in calls:
            call.alone = alone or call.alone
        with self._turn:
            if self._lost is None and not self._closed.is_set():
                self._put_back(calls, task_failed(self.address, failure))
                return
        for call in calls:  # nobody looks at those that wait any more
            call.fail(self._lost or CancelledError())

    def _put_back(self, calls: list[Call], failure: BaseException, tries: int = 0) -> None:
        for call in calls:
            call.sent += tries
            if call.sent >= _MOST_SENT:
                call.fail(failure)
        self._waiting.extendleft(call for call in reversed(calls) if not call.future.done())

    def _watch(self) -> None:
        while self._lost is None and not self._closed.wait(_LOOK_S):
            self._look()
            self._drop_cancelled()
            self._fill()

    def _drop_cancelled(self) -> None:
        """Whoever cancelled a call may be waiting to see it gone."""
        with self._turn:
            gone = [call for call in self._waiting if call.future.cancelled()]
            for call in gone:
                self._waiting.remove(call)
                call.future.set_running_or_notify_cancel()

    def _look(self) -> None:
        """See how many threads there are, and say so when that has changed."""
        status = self._client.status
        if status == "running":
            try:
                self._workers = dict(self._client.nthreads())
            except Exception:  # it has just gone; the client finds out by itself
                return
            self._say(f"{len(self._workers)} worker(s) with {self._threads} thread(s) on the cluster at {self.address}"
                      if self._workers else f"no workers yet on the cluster at {self.address}: waiting for them")
        elif status != "closed":
            self._say(f"the connection to the scheduler at {self.address} is lost: waiting until it is back")
        elif not self._closed.is_set():
            self._give_up()

    def _give_up(self) -> None:
        with self._turn:
            self._lost = scheduler_lost(self.address)
        for call in self._outstanding():
            call.fail(self._lost)

    def _say(self, text: str) -> None:
        if text == self._told:
            return
        waited, self._told = ": waiting" in self._told, text
        self._tell(SweepProgress(WAITING, 0, 0, note=text))
        if ": waiting" in text or waited:
            self._tell(SweepProgress(WAITING, 0 if ": waiting" in text else 1, 1))

    def _compare(self, absent: bool) -> None:
        found = self._client.get_versions(packages=list(PACKAGES))["workers"]
        check_workers(versions_here(), found, absent)
