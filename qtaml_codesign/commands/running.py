"""What the two commands that run trials share: their folder, their progress on the terminal, and their report."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from qtaml_codesign.report import SweepReport
    from qtaml_codesign.sweeps.collect import SweepProgress

_QUIET_S = 10.0
_MOST_WORKERS = 8
_INTERRUPTED = 130
_LEAST_WIDTH = 100  # a narrow terminal wraps a long row; it is never cut short


def default_folder(card: str, workload: str) -> Path:
    """runs/CARD-WORKLOAD."""
    return Path("runs") / f"{_bare(card)}-{_bare(_short(workload))}"


def lenders(folder: Path, out: Path | None, reuse: list[Path] | None) -> list[Path]:
    """Stores to reuse: those named, or all beside the default folder; results are named by content, so none can mix."""
    if reuse is not None or out is not None:
        return reuse or []
    found = sorted(path.parent for path in folder.parent.glob("*/results.sqlite") if path.parent != folder)
    places = [place for place in found if _can_lend(place)]
    if places:
        print(f"note: trials of {', '.join(place.name for place in places)} are reused where they fit", file=sys.stderr)
    return places


def _can_lend(place: Path) -> bool:
    """Whether a store found by itself can be read; if not, the reader is told, and the sweep goes on without it."""
    from qtaml_codesign.errors import StoreError
    from qtaml_codesign.sweeps.lenders import lender

    try:
        lender(place).close()
    except StoreError as failure:
        print(f"note: the results in {place} are not reused: {failure.what}", file=sys.stderr)
        return False
    return True


def stands_there(folder: Path) -> tuple[str, str] | None:
    """Card and workload of the sweep whose tables lie in a folder; None where there are none that can be read."""
    import json

    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return record["card"]["name"], record["workload"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tell_replaced(folder: Path, before: tuple[str, str] | None, now: tuple[str, str]) -> None:
    """A line when the tables of another sweep were replaced."""
    if before is not None and before != now:
        print(f"note: the tables in {folder} were those of {' and '.join(before)}; they are replaced, its trials stay "
              "in results.sqlite", file=sys.stderr)


def usable_cpus() -> int:
    """CPUs that this process may use, at most 8: each worker holds its own copy of torch."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        available = os.cpu_count() or 1
    return min(available, _MOST_WORKERS)


def _short(workload: str) -> str:
    """`path/net.py:make` -> `net-make`; a zoo name stays."""
    file, colon, factory = workload.rpartition(":")
    return f"{Path(file).stem}-{factory}" if colon else workload


def _bare(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip(".") or "unnamed"


def print_report(report: SweepReport, folder: Path, knots: bool = False) -> None:
    """Facts, tables and notes on stdout, and which files were written."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=True, width=max(Console().width, _LEAST_WIDTH))
    for name, text in report.facts:
        console.print(f"{name:<15} {text}")
    for content in report.tables:
        console.print(f"\n{content.title}")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in content.columns:
            table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True, vertical="bottom")
        for row in content.rows:
            table.add_row(*row)
        console.print(table, crop=False)
        console.print(content.note)
    console.print()
    for note in report.notes:
        console.print(f"note: {note}")
    between = ", knots.csv" if knots else ""
    console.print(f"wrote results.sqlite, sweep.csv{between}, frontier.csv, frontier.png, run.json into {folder}")


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Ctrl-C ends with one line; typer would end without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; what was finished is kept in {folder}, and the same command goes on from there",
              file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def progress_shown() -> Iterator[Callable[[SweepProgress], None]]:
    """A bar with the time left on a terminal; a line now and then elsewhere. Always on stderr."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[trials]}"),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        rows = {}

        def show(state: SweepProgress) -> None:
            if state.stage not in rows:
                rows[state.stage] = bar.add_task(state.stage, total=state.total, trials="")
            trials = f"{state.trials} trials" if state.trials else ""
            bar.update(rows[state.stage], completed=state.done, total=state.total, trials=trials)

        yield show


class _Lines:
    """Progress as plain lines, at most one every ten seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._last = time.monotonic()
        self._done_before = 0

    def __call__(self, state: SweepProgress) -> None:
        now = time.monotonic()
        if state.stage != self._stage:
            self._stage, self._began, self._done_before = state.stage, now, state.done
        if now - self._last < _QUIET_S:
            return
        self._last = now
        fresh = state.done - self._done_before
        known = fresh >= max(2, state.total // 20)
        left = f", about {(now - self._began) / fresh * (state.total - state.done):.0f} s left" if known else ""
        trials = f", {state.trials} trials" if state.trials else ""
        print(f"{state.stage}: {state.done} of {state.total}{trials}{left}", file=sys.stderr, flush=True)
