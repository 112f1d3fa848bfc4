"""How many trials a task needs, decided from its counts alone.

The decision looks at the first n trials only, in the order of their index, so it does not depend on the number of
workers, on timing, on interruptions, or on what else the store already holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from qtaml_codesign.checks import whole_number
from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import trial_interval

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
        threshold: stop as soon as the interval lies on one side of this accuracy; None: go on to the half-width. That
            interval is taken at 1 - (1 - confidence) / looks, so that all looks together decide wrongly at most as
            often as one would.

    Looking at an interval several times lowers its coverage a little; there are at most
    1 + log2(max_trials / 10) looks.

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
            if self._enough(totals[count - 1], squares[count - 1], count, samples):
                return count, True
        return self.checkpoints[-1], True

    def _enough(self, total: int, squares: int, trials: int, samples: int) -> bool:
        if trial_interval(total, squares, trials, samples, self.confidence).half_width <= self.half_width:
            return True
        if self.threshold is None:
            return False
        careful = 1.0 - (1.0 - self.confidence) / len(self.checkpoints)
        interval = trial_interval(total, squares, trials, samples, careful)
        return interval.low >= self.threshold or interval.high < self.threshold

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
