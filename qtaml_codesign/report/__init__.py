"""The words and tables that answer the two questions of a sweep; plain text values, printed by the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND, Frontier
from qtaml_codesign.physics.corners import Corner
from qtaml_codesign.report.notes import least_extra_cells, notes_of
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
from qtaml_codesign.tac.choices import Choice, choice_of, choices_of
from qtaml_codesign.tac.methods import CELL_METHODS, method_label

__all__ = ["SweepReport", "Table", "answer_line", "settled_line", "sweep_report"]

MOST_ROWS = 30

CURRENCIES = {
    False: ("ECC budget", "ECC overhead (% of stored bits)", "budgets"),
    True: ("number of cells per weight", "number of cells per weight", "numbers of cells"),
}
"""What a method may spend, what is shown of it, and several of them; under True what is spent in cells."""


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
    """How thin may the oxide be for each budget or number of cells, and, unless a search looked for that alone, how
    much of them does each thickness need?

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
        *((("design margin", f"{options.margin:g} times the raw bit error rate, for methods that spend cells"),)
          if options.margin != 1.0 else ()),
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
    spent = " and ".join(CURRENCIES[cells][0] for cells in _most(sweep))
    title = f"Thinnest oxide (nm) that keeps {sweep.options.wanted.of(sweep.metric.name)}, for each {spent}"
    note = (f"[low,high]: where the ends of the {sweep.metric.name}'s interval over drawings of the flips cross the "
            "target, and nothing else; p: flip probability there; images: the same over evaluation images")
    ends = ends_nm(sweep)
    if not _paired(table, methods):
        columns = ("method", *_amount_heads(sweep), "overhead\n%", *_heads("thinnest oxide"))
        rows = [(method_label(row["method"]), *_amounts(choice_of(row), sweep, row), percent(row["overhead"]),
                 *oxide_cells(row, ends)) for _, row in table.iterrows()]
        note += _protection_note(rows)
        return Table(title, columns, tuple(rows), note, keys=1 + len(_amount_heads(sweep)))
    pairs = [table[table["method"] == method].iterrows() for method in methods]
    rows = [(_amounts(choice_of(one), sweep)[-1], *oxide_cells(one, ends), *oxide_cells(two, ends), _thinner(one, two))
            for (_, one), (_, two) in zip(*pairs, strict=True)]
    columns = (_amount_heads(sweep)[-1], *(text for method in methods for text in _heads(method_label(method))),
               "thinner\npm")
    against = f"{method_label(methods[0])} against {method_label(methods[1])}"
    return Table(title, columns, tuple(rows), f"{note};\nthinner: {against}")


def _most(sweep: Sweep) -> dict[bool, float]:
    """The largest budget of a sweep, and under True its largest number of cells, as far as its methods spend them."""
    return {choice.spends_cells: choice.amount
            for choice in sorted(sweep.options.curves, key=lambda choice: (choice.spends_cells, choice.amount))}


def _amount_heads(sweep: Sweep) -> tuple[str, ...]:
    """Of the columns that `_amounts` fills: budget and cells, as far as methods of the sweep spend them."""
    heads = {False: "budget\n%", True: "cells\n/weight"}
    return tuple(heads[cells] for cells in _most(sweep))


def _amounts(choice: Choice, sweep: Sweep, answer: pd.Series | None = None) -> tuple[str, ...]:
    """A method that spends cells has no budget; the codes of another one take cells, and what protects them more."""
    texts = {False: "-" if choice.spends_cells else percent(choice.budget), True: f"{choice.cells or 0.0:.4g}"}
    if not choice.spends_cells and choice.cells and choice.budget:
        texts[True] = _protected_cells(choice.cells, sweep, answer)
    return tuple(texts[cells] for cells in _most(sweep))


def _protected_cells(codes: float, sweep: Sweep, answer: pd.Series | None) -> str:
    """Cells of plain codes and, at the flip probability of an answer, the fewest that could hold what protects them."""
    if answer is None:
        return f"{codes:.4g} + ECC"
    if answer.overhead == 0.0:
        return f"{codes:.4g}"
    extra = None if answer.status == BEYOND else least_extra_cells(sweep.card, float(answer.flip_probability))
    return f"{codes:.4g} + ECC" if extra is None else f">= {codes * (1.0 + answer.overhead * extra):.4g}"


def _protection_note(rows: Sequence[Sequence[str]]) -> str:
    """What the column of cells counts for methods whose codes are protected."""
    texts = {text for row in rows for text in row[:3]}
    found = ""
    if any(text.startswith(">= ") for text in texts):
        found += ("\n>= cells: of the plain codes, and the fewest in which any code holds their protected bits at this "
                  "p (Shannon); codesign plan --price names a real code")
    if any(text.endswith("+ ECC") for text in texts):
        found += "\n+ ECC: cells of the plain codes; those of a code for the protected bits come on top"
    return found


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
        (method_label(one.method), *_amounts(Choice(one.method, one.budget, one.cells), sweep),
         f"{one.thickness_nm:{digits}}", *(_corner(corner, digits) for corner in one.corners))
        for one in found
    )
    note = ("the thickness of the same p at both ends of one field's range, the others as they are;\n"
            f"{sweep.metric.name} follows p; -: no thickness inside the card's validity")
    title = "Card range (nm): what the card's own numbers leave open, which no interval above holds"
    amounts = _amount_heads(sweep)
    return (Table(title, ("method", *amounts, "thinnest\nnm", *heads), rows, note, keys=2 + len(amounts)),)


def _corner(corner: Corner, digits: str) -> str:
    """Both thicknesses, or the one there is: the other end of the field's range has none."""
    ends = [f"{end:{digits}}" for end in corner.ends_nm]
    return " to ".join(ends) if len(ends) == 2 else f"{ends[0]}, -" if ends else "-"


def _budget_table(frontier: Frontier, sweep: Sweep) -> Table:
    table, methods, most = frontier.smallest_budgets(), sweep.options.methods, _most(sweep)
    comparable = len(methods) == 2 and len(most) == 1
    by_method = [table[table["method"] == method].set_index("thickness_nm") for method in methods]
    rows = []
    for thickness in _some(sweep.grid_nm):
        answers = [found.loc[thickness] for found in by_method]
        rows.append((f"{thickness:.{decimals(ends_nm(sweep)) + 1}f}", scientific(answers[0]["flip_probability"]),
                     *(_needed(answer, most) for answer in answers),
                     *([_ratio(answers[0], answers[1], most)] if comparable else [])))
    heads = tuple(f"{method_label(method)}\n{'cells' if method in CELL_METHODS else '%'}" for method in methods)
    columns = ("oxide\nnm", "p", *heads, *(("times\nless",) if comparable else ()))
    smallest, several = (tuple(CURRENCIES[cells][place] for cells in most) for place in (1, 2))
    title = f"Smallest {' or '.join(smallest)} that keeps {sweep.options.wanted}, for each oxide"
    note = (f"among the {' and '.join(several)} of this sweep; "
            "~: the interval holds the target, so more trials may change it")
    if len(rows) < len(sweep.grid_nm):
        note += f"\n{len(rows)} of {len(sweep.grid_nm)} thicknesses are shown"
    return Table(title, columns, tuple(rows), note)


def _some(grid_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most `MOST_ROWS` of the thicknesses, evenly chosen, with both ends."""
    places = np.unique(np.linspace(0, len(grid_nm) - 1, min(len(grid_nm), MOST_ROWS)).round().astype(int))
    some: NDArray[np.float64] = grid_nm[places]
    return some


def _paired(table: pd.DataFrame, methods: tuple[str, ...]) -> bool:
    """Two methods that may spend the same can stand side by side."""
    amounts = [[(one.spends_cells, one.amount) for one in choices_of(table) if one.method == method]
               for method in methods]
    return len(methods) == 2 and amounts[0] == amounts[1]


def _thinner(one: pd.Series, two: pd.Series) -> str:
    """By how many picometres the first method's oxide is thinner; a bound where one end lies outside the grid."""
    if one.status == BEYOND or (two.status == AT_OR_BELOW and one.status == AT_OR_BELOW):
        return "-"
    if two.status == BEYOND:
        return "in range"
    sign = {(True, False): ">= ", (False, True): "<= "}.get((one.status == AT_OR_BELOW, two.status == AT_OR_BELOW), "")
    thinner = round(1000.0 * (two.thickness_nm - one.thickness_nm), 1) + 0.0  # a tenth of a picometre; no minus zero
    return f"{sign}{thinner:.1f}"


def _needed(answer: pd.Series, most: Mapping[bool, float]) -> str:
    cells = answer.method in CELL_METHODS
    told = "{:g}".format if cells else percent
    if answer.status == "none":
        return f"> {told(most[cells])}"
    return told(answer.cells if cells else answer.overhead) + ("~" if answer.status == "uncertain" else "")


def _ratio(one: pd.Series, two: pd.Series, most: Mapping[bool, float]) -> str:
    """How many times less the first method needs; '-' where it finds no answer, or one of them needs none."""
    cells = one.method in CELL_METHODS
    needs, other = (answer.cells if cells else answer.overhead for answer in (one, two))
    if one.status == "none" or 0.0 in (needs, other):
        return "-"
    return f"> {most[cells] / needs:.1f}" if two.status == "none" else f"{other / needs:.1f}"
