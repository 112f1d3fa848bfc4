"""Flip rates of every bit plane, in both directions, for each region of the memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.bits.formats import BitFormat, rates_by_plane
from qtaml_codesign.cards import DEFAULT_REGION
from qtaml_codesign.checks import number_within, whole_number, whole_number_within
from qtaml_codesign.errors import InputError, did_you_mean, shown
from qtaml_codesign.physics.own_rates import OwnRates, check_own_rates

if TYPE_CHECKING:
    from qtaml_codesign.physics.flip import FlipProbability, RegionFlip

@dataclass(frozen=True, eq=False)
class CellLaw:
    """Flip rates of one region of the memory.

    Args:
        name: region name.
        format: bit count and encoding of the weights stored there.
        one_to_zero: (B,) P(1 -> 0) of each plane, 0 = LSB, each in [0, 1].
        zero_to_one: (B,) P(0 -> 1) of each plane.
        tensors: glob patterns of the tensors it holds; empty for the default region, which takes the rest.
        block: runs of this many weights (in flattened order) share their flips, 1 = every weight on its own.
        spread: sigma of the logarithm of the rate from cell to cell, 0 = all cells alike. A cell keeps its rate over
            all trials of a seed; the mean over cells is exactly `one_to_zero` and `zero_to_one` (see `bits.variation`).
        own_rates: rates by the thickness that each cell keeps likewise, a table for all planes or for each; or none.

    Raises:
        InputError: rates outside [0, 1], not one per plane, a block below 1, a spread outside [0, 5], or own rates
            that do not fit.

    Example:
        >>> CellLaw("default", BitFormat(2), [0.1, 0.2], [0.0, 0.0]).protect(1).one_to_zero.tolist()
        [0.1, 0.0]
    """

    name: str
    format: BitFormat
    one_to_zero: NDArray[np.float64]
    zero_to_one: NDArray[np.float64]
    tensors: tuple[str, ...] = ()
    block: int = 1
    spread: float = 0.0
    own_rates: tuple[OwnRates, ...] = ()

    def __post_init__(self) -> None:
        """Check the rates and make them read-only."""
        spread = number_within("spread", self.spread, 0.0, 5.0, "0 <= spread <= 5", "0.3 is a spread of about 30 %")
        object.__setattr__(self, "block", whole_number("block", self.block, least=1))
        object.__setattr__(self, "spread", spread)
        for field in ("one_to_zero", "zero_to_one"):
            object.__setattr__(self, field, rates_by_plane(field, getattr(self, field), self.format.bits))
        object.__setattr__(self, "tensors", tuple(self.tensors))
        check_own_rates(self.own_rates, np.stack([self.one_to_zero, self.zero_to_one]), spread)

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, CellLaw) else NotImplemented

    def __hash__(self) -> int:
        rates = (self.one_to_zero.tobytes(), self.zero_to_one.tobytes())
        return hash((self.name, self.format, *rates, self.tensors, self.block, self.spread, self.own_rates))

    @property
    def silent(self) -> bool:
        """True when no plane can flip."""
        return not (self.one_to_zero.any() or self.zero_to_one.any())

    @property
    def even(self) -> bool:
        """True when all planes have one rate, the same in both directions."""
        rates = np.concatenate([self.one_to_zero, self.zero_to_one])
        return bool((rates == rates[0]).all())

    @property
    def alike(self) -> bool:
        """True when every cell flips on its own with the rate of its plane."""
        return self.block == 1 and self.spread == 0.0 and not self.own_rates

    def protect(self, depth: int) -> CellLaw:
        """The same region with the rates of its top `depth` planes zero (ideal protection), 0 <= depth <= B.

        Args:
            depth: planes from the MSB down.

        Raises:
            InputError: another depth.
        """
        bits = self.format.bits
        kept = bits - whole_number_within("depth", depth, 0, bits, f"protect 0 to {bits} planes")
        return self.without(range(kept, bits))

    def without(self, planes: Iterable[int]) -> CellLaw:
        """The same region with the rates of these planes zero (0 = LSB).

        Args:
            planes: any of 0 to B - 1.

        Raises:
            InputError: there is no such plane.

        Example:
            >>> CellLaw("default", BitFormat(3), [0.1, 0.2, 0.3], 0.0).without([1]).one_to_zero.tolist()
            [0.1, 0.0, 0.3]
        """
        bits, silent = self.format.bits, list(planes)
        for plane in silent:
            whole_number_within("plane", plane, 0, bits - 1, f"the planes are 0 to {bits - 1}, 0 = LSB")
        flips = ~np.isin(np.arange(bits), silent)
        return replace(self, one_to_zero=self.one_to_zero * flips, zero_to_one=self.zero_to_one * flips)

    def to_json(self) -> dict[str, Any]:
        """Plain dict; every float survives JSON exactly; `block`, `spread` and `own_rates` where they act."""
        written: dict[str, Any] = {
            "name": self.name, "bits": self.format.bits, "encoding": self.format.encoding,
            "one_to_zero": self.one_to_zero.tolist(), "zero_to_one": self.zero_to_one.tolist(),
            "tensors": list(self.tensors),
        }
        tables = [table.to_json() for table in self.own_rates]
        cells = {"block": (self.block, 1), "spread": (self.spread, 0.0), "own_rates": (tables, [])}
        return written | {name: value for name, (value, alike) in cells.items() if value != alike}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> CellLaw:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.

        Raises:
            InputError: a format, rates, a block or a spread that cannot be.
        """
        fmt = BitFormat(fields["bits"], fields["encoding"])
        cells = {name: fields[name] for name in ("block", "spread") if name in fields}
        cells["own_rates"] = tuple(OwnRates.from_json(table) for table in fields.get("own_rates", ()))
        return cls(fields["name"], fmt, fields["one_to_zero"], fields["zero_to_one"], tuple(fields["tensors"]), **cells)


@dataclass(frozen=True)
class BitErrorProfile:
    """Flip rates of a whole memory: one `CellLaw` per region, the default region first.

    Args:
        regions: at least the default one.

    Raises:
        InputError: the first region is not the default one, or a name stands twice.

    Example:
        >>> profile = BitErrorProfile.uniform(0.10)
        >>> profile.regions[0].one_to_zero[7].item(), profile == BitErrorProfile.from_json(profile.to_json())
        (0.1, True)
    """

    regions: tuple[CellLaw, ...]

    def __post_init__(self) -> None:
        """Check that there is a default region and that names are unique."""
        object.__setattr__(self, "regions", tuple(self.regions))
        names = [region.name for region in self.regions]
        if not names or names[0] != DEFAULT_REGION or len(set(names)) < len(names):
            raise InputError("a profile needs the default region first, and each name once", where="regions",
                             rule=f"regions[0].name == {DEFAULT_REGION!r}, names unique", value=names,
                             next_step="rename or reorder the regions")

    @classmethod
    def uniform(cls, flip_probability: ArrayLike, format: BitFormat | None = None) -> BitErrorProfile:
        """One region, both directions alike: a number for every plane, or (B,) by plane with 0 = LSB.

        Args:
            flip_probability: in [0, 1].
            format: storage format, default 8-bit offset binary.

        Raises:
            InputError: rates outside [0, 1], or not one per plane.
        """
        fmt = format or BitFormat()
        rates = rates_by_plane("flip_probability", flip_probability, fmt.bits)
        return cls((CellLaw(DEFAULT_REGION, fmt, rates, rates),))

    @classmethod
    def from_flip_probability(cls, flip: FlipProbability) -> BitErrorProfile:
        """Rates of every region and plane of a device at one thickness.

        `symmetric`: both directions have rate p. `charge_loss`: only a cell that holds charge flips, so one_to_zero = p
        and zero_to_one = 0 when the logical 1 is the charged state (charged_bit = 1), and the other way round when it
        is the logical 0.

        Args:
            flip: at one thickness.

        Raises:
            InputError: at several thicknesses.
        """
        return cls(tuple(_region_errors(region) for region in flip.regions))

    def region_of(self, tensor: str) -> CellLaw:
        """First named region with a pattern that matches the tensor's name, else the default region.

        Args:
            tensor: its name.
        """
        named = (region for region in self.regions[1:] if _holds(region, tensor))
        return next(named, self.regions[0])

    def assign(self, tensor_names: Iterable[str]) -> dict[str, CellLaw]:
        """Region of each tensor: first named region that matches (fnmatch patterns), else the default.

        A named region whose patterns match no tensor would silently do nothing: it is refused.

        Args:
            tensor_names: the stored tensors of a network.

        Raises:
            InputError: a region holds none of them.
        """
        names = list(tensor_names)
        for region in self.regions[1:]:
            if not any(_holds(region, name) for name in names):
                raise InputError(
                    f"region {region.name!r} holds no tensor of this network", where=f"regions.{region.name}.tensors",
                    rule="at least one pattern matches a stored tensor",
                    value=", ".join(region.tensors) or "(no patterns)",
                    next_step=did_you_mean(region.tensors[0].strip("*") if region.tensors else region.name, names),
                )
        return {name: self.region_of(name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain dict; every float survives JSON exactly."""
        return {"regions": [region.to_json() for region in self.regions]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> BitErrorProfile:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.
        """
        return cls(tuple(CellLaw.from_json(region) for region in fields["regions"]))


def as_profile(
    value: ArrayLike | FlipProbability | BitErrorProfile, format: BitFormat | None = None
) -> BitErrorProfile:
    """Any way of giving flip rates, as a profile.

    Args:
        value: a number, (B,) by plane with 0 = LSB, a `FlipProbability` at one thickness, or a profile.
        format: storage format of plain numbers, default 8-bit offset binary. A `FlipProbability` and a profile
            bring their own format along, and it wins.

    Raises:
        InputError: anything else, or rates outside [0, 1].

    Example:
        >>> as_profile([0.1, 0.2], BitFormat(2)).regions[0].zero_to_one.tolist()
        [0.1, 0.2]
    """
    if isinstance(value, BitErrorProfile):
        return value
    if isinstance(value, (int, float, np.generic, np.ndarray, Sequence)):
        return BitErrorProfile.uniform(value, format)
    from qtaml_codesign.physics.flip import FlipProbability

    if isinstance(value, FlipProbability):
        return BitErrorProfile.from_flip_probability(value)
    raise InputError("this is not a flip probability", where="flip_probability",
                     rule="a number, an array by bit plane, a FlipProbability or a BitErrorProfile",
                     value=f"{type(value).__name__}: {shown(value, str)}",
                     next_step="pass 0.1, or flip_probability(card)")


def _region_errors(region: RegionFlip) -> CellLaw:
    logs = np.asarray(region.log_probability, dtype=np.float64)
    if logs.ndim != 1:
        raise InputError("flip rates of several thicknesses were given where one is needed", where="flip_probability",
                         rule="a FlipProbability at one thickness", value=f"thickness array of shape {logs.shape[:-1]}",
                         next_step="pick one point with .at(index)")
    rates, none = np.exp(logs), np.zeros_like(logs)
    fmt, charged = BitFormat(region.bits, region.encoding), region.charged_bit
    one_to_zero, zero_to_one = (rates if region.flips == "symmetric" or charged == bit else none for bit in (1, 0))
    tables = () if region.own_thickness is None else region.own_thickness.tables(rates)
    return CellLaw(region.name, fmt, one_to_zero, zero_to_one, tuple(region.tensors), own_rates=tables)


def _holds(region: CellLaw, tensor: str) -> bool:
    return any(fnmatchcase(tensor, pattern) for pattern in region.tensors)
