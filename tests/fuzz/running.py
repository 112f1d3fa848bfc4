"""Run one command in this process, and say what is wrong with how it ended."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import random
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PARTS = ("  where: ", "  rule:  ", "  value: ", "  next:  ")
LIMIT_S = 60
LONGEST = 4000  # characters of an error
UNDEFINED = {"realised_ber", "nominal_ber"}  # columns that may be NaN: no cell was exposed


verbose = False


class TooSlow(KeyboardInterrupt):
    """A case that did not end in time; an interrupt, so that nothing in the program takes it for an error."""


@dataclass(frozen=True)
class Ended:
    """Exit code and output of one command."""

    code: int
    stdout: str
    stderr: str


def generator(seed: int, fuzzer: str, case: int) -> random.Random:
    """The random numbers of one case."""
    return random.Random(f"{seed}/{fuzzer}/{case}")


def run_command(arguments: list[str], folder: Path) -> Ended:
    """`codesign ARGUMENTS...` in this process, with `folder` as the working directory."""
    from qtaml_codesign.commands.main import run

    out, err, code = io.StringIO(), io.StringIO(), 0
    before, place = sys.argv, Path.cwd()
    sys.argv = ["codesign", *arguments]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), time_limit(), _warnings_raise():
            try:
                run()
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else -1
            except TooSlow:
                code, _ = -1, err.write(f"not done after {LIMIT_S} s")
            except KeyboardInterrupt:
                raise
            except BaseException as failure:
                code, _ = -1, err.write(f"Traceback (most of it left out): {failure!r}")
    finally:
        sys.argv = before
        os.chdir(place)
    ended = Ended(code, out.getvalue(), err.getvalue())
    if verbose:
        print(f"$ codesign {' '.join(arguments)}\n{ended.stdout}{ended.stderr}-> {ended.code}\n")
    return ended


def faults(ended: Ended) -> list[str]:
    """What breaks the rules: exit 0 or 2, no traceback, five parts in an error, no NaN in an answer."""
    found = []
    if ended.code not in (0, 2):
        found.append(f"exit code {ended.code}")
    if "Traceback (most" in ended.stderr or "this is a defect" in ended.stderr:
        found.append("an error that was not foreseen")
    if ended.code == 2 and "Usage: " not in ended.stderr:
        found += [f"{part.strip()} stands {ended.stderr.count(part)} times" for part in PARTS
                  if ended.stderr.count(part) != 1]
    if ended.code == 2 and "Usage: " not in ended.stderr and len(ended.stderr) > LONGEST:
        found.append(f"an error of {len(ended.stderr)} characters")
    if ended.code == 0 and re.search(r"(?<![^\s\[(=])nan(?![^\s,\])%])", _without_names(ended.stdout)):
        found.append("NaN in an accepted answer")
    return found


def faults_of_tables(folder: Path) -> list[str]:
    """NaN in the CSV files of a folder, but where a column says that it may be undefined."""
    found = []
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as table:
            for row in csv.DictReader(table):
                found += [f"{path.name}: {name} is {cell}" for name, cell in row.items()
                          if name not in UNDEFINED and _is_nan(cell)]
    return found[:5]


def files_in(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


def _is_nan(cell: str | None) -> bool:
    try:
        return math.isnan(float(cell or "0"))
    except ValueError:
        return False


def _without_names(text: str) -> str:
    """Output without names of files."""
    return "\n".join(line for line in text.lower().splitlines() if not line.startswith(("written:", "wrote ")))


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _warnings_raise() -> Iterator[None]:
    """A numpy warning inside the package is a defect: it becomes an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning, module="qtaml_codesign")
        yield
