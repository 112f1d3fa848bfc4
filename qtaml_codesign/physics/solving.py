"""Which value of one card field gives a wanted flip probability, all others as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import optimize

from qtaml_codesign.card_schema.quantities import quantity
from qtaml_codesign.cards import CellParameters, DeviceCard
from qtaml_codesign.errors import CardError, InputError, did_you_mean
from qtaml_codesign.physics.cell_fields import THICKNESS, value_of, with_number
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.inverse import thickness_for

Sense = Literal["at least", "at most"]
STAYS: Final = {"cell.electrons": "cell.flip_threshold", "cell.flip_threshold": "cell.electrons"}
"""Numbers of electrons: which of the two stays where it is when the other one is solved."""
_WARM: Final = ("`temperature_K: 300` with `escape.thermal_averaging: elastic`, or `temperature_K` with "
                "`escape.activation_energy_eV` and `escape.reference_temperature_K`")
_STEP: Final = 1.1
_MOST_STEPS: Final = 800


@dataclass(frozen=True)
class Solution:
    """A card field at which the base cell flips with the wanted probability.

    Attributes:
        field: dotted card field.
        value: of it; a field of whole numbers has the last one that flips no more often than wanted.
        sense: whether larger ("at least") or smaller ("at most") values flip more rarely.
        before: the card's own value.
    """

    field: str
    value: float
    sense: Sense
    before: float


def solvable_field(card: DeviceCard, name: str, where: str = "solve (--solve)") -> str:
    """The dotted field that a name stands for.

    Args:
        card: whose fields are meant.
        name: `barrier.height_eV`, or its last part alone where only one field has it, but for those of single layers.
        where: argument that the name was given in, for the message.

    Raises:
        InputError: none, or several.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> solvable_field(load_card("3nm"), "height_eV")
        'barrier.height_eV'
    """
    known = card.cell_fields
    found = [field for field in known if field == name or field.rsplit(".", 1)[-1] == name]
    found = [field for field in found if not _is_in_list(field)] or found
    if len(found) != 1:
        raise InputError("several fields end so" if found else "no field of the card that sets the flip probability",
                         where=where, rule="one of " + ", ".join(known), value=name,
                         next_step=f"write {' or '.join(found)}" if found else _switched_on(name, known))
    return found[0]


def _is_in_list(field: str) -> bool:
    """Whether a dotted field is one of several, such as `barrier.layers.1.height_eV`."""
    return any(part.isdigit() for part in field.split("."))


def _switched_on(name: str, known: tuple[str, ...]) -> str:
    """What a card must hold for a field to act; of an unknown one the names there are."""
    if name == "temperature_K":
        return f"nothing on this card depends on it; write on the card {_WARM}"
    if name.startswith(("escape.", "variation.")):
        return f"the card does not have it; write `{name}` with a value on the card, and where it acts through the " \
               f"temperature {_WARM}; {did_you_mean(name, known)}"
    return did_you_mean(name, known)


def solve_field(card: DeviceCard, field: str, log_flip_probability: float) -> Solution:
    """The value of a field, next to the card's own, at which the base cell flips with a probability.

    Args:
        card: the device card.
        field: one of `card.cell_fields`.
        log_flip_probability: ln p < 0 that is wanted.

    Raises:
        InputError: no value within the field's bounds gives it, or none but the card's own can be.

    Source: steps outwards from the card's own value, then Brent's method in ln of the field; for the thickness
        `thickness_for`.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> found = solve_field(load_card("3nm"), "window_s", math.log(0.05))
        >>> found.sense, f"{found.value:.3g}", found.before
        ('at most', '8.1e-07', 1e-06)
    """
    cell, bounds = card.resolve(), quantity(field.rsplit(".", 1)[-1])
    before = value_of(card, field)
    if field == THICKNESS:
        return Solution(field, thickness_for(card, log_flip_probability=log_flip_probability), "at least", before)
    assert bounds is not None

    def gap(value: float) -> float:
        return _log_flip(cell, field, value) - log_flip_probability

    ends = _around(gap, before, bounds.low, bounds.high, bounds.whole)
    if ends is None:
        with_number(cell, field, _moved(before, _STEP, bounds.low, bounds.high, bounds.whole))
        raise InputError(f"no value of {field} gives this flip probability", where="solve (--solve)",
                         rule=f"p = {math.exp(log_flip_probability):.4g} for some {bounds.low:g} <= {field} <= "
                         f"{bounds.high:g}",
                         value=f"{before:g} gives p = {math.exp(_log_flip(cell, field, before)):.4g}",
                         next_step="solve for another field, or change the card first with --set")
    low, high = ends
    sense: Sense = "at most" if gap(high) > gap(low) else "at least"
    return Solution(field, _refined(gap, low, high, bounds.whole, sense), sense, before)


def _log_flip(cell: CellParameters, field: str, value: float) -> float:
    """ln p; NaN where the cell cannot be."""
    try:
        changed = with_number(cell, field, value)
        if not changed.flip_threshold < changed.electrons:
            return math.nan
        return float(log_flip(changed, np.array([changed.thickness_nm]))[0])
    except (InputError, CardError):
        return math.nan


def _around(
    gap: Callable[[float], float], start: float, low: float, high: float, whole: bool
) -> tuple[float, float] | None:
    """Two neighbouring values between which the gap changes its sign: of all steps outwards the nearest."""
    here = gap(start)
    down = up = (start, here)
    for _ in range(_MOST_STEPS):
        following = []
        for (value, at), factor in ((down, 1.0 / _STEP), (up, _STEP)):
            moved = _moved(value, factor, low, high, whole)
            new = gap(moved) if moved != value and not math.isnan(at) else math.nan
            if not math.isnan(new) and new * at <= 0.0 and new != at:
                return min(value, moved), max(value, moved)
            following.append((moved, new))
        down, up = following
        if math.isnan(down[1]) and math.isnan(up[1]):
            return None
    return None


def _moved(value: float, factor: float, low: float, high: float, whole: bool) -> float:
    moved = value * factor if value > 0.0 else (max(low, 1e-6) if factor > 1.0 else value)
    if whole:
        moved = max(value + 1.0, math.floor(moved)) if factor > 1.0 else min(value - 1.0, math.ceil(moved))
    return min(max(moved, low), high)


def _refined(gap: Callable[[float], float], low: float, high: float, whole: bool, sense: Sense) -> float:
    if not whole:
        if low <= 0.0:
            return float(optimize.brentq(gap, low, high, xtol=1e-300, rtol=1e-14))
        return math.exp(optimize.brentq(lambda log: gap(math.exp(log)), math.log(low), math.log(high), xtol=1e-14))
    few, many = int(low), int(high)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if gap(middle) * gap(few) > 0.0 else (few, middle)
    return float(few if sense == "at most" else many)
