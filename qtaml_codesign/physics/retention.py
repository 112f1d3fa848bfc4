"""Flips over time: of a memory that is left alone, and of one that is read and written back at intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from qtaml_codesign.cards import CellParameters, DeviceCard, FlipDirection, as_card
from qtaml_codesign.checks import number_within, plain_array
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.chain import flip_logs
from qtaml_codesign.physics.escape import EscapeLogs
from qtaml_codesign.physics.variation import averaged_logs

Array = NDArray[np.float64]
_LONGEST_s = 1e12
_SHORTEST_s = 1e-18


@dataclass(frozen=True, eq=False)
class Retention:
    """Flip probability of the base cell of a card after each of several times.

    Attributes:
        card: the device card; its window gives way to the times.
        time_s: (n,) since the bits were written.
        refresh_s: interval at which they are read and written back as they were read; None: never.
        log_probability: (n,) ln p of a memory that is left alone.
        log_refreshed: (n,) ln p with the refresh; None without one.
    """

    card: DeviceCard
    time_s: Array
    refresh_s: float | None
    log_probability: Array
    log_refreshed: Array | None

    @property
    def probability(self) -> Array:
        """Flip probability of a memory that is left alone, (n,)."""
        return np.exp(self.log_probability)

    @property
    def refreshed(self) -> Array | None:
        """Flip probability with the refresh, (n,); None without one."""
        return None if self.log_refreshed is None else np.exp(self.log_refreshed)


def retention(card: DeviceCard | str | Path, time_s: ArrayLike, *, refresh_s: float | None = None) -> Retention:
    """Flip probability of a card's base cell after times, with and without refresh.

    Left alone, p(t) is that of the chain with the window t. A refresh reads each cell and writes what was read with
    its full charge: a bit that was lost stays lost, one that was kept starts again. After n refreshes T apart and a
    rest s, t = n T + s,

        charge loss:  1 - p = (1 - p(T))^n (1 - p(s))             a charged bit that flips cannot come back
        symmetric:    1 - 2p = (1 - 2 p(T))^n (1 - 2 p(s))        a second flip takes back the first

    A cell that is thinner than others stays so: where thickness varies from cell to cell, that is averaged over cells.

    Args:
        card: the device card, its name, or its path.
        time_s: times since the bits were written, 1e-18 to 1e12 s, any shape; the result is flat.
        refresh_s: T; None: never.

    Raises:
        InputError: times or an interval that cannot be, or a refresh of cells of which some have traps.
        CardError: a card that cannot be read.

    Validity: the refresh itself makes no error and takes no time; no ECC between the refreshes.
    Source: products of independent two-state channels.

    Example:
        >>> found = retention("3nm", [1e-6, 1e-4], refresh_s=1e-7)
        >>> found.probability.round(4).tolist(), [f"{p:.3g}" for p in found.refreshed]
        ([0.1, 1.0], ['5.8e-05', '0.00577'])
    """
    device, times = as_card(card), _times(time_s)
    cell, alone = device.resolve(), np.array([_logs(device.resolve(), time) for time in times])
    log_refreshed = None
    if refresh_s is not None:
        interval = number_within("refresh_s (--refresh)", refresh_s, _SHORTEST_s, _LONGEST_s,
                                 f"{_SHORTEST_s:g} <= refresh_s <= {_LONGEST_s:g}", "64 ms is written 0.064")
        if cell.escape.traps is not None:
            raise InputError("a cell with a trap has it after each refresh, and no flips of such a memory are known",
                             where="refresh_s (--refresh)", rule="a card without escape.traps", value=refresh_s,
                             next_step="leave out the refresh, or escape.traps")
        log_refreshed = np.array([_refreshed(cell, time, interval, device.flips) for time in times])
    return Retention(device, times, refresh_s, alone[:, 0], log_refreshed)


def retention_time_s(
    card: DeviceCard | str | Path, flip_probability: float, *, refresh_s: float | None = None
) -> float:
    """The time in s after which the base cell flips with a probability.

    Args:
        card: the device card, its name, or its path.
        flip_probability: in (0, 0.5).
        refresh_s: interval of the refresh; None: never.

    Raises:
        InputError: a probability that cannot be, or that is not reached between 1e-18 and 1e12 s.
        CardError: a card that cannot be read.

    Source: Brent's method in ln t; p rises with t.

    Example:
        >>> f"{retention_time_s('3nm', 0.1):.4g}", f"{retention_time_s('3nm', 0.1, refresh_s=1e-7):.3g}"
        ('1e-06', '0.00192')
    """
    chance = number_within("flip_probability (--limit)", flip_probability, 1e-300, 0.4999,
                           "0 < flip_probability < 0.5", "10 % is written 0.1")
    device, wanted = as_card(card), math.log(chance)

    def gap(log_time: float) -> float:
        found = retention(device, [math.exp(log_time)], refresh_s=refresh_s)
        return float((found.log_probability if found.log_refreshed is None else found.log_refreshed)[0]) - wanted

    low, high = math.log(_SHORTEST_s), math.log(_LONGEST_s)
    if not gap(low) < 0.0 < gap(high):
        raise InputError("the card does not reach this flip probability in time", where="flip_probability (--limit)",
                         rule=f"reached between {_SHORTEST_s:g} and {_LONGEST_s:g} s", value=flip_probability,
                         next_step="ask for another probability, or a rarer refresh")
    return math.exp(optimize.brentq(gap, low, high, xtol=1e-13))


def _times(time_s: ArrayLike) -> Array:
    rule = f"one or more numbers, {_SHORTEST_s:g} to {_LONGEST_s:g} s"
    times = np.ravel(plain_array("time_s (--time)", time_s, rule, "for instance [1e-6, 1e-3]"))
    if times.size == 0 or times.dtype.kind not in "fiu" or not ((times >= _SHORTEST_s) & (times <= _LONGEST_s)).all():
        raise InputError("these are no times", where="time_s (--time)", rule=rule, value=time_s,
                         next_step="for instance 1e-9:1e-3:13:log")
    return times.astype(np.float64)


def _logs(cell: CellParameters, time_s: float) -> tuple[float, float]:
    """ln p and ln(1 - p) of a cell after a time."""
    logs = _after(cell, time_s, np.array([cell.thickness_nm]))
    return float(logs.log_flip[0]), float(logs.log_no_flip[0])


def _after(cell: CellParameters, time_s: float, thickness_nm: Array) -> EscapeLogs:
    """Logs after a time, at thicknesses; nothing has happened after none."""
    logs = flip_logs(replace(cell, window_s=max(time_s, _SHORTEST_s)), thickness_nm)
    if time_s < _SHORTEST_s:
        return EscapeLogs(logs.log_escape, logs.log_stay, np.full_like(logs.log_flip, -math.inf),
                          np.zeros_like(logs.log_flip))
    return logs


def _refreshed(cell: CellParameters, time_s: float, interval_s: float, flips: FlipDirection) -> float:
    """ln p after a time with a refresh, over cells that keep their thickness."""
    count = math.floor(time_s / interval_s * (1.0 + 1e-12))
    chain = _charge_loss if flips == "charge_loss" else _symmetric

    def logs_of(one: CellParameters, thickness_nm: Array) -> EscapeLogs:
        rest = _after(one, time_s - count * interval_s, thickness_nm)
        if count == 0:
            return rest
        above, below = chain(count, _after(one, interval_s, thickness_nm), rest)
        return EscapeLogs(rest.log_escape, rest.log_stay, above, below)

    points = np.array([cell.thickness_nm])
    logs = logs_of(cell, points) if cell.variation is None else averaged_logs(cell, points, logs_of)
    return float(logs.log_flip[0])


def _charge_loss(count: int, each: EscapeLogs, rest: EscapeLogs) -> tuple[Array, Array]:
    stay = count * each.log_no_flip + rest.log_no_flip
    added = np.logaddexp(math.log(count) + each.log_flip, rest.log_flip)  # where 1 - p is 1
    with np.errstate(divide="ignore"):
        return np.where(stay < 0.0, np.log(-np.expm1(stay)), added), stay


def _symmetric(count: int, each: EscapeLogs, rest: EscapeLogs) -> tuple[Array, Array]:
    p, last = np.exp(each.log_flip), np.exp(rest.log_flip)
    added = np.logaddexp(math.log(count) + each.log_flip, rest.log_flip)
    most = np.maximum(p, last)
    with np.errstate(divide="ignore", invalid="ignore"):
        signed = (1.0 - 2.0 * p) ** float(count) * (1.0 - 2.0 * last) - 1.0
        less = np.where(most < 0.5, np.expm1(count * np.log1p(-2.0 * p) + np.log1p(-2.0 * last)), signed)
        above = np.where(most < 1e-16, added, np.log(-0.5 * less))  # beyond the digits of 1 - 2p they add up
    return above, np.log1p(0.5 * less)
