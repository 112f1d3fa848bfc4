"""The notes below the tables of a sweep: what its numbers leave out."""

from __future__ import annotations

import re

import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.ecc.limits import extra_cells_per_protected_bit, extra_cells_under_charge_loss
from qtaml_codesign.frontier import BEYOND, Frontier
from qtaml_codesign.report.words import percent
from qtaml_codesign.sweeps.result import Sweep, has_cells_apart, states_ranges
from qtaml_codesign.tac.methods import method_label

BOUNDS = {"symmetric": extra_cells_per_protected_bit, "charge_loss": extra_cells_under_charge_loss}

WELL_SPENT = 0.9
"""Less of the budget than this is worth a note."""


def notes_of(frontier: Frontier, sweep: Sweep) -> tuple[str, ...]:
    """What the numbers of a sweep leave out: its warnings, and what follows from its answers.

    Args:
        frontier: its answers.
        sweep: what was measured.
    """
    table = frontier.to_frame()
    return (*merged(sweep.warnings), *spending_notes(table), *range_notes(sweep.card), *limit_notes(table, sweep.card))


def range_notes(card: DeviceCard) -> tuple[str, ...]:
    """Why the ranges of a card's numbers are not shown, where it states some.

    Args:
        card: the device card.
    """
    if not (states_ranges(card) and has_cells_apart(card)):
        return ()
    return ("the ranges that the card states are not turned into thicknesses: cells of regions or bit planes have "
            "numbers of their own, which do not follow the flip probability of the base cell; try them with --set",)


def limit_notes(table: pd.DataFrame, card: DeviceCard) -> tuple[str, ...]:
    """Shannon's bound at the answers that protect bits: over the flip probabilities of their crossings.

    None where cells have flip rates of their own: the base cell's says nothing about theirs.

    Args:
        table: columns of `frontier.csv`.
        card: the device card; it says in which directions bits flip.
    """
    if has_cells_apart(card):
        return ()
    protected = table[(table["overhead"] > 0.0) & (table["status"] != BEYOND)]
    chances = [float(chance) for chance in protected["flip_probability"] if chance > 0.0]
    if not chances:
        return ()
    ends = sorted({min(chances), max(chances)})
    extra = [least_extra_cells(card, chance) or 0.0 for chance in ends]
    return (
        f"a protected bit is an idealisation: at the flip probabilities of these answers, p = {_to(ends)}, any real "
        f"code needs at least {_to(sorted(extra))} extra cells per protected bit (Shannon)",
    )


def least_extra_cells(card: DeviceCard, flip_probability: float) -> float | None:
    """The fewest extra cells per protected bit of any code (Shannon); None where cells have flip rates of their own.

    Args:
        card: the device card; it says in which directions bits flip.
        flip_probability: of the base cell.
    """
    return None if has_cells_apart(card) else float(BOUNDS[card.flips](flip_probability))


def _to(ends: list[float]) -> str:
    texts = list(dict.fromkeys(f"{end:.3g}" for end in (ends[0], ends[-1])))
    return " to ".join(texts)


def spending_notes(table: pd.DataFrame) -> tuple[str, ...]:
    """Why less than the budget is spent, where that is a good part of it.

    Args:
        table: columns of `frontier.csv`.
    """
    less = table[table["overhead"] < WELL_SPENT * table["budget"]]
    if less.empty:
        return ()
    by_method = [
        f"{method_label(method)} " + ", ".join(
            f"{percent(budget)} -> {percent(spent)}"
            for budget, spent in zip(rows["budget"], rows["overhead"], strict=True)
        ) for method, rows in ((str(name), rows) for name, rows in less.groupby("method", sort=False))
    ]
    return ("a budget buys whole bit planes of whole layers and may not be used up; % allowed -> % spent: "
            + "; ".join(by_method),)


def merged(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Warnings that differ in their numbers alone, told once, with how many more there are.

    Args:
        warnings: texts.
    """
    groups: dict[str, list[str]] = {}
    for warning in warnings:
        groups.setdefault(re.sub(r"[\d.]+(e-?\d+)?", "#", warning), []).append(warning)
    return tuple(
        group[0] if len(group) == 1 else f"{group[0]} (and {len(group) - 1} more like it, in run.json)"
        for group in groups.values()
    )
