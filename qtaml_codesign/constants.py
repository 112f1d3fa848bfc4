"""Physical constants in SI units (CODATA 2018), the unit in the name.

The first four are exact by the 2019 definition of the SI; hbar is derived from h, never rounded to ten
digits (that alone would move a flip probability by 4e-8).

Source: CODATA recommended values of the fundamental physical constants 2018, Rev. Mod. Phys. 93, 025010 (2021).
"""

from __future__ import annotations

import math
from typing import Final

PLANCK_J_s: Final = 6.62607015e-34
HBAR_J_s: Final = PLANCK_J_s / (2.0 * math.pi)
ELEMENTARY_CHARGE_C: Final = 1.602176634e-19
BOLTZMANN_J_per_K: Final = 1.380649e-23
ELECTRON_MASS_kg: Final = 9.1093837015e-31
JOULE_PER_eV: Final = ELEMENTARY_CHARGE_C
METRE_PER_nm: Final = 1e-9
VACUUM_PERMITTIVITY_F_per_m: Final = 8.8541878128e-12
FARAD_PER_aF: Final = 1e-18
AMPERE_PER_pA: Final = 1e-12
BOLTZMANN_eV_per_K: Final = BOLTZMANN_J_per_K / JOULE_PER_eV
