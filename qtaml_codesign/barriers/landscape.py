"""The potential between the electrodes, made of straight pieces: what WKB and the exact transmission are taken of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.bounds import DECAY_PER_nm
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Landscape:
    """The band edge above the electron's energy, from the emitter to the collector, at several thicknesses.

    Attributes:
        start_eV, end_eV: (points, pieces), at the ends of each piece; negative where the electron is above the edge.
        width_nm: (points, pieces).
        mass_m0: (pieces,), effective masses.
        emitter_eV, collector_eV: kinetic energy of the electron in either electrode.
    """

    start_eV: Array
    end_eV: Array
    width_nm: Array
    mass_m0: Array
    emitter_eV: float
    collector_eV: float

    def action(self) -> Array:
        """WKB action S = 2 sum_i sqrt(2 m_i) / hbar int sqrt(max(V - E, 0)) dx, (points,)."""
        return self._summed(mean_root(self.start_eV, self.end_eV))

    def log_transmission_per_eV(self) -> Array:
        """d ln T / dE = sum_i sqrt(2 m_i) / hbar int (V - E)^-1/2 dx where V > E, (points,)."""
        return self._summed(mean_inverse_root(self.start_eV, self.end_eV))

    def _summed(self, means: Array) -> Array:
        total: Array = (2.0 * DECAY_PER_nm * np.sqrt(self.mass_m0) * self.width_nm * means).sum(axis=-1)
        return total

    def log_prefactor(self, electrode_mass_m0: float) -> Array:
        """ln of what the steps of the band and of the mass make of exp(-S) in a thick barrier, (points,).

        With a = sqrt(V - E) / sqrt(m) in a piece and b = sqrt(E) / sqrt(m) in an electrode: 4 (b/a) / (1 + (b/a)^2) for
        each electrode and 4 a a' / (a + a')^2 for each step between two pieces.

        Args:
            electrode_mass_m0: effective mass in both electrodes.

        Raises:
            InputError: the electron does not stand below every end of a piece.
        """
        lowest = float(min(self.start_eV.min(), self.end_eV.min()))
        if not lowest > 0.0:
            raise InputError("the prefactor has no closed form where the electron leaves the barrier before its end",
                             where="transmission", rule="every piece of the barrier ends above the electron's energy",
                             value=f"lowest end {lowest:.4g} eV above the electron",
                             next_step="use `transmission: exact`")
        start, end = np.sqrt(self.start_eV / self.mass_m0), np.sqrt(self.end_eV / self.mass_m0)
        emitter = np.sqrt(self.emitter_eV / electrode_mass_m0) / start[:, 0]
        collector = np.sqrt(self.collector_eV / electrode_mass_m0) / end[:, -1]
        outer = sum(np.log(4.0 * ratio / (1.0 + ratio**2)) for ratio in (emitter, collector))
        before, after = end[:, :-1], start[:, 1:]
        inner: Array = outer + np.log(4.0 * before * after / (before + after) ** 2).sum(axis=-1)
        return inner


def mean_root(start_eV: Array, end_eV: Array) -> Array:
    """Mean of sqrt(max(phi, 0)) over a straight piece from `start_eV` to `end_eV`, without a difference of powers.

    With a^2 >= b^2 the ends above 0:  2/3 (a^3 - b^3)/(a^2 - b^2) = 2/3 (a^2 + a b + b^2)/(a + b), times the share of
    the piece that stands above 0.

    Args:
        start_eV: phi at one end, any shape.
        end_eV: at the other.

    Example:
        >>> mean_root(np.array([4.0, 4.0]), np.array([4.0, -4.0])).round(6).tolist()
        [2.0, 0.666667]
    """
    large, small, share = _ends(start_eV, end_eV)
    both = np.where(large > 0.0, large + small, 1.0)
    mean: Array = 2.0 / 3.0 * share * (large**2 + large * small + small**2) / both
    return mean


def mean_inverse_root(start_eV: Array, end_eV: Array) -> Array:
    """Mean of 1 / (2 sqrt(phi)) over the part of a straight piece where phi > 0, times that part's share: d/dphi of it.

    Args:
        start_eV: phi at one end, any shape.
        end_eV: at the other.

    Example:
        >>> mean_inverse_root(np.array([4.0]), np.array([4.0])).tolist()
        [0.25]
    """
    large, small, share = _ends(start_eV, end_eV)
    mean: Array = share / np.where(large > 0.0, large + small, 1.0)
    return mean


def _ends(start: Array, end: Array) -> tuple[Array, Array, Array]:
    """Roots of the higher and the lower end, and the share of the piece that lies above 0."""
    high, low = np.maximum(start, end), np.minimum(start, end)
    drop = np.where(low < 0.0, high - low, 1.0)
    share = np.where(low < 0.0, np.maximum(high, 0.0) / drop, np.where(high > 0.0, 1.0, 0.0))
    return np.sqrt(np.maximum(high, 0.0)), np.sqrt(np.maximum(low, 0.0)), share
