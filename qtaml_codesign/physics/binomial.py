"""The exact chain of one cell for many thicknesses at once: the same numbers as `kernels.flip_chain`, in vector code.

A cell has one N and one threshold, so that everything that depends on them alone is worked out once: ln P(K = j) at
its peak and the coefficients c_i of the tail. What is left per point is five elementary functions of numpy (seven for
all four logs) and a few short loops. The result of a point does not depend on the points around it.

    ln P(K >= j) = ln P_peak(j) + j ln(n p / j) + (n - j) ln(n q / (n - j)) + ln sum_i c_i z^i,  z = (n - j)/(j + 1) p/q

All c_i are positive and z < 1 where n p < j. On the other side of that the same sum is taken for the electrons that
stay, n - K of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.physics import kernels

Array = NDArray[np.float64]
_BLOCK = 8192
_LOG_2 = math.log(2.0)
_MOST_HAZARD = 709.0
_RARE_ACTION = 4.7
_TINY = 1e-290


@dataclass(frozen=True, eq=False)
class _Tail:
    """P(K >= j), K ~ Binomial(n, p): what does not depend on p."""

    n: float
    j: float
    log_peak: float
    coefficients: Array

    def logs(self, odds: Array, log_scale: float, exponent: Array, log_share: Array, log_tail: Array) -> None:
        """ln p and ln P(K >= j) where n p < j; odds = p / q, and ln p = log_scale - exponent where they underflow."""
        rounding, lean = np.empty_like(odds), np.empty_like(odds)
        kernels.near_peak(odds, self.n, self.j, log_share, rounding, lean)
        np.log(log_share, out=log_share)
        if odds.min() < _TINY:
            deep = odds < _TINY
            log_share[deep] = log_scale - exponent[deep] + math.log(self.n / self.j)
        total = self.series(odds)
        np.log(total, out=total)
        np.log1p(lean, out=lean)
        kernels.join_tail(log_share, rounding, lean, total, self.log_peak, self.n, self.j, log_tail)

    def series(self, odds: Array) -> Array:
        """P(K >= j) / P(K = j)."""
        total, scale = np.empty_like(odds), (self.n - self.j) / (self.j + 1.0)
        blocks = kernels.blocks_needed(self.coefficients, scale * float(odds.max(initial=0.0)))
        kernels.tail_series(odds, scale, self.coefficients, blocks, total)
        return total


@lru_cache(maxsize=64)
def _tail(n: float, j: float) -> _Tail:
    return _Tail(n, j, kernels.log_peak(n, j), kernels.tail_coefficients(n, j))


@dataclass(frozen=True, eq=False)
class _Sides:
    """The chain on either side of n p = k + 1, into the rows of `fill_logs`: all of them if `whole`, or the third."""

    attempts: float
    leave: _Tail
    stay: _Tail
    whole: bool

    def fill(self, action: Array, out: Array) -> None:
        """Rows `out` (4, n) at actions (n,), each side with its own sum."""
        hazard, middle = _hazard(action, self.attempts), _middle(self.leave)
        if hazard.max() < middle:
            self.few(action, hazard, np.expm1(hazard), out)
            return
        odds, few = _odds(hazard), hazard < middle
        for side, fill in ((few, self.few), (~few, self.many)):
            if side.any():
                part = np.empty((4, np.count_nonzero(side)))
                fill(action[side], hazard[side], odds[side], part)
                out[:, side] = part

    def few(self, action: Array, hazard: Array, odds: Array, out: Array) -> None:
        """Few electrons leave: the sum is P(K > k)."""
        self.leave.logs(odds, math.log(self.attempts), action, out[0], out[2])
        if self.whole:
            _log1mexp(out[2], out[3])
            np.negative(hazard, out=out[1])

    def many(self, action: Array, hazard: Array, odds: Array, out: Array) -> None:
        """Many leave: the sum is P(n - K >= n - k), of the few that stay."""
        self.stay.logs(1.0 / odds, 0.0, hazard, out[1], out[3])
        _log1mexp(out[3], out[2])
        if self.whole:
            np.negative(hazard, out=out[1])
            _log1mexp(out[1], out[0])


def fill_logs(action: Array, attempts: float, n: float, k: float, out: Array) -> None:
    """Rows of `out`: ln p_esc, ln(1 - p_esc), ln p_flip, ln(1 - p_flip), as `kernels.flip_chain`; or ln p_flip alone.

    Args:
        action: (points,) WKB actions.
        attempts: M of one electron in the window.
        n: electrons.
        k: flip threshold.
        out: (4, points), filled; or (1, points) for ln p_flip alone, the same numbers in less time.
    """
    sides = _Sides(attempts, _tail(n, k + 1.0), _tail(n, n - k), whole=len(out) == 4)
    with np.errstate(divide="ignore"):
        for first in range(0, action.size, _BLOCK):
            block = out[:, first:first + _BLOCK]
            rows = block if sides.whole else np.empty((4, block.shape[1]))
            sides.fill(action[first:first + _BLOCK], rows)
            if not sides.whole:
                block[0] = rows[2]


def log_slopes(logs: Array, n: float, k: float) -> Array:
    """d ln p_flip / d ln x, x = -ln(1 - p_esc), from the rows of `fill_logs`.

    x dP/dx = (n - k) x P(K = k) = (k + 1) x / (e^x - 1) P(K = k + 1), each over P(K > k) by its series.

    Args:
        logs: (4, points), the rows of `fill_logs`.
        n: electrons.
        k: flip threshold.
    """
    leave, stay = _tail(n, k + 1.0), _tail(n, n - k)
    hazard: Array = -logs[1]
    odds, slope, few = _odds(hazard), np.empty_like(hazard), hazard < _middle(leave)
    slope[few] = (k + 1.0) / special.exprel(hazard[few]) / leave.series(odds[few])
    below_over_above = np.exp(logs[3, ~few] - logs[2, ~few])
    slope[~few] = (n - k) * hazard[~few] * below_over_above / stay.series(1.0 / odds[~few])
    return slope


def _odds(hazard: Array) -> Array:
    """p / q = e^x - 1, short of overflow."""
    return np.asarray(np.expm1(np.minimum(hazard, _MOST_HAZARD)), dtype=np.float64)


def _middle(leave: _Tail) -> float:
    """The x at which n p = j; a little before that where j = n."""
    return math.log1p(leave.j / (leave.n - leave.j) if leave.j < leave.n else max(1.0, leave.n - 1.0))


def _hazard(action: Array, attempts: float) -> Array:
    """x = -ln(1 - p_esc) = -M ln(1 - T)."""
    hazard = np.exp(-action)
    kernels.rare_hazard(hazard, attempts)
    if action.min() < _RARE_ACTION:
        thin = action < _RARE_ACTION
        hazard[thin] = -attempts * _log1mexp(-action[thin])
    return hazard


def _log1mexp(log_values: Array, out: Array | None = None) -> Array:
    """ln(1 - e^x), x <= 0."""
    values = np.exp(log_values, out=out)
    np.negative(values, out=values)
    np.log1p(values, out=values)
    if log_values.max() > -_LOG_2:
        large = log_values > -_LOG_2
        values[large] = np.log(-np.expm1(log_values[large]))
    return values
