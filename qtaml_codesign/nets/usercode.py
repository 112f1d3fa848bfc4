"""Run code that belongs to the user, alone or as a file; whatever it raises says where and with what it happened."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from qtaml_codesign.errors import CodesignError, WorkloadError, shorten
from qtaml_codesign.nets.randomness import global_randomness_kept


@contextmanager
def user_code(what: str, where: str, rule: str, next_step: str, given: object) -> Iterator[None]:
    """Inside, the user's own code runs; any exception leaves it as a `WorkloadError`, the cause kept.

    Errors of this package and keyboard interrupts pass through unchanged.

    Args:
        what, where, rule, next_step: parts of the error.
        given: what the code was given, for the message.

    Raises:
        WorkloadError: the user's code failed.

    Example:
        >>> try:
        ...     with user_code("the factory failed", "net.py:make", "it gives a Workload", "run it alone", "no input"):
        ...         1 / 0
        ... except WorkloadError as failure:
        ...     print(failure.what, "/", failure.where)
        the factory failed: ZeroDivisionError: division by zero / net.py:make
    """
    try:
        yield
    except (KeyboardInterrupt, CodesignError):
        raise
    except BaseException as failure:
        raise WorkloadError(
            f"{what}: {type(failure).__name__}: {shorten(failure, 500)}", where=where, rule=rule, value=given,
            next_step=next_step,
        ) from failure


def run_file(path: Path) -> ModuleType:
    """The module that a file makes, run anew; found in `sys.modules` from then on.

    Args:
        path: an existing file, absolute.

    Raises:
        WorkloadError: the file fails.
    """
    name = _private_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with user_code("the workload file fails", str(path), "the file can be imported", f"run: python {path}", path):
            spec.loader.exec_module(module)
    except WorkloadError:
        del sys.modules[name]
        raise
    return module


@contextmanager
def beside(path: Path) -> Iterator[None]:
    """Inside, modules beside a file can be imported by it, as when it is run as a script.

    Args:
        path: of the file, absolute.
    """
    sys.path.insert(0, str(path.parent))
    try:
        yield
    finally:
        sys.path.remove(str(path.parent))


@contextmanager
def importable_file(source: str | None) -> Iterator[None]:
    """Inside, what a workload's file defines can be found by name, and what lies beside it; no function is called.

    Args:
        source: "FILE.py:FACTORY" with an absolute path; anything else names no such file.

    Raises:
        WorkloadError: the file fails.
    """
    path = Path((source or "").rpartition(":")[0])
    if path.suffix != ".py":
        yield
        return
    with global_randomness_kept(), beside(path):
        if _private_name(path) not in sys.modules:
            run_file(path)
        yield


def _private_name(path: Path) -> str:
    return f"_qtaml_codesign_workload_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
