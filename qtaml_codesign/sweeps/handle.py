"""A workload among the arguments of a job: itself in the process that started the run, a parcel in every other."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable

from qtaml_codesign.nets.parcel import Parcel, pack
from qtaml_codesign.nets.workload import Workload


class Received:
    """The latest few workloads that this process was sent, each opened once.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Workload] = OrderedDict()
        self._turn = threading.Lock()

    def get(self, parcel: Parcel) -> Workload:
        """The workload of a parcel, whether it came in a file or by value.

        Args:
            parcel: the workload as it was sent.

        Raises:
            WorkloadError: the parcel cannot be opened here.
        """
        return self.take(parcel.digest, lambda: parcel)

    def take(self, digest: str, fetch: Callable[[], Parcel]) -> Workload:
        """The workload of a digest; whoever asks for it while it is on its way waits for that one sending.

        Args:
            digest: `Workload.digest`.
            fetch: brings its parcel, where it is not here yet.

        Raises:
            WorkloadError: the parcel cannot be opened here.
        """
        with self._turn:
            if digest not in self._kept:
                self._kept[digest] = fetch().open()
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[digest]


RECEIVED = Received(2)
"""A worker works on one run after the other."""


class WorkloadHandle:
    """Jobs of this process share the workload; whoever pickles a job gets a parcel, written when it is first asked for.

    Args:
        workload: what the jobs need.
        file: names a file for it, in a folder that outlives the jobs.
    """

    def __init__(self, workload: Workload, file: Callable[[], str]) -> None:
        self.workload = workload
        self._file = file
        self._parcel: Parcel | None = None
        self._packing = threading.Lock()

    def parcel(self) -> Parcel:
        """The workload on its way to other processes, in a file.

        Raises:
            WorkloadError: it cannot be pickled, and has no source to be loaded from.
        """
        with self._packing:
            if self._parcel is None:
                self._parcel = pack(self.workload, self._file())
            return self._parcel

    def __reduce__(self) -> tuple[object, ...]:
        return copy.copy, (self.parcel(),)


def resolve(handle: WorkloadHandle | Parcel) -> Workload:
    """The workload of a job, brought into a process at most once.

    Args:
        handle: the handle in the process that made it, a parcel in any other.

    Raises:
        WorkloadError: the parcel cannot be opened here.
    """
    if isinstance(handle, WorkloadHandle):
        return handle.workload
    return RECEIVED.get(handle)


def by_value(handle: WorkloadHandle | Parcel) -> Parcel:
    """The parcel of a handle, for a machine that does not see the file.

    Args:
        handle: as for `resolve`.

    Raises:
        WorkloadError: the workload cannot be packed.
    """
    return (handle.parcel() if isinstance(handle, WorkloadHandle) else handle).by_value()
