"""The rectangular barrier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from qtaml_codesign.barriers.barrier import Barrier, Number
from qtaml_codesign.barriers.bounds import ENERGY, HEIGHT, MASS, DECAY_PER_nm
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.piecewise import check_below
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.checks import Quantity


@final
@dataclass(frozen=True)
class Rectangular(Barrier):
    """A barrier of one height: S = 2 kappa d, kappa = sqrt(2 m* (V0 - E)) / hbar = 5.12317/nm sqrt(m*/m0 (V0 - E)/eV).

    Args:
        height_eV: V0, conduction-band offset.
        electron_energy_eV: E < V0, above the band edge of the electrode.
        effective_mass_m0: m* in the barrier, in free electron masses.

    Raises:
        InputError: E >= V0.

    Validity: one parabolic band, flat barrier; no bias, image force or band bending; S well above 1. Below about 2 the
    neglected prefactor is as large as the exponential; results carry a warning there.
    Source: any text on tunnelling; e.g. D. J. Griffiths, Introduction to Quantum Mechanics, ch. 8.

    Example:
        >>> barrier = Rectangular(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40)
        >>> round(barrier.decay_per_nm, 9), round(barrier.action(1.765), 6)
        (5.658723149, 19.975293)
    """

    height_eV: float
    electron_energy_eV: float
    effective_mass_m0: float

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": HEIGHT, "electron_energy_eV": ENERGY, "effective_mass_m0": MASS,
    }

    def __post_init__(self) -> None:
        check_below(self.electron_energy_eV, self.height_eV)

    @property
    def decay_per_nm(self) -> float:
        """Decay constant kappa of the wave function inside the barrier, in 1/nm."""
        return DECAY_PER_nm * math.sqrt(self.effective_mass_m0 * (self.height_eV - self.electron_energy_eV))

    def action(self, thickness_nm: Number) -> Number:
        """S = 2 kappa d.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        return 2.0 * self.decay_per_nm * thickness_nm

    def slope_per_nm(self, thickness_nm: float) -> float:
        """2 kappa, the same at every thickness.

        Args:
            thickness_nm: d; it does not matter.
        """
        return 2.0 * self.decay_per_nm

    def thickness_nm(self, action: float) -> float:
        """d = S / (2 kappa).

        Args:
            action: S.
        """
        return action / (2.0 * self.decay_per_nm)

    def log_transmission_per_eV(self, thickness_nm: Number) -> Number:
        """d ln T / dE = kappa d / (V0 - E).

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        return self.decay_per_nm / (self.height_eV - self.electron_energy_eV) * thickness_nm

    def with_bias(self, bias_V: float) -> Barrier:
        """The trapezoid that a voltage makes of it.

        Args:
            bias_V: V >= 0.
        """
        return Trapezoidal(self.height_eV, self.electron_energy_eV, self.effective_mass_m0, bias_V)

    def landscape(self, thickness_nm: Array) -> Landscape:
        """One flat piece.

        Args:
            thickness_nm: d, (points,).
        """
        return self.with_bias(0.0).landscape(thickness_nm)
