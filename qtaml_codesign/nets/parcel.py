"""How a workload travels to another process: by value, in a file or in the message; from its source if it must."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.usercode import importable_file, user_code

TOP_LEVEL = ("define the module's class, the logits function and the metric's score at the top level of a file (not "
             "inside a function)")


class WorkloadAbsentError(WorkloadError):
    """The file of a parcel is not there: whoever opens it is on another machine and needs the bytes themselves."""


@dataclass(frozen=True)
class Parcel:
    """A workload on its way; opening it runs code, so open only what this program has packed.

    Args:
        digest: `Workload.digest`; what comes out must have it.
        name: for messages.
        source: what the workload was loaded from; None for one that was built in Python. A "FILE.py:FACTORY" is run
            where the parcel is opened, so that its classes are there, and the factory is not called.
        load: makes the workload again from its source, where it cannot be sent or comes out different.
        content: path of a file that holds it, or the bytes of that file; None where it cannot be sent.
        obstacle: why not.
    """

    digest: str
    name: str
    source: str | None
    load: Callable[[str], Any] | None
    content: str | bytes | None
    obstacle: str = ""

    def open(self) -> Any:
        """The workload, the same to the last bit.

        Raises:
            WorkloadAbsentError: the file is not on this machine.
            WorkloadError: it cannot be rebuilt here, or came out different.
        """
        found, obstacle = self._unpacked()
        if (found is None or found.digest != self.digest) and self.source is not None and self.load is not None:
            found = self.load(self.source)
        if found is None or found.digest != self.digest:
            raise WorkloadError(
                "the workload changed between two processes", where=f"workload {self.name!r}",
                rule="every process works on the same weights and inputs",
                value=f"what it was loaded from made another one; it was not taken as it was sent because: {obstacle}",
                next_step=f"{TOP_LEVEL}; or train once, save the weights, and load them in the factory; or use one "
                "worker",
            )
        return found

    def by_value(self) -> Parcel:
        """The same parcel with the bytes of the file in it.

        Raises:
            OSError: the file cannot be read.
        """
        return replace(self, content=Path(self.content).read_bytes()) if isinstance(self.content, str) else self

    def _unpacked(self) -> tuple[Any, str]:
        """What the content holds, and why that may not serve."""
        if self.content is None:
            return None, self.obstacle
        if isinstance(self.content, str) and not Path(self.content).is_file():
            raise WorkloadAbsentError(
                "the file of the workload is not on this machine", where=self.content, rule="a file that can be read",
                value=self.name, next_step="the job is sent again with the workload in it",
            )
        origin = io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content
        try:
            with importable_file(self.source), user_code(
                "the workload cannot be rebuilt in another process",
                "the module's class, the logits function or the metric's score",
                "what they are made of can be imported there", f"use workers=1, or {TOP_LEVEL}",
                self.source or self.name,
            ):
                kind, arguments, named = torch.load(origin, weights_only=False, mmap=isinstance(origin, str))
            workload = kind(*arguments, **named)
        except WorkloadError as failure:
            if self.source is None:
                raise
            return None, failure.what
        workload.source, workload.load = self.source, self.load
        return workload, "it came out different"


def pack(workload: Any, path: str | None = None) -> Parcel:
    """A workload by value; nothing of it is moved, shared or changed.

    Args:
        workload: the `Workload` that travels.
        path: file to write it to; None puts it into the parcel.

    Raises:
        WorkloadError: its module, logits function or metric cannot be pickled, and it has no source to be loaded from.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> pack(load_workload("small-cnn")).open()
        Workload('small-cnn', 4 tensors, 360 samples)
    """
    parcel = Parcel(workload.digest, workload.name, workload.source, workload.load, None)
    buffer = io.BytesIO()
    try:
        _write(workload, buffer if path is None else path)
    except WorkloadError as failure:
        if workload.source is None:
            raise
        return replace(parcel, obstacle=failure.what)
    return replace(parcel, content=buffer.getvalue() if path is None else path)


def pack_with_code(workload: Any, pickler: Any) -> Parcel:
    """A workload by value for a machine that need not have the files it was made from: nothing of them is run there.

    Args:
        workload: the `Workload` that travels.
        pickler: a module like pickle that takes along the code of what cannot be imported elsewhere (`cloudpickle`).

    Raises:
        WorkloadError: its module, logits function or metric cannot be pickled.
    """
    buffer = io.BytesIO()
    _write(workload, buffer, pickle_module=pickler)
    return Parcel(workload.digest, workload.name, None, None, buffer.getvalue())


def _write(workload: Any, target: io.BytesIO | str, **options: Any) -> None:
    """Pickle a workload, the score of its metric first, so that an error says which of the two it was."""
    arguments, named = workload.parts()
    with _packing(f"score of the metric {workload.metric.name!r}", workload.metric.score):
        torch.save(workload.metric, io.BytesIO(), **options)
    with _packing(f"workload {workload.name!r}", type(arguments[0])):
        torch.save((type(workload), arguments, named), target, **options)


def _packing(where: str, part: object) -> AbstractContextManager[None]:
    """Inside, a part of a workload is pickled."""
    return user_code("the workload cannot be sent to other processes", where,
                     "a module, a logits function and a metric's score that can be pickled",
                     f"use workers=1, or {TOP_LEVEL}", getattr(part, "__qualname__", type(part).__name__))
