"""What a user chooses, and its checks: methods, what each may spend, and choices that act on some of them only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qtaml_codesign.checks import number_within, one_of, several, whole_number
from qtaml_codesign.errors import InputError
from qtaml_codesign.tac.methods import CELL_METHODS, CODED_METHODS, METHODS

if TYPE_CHECKING:
    import pandas as pd

USUAL_CELLS = 8.0
"""Cells per weight of methods that spend them, unless told: as many as plain 8-bit codes take."""
LEAST_CELLS, MOST_CELLS = 0.1, 64.0
MOST_FLIPS = 0.5
"""Flip probability at which a cell of a symmetric channel tells nothing: no margin designs for more."""
MOST_MARGIN = 1000.0
ROUNDING = 1e-12


class Choice(NamedTuple):
    """A method and what it may spend: it names a curve.

    Attributes:
        method: protection method.
        budget: protected-bit fraction; 0 for a method that spends cells, or nothing.
        cells: cells per weight: what a method that spends them may spend, what the codes of another one take; None
            where it is not told.

    Example:
        >>> Choice("tac", 0.03).spent, Choice("channel-optimised", 0.0, 4.0).spent
        ('3 %', '4 cells')
    """

    method: str
    budget: float
    cells: float | None = None

    @property
    def spends_cells(self) -> bool:
        """Whether its currency is cells per weight, not protected bits."""
        return self.method in CELL_METHODS and self.cells is not None

    @property
    def amount(self) -> float:
        """What may be spent, in the currency of the method."""
        return self.budget if self.cells is None or not self.spends_cells else self.cells

    @property
    def text(self) -> str:
        """Method and what it may spend, the budget as a fraction: short, for a log."""
        return f"{self.method} {self.spent if self.spends_cells else f'{self.budget:g}'}"

    @property
    def spent(self) -> str:
        """What may be spent in words."""
        return f"{self.amount:g} cells" if self.spends_cells else f"{100.0 * self.amount:.4g} %"


def curve_columns(names: Iterable[str]) -> list[str]:
    """The columns of a table that name a curve; `cells` is there where a method of the table spends them.

    Args:
        names: those of the table.

    Example:
        >>> curve_columns(["thickness_nm", "method", "budget", "overhead"])
        ['method', 'budget']
    """
    there = set(names)
    return [name for name in ("method", "budget", "cells") if name in there]


def choice_of(row: pd.Series) -> Choice:
    """The curve that a row of a table belongs to.

    Args:
        row: of `sweep.csv` or `frontier.csv`.
    """
    return Choice(str(row["method"]), float(row["budget"]), float(row["cells"]) if "cells" in row.index else None)


def choices_of(table: pd.DataFrame) -> list[Choice]:
    """The curves of a table, in its order.

    Args:
        table: columns of `sweep.csv` or `frontier.csv`.
    """
    return [choice_of(row) for _, row in table.drop_duplicates(curve_columns(table.columns)).iterrows()]


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


def checked_margin(margin: float, methods: Sequence[str], highest: float = 0.0) -> float:
    """Design margin on the raw bit error rate, 1 for none.

    Args:
        margin: the store is made for so many times the flip probability, >= 1.
        methods: the methods that are asked for.
        highest: flip probability that it multiplies, of the cell that flips most.

    Raises:
        InputError: below 1, a margin that acts on none of the methods, or one beyond a flip probability of 1/2, where a
            cell tells nothing.

    Example:
        >>> checked_margin(1.2, ["joint"], 0.1), checked_margin(1, ["tac"])
        (1.2, 1.0)
    """
    where = "margin (--margin)"
    found = number_within(where, margin, 1.0, MOST_MARGIN, f"1 <= margin <= {MOST_MARGIN:g}, of the flip probability",
                          "1.2 designs the store for 1.2 times the flip probability")
    if found == 1.0:
        return found
    need_method(where, f"{found:g}", "designs its words and codes for the flip probability", methods, CELL_METHODS)
    if found * highest > MOST_FLIPS * (1.0 + ROUNDING):
        raise InputError("the design margin leaves nothing to design for", where=where,
                         rule=f"margin x flip probability <= {MOST_FLIPS:g}, at which a cell tells nothing",
                         value=f"{found:g} x {highest:g} = {found * highest:.4g}",
                         next_step=f"take a margin of {MOST_FLIPS / highest:.4g} at most" if highest <= MOST_FLIPS
                         else "leave the margin out")
    return found


def checked_block(block: int | None, methods: Sequence[str], where: str = "block (--block)") -> int | None:
    """Weights that share a mean and a scale, as they are asked for; None: those of an output channel do.

    Args:
        block: a whole number > 0, or None; one as large as a tensor or larger stands for the tensor.
        methods: the methods that are asked for.
        where: argument or option at fault.

    Raises:
        InputError: another number, or one that none of the methods would use.

    Example:
        >>> checked_block(64, ["channel-optimised"])
        64
    """
    if block is None:
        return None
    need_method(where, block, "gives weights a mean and a scale by block", methods, CELL_METHODS)
    return whole_number(where, block, least=1)


def decodes(decode: bool, methods: Sequence[str], where: str = "decode (--decode)") -> bool:
    """Whether codewords are really decoded in every trial.

    Args:
        decode: whether they are to be.
        methods: the methods that are asked for.
        where: argument or option at fault.

    Raises:
        InputError: neither yes nor no, or none of the methods holds weights under a real code.

    Example:
        >>> decodes(False, ["tac"]), decodes(True, ["tac", "joint"])
        (False, True)
    """
    if not isinstance(decode, bool):
        raise InputError("codewords are decoded in every trial, or not", where=where, rule="True or False",
                         value=decode, next_step="leave it out, or give True")
    if decode:
        need_method(where, decode, "holds weights under a real code", methods, CODED_METHODS)
    return decode


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
