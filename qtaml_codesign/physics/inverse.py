"""The chain backwards: the thickness at which a cell flips with a given probability, and the slope there.

In the variable u = ln x, x = -ln(1 - p_esc) = -M ln(1 - T), the tail is smooth over its whole range: u -> -inf is the
rare limit and x large means that every electron leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import optimize, special

from qtaml_codesign.card_schema.effects import NO_EFFECTS
from qtaml_codesign.cards import CellParameters, DeviceCard, as_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import kernels
from qtaml_codesign.physics.chain import log_flip, remembering_logs

_LOG_HALF = math.log(0.5)
_MOST_STEPS = 200
_HIGHEST = 50.0
_NEAREST = 4e-16
_STEP_nm = 1e-4
_NARROW = 1e-9
_REACH = 0.02
_MOST_DOUBLINGS = 8


def thickness_for(
    card: DeviceCard | str | Path, flip_probability: float | None = None, *, log_flip_probability: float | None = None
) -> float:
    """Thickness in nm at which the card's base cell flips with the given probability (binomial tail).

    p_esc from I_{p_esc}(k_th + 1, N - k_th) = p_flip;  T = -expm1(log1p(-p_esc) / M);  S(d) = -ln T

    Args:
        card: the device card, its name, or its path; its own thickness is not used.
        flip_probability: target in (0, 1).
        log_flip_probability: its natural log instead, for targets below 1e-308; exactly one of the two.

    Raises:
        InputError: no probability in (0, 1), or none that the card reaches inside its validity.
        CardError: the card cannot be read or breaks its schema.

    Validity: good to about 1e-14 relative; with effects beside the barrier, to about 1e-12.
    Source: incomplete beta inverse (scipy) as the start, then safeguarded Newton on ln p_flip; Brent's method where
        effects act beside the barrier.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> round(thickness_for(load_card("3nm"), 0.1), 9)
        1.764991625
    """
    card = as_card(card)
    log_target, log_rest = _target(flip_probability, log_flip_probability)
    cell, (low, high) = card.resolve(), card.validity.thickness_nm
    if cell.plain:
        found = _plain_thickness(cell, log_target, log_rest)
    else:
        found = _bracketed(cell, low, high, log_target, log_rest)
    if not low <= found <= high:
        raise InputError(
            f"card {card.name} does not reach this flip probability inside its validity", where="flip_probability",
            rule=f"{low:g} <= thickness_nm <= {high:g}", value=f"ln p = {log_target:.6g}, at {found:.6g} nm",
            next_step="ask for another probability, or widen validity.thickness_nm of the card with a reason",
        )
    return found


def log_slope_per_nm(card: DeviceCard) -> float:
    """d ln p_flip / d d of the base cell at the card's thickness, in 1/nm; negative.

    dp_flip/dp_esc = N P(K = k_th; N - 1),  dp_esc/dd = -S' M T (1 - T)^(M - 1);  rare limit -S' (k_th + 1), S' = dS/dd.

    Args:
        card: the device card.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> round(log_slope_per_nm(load_card("3nm")), 4)
        -35.267
    """
    cell = card.resolve()
    if not cell.plain:
        return _difference(cell)
    n, k, action = float(cell.electrons), float(cell.flip_threshold), cell.barrier.action(cell.thickness_nm)
    log_p, log_q = kernels.log_escape(action, cell.attempts)
    above, _ = kernels.log_binomial_tail(n, k, log_p, log_q)
    log_transmitted = action + kernels.log1mexp(-action)
    log_ratio = _log_mass_slope(n, k, log_p, log_q) - above + math.log(cell.attempts) + log_q - log_transmitted
    return -cell.barrier.slope_per_nm(cell.thickness_nm) * math.exp(log_ratio)


def _difference(cell: CellParameters) -> float:
    """d ln p_flip / dd by central differences of two steps, to about 1e-9 relative."""
    steps = np.array([-2.0, -1.0, 1.0, 2.0]) * _STEP_nm
    logs = log_flip(cell, cell.thickness_nm + steps)
    return float((8.0 * (logs[2] - logs[1]) - (logs[3] - logs[0])) / (12.0 * _STEP_nm))


def _bracketed(cell: CellParameters, low: float, high: float, log_target: float, log_rest: float) -> float:
    """Thickness in [low, high] nm of a flip probability; NaN where there is none. p_flip falls with thickness."""
    logs_of = remembering_logs(cell)

    def gap(thickness_nm: float) -> float:
        logs = logs_of(np.array([thickness_nm]))
        return float(logs.log_flip[0] - log_target if log_target < _LOG_HALF else log_rest - logs.log_no_flip[0])

    if cell.variation is not None and cell.escape != NO_EFFECTS:
        low, high = _nearby(gap, _plain_thickness(cell, log_target, log_rest), low, high)
    high = _thick_enough(gap, low, high)
    if math.isnan(high) or gap(low) < 0.0:
        return math.nan
    return float(optimize.brentq(gap, low, high, xtol=1e-13, rtol=4.0 * np.finfo(float).eps))


def _nearby(gap: Callable[[float], float], start: float, low: float, high: float) -> tuple[float, float]:
    """A part of [low, high] around `start` in which a falling gap passes 0; all of it where none was found.

    Averages over cells of very thick or thin oxides take long, and may not be known.
    """
    try:
        near = min(max(start, low), high)
        sign, reach = (1.0 if gap(near) > 0.0 else -1.0), _REACH * near
        for _ in range(_MOST_DOUBLINGS):
            far = min(max(near + sign * reach, low), high)
            if sign * gap(far) <= 0.0:
                return min(near, far), max(near, far)
            near, reach = far, 2.0 * reach
    except InputError:
        pass
    return low, high


def _plain_thickness(cell: CellParameters, log_target: float, log_rest: float) -> float:
    """The thickness of a flip probability where nothing but the barrier acts."""
    u = _solve(float(cell.electrons), float(cell.flip_threshold), log_target, log_rest)
    return cell.barrier.thickness_nm(-_log_share(u - math.log(cell.attempts)))


def _thick_enough(gap: Callable[[float], float], low: float, high: float) -> float:
    """The thickest place in [low, high] found where a falling gap is not above 0; NaN where there is none.

    An effect may have no answer from some thickness on (see `thermal`): then what is left below it is halved.
    """
    trial = high
    while True:
        try:
            if gap(trial) <= 0.0:
                return trial
            low = trial
        except InputError:
            high = trial
        if high - low < _NARROW * high:
            return math.nan
        trial = 0.5 * (low + high)


def _log_mass_slope(n: float, k: float, log_p: float, log_q: float) -> float:
    """ln dp_flip/dp_esc = ln [N P(K = k_th; N - 1 electrons)]."""
    return math.log(n) + kernels.log_binomial_mass(k, n - 1.0, log_p, log_q)


def _target(chance: float | None, log_chance: float | None) -> tuple[float, float]:
    if log_chance is None and isinstance(chance, int | float | np.floating) and 0.0 < chance < 1.0:
        return math.log(chance), math.log1p(-chance)
    if chance is None and isinstance(log_chance, int | float | np.floating) and -math.inf < log_chance < 0.0:
        return float(log_chance), kernels.log1mexp(float(log_chance))
    raise InputError("no thickness has this flip probability", where="flip_probability, log_flip_probability",
                     rule="exactly one of 0 < flip_probability < 1 and log_flip_probability < 0",
                     value=(chance, log_chance),
                     next_step="give flip_probability, or its natural log for targets below 1e-308")


def _solve(n: float, k: float, log_target: float, log_rest: float) -> float:
    """u = ln(-ln(1 - p_esc)) at which ln p_flip = log_target: Newton, kept inside a shrinking bracket."""
    low, high, u = _start(n, k, log_target)
    for _ in range(_MOST_STEPS):
        gap, slope = _gap(n, k, u, log_target, log_rest)
        low, high = (low, u) if gap > 0.0 else (u, high)
        step = u - gap / slope if slope > 0.0 else math.nan
        following = step if low < step < high else 0.5 * (low + high)
        if abs(following - u) <= _NEAREST * max(1.0, abs(u)):
            return following
        u = following
    return u


def _start(n: float, k: float, log_target: float) -> tuple[float, float, float]:
    """A bracket of u, and a first guess: the incomplete beta inverse, or the leading term of a deep tail."""
    needed = k + 1.0
    lowest = (log_target - kernels.log_choose(n, needed)) / needed - 1e-6
    share = float(special.betaincinv(needed, n - k, math.exp(log_target)))
    guess = math.log(-math.log1p(-share)) if 1e-290 < share < 1.0 - 1e-12 else lowest
    return lowest, _HIGHEST, min(max(guess, lowest), _HIGHEST)


def _gap(n: float, k: float, u: float, log_target: float, log_rest: float) -> tuple[float, float]:
    """Distance from the target and its slope in u, measured on the side (p_flip or 1 - p_flip) that is small."""
    log_p, log_q = _log_share(u), -math.exp(u)
    above, below = kernels.log_binomial_tail(n, k, log_p, log_q)
    log_slope = _log_mass_slope(n, k, log_p, log_q) + log_q + u
    if log_target < _LOG_HALF:
        return above - log_target, math.exp(log_slope - above)
    return log_rest - below, math.exp(log_slope - below)


def _log_share(u: float) -> float:
    """ln(1 - exp(-x)), x = exp(u)."""
    return u if u < -40.0 else kernels.log1mexp(-math.exp(u))
