"""What a card may switch on beyond N equal electrons behind one fixed barrier; nothing acts that is not written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

from pydantic import model_validator

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.card_schema.parts import CardPart
from qtaml_codesign.card_schema.problems import broken
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, BOLTZMANN_J_per_K, FARAD_PER_aF

LARGEST_VOLTAGE_V: Final = 20.0
MOST_COUNTED: Final = 1000
LARGEST_NOISE: Final = 0.25
"""Of the charge, as an rms: more would leave many cells without any."""



class Traps(CardPart):
    """Traps in the oxide that electrons cross in two steps; the cells that hold one leak faster.

    Attributes:
        density_per_cm3: of traps that take part.
        area_nm2: of the oxide over one cell.
        activation_energy_eV: E_a of a crossing; 0 = resonant, elastic.
    """

    density_per_cm3: float
    area_nm2: float
    activation_energy_eV: float = 0.0


class AccessLeakage(CardPart):
    """Leakage of the select transistor, beside the tunnelling through the oxide.

    Attributes:
        leakage_pA: of a full cell at the reference temperature.
        activation_energy_eV: of its dependence on temperature.
    """

    leakage_pA: float
    activation_energy_eV: float = 0.0


class Escape(CardPart):
    """How the electrons of a cell leave; by default independently, elastically, through a fixed field.

    Attributes:
        thermal_averaging: "elastic": transmission averaged over the thermal energies of the electrons.
        roughness_nm: rms of the oxide thickness within one cell.
        activation_energy_eV: of the direct channel's rate, relative to the reference temperature.
        reference_temperature_K: where rates with an activation energy are those of the card.
        node_capacitance_aF: of the storage node.
        field: "self_limiting": the voltage, and so the field, falls as the electrons leave.
        charge_noise: "kTC": the number of electrons at the start has the rms sqrt(k T C) / q.
        charge_noise_electrons: rms of the number of electrons at the start, given.
        traps: a second channel of some cells.
        access: a second channel of all cells.
    """

    thermal_averaging: Literal["elastic"] | None = None
    roughness_nm: float | None = None
    activation_energy_eV: float | None = None
    reference_temperature_K: float | None = None
    node_capacitance_aF: float | None = None
    field: Literal["self_limiting"] | None = None
    charge_noise: Literal["kTC"] | None = None
    charge_noise_electrons: float | None = None
    traps: Traps | None = None
    access: AccessLeakage | None = None

    @model_validator(mode="after")
    def _complete(self) -> Escape:
        if self.charge_noise is not None and self.charge_noise_electrons is not None:
            raise broken("the charge noise is given twice", "charge_noise or charge_noise_electrons",
                         self.charge_noise_electrons, "drop one of the two")
        if self.charge_noise is not None and self.node_capacitance_aF is None:
            raise broken("kTC noise needs the capacitance of the node", "node_capacitance_aF beside charge_noise: kTC",
                         "nothing", "add `node_capacitance_aF:`, or give charge_noise_electrons")
        if self.field is not None and self.node_capacitance_aF is None:
            raise broken("a self-limiting field needs the capacitance of the node", "node_capacitance_aF beside field",
                         "nothing", "add `node_capacitance_aF:`, C = N q / V of a full cell")
        if self.node_capacitance_aF is not None and self.field is None and self.charge_noise is None:
            raise broken("the capacitance of the node changes nothing", "node_capacitance_aF beside field: "
                         "self_limiting or charge_noise: kTC", self.node_capacitance_aF, "leave it out, or add one")
        if self.reference_temperature_K is not None and self.activation_energy_eV is None and self.access is None:
            raise broken("the reference temperature changes nothing", "reference_temperature_K beside "
                         "activation_energy_eV of the direct channel or access (that of traps is absolute)",
                         self.reference_temperature_K, "leave it out, or add the activation energy")
        return self

    def check_cell(self, barrier: Barrier, electrons: int, flip_threshold: int, temperature_K: float | None) -> None:
        """Whether the effects fit a cell.

        Args:
            barrier: of the cell.
            electrons: N.
            flip_threshold: k_th.
            temperature_K: of the cell, as `check_temperature` found it.

        Raises:
            InputError: a self-limiting field over a shape that no bias can be put on.
            PydanticCustomError: such a field over a barrier without bias, a voltage that no cell holds, or noise as
                large as the charge, or traps beside more electrons than can be counted one by one.
        """
        if self.traps is not None and flip_threshold > MOST_COUNTED:
            raise broken("too many electrons to count them one by one as they pass a trap",
                         f"flip_threshold <= {MOST_COUNTED} beside traps", flip_threshold, "leave out escape.traps",
                         "escape.traps")
        if self.field is not None and self.node_capacitance_aF is not None:
            full_V = electrons * ELEMENTARY_CHARGE_C / (self.node_capacitance_aF * FARAD_PER_aF)
            if math.isclose(barrier.action(1.0), barrier.with_bias(0.0).action(1.0), rel_tol=1e-9):
                raise broken("a self-limiting field over a barrier without bias", "a bias on the card's barrier, that "
                             f"of a full cell: electrons q / node_capacitance_aF = {full_V:.4g} V", "no bias",
                             "give the barrier a `bias_V` (model: trapezoidal), or leave out escape.field",
                             "escape.field")
            if full_V > LARGEST_VOLTAGE_V:
                raise broken("the electrons would put a voltage on the node that no cell holds",
                             f"electrons q / node_capacitance_aF = {full_V:.4g} V <= {LARGEST_VOLTAGE_V:g} V",
                             self.node_capacitance_aF, "correct the capacitance: C = N q / V of a full cell",
                             "escape.node_capacitance_aF")
        field, rms, step = "charge_noise_electrons", self.charge_noise_electrons or 0.0, "give the rms in electrons"
        if self.charge_noise is not None and self.node_capacitance_aF is not None and temperature_K is not None:
            variance = BOLTZMANN_J_per_K * temperature_K * self.node_capacitance_aF * FARAD_PER_aF
            rms, step = math.sqrt(variance) / ELEMENTARY_CHARGE_C, "correct the capacitance: C = N q / V of a full cell"
            field = "node_capacitance_aF"
        if rms > LARGEST_NOISE * electrons:
            raise broken("the charge noise is not small beside the charge",
                         f"an rms of at most {LARGEST_NOISE:g} electrons = {LARGEST_NOISE * electrons:g}",
                         round(rms, 3), step, f"escape.{field}")

    def check_temperature(self, temperature_K: float | None) -> None:
        """Whether the temperatures that the effects hang on are given.

        Args:
            temperature_K: of the card.

        Raises:
            PydanticCustomError: one is missing.
        """
        absolute = {"thermal_averaging": self.thermal_averaging, "charge_noise": self.charge_noise,
                    "traps.activation_energy_eV": self.traps and self.traps.activation_energy_eV}
        relative = {"activation_energy_eV": self.activation_energy_eV,
                    "access.activation_energy_eV": self.access and self.access.activation_energy_eV}
        for name, value in {**absolute, **relative}.items():
            if value and temperature_K is None:
                raise broken(f"escape.{name} needs a temperature", "temperature_K beside it", "nothing",
                             "add `temperature_K: 300` to the card", "temperature_K")
            if value and name in relative and self.reference_temperature_K is None:
                raise broken(f"escape.{name} needs a reference temperature", "reference_temperature_K beside it",
                             "nothing", "add `reference_temperature_K:`, where the card's rates hold",
                             "escape.reference_temperature_K")


NO_EFFECTS: Final = Escape()


class Variation(CardPart):
    """How the cells of one array differ.

    Attributes:
        thickness_sigma_nm: standard deviation of the cells' mean oxide thickness.
        cells: "mean": every cell flips with the mean probability. "own_rate": each keeps its own thickness and rate.
    """

    thickness_sigma_nm: float
    cells: Literal["mean", "own_rate"] = "mean"


def set_numbers(part: CardPart, prefix: str) -> Iterator[str]:
    """Dotted names of the numbers that a part holds.

    Args:
        part: of a card.
        prefix: what stands before each name.

    Example:
        >>> list(set_numbers(Variation(thickness_sigma_nm=0.03), "variation."))
        ['variation.thickness_sigma_nm']
    """
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, CardPart):
            yield from set_numbers(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield prefix + name
