"""How the numbers of a card are read: bounds, units, text that is plainly a number, and where it comes from."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from qtaml_codesign.card_schema.problems import broken, card_error
from qtaml_codesign.checks import as_float
from qtaml_codesign.constants import ELECTRON_MASS_kg, JOULE_PER_eV, METRE_PER_nm

SCHEMA_VERSION: Final = 1
_DEPTH: Final = 8
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class Quantity(NamedTuple):
    """Bounds and unit of one number of the card; `si` and `si_unit` only serve hints about mistaken units."""

    low: float
    high: float
    unit: str
    whole: bool = False
    si: float = 1.0
    si_unit: str = ""


QUANTITIES: Final[dict[str, Quantity]] = {
    "height_eV": Quantity(1e-3, 20.0, "electronvolts", si=JOULE_PER_eV, si_unit="joules"),
    "electron_energy_eV": Quantity(0.0, 20.0, "electronvolts"),
    "effective_mass_m0": Quantity(1e-3, 10.0, "free electron masses", si=ELECTRON_MASS_kg, si_unit="kilograms"),
    "thickness_nm": Quantity(1e-3, 1e3, "nanometres", si=METRE_PER_nm, si_unit="metres"),
    "electrons": Quantity(1, 1e9, "electrons", whole=True),
    "flip_threshold": Quantity(0, 1e9, "electrons", whole=True),
    "attempt_frequency_Hz": Quantity(1e-3, 1e18, "hertz"),
    "window_s": Quantity(1e-18, 1e12, "seconds"),
    "bits": Quantity(2, 16, "bits", whole=True),
    "charged_bit": Quantity(0, 1, "the logical value stored as charge", whole=True),
}


def read_number(name: str, raw: object) -> float | int:
    """The number that `raw` plainly is, within the bounds of the field `name`; raises a broken rule otherwise.

    Example:
        >>> read_number("window_s", "1e-6"), read_number("electrons", 50.0)
        (1e-06, 50)
    """
    quantity = QUANTITIES[name]
    number = plain_number(name, raw, quantity.unit)
    if quantity.whole and number != math.floor(number):
        rule = f"a whole number ({quantity.unit})"
        raise broken(f"{name} is not a whole number", rule, raw, "write it without a fraction")
    if not quantity.low <= number <= quantity.high:
        rule = f"{quantity.low:g} <= {name} <= {quantity.high:g}"
        raise broken(f"{name} is out of bounds", rule, raw, _unit_hint(name, quantity, number))
    return int(number) if quantity.whole else number


def plain_number(name: str, raw: object, unit: str) -> float:
    """A finite float from a number, or from text such as `1e-6` that is nothing but a number."""
    rule, hint = "a finite number", f"write a plain number; {name} is in {unit}"
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        number = float(raw)
    elif type(raw) is bool or not isinstance(raw, numbers.Real):
        raise broken(f"{name} is not a number", rule, raw, hint)
    else:
        number = as_float(raw)
    if not math.isfinite(number):
        raise broken(f"{name} is not finite", rule, raw, hint)
    return number


def _unit_hint(name: str, quantity: Quantity, number: float) -> str:
    converted = number / quantity.si
    if quantity.si_unit and quantity.low <= converted <= quantity.high:
        return f"{name} is in {quantity.unit}; {number:g} looks like {quantity.si_unit}: write {converted:g}"
    return f"{name} is in {quantity.unit}; check the unit and the decimal point"


class Provenance(BaseModel):
    """Where a number of a card comes from, and how far it may be off.

    Attributes:
        value: the number itself, in the unit of its field.
        low, high: range of the value where the source gives one; low <= value <= high.
        kind: measured, published, derived (computed from other numbers) or assumed.
        source: publication, data sheet or the argument behind the number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None
    kind: Literal["measured", "published", "derived", "assumed"] | None = None
    source: str = ""

    @field_validator("value", "low", "high", mode="before")
    @classmethod
    def _read(cls, raw: object) -> object:
        return raw if raw is None else plain_number("value", raw, "the unit of its field")

    @model_validator(mode="after")
    def _ordered(self) -> Provenance:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise broken(
                "the range does not hold the value", "low <= value <= high", f"{low:g}, {self.value:g}, {high:g}",
                "correct value, low or high",
            )
        return self


def split_provenance(
    raw: Mapping[str, Any], where: str, path: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Provenance]]:
    """Replace each `{value, low, high, kind, source}` by its value; return them by dotted field."""
    plain: dict[str, Any] = {}
    found: dict[str, Provenance] = {}
    for key, item in raw.items():
        inner = [*path, str(key)]
        if isinstance(item, Mapping) and key in QUANTITIES:
            plain[key] = _sourced(item, where, inner, found)
        elif isinstance(item, Mapping) and len(path) < _DEPTH:
            plain[key], deeper = split_provenance(item, where, inner)
            found.update(deeper)
        elif isinstance(item, list | tuple) and key in QUANTITIES:
            plain[key] = [
                _sourced(entry, where, [*inner, str(place)], found) if isinstance(entry, Mapping) else entry
                for place, entry in enumerate(item)
            ]
        else:
            plain[key] = item
    return plain, found


def _sourced(item: Mapping[str, Any], where: str, path: Sequence[str], found: dict[str, Provenance]) -> object:
    try:
        found[".".join(path)] = Provenance.model_validate(dict(item))
    except ValidationError as failure:
        raise card_error(failure, Provenance, where, path) from None
    return item["value"]
