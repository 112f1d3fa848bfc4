"""Side-by-side timing: two pieces of work in turn, A B A B ..., in one process.

Times of a shared machine drift, so only ratios of neighbours are quoted: the median of the pairwise ratios, with the
smallest and the largest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Work = Callable[[], object]
ROUNDS = 15


@dataclass(frozen=True)
class Ratio:
    """Pairwise ratios theirs / ours: above one, ours is faster.

    Args:
        ours, theirs: best time of each, seconds.
        middle, low, high: median, smallest and largest ratio of a pair.
        pairs: how many pairs were timed.
        lower, upper: quartiles of the ratios.
    """

    ours: float
    theirs: float
    middle: float
    low: float
    high: float
    pairs: int
    lower: float
    upper: float

    def text(self) -> str:
        """The ratio with its spread."""
        return f"{self.middle:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def inverse(self) -> Ratio:
        """Ours / theirs: what ours costs, in units of theirs."""
        return Ratio(self.theirs, self.ours, 1.0 / self.middle, 1.0 / self.high, 1.0 / self.low, self.pairs,
                     1.0 / self.upper, 1.0 / self.lower)


def seconds(work: Work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours: Work, theirs: Work, pairs: int = ROUNDS) -> Ratio:
    """Time both in turn after one warm-up call each."""
    ours(), theirs()
    return ratio_of([(seconds(ours), seconds(theirs)) for _ in range(pairs)])


def ratio_of(pairs: list[tuple[float, float]]) -> Ratio:
    """The ratios of pairs (seconds of ours, seconds of theirs)."""
    taken = np.array(pairs)
    ratios = taken[:, 1] / taken[:, 0]
    best = taken.min(axis=0)
    lowest, lower, middle, upper, highest = (float(value) for value in np.quantile(ratios, (0.0, 0.25, 0.5, 0.75, 1.0)))
    return Ratio(float(best[0]), float(best[1]), middle, lowest, highest, len(pairs), lower, upper)
