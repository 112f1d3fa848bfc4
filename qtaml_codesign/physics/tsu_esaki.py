"""The tunnel current through a barrier between two electrodes, to compare a card with a measured leakage curve."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.constants import (
    ELEMENTARY_CHARGE_C,
    BOLTZMANN_J_per_K,
    ELECTRON_MASS_kg,
    HBAR_J_s,
    JOULE_PER_eV,
)
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]
SUPPLY_MASS_m0: Final = 2.05
"""Density-of-states mass of the six valleys of a (100) silicon surface, in free electron masses."""
FERMI_LEVEL_eV: Final = 0.15
"""Fermi level above the band edge of a degenerate electrode."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_PANEL_kT, _TAIL_kT = 3.0, 24.0


def current_density_A_per_cm2(
    barrier: Barrier, thickness_nm: float, bias_V: float, *, temperature_K: float = 300.0,
    fermi_level_eV: float = FERMI_LEVEL_eV, supply_mass_m0: float = SUPPLY_MASS_m0,
) -> float:
    """Tsu-Esaki current density at a voltage.

    J = q m_d k T / (2 pi^2 hbar^3) int T(E) ln[(1 + e^((E_F - E)/kT)) / (1 + e^((E_F - E - q V)/kT))] dE

    Args:
        barrier: its shape, with an electron energy; the voltage takes the place of its bias.
        thickness_nm: d.
        bias_V: V > 0 across the barrier.
        temperature_K: of both electrodes.
        fermi_level_eV: E_F above the band edge of the electrode that emits.
        supply_mass_m0: m_d, density-of-states mass of that electrode.

    Returns:
        J in A/cm2.

    Raises:
        InputError: a barrier without an electron energy, or that cannot be biased.

    Validity: parabolic bands, in-plane momentum conserved; bound states and scattering left out.
    Source: R. Tsu and L. Esaki, Appl. Phys. Lett. 22, 562 (1973).

    Example:
        >>> from qtaml_codesign.barriers.rectangular import Rectangular
        >>> sio2 = Rectangular(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40)
        >>> round(current_density_A_per_cm2(sio2, 1.5, 1.0), 1)
        79.2
    """
    thermal_eV = BOLTZMANN_J_per_K * temperature_K / JOULE_PER_eV
    energies, weights = _energies(fermi_level_eV, thermal_eV)
    above = (fermi_level_eV - energies) / thermal_eV
    supply = np.logaddexp(0.0, above) - np.logaddexp(0.0, above - bias_V / thermal_eV)
    biased = barrier.with_bias(bias_V)
    transmission = np.array([_transmission(biased, energy, thickness_nm) for energy in energies.tolist()])
    integral_J = float(np.sum(weights * transmission * supply)) * JOULE_PER_eV
    scale = ELEMENTARY_CHARGE_C * supply_mass_m0 * ELECTRON_MASS_kg * BOLTZMANN_J_per_K * temperature_K
    return scale / (2.0 * math.pi**2 * HBAR_J_s**3) * integral_J * 1e-4


def _transmission(barrier: Barrier, energy_eV: float, thickness_nm: float) -> float:
    """T of an electron of this energy; 1 where it goes over the barrier."""
    try:
        return math.exp(-barrier.with_energy(energy_eV).action(thickness_nm))
    except InputError:
        return 1.0


def _energies(fermi_level_eV: float, thermal_eV: float) -> tuple[Array, Array]:
    """Nodes and weights in eV, from the band edge to 24 kT above the Fermi level: six Gauss-Legendre nodes a 3 kT."""
    highest = max(fermi_level_eV, 0.0) + _TAIL_kT * thermal_eV
    edges = np.linspace(0.0, highest, math.ceil(highest / (_PANEL_kT * thermal_eV)) + 1)
    middle, half = (edges[1:] + edges[:-1]) / 2.0, np.diff(edges) / 2.0
    return np.ravel(middle[:, None] + half[:, None] * _NODES), np.ravel(half[:, None] * _WEIGHTS)
