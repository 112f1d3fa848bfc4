"""Looking up what read words are worth, compiled. No checks here: `reader.py` knows its words."""

from __future__ import annotations

import numba


@numba.njit(cache=True, nogil=True)
def look_up(values, words, weights):  # type: ignore[no-untyped-def]
    """Write values[words] (n,) float32 into weights; values: (2^B,) float32, words: (n,) uint8 or uint16 below 2^B."""
    for i in range(words.size):
        weights[i] = values[words[i]]
