"""The words and tables that answer the two questions of a sweep; plain text values, printed by the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.ecc.limits import extra_cells_per_protected_bit
from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND, Frontier
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.tac.baselines import method_label

MOST_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of text, and a line that says how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


@dataclass(frozen=True)
class SweepReport:
    """Facts as (name, text), the tables of the two questions, and notes."""

    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def sweep_report(sweep: Sweep) -> SweepReport:
    """How thin may the oxide be for each budget, and how much ECC does each thickness need?"""
    frontier = sweep.frontier()
    return SweepReport(
        facts=_facts(sweep),
        tables=(_oxide_table(frontier, sweep), _budget_table(frontier, sweep)),
        notes=(*_merged(sweep.warnings), _limit_note(sweep)),
    )


def frontier_report(sweep: Sweep) -> SweepReport:
    """How thin may the oxide be for each budget? For a search that measured nothing else."""
    return SweepReport(facts=_facts(sweep), tables=(_oxide_table(sweep.frontier(), sweep),),
                       notes=(*_merged(sweep.warnings), _limit_note(sweep)))


def _facts(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    clean, settings, counts = sweep.clean_interval, sweep.settings, sweep.counts
    level = f"{settings.rule.confidence:.0%}"
    return (
        ("card", f"{sweep.card.name}: {_grid(sweep)}, {sweep.grid_nm[0]:.4g} to {sweep.grid_nm[-1]:.4g} nm"),
        ("workload", f"{sweep.workload_name}, {sweep.samples} evaluation samples"),
        ("clean accuracy", f"{clean.estimate:.4f}  [{clean.low:.4f}, {clean.high:.4f}] ({level}, over samples)"),
        ("target", f"{settings.target:.3g} x clean = {settings.target * clean.estimate:.4f}"),
        ("seed", str(settings.seed)),
        ("trials", f"{counts.trials} over {sweep.tasks} tasks for {len(sweep.points)} points; "
                   f"{sweep.new_trials} of them new{_borrowed(sweep)}"),
        ("bit error rate", f"nominal {counts.nominal_ber:.6g}, realised {counts.realised_ber:.6g} "
                           f"({counts.bits_flipped} flips)"),
    )


def _grid(sweep: Sweep) -> str:
    if sweep.settings.rule.threshold is not None:
        return f"bisected, {len(sweep.grid_nm)} thicknesses"
    if sweep.interpolated and sweep.knots is not None:
        return f"{len(sweep.grid_nm)} thicknesses interpolated from {len(sweep.knots)} measured points"
    return f"{len(sweep.grid_nm)} thicknesses"


def _borrowed(sweep: Sweep) -> str:
    return f", {sweep.borrowed_trials} from other sweeps" if sweep.borrowed_trials else ""


def _oxide_table(frontier: Frontier, sweep: Sweep) -> Table:
    table, methods = frontier.to_frame(), sweep.settings.methods
    title = f"Thinnest oxide (nm) that keeps {frontier.target:.3g} x clean accuracy, for each ECC budget"
    note = "[low,high]: where the ends of the accuracy's interval cross the target; p: flip probability there"
    ends = _ends(sweep)
    if not _paired(table, methods):
        columns: tuple[str, ...] = ("method", "budget\n%", "overhead\n%", "thinnest oxide\nnm", "p")
        rows: list[tuple[str, ...]] = [
            (_label(row["method"]), _percent(row["budget"]), _percent(row["overhead"]), *_oxide(row, ends))
            for _, row in table.iterrows()
        ]
        return Table(title, columns, tuple(rows), note)
    first, second = (table[table["method"] == method].set_index("budget") for method in methods)
    rows = []
    for budget in first.index:
        one, two = first.loc[budget], second.loc[budget]
        rows.append((_percent(budget), *_oxide(one, ends), *_oxide(two, ends), _thinner(one, two)))
    columns = ("budget\n%", *(text for method in methods for text in (f"{_label(method)}\nnm", "\np")), "thinner\npm")
    return Table(title, columns, tuple(rows), f"{note};\nthinner: {_label(methods[0])} against {_label(methods[1])}")


def _budget_table(frontier: Frontier, sweep: Sweep) -> Table:
    table, methods = frontier.smallest_budgets(), sweep.settings.methods
    most = max(max(sweep.settings.budgets_of(method)) for method in methods)
    by_method = [table[table["method"] == method].set_index("thickness_nm") for method in methods]
    rows = []
    for thickness in _some(sweep.grid_nm):
        cells = [found.loc[thickness] for found in by_method]
        ratio = (_ratio(cells[0], cells[1], most),) if len(methods) == 2 else ()
        rows.append((f"{thickness:.{_decimals(_ends(sweep)) + 1}f}", _scientific(cells[0]["flip_probability"]),
                     *(_overhead(cell, most) for cell in cells), *ratio))
    heads = tuple(f"{_label(method)}\n%" for method in methods)
    columns = ("oxide\nnm", "p", *heads, *(("times\nless",) if len(methods) == 2 else ()))
    title = f"Smallest ECC overhead (% of stored bits) that keeps {frontier.target:.3g} x clean, for each oxide"
    note = "among the budgets of this sweep; ~: the interval holds the target, so more trials may change it"
    if len(rows) < len(sweep.grid_nm):
        note += f"\n{len(rows)} of {len(sweep.grid_nm)} thicknesses are shown"
    return Table(title, columns, tuple(rows), note)


def _some(grid_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most `MOST_ROWS` of the thicknesses, evenly chosen, with both ends."""
    places = np.unique(np.linspace(0, len(grid_nm) - 1, min(len(grid_nm), MOST_ROWS)).round().astype(int))
    some: NDArray[np.float64] = grid_nm[places]
    return some


def _limit_note(sweep: Sweep) -> str:
    chance = float(flip_probability(sweep.card).probability)
    extra = float(extra_cells_per_protected_bit(chance))
    return (
        f"a protected bit is an idealisation: at this card's own p = {chance:.3g} any real code needs at least "
        f"{extra:.3g} extra cells per protected bit (Shannon)"
    )


def _merged(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Warnings that differ in their numbers alone are told once, with how many more there are."""
    groups: dict[str, list[str]] = {}
    for warning in warnings:
        groups.setdefault(re.sub(r"[\d.]+(e-?\d+)?", "#", warning), []).append(warning)
    return tuple(
        group[0] if len(group) == 1 else f"{group[0]} (and {len(group) - 1} more like it, in run.json)"
        for group in groups.values()
    )


def _paired(table: pd.DataFrame, methods: tuple[str, ...]) -> bool:
    """Two methods over the same budgets can stand side by side."""
    budgets = [list(table[table["method"] == method]["budget"]) for method in methods]
    return len(methods) == 2 and budgets[0] == budgets[1]


def _label(method: str) -> str:
    return method_label(method)


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.4g}"


def _scientific(chance: float) -> str:
    return f"{chance:.2e}" if chance < 0.001 else f"{chance:.3g}"


def _ends(sweep: Sweep) -> tuple[float, float]:
    return float(sweep.grid_nm[0]), float(sweep.grid_nm[-1])


def _decimals(ends: tuple[float, float]) -> int:
    """Decimals of a thickness in nm: 1 pm, or finer where the whole grid spans only a few picometres."""
    span = ends[1] - ends[0]
    return max(3, round(2.5 - math.log10(span))) if span > 0.0 else 3


def _oxide(row: pd.Series, ends: tuple[float, float]) -> tuple[str, str]:
    """Thickness with its interval, and p there; an end of the grid where the answer lies outside."""
    digits = f".{_decimals(ends)}f"
    if row.status == BEYOND:
        return f"> {ends[1]:{digits}}", "-"
    if row.status == AT_OR_BELOW:
        return f"<= {ends[0]:{digits}}", _scientific(row.flip_probability)
    low = "<" if math.isnan(row.thickness_low_nm) else f"{row.thickness_low_nm:{digits}}"
    high = ">" if math.isnan(row.thickness_high_nm) else f"{row.thickness_high_nm:{digits}}"
    return f"{row.thickness_nm:{digits}} [{low},{high}]", _scientific(row.flip_probability)


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
        return f"> {_percent(most)}"
    return _percent(cell.overhead) + ("~" if cell.status == "uncertain" else "")


def _ratio(one: pd.Series, two: pd.Series, most: float) -> str:
    """How many times less overhead the first method needs; '-' where it finds no answer, or one of them needs none."""
    if one.status == "none" or 0.0 in (one.overhead, two.overhead):
        return "-"
    if two.status == "none":
        return f"> {most / one.overhead:.1f}"
    return f"{two.overhead / one.overhead:.1f}"
