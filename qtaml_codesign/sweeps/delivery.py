"""Workloads on their way to the workers of a cluster: each to each worker once, and again to one that lost it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from qtaml_codesign.nets.parcel import Parcel
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.bundle import Label, keep
from qtaml_codesign.sweeps.dask_client import parcel_of

_MOST = 2


class Delivery:
    """Sends workloads, named by their content, through the scheduler; nothing of them stays there.

    A workload is no input of a task: Dask would run the tasks where it lies, and drop copies that it made.

    Args:
        client: a `distributed.Client`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._turn = threading.Lock()
        self._parcels: OrderedDict[str, Parcel] = OrderedDict()
        self._brought: dict[tuple[str, str], float] = {}

    def label(self, workload: Workload) -> Label:
        """What a call takes along instead of a workload, which is packed when it is first asked for.

        Args:
            workload: one of the latest few.

        Raises:
            WorkloadError: it cannot be pickled.
        """
        with self._turn:
            if workload.digest not in self._parcels:
                self._parcels[workload.digest] = parcel_of(workload)
            self._parcels.move_to_end(workload.digest)
            while len(self._parcels) > _MOST:
                self._parcels.popitem(last=False)
            return Label(workload.digest)

    def bring(self, label: Label, workers: Iterable[str]) -> None:
        """Send a workload to those workers to which it was not sent yet; return when they have it.

        Args:
            label: of the workload.
            workers: their addresses; one that is gone is passed over.
        """
        with self._turn:
            lacking = [worker for worker in workers if (label.digest, worker) not in self._brought]
            if lacking and label.digest in self._parcels:
                found = self._client.run(keep, self._parcels[label.digest], workers=lacking, on_error="ignore")
                self._brought |= {(label.digest, worker): time.monotonic() for worker in found}

    def bring_again(self, label: Label, worker: str, sent_s: float) -> None:
        """A worker has turned a task back: it came later than the workload was sent to the others, or was replaced.

        Args:
            label: of the workload.
            worker: its address.
            sent_s: when the task was sent, by `time.monotonic`; what was brought since then serves.
        """
        if self._brought.get((label.digest, worker), -1.0) < sent_s:
            self._brought.pop((label.digest, worker), None)
            self.bring(label, [worker])
