"""The words and tables that answer the two questions of a sweep; plain text values, printed by the command line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND, Frontier
from qtaml_codesign.physics.corners import Corner
from qtaml_codesign.report.notes import notes_of
from qtaml_codesign.report.words import (
    answer_line,
    counted,
    decimals,
    ends_nm,
    oxide_cells,
    percent,
    scientific,
    settled_line,
)
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.tac.methods import method_label

__all__ = ["SweepReport", "Table", "answer_line", "settled_line", "sweep_report"]

MOST_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of text, a line that says how to read them, and how many columns name a row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
    keys: int = 1


@dataclass(frozen=True)
class SweepReport:
    """Facts as (name, text), the tables of the two questions, and notes."""

    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def sweep_report(sweep: Sweep) -> SweepReport:
    """How thin may the oxide be for each budget, and, unless a search looked for that alone, how much ECC does each
    thickness need?

    Args:
        sweep: what was measured.
    """
    frontier = sweep.frontier()
    tables = [_oxide_table(frontier, sweep), *_range_tables(sweep)]
    if sweep.options.rows != "knots":
        tables.append(_budget_table(frontier, sweep))
    return SweepReport(_facts(sweep), tuple(tables), notes_of(frontier, sweep))


def _facts(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    clean, options, counts = sweep.clean_interval, sweep.options, sweep.counts
    level, name = f"{options.stopping.confidence:.0%}", sweep.metric.name
    numbers = (*clean, options.wanted.value(clean.estimate))
    value, low, high, threshold = map(sweep.metric.text, numbers)
    return (
        ("card", f"{sweep.card.name}: {_grid(sweep)}, {sweep.grid_nm[0]:.4g} to {sweep.grid_nm[-1]:.4g} nm"),
        ("workload", f"{sweep.workload_name}, {sweep.samples} evaluation samples"),
        ("exposed", sweep.exposure.text),
        (f"clean {name}", f"{value}  [{low}, {high}] ({level}, over samples)"),
        ("target", f"{options.wanted} = {threshold}" if options.wanted.factor else threshold),
        ("seed", str(options.seed)),
        ("trials", f"{counts.trials} over {counted(sweep.tasks, 'task')} for "
                   f"{counted(len(sweep.points), 'point')}; "
                   f"{sweep.new_trials} run now{_borrowed(sweep)}"),
    )


def _grid(sweep: Sweep) -> str:
    grid = counted(len(sweep.grid_nm), "thickness", "es")
    if sweep.options.rows == "knots":
        return f"bisected, {grid}"
    if sweep.interpolated and sweep.knots is not None:
        return f"{grid} interpolated from {counted(len(sweep.knots), 'measured point')}"
    return grid


def _borrowed(sweep: Sweep) -> str:
    return f", {sweep.borrowed_trials} from other sweeps" if sweep.borrowed_trials else ""


def _oxide_table(frontier: Frontier, sweep: Sweep) -> Table:
    table, methods = frontier.to_frame(), sweep.options.methods
    title = f"Thinnest oxide (nm) that keeps {sweep.options.wanted.of(sweep.metric.name)}, for each ECC budget"
    note = (f"[low,high]: where the ends of the {sweep.metric.name}'s interval over drawings of the flips cross the "
            "target, and nothing else; p: flip probability there; images: the same over evaluation images")
    ends = ends_nm(sweep)
    if not _paired(table, methods):
        columns: tuple[str, ...] = ("method", "budget\n%", "overhead\n%", *_heads("thinnest oxide"))
        rows: list[tuple[str, ...]] = [
            (method_label(row["method"]), percent(row["budget"]), percent(row["overhead"]), *oxide_cells(row, ends))
            for _, row in table.iterrows()
        ]
        return Table(title, columns, tuple(rows), note, keys=2)
    first, second = (table[table["method"] == method].set_index("budget") for method in methods)
    rows = []
    for budget in first.index:
        one, two = first.loc[budget], second.loc[budget]
        rows.append((percent(budget), *oxide_cells(one, ends), *oxide_cells(two, ends), _thinner(one, two)))
    columns = ("budget\n%", *(text for method in methods for text in _heads(method_label(method))),
               "thinner\npm")
    against = f"{method_label(methods[0])} against {method_label(methods[1])}"
    return Table(title, columns, tuple(rows), f"{note};\nthinner: {against}")


def _heads(name: str) -> tuple[str, ...]:
    return f"{name}\nnm", "images\nnm", "\np"


def _range_tables(sweep: Sweep) -> tuple[Table, ...]:
    """Where each crossing lies at the ends of the ranges that the card's own numbers have; none if it states none."""
    found = sweep.card_ranges()
    if not found or not found[0].corners:
        return ()
    digits = f".{decimals(ends_nm(sweep))}f"
    heads = tuple(f"{corner.field.rsplit('.', 1)[-1]}\n{corner.low:.4g} to {corner.high:.4g}"
                  for corner in found[0].corners)
    rows = tuple(
        (method_label(one.method), percent(one.budget), f"{one.thickness_nm:{digits}}",
         *(_corner(corner, digits) for corner in one.corners))
        for one in found
    )
    note = ("the thickness of the same p at both ends of one field's range, the others as they are;\n"
            f"{sweep.metric.name} follows p; -: no thickness inside the card's validity")
    title = "Card range (nm): what the card's own numbers leave open, which no interval above holds"
    return (Table(title, ("method", "budget\n%", "thinnest\nnm", *heads), rows, note, keys=3),)


def _corner(corner: Corner, digits: str) -> str:
    """Both thicknesses, or the one there is: the other end of the field's range has none."""
    ends = [f"{end:{digits}}" for end in corner.ends_nm]
    return " to ".join(ends) if len(ends) == 2 else f"{ends[0]}, -" if ends else "-"


def _budget_table(frontier: Frontier, sweep: Sweep) -> Table:
    table, methods = frontier.smallest_budgets(), sweep.options.methods
    most = max(max(sweep.options.budgets_of(method)) for method in methods)
    by_method = [table[table["method"] == method].set_index("thickness_nm") for method in methods]
    rows = []
    for thickness in _some(sweep.grid_nm):
        cells = [found.loc[thickness] for found in by_method]
        ratio = (_ratio(cells[0], cells[1], most),) if len(methods) == 2 else ()
        rows.append((f"{thickness:.{decimals(ends_nm(sweep)) + 1}f}", scientific(cells[0]["flip_probability"]),
                     *(_overhead(cell, most) for cell in cells), *ratio))
    heads = tuple(f"{method_label(method)}\n%" for method in methods)
    columns = ("oxide\nnm", "p", *heads, *(("times\nless",) if len(methods) == 2 else ()))
    title = f"Smallest ECC overhead (% of stored bits) that keeps {sweep.options.wanted}, for each oxide"
    note = "among the budgets of this sweep; ~: the interval holds the target, so more trials may change it"
    if len(rows) < len(sweep.grid_nm):
        note += f"\n{len(rows)} of {len(sweep.grid_nm)} thicknesses are shown"
    return Table(title, columns, tuple(rows), note)


def _some(grid_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most `MOST_ROWS` of the thicknesses, evenly chosen, with both ends."""
    places = np.unique(np.linspace(0, len(grid_nm) - 1, min(len(grid_nm), MOST_ROWS)).round().astype(int))
    some: NDArray[np.float64] = grid_nm[places]
    return some


def _paired(table: pd.DataFrame, methods: tuple[str, ...]) -> bool:
    """Two methods over the same budgets can stand side by side."""
    budgets = [list(table[table["method"] == method]["budget"]) for method in methods]
    return len(methods) == 2 and budgets[0] == budgets[1]


def _thinner(one: pd.Series, two: pd.Series) -> str:
    """By how many picometres the first method's oxide is thinner; a bound where one end lies outside the grid."""
    if one.status == BEYOND or (two.status == AT_OR_BELOW and one.status == AT_OR_BELOW):
        return "-"
    if two.status == BEYOND:
        return "in range"
    sign = {(True, False): ">= ", (False, True): "<= "}.get((one.status == AT_OR_BELOW, two.status == AT_OR_BELOW), "")
    thinner = round(1000.0 * (two.thickness_nm - one.thickness_nm), 1) + 0.0  # a tenth of a picometre; no minus zero
    return f"{sign}{thinner:.1f}"


def _overhead(cell: pd.Series, most: float) -> str:
    if cell.status == "none":
        return f"> {percent(most)}"
    return percent(cell.overhead) + ("~" if cell.status == "uncertain" else "")


def _ratio(one: pd.Series, two: pd.Series, most: float) -> str:
    """How many times less overhead the first method needs; '-' where it finds no answer, or one of them needs none."""
    if one.status == "none" or 0.0 in (one.overhead, two.overhead):
        return "-"
    if two.status == "none":
        return f"> {most / one.overhead:.1f}"
    return f"{two.overhead / one.overhead:.1f}"
