"""The chain backwards: which value of one card field lets a network keep its target, and how that moves with others.

Where every cell of a card flips alike, the network knows of the card nothing but its flip probability p. So the largest
p that keeps the target is looked for once, by bisection with trials; everything after that is physics alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import DeviceCard, as_card
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.frontier import CROSSING
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.cell_fields import THICKNESS, is_whole, value_of
from qtaml_codesign.physics.inverse import thickness_for
from qtaml_codesign.physics.solving import Solution, solvable_field, solve_field
from qtaml_codesign.sweeps.api import find_frontier
from qtaml_codesign.sweeps.coordinates import flip_law
from qtaml_codesign.sweeps.result import Sweep, has_cells_apart

SEARCHED: Final = (0.45, 1e-9)
"""Flip probabilities between which the largest that keeps the target is looked for."""
USUAL_RANGE: Final = 0.05
"""By how much a number without a range of its own is moved, as a share of it."""


@dataclass(frozen=True, eq=False)
class Design:
    """What a card field must be for a network to keep its target, and what that hangs on.

    Attributes:
        card: the device card.
        solution: the field, its value, and on which side of it the target is kept.
        low, high: ends of its interval over trials, in the field's unit, low <= high; NaN where one is open.
        flip_probability: largest that keeps the target; its own ends are `flips`.
        flips: the ends, the smaller first.
        search: the bisection that found it.
    """

    card: DeviceCard
    solution: Solution
    low: float
    high: float
    flip_probability: float
    flips: tuple[float, float]
    search: Sweep

    def map(self, vary: Mapping[str, ArrayLike]) -> pd.DataFrame:
        """The solved field over a grid of other card fields, at the same flip probability.

        Args:
            vary: dotted card field to its values; several make a grid, the last one fastest.

        Returns:
            A column for each field, and one for the solved field, NaN where no value of it will do.

        Raises:
            InputError: the solved field itself, or a field that the card does not have.
        """
        solved = self.solution.field
        fields = varied_beside(self.card, solved, vary)
        grids = [np.ravel(np.asarray(values, dtype=np.float64)).tolist() for values in vary.values()]
        rows = [(*point, self._solved_at(dict(zip(fields, point, strict=True)))) for point in itertools.product(*grids)]
        return pd.DataFrame(rows, columns=[*fields, solved])

    def tornado(self) -> pd.DataFrame:
        """How far each number of the card moves the solved field, one at a time, the farthest first.

        A number goes to the ends of the range that the card states, or else to 5 % below and above its value (whole
        numbers to the next ones). Columns: field, low, high, at_low, at_high (of the solved field; NaN where no value
        of it will do), stated (whether the range is the card's own).
        """
        solved, rows = self.solution.field, []
        for field in self.card.cell_fields:
            if field != solved:
                low, high, stated = self._range_of(field)
                rows.append((field, low, high, *(self._solved_at({field: end}) for end in (low, high)), stated))
        table = pd.DataFrame(rows, columns=["field", "low", "high", "at_low", "at_high", "stated"])
        reach = table[["at_low", "at_high"]].sub(self.solution.value).abs().max(axis=1)
        return table.iloc[np.argsort(-reach.fillna(math.inf).to_numpy(), kind="stable")].reset_index(drop=True)

    def _range_of(self, field: str) -> tuple[float, float, bool]:
        value, origin = value_of(self.card, field), self.card.provenance.get(field)
        if origin is not None and (origin.low is not None or origin.high is not None):
            return (value if origin.low is None else origin.low, value if origin.high is None else origin.high, True)
        if is_whole(field):
            step = max(1.0, round(USUAL_RANGE * value))
            return value - step, value + step, False
        return value * (1.0 - USUAL_RANGE), value * (1.0 + USUAL_RANGE), False

    def _solved_at(self, values: Mapping[str, float]) -> float:
        try:
            card = self.card.with_fields({field: int(value) if is_whole(field) else value
                                          for field, value in values.items()})
            return solve_field(card, self.solution.field, math.log(self.flip_probability)).value
        except (CardError, InputError):
            return math.nan


def design(
    workload: Workload | str, card: DeviceCard | str | Path, solve: str = THICKNESS, *, method: str = "tac",
    budget: float | None = None, **more: Any,
) -> Design:
    """The value of a card field at which a network just keeps its target, all other fields as they are.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path; all its cells must flip alike.
        solve: dotted card field, or its last part: thickness_nm, window_s, height_eV, temperature_K, electrons ...
        method: protection method.
        budget: protected-bit fraction it may spend; None: 0.05, and nothing for methods that spend none.
        more: as for `find_frontier`: target, metric, cells, seed, half_width, max_trials, workers, out and others.

    Raises:
        InputError: an unknown field, a card whose cells differ, a target that no flip probability between 1e-9 and 0.45
            keeps, or that no value of the field keeps.
        CardError: a card that cannot be read.
        WorkloadError: a network or its data that cannot be used.

    Example:
        >>> import qtaml_codesign as qc
        >>> found = qc.design("small-cnn", "3nm", "window_s", budget=0.05, max_trials=20)
        >>> found.solution.sense, found.low < found.solution.value < found.high
        ('at most', True)
    """
    device = as_card(card)
    field = solvable_field(device, solve)
    if has_cells_apart(device):
        raise InputError("the cells of this card do not all flip alike", where=f"card {device.name}",
                         rule="one flip probability for all cells", value="regions or bit planes of their own",
                         next_step="use `codesign sweep` or `codesign frontier` on this card")
    budgets = None if budget is None and "cells" in more else (0.05 if budget is None else budget,)
    if device.resolve().keeps_rate:
        raise InputError("cells that keep their own rates have no one flip probability", where=f"card {device.name}",
                         rule="variation.cells: mean", value="own_rate",
                         next_step="use `codesign frontier` on this card, or --set variation.cells=mean")
    search = find_frontier(workload, device, _searched(device), budgets, (method,), **more)
    row = search.frontier().to_frame().iloc[0]
    if row["status"] != CROSSING:
        raise InputError("no flip probability was found at which the target is just kept", where="target (--target)",
                         rule=f"a crossing between p = {SEARCHED[1]:g} and {SEARCHED[0]:g}", value=str(row["status"]),
                         next_step="choose another target, budget or method")
    flips = _flips(search, row)
    solution = solve_field(device, field, math.log(flips[1]))
    ends = [_end(device, field, flip) for flip in (flips[0], flips[2])]
    if solution.sense == "at least":  # the rarer flips at the larger value; an open end has no order of its own
        ends.reverse()
    return Design(device, solution, ends[0], ends[1], flips[1], (flips[0], flips[2]), search)


def varied_beside(card: DeviceCard, solve: str, names: Iterable[str]) -> list[str]:
    """The dotted fields of a map, to be looked at before the search begins.

    Args:
        card: the device card.
        solve: the field that is solved, dotted or its last part.
        names: the others, likewise.

    Raises:
        InputError: none, the solved field itself, or a field that the card does not have.
    """
    solved = solvable_field(card, solve)
    fields = [solvable_field(card, name, "vary (--vary)") for name in names]
    if solved in fields or not fields:
        raise InputError("the solved field cannot be varied too", where="vary (--vary)",
                         rule=f"one or more card fields but {solved}", value=", ".join(fields) or "(none)",
                         next_step="vary others, or solve for another")
    return fields


def _searched(card: DeviceCard) -> NDArray[np.float64]:
    """Thicknesses of the ends of `SEARCHED`, inside the card's validity."""
    low, high = card.validity.thickness_nm
    found = []
    for chance, end in zip(SEARCHED, (low, high), strict=True):
        try:
            found.append(thickness_for(card, chance))
        except InputError:
            found.append(end)
    return np.array(found)


def _flips(search: Sweep, row: pd.Series) -> tuple[float, float, float]:
    """Flip probabilities at the thick end, the crossing and the thin end of a row of the frontier."""

    law = flip_law(search.card)
    thick, thin = (float(row[name]) for name in ("thickness_high_nm", "thickness_low_nm"))
    low, high = (law(end) if math.isfinite(end) else math.nan for end in (thick, thin))
    return low, float(row["flip_probability"]), high


def _end(card: DeviceCard, field: str, flip: float) -> float:
    """Value of the field at an end of the interval; NaN where it is open or out of the field's bounds."""
    try:
        return solve_field(card, field, math.log(flip)).value if math.isfinite(flip) else math.nan
    except InputError:
        return math.nan
