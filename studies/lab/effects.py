"""What a card can switch on beside the rectangular barrier, each as fields of the 3nm card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qtaml_codesign as qc
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, FARAD_PER_aF
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]

CARD = "3nm"
A_nm, B_nm = 1.765, 2.12
"""The card's own thickness, p_flip = 0.10, and one at which flips are rare, p_flip = 1.3e-9."""
BIAS_V, NODE_aF, AREA_nm2 = 0.65, 12.2, 264.0
"""Of the node that the card describes: supply, C of D = 7 nm, L = 12 nm, and pi D L."""
SILICON = {"height_eV": 3.10, "electron_energy_eV": 0.05, "thickness_nm": A_nm}
OXIDE = {**SILICON, "effective_mass_m0": 0.40}
FORCED = {"cell.attempt_frequency_anchor": "forced"}
PREFACTOR = {"barrier.transmission": "prefactor", "barrier.electrode_mass_m0": 0.916}
ROOM = {"temperature_K": 300}


@dataclass(frozen=True)
class Effect:
    """One effect, or one change of a parameter.

    Attributes:
        label: in tables and figures.
        kind: "parameter", "barrier", "escape", "cells", or "alone" for what must not be switched on alone.
        fields: dotted card fields that switch it on.
        beside: fields of the card that it is compared with; none for the shipped card.
        fixed_nm, per_nm: thickness on the card = (thickness - fixed_nm) per_nm; of a stack, thickness is the EOT.
        share: of the bits that can flip at all.
    """

    label: str
    kind: str
    fields: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    fixed_nm: float = 0.0
    per_nm: float = 1.0
    share: float = 1.0

    def log_flips(self, thickness_nm: Array) -> Array:
        """ln of the chance that a bit flips, with the effect."""
        card, on_card_nm = qc.load_card(CARD).with_fields(self.fields), (thickness_nm - self.fixed_nm) * self.per_nm
        return np.asarray(math.log(self.share) + qc.flip_probability(card, on_card_nm).log_probability)

    def log_factors(self, thickness_nm: Array) -> Array:
        """ln of the factor on it, beside the card that it is compared with."""
        beside = qc.load_card(CARD).with_fields(self.beside)
        return np.asarray(self.log_flips(thickness_nm) - qc.flip_probability(beside, thickness_nm).log_probability)

    def shift_pm(self, flip_probability: float) -> float:
        """How much thicker the oxide must be for the same flip probability; NaN where no thickness brings it so low."""
        cards = (qc.load_card(CARD).with_fields(fields) for fields in (self.fields, self.beside))
        with_it, without = (_thickness_nm(card, flip_probability / share)
                            for card, share in zip(cards, (self.share, 1.0), strict=True))
        return 1e3 * (with_it / self.per_nm + self.fixed_nm - without)


def _thickness_nm(card: qc.DeviceCard, flip_probability: float) -> float:
    try:
        return qc.thickness_for(card, flip_probability)
    except InputError:
        return math.nan


def trapezoid(bias_V: float) -> dict[str, Any]:
    """Fields of the barrier under bias, its attempt frequency forced."""
    return {"barrier.model": "trapezoidal", "barrier.bias_V": bias_V, **FORCED}


def high_k(height_eV: float, mass_m0: float) -> dict[str, Any]:
    """A layer of 0.8 nm of SiO2 below HfO2; the thickness of the card is that of the HfO2."""
    oxide = {"height_eV": 3.10, "effective_mass_m0": 0.40, "relative_permittivity": 3.9, "thickness_nm": 0.8}
    hafnia = {"height_eV": height_eV, "effective_mass_m0": mass_m0, "relative_permittivity": 22.0}
    return {"barrier": {"model": "stack", "electron_energy_eV": 0.05, "thickness_nm": 2.0, "layers": [oxide, hafnia]}}


def traps(activation_energy_eV: float) -> dict[str, Any]:
    """1e17 traps per cubic centimetre in the oxide of the cell."""
    return {**ROOM, "escape.traps": {"density_per_cm3": 1e17, "area_nm2": AREA_nm2,
                                     "activation_energy_eV": activation_energy_eV}}


def hot(activation_energy_eV: float) -> dict[str, Any]:
    """The direct channel activated, at 398 K instead of 300 K."""
    return {"temperature_K": 398, "escape.reference_temperature_K": 300,
            "escape.activation_energy_eV": activation_energy_eV}


def image(relative_permittivity: float) -> dict[str, Any]:
    """Simmons' lowering."""
    return {"barrier": {**OXIDE, "model": "image_force", "relative_permittivity": relative_permittivity}}


def self_limiting(electrons: int) -> dict[str, Any]:
    """A field that falls as the electrons leave, 0.65 V across the oxide of a full cell."""
    full_aF = electrons * ELEMENTARY_CHARGE_C / BIAS_V / FARAD_PER_aF
    return {**trapezoid(BIAS_V), "escape.field": "self_limiting", "escape.node_capacitance_aF": full_aF}


STACKED = {"fixed_nm": 0.8, "per_nm": 22.0 / 3.9}
EFFECTS: dict[str, Effect] = {
    "mass-up": Effect("mass +5 %", "parameter", {"barrier.effective_mass_m0": 0.42}),
    "mass-down": Effect("mass -5 %", "parameter", {"barrier.effective_mass_m0": 0.38}),
    "height-up": Effect("barrier +0.1 eV", "parameter", {"barrier.height_eV": 3.2}),
    "height-down": Effect("barrier -0.1 eV", "parameter", {"barrier.height_eV": 3.0}),
    "attempts": Effect("attempt frequency x 2", "parameter", {"cell.attempt_frequency_Hz": 4.8e13}),
    "bias": Effect("bias 0.65 V, alone", "alone", trapezoid(BIAS_V)),
    "prefactor": Effect("prefactor, alone", "alone", {**PREFACTOR, **FORCED}),
    "both": Effect("bias 0.65 V and prefactor", "barrier", {**trapezoid(BIAS_V), **PREFACTOR}),
    "exact": Effect("bias 0.65 V, exact", "barrier", {**trapezoid(BIAS_V), **PREFACTOR,
                                                      "barrier.transmission": "exact"}),
    "stack": Effect("0.8 nm SiO2 + HfO2 (2.05 eV, 0.11), by EOT", "barrier", high_k(2.05, 0.11), **STACKED),
    "stack-low": Effect("0.8 nm SiO2 + HfO2 (1.5 eV, 0.18), by EOT", "barrier", high_k(1.5, 0.18), **STACKED),
    "image-optical": Effect("image force, permittivity 2.13", "barrier", image(2.13)),
    "image-static": Effect("image force, permittivity 3.9", "barrier", image(3.9)),
    "two-band": Effect("two bands, 0.61 m0", "barrier", {
        "barrier": {**SILICON, "model": "two_band", "band_edge_mass_m0": 0.61, "band_gap_eV": 9.0}}),
    "thermal": Effect("thermal averaging, 300 K", "escape", {**ROOM, "escape.thermal_averaging": "elastic"}),
    "thermal-hot": Effect("thermal averaging, 398 K", "escape", {"temperature_K": 398,
                                                                 "escape.thermal_averaging": "elastic"}),
    "roughness-0.1": Effect("roughness 0.1 nm in a cell", "escape", {"escape.roughness_nm": 0.1}),
    "roughness-0.2": Effect("roughness 0.2 nm in a cell", "escape", {"escape.roughness_nm": 0.2}),
    "activated-0.1": Effect("300 to 398 K, 0.1 eV", "escape", hot(0.1)),
    "activated-0.3": Effect("300 to 398 K, 0.3 eV", "escape", hot(0.3)),
    "traps-resonant": Effect("traps 1e17/cm3, resonant", "escape", traps(0.0)),
    "traps-0.1": Effect("traps 1e17/cm3, 0.1 eV", "escape", traps(0.1)),
    "traps-0.3": Effect("traps 1e17/cm3, 0.3 eV", "escape", traps(0.3)),
    "charge-noise": Effect("charge noise kTC, 1.4 electrons", "escape", {
        **ROOM, "escape.charge_noise": "kTC", "escape.node_capacitance_aF": NODE_aF}),
    "self-limiting": Effect("self-limiting field, beside 0.65 V fixed", "escape", self_limiting(50), trapezoid(BIAS_V)),
    "access": Effect("access device leaks 0.1 pA", "escape", {"escape.access": {"leakage_pA": 0.1}}),
    "variation-0.03": Effect("thickness from cell to cell, 0.03 nm", "cells", {"variation.thickness_sigma_nm": 0.03}),
    "variation-0.05": Effect("thickness from cell to cell, 0.05 nm", "cells", {"variation.thickness_sigma_nm": 0.05}),
    "variation-0.10": Effect("thickness from cell to cell, 0.10 nm", "cells", {"variation.thickness_sigma_nm": 0.10}),
    "charge-loss": Effect("charge loss only, half the bits charged", "cells", {"flips": "charge_loss"}, share=0.5),
}
