"""From the action of a barrier to the hazard of one electron in the window, and back, in logs.

    x = -ln(1 - p_esc) = M f(S),  f(a) = -ln(1 - exp(-a)),  S = f(x / M)

f is its own inverse, so that one function serves both ways.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LEAST_ACTION = 1e-15
_LARGE = 37.0
_LOG_2 = math.log(2.0)


def log_hazard_of(action: Array, attempts: float) -> Array:
    """ln x of one electron behind a barrier of a given action.

    Args:
        action: S, any shape; what is not above 0 is taken as a barrier that holds nothing back (S = 1e-15).
        attempts: M.

    Example:
        >>> np.exp(log_hazard_of(np.array([19.975293]), 2.4e7)).round(6)
        array([0.050705])
    """
    return math.log(attempts) + _log_mirrored(np.maximum(action, _LEAST_ACTION))


def action_of(log_hazard: Array, attempts: float) -> Array:
    """Action of the plain barrier behind which one electron has this hazard; the inverse of `log_hazard_of`.

    Args:
        log_hazard: ln x, any shape.
        attempts: M.

    Example:
        >>> action_of(log_hazard_of(np.array([19.975293]), 2.4e7), 2.4e7).round(9)
        array([19.975293])
    """
    log_share = np.asarray(log_hazard - math.log(attempts), dtype=np.float64)
    share = np.exp(np.minimum(log_share, 700.0))
    return np.where(log_share < -_LARGE, -log_share, np.maximum(_mirrored(share), 5e-324))


def _log_mirrored(a: Array) -> Array:
    """ln f(a), which is -a where exp(-a) is lost beside 1."""
    with np.errstate(divide="ignore"):
        return np.where(a > _LARGE, -a, np.log(_mirrored(a)))


def _mirrored(a: Array) -> Array:
    """f(a) = -ln(1 - exp(-a)), a >= 0."""
    with np.errstate(divide="ignore"):
        return np.where(a < _LOG_2, -np.log(-np.expm1(-a)), -np.log1p(-np.exp(-a)))
