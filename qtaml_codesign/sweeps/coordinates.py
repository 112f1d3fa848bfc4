"""The one-dimensional path that a card takes through flip rates as its oxide grows: where knots may lie.

A card whose every cell has the same flip probability p, or none, goes along the path that all such cards share, with
x = log2(2 p). A card with cells of several kinds has a path of its own, over its thickness.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.flip import FlipProbability, flip_probability, log_slope_per_nm, thickness_for
from qtaml_codesign.sweeps.curve import FINEST

_LOWEST = -1000.0
"""Below p = 2^-1001 no network ever sees a flip; all such p are one knot."""


@dataclass(frozen=True)
class Place:
    """Flip rates to measure at.

    Args:
        x: coordinate on the path that the card takes through flip rates (`Coordinate`).
        thickness_nm: oxide thickness of the base cell; NaN where the place stands for a flip probability alone.
        flip_probability: of the base cell.
        profile: flip rates of all cells.
    """

    x: float
    thickness_nm: float
    flip_probability: float
    profile: BitErrorProfile


def place_of(flips: FlipProbability, x: float) -> Place:
    """A thickness as it is, not rounded to any knot.

    Args:
        flips: of one thickness.
        x: its coordinate.
    """
    return Place(x, float(flips.thickness_nm), float(flips.probability), BitErrorProfile.from_flip_probability(flips))


class Coordinate(ABC):
    """Coordinates x of thicknesses: falling with thickness, about one per octave of the flip probability."""

    @abstractmethod
    def at(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x of each thickness, the same shape.

        Args:
            thickness_nm: of the base cell's oxide, in nm, any shape.

        Raises:
            InputError: outside the card's validity, where that is needed.
        """

    @abstractmethod
    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """The two knots at or outside lowest <= x <= highest.

        Args:
            lowest, highest: coordinates.
        """

    @abstractmethod
    def place(self, x: float) -> Place:
        """Flip rates at a knot; its thickness may be left open: beyond the card's range there may be none.

        Args:
            x: coordinate of the knot.
        """

    @abstractmethod
    def thickness_nm(self, x: float) -> float:
        """Oxide thickness of the base cell at a knot, in nm.

        Args:
            x: coordinate of the knot.

        Raises:
            InputError: none inside the card's validity, where that is needed.
        """


@dataclass(frozen=True)
class OctaveCoordinate(Coordinate):
    """All cells that can flip do so with the same p: x = log2(2 p), in octaves, 0 at p = 1/2.

    Knots lie at dyadic x, so two such cards ask for the same flip rates to the last bit, and share their trials.

    Args:
        card: the device card.
        shape: any profile of the card; a rate above zero there stands for p.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> place = coordinate_for(load_card("3nm")).place(-3.0)
        >>> place.flip_probability, place.profile.regions[0].one_to_zero.tolist() == [0.0625] * 8
        (0.0625, True)
    """

    card: DeviceCard
    shape: BitErrorProfile

    def at(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x = log2(2 p) of each `thickness_nm`, not below -1000."""
        logs = np.asarray(flip_probability(self.card, thickness_nm).log_probability)
        return np.maximum(1.0 + logs / math.log(2.0), _LOWEST)

    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """The next -2^k outwards of `lowest` and `highest` (above p = 1/2: 0 and 1); other ranges share them."""
        below = 0.0 if lowest >= 0.0 else -(2.0 ** math.ceil(math.log2(max(-lowest, FINEST))))
        above = 1.0 if highest > 0.0 else -(2.0 ** math.floor(math.log2(-highest))) if highest <= -FINEST else 0.0
        return below, above

    def place(self, x: float) -> Place:
        """Rate p = 2^(x-1) in every cell that can flip."""
        rate = float(2.0 ** (x - 1.0))
        return Place(x, math.nan, rate, BitErrorProfile(tuple(_with_rate(law, rate) for law in self.shape.regions)))

    def thickness_nm(self, x: float) -> float:
        """Inverse of the physics at a knot x, in nm; inside the card's validity only."""
        return thickness_for(self.card, self.place(x).flip_probability)


@dataclass(frozen=True)
class ThicknessCoordinate(Coordinate):
    """Cells of several kinds: x = -d / unit, with the unit near the thickness that halves p, a power of two in nm."""

    card: DeviceCard
    unit_nm: float

    def at(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x = -d / unit of each `thickness_nm` d."""
        return -np.asarray(thickness_nm) / self.unit_nm

    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """`lowest` and `highest` themselves: beyond them the card may not be valid."""
        return lowest, highest

    def place(self, x: float) -> Place:
        """Flip rates of the card at the thickness of a knot x."""
        return place_of(flip_probability(self.card, self.thickness_nm(x)), x)

    def thickness_nm(self, x: float) -> float:
        """d = -x unit."""
        return -x * self.unit_nm


def coordinate_for(card: DeviceCard) -> Coordinate:
    """The one that all cards share whose every cell has the base cell's flip probability, or none; else the card's.

    Args:
        card: the device card.
    """
    flips = flip_probability(card)
    follow = not flips.cell.keeps_rate and all(card.resolve(region, plane) == flips.cell for region in card.region_names
                 for plane in range(card.storage_of(region).bits))
    if follow:
        visible = tuple(replace(region, log_probability=np.full_like(region.log_probability, math.log(0.5)))
                        for region in flips.regions)  # so that no probability underflows to zero
        return OctaveCoordinate(card, BitErrorProfile.from_flip_probability(replace(flips, regions=visible)))
    halving_nm = math.log(2.0) / -log_slope_per_nm(card)
    return ThicknessCoordinate(card, 2.0 ** round(math.log2(halving_nm)))


def flip_law(card: DeviceCard) -> Callable[[float], float]:
    """Oxide thickness in nm -> flip probability of the base cell.

    Args:
        card: the device card.
    """
    return partial(_probability_at, card)


def _probability_at(card: DeviceCard, thickness_nm: float) -> float:
    return float(flip_probability(card, thickness_nm).probability)


def _with_rate(region: CellLaw, rate: float) -> CellLaw:
    one_to_zero, zero_to_one = (np.where(rates > 0.0, rate, 0.0) for rates in (region.one_to_zero, region.zero_to_one))
    return replace(region, one_to_zero=one_to_zero, zero_to_one=zero_to_one)
