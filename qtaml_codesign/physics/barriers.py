"""The rectangular barrier: decay constant, WKB action and transmission."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.constants import ELECTRON_MASS_kg, HBAR_J_s, JOULE_PER_eV, METRE_PER_nm

if TYPE_CHECKING:
    from qtaml_codesign.cards import CellParameters

_DECAY_PER_nm = math.sqrt(2.0 * ELECTRON_MASS_kg * JOULE_PER_eV) / HBAR_J_s * METRE_PER_nm


def decay_constant_per_nm(cell: CellParameters) -> float:
    """Decay constant of the wave function inside the barrier, in 1/nm.

    kappa = sqrt(2 m* (V0 - E)) / hbar = 5.12317 /nm sqrt(m*/m0 (V0 - E)/eV)

    Args:
        cell: barrier height V0 and electron energy E in eV (E < V0), effective mass m* in m0.

    Validity: one parabolic band, flat barrier. No bias, image force or band bending.
    Source: any text on tunnelling; e.g. D. J. Griffiths, Introduction to Quantum Mechanics, ch. 8.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> round(decay_constant_per_nm(load_card("3nm").resolve()), 9)
        5.658723149
    """
    return _DECAY_PER_nm * math.sqrt(cell.effective_mass_m0 * (cell.height_eV - cell.electron_energy_eV))


def wkb_action(cell: CellParameters, thickness_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """WKB action S = 2 kappa d of barriers of thickness d (dimensionless), any shape; T = exp(-S).

    Validity: S well above 1. Below about 2 the neglected prefactor is as large as the exponential; results carry a
    warning there.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> wkb_action(load_card("3nm").resolve(), np.array([1.765])).round(6)
        array([19.975293])
    """
    return np.asarray(2.0 * decay_constant_per_nm(cell) * thickness_nm, dtype=np.float64)
