"""Belief propagation on a parity check, sixteen words side by side, and the algebra of BCH codes; no checks."""

from __future__ import annotations

import numba
import numpy as np

LANES = 16
EVERY_LANE = (1 << LANES) - 1
CORRECTION, REACH = np.float32(0.6931472), np.float32(1.0 / 4.4)


@numba.njit(cache=True, nogil=True)
def combine(a, i, b, j, out, k):  # type: ignore[no-untyped-def]
    """ln((1 + e^(a + b)) / (e^a + e^b)) into row k of `out`, a and b rows i and j: log odds that two bits are alike.

    It is (|s| - |d|) / 2 + g(|s|) - g(|d|), s = a + b, d = a - b, g(x) = ln(1 + e^-x), for which ln 2 (1 - x / 4.4)^3
    stands below x = 4.4 and 0 beyond: off by 0.03 at most.
    """
    for lane in range(LANES):
        total, difference = abs(a[i, lane] + b[j, lane]), abs(a[i, lane] - b[j, lane])
        x, y = np.float32(1.0) - total * REACH, np.float32(1.0) - difference * REACH
        x, y = x if x > 0.0 else np.float32(0.0), y if y > 0.0 else np.float32(0.0)
        out[k, lane] = np.float32(0.5) * (total - difference) + CORRECTION * (x * x * x - y * y * y)


@numba.njit(cache=True, nogil=True)
def update_row(bits, messages, beliefs, heard, before, after):  # type: ignore[no-untyped-def]
    """Let one check speak: `messages` (its bits, lanes) and `beliefs` (n, lanes) of its bits are renewed.

    heard, before, after: room for (its bits, lanes) each.
    """
    last = bits.size - 1
    for i in range(bits.size):
        for lane in range(LANES):
            heard[i, lane] = beliefs[bits[i], lane] - messages[i, lane]
    for lane in range(LANES):
        before[0, lane], after[last, lane] = heard[0, lane], heard[last, lane]
    for i in range(1, last):
        combine(before, i - 1, heard, i, before, i)
    for i in range(last - 1, 0, -1):
        combine(after, i + 1, heard, i, after, i)
        combine(before, i - 1, after, i + 1, messages, i)
    for lane in range(LANES):
        messages[0, lane], messages[last, lane] = after[1, lane], before[last - 1, lane]
    for i in range(bits.size):
        for lane in range(LANES):
            beliefs[bits[i], lane] = heard[i, lane] + messages[i, lane]


@numba.njit(cache=True, nogil=True)
def open_lanes(columns, starts, beliefs, ones):  # type: ignore[no-untyped-def]
    """Lanes in which some check does not hold; `ones` (n,) gets the bits as the beliefs have them, lane by lane.

    columns, starts: of the checks, as in `propagate`.
    """
    for bit in range(ones.size):
        ones[bit] = 0
        for lane in range(LANES):
            ones[bit] |= np.int64(beliefs[bit, lane] < 0.0) << lane
    found = 0
    for row in range(starts.size - 1):
        odd = 0
        for edge in range(starts[row], starts[row + 1]):
            odd ^= ones[columns[edge]]
        found |= odd
    return found


@numba.njit(cache=True, nogil=True)
def propagate(columns, starts, beliefs, rounds, decided):  # type: ignore[no-untyped-def]
    """Decode sixteen words; a word is decided in the first round after which all its checks hold, or in the last.

    columns (edges,), starts (rows + 1,): bits of every check, two at least, as of a CSR matrix.
    beliefs: (n, lanes) float32, log odds of 0 against 1 of every bit by what was read; overwritten.
    decided: (n,) int64, filled: lane l of the bits.
    rounds: at most. Returns the lanes whose checks do not all hold.
    """
    messages = np.zeros((columns.size, LANES), np.float32)
    widest = np.max(starts[1:] - starts[:-1])
    heard, before = np.empty((widest, LANES), np.float32), np.empty((widest, LANES), np.float32)
    after, ones = np.empty((widest, LANES), np.float32), np.empty(decided.size, np.int64)
    going = EVERY_LANE
    for turn in range(rounds + 1):
        left = open_lanes(columns, starts, beliefs, ones)
        for bit in range(decided.size):
            decided[bit] = (decided[bit] & ~going) | (ones[bit] & going)
        going &= left
        if going == 0 or turn == rounds:
            break
        for row in range(starts.size - 1):
            first, end = starts[row], starts[row + 1]
            update_row(columns[first:end], messages[first:end], beliefs, heard, before, after)
    return going


@numba.njit(cache=True, nogil=True)
def power_sums(word, exponents, order, sums):  # type: ignore[no-untyped-def]
    """Fill (2t,) the `sums` S_j, sum of a^(j i) over set cells of a word (n,), i = n - 1 - cell; whether any is not 0.

    exponents (2 order,): a^e; order: 2^m - 1.
    """
    sums[:] = 0
    for cell in range(word.size):
        if word[cell]:
            for j in range(sums.size):
                sums[j] ^= exponents[(word.size - 1 - cell) * (j + 1) % order]
    return sums.any()


@numba.njit(cache=True, nogil=True)
def times(a, b, exponents, logs):  # type: ignore[no-untyped-def]
    """a b in GF(2^m), by its `exponents` (2 order,), a^e, and `logs` (order + 1,)."""
    return 0 if a == 0 or b == 0 else exponents[logs[a] + logs[b]]


@numba.njit(cache=True, nogil=True)
def error_locator(sums, exponents, logs, order, locator, last, saved):  # type: ignore[no-untyped-def]
    """Berlekamp and Massey: fill `locator` (2t + 1,) with the shortest recurrence of the syndromes `sums`; its length.

    exponents, logs, order: of the field, as in `times`; last, saved: room like `locator`.
    """
    locator[:], last[:] = 0, 0
    locator[0] = last[0] = 1
    length, gap, before = 0, 1, 1
    for step in range(sums.size):
        found = sums[step]
        for i in range(1, length + 1):
            found ^= times(locator[i], sums[step - i], exponents, logs)
        if found == 0:
            gap += 1
            continue
        scale = exponents[logs[found] + order - logs[before]]
        saved[:] = locator
        for i in range(gap, locator.size):
            locator[i] ^= times(scale, last[i - gap], exponents, logs)
        if 2 * length <= step:
            length, before, gap = step + 1 - length, found, 1
            last[:] = saved
        else:
            gap += 1
    return length


@numba.njit(cache=True, nogil=True)
def correct_words(words, exponents, logs, most, failed):  # type: ignore[no-untyped-def]
    """Flip back up to `most` cells of each of the words (W, n), in place; `failed` (W,) where that cannot be.

    A locator of degree v <= t that has v roots among the cells' a^-i names the flips (Chien's search); any other is
    no word within t flips. exponents, logs: of the field, as in `times`.
    """
    order = logs.size - 1
    sums, cells = np.empty(2 * most, np.int64), np.empty(most, np.int64)
    locator, last = np.empty(2 * most + 1, np.int64), np.empty(2 * most + 1, np.int64)
    saved = np.empty(2 * most + 1, np.int64)
    for w in range(len(words)):
        failed[w] = False
        if not power_sums(words[w], exponents, order, sums):
            continue
        length, found = error_locator(sums, exponents, logs, order, locator, last, saved), 0
        failed[w] = length > most
        for power in range(0 if failed[w] else words.shape[1]):
            value = 0
            for i in range(length + 1):
                value ^= times(locator[i], exponents[(order - power) * i % order], exponents, logs)
            if value == 0 and found < length:
                cells[found] = words.shape[1] - 1 - power
                found += 1
        failed[w] |= found != length
        for i in range(0 if failed[w] else found):
            words[w, cells[i]] ^= 1
