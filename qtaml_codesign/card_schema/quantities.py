"""How the numbers of a card are read: bounds, units, text that is plainly a number, and where it comes from."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import ValidationError, field_validator, model_validator

from qtaml_codesign.barriers.bounds import MASS
from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.card_schema.problems import broken, card_error
from qtaml_codesign.checks import Quantity, as_float
from qtaml_codesign.constants import METRE_PER_nm
from qtaml_codesign.records import Record

SCHEMA_VERSION: Final = 1
_DEPTH: Final = 8
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


QUANTITIES: Final[dict[str, Quantity]] = {
    "thickness_nm": Quantity(1e-3, 1e3, "nanometres", si=METRE_PER_nm, si_unit="metres"),
    "electrons": Quantity(1, 1e9, "electrons", whole=True),
    "flip_threshold": Quantity(0, 1e9, "electrons", whole=True),
    "attempt_frequency_Hz": Quantity(1e-3, 1e18, "hertz"),
    "window_s": Quantity(1e-18, 1e12, "seconds"),
    "temperature_K": Quantity(1.0, 1e3, "kelvin"),
    "reference_temperature_K": Quantity(1.0, 1e3, "kelvin"),
    "roughness_nm": Quantity(0.0, 1.0, "nanometres rms", si=METRE_PER_nm, si_unit="metres"),
    "thickness_sigma_nm": Quantity(0.0, 1.0, "nanometres", si=METRE_PER_nm, si_unit="metres"),
    "activation_energy_eV": Quantity(0.0, 5.0, "electronvolts"),
    "node_capacitance_aF": Quantity(1e-3, 1e9, "attofarads", si=1e-18, si_unit="farads"),
    "charge_noise_electrons": Quantity(0.0, 1e6, "electrons rms"),
    "density_per_cm3": Quantity(0.0, 1e22, "traps per cubic centimetre"),
    "area_nm2": Quantity(1e-2, 1e9, "square nanometres"),
    "leakage_pA": Quantity(0.0, 1e9, "picoamperes"),
    "electrode_mass_m0": MASS,
    "bits": Quantity(2, 16, "bits", whole=True),
    "charged_bit": Quantity(0, 1, "the logical value stored as charge", whole=True),
}
"""The numbers of every card; those of a barrier's shape stand with the shape."""


def quantity(name: str) -> Quantity | None:
    """Bounds and unit of the numbers called `name`, or None where no number of a card is.

    Example:
        >>> quantity("window_s").unit, quantity("height_eV").unit, quantity("name")
        ('seconds', 'electronvolts', None)
    """
    shapes = (shape.numbers[name] for shape in BARRIERS.values() if name in shape.numbers)
    return QUANTITIES.get(name) or next(shapes, None)


def read_number(name: str, raw: object, bounds: Quantity) -> float | int:
    """The number that `raw` plainly is, within the bounds of the field `name`.

    Raises:
        PydanticCustomError: not a number, not whole, or out of bounds.

    Example:
        >>> read_number("window_s", "1e-6", QUANTITIES["window_s"])
        1e-06
    """
    number = plain_number(name, raw, bounds.unit)
    if bounds.whole and number != math.floor(number):
        rule = f"a whole number ({bounds.unit})"
        raise broken(f"{name} is not a whole number", rule, raw, "write it without a fraction")
    if not bounds.low <= number <= bounds.high:
        rule = f"{bounds.low:g} <= {name} <= {bounds.high:g}"
        raise broken(f"{name} is out of bounds", rule, raw, _unit_hint(name, bounds, number))
    return int(number) if bounds.whole else number


def plain_number(name: str, raw: object, unit: str) -> float:
    """A finite float from a number, or from text such as `1e-6` that is nothing but a number.

    Args:
        name: the field, for the message.
        raw: what the card says.
        unit: of the field, for the message.

    Raises:
        PydanticCustomError: anything else.
    """
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


def _unit_hint(name: str, bounds: Quantity, number: float) -> str:
    converted = number / bounds.si
    if bounds.si_unit and bounds.low <= converted <= bounds.high:
        return f"{name} is in {bounds.unit}; {number:g} looks like {bounds.si_unit}: write {converted:g}"
    return f"{name} is in {bounds.unit}; check the unit and the decimal point"


class Provenance(Record):
    """Where a number of a card comes from, and how far it may be off.

    Attributes:
        value: the number itself, in the unit of its field.
        low, high: range of the value where the source gives one; low <= value <= high.
        kind: measured, published, derived (computed from other numbers) or assumed.
        source: publication, data sheet or the argument behind the number.
    """

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
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        if not low <= self.value <= high:
            raise broken("the range does not hold the value", "low <= value <= high",
                         f"{low:g}, {self.value:g}, {high:g}", "correct value, low or high")
        return self


def split_provenance(
    raw: Mapping[str, Any], where: str, path: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Provenance]]:
    """Replace each `{value, low, high, kind, source}` by its value; return them by dotted field.

    Args:
        raw: a mapping of the card.
        where: the card, for the message.
        path: keys that lead to `raw`.

    Raises:
        CardError: a number whose origin breaks its schema.
    """
    plain, found = dict(raw), dict[str, Provenance]()
    for key, item in raw.items():
        inner = [*path, str(key)]
        if quantity(str(key)) is None:
            listed = isinstance(item, list) and any(isinstance(entry, Mapping) for entry in item)
            if (listed or isinstance(item, Mapping)) and len(path) < _DEPTH:
                inside = {str(place): entry for place, entry in enumerate(item)} if listed else item
                entries, deeper = split_provenance(inside, where, inner)
                plain[key] = list(entries.values()) if listed else entries
                found |= deeper
        elif isinstance(item, list | tuple):
            plain[key] = [_value(entry, where, [*inner, str(place)], found) for place, entry in enumerate(item)]
        else:
            plain[key] = _value(item, where, inner, found)
    return plain, found


def _value(item: Any, where: str, path: Sequence[str], found: dict[str, Provenance]) -> Any:
    """A number that is written plainly, or that of its `{value, ...}`, which is put into `found`."""
    if not isinstance(item, Mapping):
        return item
    try:
        found[".".join(path)] = Provenance.model_validate(dict(item))
    except ValidationError as failure:
        raise card_error(failure, Provenance, where, path) from None
    return item["value"]
