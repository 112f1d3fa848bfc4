"""Find the workload that a text names: one of the zoo, or `FILE.py:FACTORY`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from qtaml_codesign.errors import WorkloadError, did_you_mean, shown
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.usercode import UserCode
from qtaml_codesign.nets.workload import Workload

FORM = "FILE.py:FACTORY, a function without arguments that returns a Workload"


def from_reference(text: str) -> tuple[Workload, str]:
    """The workload and the text that loads it again in another process (file paths made absolute)."""
    if not isinstance(text, str):
        raise WorkloadError(
            "a workload is named by a text", where="workload", rule=f"a name of the zoo, or {FORM}",
            value=f"{type(text).__name__}: {shown(text)}",
            next_step="pass 'small-cnn', or build a Workload(...) and use it directly",
        )
    if ":" in text or text.endswith(".py") or "/" in text:
        return _from_file(text)
    from qtaml_codesign.nets.zoo import zoo_workload

    return zoo_workload(text), text


def _from_file(text: str) -> tuple[Workload, str]:
    file_name, _, factory_name = text.rpartition(":") if ":" in text else (text, "", "")
    path = Path(os.path.abspath(os.path.expanduser(file_name)))
    if not os.path.isfile(path) or path.suffix != ".py":
        missing = path.suffix == ".py"
        raise WorkloadError(
            "the workload file does not exist" if missing else "the workload file is not a Python file", where=text,
            rule=FORM, value=str(path), next_step=_names_beside(path) if missing else "give a path that ends in .py",
        )
    path = path.resolve()
    with global_randomness_kept(), _importable(path.parent):
        module = _run_file(path)
        workload = _call_factory(_factory(module, factory_name, text), text)
    return workload, f"{path}:{factory_name}"


@contextmanager
def importable_file(source: str | None) -> Iterator[None]:
    """Inside, what a workload's file defines can be found by name, and what lies beside it; no function is called.

    Args:
        source: "FILE.py:FACTORY" with an absolute path; None for a workload without a file.
    """
    if source is None:
        yield
        return
    path = Path(source.rpartition(":")[0])
    with global_randomness_kept(), _importable(path.parent):
        if _private_name(path) not in sys.modules:
            _run_file(path)
        yield


def _private_name(path: Path) -> str:
    return f"_qtaml_codesign_workload_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"


def _run_file(path: Path) -> ModuleType:
    name = _private_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with UserCode("the workload file fails", str(path), "the file can be imported", f"run: python {path}", path):
            spec.loader.exec_module(module)
    except WorkloadError:
        del sys.modules[name]
        raise
    return module


def _factory(module: ModuleType, name: str, text: str) -> Callable[[], object]:
    factory: Callable[[], object] | None = getattr(module, name, None) if name else None
    if factory is not None and callable(factory):
        return factory
    own = [
        key for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    raise WorkloadError(
        "the file has no such function" if name else "the function in the file is not named", where=text, rule=FORM,
        value=name or "no function",
        next_step=did_you_mean(name, own) if own else "define a function in the file that returns a Workload",
    )


def _call_factory(factory: Callable[[], object], text: str) -> Workload:
    with UserCode("the workload function fails", text, FORM, "call it alone in Python to see the whole traceback",
                  "called without arguments"):
        workload = factory()
    if not isinstance(workload, Workload):
        raise WorkloadError(
            "the workload function returns something else", where=text, rule=FORM,
            value=f"{type(workload).__name__}: {shown(workload)}",
            next_step="return Workload(model, calibration, evaluation)",
        )
    return workload


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules beside the file can be imported by it, as when it is run as a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _names_beside(path: Path) -> str:
    beside = [file.name for file in sorted(path.parent.glob("*.py"))][:20] if os.path.isdir(path.parent) else []
    return did_you_mean(path.name, beside) if beside else f"there is no Python file in {path.parent}"
