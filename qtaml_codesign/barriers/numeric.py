"""Slopes and inverses of what has no closed form."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Barrier, Number

Array = NDArray[np.float64]
_STEP: Final = 1e-3
_MOST_STEPS: Final = 200
_GROWTH: Final = 1.3
LEAST_ACTION: Final = 1e-12
"""What stands for S = 0, where a barrier is gone."""


class ByDifferences(Barrier):
    """A barrier of which only the action is told: its slope by differences, its inverse by Brent's method."""

    @abstractmethod
    def _guess_nm(self, action: float) -> float:
        """A thickness in nm > 0, from which that with an action S is looked for."""

    def slope_per_nm(self, thickness_nm: float) -> float:
        """dS/dd, by differences.

        Args:
            thickness_nm: d.
        """
        return slope(self.action, thickness_nm)

    def thickness_nm(self, action: float) -> float:
        """The inverse of `action`, by Brent's method; NaN where no thickness has this action.

        Args:
            action: S.
        """
        return place_of(self.action, action, self._guess_nm(action))


def points_of(thickness_nm: Number) -> Array:
    """A number, or an array of any shape, as a line of points.

    Args:
        thickness_nm: what the physics asks for.
    """
    return np.asarray(thickness_nm, dtype=np.float64).reshape(-1)


def shaped(values: Array, like: Number) -> Number:
    """A line of values in the shape of what was asked for; a number where that was one.

    Args:
        values: (points,).
        like: what was asked for.
    """
    found: Any = values.reshape(np.shape(like))[()]
    return cast("Number", found)


def slope(function: Callable[[Array], Array], place: float) -> float:
    """Derivative by differences of fourth order with steps of a thousandth, to about 1e-10 where the curve is smooth.

    Args:
        function: of a line of points; it rises, so that a slope below 1e-12 is taken for that.
        place: > 0.

    Example:
        >>> round(slope(lambda x: x**3, 2.0), 9)
        12.0
    """
    step = _STEP * place
    far_below, below, above, far_above = function(place + step * np.array([-2.0, -1.0, 1.0, 2.0]))
    return max(LEAST_ACTION, float((8.0 * (above - below) - (far_above - far_below)) / (12.0 * step)))


def place_of(rising: Callable[[float], float], value: float, guess: float) -> float:
    """Where a rising function of a positive number has a value: Brent's method in a bracket that grows from a guess.

    Args:
        rising: the function.
        value: that it shall have.
        guess: > 0.

    Returns:
        The place; NaN where none is found within twenty powers of ten of the guess.

    Example:
        >>> round(place_of(lambda x: x**3, 8.0, 1.0), 12)
        2.0
    """
    from scipy.optimize import brentq

    low = high = guess
    for _ in range(_MOST_STEPS):
        if rising(low) <= value <= rising(high):
            return float(brentq(lambda place: rising(place) - value, low, high, xtol=1e-15 * low,
                                rtol=4.0 * np.finfo(float).eps)) if low < high else low
        low, high = (low / _GROWTH, low) if rising(low) > value else (high, high * _GROWTH)
    return math.nan
