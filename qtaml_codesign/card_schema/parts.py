"""The parts of a device card, and the overrides that regions and bit planes may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from qtaml_codesign.barriers.bounds import EDGE, SHARE
from qtaml_codesign.card_schema.problems import broken
from qtaml_codesign.card_schema.quantities import QUANTITIES, plain_number, quantity, read_number
from qtaml_codesign.records import Record

Encoding = Literal["offset_binary", "twos_complement", "sign_magnitude"]
FlipDirection = Literal["symmetric", "charge_loss"]
Transmission = Literal["wkb", "prefactor", "exact"]
Anchor = Literal["rectangular_wkb", "this_barrier", "forced"]


class CardPart(Record):
    """A part whose every number is read by `read_number`."""

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, raw: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        return read_number(name, raw, QUANTITIES[name]) if name in QUANTITIES and raw is not None else raw


class ShapedPart(CardPart):
    """A part that holds numbers of the barrier's shape, which the schema learns from `barriers.registry`."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _numbers_of_the_shape(cls, raw: object) -> object:
        """Read the numbers; tell every key that is unknown or no such number at once."""
        if not isinstance(raw, Mapping):
            return raw
        read, wrong = dict(raw), []
        for name in [name for name in raw if name not in cls.model_fields]:
            bounds = None if name in QUANTITIES else quantity(name)
            try:
                if bounds is None:
                    raise PydanticCustomError("extra_forbidden", "unknown key")
                read[name] = read_number(str(name), raw[name], bounds)
            except PydanticCustomError as failure:
                wrong.append(InitErrorDetails(type=failure, loc=(str(name),), input=raw[name]))
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return read


class Layer(CardPart):
    """One layer of a `stack`; the one without thickness takes that of the barrier."""

    height_eV: float
    effective_mass_m0: float
    relative_permittivity: float
    thickness_nm: float | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _read_number_of_a_shape(cls, raw: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        bounds = quantity(name)
        return raw if bounds is None or raw is None else read_number(name, raw, bounds)


class Barrier(ShapedPart):
    """The barrier an electron tunnels through: its shape by name, its thickness, and the numbers of that shape.

    Attributes:
        model: the shape.
        thickness_nm: of the barrier; of a stack, of the one layer that has none of its own.
        transmission: "wkb" (where it is left out), "prefactor" or "exact".
        electrode_mass_m0: effective mass in the electrodes, for the latter two.
        layers: of a `stack`, from the electrode that emits.
        points: of a `profile`, (share of the thickness, height in eV).
    """

    model: str = "rectangular"
    thickness_nm: float
    transmission: Transmission | None = None
    electrode_mass_m0: float | None = None
    layers: list[Layer] | None = None
    points: list[tuple[float, float]] | None = None

    @field_validator("points", mode="before")
    @classmethod
    def _pairs(cls, raw: object) -> object:
        rule = "points: [[share of the thickness, height_eV], ...]"
        if raw is None or (isinstance(raw, list | tuple)
                           and all(isinstance(point, list | tuple) and len(point) == 2 for point in raw)):
            return raw and [(read_number("share", share, SHARE), read_number("height_eV", height, EDGE))
                            for share, height in raw]
        raise broken("points is not a list of pairs", rule, raw, "write for instance [[0, 3.1], [1, 2.8]]")


def barrier_numbers(barrier: Barrier) -> Iterator[str]:
    """Dotted names, below `barrier.`, of the numbers that a barrier holds beside those of its shape and its thickness.

    Args:
        barrier: of a card.
    """
    if barrier.electrode_mass_m0 is not None:
        yield "electrode_mass_m0"
    for place, layer in enumerate(barrier.layers or ()):
        yield from (f"layers.{place}.{name}" for name in layer.model_dump(exclude_none=True))


class Cell(CardPart):
    """The charge of one cell; its bit flips when MORE than `flip_threshold` electrons escape.

    Attributes:
        electrons: N.
        flip_threshold: k_th.
        attempt_frequency_Hz: nu.
        attempt_frequency_anchor: the barrier that nu was fitted with; "rectangular_wkb" where it is left out.
    """

    electrons: int
    flip_threshold: int
    attempt_frequency_Hz: float
    attempt_frequency_anchor: Anchor | None = None


class Storage(CardPart):
    """How a weight is stored; `charged_bit` is the logical value that a charged cell holds."""

    bits: int = 8
    encoding: Encoding = "offset_binary"
    charged_bit: int = 1


class ThicknessRange(Record):
    """A thickness interval [low, high] in nm, low < high."""

    thickness_nm: tuple[float, float]

    @field_validator("thickness_nm", mode="before")
    @classmethod
    def _pair(cls, raw: object) -> tuple[float, float]:
        rule = "[low, high] with 0 < low < high"
        if not isinstance(raw, list | tuple) or len(raw) != 2:
            raise broken("thickness_nm is not a range", rule, raw, "write two numbers, such as [1.72, 2.25]")
        low, high = (plain_number("thickness_nm", item, "nanometres") for item in raw)
        if not 0 < low < high:
            raise broken("the range does not increase", rule, list(raw), "put the smaller thickness first")
        return low, high


class BarrierOverride(ShapedPart):
    """Barrier fields that a region or bit plane replaces."""

    thickness_nm: float | None = None


class CellOverride(CardPart):
    """Cell fields that a region or bit plane replaces."""

    electrons: int | None = None
    flip_threshold: int | None = None
    attempt_frequency_Hz: float | None = None
    attempt_frequency_anchor: Anchor | None = None


class StorageOverride(CardPart):
    """Storage fields that a region replaces."""

    bits: int | None = None
    encoding: Encoding | None = None
    charged_bit: int | None = None


class PlaneOverride(CardPart):
    """What one bit plane replaces."""

    barrier: BarrierOverride = BarrierOverride()
    cell: CellOverride = CellOverride()
    window_s: float | None = None


def _plane_number(raw: object) -> object:
    """A key that is plainly a whole number: `1.0` is no plane, and `01` is not another one than `1`."""
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", str(raw)):
        raise broken("not a bit plane", "a whole number, 0 = least significant", raw, "number the planes 0, 1, 2 ...")
    return raw


BitPlanes = dict[Annotated[int, BeforeValidator(_plane_number)], PlaneOverride]


class RegionOverride(PlaneOverride):
    """What one region replaces, and the tensors (glob patterns) that it holds.

    `bit_planes`, where given, stands in for the card's own `bit_planes` inside this region.
    """

    tensors: list[str] = Field(default=..., min_length=1)
    storage: StorageOverride = StorageOverride()
    flips: FlipDirection | None = None
    bit_planes: BitPlanes | None = None
