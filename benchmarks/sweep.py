"""What a sweep costs: thicknesses, cards, the frontier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.page import Section

BUDGETS, METHODS = (0.05, 0.125), ("tac", "uniform-msp")
RANGE = (1.72, 1.84)
TRIALS = 30


def section() -> Section:
    """Questions about the cost of a sweep, answered in trials and seconds."""
    import qtaml_codesign as qc

    workload = qc.load_workload("small-cnn")
    qc.sweep(workload, "3nm", [1.8], [0.05], trials=2)
    notes: list[str] = []
    whole = qc.load_card("3nm").sweep.thickness_nm
    rows = [*_thicknesses(workload), _second_card(workload), _frontier(workload, notes, whole),
            _frontier(workload, notes, RANGE)]
    notes.append(_own_grid(workload))
    return Section(
        title="A sweep",
        method=f"SmallCNN on the 3 nm card, methods {' and '.join(METHODS)} at 5 % and 12.5 %, one process. "
               f"Thicknesses from {RANGE[0]} to {RANGE[1]} nm; the frontier also over the card's whole range. Costs "
               "are trials and seconds of one run; the ratio of trials does not depend on the machine.",
        header=["what", "trials", "seconds", "against", "trials", "seconds", "ratio of trials"],
        rows=rows, notes=notes,
    )


def _thicknesses(workload: Any) -> Iterator[list[str]]:
    """500 thicknesses against 12: with knots for both, and against 12 that are measured one by one."""
    many = _sweep(workload, np.linspace(*RANGE, 500), interpolate=True)
    few = _sweep(workload, np.linspace(*RANGE, 12), interpolate=True)
    direct = _sweep(workload, np.linspace(*RANGE, 12), interpolate=False)
    bare = _sweep(workload, np.linspace(*RANGE, 12), interpolate=False, refine=False)
    yield _row(f"500 thicknesses, {TRIALS} trials a knot", many, "12 thicknesses, the same way", few)
    measured = f"12 thicknesses measured, {TRIALS} trials each"
    yield _row(f"500 thicknesses, {TRIALS} trials a knot", many, f"{measured}, frontier bisected", direct)
    yield _row(f"500 thicknesses, {TRIALS} trials a knot", many, f"{measured}, no frontier", bare)


def _second_card(workload: Any) -> list[str]:
    """A card with a higher barrier over the same flip probabilities, with and without the first one's results."""
    import qtaml_codesign as qc

    card = qc.load_card("3nm").with_field("barrier.height_eV", 3.4)
    ends = [qc.thickness_for(card, float(qc.flip_probability(qc.load_card("3nm"), end).probability)) for end in RANGE]
    grid = np.linspace(*ends, 500)
    with TemporaryDirectory() as first:
        _sweep(workload, np.linspace(*RANGE, 500), interpolate=True, out=first)
        shared = _sweep(workload, grid, card=card, interpolate=True, reuse=[first])
    alone = _sweep(workload, grid, card=card, interpolate=True)
    return _row("a second card, reusing the first's results", shared, "the second card alone", alone)


def _frontier(workload: Any, notes: list[str], ends: tuple[float, float]) -> list[str]:
    """Bisection against plain grids over the same range: the wider the range, the more it saves.

    Per curve the plain grid has a step as fine as the interval that bisection found, and as few trials a point (10, 20,
    40, ...) as give an interval no wider.
    """
    import qtaml_codesign as qc

    found = _timed(lambda: qc.find_frontier(workload, "3nm", ends, BUDGETS, METHODS))
    table, trials, apart, begun, grids = found[0].frontier().to_frame(), 0, 0.0, time.perf_counter(), []
    for row in table.itertuples():
        count, points, at = _plain_grid(workload, row, ends)
        trials += count * points
        apart = max(apart, abs(at - row.thickness_nm))
        grids.append(f"{row.method} {row.budget:.1%}: {1e3 * (row.thickness_high_nm - row.thickness_low_nm):.1f} pm, "
                     f"{points} thicknesses x {count} trials")
    notes.append(
        f"From {ends[0]:g} to {ends[1]:g} nm: intervals of bisection, and the plain grids whose intervals are no "
        f"wider: {'; '.join(grids)}. The answers differ by at most {1e3 * apart:.1f} pm. Goal: a tenth of the trials "
        f"of the grids; "
        f"{'met' if 10 * found[0].new_trials <= trials else 'not met'}."
    )
    seconds = time.perf_counter() - begun
    ratio = f"{found[0].new_trials / trials:.3f}"
    return [f"frontier by bisection, {ends[0]:g} to {ends[1]:g} nm", f"{found[0].new_trials}", f"{found[1]:.1f}",
            "plain grids, fixed trials", f"{trials}", f"{seconds:.1f}", ratio]


def _own_grid(workload: Any) -> str:
    """The card's own thicknesses, measured as they are, against the bisected frontier."""
    import qtaml_codesign as qc

    own = qc.sweep(workload, "3nm", None, BUDGETS, METHODS, refine=False)
    exact = qc.find_frontier(workload, "3nm", None, BUDGETS, METHODS).frontier().to_frame()
    off = 1e3 * np.abs(own.frontier().to_frame().thickness_nm - exact.thickness_nm).max()
    return (f"The card's own {len(own.grid_nm)} thicknesses, with trials until each interval is +- 0.01 and nothing "
            f"between them, take {own.new_trials} trials, and their frontier is off by up to {off:.1f} pm, which its "
            "intervals do not say.")


def _plain_grid(workload: Any, row: Any, ends: tuple[float, float]) -> tuple[int, int, float]:
    """Trials a point, points, and the crossing of the cheapest plain grid of one curve."""
    import qtaml_codesign as qc

    card, width = qc.load_card("3nm"), row.thickness_high_nm - row.thickness_low_nm
    low, high = ends
    grid = np.linspace(low, high, int(np.ceil((high - low) / width)) + 1)
    with TemporaryDirectory() as folder:
        for trials in (10, 20, 40, 80, 160, 320):
            plain = qc.sweep(workload, card, grid, [row.budget], [row.method], trials=trials, interpolate=False,
                             out=folder)
            other = plain.frontier().to_frame().iloc[0]
            if other.thickness_high_nm - other.thickness_low_nm <= width:
                break
    return trials, len(grid), float(other.thickness_nm)


def _sweep(workload: Any, grid: Any, card: Any = "3nm", **options: Any) -> tuple[Any, float]:
    import qtaml_codesign as qc

    return _timed(lambda: qc.sweep(workload, card, grid, BUDGETS, METHODS, trials=TRIALS, **options))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun


def _row(what: str, ours: tuple[Any, float], against: str, theirs: tuple[Any, float]) -> list[str]:
    new, old = ours[0].new_trials, theirs[0].new_trials
    return [what, f"{new}", f"{ours[1]:.1f}", against, f"{old}", f"{theirs[1]:.1f}", f"{new / old:.2f}"]
