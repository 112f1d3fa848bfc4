"""The numbers of a device card, each with its unit and where it comes from."""

from __future__ import annotations

from typing import NamedTuple

from qtaml_codesign.cards import DeviceCard

_UNITS = {"nm": "nm", "eV": "eV", "m0": "m0", "Hz": "Hz", "s": "s", "K": "K", "aF": "aF", "pA": "pA", "nm2": "nm2",
          "cm3": "per cm3", "V": "V"}
_COUNTS = ("electrons", "flip_threshold", "charge_noise_electrons")
_NO_NUMBERS = ("description", "name", "sources", "schema_version")


class CardRow(NamedTuple):
    """One field of a card; `low` and `high` are the ends of its range."""

    field: str
    value: object
    unit: str
    low: float | None
    high: float | None
    kind: str
    source: str


def card_rows(card: DeviceCard) -> list[CardRow]:
    """Every field of a card but its texts, in its order.

    Args:
        card: the device card.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> row = card_rows(load_card("3nm"))[1]
        >>> row.field, row.value, row.unit, row.kind
        ('barrier.thickness_nm', 1.765, 'nm', 'derived')
    """
    origins, rows = card.provenance, []
    for field, value in _leaves(card.model_dump(mode="json", exclude_none=True)):
        if field.split(".")[0] in _NO_NUMBERS:
            continue
        origin = origins.get(field)
        low, high = (origin.low, origin.high) if origin else (None, None)
        kind, source = ((origin.kind or "", origin.source or "") if origin else ("", ""))
        rows.append(CardRow(field, value, _unit(field), low, high, kind, source))
    return rows


def _leaves(tree: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in tree.items():
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            value = {str(place): part for place, part in enumerate(value)}
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def _unit(field: str) -> str:
    last = field.rsplit(".", 1)[-1]
    if last in _COUNTS:
        return "electrons"
    return _UNITS.get(last.rsplit("_", 1)[-1], "") if "_" in last else ""
