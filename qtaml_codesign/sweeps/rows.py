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
    "score", "samples", "bits_stored", "bits_exposed", "bits_flipped", "expected_flips", "seconds", "score_by_group",
)
_COUNTS, _REALS = "<u4", "<f8"


def row_digest(*values: object) -> bytes:
    """BLAKE2b over the values of a row, its key among them; guards against accidents, not against forgery.

    Args:
        values: plain values, told by their `repr`.

    Example:
        >>> row_digest("task", 0, 9) == row_digest("task", 0, 9), row_digest("task", 0, 9) == row_digest("task", 1, 9)
        (True, False)
    """
    return hashlib.blake2b(repr(values).encode(), digest_size=DIGEST_BYTES).digest()


def trial_values(counts: TrialCounts) -> tuple[object, ...]:
    """The values of `TRIAL_COLUMNS` of one trial.

    Args:
        counts: of one trial.
    """
    return (counts.plain_score, int(counts.samples), int(counts.bits_stored), int(counts.bits_exposed),
            int(counts.bits_flipped), float(counts.expected_flips), float(counts.seconds),
            packed_groups(counts.score_by_group))


def trial_counts(values: Sequence[Any]) -> TrialCounts:
    """The inverse of `trial_values`.

    Args:
        values: of `TRIAL_COLUMNS`.

    Raises:
        InputError: counts that cannot come from a trial.
    """
    score, samples, stored, exposed, flipped, expected, seconds, groups = values
    return TrialCounts.of_trial(unpacked_groups(groups, counted=isinstance(score, int)), samples, stored, exposed,
                                flipped, expected, seconds)


def packed_groups(scores: NDArray[Any]) -> bytes:
    """Scores as a compressed BLOB: little-endian uint32 or float64 through zlib.

    Args:
        scores: (G,) whole numbers in 0 .. 2^32 - 1, or float64.

    Example:
        >>> unpacked_groups(packed_groups(np.array([3, 0, 70000])), counted=True).tolist()
        [3, 0, 70000]
    """
    return zlib.compress(scores.astype(_COUNTS if scores.dtype.kind in "iu" else _REALS).tobytes(), 1)


def unpacked_groups(blob: bytes, counted: bool) -> NDArray[Any]:
    """The inverse of `packed_groups`: (G,) int64 or float64.

    Args:
        blob: what `packed_groups` gave.
        counted: whether the scores are whole numbers.
    """
    scores = np.frombuffer(zlib.decompress(blob), dtype=_COUNTS if counted else _REALS)
    return scores.astype(np.int64 if counted else np.float64)
