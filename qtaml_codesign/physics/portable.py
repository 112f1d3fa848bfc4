"""ln p_flip of a card over thickness and window in a few numbers, for programs that know no barrier.

The rate at which one electron of a full cell leaves is a Chebyshev series over the thickness d, to which any window
tau is added,

    ln x = ln tau + sum_i c_i T_i(u),  u = (2 d - a - b) / (b - a),  a <= d <= b

Where electrons leave independently the reader adds the binomial tail, which stays exact however many there are,

    p_flip = P(K > k_th),  K ~ Binomial(N, 1 - e^-x)

Of any other card (traps, a falling field, noise of the charge, thickness from cell to cell) a series over both holds
ln p_flip itself:

    ln p_flip = sum_ij t_ij T_i(u) T_j(w),  w = (2 ln tau - ln s - ln t) / (ln t - ln s),  s <= tau <= t

Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8: interpolation in Chebyshev
points converges geometrically for analytic functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters, DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import kernels
from qtaml_codesign.physics.chain import charge_rms, log_flip, log_hazard
from qtaml_codesign.physics.escape import escape_logs
from qtaml_codesign.physics.hazard import action_of

Array = NDArray[np.float64]

DECADES: Final = {True: 3.0, False: 1.0}
"""The window goes so many decades to either side of the card's; under True where electrons leave independently."""
WANTED_ERROR: Final = 5e-10
_SERIES = (8, 16, 32, 64, 128, 256, 512)
_TABLES = ((24, 16), (48, 32), (96, 48), (160, 64))
_PROBES = 16
_MARGIN_NM = 0.01
_LAST = 1e-14
"""A series ends where its coefficients have come down to this part of the largest: rounding lies below."""


@dataclass(frozen=True, eq=False)
class PortableFlips:
    """ln p_flip of the base cell of a card, in numbers that any program can evaluate.

    Attributes:
        ends_nm: thicknesses between which it holds.
        ends_s: windows between which its error was measured.
        rate: (n,) coefficients of ln x - ln tau, tau in s.
        electrons, flip_threshold, log_choose: N, k_th and ln C(N, k_th + 1); the tail of independent electrons.
        table: (n, m) coefficients of ln p_flip, or None where electrons are independent.
        error: largest difference of ln p_flip from `flip_probability` at 16 x 16 places between the ends.
    """

    ends_nm: tuple[float, float]
    ends_s: tuple[float, float]
    rate: Array
    electrons: int
    flip_threshold: int
    log_choose: float
    table: Array | None
    error: float

    def log_probability(self, thickness_nm: Array, window_s: float) -> Array:
        """ln p_flip, as a reader of the numbers finds it.

        Args:
            thickness_nm: (n,), in nm, inside `ends_nm`.
            window_s: inference window in s.

        Returns:
            (n,) natural logarithms.
        """
        across = _unit(np.asarray(thickness_nm), self.ends_nm)
        if self.table is not None:
            along = _unit(math.log(window_s), _logs(self.ends_s))
            return np.asarray(chebyshev.chebval(across, chebyshev.chebval(along, self.table.T)))
        log_x = np.asarray(math.log(window_s) + chebyshev.chebval(across, self.rate))
        return escape_logs(action_of(log_x, 1.0), 1.0, self.electrons, self.flip_threshold).log_flip

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        table = None if self.table is None else self.table.tolist()
        return {**vars(self), "rate": self.rate.tolist(), "table": table}


def portable_flips(card: DeviceCard, low_nm: float, high_nm: float) -> PortableFlips:
    """Flip probability of the base cell of a card about a range of thickness, over `DECADES` of window each way.

    The range is made wider, within the card's validity, so that thickness can make up for what such a window does.

    Args:
        card: the device card.
        low_nm, high_nm: the range, in nm.

    Raises:
        InputError: a range over which the card has no flip probability.

    Validity: `error` says how far it is from `flip_probability`; a kink, such as that of a trapezoid where
    Fowler-Nordheim tunnelling begins, is followed slowly.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> found = portable_flips(load_card("3nm"), 1.72, 2.25)
        >>> float(np.exp(found.log_probability(np.array([1.765]), 1e-6))[0].round(9)), found.error < 1e-9
        (0.099970468, True)
    """
    cell, (least, most) = card.resolve(), card.validity.thickness_nm
    slope = cell.barrier.slope_per_nm(0.5 * (low_nm + high_nm))
    reach = max(DECADES[is_independent(cell)] * math.log(10.0) / slope, _MARGIN_NM)
    try:
        return _fitted(cell, (max(least, low_nm - reach), min(most, high_nm + reach)))
    except InputError:  # electrons go over the barrier there
        return _fitted(cell, (max(least, low_nm - _MARGIN_NM), min(most, high_nm)))


def is_independent(cell: CellParameters) -> bool:
    """Whether N electrons of a cell leave independently, each at the same rate, in every cell alike.

    Args:
        cell: the cell.
    """
    escape = cell.escape
    return cell.variation is None and escape.traps is None and escape.field is None and charge_rms(cell) == 0.0


def _fitted(cell: CellParameters, ends_nm: tuple[float, float]) -> PortableFlips:
    """As short as is near enough, or the nearest."""
    decades, k = DECADES[is_independent(cell)], cell.flip_threshold
    ends_s = cell.window_s * 10.0**-decades, cell.window_s * 10.0**decades
    truth = _probes(cell, ends_nm, ends_s)
    found = PortableFlips(ends_nm, ends_s, _rate(cell, ends_nm), cell.electrons, k,
                          float(kernels.log_choose(cell.electrons, k + 1.0)), None, math.inf)
    if is_independent(cell):
        return replace(found, error=_distance(found, truth))
    for sizes in _TABLES:
        finer = replace(found, table=_table(cell, found, *sizes))
        finer = replace(finer, error=_distance(finer, truth))
        found = finer if finer.error < found.error else found
        if found.error <= WANTED_ERROR:
            break
    return found


def _rate(cell: CellParameters, ends_nm: tuple[float, float]) -> Array:
    """Coefficients of ln x at a window of 1 s, as many as matter."""
    second = replace(cell, window_s=1.0)
    for size in _SERIES:
        found = _coefficients(log_hazard(second, _nodes(ends_nm, size), lost=0))
        if np.abs(found[-2:]).max() <= _LAST * np.abs(found).max():
            break
    return found


def _table(cell: CellParameters, found: PortableFlips, across: int, along: int) -> Array:
    """Coefficients of ln p_flip over thickness and ln tau."""
    thickness, windows = _nodes(found.ends_nm, across), np.exp(_nodes(_logs(found.ends_s), along))
    values = [log_flip(replace(cell, window_s=float(window)), thickness) for window in windows]
    return _coefficients(_coefficients(np.stack(values, axis=1)).T).T


def _probes(
    cell: CellParameters, ends_nm: tuple[float, float], ends_s: tuple[float, float]
) -> list[tuple[float, Array, Array]]:
    """Windows, thicknesses and ln p_flip of the chain itself, at places that are no nodes."""
    share = np.asarray((np.arange(_PROBES) + 0.5) * ((math.sqrt(5.0) - 1.0) / 2.0) % 1.0, dtype=np.float64)
    thickness = ends_nm[0] + share * (ends_nm[1] - ends_nm[0])
    windows = ends_s[0] * (ends_s[1] / ends_s[0]) ** share
    return [(float(window), thickness, log_flip(replace(cell, window_s=float(window)), thickness))
            for window in windows]


def _distance(found: PortableFlips, truth: list[tuple[float, Array, Array]]) -> float:
    return max(float(np.max(np.abs(found.log_probability(thickness, window) - logs)))
               for window, thickness, logs in truth)


def _unit(x: Any, ends: tuple[float, float]) -> Any:
    return (2.0 * x - ends[0] - ends[1]) / (ends[1] - ends[0])


def _logs(ends: tuple[float, float]) -> tuple[float, float]:
    return math.log(ends[0]), math.log(ends[1])


def _nodes(ends: tuple[float, float], size: int) -> Array:
    """Chebyshev points of the first kind between two ends."""
    return np.asarray(0.5 * (ends[0] + ends[1]) + 0.5 * (ends[1] - ends[0]) * chebyshev.chebpts1(size))


def _coefficients(values: Array) -> Array:
    """Chebyshev coefficients along the first axis from values at `_nodes`."""
    size = len(values)
    found = chebyshev.chebvander(chebyshev.chebpts1(size), size - 1).T @ values * (2.0 / size)
    found[0] *= 0.5
    return np.asarray(found)
