"""What a card's own uncertainty does to a thickness: each number at the ends of its range, one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import CardError, InputError
from qtaml_codesign.physics.cell_fields import THICKNESS
from qtaml_codesign.physics.inverse import thickness_for


@dataclass(frozen=True)
class Corner:
    """One number of a card at the two ends of its range, all others as they are.

    Attributes:
        field: dotted card field.
        low, high: ends of its range, in the field's own unit.
        thickness_at_low_nm, thickness_at_high_nm: where the cell then flips with the wanted probability; None where no
            thickness inside the card's validity does.
    """

    field: str
    low: float
    high: float
    thickness_at_low_nm: float | None
    thickness_at_high_nm: float | None

    @property
    def ends_nm(self) -> tuple[float, ...]:
        """The thicknesses that there are, the smaller first."""
        return tuple(sorted(end for end in (self.thickness_at_low_nm, self.thickness_at_high_nm) if end is not None))


def corners(card: DeviceCard, flip_probability: float) -> tuple[Corner, ...]:
    """The thickness (nm) of a flip probability at both ends of each range that the card states for its base cell.

    Args:
        card: its `{value, low, high}` numbers among `card.cell_fields` but the thickness; a missing end is the value.
        flip_probability: of the base cell, in (0, 1).

    Source: `thickness_for` with one field replaced.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> card = load_card("3nm").with_field("barrier.effective_mass_m0", {"value": 0.4, "low": 0.38, "high": 0.42})
        >>> (found,) = corners(card, 0.1)
        >>> found.field, [round(end, 3) for end in found.ends_nm]
        ('barrier.effective_mass_m0', [1.722, 1.811])
    """
    found = []
    for field, origin in card.provenance.items():
        if field not in card.cell_fields or field == THICKNESS or (origin.low is None and origin.high is None):
            continue
        ends = tuple(origin.value if end is None else end for end in (origin.low, origin.high))
        found.append(Corner(field, *ends, *(_thickness(card, field, end, flip_probability) for end in ends)))
    return tuple(found)


def _thickness(card: DeviceCard, field: str, value: float, flip_probability: float) -> float | None:
    try:
        return thickness_for(card.with_field(field, value), flip_probability)
    except (CardError, InputError):
        return None
