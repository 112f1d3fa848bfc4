"""Several calls in one task of a cluster, run where the task lands: what is sent there, and what comes back."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

import qtaml_codesign
from qtaml_codesign.errors import CodesignError
from qtaml_codesign.nets.parcel import Parcel, WorkloadAbsentError
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.sweeps.handle import RECEIVED, WorkloadHandle
from qtaml_codesign.sweeps.task import ENGINE_VERSION

PACKAGES = ("qtaml_codesign", "torch")
_MOST_COME = 2
_COME: dict[str, Parcel] = {}


@dataclass(frozen=True)
class Label:
    """Stands for a workload among the arguments of a call: its `Workload.digest`."""

    digest: str


@dataclass(frozen=True)
class Bundle:
    """Calls that one task makes, one after the other.

    Args:
        calls: function and arguments of each.
        versions: `versions_here` of the process that sends them.
    """

    calls: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of one call: its value or its exception, and the seconds that it took."""

    value: Any
    failure: Exception | None
    seconds: float


def versions_here() -> dict[str, str]:
    """What must be the same in two processes for the same numbers: this package and its engine, torch, Python 3.x.

    Example:
        >>> sorted(versions_here())
        ['engine', 'python', 'qtaml_codesign', 'torch']
    """
    return {"python": ".".join(platform.python_version_tuple()[:2]), "qtaml_codesign": qtaml_codesign.__version__,
            "torch": str(torch.__version__), "engine": ENGINE_VERSION}


def check_versions(ours: Mapping[str, str], theirs: Mapping[str, str | None], worker: str) -> None:
    """Refuse a worker on which something else is installed.

    Args:
        ours: versions of the process that sends.
        theirs: those of the worker, of the same names or of some of them; None: not installed.
        worker: its name.

    Raises:
        CodesignError: they differ.
    """
    other = [name for name, version in theirs.items() if version != ours[name]]
    if not other:
        return
    raise CodesignError(
        "a worker of the cluster has other versions than this machine", where=f"worker {worker} (--cluster)",
        rule="the same qtaml_codesign, torch and Python 3.x on both, so that the same command gives the same numbers",
        value="; ".join(f"{name} {ours[name]} here, {theirs[name] or 'absent'} there" for name in other),
        next_step="install the same versions on both (pip install -c constraints.txt), and start the workers again",
    )


def check_workers(ours: Mapping[str, str], workers: Mapping[str, Any], absent: bool) -> None:
    """Refuse workers with other versions, by what Dask says of them.

    Args:
        ours: `versions_here`.
        workers: by address, their versions as `distributed.Client.get_versions` tells them.
        absent: whether a package that Dask does not list there is missing; it may be there all the same.

    Raises:
        CodesignError: a worker with others.
    """
    for worker, found in workers.items():
        theirs = {name: found["packages"].get(name) for name in PACKAGES}
        theirs["python"] = ".".join(found["packages"]["python"].split(".")[:2])
        check_versions(ours, {name: one for name, one in theirs.items() if one is not None or absent}, worker)


def keep(parcel: Parcel) -> None:
    """On a worker: a workload has come, to be opened by the first task that needs it.

    Args:
        parcel: the workload, by value.
    """
    _COME[parcel.digest] = parcel
    while len(_COME) > _MOST_COME:
        del _COME[next(iter(_COME))]


def run_bundle(bundle: Bundle, name: Callable[[], str]) -> list[Outcome]:
    """Task of a cluster: the outcome of each call, in their order, on one thread.

    Args:
        bundle: the calls.
        name: names this worker.

    Raises:
        CodesignError: other versions are installed here.
        WorkloadAbsentError: a workload has not come to this worker.
        WorkloadError: a workload cannot be opened here.
    """
    check_versions(bundle.versions, versions_here(), name())
    with single_threaded():
        labels = {part for _, arguments in bundle.calls for part in arguments if isinstance(part, Label)}
        here = {label: WorkloadHandle(RECEIVED.take(label.digest, partial(_come, label.digest, name)), str)
                for label in labels}
        return [_outcome(function, [here[part] if isinstance(part, Label) else part for part in arguments])
                for function, arguments in bundle.calls]


def _come(digest: str, name: Callable[[], str]) -> Parcel:
    """The parcel that has come; once it is opened, nobody needs its bytes."""
    if digest not in _COME:
        raise WorkloadAbsentError("the workload has not come to this worker", where=name(),
                                  rule="it is sent before the tasks that need it, or after the first of them",
                                  value=digest, next_step="the calls are sent again")
    return _COME.pop(digest)


def _outcome(function: Callable[..., Any], arguments: Sequence[Any]) -> Outcome:
    began = time.perf_counter()
    try:
        value, failure = function(*arguments), None
    except Exception as error:  # handed on, as an executor does
        value, failure = None, error
    return Outcome(value, failure, time.perf_counter() - began)
