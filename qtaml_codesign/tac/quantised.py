"""Weights that came quantised, against the format of their cells and the method of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.methods import METHOD_RULES


def check_quantised(workload: Workload, errors: Mapping[str, CellLaw], methods: Sequence[str]) -> None:
    """Refuse a plan under which weights that came quantised could not be stored as they are.

    Args:
        workload: the network.
        errors: law of the cells of each tensor, in their format.
        methods: those that are asked for.

    Raises:
        InputError: a method that chooses another store, cells of another bit count, or a number that the encoding
            cannot hold.
    """
    for name, bits in workload.network.quantised.items():
        stores = [method for method in methods if METHOD_RULES[method].chooses_store]
        if stores:
            raise InputError("the method would quantise weights that came quantised", where="method (--method)",
                             rule="a method that stores plain codes, such as tac or uniform-msp", value=stores[0],
                             next_step="choose such a method, or pass the float network")
        form = errors[name].format
        if form.bits != bits:
            raise InputError("weights that came quantised have another bit count than their cells",
                             where=f"bits (storage.bits of the card), {name}", rule=f"bits = {bits}", value=form.bits,
                             next_step=f"pass bits={bits}, or set storage.bits={bits} on the card, for a region of it "
                             "where only some tensors are quantised")
        lowest = float(workload.weights[name].min())
        if lowest < form.lowest_level:
            raise InputError("the encoding does not hold a weight that came quantised", where=f"encoding, {name}",
                             rule=f"levels {form.lowest_level} to {form.highest_level} in {form.encoding}",
                             value=f"{lowest:g}", next_step="take offset_binary or twos_complement")
