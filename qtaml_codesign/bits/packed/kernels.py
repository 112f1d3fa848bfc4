"""The compiled loop over packed tensors. No checks here: `tensors.py` makes them."""

from __future__ import annotations

import numba
import numpy as np

from qtaml_codesign.bits.kernels import flip_words

WORDS = 2**11
"""Words flipped before they are looked up: codes and values stay in the first-level cache."""


@numba.njit(cache=True, nogil=True)
def read_packed(  # type: ignore[no-untyped-def]
    codes, spans, lanes, sure, digits, keys, trial, values, weights, flips
):
    """Flip the cells of T tensors and write what their codes are then worth.

    codes: (W,) uint64, eight codes each, every tensor from a word of its own. spans: (T, 4) int64, first word, number
    of words, number of codes and first weight of each tensor. lanes: (T,), sure: (T, 2), digits: (T, 2, D): the lane
    patterns of `bits.kernels.rate_patterns`. keys: (T, 2) uint64. values: (T, 256) float32. weights: (N,) float32 and
    flips: (T, 8) int64, both overwritten. Returns the number of flips.
    """
    read = np.empty(WORDS, np.uint64)
    flips[:] = 0
    for t in range(spans.shape[0]):
        first, words, count, place = spans[t]
        for start in range(0, words, WORDS):
            n = min(WORDS, words - start)
            here = codes[first + start:first + start + n]
            edges = (0, count - 8 * start)
            word = np.uint64(start)
            flip_words(here, lanes[t], edges, sure[t], digits[t], keys[t], trial, word, 0, read[:n], flips[t])
            found = read[:n].view(np.uint8)
            for i in range(min(8 * n, count - 8 * start)):
                weights[place + 8 * start + i] = values[t, found[i]]
    return flips.sum()
