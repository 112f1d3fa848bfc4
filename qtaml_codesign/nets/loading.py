"""Find the workload that a text names: one of the zoo, `FILE.py:FACTORY`, or a network that other programs wrote."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from qtaml_codesign.errors import WorkloadError, did_you_mean, shown
from qtaml_codesign.nets.from_files import file_workload
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.usercode import beside, run_file, user_code
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.nets.zoo import ZOO, zoo_workload

PLUGINS = "qtaml_codesign.workload_loaders"
"""Group of entry points: the name is the ending of a file (".kind"), the value a function of its path that returns a
Workload."""
FORM = "FILE.py:FACTORY, a function without arguments that returns a Workload"


def load_workload(reference: str | Workload, data: str | Path | None = None) -> Workload:
    """A network of the zoo by name, what a function in a Python file returns, or a file that holds a network.

    Args:
        reference: `small-cnn`, `wide-cnn`, `deep-cnn`, `res-cnn`, `transformer`; `FILE.py:FACTORY`, and the file is
            run; a folder of Hugging Face transformers, a `.onnx` file, or a `.pt2` file of torch.export; or a path with
            an ending that an installed package reads (`PLUGINS`). A Workload passes through.
        data: FILE.npz or FILE.safetensors with calibration and evaluation data (`data_file.FORM`), for such folders,
            `.onnx` and `.pt2` files.

    Raises:
        WorkloadError: there is no such network, file or function, or it fails.

    Example:
        >>> load_workload("small-cnn")
        Workload('small-cnn', 4 tensors, 360 samples)
    """
    if isinstance(reference, Workload):
        return reference
    if not isinstance(reference, str):
        raise WorkloadError(
            "a workload is named by a text", where="workload", rule=f"a name of the zoo, or {FORM}",
            value=f"{type(reference).__name__}: {shown(reference)}",
            next_step="pass 'small-cnn', or build a Workload(...) and use it directly",
        )
    beside_it = None if data is None else _absolute(str(data))
    workload, source = _found(reference, beside_it)
    workload.source = source
    workload.load = load_workload if beside_it is None else partial(load_workload, data=beside_it)
    return workload


def _found(text: str, data: Path | None) -> tuple[Workload, str]:
    """The workload, and the text that finds it again from any folder."""
    path = _absolute(text)
    plugin = next(iter(entry_points(group=PLUGINS, name=Path(text).suffix)), None) if data is None else None
    if plugin is not None:
        return _made(lambda: plugin.load()(str(path)), text, f"{plugin.value} returns a Workload"), str(path)
    if text not in ZOO and os.path.exists(path):  # a Path raises where no file system takes the name
        with global_randomness_kept():
            workload = file_workload(path, data)
        if workload is not None:
            return workload, str(path)
    if data is not None:
        raise WorkloadError(
            "this workload has data of its own" if ":" in text else "there is no such network to take data",
            where="data (--data)", rule="data come with a folder of transformers, a .onnx or a .pt2 file", value=text,
            next_step="leave --data out, or check the path of the network",
        )
    if ":" in text or text.endswith(".py") or "/" in text:
        return _from_file(text)
    return zoo_workload(text), text


def _from_file(text: str) -> tuple[Workload, str]:
    file_name, _, factory_name = text.rpartition(":") if ":" in text else (text, "", "")
    path = _absolute(file_name)
    if not os.path.isfile(path) or path.suffix != ".py":
        missing = path.suffix == ".py"
        raise WorkloadError(
            "the workload file does not exist" if missing else "the workload file is not a Python file", where=text,
            rule=FORM, value=str(path), next_step=_names_beside(path) if missing else "give a path that ends in .py",
        )
    path = path.resolve()
    with global_randomness_kept(), beside(path):
        return _made(_factory(run_file(path), factory_name, text), text, FORM), f"{path}:{factory_name}"


def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))


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


def _made(factory: Callable[[], object], text: str, rule: str) -> Workload:
    with user_code("the workload function fails", text, rule, "call it alone in Python to see the whole traceback",
                  "called without arguments"):
        workload = factory()
    if not isinstance(workload, Workload):
        raise WorkloadError(
            "the workload function returns something else", where=text, rule=rule,
            value=f"{type(workload).__name__}: {shown(workload)}",
            next_step="return Workload(model, calibration, evaluation)",
        )
    return workload


def _names_beside(path: Path) -> str:
    names = [file.name for file in sorted(path.parent.glob("*.py"))][:20] if os.path.isdir(path.parent) else []
    return did_you_mean(path.name, names) if names else f"there is no Python file in {path.parent}"
