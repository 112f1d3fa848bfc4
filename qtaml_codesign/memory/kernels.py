"""Reading words of one byte, and looking up what words are worth, compiled. No checks here."""

from __future__ import annotations

import numba
import numpy as np

from qtaml_codesign.bits.kernels import flip_bytes

PIECE = 2**14
"""Words flipped before they are looked up: words and values stay in a core's cache."""


@numba.njit(cache=True, nogil=True)
def look_up(values, words, weights):  # type: ignore[no-untyped-def]
    """Write values[words] (n,) float32 into weights; values: (2^B,) float32, words: (n,) uint8 or uint16 below 2^B."""
    for i in range(words.size):
        weights[i] = values[words[i]]


@numba.njit(cache=True, nogil=True)
def read_together(  # type: ignore[no-untyped-def]
    words, ends, lanes, sure, digits, keys, trial, values, weights, flips
):
    """Flip the cells of T groups and write what their words are then worth.

    words: (N,) uint8, one group after the other. ends: (T + 1,) int64, where each begins and the last ends.
    lanes: (T,), sure: (T, 2), digits: (T, 2, D): lane patterns of `bits.kernels.rate_patterns`. keys: (T, 2) uint64.
    trial: which drawing, uint64. values: (T, 256) float32 or less, what each word is worth. weights: (N,) float32,
    overwritten. flips: (T, 8) int64, by plane, added to.
    """
    read = np.empty(PIECE, np.uint8)
    for t in range(ends.size - 1):
        for start in range(ends[t], ends[t + 1], PIECE):
            here = words[start:min(start + PIECE, ends[t + 1])]
            found, first = read[:here.size], np.uint64(start - ends[t])
            flip_bytes(here, lanes[t], sure[t], digits[t], keys[t], trial, first, 0, found, flips[t])
            look_up(values[t], found, weights[start:start + here.size])
