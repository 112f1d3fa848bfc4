"""Checks of what a user chooses: methods, and choices that act on some of them only."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtaml_codesign.checks import number_within, one_of, several
from qtaml_codesign.errors import InputError
from qtaml_codesign.tac.methods import CELL_METHODS, METHODS

USUAL_CELLS = 8.0
"""Cells per weight of methods that spend them, unless told: as many as plain 8-bit codes take."""
LEAST_CELLS, MOST_CELLS = 0.1, 64.0


def checked_methods(methods: str | Sequence[str], where: str = "methods (--method)") -> tuple[str, ...]:
    """The names of one or more methods, in the order given.

    Args:
        methods: one name, or several.
        where: argument or option at fault.

    Raises:
        InputError: an unknown method, a method twice, or none.

    Example:
        >>> checked_methods("tac"), checked_methods(["tac", "none"])
        (('tac',), ('tac', 'none'))
    """
    chosen = tuple(one_of("protection method", where, method, METHODS) for method in several(methods))
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("the list of methods is empty or names one twice", where=where,
                         rule="one or more different methods", value=", ".join(chosen) or "none",
                         next_step="name each method once")
    return chosen


def checked_cells(cells: float | None, methods: Sequence[str], where: str = "cells (--cells)") -> float | None:
    """Cells per weight that the methods may spend: what is asked for, 8 by default, None where none of them spends any.

    Args:
        cells: a number > 0, up to 64, or None.
        methods: the methods that are asked for.
        where: argument or option at fault.

    Raises:
        InputError: another number, or one that none of the methods would use.

    Example:
        >>> checked_cells(None, ["tac"]), checked_cells(None, ["channel-optimised"])
        (None, 8.0)
    """
    if cells is None:
        return USUAL_CELLS if set(methods) & set(CELL_METHODS) else None
    need_method(where, cells, "spends cells", methods, CELL_METHODS)
    return number_within(where, cells, LEAST_CELLS, MOST_CELLS, f"{LEAST_CELLS} <= cells per weight <= {MOST_CELLS:g}",
                         "4 is half of what plain 8-bit codes take")


def need_method(where: str, choice: object, doing: str, methods: Sequence[str], those: Collection[str]) -> None:
    """Refuse a choice that acts on none of the methods that are asked for.

    Args:
        where: argument or option of the choice.
        choice: what was chosen.
        doing: what a method does that the choice acts on, such as "allocates by score".
        methods: the methods asked for.
        those: the methods that do so.

    Raises:
        InputError: none of `methods` is one of `those`.

    Example:
        >>> need_method("budget", 0.05, "spends a budget", ["tac", "none"], METHODS)
    """
    if not set(methods) & set(those):
        raise InputError(f"this choice changes nothing here: none of the methods {doing}", where=where,
                         rule=f"it comes with a method that {doing}", value=f"{choice}, with {', '.join(methods)}",
                         next_step=f"leave it out, or choose a method such as {next(iter(those))}")
