"""A trapezoid under bias, small enough to be checked by eye: what a falling field needs of a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

import qtaml_codesign as qc
from qtaml_codesign.barriers.barrier import Number
from qtaml_codesign.checks import Quantity
from tests.physics_oracle import DECAY_PER_NM

DECAY = float(DECAY_PER_NM)


@final
@dataclass(frozen=True)
class Biased(qc.Barrier):
    """S = 4/3 k d (phi^1.5 - max(phi - V, 0)^1.5) / V, phi = V0 - E; 2 k sqrt(phi) d without bias."""

    height_eV: float
    electron_energy_eV: float
    effective_mass_m0: float
    bias_V: float

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": Quantity(1e-3, 20.0, "electronvolts"),
        "electron_energy_eV": Quantity(0.0, 20.0, "electronvolts"),
        "effective_mass_m0": Quantity(1e-3, 10.0, "free electron masses"),
        "bias_V": Quantity(0.0, 20.0, "volts"),
    }

    def slope_per_nm(self, thickness_nm: float) -> float:
        high, bias = self.height_eV - self.electron_energy_eV, self.bias_V
        if bias < 1e-6:
            return float(2.0 * DECAY * np.sqrt(self.effective_mass_m0 * high))
        fall = high**1.5 - max(high - bias, 0.0) ** 1.5
        return float(4.0 / 3.0 * DECAY * np.sqrt(self.effective_mass_m0) / bias * fall)

    def action(self, thickness_nm: Number) -> Number:
        return self.slope_per_nm(1.0) * thickness_nm

    def thickness_nm(self, action: float) -> float:
        return action / self.slope_per_nm(1.0)
