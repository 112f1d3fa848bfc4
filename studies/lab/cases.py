"""Measure many cases on several processes, and keep each as soon as it is done."""

from __future__ import annotations

import dis
import hashlib
import inspect
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, TextIO

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import qtaml_codesign as qc
from qtaml_codesign.sweeps.task import ENGINE_VERSION

Case = dict[str, Any]
Row = dict[str, Any]
Measure = Callable[[Case, Path], list[Row]]
STUDIES = Path(__file__).parent.parent


class Interrupted(Exception):
    """The user pressed Ctrl-C; what was measured is kept."""


def measure_all(
    title: str, measure: Measure, cases: list[Case], folder: Path, networks: Path, workers: int
) -> list[Row]:
    """Rows of all cases, in the order of the cases, measuring only those that `folder`/cases.jsonl lacks.

    A case is found again by its content, the source text of `measure` and of what it uses of studies/, and the versions
    of package and engine. Rows carry the fields of their case.
    """
    recipe = recipe_of(measure)
    names = [_digest(title, recipe, case) for case in cases]
    found = dict(_kept(folder / "cases.jsonl"))
    missing = {name: case for name, case in zip(names, cases, strict=True) if name not in found}
    with (folder / "cases.jsonl").open("a", encoding="utf-8") as file:
        for name, rows in in_parallel(title, measure, missing, networks, workers):
            found[name] = rows
            _keep(file, name, rows)
    return [{**case, **row} for name, case in zip(names, cases, strict=True) for row in found[name]]


def in_parallel(
    title: str, work: Callable[[Any, Path], Any], jobs: dict[str, Any], folder: Path, workers: int
) -> Iterator[tuple[str, Any]]:
    """(name, work(job, folder)) of every job as it is done, with a progress bar; one worker is this process."""
    if not jobs:
        return
    with _bar() as bar:
        task = bar.add_task(title, total=len(jobs))
        results = _here(work, jobs, folder) if workers == 1 else _crew(work, jobs, folder, workers)
        done = 0
        try:
            for name, result in results:
                yield name, result
                done += 1
                bar.update(task, advance=1)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{title}: stopped; {done} of {len(jobs)} done in this run are kept, the same command continues"
            ) from None


def _here(work: Callable[[Any, Path], Any], jobs: dict[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    for name, job in jobs.items():
        with _one_thread():
            result = work(job, folder)
        yield name, result


def _crew(
    work: Callable[[Any, Path], Any], jobs: dict[str, Any], folder: Path, workers: int
) -> Iterator[tuple[str, Any]]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_prepare)
    try:
        futures = {pool.submit(work, job, folder): name for name, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare() -> None:
    """In a new process: Ctrl-C is the parent's affair, and torch takes one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    TextColumn("left"), TimeRemainingColumn())


def _digest(title: str, recipe: dict[str, str], case: Case) -> str:
    content = [title, qc.__version__, ENGINE_VERSION, recipe, case]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def recipe_of(function: Callable[..., Any], root: Path = STUDIES) -> dict[str, str]:
    """Name -> source text of a function and of all functions and classes below `root` that it uses; name -> constant.

    What makes tables, figures and verdicts is not used by `measure`, so that changing it keeps the cases.
    """
    found: dict[str, str] = {}
    pending: list[Any] = [function]
    while pending:
        current = pending.pop()
        file = Path(inspect.getfile(current)).stem
        if (own := f"{file}.{current.__qualname__}") in found:
            continue
        found[own] = inspect.getsource(current)
        if inspect.isclass(current):
            written = inspect.getfile(current)  # what a dataclass adds is not
            pending += [member for member in vars(current).values()
                        if inspect.isfunction(member) and member.__code__.co_filename == written]
            continue
        for name in _globals_read(current.__code__) & set(current.__globals__):
            value = inspect.unwrap(current.__globals__[name])
            if _is_constant(value):
                found[f"{file}.{name}"] = repr(value)
            elif (inspect.isfunction(value) or inspect.isclass(value)) and _below(root, value):
                pending.append(value)
    return found


def _is_constant(value: object) -> bool:
    """A value whose text says all of it, in every process the same."""
    return not callable(value) and not inspect.ismodule(value) and " at 0x" not in repr(value)


def _below(root: Path, thing: Any) -> bool:
    try:
        return Path(inspect.getfile(thing)).is_relative_to(root)
    except TypeError:  # built in
        return False


def _globals_read(code: CodeType) -> set[str]:
    """Names of the module that a function reads, those of functions inside it too."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return names.union(*map(_globals_read, inner))


def _keep(file: TextIO, name: str, rows: list[Row]) -> None:
    file.write(json.dumps({"case": name, "rows": rows}, default=_plain) + "\n")
    file.flush()


def _plain(value: Any) -> Any:
    """A number of numpy as a number of Python."""
    return value.item()


def _kept(path: Path) -> Iterable[tuple[str, list[Row]]]:
    """Finished cases; a line torn by a kill ends without a newline and is cut off."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        entry = json.loads(line)
        yield entry["case"], entry["rows"]
