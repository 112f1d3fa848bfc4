"""Bounds of the numbers that several shapes have, and the constant that turns them into a decay constant."""

from __future__ import annotations

import math
from typing import Final

from qtaml_codesign.checks import Quantity
from qtaml_codesign.constants import ELECTRON_MASS_kg, HBAR_J_s, JOULE_PER_eV, METRE_PER_nm

DECAY_PER_nm: Final = math.sqrt(2.0 * ELECTRON_MASS_kg * JOULE_PER_eV) / HBAR_J_s * METRE_PER_nm
"""sqrt(2 m0 eV) / hbar = 5.12317/nm: kappa of a free electron one electronvolt below a barrier."""

HEIGHT: Final = Quantity(1e-3, 20.0, "electronvolts", si=JOULE_PER_eV, si_unit="joules")
ENERGY: Final = Quantity(0.0, 20.0, "electronvolts")
MASS: Final = Quantity(1e-3, 10.0, "free electron masses", si=ELECTRON_MASS_kg, si_unit="kilograms")
BIAS: Final = Quantity(0.0, 100.0, "volts")
PERMITTIVITY: Final = Quantity(1.0, 1e4, "vacuum permittivities")
EDGE: Final = Quantity(0.0, 20.0, "electronvolts", si=JOULE_PER_eV, si_unit="joules")
SHARE: Final = Quantity(0.0, 1.0, "shares of the thickness")
GAP: Final = Quantity(1e-2, 50.0, "electronvolts", si=JOULE_PER_eV, si_unit="joules")
