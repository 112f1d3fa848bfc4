"""Which effects act on the escape of a cell's electrons, and where what is known of each of them ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters
from qtaml_codesign.physics import charge_noise, thermal
from qtaml_codesign.physics.access import log_hazard
from qtaml_codesign.physics.chain import barrier_after, charge_rms
from qtaml_codesign.physics.hazard import log_hazard_of
from qtaml_codesign.physics.roughness import slopes_per_nm
from qtaml_codesign.physics.traps import traps_per_cell

Array = NDArray[np.float64]

LARGEST_THINNING: Final = 0.25
MOST_TRAPS: Final = 0.3
LARGEST_MISFIT: Final = 0.3
DECIDING_SHARE: Final = 0.5


def acting(cell: CellParameters) -> tuple[str, ...]:
    """Names of the effects that the card switches on; empty for N equal electrons behind a fixed barrier.

    Args:
        cell: of the card.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> acting(load_card("3nm").with_field("escape.roughness_nm", 0.05).resolve())
        ('roughness within a cell',)
    """
    escape = cell.escape
    named = {"thermal averaging": escape.thermal_averaging, "roughness within a cell": escape.roughness_nm,
             "activated direct channel": escape.activation_energy_eV, "leakage of the access device": escape.access,
             "self-limiting field": escape.field, "charge noise": charge_rms(cell), "traps": escape.traps}
    found = [name for name, switched_on in named.items() if switched_on]
    if cell.variation is not None:
        found.append(f"flip probability averaged over cells of {cell.variation.thickness_sigma_nm:g} nm spread, "
                     "transmission and escapes at the thickness itself")
    if found and cell.temperature_K is not None:
        found.append(f"{cell.temperature_K:g} K")
    return tuple(found)


def effect_warnings(cell: CellParameters, thickness_nm: Array, log_flip: Array) -> tuple[str, ...]:
    """What to doubt about the effects that act, over all points, and which numbers act on nothing.

    Args:
        cell: the cell; its own thickness is not used.
        thickness_nm: thicknesses in nm, any shape.
        log_flip: ln p_flip there.
    """
    thinnest, thickest = float(np.min(thickness_nm)), float(np.max(thickness_nm))
    return (*idle_numbers(cell), *_of_transmission(cell, thinnest, thickest), *_of_charge(cell, log_flip),
            *_of_channels(cell, thickest))


def idle_numbers(cell: CellParameters) -> Iterator[str]:
    """Numbers of a card that no effect uses, in words.

    Args:
        cell: of the card.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> hot = load_card("3nm").with_field("temperature_K", 400).resolve()
        >>> [told.split(":")[0] for told in idle_numbers(hot)]
        ['temperature_K acts on nothing']
    """
    escape = cell.escape
    energies = [escape.activation_energy_eV, escape.access and escape.access.activation_energy_eV]
    crossing = escape.traps and escape.traps.activation_energy_eV
    if cell.temperature_K is not None and not any([*energies, crossing, escape.thermal_averaging, escape.charge_noise]):
        yield ("temperature_K acts on nothing: switch on escape.thermal_averaging, charge_noise: kTC, or an activation "
               "energy (of escape itself, its traps or its access)")


def _of_transmission(cell: CellParameters, thinnest: float, thickest: float) -> Iterator[str]:
    escape, barrier = cell.escape, barrier_after(cell, lost=0)
    own, full = cell.barrier.action(thinnest), barrier.action(thinnest)
    if abs(own - full) > LARGEST_MISFIT:
        yield (f"{cell.electrons} electrons on the node give the barrier an action of {full:.4g} at {thinnest:.4g} nm, "
               f"but {own:.4g} under the card's own bias: the field is that of the electrons")
    if escape.thermal_averaging is not None and cell.temperature_K is not None:
        share = float(thermal.thermal_share(np.asarray(barrier.log_transmission_per_eV(thickest)), cell.temperature_K))
        if share > thermal.DOUBTFUL:
            yield (f"kT dlnT/dE is {share:.2g} at {thickest:.4g} nm: thermal averaging is near its limit, where "
                   "electrons go over the barrier")
    if escape.roughness_nm:
        thinning = float(slopes_per_nm(barrier, np.asarray(thinnest))) * escape.roughness_nm**2
        if thinning > LARGEST_THINNING * thinnest:
            yield (f"roughness of {escape.roughness_nm:g} nm: places thinner by {thinning:.2g} nm carry the current of "
                   f"an oxide of {thinnest:.4g} nm, further than the roughness is known to be Gaussian")


def _of_charge(cell: CellParameters, log_flip: Array) -> Iterator[str]:
    rms = charge_rms(cell)
    if rms:
        empty = charge_noise.log_empty(rms, cell.flip_threshold)
        if empty > float(np.min(log_flip)) + math.log(DECIDING_SHARE):
            yield (f"charge noise of {rms:.3g} electrons alone flips {math.exp(empty):.2g} of the cells: no thickness "
                   "brings p_flip below that")


def _of_channels(cell: CellParameters, thickest: float) -> Iterator[str]:
    leaky, access = cell.escape.traps, cell.escape.access
    if leaky is not None:
        number = float(traps_per_cell(leaky.density_per_cm3, leaky.area_nm2, np.asarray(thickest)))
        if number > MOST_TRAPS:
            yield (f"{number:.2g} traps per cell at {thickest:.4g} nm: cells with several traps are taken to have one")
    if access is not None:
        through = float(log_hazard_of(np.asarray(barrier_after(cell, lost=0).action(thickest)), cell.attempts))
        if log_hazard(access, cell.electrons, cell.window_s) > through:
            yield f"the access device leaks more than the oxide at {thickest:.4g} nm: thickness no longer decides"
