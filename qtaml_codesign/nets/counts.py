"""What trials leave behind: exact sums that add up, so that stopping and going on changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.metric import ACCURACY, Metric
from qtaml_codesign.nets.target import Target
from qtaml_codesign.statistics import Exact, Interval, exact_sum, group_half_width, hall_interval, union_interval


@dataclass(frozen=True, eq=False)
class TrialCounts:
    """Counts of one or more trials; a trial is one drawing of all flips.

    Attributes:
        trials: number of trials.
        samples: scores per trial, one per evaluation sample or token; the same in everything that is added.
        score: the scores of a trial (right answers, or real numbers) in one sum, and summed over trials.
        score_squares: (score of a trial)^2, summed over trials.
        score_cubes: (score of a trial)^3, summed over trials.
        score_by_group: (G,) scores of each group of evaluation samples (`nets.scoring.group_index`), summed over
            trials; read-only; int64 where a sample is right or wrong, else float64.
        bits_stored: cells of the network, summed over trials.
        bits_exposed: cells that no ideal protection covers, summed over trials.
        bits_flipped: exposed cells that flipped, summed over trials.
        expected_flips: flips that the law expects for the stored codes, summed over trials.
        seconds: wall time, summed over trials.

    `+` is commutative, and associative up to the rounding of the float fields: the three sums of scores are exact,
    whole numbers or fractions, or infinite once a trial is.

    Raises:
        InputError: counts that cannot come from trials; for `+`, counts of different evaluation sets.

    Example:
        >>> one = TrialCounts.of_trial([1] * 9 + [0], samples=10, bits_stored=80, bits_exposed=40, bits_flipped=3,
        ...                            expected_flips=4.0, seconds=0.5)
        >>> both = one + one
        >>> both.trials, both.score, both.realised_ber, both.nominal_ber
        (2, 18, 0.075, 0.1)
    """

    trials: int
    samples: int
    score: Exact
    score_squares: Exact
    score_cubes: Exact
    score_by_group: NDArray[Any]
    bits_stored: int
    bits_exposed: int
    bits_flipped: int
    expected_flips: float
    seconds: float

    def __post_init__(self) -> None:
        by_group = np.array(self.score_by_group, ndmin=1)
        by_group.setflags(write=False)
        object.__setattr__(self, "score_by_group", by_group)
        possible = (
            self.trials >= 1
            and self.samples >= 1
            and 0 <= self.bits_flipped <= self.bits_exposed <= self.bits_stored
            and self.score**2 <= self.trials * self.score_squares
            and by_group.ndim == 1
            and (not self.is_counted or self._can_be_right_answers())
        )
        if not possible:
            raise InputError(
                "these counts cannot come from trials", where="TrialCounts",
                rule="trials, samples >= 1; 0 <= right answers <= trials * samples, the sum over groups; "
                "0 <= flipped <= exposed <= stored bits",
                value=self._values(), next_step="build TrialCounts with of_trial, or check the file they come from",
            )

    def _can_be_right_answers(self) -> bool:
        score, squares, cubes, groups = self.score, self.score_squares, self.score_cubes, self.score_by_group.tolist()
        return bool(
            0 <= score <= self.trials * self.samples
            and squares <= self.samples * score
            and squares**2 <= score * cubes
            and cubes <= self.samples * squares
            and min(groups, default=0) >= 0
            and sum(groups) == score
        )

    @classmethod
    def of_trial(
        cls, by_group: ArrayLike, samples: int, bits_stored: int, bits_exposed: int, bits_flipped: int,
        expected_flips: float, seconds: float,
    ) -> TrialCounts:
        """One trial, from the scores of each group of evaluation samples.

        Args:
            by_group: (G,) scores of each group, summed; whole numbers where a sample is right or wrong.
            samples, bits_stored, bits_exposed, bits_flipped, expected_flips, seconds: as the attributes, of this trial.

        Raises:
            InputError: counts that cannot come from a trial.
        """
        found = np.array(by_group, ndmin=1)
        score = exact_sum(found)
        return cls(1, samples, score, score**2, score**3, found, bits_stored, bits_exposed, bits_flipped,
                   expected_flips, seconds)

    @property
    def plain_score(self) -> int | float:
        """The score as a whole number or a float."""
        return int(self.score) if self.is_counted else float(self.score)

    @property
    def is_counted(self) -> bool:
        """Whether the scores are right answers, in whole numbers."""
        return self.score_by_group.dtype.kind in "iu"

    def __add__(self, other: TrialCounts) -> TrialCounts:
        if not isinstance(other, TrialCounts):
            return NotImplemented
        if other.samples != self.samples or other.score_by_group.shape != self.score_by_group.shape:
            raise InputError(
                "trials over different evaluation sets cannot be added", where="TrialCounts + TrialCounts",
                rule="the same number of samples per trial", value=(self.samples, other.samples),
                next_step="keep the counts of different evaluation sets apart",
            )
        names = [field.name for field in fields(self) if field.name != "samples"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return TrialCounts(samples=self.samples, **sums)

    @classmethod
    def total(cls, parts: list[TrialCounts] | tuple[TrialCounts, ...]) -> TrialCounts:
        """Sum of counts.

        Args:
            parts: one or more, of the same evaluation set.

        Raises:
            InputError: none at all, or counts of different evaluation sets.
        """
        if not parts:
            raise InputError(
                "there are no counts to add", where="TrialCounts.total", rule="at least one trial", value=parts,
                next_step="run at least one trial",
            )
        return reduce(cls.__add__, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrialCounts) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[object, ...]:
        plain = [getattr(self, field.name) for field in fields(self) if field.name != "score_by_group"]
        return (*plain, tuple(self.score_by_group.tolist()))

    def interval(self, metric: Metric = ACCURACY, confidence: float = 0.95, skewed: bool = False) -> Interval:
        """The metric over trials, as it is shown, with its interval.

        Args:
            metric: what the scores are.
            confidence: two-sided level in (0, 1).
            skewed: Hall's interval (`statistics.hall_interval`) instead of that for a fixed number of trials
                (`statistics.union_interval`).
        """
        sums = (self.score, self.score_squares, self.score_cubes)
        rule = hall_interval if skewed else union_interval
        return metric.show_interval(rule(*sums, self.trials, self.samples, confidence, bounds=metric.bounds))

    def image_half_width(
        self, clean_by_group: NDArray[Any], sizes: NDArray[np.int64], target: Target, confidence: float = 0.95,
        metric: Metric = ACCURACY,
    ) -> float:
        """Half-width over evaluation samples of the metric beyond its target, for these drawings of the flips.

        Both are measured on the same samples, so it is the interval of a paired difference (`group_half_width`); a
        metric that is not shown as the mean itself is taken as linear about the two means. Infinite scores have none:
        nan.

        Args:
            clean_by_group: (G,) scores of the clean network in each group.
            sizes: (G,) scores in each group.
            target: what is to be kept; an absolute one gives the half-width of the metric itself.
            confidence: two-sided level in (0, 1).
            metric: what the scores are.
        """
        mean, clean_mean = float(self.score / (self.trials * self.samples)), float(clean_by_group.sum() / sizes.sum())
        with np.errstate(invalid="ignore", over="ignore"):
            own = metric.steepened(self.score_by_group / self.trials, mean)
            clean = target.factor * metric.steepened(clean_by_group, clean_mean) if target.factor else 0.0
            return group_half_width(own - clean, sizes, confidence, self.is_counted)

    @property
    def realised_ber(self) -> float:
        """Flipped cells / exposed cells; nan when every cell is protected."""
        return self.bits_flipped / self.bits_exposed if self.bits_exposed else float("nan")

    @property
    def nominal_ber(self) -> float:
        """Expected flips / exposed cells, by the law and the stored codes; nan when every cell is protected."""
        return self.expected_flips / self.bits_exposed if self.bits_exposed else float("nan")
