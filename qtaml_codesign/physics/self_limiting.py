"""Escape that limits itself: each electron that leaves lowers the voltage across the oxide, and so the next one's rate.

The number of electrons is a pure death process n -> n - 1 at the rate n x(n) per window, and the bit flips when the sum
of k_th + 1 exponential times is below 1. The two sides of its distribution are the Bromwich integrals

    P(sum < 1) = 1/(2 pi i) int exp(phi(s)) ds,  phi(s) = s - ln s - sum_i ln(1 + s / r_i)

through the saddle point of phi on the positive axis, and the same with -ln(-s) for P(sum > 1) through the one between
the poles 0 and -r_min. On a parabola that leaves the saddle straight up and bends towards -infinity the integrand is a
smooth bump, so that the trapezoid rule converges exponentially, with full digits however small the probability is.

Source: W. Feller, An Introduction to Probability Theory and Its Applications I, XVII.5 (death process); H. E. Daniels,
Ann. Math. Stat. 25, 631 (1954) (saddle points); L. N. Trefethen, J. A. C. Weideman, SIAM Rev. 56, 385 (2014) (rule).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, FARAD_PER_aF
from qtaml_codesign.physics import charge_noise
from qtaml_codesign.physics.death_process import kernels

Array = NDArray[np.float64]
Logs = tuple[Array, Array]

_MOST_LOG_RATE = 690.0
_HALVINGS = 24
_BLOCK = 512
_STEP = 0.125
_PATH = np.arange(0.0, 18.0, _STEP)[:, None]


def node_voltage_V(electrons: int, node_capacitance_aF: float) -> float:
    """Voltage across the oxide with so many electrons on the node, V = n q / C.

    Args:
        electrons: n.
        node_capacitance_aF: C.

    Validity: all of the voltage falls across the oxide, and none without charge (no flat-band voltage).

    Example:
        >>> round(node_voltage_V(50, 12.2), 4)
        0.6566
    """
    return electrons * ELEMENTARY_CHARGE_C / (node_capacitance_aF * FARAD_PER_aF)


def death_logs(log_rates: Array) -> Logs:
    """ln P and ln(1 - P) that as many electrons leave within the window as there are rates.

    Args:
        log_rates: (k_th + 1, points) ln of n x(n), the rate per window at which the next electron leaves, for
            n = n_0, n_0 - 1, ..., in order.

    Returns:
        Both (points,), to about 1e-14 relative for P from 1e-12000 to 1 - 1e-12000.

    Validity: one electron at a time, none comes back.

    Example:
        >>> flips, _ = death_logs(np.log([[5.0], [4.0], [3.0]]) + np.log(0.1))  # 3 of 5, each with 1 - exp(-0.1)
        >>> np.exp(flips).round(6)
        array([0.007435])
    """
    parts = [_death_logs(log_rates[:, first:first + _BLOCK]) for first in range(0, log_rates.shape[1], _BLOCK)]
    return np.concatenate([above for above, _ in parts]), np.concatenate([below for _, below in parts])


def noisy_death_logs(log_rates: Array, rms_electrons: float, flip_threshold: int) -> Logs:
    """The same of cells whose number of electrons at the start varies, by one contour for all of them.

    Phi(s) = sum_dn P(dn) prod_i 1 / (1 + s / r_i) stands for the product: that of a positive law as well.

    Args:
        log_rates: (most_extra + k_th + 1, points) as in `death_logs`, from the fullest cell on.
        rms_electrons: s of the number at the start, as in `charge_noise.averaged`.
        flip_threshold: k_th.

    Returns:
        Both (points,), to about 1e-13 relative; 1 - p below e^-60 may be cut off beside noise.

    Validity: rates fall as electrons leave.

    Example:
        >>> flips, _ = noisy_death_logs(np.log([[5.0], [4.0], [3.0]]) + np.log(0.1), 0.0, 2)
        >>> np.exp(flips).round(6)
        array([0.007435])
    """
    shares, sure = charge_noise.shares_at_start(rms_electrons, flip_threshold)
    out = np.empty((2, log_rates.shape[1]))
    kernels.death_logs(log_rates, shares, sure, out)
    return out[0], out[1]


def _death_logs(log_rates: Array) -> Logs:
    clipped = np.minimum(log_rates, _MOST_LOG_RATE)
    rates = np.exp(clipped)
    slow = _total(1.0 / np.maximum(rates, 1e-300)) >= 1.0
    above, below = np.empty(slow.shape), np.empty(slow.shape)
    for side, small, large in ((slow, above, below), (~slow, below, above)):
        if side.any():
            small[side] = _smaller_side(clipped[:, side], rates[:, side], rare=small is above)
            large[side] = np.log1p(-np.exp(small[side]))
    return above, below


def _smaller_side(log_rates: Array, rates: Array, *, rare: bool) -> Array:
    """ln P(sum < 1) if `rare`, else ln P(sum > 1)."""
    gaps, pole = _saddle(rates, rare=rare)
    curvature, lean = 1.0 / pole**2 + _total(gaps**-2.0), _total(gaps**-3.0) + (pole**-3.0 if rare else 0.0)
    width = curvature**-0.5
    bend = width * lean / (3.0 * curvature)
    away = width * (1j * _PATH - bend * _PATH**2)
    fall = 1.0 + away / pole
    for gap in gaps:
        fall *= 1.0 + away / gap
    values = (np.exp(away) / fall * (1.0 + 2j * bend * _PATH)).real
    with np.errstate(divide="ignore"):
        near = np.where(np.abs(pole) < 0.5 * rates, np.log1p(pole / rates), np.log(gaps) - log_rates)
    height = pole - np.log(np.abs(pole)) - _total(near)
    area = width / math.pi * _STEP * (_total(values) - 0.5 * values[0])
    return np.asarray(np.minimum(height + np.log(area), -1e-300), dtype=np.float64)


def _saddle(rates: Array, *, rare: bool) -> tuple[Array, Array]:
    """Where phi' = 0: its distances r_i + s from the poles of the rates, (stages, points), and s itself, (points,).

    0 = 1 - 1/s - sum 1/(r_i + s), by bisection of s in (1, stages + 1), or of the gap to the nearest rate.
    """
    slowest, stages = rates.min(axis=0), float(len(rates))
    base, origin = (rates, np.zeros_like(slowest)) if rare else (rates - slowest, slowest)
    low, high = np.full(slowest.shape, 0.3), np.full(slowest.shape, stages + 1.0)
    if not rare:
        high = np.minimum(high, slowest)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        rising = 1.0 - 1.0 / (middle - origin) - _total(1.0 / (base + middle)) > 0.0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return base + low, low - origin


def _total(values: Array) -> Array:
    return np.asarray(np.sum(values, axis=0), dtype=np.float64)
