"""Flip probability of millions of cells that share a card and differ in thickness: ln p_flip from a table of cubics.

The table holds ln p_flip and its slope on a uniform grid of the WKB action S, so that it serves a barrier of any shape.
Between two knots stands their cubic Hermite polynomial. With f = ln p_flip, knots h apart and |f''''| <= B between
them, its error is at most h^4 B / 384.

Proof of B. Let j = k_th + 1, c = N - k_th, x = -ln(1 - p_esc), v = ln x, ' = d/dv, b(x) = x / (e^x - 1), and

    G = f'              reversed hazard rate of v
    A = 1 + (j - 1) b(x) - c x,  the log-slope of the density of v:  G' = G (A - G)
    H = G - A,  a1 = -A',  a2 = a1',  Q = a1 - G H:   G' = -G H,  H' = Q,  Q' = a2 + G H^2 - G Q

1. b falls, hence a1 >= 0. a2 = c x - (j - 1) x w(x), w = (x b')', and -1/2 <= w <= 0.112 for all x >= 0; hence
   0 <= a2 <= (c + (j - 1) / 2) x wherever c >= 0.112 (j - 1): a1 rises.
2. For v -> -inf, G -> j and H, Q -> 0. The linear equations for H and Q have sources a1 and a2 + G H^2, which are not
   negative, hence H >= 0 and Q >= 0. So G falls and H rises with v: between two knots 0 <= G- <= G <= G+ and
   0 <= H- <= H <= H+ with the values at the knots, and Q <= Q+ = a1+ - G- H-.
3. Differentiating f' = G: f'' = -G H, f''' = G (H^2 - Q), f'''' = G [(G + 3 H) Q - (G + H) H^2 - a2]. Hence
   |f'| <= G+,  |f''| <= G+ H+,  |f'''| <= G+ max(H+^2, Q+),
   |f''''| <= G+ max[(G+ + 3 H+) Q+, (G+ + H+) H+^2 + a2+].
4. v depends on S through T = exp(-S), u = T / (1 - T), du/d(-S) = u (1 + u), v = ln(M ln(1 + u)). Its derivatives
   by -S, for S >= 4.7, that is u < 0.0092, are v1 = u / ln(1 + u) in [1, 1 + u/2], |v2| and |v3| <= u, |v4| <= 2u.
   By Faa di Bruno's rule  B = |d^4 f/dS^4| <= (1 + u/2)^4 |f''''| + 7u |f'''| + 5u |f''| + 2u |f'|.

The bound needs nothing but G, H, a1 and x at the knots, so that every table carries its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.cards import CellParameters, DeviceCard, as_card
from qtaml_codesign.checks import plain_array
from qtaml_codesign.physics import binomial, kernels
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.escape import escape_logs
from qtaml_codesign.physics.flip import checked_thickness

Array = NDArray[np.float64]

MOST_ERROR: Final = 9e-10
"""Largest proven interpolation error of ln p_flip; the rest up to 1e-9 is for rounding."""
LEAST_ACTION: Final = 4.7
LEAST_SHARE: Final = 0.112
_BLOCK = 16384
_FEWEST_INTERVALS = 64


@dataclass(frozen=True, eq=False)
class LogFlipTable:
    """Cubics of ln p_flip over uniform steps of the WKB action.

    Attributes:
        origin: action of the first knot.
        step: of the action, from knot to knot.
        cubics: shape (intervals, 4); ln p = cubics[i] . (1, t, t^2, t^3) at origin + (i + t) step, 0 <= t < 1.
        error_bound: proven largest error of ln p_flip between the knots (see the module).
    """

    origin: float
    step: float
    cubics: Array
    error_bound: float

    def read(self, action: Array, out: Array) -> None:
        """Put ln p_flip at actions (n,) inside the table into `out` (n,).

        Args:
            action: (n,) WKB actions.
            out: (n,), filled.
        """
        kernels.piecewise_cubic(action, self.origin, 1.0 / self.step, self.cubics, out)


def flip_probability_of_cells(
    card: DeviceCard | str | Path, thickness_nm: ArrayLike, *, region: str | None = None, plane: int | None = None,
    log: bool = False,
) -> Array:
    """Flip probability of cells that share everything but their oxide thickness, such as the cells of one array.

    p_flip of `flip_probability` at the same thickness to 1e-9 relative, proven in the module's docstring, beside what
    a few roundings of the thickness do; several times as fast on millions of cells.

    Args:
        card: the device card, its name, or its path; its own thickness is not used.
        thickness_nm: one thickness per cell in nm, any shape, each within `card.validity`.
        region, plane: the cell of a region and bit plane (see `DeviceCard.resolve`); None: the base cell.
        log: return ln p_flip, which does not underflow.

    Returns:
        p_flip or ln p_flip, float64, shape of `thickness_nm`.

    Raises:
        CardError: no such card, region or bit plane.
        InputError: a thickness that is no number or outside the card's validity.

    Validity: as `flip_probability`. Few cells, barriers with an action below 4.7 and thresholds above about 90 % of
    the electrons, where the table is not worth it or not proven, are calculated one by one.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> thickness_nm = np.random.default_rng(0).normal(1.765, 0.03, 100_000)
        >>> p = flip_probability_of_cells(load_card("3nm"), thickness_nm)
        >>> print(p.shape, p.mean().round(2))  # at the mean thickness it is 0.10
        (100000,) 0.14
    """
    card = as_card(card)
    given = plain_array("thickness_nm", thickness_nm, "an array of numbers, in nm", "for instance [1.76, 1.77]")
    points, thinnest, thickest = checked_thickness(card, given)
    cell, out = replace(card.resolve(region, plane), variation=None), np.empty(points.shape)
    ends = (cell.barrier.action(thinnest), cell.barrier.action(thickest))
    table = table_for(cell, *ends, most_intervals=points.size) if cell.plain else None
    flat, places = out.reshape(-1), points.reshape(-1)
    for first in range(0, places.size, _BLOCK):
        block, thickness = flat[first:first + _BLOCK], places[first:first + _BLOCK]
        if table is None:
            block[:] = log_flip(cell, thickness)
        else:
            table.read(cell.barrier.action(thickness), block)
        if not log:
            np.exp(block, out=block)
    return out


def table_for(cell: CellParameters, low: float, high: float, most_intervals: int) -> LogFlipTable | None:
    """The coarsest table that keeps `MOST_ERROR`; None where the proof or the limit forbids it.

    Args:
        cell: the cell; its own thickness is not used.
        low, high: ends of the table, as WKB actions.
        most_intervals: beyond which a table is not worth it.
    """
    j, rest = cell.flip_threshold + 1, cell.electrons - cell.flip_threshold
    proven = low >= LEAST_ACTION and rest >= LEAST_SHARE * (j - 1)
    intervals = _FEWEST_INTERVALS
    while proven and low < high and intervals <= most_intervals:
        table = tabulate(cell, low, high, intervals)
        if table.error_bound <= MOST_ERROR:
            return table
        intervals = math.ceil(intervals * min(4.0, 1.02 * (table.error_bound / MOST_ERROR) ** 0.25))
    return None


def tabulate(cell: CellParameters, low: float, high: float, intervals: int) -> LogFlipTable:
    """A table of so many intervals; the last reaches half a step beyond `high`, so that rounding stays inside.

    Args:
        cell: the cell; its own thickness is not used.
        low: WKB action of the first knot.
        high: largest action that is asked for.
        intervals: number of cubics.
    """
    step = (high - low) / (intervals - 0.5)
    action = low + step * np.arange(intervals + 1, dtype=np.float64)
    n, k = float(cell.electrons), float(cell.flip_threshold)
    logs = np.stack(escape_logs(action, cell.attempts, cell.electrons, cell.flip_threshold))
    slope = binomial.log_slopes(logs, n, k)
    bound = step**4 / 384.0 * float(np.max(fourth_derivative_bound(slope, -logs[1], action, n, k)))
    hazard_slope = special.exprel(np.log1p(1.0 / np.expm1(action)))  # d ln x / d(-S) = u / ln(1 + u)
    return LogFlipTable(low, step, _hermite(logs[2], -step * slope * hazard_slope), bound)


def fourth_derivative_bound(slope: Array, hazard: Array, action: Array, n: float, k: float) -> Array:
    """Bound of |d^4 ln p_flip / dS^4| on each interval between knots in order of thickness (steps 1 to 4 of the proof).

    Args:
        slope, hazard, action: G, x and S at the knots, each (knots,).
        n, k: electrons and flip threshold.

    Returns:
        (knots - 1,) bounds, dimensionless.
    """
    j, c = k + 1.0, n - k
    bend = 1.0 / special.exprel(hazard)
    excess = np.maximum(slope - (1.0 + (j - 1.0) * bend - c * hazard), 0.0)
    first = (c * hazard + (j - 1.0) * bend * np.maximum(bend + hazard - 1.0, 0.0))[:-1]
    large_g, large_h, large_x = slope[1:], excess[:-1], hazard[:-1]
    large_q = np.maximum(first - slope[:-1] * excess[1:], 0.0)
    second = (c + 0.5 * (j - 1.0)) * large_x
    fourth = np.maximum((large_g + 3.0 * large_h) * large_q, (large_g + large_h) * large_h**2 + second)
    third = np.maximum(large_h**2, large_q)
    u = 1.0 / np.expm1(action[:-1])
    inner = (1.0 + 0.5 * u) ** 4 * fourth + 7.0 * u * third + 5.0 * u * large_h + 2.0 * u
    return np.asarray(large_g * inner, dtype=np.float64)


def _hermite(values: Array, slopes: Array) -> Array:
    """Cubics through values and slopes (per step) of neighbouring knots, shape (knots - 1, 4)."""
    rise, before, after = np.diff(values), slopes[:-1], slopes[1:]
    return np.stack([values[:-1], before, 3.0 * rise - 2.0 * before - after, before + after - 2.0 * rise], axis=-1)
