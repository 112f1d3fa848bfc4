"""Counting right answers, compiled. No checks here: `scoring.py` makes them."""

from __future__ import annotations

import numba


@numba.njit(cache=True, nogil=True)
def count_first_largest(logits, labels, groups, right):  # type: ignore[no-untyped-def]
    """Add to right (G,) the rows of each group whose logits (n, C) are largest at their label (n,), first of equals.

    labels: int64 in 0..C-1. groups: (n,) group of each row. A row with a NaN is not right.
    """
    for i in range(labels.size):
        label = labels[i]
        largest = logits[i, label]
        first = largest == largest
        for c in range(logits.shape[1]):
            value = logits[i, c]
            first &= (value < largest) | ((value == largest) & (c >= label))
        right[groups[i]] += first
