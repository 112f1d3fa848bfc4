"""The WKB transmission with its prefactor in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from qtaml_codesign.barriers.barrier import Barrier, Number
from qtaml_codesign.barriers.landscape import Array
from qtaml_codesign.barriers.numeric import LEAST_ACTION, place_of, points_of, shaped, slope
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError


@final
@dataclass(frozen=True)
class Prefactor(Barrier):
    """T = 1 / (1 + 4 sinh^2(S/2) / P), in a thick barrier P exp(-S): WKB with what the steps at its ends do.

    P = product of 4 r / (1 + r^2) over the two electrodes, r = (k/m_e) / (kappa/m*), and of 4 a a' / (a + a')^2 over
    the steps inside, a = kappa/m*. For a rectangle P = 16 r^2 / (1 + r^2)^2, between 0 and 4, and T is the exact one at
    every thickness.

    Args:
        shape: the barrier, with its bias.
        electrode_mass_m0: m* in both electrodes.

    Raises:
        InputError: an electron at rest.

    Validity: as `Exact`; the electron stands well below the band at both ends of the barrier (an error where it does
    not), and the band bends little over a decay length: 1 % of T for the trapezoid at 0.65 V.
    Source: D. J. Griffiths, Introduction to Quantum Mechanics, problem 2.33; the form for any shape is the thick
    limit of the transfer matrix.

    Example:
        >>> from qtaml_codesign.barriers.rectangular import Rectangular
        >>> barrier = Prefactor(Rectangular(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40), 0.916)
        >>> round(float(np.exp(barrier.shape.action(1.765) - barrier.action(1.765))), 4)
        0.1129
    """

    shape: Barrier
    electrode_mass_m0: float

    numbers: ClassVar[Mapping[str, Quantity]] = {}

    def __post_init__(self) -> None:
        check_moving(self.shape)

    def action(self, thickness_nm: Number) -> Number:
        """S = ln(1 + 4 sinh^2(S_wkb/2) / P).

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        places = points_of(thickness_nm)
        wkb: Array = self.shape.action(places)
        log_prefactor = self.shape.landscape(places).log_prefactor(self.electrode_mass_m0)
        found = np.logaddexp(0.0, wkb + 2.0 * np.log(-np.expm1(-wkb)) - log_prefactor)
        return shaped(np.maximum(found, LEAST_ACTION), thickness_nm)

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
        """Those of the shape, and the prefactor."""
        return (*self.shape.departures, "the prefactor")

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """Those of the shape, and the transmission over that of WKB.

        Args:
            thickness_nm: d.
        """
        ratio = float(np.exp(self.shape.action(thickness_nm) - self.action(thickness_nm)))
        return {**self.shape.figures(thickness_nm), "transmission with prefactor / WKB": ratio}


def check_moving(shape: Barrier) -> None:
    """Whether the electron arrives at the barrier at all.

    Args:
        shape: of the barrier.

    Raises:
        InputError: it stands still, so that nothing is transmitted.
    """
    if not shape.energy_eV > 0.0:
        raise InputError("an electron at the band edge never arrives at the barrier", where="electron_energy_eV",
                         rule="electron_energy_eV > 0 beside `transmission: prefactor` or `exact`",
                         value=shape.energy_eV, next_step="give the energy of the bound state, about 0.05")
