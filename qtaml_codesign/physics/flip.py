"""Flip probability of a device card: per region and bit plane, over any array of thicknesses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import CellParameters, DeviceCard, Encoding, FlipDirection, as_card
from qtaml_codesign.checks import plain_array
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.chain import attempt_action, flip_logs, log_flip
from qtaml_codesign.physics.escape import EscapeLogs, Tail, check_tail
from qtaml_codesign.physics.inverse import log_slope_per_nm, thickness_for
from qtaml_codesign.physics.own_rates import OwnThickness
from qtaml_codesign.physics.validity import regime, warnings_for

__all__ = ["FlipProbability", "RegionFlip", "flip_probability", "log_slope_per_nm", "thickness_for"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RegionFlip:
    """One region of the card: its storage, its tensors and ln p_flip of its bit planes.

    Attributes:
        name: as on the card; `default` for what no region holds.
        bits: per weight.
        encoding: how a weight becomes a code.
        flips: which stored values flip.
        charged_bit: the logical value that a charged cell holds.
        tensors: glob patterns of tensor names; empty for `default`, which holds all other tensors.
        log_probability: shape S + (bits,), plane 0 = least significant.
        own_thickness: the cells, where each keeps its own rate (`variation.cells: own_rate`).
    """

    name: str
    bits: int
    encoding: Encoding
    flips: FlipDirection
    charged_bit: int
    tensors: tuple[str, ...]
    log_probability: Array
    own_thickness: OwnThickness | None = None

    def at(self, place: tuple[int, ...]) -> RegionFlip:
        """The same at one point of S.

        Args:
            place: its index.
        """
        own = None if self.own_thickness is None else self.own_thickness.at(place)
        return replace(self, log_probability=self.log_probability[place], own_thickness=own)


@dataclass(frozen=True, eq=False)
class FlipProbability:
    """Flip probability of a card at thicknesses of shape S (scalars where S is empty); logs are natural.

    All but `regions` belongs to one cell: the base cell (no region, no bit plane), or that of the region asked for.
    What is not held is worked out when it is asked for.

    Attributes:
        card_name: name of the card.
        tail: the tail that was used.
        cell: the cell, with its barrier.
        thickness_nm: its thicknesses in nm.
        log_probability: ln p_flip of the cell.
        regions: every region of the card, `default` first, per bit plane.
    """

    card_name: str
    tail: Tail
    cell: CellParameters
    thickness_nm: float | Array
    log_probability: float | Array
    regions: tuple[RegionFlip, ...]

    @property
    def log_transmission(self) -> float | Array:
        """ln T of one attempt through the oxide, -S: other channels, such as traps, are not in it."""
        return _scalar(-attempt_action(self.cell, np.asarray(self.thickness_nm)))

    @property
    def log_escape_probability(self) -> float | Array:
        """ln p_esc of one electron."""
        return _scalar(self._logs.log_escape)

    @property
    def log_complement(self) -> float | Array:
        """ln(1 - p_flip), with all its digits where p_flip is close to 1."""
        return _scalar(self._logs.log_no_flip)

    @cached_property
    def _logs(self) -> EscapeLogs:
        return flip_logs(self.cell, np.asarray(self.thickness_nm), self.tail)

    @property
    def transmission(self) -> float | Array:
        """Transmission per attempt, T = exp(-S)."""
        return _exp(self.log_transmission)

    @property
    def escape_probability(self) -> float | Array:
        """Probability that one electron leaves within the window."""
        return _exp(self.log_escape_probability)

    @property
    def mean_escapes(self) -> float | Array:
        """Mean number of escaped electrons, lambda = N p_esc."""
        return self.cell.electrons * self.escape_probability

    @property
    def probability(self) -> float | Array:
        """Flip probability of the base cell; 0 below about 5e-324, where `log10_probability` is still right."""
        return _exp(self.log_probability)

    @property
    def log10_probability(self) -> float | Array:
        """Base-10 logarithm of the flip probability."""
        return self.log_probability / math.log(10.0)

    @property
    def by_plane(self) -> Array:
        """Flip probability of each bit plane of the default region, shape S + (bits,)."""
        return np.exp(self.regions[0].log_probability)

    @property
    def by_region(self) -> dict[str, Array]:
        """Flip probability per region and bit plane, `default` first."""
        return {region.name: np.exp(region.log_probability) for region in self.regions}

    @property
    def log_by_region(self) -> dict[str, Array]:
        """ln p_flip per region and bit plane, `default` first."""
        return {region.name: region.log_probability for region in self.regions}

    @property
    def regime(self) -> str | NDArray[np.str_]:
        """rare, transition or high-escape at each thickness (see `validity.regime`)."""
        names = regime(np.asarray(self.mean_escapes), self.cell.electrons, self.cell.flip_threshold)
        return str(names) if names.ndim == 0 else names

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt about these numbers (see `validity.warnings_for`)."""
        return warnings_for(self.cell, np.asarray(self.thickness_nm), np.asarray(self.log_probability), self.tail)

    def at(self, index: int | tuple[int, ...]) -> FlipProbability:
        """The result at one thickness point, a scalar one.

        Args:
            index: as in numpy, one integer per axis of S.

        Raises:
            InputError: there is no such point.
        """
        shape, place = np.shape(self.thickness_nm), index if isinstance(index, tuple) else (index,)
        if len(place) != len(shape) or not all(-size <= i < size for i, size in zip(place, shape, strict=True)):
            raise InputError("no such thickness point", where="index", rule=f"one integer per axis of {shape}",
                             value=index, next_step="a scalar result has no points; see thickness_nm for the others")
        thickness, log_flip = (float(np.asarray(values)[place]) for values in (self.thickness_nm, self.log_probability))
        regions = tuple(region.at(place) for region in self.regions)
        return replace(self, thickness_nm=thickness, log_probability=log_flip, regions=regions)


def flip_probability(
    card: DeviceCard | str | Path, thickness_nm: ArrayLike | None = None, *, tail: str = "binomial",
    region: str | None = None,
) -> FlipProbability:
    """Flip probability of every region and bit plane of a card.

    p_flip = P(K > k_th), K ~ Binomial(N, p_esc), p_esc = 1 - (1 - exp(-S(d)))^(nu tau)

    Args:
        card: the device card, its name, or its path.
        thickness_nm: thicknesses in nm, a number or an array of any shape S, that replace the card's own; regions and
            bit planes that set their own thickness keep it. Must lie within `card.validity`. None: the card's own.
        tail: "binomial" (exact), or the labelled approximations "poisson" and "leading".
        region: whose cell the result is about, beside the planes of all regions; None: the base cell.

    Raises:
        CardError: the card cannot be read or breaks its schema, or has no such region.
        InputError: an unknown tail, or a thickness that is no number or outside the card's validity.

    Validity: see `FlipProbability.warnings`. Source: the card's barrier (S), `escape.escape_logs`.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> flip = flip_probability(load_card("3nm"), [1.765, 2.0])
        >>> flip.probability.round(6).tolist(), flip.by_plane.shape
        ([0.09997, 1e-06], (2, 8))
    """
    card = as_card(card)
    used, points, one = check_tail(tail), np.array(checked_thickness(card, thickness_nm)[0]), card.resolve(region)

    @cache
    def log_flip_of(cell: CellParameters) -> Array:
        return log_flip(cell, _widths(cell, points), used)

    regions = tuple(_region(card, name, points, used, log_flip_of) for name in card.region_names)
    return FlipProbability(card.name, used, one, _scalar(_widths(one, points)), _scalar(log_flip_of(one)), regions)


def _widths(cell: CellParameters, points: Array) -> Array:
    return np.full(points.shape, cell.thickness_nm) if cell.own_thickness else points


def checked_thickness(card: DeviceCard, thickness_nm: ArrayLike | None) -> tuple[Array, float, float]:
    """Thicknesses in nm as float64 (the caller's own array where it is that), the smallest and the largest of them.

    Args:
        card: whose validity holds.
        thickness_nm: numbers of any shape; None: the card's own.

    Raises:
        InputError: none given, not numbers, or outside the card's validity.
    """
    low, high = card.validity.thickness_nm
    given = card.barrier.thickness_nm if thickness_nm is None else thickness_nm
    rule, step = "a number or an array of numbers, in nm", "for instance 1.765"
    points = plain_array("thickness_nm", given, rule, step)
    if points.dtype.kind not in "iuf" or points.size == 0:
        what = "no thickness given" if points.size == 0 else "thickness is not a number"
        raise InputError(what, where="thickness_nm", rule=rule, value=given, next_step=step)
    points = points.astype(np.float64, copy=False)
    least, most = float(points.min()), float(points.max())
    if not (least >= low and most <= high):
        bad = points[~((points >= low) & (points <= high))]
        raise InputError(f"thickness is outside the validity of card {card.name}", where="thickness_nm",
                         rule=f"{low:g} <= thickness_nm <= {high:g}", value=float(bad.flat[0]),
                         next_step="stay inside, or widen validity.thickness_nm of the card with a reason")
    return points, least, most


def _region(
    card: DeviceCard, name: str, points: Array, tail: Tail, log_flip_of: Callable[[CellParameters], Array]
) -> RegionFlip:
    storage = card.storage_of(name)
    cells = tuple(card.resolve(name, plane) for plane in range(storage.bits))
    planes = [log_flip_of(cell) for cell in cells]
    alike = all(plane is planes[0] for plane in planes)
    shape = (*planes[0].shape, storage.bits)
    return RegionFlip(
        name=name, bits=storage.bits, encoding=storage.encoding, flips=card.flips_of(name),
        charged_bit=storage.charged_bit, tensors=tuple(card.regions[name].tensors) if name in card.regions else (),
        log_probability=np.broadcast_to(planes[0][..., None], shape) if alike else np.stack(planes, axis=-1),
        own_thickness=OwnThickness(cells[:1] if alike else cells, points, tail) if cells[0].keeps_rate else None,
    )


def _scalar(values: Array) -> float | Array:
    return float(values) if values.ndim == 0 else values


def _exp(log_values: float | Array) -> float | Array:
    return _scalar(np.exp(np.asarray(log_values)))
