"""The trapezoidal barrier: a flat band, tilted by a bias."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from qtaml_codesign.barriers.bounds import BIAS, ENERGY, HEIGHT, MASS, DECAY_PER_nm
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.piecewise import Biased, Piecewise, check_below, straight
from qtaml_codesign.checks import Quantity


@final
@dataclass(frozen=True)
class Trapezoidal(Biased, Piecewise):
    """A barrier under bias: S = 4/3 kappa(1 eV) d / V [phi1^3/2 - max(phi2, 0)^3/2], phi1 = V0 - E, phi2 = phi1 - V.

    phi2 > 0 is direct tunnelling, phi2 <= 0 Fowler-Nordheim, where S = B d / V with B = 4/3 kappa(1 eV) phi1^3/2. For
    phi2 > 0 the same is 4/3 kappa(1 eV) d (phi1 + sqrt(phi1 phi2) + phi2) / (sqrt(phi1) + sqrt(phi2)), which keeps its
    digits down to no bias at all. S is proportional to d.

    Args:
        height_eV: V0, conduction-band offset to the electrode that emits.
        electron_energy_eV: E < V0, above the band edge of that electrode.
        effective_mass_m0: m* in the barrier, in free electron masses.
        bias_V: V, fall of the potential over the oxide: n q / C of the node, not the voltage of the supply.

    Raises:
        InputError: E >= V0.

    Validity: one parabolic band, the same field everywhere in the oxide, no momentum along the interface, S well above
    1. A bias alone makes an attempt frequency wrong that was fitted to the rectangle: `cell.attempt_frequency_anchor`.
    Source: M. Lenzlinger, E. H. Snow, J. Appl. Phys. 40, 278 (1969); K. F. Schuegraf, C. Hu, IEEE Trans. Electron
    Devices 41, 761 (1994).

    Example:
        >>> barrier = Trapezoidal(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40, bias_V=0.65)
        >>> round(float(barrier.action(1.765)), 10)
        18.8698444403
    """

    height_eV: float
    electron_energy_eV: float
    effective_mass_m0: float
    bias_V: float

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": HEIGHT, "electron_energy_eV": ENERGY, "effective_mass_m0": MASS, "bias_V": BIAS,
    }

    def __post_init__(self) -> None:
        check_below(self.electron_energy_eV, self.height_eV)

    def landscape(self, thickness_nm: Array) -> Landscape:
        """One straight piece.

        Args:
            thickness_nm: d, (points,).
        """
        above = self.height_eV - self.electron_energy_eV
        return straight((0.0, 1.0), (above, above), thickness_nm, self.effective_mass_m0, self.electron_energy_eV,
                        self.bias_V)

    @property
    def fowler_nordheim_MV_per_cm(self) -> float:
        """B of S = B / field, where the field brings the band below the electron."""
        above = self.height_eV - self.electron_energy_eV
        return 10.0 * 4.0 / 3.0 * DECAY_PER_nm * math.sqrt(self.effective_mass_m0 * above) * above

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """The field in the oxide, and the slope of Fowler and Nordheim.

        Args:
            thickness_nm: d.
        """
        return {"field in the oxide (MV/cm)": 10.0 * self.bias_V / thickness_nm,
                "Fowler-Nordheim slope B (MV/cm)": self.fowler_nordheim_MV_per_cm}
