"""Traps that electrons cross the oxide by in two steps: the few cells that hold one leak much faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Logs = tuple[Array, Array]

CUBIC_nm_PER_cm3: Final = 1e21
_ORDER = 20
_WIDTHS = 6.0


def traps_per_cell(density_per_cm3: float, area_nm2: float, thickness_nm: Array) -> Array:
    """Mean number of traps in the oxide of one cell, n_t = N_t A d.

    Args:
        density_per_cm3: N_t.
        area_nm2: A of the oxide over one cell.
        thickness_nm: d, any shape.

    Example:
        >>> traps_per_cell(1e17, 264.0, np.array([1.765])).round(4)
        array([0.0466])
    """
    return np.asarray(density_per_cm3 / CUBIC_nm_PER_cm3 * area_nm2 * thickness_nm, dtype=np.float64)


def log_trap_rate(action: Array, share: Array, attempts: float, log_activation: float) -> Array:
    """ln of the expected number of electrons that one trap at a given place passes within the window.

    R = M T1 T2 / (T1 + T2) exp(-E_a / kT),  T1 = exp(-S/2 - z), T2 = exp(-S/2 + z):  M exp(-S/2) / (2 cosh z)

    At the middle of the oxide that is M sqrt(T) / 2, thousands of times the direct M T of one electron. A trap holds
    one electron at a time, so that R does not grow with the number of electrons that wait.

    Args:
        action: S of the whole oxide, any shape.
        share: x/d - 1/2 = z/S, where the trap is; to be broadcast with S.
        attempts: M.
        log_activation: -E_a / kT.

    Validity: one trap; the action up to the trap is the share x/d of S, which is exact for a rectangle; both steps with
    the same attempt frequency.
    Source: A. Gehring, S. Selberherr, IEEE TDMR 4, 306 (2004): capture and emission in series.

    Example:
        >>> log_trap_rate(np.array([20.0]), np.array([0.0]), 1.0, 0.0).round(6)
        array([-10.693147])
    """
    far = np.abs(share) * action
    return np.asarray(
        math.log(attempts) - 0.5 * action - far - np.log1p(np.exp(-2.0 * far)) + log_activation, dtype=np.float64)


def average_over_places(logs_at: Callable[[Array], Logs], action: Array, needed: int) -> Logs:
    """Logs of p_flip and 1 - p_flip of cells with one trap, averaged over where in the oxide it is.

    <p> = 2 int_(1/2)^1 p(y) dy by Gauss-Legendre rules of 20 nodes on equal panels, each at most 6 / sqrt(j) wide in z,
    where p_flip of j electrons goes from 0 to 1 within about 1 / sqrt(j). Measured against a hundred times as many
    panels: <p> to 1e-11 of itself, 1 - <p> to 1e-11 of one (cells without a trap keep their bit more often still).

    Args:
        logs_at: ln p_flip and ln(1 - p_flip), (nodes, points), at the places x/d - 1/2, (nodes, 1).
        action: S of the whole oxide, (points,).
        needed: j = k_th + 1.

    Returns:
        Both, (points,).
    """
    panels = math.ceil(0.5 * float(np.max(action)) * math.sqrt(needed) / _WIDTHS)
    nodes, weights = special.roots_legendre(_ORDER)
    places = ((np.arange(panels)[:, None] + 0.5 * (nodes + 1.0)) / panels).ravel()
    log_weights = np.log(np.tile(weights, panels) / (2.0 * panels))[:, None]
    above, below = logs_at(0.5 * places[:, None])
    return np.logaddexp.reduce(above + log_weights), np.logaddexp.reduce(below + log_weights)


def mixed(without: Logs, with_one: Logs, number: Array) -> Logs:
    """Logs of p_flip and 1 - p_flip over cells with and without traps, p = e^-n_t p_0 + (1 - e^-n_t) <p_trap>.

    Args:
        without: of cells without a trap.
        with_one: of cells with one.
        number: n_t, mean number of traps of a cell.

    Validity: n_t well below 1, so that a second trap in one cell is rare.
    """
    with np.errstate(divide="ignore"):
        log_some = np.log(-np.expm1(-number))
    above, below = (np.logaddexp(clean - number, leaky + log_some)
                    for clean, leaky in zip(without, with_one, strict=True))
    return np.minimum(above, 0.0), np.minimum(below, 0.0)
