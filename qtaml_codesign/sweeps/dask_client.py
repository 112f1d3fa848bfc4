"""The only file that imports Dask (the extra `[dask]`), when a cluster is named: to connect, pack and name."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qtaml_codesign.errors import CodesignError, InputError, shorten
from qtaml_codesign.nets.parcel import Parcel, pack_with_code
from qtaml_codesign.nets.workload import Workload

CONNECT_S: Final = 30.0
"""How long to wait for a scheduler that has been reached, and for one that has gone to come back."""
_FIRST_S: Final = 5.0
_FORM: Final = re.compile(r"(?:dask|tcp)://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})/?")


def connected(where: object) -> Any:
    """A `distributed.Client` of the scheduler at an address.

    Args:
        where: "dask://HOST:PORT" or "tcp://HOST:PORT"; a client passes through.

    Raises:
        InputError: an address that cannot be, or Dask is not installed.
        CodesignError: no scheduler answers there.
    """
    place = scheduler_place(where) if isinstance(where, str) else None
    try:
        import distributed
    except ImportError as missing:
        raise InputError(
            "a cluster needs Dask, which is not installed", where="cluster (--cluster)",
            rule="the extra [dask]: the package distributed", value=shorten(missing),
            next_step="pip install 'qtaml-codesign[dask]', here and on every worker",
        ) from missing
    if isinstance(where, distributed.Client):
        return where
    if place is None:
        raise InputError("this is not a cluster", where="DaskCluster(where)", rule="an address or a distributed.Client",
                         value=type(where).__name__, next_step='for instance DaskCluster("dask://127.0.0.1:8786")')
    host, port = place
    try:
        socket.create_connection((host.strip("[]"), port), timeout=_FIRST_S).close()
        return distributed.Client(f"tcp://{host}:{port}", timeout=CONNECT_S, set_as_default=False, name="codesign")
    except (OSError, ValueError, ImportError, RuntimeError) as failure:
        raise CodesignError(
            "no Dask scheduler answers there", where="cluster (--cluster)",
            rule="the address that `dask scheduler` prints, reachable from this machine",
            value=f"{where}: {type(failure).__name__}: {shorten(failure, 120)}",
            next_step="start one with `dask scheduler`, and workers with `dask worker tcp://HOST:PORT --nthreads 1`; "
            "the port is the scheduler's (8786), not the dashboard's (8787)",
        ) from failure


def scheduler_place(text: str) -> tuple[str, int]:
    """Host and port of an address.

    Args:
        text: "dask://HOST:PORT" or "tcp://HOST:PORT"; an IPv6 host stands in brackets.

    Raises:
        InputError: it is not one.

    Example:
        >>> scheduler_place("dask://head-node:8786")
        ('head-node', 8786)
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise InputError("this is not the address of a cluster", where="cluster (--cluster)",
                         rule="dask://HOST:PORT or tcp://HOST:PORT, port 1 to 65535", value=text,
                         next_step="for instance --cluster dask://127.0.0.1:8786, as `dask scheduler` prints it")
    return found["host"], int(found["port"])


def worker_name() -> str:
    """In a task: the address of the worker that runs it."""
    from distributed import get_worker

    return str(get_worker().address)


def parcel_of(workload: Workload) -> Parcel:
    """A workload with the code of its own file, of the modules beside that, and of a script or notebook.

    Args:
        workload: what is packed.

    Raises:
        WorkloadError: it cannot be pickled.
    """
    import cloudpickle

    with _files_by_value(cloudpickle, workload.source):
        return pack_with_code(workload, cloudpickle)


@contextmanager
def _files_by_value(cloudpickle: Any, source: str | None) -> Iterator[None]:
    """Inside, classes of the workload's file and of files beside it are pickled with their code."""
    path = Path((source or "").rpartition(":")[0])
    own = [] if path.suffix != ".py" else [
        module for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).parent == path.parent and name != "__main__"
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def killed_workers(failure: BaseException) -> bool:
    """Whether several workers were lost with a task.

    Args:
        failure: how it ended.
    """
    from distributed import KilledWorker

    return isinstance(failure, KilledWorker)
