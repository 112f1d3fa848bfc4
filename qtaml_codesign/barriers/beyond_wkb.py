"""What a transmission beyond WKB takes from the shape that it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.numeric import ByDifferences
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError


@dataclass(frozen=True)
class BeyondWKB(ByDifferences):
    """Any shape with another transmission than that of WKB; a final class has the action, S = -ln T, and its names.

    Args:
        shape: the barrier, with its bias.
        electrode_mass_m0: m* in both electrodes.

    Attributes:
        departure: what the transmission is called among the departures.
        compared: and among the figures, over that of WKB.

    Raises:
        InputError: an electron at rest, of which nothing is transmitted.
    """

    shape: Barrier
    electrode_mass_m0: float

    numbers: ClassVar[Mapping[str, Quantity]] = {}
    departure: ClassVar[str]
    compared: ClassVar[str]

    def __post_init__(self) -> None:
        if not self.shape.energy_eV > 0.0:
            raise InputError("an electron at the band edge never arrives at the barrier", where="electron_energy_eV",
                             rule="electron_energy_eV > 0 beside `transmission: prefactor` or `exact`",
                             value=self.shape.energy_eV, next_step="give the energy of the bound state, about 0.05")

    def _guess_nm(self, action: float) -> float:
        """The thickness of the same WKB action."""
        return self.shape.thickness_nm(action)

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

    def with_number(self, name: str, value: float) -> Barrier:
        """The same with one number replaced: the mass in the electrodes, or one of the shape.

        Args:
            name: of the number.
            value: in its own unit.
        """
        if name == "electrode_mass_m0":
            return replace(self, electrode_mass_m0=value)
        return replace(self, shape=self.shape.with_number(name, value))

    @property
    def energy_eV(self) -> float:
        """That of the shape."""
        return self.shape.energy_eV

    @property
    def departures(self) -> tuple[str, ...]:
        """Those of the shape, and the transmission."""
        return (*self.shape.departures, self.departure)

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """Those of the shape, and the transmission over that of WKB.

        Args:
            thickness_nm: d.
        """
        ratio = math.exp(self.shape.action(thickness_nm) - self.action(thickness_nm))
        return {**self.shape.figures(thickness_nm), self.compared: ratio}
