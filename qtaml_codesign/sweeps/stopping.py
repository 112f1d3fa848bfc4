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
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.statistics import Interval, hall_interval

FIRST_CHECKPOINT = 20
DEFAULT_HALF_WIDTH = 0.01
DEFAULT_MAX_TRIALS = 320

LOOK_SHARE = 0.4
"""One look may fail with this part of 1 - confidence: 98 % where 95 % is asked for, since there are several looks."""


@dataclass(frozen=True)
class StoppingRule:
    """A fixed number of trials, or checkpoints 20, 40, 80, ... until the interval is narrow enough.

    Args:
        trials: run exactly this many, >= 2; None for the adaptive rule.
        half_width: stop at the first checkpoint whose interval (see `interval`) has at most this half-width, in
            (0, 0.5).
        max_trials: the last checkpoint of the adaptive rule, >= 2.
        confidence: two-sided level of the interval.
        threshold: stop as soon as the interval lies on one side of this accuracy; None: go on to the half-width.

    Looking at an interval several times lowers its coverage, and trials are skewed: most lose little, a few lose much,
    so that a point is left sooner while no bad trial has come. Each look but the last therefore takes Hall's
    skewness-corrected interval at `LOOK_SHARE` of the error, 98 % for 95 %, and none comes before 20 trials. The
    coverage this reaches is measured by `studies/interval_coverage.py`. What no rule on n trials sees: rare trials that
    lose nearly all, at a share below about 3 / n; ask for more trials where such a failure matters.

    Example:
        >>> StoppingRule(max_trials=100).checkpoints
        (20, 40, 80, 100)
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
            >>> rule.decide([95] * 4, samples=100), rule.decide([95] * 20, samples=100)
            ((20, False), (20, True))
        """
        powers = [list(accumulate(count**power for count in correct)) for power in (1, 2, 3)]
        for count in self.checkpoints[:-1]:
            if len(correct) < count:
                return count, False
            total, squares, cubes = (sums[count - 1] for sums in powers)
            if self._enough(hall_interval(total, squares, cubes, count, samples, self._look_confidence)):
                return count, True
        return self.checkpoints[-1], len(correct) >= self.checkpoints[-1]

    def interval(self, counts: TrialCounts) -> Interval:
        """Mean accuracy with the interval that holds at the rule's confidence, for the trials it has chosen.

        A fixed number, and the last checkpoint: the union of Student's and Hall's interval. An earlier checkpoint:
        Hall's at the confidence of one look. With a threshold the union too is at that confidence, because a thickness
        is read off the intervals of several points, each left where its trials happened to look decided.
        """
        if counts.trials >= self.checkpoints[-1]:
            return counts.accuracy(self.confidence if self.threshold is None else self._look_confidence)
        return counts.skewed_accuracy(self._look_confidence)

    @property
    def _look_confidence(self) -> float:
        return 1.0 - LOOK_SHARE * (1.0 - self.confidence)

    def _enough(self, look: Interval) -> bool:
        decided = self.threshold is not None and not look.low <= self.threshold <= look.high
        return decided or look.half_width <= self.half_width

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

    def describe_interval(self) -> str:
        """The interval in words, for the record of a run."""
        level = self.confidence if self.threshold is None else self._look_confidence
        last = f"union of Student and Hall (1992) at {level:g}"
        looks = "" if self.trials is not None else f"Hall (1992) at {self._look_confidence:g} per look, last look: "
        return f"{looks}{last}, over trials; a trial is one drawing of all flips"
