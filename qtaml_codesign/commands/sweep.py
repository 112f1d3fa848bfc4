"""`codesign sweep`: accuracy over oxide thickness, protection method and ECC budget, and the frontier."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qtaml_codesign.report import SweepReport
    from qtaml_codesign.sweeps.collect import SweepProgress

_QUIET_S = 10.0
_MOST_WORKERS = 8
_INTERRUPTED = 130
_LEAST_WIDTH = 100  # a narrow terminal wraps a long row; it is never cut short


def sweep(
    device: Annotated[str, typer.Option("--device", help="Device card: a shipped name or a path.")],
    workload: Annotated[str, typer.Option("--workload", help="Zoo name or FILE.py:FACTORY.")] = "small-cnn",
    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Oxide thickness A:B:N in nm. Default: the card's sweep range."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="Protected-bit fractions, comma separated. Default: nine from 0 to 0.375."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="tac, tac-bits-only, tac-always-corrected, mean-only, uniform-msp, uniform-msp-fractional, magnitude, "
            "sensitivity, random or none; repeat it for several. Default: tac and uniform-msp.",
        ),
    ] = None,
    target: Annotated[float, typer.Option("--target", help="Fraction of the clean accuracy to keep.")] = 0.95,
    trials: Annotated[
        int | None, typer.Option("--trials", help="Drawings per point; instead of the adaptive --half-width.")
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="Go on until the 95 % interval of each accuracy is +- this. Default: 0.01."),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", help="Most drawings per point with --half-width. Default: 320.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Key of every random choice.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Worker processes. Default: the usable CPUs, at most 8.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results. Default: runs/CARD-WORKLOAD.")
    ] = None,
    allocation: Annotated[
        str | None, typer.Option("--allocation", help="greedy (the paper's, default) or exact (integer programme).")
    ] = None,
) -> None:
    """How thin may the oxide be for each ECC budget, and how much ECC does each thickness need?

    Writes results.sqlite, sweep.csv, frontier.csv, frontier.png and run.json. The same command again continues where
    it stopped, and gives the same numbers whatever the number of workers.

    \b
    Example:
      codesign sweep --device 3nm
      codesign sweep --device 3nm --thickness 1.72:1.9:7 --budget 0.02,0.05 --method tac --method magnitude
    """
    from qtaml_codesign.cards import load_card
    from qtaml_codesign.commands.ranges import parse_numbers, parse_range
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.run import sweep as run_sweep
    from qtaml_codesign.sweeps.settings import DEFAULT_METHODS

    card = load_card(device)
    folder = out if out is not None else Path("runs") / f"{_bare(card.name)}-{_bare(_short(workload))}"
    grid = None if thickness is None else parse_range(thickness, "--thickness")
    budgets = None if budget is None else parse_numbers(budget, "--budget")
    with _interruptible(folder), _progress() as report:
        result = run_sweep(
            workload, card, grid, budgets, tuple(method) if method else DEFAULT_METHODS, seed, target=target,
            trials=trials, half_width=half_width, max_trials=max_trials,
            workers=usable_cpus() if workers is None else workers, out=folder, allocation=allocation, progress=report,
        )
    _print(sweep_report(result), folder)


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


def _print(report: SweepReport, folder: Path) -> None:
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
    console.print(f"wrote results.sqlite, sweep.csv, frontier.csv, frontier.png, run.json into {folder}")


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Ctrl-C ends with one line; typer would end without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; what was finished is kept in {folder}, and the same command goes on from there",
              file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _progress() -> Iterator[Callable[[SweepProgress], None]]:
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
            bar.update(rows[state.stage], completed=state.done, trials=trials)

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
        left = f", about {(now - self._began) / fresh * (state.total - state.done):.0f} s left" if fresh else ""
        trials = f", {state.trials} trials" if state.trials else ""
        print(f"{state.stage}: {state.done} of {state.total}{trials}{left}", file=sys.stderr, flush=True)
