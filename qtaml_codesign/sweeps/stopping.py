"""How many trials a task needs, decided from its counts alone.

The decision looks at the first n trials only, in the order of their index, so it does not depend on the number of
workers, on timing, on interruptions, or on what else the store already holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from qtaml_codesign.checks import whole_number
from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import student_quantile, trial_interval

FIRST_CHECKPOINT = 10
DEFAULT_HALF_WIDTH = 0.01
DEFAULT_MAX_TRIALS = 320


@dataclass(frozen=True)
class StoppingRule:
    """A fixed number of trials, or checkpoints 10, 20, 40, ... until the interval is narrow enough.

    Args:
        trials: run exactly this many, >= 2; None for the adaptive rule.
        half_width: stop at the first checkpoint whose trial interval has at most this half-width, in (0, 0.5).
        max_trials: the last checkpoint of the adaptive rule, >= 2.
        confidence: two-sided level of the interval.
        threshold: stop as soon as the accuracy is known to lie on one side of this; None: go on to the half-width.
            Known at level 1 - a_k at look k, where a_k doubles from look to look and all a_k add up to 1 - confidence,
            by a t test that allows for the skewness of the trials (see `is_decided`).

    Looking at an interval several times lowers its coverage; there are at most 1 + log2(max_trials / 10) looks. Trials
    are skewed to the left, so that a point is left sooner while no bad trial has come: the mean leans upwards, by less
    than the half-width that was asked for.

    Example:
        >>> StoppingRule(max_trials=100).checkpoints
        (10, 20, 40, 80, 100)
        >>> StoppingRule(trials=30).checkpoints
        (30,)
    """

    trials: int | None = None
    half_width: float = DEFAULT_HALF_WIDTH
    max_trials: int = DEFAULT_MAX_TRIALS
    confidence: float = 0.95
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None:
            whole_number("trials", self.trials, least=2)
        whole_number("max_trials", self.max_trials, least=2)
        if not 0.0 < self.half_width < 0.5:
            raise InputError(
                "the half-width of the interval is out of bounds",
                where="half_width (--half-width)", rule="0 < half-width < 0.5, in accuracy", value=self.half_width,
                next_step="0.01 asks for accuracy +- 1 percentage point",
            )

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The trial counts at which the rule may stop, rising."""
        if self.trials is not None:
            return (self.trials,)
        counts = [FIRST_CHECKPOINT]
        while counts[-1] < self.max_trials:
            counts.append(2 * counts[-1])
        return (*counts[:-1], self.max_trials)

    def decide(self, correct: Sequence[int], samples: int) -> tuple[int, bool]:
        """How many trials are wanted, and whether that many are already enough.

        Args:
            correct: correct answers of trials 0, 1, 2, ... without a gap; more than wanted does no harm.
            samples: evaluation samples per trial.

        Example:
            >>> rule = StoppingRule(half_width=0.02, max_trials=40)
            >>> rule.decide([95] * 4, samples=100), rule.decide([95] * 10, samples=100)
            ((10, False), (10, True))
        """
        totals = list(accumulate(correct))
        squares = list(accumulate(count * count for count in correct))
        for count in self.checkpoints:
            if len(correct) < count:
                return count, False
            if count == self.checkpoints[-1]:
                break
            interval = trial_interval(totals[count - 1], squares[count - 1], count, samples, self.confidence)
            if interval.half_width <= self.half_width or self._decided(correct[:count], samples):
                return count, True
        return self.checkpoints[-1], True

    def _decided(self, correct: Sequence[int], samples: int) -> bool:
        if self.threshold is None:
            return False
        look, looks = self.checkpoints.index(len(correct)), len(self.checkpoints)
        share = 2.0**look / (2.0**looks - 1.0)
        return is_decided(correct, samples, self.threshold, 1.0 - share * (1.0 - self.confidence))

    def describe(self) -> dict[str, object]:
        """Plain values for the record of a run."""
        if self.trials is not None:
            return {"rule": "fixed", "trials": self.trials, "confidence": self.confidence}
        decided = {} if self.threshold is None else {"or_decided_about": self.threshold}
        return {
            **decided,
            "rule": "half-width", "half_width": self.half_width, "max_trials": self.max_trials,
            "checkpoints": list(self.checkpoints), "confidence": self.confidence,
        }


def is_decided(correct: Sequence[int], samples: int, threshold: float, confidence: float) -> bool:
    """Whether trials show on which side of a threshold their mean accuracy lies.

    Trials under flips are skewed to the left: most lose little, a few lose much, and a few first trials without a bad
    one look better and surer than they are. Johnson's modified t takes the skewness m3 out to first order,

        t = [d + m3 / (6 s^2 n) + m3 d^2 / (3 s^4)] sqrt(n) / s,   d = mean - threshold.

    Args:
        correct: correct answers of n >= 2 trials.
        samples: evaluation samples per trial.
        threshold: accuracy in 0..1.
        confidence: two-sided level. The half-width of d is at least 3 / (n samples), as in `trial_interval`.

    Source: N. J. Johnson, "Modified t tests and confidence intervals for asymmetrical populations", J. Am. Stat.
    Assoc. 73 (1978) 536.

    Example:
        >>> is_decided([95, 96, 94, 95], 100, 0.9, 0.95), is_decided([99, 99, 60, 99], 100, 0.95, 0.95)
        (True, False)
    """
    accuracy = np.asarray(correct) / samples
    n, distance = accuracy.size, float(accuracy.mean()) - threshold
    spread = max(float(accuracy.std(ddof=1)), 1e-9)
    third = float(((accuracy - accuracy.mean()) ** 3).mean())
    shifted = distance + third / (6.0 * spread**2 * n) + third * distance**2 / (3.0 * spread**4)
    half = student_quantile(confidence, n - 1) * spread / math.sqrt(n)
    return abs(shifted) > max(half, 3.0 / (n * samples))
