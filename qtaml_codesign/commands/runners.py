"""Who runs the trials of a command: worker processes, or the workers of a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtaml_codesign.sweeps.progress import SweepProgress

_MOST_WORKERS = 8


@contextmanager
def who_runs(
    workers: int | None, cluster: str | None, report: Callable[[SweepProgress], None]
) -> Iterator[dict[str, Any]]:
    """The arguments that tell the library who runs the trials; a cluster is left at the end.

    Args:
        workers: `--workers`; None: as many as there are usable CPUs.
        cluster: `--cluster`.
        report: told of the workers of the cluster.

    Raises:
        InputError: both, an address that cannot be, or Dask is not installed.
        CodesignError: the cluster cannot be used.
    """
    if cluster is None:
        yield {"workers": usable_cpus() if workers is None else workers}
        return
    from qtaml_codesign.errors import InputError
    from qtaml_codesign.sweeps.cluster import DaskCluster

    if workers is not None:
        raise InputError("both a cluster and worker processes are to run the trials", where="--cluster, --workers",
                         rule="one of the two", value=f"{cluster}, {workers} workers",
                         next_step="leave out --workers: a cluster has as many as were started there")
    with DaskCluster(cluster, report) as executor:
        yield {"executor": executor}


def usable_cpus() -> int:
    """CPUs that this process may use, at most 8: each worker holds its own copy of torch."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        available = os.cpu_count() or 1
    return min(available, _MOST_WORKERS)
