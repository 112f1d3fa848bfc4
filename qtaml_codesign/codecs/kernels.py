"""Encoder, reader and search of a table that is chosen for its channel, compiled. No checks here: `codebook.py` knows.

A source is three arrays: `points` (n,) ascending, and `mass`, `moment` (n + 1,) sums of the mass, and of mass x point,
of the points before each. Its whole mass is 1. An encoder is `words`, `bounds`: word k holds bounds[k-1] <= w <
bounds[k].
"""

from __future__ import annotations

import numba
import numpy as np

from qtaml_codesign.bits.kernels import through_cells

SAME_SLOPE = 1e-12
SHORT, LONG, PROMISING, LOWER = 12, 300, 1.02, 1.0 - 1e-7


@numba.njit(cache=True, nogil=True)
def best_encoder(table, cells, words, bounds):  # type: ignore[no-untyped-def]
    """The lower envelope over w of the 2^B lines E[x^2 | c] - 2 w E[x | c]: fills words and bounds, returns how many.

    table: (2^B,) value x of each read word. cells: (B, 2, 2). words: (2^B,) int64. bounds: (2^B,).
    """
    first, second = table.copy(), table * table
    through_cells(first, cells)
    through_cells(second, cells)
    count = 0
    for word in np.argsort(first, kind="mergesort"):
        hidden, bound = False, -np.inf
        while count:
            top = words[count - 1]
            run, rise = first[word] - first[top], second[word] - second[top]
            if run <= SAME_SLOPE:
                hidden = rise >= 0.0
            else:
                bound = rise / (2.0 * run)
            if hidden or (run > SAME_SLOPE and (count == 1 or bound > bounds[count - 2])):
                break
            count -= 1
        if not hidden:
            if count:
                bounds[count - 1] = bound
            words[count] = word
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def best_reader(words, bounds, backward, points, mass, moment, table):  # type: ignore[no-untyped-def]
    """Write E[w | read word] into table (2^B,), 0 for words that are never read; returns E[E[w | read word]^2].

    words: (N,), bounds: (N - 1 or more,): the encoder. backward: (B, 2, 2) the cells, each transposed. points, mass,
    moment: the source.
    """
    reached, low = np.zeros(table.size), 0
    table[:] = 0.0
    for k in range(words.size):
        high = points.size if k == words.size - 1 else np.searchsorted(points, bounds[k])
        high = max(low, high)
        reached[words[k]] += mass[high] - mass[low]
        table[words[k]] += moment[high] - moment[low]
        low = high
    through_cells(reached, backward)
    through_cells(table, backward)
    explained = 0.0
    for word in range(table.size):
        if reached[word] > 0.0:
            square = table[word] * table[word] / reached[word]
            table[word] /= reached[word]
            explained += square
    return explained


@numba.njit(cache=True, nogil=True)
def alternate(table, cells, backward, points, mass, moment, power, rounds, tolerance):  # type: ignore[no-untyped-def]
    """Best encoder of the table, best reader of the encoder, and again: changes table, returns E[(w - x)^2].

    cells, backward, points, mass, moment: the channel and the source, as above, and power: E[w^2]. It ends after so
    many rounds, or when a round lowers the error by less than tolerance of itself.
    """
    words, bounds, last = np.empty(table.size, np.int64), np.empty(table.size), np.inf
    for _ in range(rounds):
        count = best_encoder(table, cells, words, bounds)
        error = power - best_reader(words[:count], bounds, backward, points, mass, moment, table)
        if error >= last * (1.0 - tolerance):
            return min(error, last)
        last = error
    return last


@numba.njit(cache=True, nogil=True)
def search(  # type: ignore[no-untyped-def]
    table, cells, backward, points, mass, moment, power, moves, tolerance
):
    """Change words of the encoder and go on from there, as long as it helps: changes table, returns E[(w - x)^2].

    moves: (S, 3) uniform numbers: which kind of change, which word of the encoder, and which cell or other word.
    cells, backward, points, mass, moment, power, tolerance: as for `alternate`.
    """
    words, bounds, other = np.empty(table.size, np.int64), np.empty(table.size), np.empty_like(table)
    best = alternate(table, cells, backward, points, mass, moment, power, LONG, tolerance)
    count = best_encoder(table, cells, words, bounds)
    for step in range(moves.shape[0]):
        kind, here, there = moves[step, 0], int(moves[step, 1] * count), moves[step, 2]
        changed = words[:count].copy()
        if kind < 0.5:
            changed[here] ^= 1 << int(there * cells.shape[0])
        elif kind < 0.75:
            changed[here] = int(there * table.size)
        else:
            changed[here], changed[int(there * count)] = changed[int(there * count)], changed[here]
        best_reader(changed, bounds, backward, points, mass, moment, other)
        error = alternate(other, cells, backward, points, mass, moment, power, SHORT, tolerance)
        if error < best * PROMISING:
            error = alternate(other, cells, backward, points, mass, moment, power, LONG, tolerance)
        if error < best * LOWER:
            best = error
            table[:] = other
            count = best_encoder(table, cells, words, bounds)
    return best
