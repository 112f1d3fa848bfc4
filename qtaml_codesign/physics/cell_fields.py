"""One number of a resolved cell replaced, without going through the card: what fits and draws of many cells need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from qtaml_codesign.card_schema.quantities import quantity
from qtaml_codesign.card_schema.shaping import check_anchor
from qtaml_codesign.cards import CellParameters, DeviceCard

THICKNESS: Final = "barrier.thickness_nm"


def value_of(card: DeviceCard, field: str) -> float:
    """The number that stands in a dotted field of a card.

    Args:
        card: the device card.
        field: one of `card.cell_fields`.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> value_of(load_card("3nm"), "cell.electrons")
        50.0
    """
    node: Any = card
    for step in field.split("."):
        node = node[int(step)] if isinstance(node, list) else getattr(node, step)
    return float(node)


def is_whole(field: str) -> bool:
    """Whether a card field takes whole numbers alone.

    Args:
        field: dotted, also of a region.

    Example:
        >>> is_whole("cell.electrons"), is_whole("window_s")
        (True, False)
    """
    bounds = quantity(field.rsplit(".", 1)[-1])
    return bounds is not None and bounds.whole


def with_number(cell: CellParameters, field: str, value: float) -> CellParameters:
    """The cell with one number replaced.

    Args:
        cell: stays as it is.
        field: one of the card's `cell_fields`.
        value: in the field's own unit, not checked against its bounds; of whole numbers the nearest.

    Raises:
        InputError: a shape of a barrier that cannot have this number, or a bias beside an attempt frequency that was
            fitted without one.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> with_number(load_card("3nm").resolve(), "barrier.effective_mass_m0", 0.42).barrier.effective_mass_m0
        0.42
    """
    part, _, name = field.partition(".")
    if is_whole(field):
        value = round(value)
    if field == THICKNESS:
        return replace(cell, thickness_nm=value)
    if part == "barrier":
        moved = replace(cell, barrier=cell.barrier.with_number(name, value))
        check_anchor(moved)
        return moved
    if part in ("escape", "variation"):
        return replace(cell, **{part: _deep(getattr(cell, part), name, value)})
    changed: dict[str, Any] = {name or part: value}
    return replace(cell, **changed)


def _deep(part: Any, name: str, value: float) -> Any:
    first, _, rest = name.partition(".")
    return part.model_copy(update={first: _deep(getattr(part, first), rest, value) if rest else value})
