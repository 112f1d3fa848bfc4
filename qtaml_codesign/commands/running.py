"""What the two commands that run trials share: their folder, their progress on the terminal, and their report."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from qtaml_codesign.commands.inputs import network_input
from qtaml_codesign.commands.runners import who_runs

if TYPE_CHECKING:
    from qtaml_codesign.commands.options import TrialOptions
    from qtaml_codesign.report import SweepReport
    from qtaml_codesign.sweeps.progress import SweepProgress
    from qtaml_codesign.tac.evaluation import Progress

Result = TypeVar("Result")
_QUIET_S = 10.0
_TERMINAL_S = 2.0
_FIRST_ROWS = 3
_INTERRUPTED = 130
_LONGEST_NAME = 120


def run_trials(
    library: Callable[..., Result], asked: TrialOptions, thickness_nm: object, suffix: str = "", **more: object
) -> tuple[Result, Path]:
    """Run a sweep, or another search over trials, as a command was asked to.

    Args:
        library: `sweep`, `find_frontier` or `sweep_family`.
        asked: the options of the command.
        thickness_nm: its thicknesses in nm, or None.
        suffix: end of the default folder's name.
        more: further arguments for the library; None stands for its default.

    Returns:
        The result, and the folder that holds it.

    Raises:
        typer.Exit: with code 130, on Ctrl-C.
        CodesignError: what the card, the options or the library refuse.
    """
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.ranges import parse_fractions, parse_range

    card = with_settings(load_card(asked.device), asked.changed or [])
    folder = asked.out or default_folder(card.name, f"{_short(asked.workload)}{suffix}", asked.changed or [])
    given = {
        "thickness_nm": thickness_nm, "target": asked.target, "metric": asked.metric, "seed": asked.seed,
        "budgets": None if asked.budget is None else parse_fractions(asked.budget, "--budget"),
        "cells": None if asked.cells is None else parse_range(asked.cells, "--cells").tolist(),
        "methods": [name.strip() for text in asked.method or [] for name in text.split(",")] or None,
        "margin": asked.margin, "block": asked.block, "half_width": asked.half_width, "max_trials": asked.max_trials,
        "allocation": asked.allocation, "sensitivity": asked.sensitivity, "decode": asked.decode or None,
        "figure_format": asked.figure_format, **more,
    }
    network = network_input(asked.workload, asked.data)
    with interruptible(folder), progress_shown() as report, who_runs(asked.workers, asked.cluster, report) as runners:
        result = library(
            network, card, out=folder, reuse=lenders(folder, asked.out, asked.reuse), progress=report,
            **runners, **{name: value for name, value in given.items() if value is not None},
        )
    return result, folder


def default_folder(card: str, workload: str, changed: Sequence[str] = ()) -> Path:
    """runs/CARD-WORKLOAD, and after it what is changed: a name of at most 120 characters.

    Args:
        card: its name.
        workload: its name.
        changed: what `--set` says.

    Example:
        >>> default_folder("3nm", "small-cnn", ["window_s=2e-6"]).as_posix()
        'runs/3nm-small-cnn-window_s=2e-6'
    """
    return Path("runs") / "-".join(_bare(part) for part in (card, workload, *sorted(changed)))[:_LONGEST_NAME]


def lenders(folder: Path, out: Path | None, reuse: list[Path] | None) -> list[Path]:
    """Stores to reuse: those named, or all beside the default folder; results are named by content, so none can mix.

    Args:
        folder: of the run.
        out: what `--out` names, if anything: then only what is named is reused.
        reuse: what `--reuse` names.
    """
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


def _short(workload: str) -> str:
    """`path/net.py:make` -> `net-make`, `path/net.onnx` -> `net`; a zoo name stays."""
    file, colon, factory = workload.rpartition(":")
    return f"{Path(file).stem}-{factory}" if colon else Path(workload).stem


def _bare(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name).strip(".") or "unnamed"


def print_report(report: SweepReport, folder: Path, knots: bool = False, figure_format: str | None = None) -> None:
    """Facts, tables and notes on stdout, and which files were written.

    Args:
        report: what is told.
        folder: where the files are.
        knots: whether knots.csv is among them.
        figure_format: of the figure; None: png.
    """
    from qtaml_codesign.commands.show import print_table, say

    width = max(15, *(len(name) for name, _ in report.facts))
    for name, text in report.facts:
        say(f"{name:<{width}} {text}", indent=" " * (width + 1))
    for content in report.tables:
        say(f"\n{content.title}")
        print_table(content.columns, content.rows, left=("method", "field"), keys=content.keys)
        say(content.note)
    say("")
    for note in report.notes:
        say(f"note: {note}")
    between, drawn = ", knots.csv" if knots else "", f"frontier.{figure_format or 'png'}"
    say(f"wrote results.sqlite, sweep.csv{between}, frontier.csv, {drawn}, run.json into {folder}")


def tell_loading(*what: str) -> None:
    """The first line of a command that takes a while, before anything heavy is imported.

    Args:
        what: the things to be loaded.
    """
    print(f"loading {' and '.join(what)} ...", file=sys.stderr, flush=True)


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Inside, Ctrl-C ends with one line that names the folder; typer would end without a word.

    Args:
        folder: where the results are kept.

    Raises:
        typer.Exit: with code 130, on Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; what was finished is kept in {folder}, and the same command goes on from there",
              file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def progress_shown() -> Iterator[Callable[[SweepProgress], None]]:
    """A bar with the time left on a terminal, a line now and then elsewhere, and the news between; always on stderr."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[trials]}"),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        rows = {}
        news = _News(_TERMINAL_S, lambda text: bar.console.print(text, markup=False, highlight=False))

        def show(state: SweepProgress) -> None:
            if news(state):
                return
            if state.stage not in rows:
                rows[state.stage] = bar.add_task(state.stage, total=None, trials="")
            trials = f"{state.trials} trials" if state.trials else ""
            bar.update(rows[state.stage], completed=state.done, total=state.total or None, trials=trials)

        yield show


class _News:
    """Notes and the first answer as they come; of the points that settle the first few, and then one now and then."""

    def __init__(self, quiet_s: float, tell: Callable[[str], None]) -> None:
        self._quiet_s, self._tell = quiet_s, tell
        self._told, self._last = 0, 0.0

    def __call__(self, state: SweepProgress) -> bool:
        """Tell what a state has to tell; False where it only says how far the work is."""
        from qtaml_codesign.report import answer_line, settled_line

        if state.note:
            self._tell(f"note: {state.note}")
        if state.answer is not None:
            self._tell(answer_line(state.answer))
        now = time.monotonic()
        if state.settled is not None and (self._told < _FIRST_ROWS or now - self._last >= self._quiet_s):
            self._told, self._last = self._told + 1, now
            self._tell(settled_line(state.settled))
        return bool(state.note) or state.settled is not None


class _Lines:
    """Progress as plain lines, at most one every ten seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._last = time.monotonic()
        self._done_before = 0
        self._news = _News(_QUIET_S, lambda text: print(text, file=sys.stderr, flush=True))

    def __call__(self, state: SweepProgress) -> None:
        if self._news(state) or state.total < 2:
            return
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


@contextmanager
def trials_bar(trials: int) -> Iterator[Progress]:
    """A bar with time left on stderr; it vanishes when the work is done.

    Args:
        trials: how many there will be.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("trials", total=trials)
        yield lambda finished, total: bar.update(row, completed=finished, total=total)
