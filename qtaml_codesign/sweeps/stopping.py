"""How many trials a task needs, decided from its scores alone.

The decision looks at the first n trials only, in the order of their index, so it does not depend on the number of
workers, on timing, on interruptions, or on what else the store already holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from qtaml_codesign.checks import whole_number
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import ACCURACY, FAR_SHARE, Metric
from qtaml_codesign.statistics import Exact, Interval, hall_interval

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
        half_width: stop at the first checkpoint whose interval (see `interval`) has at most this half-width, as the
            metric is shown; less than half of its range; None: 0.01.
        max_trials: the last checkpoint of the adaptive rule, >= 2.
        confidence: two-sided level of the interval.
        threshold: stop as soon as the interval lies on one side of this value; None: go on to the half-width.
        metric: what the scores are.
        far_from: the value to keep, from which a metric without bounds may run off (`Metric.tolerance`).

    Looking at an interval several times lowers its coverage, and trials are skewed: most lose little, a few lose much,
    so that a point is left sooner while no bad trial has come. Each look but the last therefore takes Hall's
    skewness-corrected interval at `LOOK_SHARE` of the error, 98 % for 95 %, and none comes before 20 trials. The
    coverage this reaches is measured by `studies/interval_coverage.py`. What no rule on n trials sees: rare trials that
    lose nearly all, at a share below about 3 / n; ask for more trials where such a failure matters.

    Raises:
        InputError: fewer than two trials, or a half-width out of bounds.

    Example:
        >>> StoppingRule(max_trials=100).checkpoints
        (20, 40, 80, 100)
        >>> StoppingRule(trials=30).checkpoints
        (30,)
    """

    trials: int | None = None
    half_width: float | None = None
    max_trials: int = DEFAULT_MAX_TRIALS
    confidence: float = 0.95
    threshold: float | None = None
    metric: Metric = ACCURACY
    far_from: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None:
            whole_number("trials", self.trials, least=2)
        whole_number("max_trials", self.max_trials, least=2)
        most = math.inf if self.far_from is None else (self.metric.limits[1] - self.metric.limits[0]) / 2.0
        if not 0.0 < self.width < most:
            raise InputError(
                "the half-width of the interval is out of bounds", where="half_width (--half-width)",
                rule=f"0 < half-width < {most:g}, in {self.metric.name}", value=self.width,
                next_step="0.01 asks for accuracy +- 1 percentage point",
            )

    @property
    def width(self) -> float:
        """The half-width that is asked for."""
        return DEFAULT_HALF_WIDTH if self.half_width is None else self.half_width

    def measuring(self, metric: Metric, clean: float, target: float) -> StoppingRule:
        """The rule for a metric, its clean value and the value to keep.

        Of a metric without bounds the half-width is, unless given, a fifth of what the target allows to lose: as 0.01
        is of 5 % of accuracy.

        Args:
            metric: what is measured.
            clean: its value for the clean network, as shown.
            target: the value to keep, as shown.

        Raises:
            InputError: a half-width that is not below half of the metric's range.
        """
        width = self.half_width
        if width is None and not metric.is_bounded:
            width = FAR_SHARE * abs(clean - target)
        return replace(self, metric=metric, far_from=target, half_width=width)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The trial counts at which the rule may stop, rising."""
        if self.trials is not None:
            return (self.trials,)
        counts = [FIRST_CHECKPOINT]
        while counts[-1] < self.max_trials:
            counts.append(2 * counts[-1])
        return (*counts[:-1], self.max_trials)

    def decide(self, scores: Sequence[Exact], samples: int) -> tuple[int, bool]:
        """How many trials are wanted, and whether that many are already enough.

        Args:
            scores: right answers (whole numbers), or the exact sum of the scores, of trials 0, 1, 2, ... without a gap;
                more than wanted does no harm.
            samples: scores per trial.

        Example:
            >>> rule = StoppingRule(half_width=0.02, max_trials=40)
            >>> rule.decide([95] * 4, samples=100), rule.decide([95] * 20, samples=100)
            ((20, False), (20, True))
        """
        powers = [list(accumulate(score**power for score in scores)) for power in (1, 2, 3)]
        for count in self.checkpoints[:-1]:
            if len(scores) < count:
                return count, False
            total, squares, cubes = (sums[count - 1] for sums in powers)
            means = hall_interval(total, squares, cubes, count, samples, self._look_confidence,
                                  bounds=self.metric.bounds)
            if self._enough(self.metric.show_interval(means)):
                return count, True
        return self.checkpoints[-1], len(scores) >= self.checkpoints[-1]

    def interval(self, counts: TrialCounts) -> Interval:
        """The metric, as it is shown, with the interval that holds at the rule's confidence.

        A fixed number, and the last checkpoint: the union of Student's and Hall's interval. An earlier checkpoint:
        Hall's at the confidence of one look. With a threshold the union too is at that confidence, because a thickness
        is read off the intervals of several points, each left where its trials happened to look decided.

        Args:
            counts: of the trials that the rule has chosen, in one sum.
        """
        if counts.trials >= self.checkpoints[-1]:
            return counts.interval(self.metric, self.confidence if self.threshold is None else self._look_confidence)
        return counts.interval(self.metric, self._look_confidence, skewed=True)

    @property
    def _look_confidence(self) -> float:
        return 1.0 - LOOK_SHARE * (1.0 - self.confidence)

    def _enough(self, look: Interval) -> bool:
        decided = self.threshold is not None and not look.low <= self.threshold <= look.high
        enough = self.metric.tolerance(np.array(look.estimate), self.width, self.far_from)
        return decided or not math.isfinite(look.estimate) or bool(look.half_width <= enough)

    def describe(self) -> dict[str, object]:
        """Plain values for the record of a run."""
        if self.trials is not None:
            return {"rule": "fixed", "trials": self.trials, "confidence": self.confidence}
        decided = {} if self.threshold is None else {"or_decided_about": self.threshold}
        return {
            **decided,
            "rule": "half-width", "half_width": self.width, "max_trials": self.max_trials,
            "checkpoints": list(self.checkpoints), "confidence": self.confidence,
        }

    def describe_interval(self) -> str:
        """The interval in words, for the record of a run."""
        level = self.confidence if self.threshold is None else self._look_confidence
        last = f"union of Student and Hall (1992) at {level:g}"
        looks = "" if self.trials is not None else f"Hall (1992) at {self._look_confidence:g} per look, last look: "
        return f"{looks}{last}, over trials; a trial is one drawing of all flips"
