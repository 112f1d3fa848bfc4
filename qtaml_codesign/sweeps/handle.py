"""A workload among the arguments of a job: itself in the process that started the run, a parcel in every other."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from qtaml_codesign.nets.parcel import Parcel, pack
from qtaml_codesign.nets.workload import Workload

T = TypeVar("T")


class Latest(Generic[T]):
    """The latest few values by key, made where they are missing, one at a time.

    Args:
        most: how many are kept.

    Example:
        >>> squares = Latest[int](2)
        >>> [squares.get(str(key), lambda key=key: key**2) for key in (1, 2, 1)]
        [1, 4, 1]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._turn = threading.Lock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The value of a key; `make` is called where it is not kept."""
        with self._turn:
            if key not in self._kept:
                self._kept[key] = make()
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[key]


RECEIVED = Latest[Workload](2)
"""What the jobs of this process were sent; a worker works on one run after the other."""


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
    return RECEIVED.get(handle.digest, handle.open)


def by_value(handle: WorkloadHandle | Parcel) -> Parcel:
    """The parcel of a handle, for a machine that does not see the file."""
    return (handle.parcel() if isinstance(handle, WorkloadHandle) else handle).by_value()
