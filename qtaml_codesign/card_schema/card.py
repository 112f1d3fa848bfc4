"""The schema of a device card: its parts, their bounds, and the rules that tie fields together.

Engineering units on the card, one field per number, nothing optional that would change an answer silently. A field
that has no effect on any result does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from qtaml_codesign.card_schema.parts import (
    Barrier,
    BitPlanes,
    CardPart,
    Cell,
    FlipDirection,
    PlaneOverride,
    RegionOverride,
    Storage,
    ThicknessRange,
)
from qtaml_codesign.card_schema.problems import broken, card_error, keys_at, leaf_names, unknown_key
from qtaml_codesign.card_schema.quantities import SCHEMA_VERSION, Provenance, plain_number, split_provenance
from qtaml_codesign.checks import is_one_of, is_whole_within
from qtaml_codesign.errors import CardError, did_you_mean, shorten

DEFAULT_REGION: Final = "default"
CELL_FIELDS: Final = (
    "barrier.height_eV", "barrier.electron_energy_eV", "barrier.effective_mass_m0", "barrier.thickness_nm",
    "cell.electrons", "cell.flip_threshold", "cell.attempt_frequency_Hz", "window_s",
)
"""Dotted names of the numbers that set the flip probability of a cell."""


@dataclass(frozen=True)
class CellParameters:
    """One resolved cell (card, then region, then bit plane), in card units.

    Attributes:
        own_thickness: True when a region or plane override set the thickness, so that a sweep leaves it alone.
    """

    height_eV: float
    electron_energy_eV: float
    effective_mass_m0: float
    thickness_nm: float
    electrons: int
    flip_threshold: int
    attempt_frequency_Hz: float
    window_s: float
    own_thickness: bool = False

    @property
    def attempts(self) -> float:
        """Escape attempts of one electron in the window, M = nu tau (dimensionless)."""
        return self.attempt_frequency_Hz * self.window_s


class DeviceCard(CardPart):
    """A device card, schema version 1; see `load_card`. Every error is a `CardError`.

    Example:
        >>> card = DeviceCard(schema_version=1, name="thin", window_s="1e-6",
        ...     barrier={"height_eV": 3.1, "electron_energy_eV": 0.05, "effective_mass_m0": 0.4, "thickness_nm": 1.8},
        ...     cell={"electrons": 50, "flip_threshold": 4, "attempt_frequency_Hz": 2.4e13})
        >>> card.with_field("barrier.thickness_nm", 2.0).resolve().thickness_nm
        2.0
    """

    schema_version: int
    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    barrier: Barrier
    cell: Cell
    window_s: float
    storage: Storage = Storage()
    flips: FlipDirection = "symmetric"
    sweep: ThicknessRange | None = None
    validity: ThicknessRange = ThicknessRange(thickness_nm=(0.1, 100.0))
    regions: dict[str, RegionOverride] = Field(default_factory=dict)
    bit_planes: BitPlanes = Field(default_factory=dict)
    sources: list[str] = Field(default_factory=list)
    _provenance: dict[str, Provenance] = PrivateAttr(default_factory=dict)

    def __init__(self, /, **raw: Any) -> None:
        where = place_of(raw)
        plain, provenance = split_provenance(raw, where)
        try:
            super().__init__(**plain)
        except ValidationError as failure:
            raise card_error(failure, DeviceCard, where) from None
        self._provenance = provenance

    @field_validator("schema_version", mode="before")
    @classmethod
    def _known_version(cls, raw: object) -> object:
        version = plain_number("schema_version", raw, "whole numbers")
        if version != SCHEMA_VERSION:
            newer = "the card was written for a newer version: update qtaml-codesign"
            step = newer if version > SCHEMA_VERSION else f"write `schema_version: {SCHEMA_VERSION}`"
            raise broken("unknown schema version", f"schema_version: {SCHEMA_VERSION}", raw, step)
        return SCHEMA_VERSION

    @model_validator(mode="after")
    def _consistent(self) -> DeviceCard:
        for prefix, region in self._regions():
            storage, planes = self.storage_of(region), self._planes_of(region)
            own = self.bit_planes if region is None else self.regions[region].bit_planes or {}
            for plane in own:
                if not 0 <= plane < storage.bits:
                    raise broken(f"there is no bit plane {plane}", f"0 <= plane < {storage.bits} (storage.bits)", plane,
                                 "plane 0 is the least significant bit", f"{prefix}bit_planes.{plane}")
            self._check_cell(self.resolve(region), prefix)
            for plane in (plane for plane in planes if plane < storage.bits):
                self._check_cell(self.resolve(region, plane), f"{prefix}bit_planes.{plane}.")
        self._check_sweep()
        return self

    def _regions(self) -> Iterator[tuple[str, str | None]]:
        yield "", None
        for name in self.regions:
            if name == DEFAULT_REGION or not re.fullmatch(r"[\w-]+", name):
                raise broken("not a name for a region", "letters, digits, _ and -; not `default`", name,
                             "`default` is what no region holds; choose another name", f"regions.{name}")
            yield f"regions.{name}.", name

    def _check_cell(self, cell: CellParameters, prefix: str) -> None:
        low, high = self.validity.thickness_nm
        if not low <= cell.thickness_nm <= high:
            raise broken("thickness is outside the card's validity", f"{low:g} <= thickness_nm <= {high:g}",
                         cell.thickness_nm, "correct it, or widen validity.thickness_nm with a reason",
                         f"{prefix}barrier.thickness_nm")
        if not cell.electron_energy_eV < cell.height_eV:
            raise broken("the electron is above the barrier: there is no tunnelling",
                         f"electron_energy_eV < height_eV = {cell.height_eV:g}", cell.electron_energy_eV,
                         "lower the energy or raise the barrier", f"{prefix}barrier.electron_energy_eV")
        if not cell.flip_threshold < cell.electrons:
            raise broken("the bit can never flip: fewer electrons than the threshold needs",
                         f"flip_threshold < electrons = {cell.electrons}", cell.flip_threshold,
                         "the bit flips when MORE than flip_threshold electrons escape", f"{prefix}cell.flip_threshold")

    def _check_sweep(self) -> None:
        low, high = self.validity.thickness_nm
        sweep = self.sweep.thickness_nm if self.sweep else (low, high)
        if not low <= sweep[0] < sweep[1] <= high:
            raise broken("the sweep leaves the card's validity", f"inside [{low:g}, {high:g}]", list(sweep),
                         "narrow sweep.thickness_nm or widen validity.thickness_nm", "sweep.thickness_nm")

    def _planes_of(self, region: str | None) -> Mapping[int, PlaneOverride]:
        own = None if region is None else self.regions[region].bit_planes
        return self.bit_planes if own is None else own

    def _region(self, region: str | None) -> str | None:
        if region is None or is_one_of(region, (DEFAULT_REGION,)):
            return None
        if not is_one_of(region, self.regions):
            raise CardError("unknown region", where=f"card {self.name}, regions", rule="a region of the card",
                            value=region, next_step=did_you_mean(region, self.region_names))
        return region

    @property
    def region_names(self) -> tuple[str, ...]:
        """`default` first (what no region holds), then the regions in the order of the card."""
        return (DEFAULT_REGION, *self.regions)

    @property
    def provenance(self) -> dict[str, Provenance]:
        """Where the numbers come from, by dotted field; numbers written plainly are not in it."""
        return dict(self._provenance)

    def resolve(self, region: str | None = None, plane: int | None = None) -> CellParameters:
        """The cell of a region (None or `default`: the card itself) and bit plane (None: no plane override).

        The most specific wins: card, then region, then bit plane.
        """
        name = self._region(region)
        layers: list[PlaneOverride] = [] if name is None else [self.regions[name]]
        planes, bits = self._planes_of(name), self.storage_of(name).bits
        if plane is not None and not is_whole_within(plane, 0, bits - 1):
            raise CardError("there is no such bit plane", where=f"card {self.name}, region {name or DEFAULT_REGION}",
                            rule=f"0 <= plane < {bits}", value=plane, next_step="plane 0 is the least significant")
        if plane is not None and plane in planes:
            layers.append(planes[plane])
        values = {**self.barrier.model_dump(exclude={"model"}), **self.cell.model_dump(), "window_s": self.window_s}
        for layer in layers:
            given = layer.model_dump(include={"barrier", "cell", "window_s"}, exclude_none=True)
            values.update({**given["barrier"], **given["cell"]})
            values["window_s"] = given.get("window_s", values["window_s"])
        own = any(layer.barrier.thickness_nm is not None for layer in layers)
        return CellParameters(**values, own_thickness=own)

    def storage_of(self, region: str | None = None) -> Storage:
        """Bits, encoding and charged bit of a region."""
        name = self._region(region)
        override = {} if name is None else self.regions[name].storage.model_dump(exclude_none=True)
        return self.storage.model_copy(update=override)

    def flips_of(self, region: str | None = None) -> FlipDirection:
        """Flip direction of a region."""
        name = self._region(region)
        return (None if name is None else self.regions[name].flips) or self.flips

    def to_dict(self) -> dict[str, Any]:
        """The card as it would stand in a file, provenance included; `DeviceCard(**card.to_dict()) == card`."""
        tree = self.model_dump(mode="json", exclude_none=True)
        for field, origin in self._provenance.items():
            *path, last = field.split(".")
            node: Any = tree
            for step in path:
                node = node[step]
            node[int(last) if isinstance(node, list) else last] = origin.model_dump(exclude_none=True)
        return tree

    def with_field(self, field: str, value: object) -> DeviceCard:
        """A new card with one dotted field replaced (`barrier.height_eV`), checked like any card.

        The field's provenance is dropped with its old value; an unknown name is a `CardError` with near matches.
        """
        return self.with_fields({field: value})

    def with_fields(self, values: Mapping[str, object]) -> DeviceCard:
        """A new card with several dotted fields replaced at once, as `with_field` replaces one."""
        tree = self.to_dict()
        for field, value in values.items():
            *path, last = field.split(".")
            if path[:1] == ["regions"] and len(path) > 1:
                self._region(path[1])
            if last not in (keys_at(DeviceCard, path) or []):
                raise CardError(f"unknown field {field}", where=f"card {self.name}", rule="a dotted field of the card",
                                value=field, next_step=_near_field(field))
            node = tree
            for step in path:
                node = node.setdefault(step, {})
            node[last] = value
        return DeviceCard(**tree)


def place_of(raw: Mapping[str, Any]) -> str:
    """How an error names a card that was not read from a file."""
    return f"card {shorten(raw.get('name', '(unnamed)'), 60)}"


def _near_field(field: str) -> str:
    hint = unknown_key(DeviceCard, field.split("."))
    return hint if "?" in hint else did_you_mean(field, leaf_names(DeviceCard))
