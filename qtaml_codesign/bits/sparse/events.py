"""Law of the events, and the tables that the compiled loop draws them with.

A cell flips with probability p when a Poisson process of rate one has an event in it before the time

    t(p) = -ln(1 - p),        P(no event before t) = exp(-t) = 1 - p.

So events are drawn for a whole block of N = 2^20 cells at once: their number before a time T is Poisson(N T), each
falls into any of the cells alike and at any time alike, independently. An event flips its cell when it comes before
t(rate of the cell); a cell that is hit twice is flipped once. Cells are independent of each other at any rates.

Time is cut at the powers of two: level k = 3 .. 13 holds the times 2^-(k+1) .. 2^-k, level 14 those below 2^-14. A
rate needs the levels from 14 up to the one that holds its time. What a level holds is fixed by (key, trial, block,
level) and so is the same for every rate: flips nest over the rate, the direction and the protection depth.

Numerics. t(p) is rounded once to float64, relative error 2^-53; it is compared with the event's time exactly. The
number of events is read off a table of floor(2^64 P(count > j)), made in 60-digit arithmetic: each entry is less than
2^-64 too small, the mean of a count less than 2^-62 of itself. So each cell flips at its rate within a relative 2e-16.

Source: Kingman, "Poisson Processes" (1993), sections 2.2 and 5.1: superposition and marking.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK_BITS = 17
"""A block is 2^17 weights of eight planes: 2^20 cells."""
DEEPEST, SHALLOWEST = 14, 3
TIME_BITS = 64 - BLOCK_BITS - 3
"""Random bits of an event's time within its level, besides those of its cell; ties go on."""
LARGEST_RATE = 0.1
DIGITS = 60


def event_time(rate: float) -> float:
    """t(p) = -ln(1 - p), correctly rounded, for 0 <= p <= 0.1.

    Example:
        >>> event_time(0.1), event_time(1e-300)
        (0.10536051565782631, 1e-300)
    """
    if rate < 2.0**-60:
        return rate
    with localcontext(prec=DIGITS):
        return float(-(1 - Decimal(rate)).ln())


def mean_count(level: int) -> Decimal:
    """Mean number of events of one block in one level, N times the level's span: a power of two.

    Example:
        >>> mean_count(3), mean_count(13) == mean_count(14)
        (Decimal('65536'), True)
    """
    return Decimal(2) ** (BLOCK_BITS + 3 - min(level + 1, DEEPEST))


@cache
def count_table(level: int) -> NDArray[np.uint64]:
    """floor(2^64 P(count > j)) for j = 0, 1, ... while it is not zero, capped at 2^64 - 1.

    A 64-bit random number u gives the count #{j : u < table[j]}.

    Example:
        >>> table = count_table(14)
        >>> table.size, (table[[0, 63, 64]] / 2.0**64).round(6).tolist()
        (149, [1.0, 0.516624, 0.466821])
    """
    table: list[int] = []
    with localcontext(prec=DIGITS):
        mean = mean_count(level)
        term, rest, unit = (-mean).exp(), Decimal(1), Decimal(2**64)
        rest -= term
        while rest * unit >= 1:
            table.append(min(int(rest * unit), 2**64 - 1))
            term *= mean / len(table)
            rest -= term
    return np.array(table, np.uint64)


def levels_of(rate: float) -> range:
    """Levels that a rate needs, the deepest first.

    Example:
        >>> list(levels_of(2e-4)), list(levels_of(1e-300))
        ([14, 13, 12], [14])
    """
    shallowest = DEEPEST
    while event_time(rate) > 2.0**-shallowest:
        shallowest -= 1
    return range(DEEPEST, shallowest - 1, -1)


@lru_cache(maxsize=256)
def event_tables(
    gain: bytes, loss: bytes
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64]]:
    """Tables for rates by plane (the bytes of float64 arrays of up to eight), for the L levels they need.

    Returns:
        tables: `count_table` of the levels, one after the other, the deepest first.
        ends: (L + 1,) where each begins, and the end.
        whole: (L, 2, 8) by level, stored bit and plane: an event flips the cell when its time within the level, in
            units of 2^-44 of the level's span, is below this number,
        rest: (L, 2, 8) or equal to it, and what comes after its 44 bits is below this fraction.
    """
    times = np.zeros((2, 8))
    for row, rates in enumerate((np.frombuffer(gain), np.frombuffer(loss))):
        times[row, :rates.size] = [event_time(rate) for rate in rates.tolist()]
    levels = levels_of(max(np.frombuffer(gain).max(), np.frombuffer(loss).max()))
    tables = [count_table(level) for level in levels]
    scaled = np.array([_within(times, level) for level in levels]) * 2.0**TIME_BITS
    whole = np.floor(scaled)
    ends = np.cumsum([0, *(table.size for table in tables)])
    return np.concatenate(tables), ends, whole.astype(np.uint64), scaled - whole


def _within(times: NDArray[np.float64], level: int) -> NDArray[np.float64]:
    """Share of the level that lies before each time, 0 to 1: differences and powers of two, so exact."""
    start = 0.0 if level == DEEPEST else 2.0 ** -(level + 1)
    span = 2.0**-DEEPEST if level == DEEPEST else start
    return np.clip((np.clip(times, start, start + span) - start) / span, 0.0, 1.0)
