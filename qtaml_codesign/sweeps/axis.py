"""The one-dimensional path that a card takes through flip rates as its oxide grows: where a sweep puts its knots.

A card whose every cell has the same flip probability p, or none, is a point on one axis shared by all such cards:
x = log2(2 p), in octaves, 0 at p = 1/2. Knots lie at dyadic x, so two cards ask for the same flip rates to the last bit
and share their trials. A card with cells of several kinds has a path of its own, over its thickness.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.flip import FlipProbability, flip_probability, log_slope_per_nm, thickness_for

FINEST = 2.0**-4
"""Smallest distance of two knots, in octaves of the flip probability."""

_LOWEST = -1000.0
"""Below p = 2^-1001 no network ever sees a flip; all such p are one knot."""


class Axis(ABC):
    """Coordinates x of thicknesses: falling with thickness, about one per octave of the flip probability."""

    @abstractmethod
    def coordinates(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x of each thickness."""

    @abstractmethod
    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """Knots at or outside lowest <= x <= highest."""

    @abstractmethod
    def profile(self, x: float) -> BitErrorProfile:
        """Flip rates of all cells at a knot."""

    @abstractmethod
    def thickness_nm(self, x: float) -> float:
        """Oxide thickness of the base cell at a knot, in nm."""

    @abstractmethod
    def flip_probability(self, x: float) -> float:
        """Flip probability of the base cell at a knot."""


@dataclass(frozen=True)
class FlipAxis(Axis):
    """All cells that can flip do so with the same p: x = log2(2 p).

    Args:
        card: the device card.
        shape: any profile of the card; a rate above zero there stands for p.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> axis = axis_for(load_card("3nm"))
        >>> axis.flip_probability(-3.0), axis.profile(-3.0).regions[0].one_to_zero.tolist() == [0.0625] * 8
        (0.0625, True)
    """

    card: DeviceCard
    shape: BitErrorProfile

    def coordinates(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x = log2(2 p), not below -1000."""
        logs = np.asarray(flip_probability(self.card, thickness_nm).log_probability)
        return np.maximum(1.0 + logs / math.log(2.0), _LOWEST)

    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """The next x = -2^k outwards (above p = 1/2: 0 and 1), so that cards of other ranges find the same knots."""
        below = 0.0 if lowest >= 0.0 else -(2.0 ** math.ceil(math.log2(max(-lowest, FINEST))))
        above = 1.0 if highest > 0.0 else -(2.0 ** math.floor(math.log2(-highest))) if highest <= -FINEST else 0.0
        return below, above

    def profile(self, x: float) -> BitErrorProfile:
        """Rate p = 2^(x-1) in every cell that can flip."""
        return BitErrorProfile(tuple(_with_rate(region, self.flip_probability(x)) for region in self.shape.regions))

    def thickness_nm(self, x: float) -> float:
        """Inverse of the physics; inside the card's validity only."""
        return thickness_for(self.card, self.flip_probability(x))

    def flip_probability(self, x: float) -> float:
        """p = 2^(x-1)."""
        return float(2.0 ** (x - 1.0))


@dataclass(frozen=True)
class ThicknessAxis(Axis):
    """Cells of several kinds: x = -d / unit, with the unit near the thickness that halves p, a power of two in nm."""

    card: DeviceCard
    unit_nm: float

    def coordinates(self, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """x = -d / unit."""
        return -np.asarray(thickness_nm) / self.unit_nm

    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """The ends themselves: beyond them the card may not be valid."""
        return lowest, highest

    def profile(self, x: float) -> BitErrorProfile:
        """Flip rates of the card at the knot's thickness."""
        return BitErrorProfile.from_flip_probability(self._flips(x))

    def thickness_nm(self, x: float) -> float:
        """d = -x unit."""
        return -x * self.unit_nm

    def flip_probability(self, x: float) -> float:
        """p of the base cell at the knot's thickness."""
        return float(self._flips(x).probability)

    def _flips(self, x: float) -> FlipProbability:
        return flip_probability(self.card, self.thickness_nm(x))


def axis_for(card: DeviceCard) -> Axis:
    """The shared axis for a card whose cells all follow its base cell, else the card's own."""
    flips = flip_probability(card)
    follow = all(card.resolve(region, plane) == flips.cell for region in card.region_names
                 for plane in range(card.storage_of(region).bits))
    if follow:
        return FlipAxis(card, BitErrorProfile.from_flip_probability(_visible(flips)))
    halving_nm = math.log(2.0) / -log_slope_per_nm(card)
    return ThicknessAxis(card, 2.0 ** round(math.log2(halving_nm)))


def middle(lower: float, upper: float) -> float:
    """The coarsest dyadic number strictly between two numbers: where every card would split this interval.

    Of two equally coarse ones the larger, where flips are more.

    Example:
        >>> middle(-9.25, -0.75), middle(-2.0, -1.0), middle(0.25, 0.375)
        (-8.0, -1.5, 0.3125)
    """
    step = 2.0 ** math.ceil(math.log2(upper - lower))
    while True:
        found = (math.ceil(upper / step) - 1) * step
        if found > lower:
            return float(found)
        step /= 2.0


def _with_rate(region: CellLaw, rate: float) -> CellLaw:
    one_to_zero, zero_to_one = (np.where(rates > 0.0, rate, 0.0) for rates in (region.one_to_zero, region.zero_to_one))
    return replace(region, one_to_zero=one_to_zero, zero_to_one=zero_to_one)


def _visible(flips: FlipProbability) -> FlipProbability:
    """The same flips with every probability at one half, so that none underflows to zero."""
    regions = (replace(region, log_probability=np.full_like(region.log_probability, math.log(0.5)))
               for region in flips.regions)
    return replace(flips, regions=tuple(regions))
