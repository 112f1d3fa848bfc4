"""The rectangular barrier with the two-band dispersion of Franz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from qtaml_codesign.barriers.barrier import Number
from qtaml_codesign.barriers.bounds import ENERGY, GAP, HEIGHT, MASS
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.piecewise import Piecewise, check_below
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError


@final
@dataclass(frozen=True)
class TwoBand(Piecewise):
    """A flat barrier between two bands: kappa = sqrt(2 m phi (1 - phi/Eg)) / hbar, S = 2 kappa d.

    That is a parabolic band of mass m (1 - phi/Eg), phi = V0 - E. The mass m is that of the band edge and larger than
    one fitted with a parabolic band: for SiO2 0.61 m0 here or 0.40 m0 in the rectangular barrier, never the other way
    round (0.40 used here makes T 42 times too large at 1.765 nm). Hence its own name, and no `effective_mass_m0`.

    Args:
        height_eV: V0, conduction-band offset.
        electron_energy_eV: E < V0.
        band_edge_mass_m0: m at the band edge, in free electron masses.
        band_gap_eV: Eg > V0 - E of the insulator.

    Raises:
        InputError: E >= V0, or an electron below the valence band.

    Validity: flat barrier; as the rectangular one. Below mid-gap (phi > Eg/2) kappa falls again: holes carry the decay.
    Source: W. Franz, in Handbuch der Physik 17 (1956), p. 155; J. Maserjian, J. Vac. Sci. Technol. 11, 996 (1974).

    Example:
        >>> barrier = TwoBand(height_eV=3.10, electron_energy_eV=0.05, band_edge_mass_m0=0.61, band_gap_eV=9.0)
        >>> round(barrier.parabolic_mass_m0, 4), round(float(barrier.action(1.765)), 4)
        (0.4033, 20.057)
    """

    height_eV: float
    electron_energy_eV: float
    band_edge_mass_m0: float
    band_gap_eV: float

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": HEIGHT, "electron_energy_eV": ENERGY, "band_edge_mass_m0": MASS, "band_gap_eV": GAP,
    }
    mistaken: ClassVar[Mapping[str, str]] = {
        "effective_mass_m0": "a parabolic mass is not the mass at the band edge (0.40 and 0.61 m0 for SiO2): give "
                             "`band_edge_mass_m0`, or use `model: rectangular`",
    }

    def __post_init__(self) -> None:
        check_below(self.electron_energy_eV, self.height_eV)
        if not self.height_eV - self.electron_energy_eV < self.band_gap_eV:
            raise InputError("the electron is below the valence band of the insulator", where="band_gap_eV",
                             rule="height_eV - electron_energy_eV < band_gap_eV", value=self.band_gap_eV,
                             next_step="check the gap: 9 eV for SiO2")

    @property
    def parabolic_mass_m0(self) -> float:
        """Mass of the parabolic band with the same decay, m (1 - phi/Eg)."""
        return self.band_edge_mass_m0 * (1.0 - (self.height_eV - self.electron_energy_eV) / self.band_gap_eV)

    def landscape(self, thickness_nm: Array) -> Landscape:
        """One flat piece of the parabolic mass.

        Args:
            thickness_nm: d, (points,).
        """
        parabolic = Trapezoidal(self.height_eV, self.electron_energy_eV, self.parabolic_mass_m0, bias_V=0.0)
        return parabolic.landscape(thickness_nm)

    def log_transmission_per_eV(self, thickness_nm: Number) -> Number:
        """d ln T / dE = S (1 - 2 phi/Eg) / (2 phi (1 - phi/Eg)); negative below mid-gap.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        above = self.height_eV - self.electron_energy_eV
        share = above / self.band_gap_eV
        return self.action(thickness_nm) * ((1.0 - 2.0 * share) / (2.0 * above * (1.0 - share)))

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """The parabolic mass.

        Args:
            thickness_nm: d; it does not matter.
        """
        return {"parabolic mass of the same kappa (m0)": self.parabolic_mass_m0}
