"""A metric as a curve over the coordinate of a card, known at knots: where to measure next, and what lies between.

Everything here is arithmetic on measured knots. Between two knots of one protection plan the metric is taken as
linear, with an allowance for its curvature. Where the plan changes, or knots are far apart, it is only taken to lie
between those of the two knots, give or take the half-width that is asked for: it falls with the flip probability, but
for small rises where a plan changes. Above p = 1/2, where flips turn the sign of weights, knots are never far apart.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.nets.metric import ACCURACY, Metric

FINEST = 2.0**-4
"""Smallest distance of two knots, in octaves of the flip probability."""

WIDEST = 1.0
"""Cells wider than this many octaves are not taken as smooth."""

WIDEST_ABOVE_HALF = 2.0**-3
"""Cells above p = 1/2 are split down to this whatever their ends say."""

STEP_OF_BER = 0.05
"""Where the plan changes between two knots and the expected bit error rate steps by more, it is not known between."""

ALLOWANCE = 1.5
"""Intervals are widened by this many times the estimated error of interpolation."""

CROSSING_SHARES = {"value": 0.125, "low": 0.5, "high": 0.5, "image_low": 1.0, "image_high": 1.0}
"""Where the target is crossed, interpolation may be wrong by this part of the half-width that is asked for."""


@dataclass(frozen=True)
class Knot:
    """One measured point of a curve.

    Args:
        x: coordinate, rising with the flip probability.
        value, low, high: the metric over trials, as shown, and its interval.
        image_half_width: of the interval over evaluation samples.
        trials: drawings behind it.
        overhead: protected fraction of the stored bits.
        nominal_ber: expected flips per exposed bit.
        flip_probability: of the base cell.
        plan: what must be equal for two knots to lie on one smooth curve: depths and corrected layers.
    """

    x: float
    value: float
    low: float
    high: float
    image_half_width: float
    trials: int
    overhead: float
    nominal_ber: float
    flip_probability: float
    plan: Hashable

    @property
    def image_low(self) -> float:
        """Lower end of the interval over evaluation samples."""
        return self.value - self.image_half_width

    @property
    def image_high(self) -> float:
        """Upper end of the interval over evaluation samples."""
        return self.value + self.image_half_width


@dataclass(frozen=True)
class Between:
    """What knots tell about other points; every array has the shape of the points asked for."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    image_half_width: NDArray[np.float64]
    trials: NDArray[np.int64]
    overhead: NDArray[np.float64]
    nominal_ber: NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Knots of one method and budget, x rising, at least two.

    Args:
        knots: what was measured.
        metric: what their values are.
        target: the value to keep; far from it a metric without bounds is known well enough (`Metric.tolerance`).
        finds_steps: whether cells are split where the expected bit error rate steps. What codes leave steps from plan
            to plan, and no knots would be enough.

    Example:
        >>> def knot(x, value):
        ...     return Knot(x, value, value - 0.01, value + 0.01, 0.02, 10, 0.05, 0.1, 2.0 ** (x - 1), "plan")
        >>> curve = Curve((knot(-4.0, 0.98), knot(0.0, 0.1)))
        >>> curve.to_split(0.9, 0.01), curve.to_split(0.05, 0.01, everywhere=False)
        ([-2.0], [])
    """

    knots: tuple[Knot, ...]
    metric: Metric = ACCURACY
    target: float | None = None
    finds_steps: bool = True

    @np.errstate(invalid="ignore")  # infinite values have no slope
    def to_split(
        self, threshold: float, half_width: float, everywhere: bool = True, within: tuple[float, float] | None = None
    ) -> list[float]:
        """Where to measure next, rising: the middles of the cells that are not fine enough; empty when all are.

        Args:
            threshold: the value whose crossing is wanted. The cells where the metric and both ends of its intervals
                first do not keep it, seen from the fewest flips, are split until they are straight to a part of
                `half_width` (`CROSSING_SHARES`), or `FINEST`.
            half_width: of the intervals that are asked for. Elsewhere a cell is split until it is straight to that,
                or to half the interval of its knots where that is larger.
            everywhere: False looks at the crossing alone. Otherwise cells are also split where other planes are
                protected, and the expected bit error rate steps.
            within: cells outside these coordinates are left as they are.
        """
        low, high = (-np.inf, np.inf) if within is None else within
        wanted = np.zeros(len(self.knots) - 1, dtype=np.bool_)
        for name, share in CROSSING_SHARES.items():
            straight = self._smooth & (self._largest_error <= share * half_width)
            wanted |= self._falls_away(name, threshold) & ~straight
        if everywhere:
            wanted |= self._largest_error > np.maximum(self._tolerance(half_width), self._own_half_width / 2.0)
            wanted |= (self._x[1:] > 0.0) & (self._x[1:] - self._x[:-1] > WIDEST_ABOVE_HALF)
            wanted |= self._steps & self.finds_steps
        wanted &= (self._x[1:] - self._x[:-1] > FINEST) & (self._x[1:] > low) & (self._x[:-1] < high)
        return [middle(self.knots[cell].x, self.knots[cell + 1].x) for cell in np.flatnonzero(wanted).tolist()]

    @np.errstate(invalid="ignore")
    def between(
        self, x: NDArray[np.float64], flip_probability: NDArray[np.float64], half_width: float = 0.0
    ) -> Between:
        """The metric, interval and costs at other points x, (n,), inside the knots.

        The interval is that of the two knots, weighted alike (valid however the two are correlated), widened by the
        error of linear interpolation, |A''| (x - a) (b - x) / 2, and half as much again (`ALLOWANCE`) for what second
        differences miss; where the cell is not smooth it holds the intervals of both knots and `half_width` beyond
        them, the change between knots that `to_split` lets pass. The expected bit error rate runs linearly in the flip
        probability; between two plans of which one leaves `STEP_OF_BER` more than the other it is NaN.

        Args:
            x: (n,) coordinates.
            flip_probability: (n,) that of the base cell at each x.
            half_width: of the intervals that are asked for, in the unit of the metric.
        """
        cell = np.clip(np.searchsorted(self._x, x, side="right") - 1, 0, len(self.knots) - 2)
        share = np.clip((x - self._x[cell]) / (self._x[cell + 1] - self._x[cell]), 0.0, 1.0)
        on_knot = (share == 0.0) | (share == 1.0)
        width = self._x[cell + 1] - self._x[cell]
        curvature = np.where(self._smooth, self._bend, 0.0)[cell]
        bend = np.where(on_knot, 0.0, ALLOWANCE * 0.5 * curvature * share * (1.0 - share) * width**2)
        hull = ~self._smooth[cell] & ~on_knot
        lowest, highest = self._of_two(np.minimum, "low", cell), self._of_two(np.maximum, "high", cell)
        beyond, (least, most) = self._tolerance(half_width)[cell], self.metric.limits
        low = np.where(hull, lowest - beyond, self._mix("low", cell, share) - bend)
        high = np.where(hull, highest + beyond, self._mix("high", cell, share) + bend)
        probability = self._values("flip_probability")
        by_rate = (flip_probability - probability[cell]) / (probability[cell + 1] - probability[cell])
        nearest = np.where(share == 1.0, cell + 1, cell)
        trials = np.where(on_knot, self._values("trials")[nearest], self._of_two(np.minimum, "trials", cell))
        return Between(
            value=self._mix("value", cell, share), low=np.maximum(low, least), high=np.minimum(high, most),
            image_half_width=np.where(hull, self._of_two(np.maximum, "image_half_width", cell),
                                      self._mix("image_half_width", cell, share)),
            trials=trials.astype(np.int64),
            overhead=np.where(on_knot, self._values("overhead")[nearest], self._of_two(np.maximum, "overhead", cell)),
            nominal_ber=np.where(self._steps[cell] & ~on_knot, np.nan,
                                 self._mix("nominal_ber", cell, np.clip(by_rate, 0.0, 1.0))),
        )

    def _values(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(knot, name) for knot in self.knots], dtype=np.float64)

    def _mix(self, name: str, cell: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        left, right = self._values(name)[cell], self._values(name)[cell + 1]
        mixed = (1.0 - share) * left + share * right
        return np.where(share == 0.0, left, np.where(share == 1.0, right, mixed))  # 0 x inf is no number

    def _of_two(self, choose: np.ufunc, name: str, cell: NDArray[np.int64]) -> NDArray[np.float64]:
        values = self._values(name)
        chosen: NDArray[np.float64] = choose(values[cell], values[cell + 1])
        return chosen

    @cached_property
    def _x(self) -> NDArray[np.float64]:
        return self._values("x")

    @cached_property
    def _one_plan(self) -> NDArray[np.bool_]:
        """(n - 1,) cells between two knots of the same plan."""
        return np.array([one.plan == two.plan for one, two in zip(self.knots, self.knots[1:], strict=False)])

    @cached_property
    def _smooth(self) -> NDArray[np.bool_]:
        """(n - 1,) cells of one plan, not too wide, with a neighbour to measure the curvature with."""
        return self._one_plan & (np.diff(self._x) <= WIDEST) & (len(self.knots) > 2) & np.isfinite(self._bend)

    @cached_property
    def _bend(self) -> NDArray[np.float64]:
        """(n - 1,) |A''| of each cell: the larger second difference of its two ends, over the narrower cell there."""
        width = np.diff(self._x)
        slope = np.diff(self._values("value")) / width
        inner = np.abs(np.diff(slope)) / np.minimum(width[1:], width[:-1])
        at_knot = np.concatenate([[0.0], inner, [0.0]])
        bend: NDArray[np.float64] = np.maximum(at_knot[:-1], at_knot[1:])
        return bend

    @cached_property
    def _largest_error(self) -> NDArray[np.float64]:
        """(n - 1,) estimated largest error of interpolation within each cell."""
        width, gap = np.diff(self._x), np.abs(np.diff(self._values("value")))
        return np.where(self._smooth, self._bend * width**2 / 8.0, gap)

    @cached_property
    @np.errstate(invalid="ignore")  # nothing is exposed, or nothing flips
    def _steps(self) -> NDArray[np.bool_]:
        """(n - 1,) cells over which the plan changes, and with it the bit error rate per flip of the base cell.

        Within one plan the rate is a straight line in the flip probability, whatever other planes flip at.
        """
        share = self._values("nominal_ber") / self._values("flip_probability")
        step = np.abs(np.diff(share)) > STEP_OF_BER * np.maximum(share[1:], share[:-1])
        return step & ~self._one_plan

    @cached_property
    def _own_half_width(self) -> NDArray[np.float64]:
        """(n - 1,) half-width of the narrower interval of each cell's two knots."""
        half = (self._values("high") - self._values("low")) / 2.0
        return np.fmin(half[1:], half[:-1])

    def _tolerance(self, half_width: float) -> NDArray[np.float64]:
        """(n - 1,) how well each cell is to be known."""
        enough = self.metric.tolerance(self._values("value"), half_width, self.target)
        return np.minimum(enough[1:], enough[:-1])

    def _falls_away(self, name: str, threshold: float) -> NDArray[np.bool_]:
        """(n - 1,) true for the cell in which a quantity first does not keep the threshold, from the fewest flips."""
        margins: NDArray[np.float64] = self.metric.margin(self._values(name), np.array(threshold))
        misses = np.flatnonzero(~(margins >= 0.0))
        first = int(misses[0]) - 1 if misses.size else -1
        here: NDArray[np.bool_] = np.arange(len(self.knots) - 1) == first
        return here


def starting_knots(lowest: float, highest: float) -> tuple[float, float]:
    """The two ends of a curve, or one and its neighbour where they coincide.

    Args:
        lowest, highest: coordinates, lowest <= highest.
    """
    return (lowest, highest) if highest > lowest else (lowest - FINEST, lowest)


def middle(lower: float, upper: float) -> float:
    """The coarsest dyadic number strictly between two others: where every card would split this interval.

    Args:
        lower, upper: coordinates, lower < upper.

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
