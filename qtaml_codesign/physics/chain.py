"""ln p_flip of one kind of cell over thicknesses, with every effect that its card switches on.

The effects act in this order, each in a file of its own:

    transmission of one attempt      the barrier, thermal averaging, roughness within the cell
    hazard of one electron           attempts, their activation, leakage of the access device
    tail of the number of escapes    binomial; a falling field; noise of the charge at the start
    mixtures over cells              traps, thickness from cell to cell

The hazard x = -ln(1 - p_esc) of one electron is passed on as the action that a plain barrier of the same hazard has,
S = -ln(1 - exp(-x / M)), so that one tail serves all (`hazard`). A falling field has another hazard for each number of
electrons that have left, and a trap passes one electron at a time: their tail is that of a death process
(`self_limiting`); past a trap in a fixed field it has a closed form (`leaving`). Averages over cells are taken of both
p_flip and 1 - p_flip, in logs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.card_schema.effects import NO_EFFECTS
from qtaml_codesign.cards import CellParameters
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import access, arrhenius, charge_noise, self_limiting, traps
from qtaml_codesign.physics.escape import EscapeLogs, Tail, escape_logs, log_flips
from qtaml_codesign.physics.hazard import action_of, log_hazard_of
from qtaml_codesign.physics.leaving import leaving_logs
from qtaml_codesign.physics.roughness import rough_action, slopes_per_nm
from qtaml_codesign.physics.thermal import thermal_action
from qtaml_codesign.physics.variation import Remembered, averaged_logs

Array = NDArray[np.float64]
Logs = tuple[Array, Array]
LogsBeside = Callable[[Array | None], Logs]
_BLOCK = 256


def effective_action(cell: CellParameters, thickness_nm: Array) -> Array:
    """Action of the plain barrier through which one electron of the cell would escape as often as it does.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.

    Returns:
        S, of the same shape; that of the card's barrier where nothing else acts. Of a full cell without traps.

    Raises:
        InputError: a thickness and temperature at which electrons go over the barrier (see `thermal`).
    """
    if cell.escape == NO_EFFECTS:
        return cell.barrier.action(thickness_nm)
    return action_of(log_hazard(cell, thickness_nm, lost=0), carried_attempts(cell))


def carried_attempts(cell: CellParameters) -> float:
    """Attempts that go with `effective_action`: M, or 1 where other channels could outrun fewer attempts than that.

    Args:
        cell: the cell.
    """
    return cell.attempts if cell.escape == NO_EFFECTS else max(cell.attempts, 1.0)


def flip_logs(cell: CellParameters, thickness_nm: Array, tail: Tail = "binomial") -> EscapeLogs:
    """Logs of p_esc, 1 - p_esc, p_flip and 1 - p_flip of a cell; those of one electron at the thickness itself.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.
        tail: as in `escape.escape_logs`; the exact one alone where effects act on the escape.

    Raises:
        InputError: an approximate tail with effects, or a thickness that is too large for thermal averaging.
    """
    if cell.variation is not None:
        return averaged_logs(cell, thickness_nm, partial(flip_logs, tail=tail))
    action = effective_action(cell, thickness_nm)
    one = escape_logs(action, carried_attempts(cell), cell.electrons, cell.flip_threshold, tail)
    if cell.escape == NO_EFFECTS:
        return one
    if tail != "binomial":
        raise InputError("an approximate tail beside effects on the escape", where="tail", rule="binomial where the "
                         "card has `escape:`", value=tail, next_step="leave the tail out, or the card's `escape:`")
    if not _varies_within(cell):
        return one
    flat = np.ravel(thickness_nm)
    parts = [_all_charges(cell, flat[first:first + _BLOCK]) for first in range(0, flat.size, _BLOCK)]
    above, below = (np.concatenate(side).reshape(action.shape) for side in zip(*parts, strict=True))
    return EscapeLogs(one.log_escape, one.log_stay, above, below)


def remembering_logs(cell: CellParameters) -> Callable[[Array], EscapeLogs]:
    """`flip_logs` of one cell, for calls at many thicknesses near each other, which share what they work out.

    Args:
        cell: its own thickness is not used.
    """
    if cell.variation is None:
        return partial(flip_logs, cell)
    return partial(averaged_logs, cell, logs_of=Remembered(flip_logs))


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


def log_hazard(cell: CellParameters, thickness_nm: Array, lost: int) -> Array:
    """ln x of one electron of a cell without traps, x = (M f(S) A_direct + I tau / (q N) A_access).

    A = exp(-E_a/k (1/T - 1/T_ref)) of either channel.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.
        lost: electrons that have left, which counts where the field falls with them.
    """
    escape = cell.escape
    action = attempt_action(cell, thickness_nm, lost)
    logs = log_hazard_of(action, cell.attempts) + _activated(cell, escape.activation_energy_eV)
    if escape.access is None:
        return logs
    leak = access.log_hazard(escape.access, cell.electrons, cell.window_s)
    return np.asarray(np.logaddexp(logs, leak + _activated(cell, escape.access.activation_energy_eV)))


def attempt_action(cell: CellParameters, thickness_nm: Array, lost: int = 0) -> Array:
    """S = -ln T of one attempt through the oxide: the barrier, roughness within the cell, thermal averaging.

    Args:
        cell: its own thickness is not used.
        thickness_nm: d, any shape.
        lost: as in `log_hazard`.

    Raises:
        InputError: a thickness and temperature at which electrons go over the barrier (see `thermal`).
    """
    escape, barrier = cell.escape, barrier_after(cell, lost)
    action = barrier.action(thickness_nm)
    if escape.roughness_nm is not None:
        action = rough_action(action, slopes_per_nm(barrier, thickness_nm), escape.roughness_nm)
    if escape.thermal_averaging is not None:
        action = thermal_action(action, barrier.log_transmission_per_eV(thickness_nm), _given(cell.temperature_K))
    return action


def barrier_after(cell: CellParameters, lost: int) -> Barrier:
    """The barrier of a cell that some electrons have left: the card's, or with the voltage n q / C of those that stay.

    Args:
        cell: the cell.
        lost: N - n; it only matters where the field is self-limiting.
    """
    if cell.escape.field is None:
        return cell.barrier
    node = _given(cell.escape.node_capacitance_aF)
    return cell.barrier.with_bias(self_limiting.node_voltage_V(cell.electrons - lost, node))


def charge_rms(cell: CellParameters) -> float:
    """rms of the number of electrons at the start; 0 where the card does not let it vary.

    Args:
        cell: the cell.
    """
    escape = cell.escape
    if escape.charge_noise is None:
        return escape.charge_noise_electrons or 0.0
    return charge_noise.thermal_rms_electrons(_given(escape.node_capacitance_aF), _given(cell.temperature_K))


def _varies_within(cell: CellParameters) -> bool:
    """Whether electrons do not all leave alike, past a trap or a falling field, or their number at the start varies."""
    return cell.escape.traps is not None or cell.escape.field is not None or charge_rms(cell) > 0.0


def _all_charges(cell: CellParameters, thickness_nm: Array) -> Logs:
    """ln p_flip and ln(1 - p_flip) at thicknesses (points,), by one sum or integral for all charges at the start."""
    logs_beside = (_fixed_field if cell.escape.field is None else _falling_field)(cell, thickness_nm)
    clean, leaky = logs_beside(None), cell.escape.traps
    if leaky is None:
        return clean
    action, number = barrier_after(cell, 0).action(thickness_nm), (leaky.density_per_cm3, leaky.area_nm2, thickness_nm)
    one = traps.average_over_places(logs_beside, action, cell.flip_threshold + 1)
    return traps.mixed(clean, one, traps.traps_per_cell(*number))


def _fixed_field(cell: CellParameters, thickness_nm: Array) -> LogsBeside:
    """Logs of cells without a trap, or with one at places (nodes, 1), whose field does not fall."""
    log_x, action = log_hazard(cell, thickness_nm, lost=0), cell.barrier.action(thickness_nm)

    def logs_beside(share: Array | None) -> Logs:
        past = -math.inf if share is None else _log_trap_rate(cell, action, share)
        return leaving_logs(log_x, past, cell.electrons, cell.flip_threshold, charge_rms(cell))

    return logs_beside


def _falling_field(cell: CellParameters, thickness_nm: Array) -> LogsBeside:
    """The same where the field falls with every electron."""
    rms = charge_rms(cell)
    numbers = range(-charge_noise.most_extra(rms), cell.flip_threshold + 1)
    rates = np.stack([math.log(cell.electrons - lost) + log_hazard(cell, thickness_nm, lost) for lost in numbers])
    actions = np.stack([barrier_after(cell, lost).action(thickness_nm) for lost in numbers])

    def logs_beside(share: Array | None) -> Logs:
        if share is None:
            return self_limiting.death_logs(rates, cell.flip_threshold, rms)
        above, below = zip(*(self_limiting.death_logs(
            np.logaddexp(rates, _log_trap_rate(cell, actions, place)), cell.flip_threshold, rms) for place in share),
            strict=True)
        return np.stack(above), np.stack(below)

    return logs_beside


def _log_trap_rate(cell: CellParameters, action: Array, share: Array) -> Array:
    leaky = cell.escape.traps
    assert leaky is not None
    activation = leaky.activation_energy_eV
    log_activation = arrhenius.log_boltzmann(activation, _given(cell.temperature_K)) if activation else 0.0
    return traps.log_trap_rate(action, share, cell.attempts, log_activation)


def _activated(cell: CellParameters, activation_energy_eV: float | None) -> float:
    """ln of a channel's rate over its rate at the reference temperature."""
    if not activation_energy_eV:
        return 0.0
    return arrhenius.log_factor(activation_energy_eV, _given(cell.temperature_K),
                                _given(cell.escape.reference_temperature_K))


def _given(number: float | None) -> float:
    """A number that the card was checked to hold."""
    assert number is not None
    return number
