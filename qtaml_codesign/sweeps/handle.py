"""A workload on its way to another process: by its digest, and by how a process that lacks it gets it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.parcel import TOP_LEVEL, pack, unpack
from qtaml_codesign.nets.workload import Workload, load_workload

T = TypeVar("T")

_KEPT_WORKLOADS = 2
_workloads: OrderedDict[str, Workload] = OrderedDict()
_loading = threading.Lock()


class WorkloadAbsentError(WorkloadError):
    """The file of a parcel is not there: the job runs on another machine and needs the bytes themselves."""


@dataclass(frozen=True)
class WorkloadHandle:
    """A workload by its digest, and how a process that does not have it yet gets it.

    Args:
        digest: `Workload.digest`.
        name: for messages.
        source: zoo name or "FILE.py:FACTORY", or None for one that was built in Python.
        workload: itself, as long as the jobs stay in this process.
        portable: True when jobs leave this process; `sent` makes the handle that they take along.
        parcel: path of a file that holds the workload by value, or the bytes of that file.
        obstacle: why there is no parcel.
    """

    digest: str
    name: str
    source: str | None
    workload: Workload | None = None
    portable: bool = False
    parcel: str | bytes | None = None
    obstacle: str = ""

    def sent(self, folder: str) -> WorkloadHandle:
        """The handle for other processes: the workload written to a file in `folder`, or by name for the zoo's."""
        away = replace(self, workload=None)
        if self.workload is None or (self.source is not None and ":" not in self.source):
            return away
        path = str(Path(folder) / f"{self.digest}.pt")
        try:
            pack(self.workload, path)
        except WorkloadError as failure:
            if self.source is None:
                raise
            return replace(away, obstacle=failure.what)
        return replace(away, parcel=path)

    def by_value(self) -> WorkloadHandle:
        """The same handle with the bytes of the file in it."""
        return replace(self, parcel=Path(self.parcel).read_bytes()) if isinstance(self.parcel, str) else self


def handle_for(workload: Workload, portable: bool) -> WorkloadHandle:
    """The handle of a workload; `portable` when jobs leave this process."""
    return WorkloadHandle(workload.digest, workload.name, workload.source, workload, portable)


def resolve(handle: WorkloadHandle) -> Workload:
    """The workload of a handle, brought into a process at most once."""
    if handle.workload is not None:
        return handle.workload
    with _loading:
        if handle.digest not in _workloads:
            keep_latest(_workloads, handle.digest, _received(handle), _KEPT_WORKLOADS)
        return _workloads[handle.digest]


def _received(handle: WorkloadHandle) -> Workload:
    """The workload as it was sent; from its source where nothing was sent, or another came out."""
    found, obstacle = _unpacked(handle)
    if (found is None or found.digest != handle.digest) and handle.source is not None:
        found = load_workload(handle.source)
    assert found is not None
    if found.digest != handle.digest:
        raise WorkloadError(
            "the workload changed between two processes of the same sweep", where=f"workload {handle.name!r}",
            rule="every process works on the same weights and inputs",
            value=f"the factory made another one in the worker process; it was not sent by value because: {obstacle}",
            next_step=f"{TOP_LEVEL}; or train once, save the weights, and load them in the factory; or use one worker",
        )
    return found


def _unpacked(handle: WorkloadHandle) -> tuple[Workload | None, str]:
    """What the parcel holds, and why that may not serve."""
    if handle.parcel is None:
        return None, handle.obstacle
    if isinstance(handle.parcel, str) and not Path(handle.parcel).is_file():
        raise WorkloadAbsentError(
            "the file of the workload is not on this machine", where=handle.parcel, rule="a file that can be read",
            value=handle.name, next_step="the job is sent again with the workload in it",
        )
    try:
        return unpack(handle.parcel, handle.source), "sent by value, it came out different"
    except WorkloadError as failure:
        if handle.source is None:
            raise
        return None, failure.what


def keep_latest(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
