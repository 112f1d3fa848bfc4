"""The WKB transmission with its prefactor in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from qtaml_codesign.barriers.barrier import Number
from qtaml_codesign.barriers.beyond_wkb import BeyondWKB
from qtaml_codesign.barriers.landscape import Array
from qtaml_codesign.barriers.numeric import LEAST_ACTION, points_of, shaped


@final
@dataclass(frozen=True)
class Prefactor(BeyondWKB):
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

    departure = "the prefactor"
    compared = "transmission with prefactor / WKB"

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
