"""From the barrier of a card to its shape, and whether the card's attempt frequency belongs to that shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.exact import Exact
from qtaml_codesign.barriers.prefactor import Prefactor
from qtaml_codesign.barriers.registry import make_barrier
from qtaml_codesign.card_schema.cell import CellParameters
from qtaml_codesign.errors import InputError

_OF_THE_CARD = ("model", "thickness_nm", "transmission", "electrode_mass_m0")


def barrier_of(fields: Mapping[str, Any]) -> Barrier:
    """The shape that a card names, with its way of transmission.

    Args:
        fields: of the card's barrier, without those that are left out.

    Raises:
        InputError: fields that make no barrier; `where` is the field.
    """
    numbers = {name: value for name, value in fields.items() if name not in _OF_THE_CARD}
    shape, way, mass = make_barrier(fields["model"], numbers), *map(fields.get, ("transmission", "electrode_mass_m0"))
    if way in (None, "wkb"):
        if mass is not None:
            raise InputError("electrode_mass_m0 changes nothing with WKB", where="electrode_mass_m0", value=mass,
                             rule="only beside `transmission: prefactor` or `exact`", next_step="leave it out")
        return shape
    if mass is None:
        raise InputError(f"{way} needs the mass in the electrodes", where="electrode_mass_m0", value="nothing",
                         rule="electrode_mass_m0 beside `transmission: prefactor` or `exact`",
                         next_step="add `electrode_mass_m0:`, 0.916 for silicon along <100>")
    point = np.array([fields["thickness_nm"]])
    land = shape.landscape(point)
    made = Prefactor(shape, mass) if way == "prefactor" else Exact(shape, mass)
    if way == "prefactor":
        land.log_prefactor(mass)
    return made


def check_anchor(cell: CellParameters) -> None:
    """Whether the attempt frequency was fitted with a barrier such as the cell's, or is forced.

    Args:
        cell: with its barrier.

    Raises:
        InputError: a bias or a prefactor beside an attempt frequency of the rectangular WKB barrier.
    """
    if cell.barrier.departures and cell.attempt_frequency_anchor in (None, "rectangular_wkb"):
        raise InputError(
            "the attempt frequency is that of a rectangular WKB barrier, and the barrier is another one",
            where="cell.attempt_frequency_anchor",
            rule="a bias or a prefactor takes an attempt frequency fitted with it: beside one of the rectangle a "
            "bias alone moves the 3 nm card by +103 pm at p = 0.1, the prefactor alone by -193 pm, both "
            "together by +23 pm", value=", ".join(cell.barrier.departures),
            next_step="calibrate attempt_frequency_Hz with this barrier and write `attempt_frequency_anchor: "
            "this_barrier`, or `forced` to take it as it is")
