"""A workload by value: its module, inputs and labels as bytes, for other processes of this program."""

from __future__ import annotations

import io
from typing import BinaryIO

import torch

from qtaml_codesign.nets.loading import importable_file
from qtaml_codesign.nets.usercode import UserCode
from qtaml_codesign.nets.workload import Workload

TOP_LEVEL = "define the module's class and the logits function at the top level of a file (not inside a function)"


def pack(workload: Workload, target: str | BinaryIO) -> None:
    """Write a workload to a file; nothing of it is moved, shared or changed.

    Raises:
        WorkloadError: its module or its logits function cannot be pickled.
    """
    with UserCode("the workload cannot be sent to other processes", f"workload {workload.name!r}",
                  "a module and a logits function that can be pickled", f"use workers=1, or {TOP_LEVEL}",
                  type(workload.network.module).__name__):
        torch.save(workload.parts(), target)


def as_bytes(workload: Workload) -> bytes:
    """What `pack` writes.

    Example:
        >>> from qtaml_codesign.nets.workload import load_workload
        >>> unpack(as_bytes(load_workload("small-cnn")))
        Workload('small-cnn', 4 tensors, 360 samples)
    """
    buffer = io.BytesIO()
    pack(workload, buffer)
    return buffer.getvalue()


def unpack(packed: str | bytes, source: str | None = None) -> Workload:
    """The workload from what `pack` wrote; that runs code, so read only what this program has written itself.

    Args:
        packed: path of the file, or its bytes.
        source: "FILE.py:FACTORY" that the workload came from: the file is run, so that its classes are there, and the
            factory is not called.
    """
    with importable_file(source), UserCode(
        "the workload cannot be rebuilt in another process", "the module's class or the logits function",
        "what they are made of can be imported there", f"use workers=1, or {TOP_LEVEL}", source or "built in Python",
    ):
        origin = packed if isinstance(packed, str) else io.BytesIO(packed)
        arguments, named = torch.load(origin, weights_only=False, mmap=isinstance(packed, str))
    workload = Workload(*arguments, **named)
    workload.source = source
    return workload
