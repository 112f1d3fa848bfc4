"""The schema of a device card: its parts, their bounds, and the rules that tie fields together.

Engineering units on the card, one field per number, nothing optional that would change an answer silently. A field
that has no effect on any result does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.card_schema.cell import CellParameters
from qtaml_codesign.card_schema.effects import NO_EFFECTS, Escape, Variation, set_numbers
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
    barrier_numbers,
)
from qtaml_codesign.card_schema.problems import broken, card_error, keys_at, leaf_names, unknown_key
from qtaml_codesign.card_schema.quantities import SCHEMA_VERSION, Provenance, plain_number, quantity, split_provenance
from qtaml_codesign.card_schema.shaping import barrier_of, check_anchor
from qtaml_codesign.card_schema.trees import put
from qtaml_codesign.checks import is_one_of, is_whole_within
from qtaml_codesign.errors import CardError, InputError, did_you_mean, shorten

DEFAULT_REGION: Final = "default"
"""What holds the tensors that no region names, on a card and in a profile of flip rates."""
_NOTHING: Final = RegionOverride.model_construct(tensors=[])


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
    temperature_K: float | None = None
    escape: Escape | None = None
    variation: Variation | None = None
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
        if self.escape is not None:
            self.escape.check_temperature(self.temperature_K)
        self._check_region(None, "")
        for name in self.regions:
            if name == DEFAULT_REGION or not re.fullmatch(r"[\w-]+", name):
                raise broken("not a name for a region", "letters, digits, _ and -; not `default`", name,
                             "`default` is what no region holds; choose another name", f"regions.{name}")
            self._check_region(name, f"regions.{name}.")
        low, high = self.validity.thickness_nm
        sweep = self.sweep.thickness_nm if self.sweep else (low, high)
        if not low <= sweep[0] < sweep[1] <= high:
            raise broken("the sweep leaves the card's validity", f"inside [{low:g}, {high:g}]", list(sweep),
                         "narrow sweep.thickness_nm or widen validity.thickness_nm", "sweep.thickness_nm")
        return self

    def _check_region(self, region: str | None, prefix: str) -> None:
        self._check_cell(region, None, prefix)
        bits, own = self.storage_of(region).bits, region is None or self.regions[region].bit_planes is not None
        for plane in self._planes_of(region):
            field = f"{prefix}bit_planes.{plane}"
            if not 0 <= plane < bits:
                step = "plane 0 is the least significant bit" if own else (
                    "the region takes over the card's bit_planes: give it `bit_planes` of its own, {} for none")
                raise broken(f"there is no bit plane {plane}", f"0 <= plane < {bits} (storage.bits)", plane, step,
                             field)
            self._check_cell(region, plane, f"{field}.")

    def _check_cell(self, region: str | None, plane: int | None, prefix: str) -> None:
        try:
            cell = self.resolve(region, plane)
            cell.escape.check_cell(cell.barrier, cell.electrons, cell.flip_threshold, cell.temperature_K)
        except InputError as failure:
            raise broken(failure.what, failure.rule, failure.value, failure.next_step,
                         f"{prefix}barrier.{failure.where}") from None
        try:
            check_anchor(cell)
        except InputError as failure:
            raise broken(failure.what, failure.rule, failure.value, failure.next_step,
                         f"{prefix}{failure.where}") from None
        low, high = self.validity.thickness_nm
        if not low <= cell.thickness_nm <= high:
            raise broken("thickness is outside the card's validity", f"{low:g} <= thickness_nm <= {high:g}",
                         cell.thickness_nm, "correct it, or widen validity.thickness_nm with a reason",
                         f"{prefix}barrier.thickness_nm")
        if not cell.flip_threshold < cell.electrons:
            raise broken("the bit can never flip: fewer electrons than the threshold needs",
                         f"flip_threshold < electrons = {cell.electrons}", cell.flip_threshold,
                         "the bit flips when MORE than flip_threshold electrons escape", f"{prefix}cell.flip_threshold")

    def _planes_of(self, region: str | None) -> dict[int, PlaneOverride]:
        own = self._region(region).bit_planes
        return self.bit_planes if own is None else own

    def _region(self, region: str | None) -> RegionOverride:
        """What a region replaces: nothing where it is None or `default`."""
        if region is None or is_one_of(region, (DEFAULT_REGION,)):
            return _NOTHING
        if not is_one_of(region, self.regions):
            raise CardError("unknown region", where=f"card {self.name}, regions", rule="a region of the card",
                            value=region, next_step=did_you_mean(region, self.region_names))
        return self.regions[region]

    @property
    def region_names(self) -> tuple[str, ...]:
        """`default` first (what no region holds), then the regions in the order of the card."""
        return (DEFAULT_REGION, *self.regions)

    @property
    def provenance(self) -> dict[str, Provenance]:
        """Where the numbers come from, by dotted field; numbers written plainly are not in it."""
        return dict(self._provenance)

    @property
    def cell_fields(self) -> tuple[str, ...]:
        """Dotted names of the numbers that set the flip probability of a cell.

        Example:
            >>> from qtaml_codesign.cards import load_card
            >>> load_card("3nm").cell_fields[-2:]
            ('cell.attempt_frequency_Hz', 'window_s')
        """
        numbers = BARRIERS[self.barrier.model].numbers
        shape = (f"barrier.{name}" for name in numbers if getattr(self.barrier, name, None) is not None)
        switched_on = (("escape", self.escape), ("variation", self.variation))
        effects = (name for part, held in switched_on if held is not None for name in set_numbers(held, f"{part}."))
        warm = () if self.temperature_K is None else ("temperature_K",)
        held = (f"barrier.{name}" for name in barrier_numbers(self.barrier))
        cell = (f"cell.{name}" for name in Cell.model_fields if quantity(name))
        return (*shape, *held, "barrier.thickness_nm", *cell, *warm, *effects, "window_s")

    def resolve(self, region: str | None = None, plane: int | None = None) -> CellParameters:
        """The cell of a region and bit plane; the most specific wins: card, then region, then bit plane.

        Args:
            region: name of a region; None or `default`: the card itself.
            plane: bit plane, 0 = LSB; None: no plane override.

        Raises:
            CardError: there is no such region or bit plane.
        """
        override: PlaneOverride = _NOTHING
        if plane is not None:
            bits = self.storage_of(region).bits
            if not is_whole_within(plane, 0, bits - 1):
                where = f"card {self.name}, region {region or DEFAULT_REGION}"
                raise CardError("there is no such bit plane", where=where,
                                rule=f"0 <= plane < {bits}", value=plane, next_step="plane 0 is the least significant")
            override = self._planes_of(region).get(int(plane), _NOTHING)
        layers = [layer for layer in (self._region(region), override) if layer is not _NOTHING]
        barrier = self.barrier.model_dump(exclude_none=True)
        cell = {**self.cell.model_dump(), "window_s": self.window_s}
        for layer in layers:
            given = layer.model_dump(include={"barrier", "cell", "window_s"}, exclude_none=True)
            barrier |= given.pop("barrier")
            cell |= given.pop("cell") | given
        own = any(layer.barrier.thickness_nm is not None for layer in layers)
        return CellParameters(barrier_of(barrier), barrier["thickness_nm"], **cell, own_thickness=own,
                              temperature_K=self.temperature_K, escape=self.escape or NO_EFFECTS,
                              variation=self.variation)

    def storage_of(self, region: str | None = None) -> Storage:
        """Bits, encoding and charged bit of a region.

        Args:
            region: its name; None: the default one.

        Raises:
            CardError: there is none of that name.
        """
        own = self._region(region)
        return self.storage if own is _NOTHING else self.storage.model_copy(
            update=own.storage.model_dump(exclude_none=True))

    def flips_of(self, region: str | None = None) -> FlipDirection:
        """Flip direction of a region.

        Args:
            region: its name; None: the default one.

        Raises:
            CardError: there is none of that name.
        """
        return self._region(region).flips or self.flips

    def to_dict(self) -> dict[str, Any]:
        """The card as it would stand in a file, provenance included; `DeviceCard(**card.to_dict()) == card`."""
        tree = self.model_dump(mode="json", exclude_none=True)
        for field, origin in self._provenance.items():
            put(tree, field, origin.model_dump(exclude_none=True))
        return tree

    def with_field(self, field: str, value: object) -> DeviceCard:
        """A new card with one dotted field replaced (`barrier.height_eV`), checked like any card.

        The field's provenance is dropped with its old value; an unknown name is a `CardError` with near matches.

        Args:
            field: dotted name of the field.
            value: as it would stand in a file.

        Raises:
            CardError: an unknown field, or a card that breaks the schema.
        """
        return self.with_fields({field: value})

    def with_fields(self, values: Mapping[str, object]) -> DeviceCard:
        """A new card with several dotted fields replaced at once, as `with_field` replaces one.

        Args:
            values: value by dotted field.

        Raises:
            CardError: an unknown field, or a card that breaks the schema.
        """
        tree = self.to_dict()
        for field, value in values.items():
            *path, last = field.split(".")
            if path[:1] == ["regions"] and len(path) > 1:
                self._region(path[1])
            if last not in keys_at(DeviceCard, path):
                hint = unknown_key(DeviceCard, [*path, last])
                step = hint if "?" in hint else did_you_mean(field, leaf_names(DeviceCard))
                raise CardError(f"unknown field {field}", where=f"card {self.name}", rule="a dotted field of the card",
                                value=field, next_step=step)
            put(tree, field, deepcopy(value))
        return DeviceCard(**tree)


def place_of(raw: Mapping[str, Any]) -> str:
    """How an error names a card that was not read from a file.

    Args:
        raw: the card, before it is checked.
    """
    return f"card {shorten(raw.get('name', '(unnamed)'), 60)}"
