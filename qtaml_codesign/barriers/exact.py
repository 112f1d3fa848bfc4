"""The exact transmission of a shape, by a transfer matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

import numpy as np

from qtaml_codesign.barriers.barrier import Barrier, Number
from qtaml_codesign.barriers.bounds import DECAY_PER_nm
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.numeric import LEAST_ACTION, place_of, points_of, shaped, slope
from qtaml_codesign.barriers.prefactor import check_moving
from qtaml_codesign.checks import Quantity

SLICES: Final = 200
"""Flat slices that a sloped piece of a barrier is cut into; the error falls with their square."""
_BLOCK: Final = 1024


@final
@dataclass(frozen=True)
class Exact(Barrier):
    """S = -ln T of the Schroedinger equation in one dimension, with the masses of BenDaniel and Duke, for any shape.

    psi and psi'/m are continuous; they are carried through flat slices from the outgoing wave in the collector back to
    the emitter, with the growth exp(kappa w) of each slice kept apart, so that no S is too large. Flat pieces of a
    barrier are one slice each and exact; sloped ones are cut into 200, which is good to 4e-8 of T for the 3 nm card
    at 0.65 V and to 1e-4 where the bias takes the band below the electron.

    Args:
        shape: the barrier, with its bias.
        electrode_mass_m0: m* in both electrodes: 0.916 for silicon along <100> (two valleys), 0.19 for the other four.

    Raises:
        InputError: an electron at rest.

    Validity: one parabolic band, no momentum along the interface, two half-infinite electrodes with flat bands: the
    collector's lies lower by the bias. An attempt frequency fitted with WKB holds the prefactor already.
    Source: D. J. BenDaniel, C. B. Duke, Phys. Rev. 152, 683 (1966); Y. Ando, T. Itoh, J. Appl. Phys. 61, 1497 (1987).

    Example:
        >>> from qtaml_codesign.barriers.rectangular import Rectangular
        >>> barrier = Exact(Rectangular(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40), 0.916)
        >>> round(math.exp(barrier.shape.action(1.765) - barrier.action(1.765)), 4)
        0.1129
    """

    shape: Barrier
    electrode_mass_m0: float

    numbers: ClassVar[Mapping[str, Quantity]] = {}

    def __post_init__(self) -> None:
        check_moving(self.shape)

    def action(self, thickness_nm: Number) -> Number:
        """S = -ln T; 1e-12 where nothing is left of the barrier.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        places = points_of(thickness_nm)
        blocks = [transfer_matrix(self.shape.landscape(places[first:first + _BLOCK]), self.electrode_mass_m0)
                  for first in range(0, places.size, _BLOCK)]
        return shaped(np.maximum(-np.concatenate(blocks), LEAST_ACTION), thickness_nm)

    def slope_per_nm(self, thickness_nm: float) -> float:
        """dS/dd, by differences.

        Args:
            thickness_nm: d.
        """
        return slope(self.action, thickness_nm)

    def thickness_nm(self, action: float) -> float:
        """The inverse of `action`, by Brent's method from the thickness of the same WKB action.

        Args:
            action: S.
        """
        return place_of(self.action, action, self.shape.thickness_nm(action))

    def with_energy(self, electron_energy_eV: float) -> Barrier:
        """The same for an electron of another energy.

        Args:
            electron_energy_eV: E > 0.
        """
        return replace(self, shape=self.shape.with_energy(electron_energy_eV))

    def with_bias(self, bias_V: float) -> Barrier:
        """The same with another voltage across the barrier.

        Args:
            bias_V: V >= 0.
        """
        return replace(self, shape=self.shape.with_bias(bias_V))

    @property
    def energy_eV(self) -> float:
        """That of the shape."""
        return self.shape.energy_eV

    @property
    def departures(self) -> tuple[str, ...]:
        """Those of the shape, and the exact transmission."""
        return (*self.shape.departures, "the exact transmission")

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """Those of the shape, and the transmission over that of WKB.

        Args:
            thickness_nm: d.
        """
        ratio = math.exp(self.shape.action(thickness_nm) - self.action(thickness_nm))
        return {**self.shape.figures(thickness_nm), "exact transmission / WKB": ratio}


def transfer_matrix(landscape: Landscape, electrode_mass_m0: float, slices: int = SLICES) -> Array:
    """ln T at each point of a landscape.

    Args:
        landscape: of the barrier.
        electrode_mass_m0: effective mass in both electrodes.
        slices: of each sloped piece.

    Returns:
        (points,).
    """
    from qtaml_codesign.barriers import kernels

    sloped = (landscape.start_eV != landscape.end_eV).any(axis=0)
    counts = np.where(sloped, slices, 1)
    emitter, collector = (DECAY_PER_nm * math.sqrt(energy / electrode_mass_m0)
                          for energy in (landscape.emitter_eV, landscape.collector_eV))
    out = np.empty(landscape.start_eV.shape[0])
    start, end, width = map(np.ascontiguousarray, (landscape.start_eV, landscape.end_eV, landscape.width_nm))
    kernels.log_transmission(start, end, width, landscape.mass_m0, counts, emitter, collector, DECAY_PER_nm, out)
    return out
