"""Rows of the result store: counts of one trial as values of a row, and the digest that shows a change by hand."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.nets.counts import TrialCounts

DIGEST_BYTES = 16
TRIAL_COLUMNS = (
    "correct", "samples", "bits_stored", "bits_exposed", "bits_flipped", "expected_flips", "seconds",
    "correct_by_group",
)


def row_digest(*values: object) -> bytes:
    """BLAKE2b over the values of a row, its key among them; guards against accidents, not against forgery.

    Example:
        >>> row_digest("task", 0, 9) == row_digest("task", 0, 9), row_digest("task", 0, 9) == row_digest("task", 1, 9)
        (True, False)
    """
    return hashlib.blake2b(repr(values).encode(), digest_size=DIGEST_BYTES).digest()


def trial_values(counts: TrialCounts) -> tuple[object, ...]:
    """Counts of one trial as the values of `TRIAL_COLUMNS`."""
    return (int(counts.correct), int(counts.samples), int(counts.bits_stored), int(counts.bits_exposed),
            int(counts.bits_flipped), float(counts.expected_flips), float(counts.seconds),
            packed_groups(counts.correct_by_group))


def trial_counts(values: Sequence[Any]) -> TrialCounts:
    """The inverse of `trial_values`."""
    correct, samples, stored, exposed, flipped, expected, seconds, groups = values
    return TrialCounts(
        trials=1, samples=samples, correct=correct, correct_squares=correct**2, correct_cubes=correct**3,
        correct_by_group=unpacked_groups(groups), bits_stored=stored, bits_exposed=exposed, bits_flipped=flipped,
        expected_flips=expected, seconds=seconds,
    )


def packed_groups(counts: NDArray[np.int64]) -> bytes:
    """(G,) counts below 2^32 as a compressed BLOB: little-endian uint32 through zlib.

    Example:
        >>> unpacked_groups(packed_groups(np.array([3, 0, 70000]))).tolist()
        [3, 0, 70000]
    """
    return zlib.compress(np.asarray(counts).astype("<u4").tobytes(), 1)


def unpacked_groups(blob: bytes) -> NDArray[np.int64]:
    """The inverse of `packed_groups`."""
    return np.frombuffer(zlib.decompress(blob), dtype="<u4").astype(np.int64)
