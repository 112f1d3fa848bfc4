"""ln p_flip of one kind of cell over thicknesses, with every effect that its card switches on.

The effects act in this order, each in a file of its own:

    transmission of one attempt      the barrier, thermal averaging, roughness within the cell
    hazard of one electron           attempts, their activation, leakage of the access device
    tail of the number of escapes    binomial; a falling field; noise of the charge at the start
    mixtures over cells              traps, thickness from cell to cell

The hazard x = -ln(1 - p_esc) of one electron is passed on as the action that a plain barrier of the same hazard has,
S = -ln(1 - exp(-x / M)), so that one tail serves all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters
from qtaml_codesign.physics.escape import EscapeLogs, Tail, escape_logs, log_flips

Array = NDArray[np.float64]


def effective_action(cell: CellParameters, thickness_nm: Array) -> Array:
    """Action of the plain barrier through which one electron of the cell would escape as often as it does.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.

    Returns:
        S, of the same shape; that of the card's barrier where nothing else acts.
    """
    return cell.barrier.action(thickness_nm)


def flip_logs(cell: CellParameters, thickness_nm: Array, tail: Tail = "binomial") -> EscapeLogs:
    """Logs of p_esc, 1 - p_esc, p_flip and 1 - p_flip of a cell; those of one electron at the thickness itself.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.
        tail: as in `escape.escape_logs`.
    """
    action = effective_action(cell, thickness_nm)
    return escape_logs(action, cell.attempts, cell.electrons, cell.flip_threshold, tail)


def log_flip(cell: CellParameters, thickness_nm: Array, tail: Tail = "binomial") -> Array:
    """ln p_flip alone, as in `flip_logs`, for less time and memory where nothing acts but the barrier.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.
        tail: as in `escape.escape_logs`.
    """
    if cell.plain:
        action = cell.barrier.action(thickness_nm)
        return log_flips(action, cell.attempts, cell.electrons, cell.flip_threshold, tail)
    return flip_logs(cell, thickness_nm, tail).log_flip
