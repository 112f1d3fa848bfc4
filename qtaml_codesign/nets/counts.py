"""What trials leave behind: whole numbers that add up, so that stopping and going on changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import Interval, group_half_width, hall_interval, union_interval


@dataclass(frozen=True, eq=False)
class TrialCounts:
    """Counts of one or more trials; a trial is one drawing of all flips.

    Attributes:
        trials: number of trials.
        samples: evaluation samples per trial; the same in everything that is added.
        correct: correct answers, summed over trials.
        correct_squares: (correct answers of a trial) squared, summed over trials.
        correct_cubes: (correct answers of a trial) cubed, summed over trials.
        correct_by_group: (G,) right answers of each group of evaluation samples (`nets.labels.group_index`), summed
            over trials; read-only.
        bits_stored: cells of the network, summed over trials.
        bits_exposed: cells that no ideal protection covers, summed over trials.
        bits_flipped: exposed cells that flipped, summed over trials.
        expected_flips: flips that the law expects for the stored codes, summed over trials.
        seconds: wall time, summed over trials.

    `+` is commutative, and associative up to the rounding of the two float fields.

    Example:
        >>> one = TrialCounts(trials=1, samples=10, correct=9, correct_squares=81, correct_cubes=729,
        ...                   correct_by_group=[1] * 9 + [0], bits_stored=80, bits_exposed=40, bits_flipped=3,
        ...                   expected_flips=4.0, seconds=0.5)
        >>> both = one + one
        >>> both.trials, both.correct, both.realised_ber, both.nominal_ber
        (2, 18, 0.075, 0.1)
    """

    trials: int
    samples: int
    correct: int
    correct_squares: int
    correct_cubes: int
    correct_by_group: NDArray[np.int64]
    bits_stored: int
    bits_exposed: int
    bits_flipped: int
    expected_flips: float
    seconds: float

    def __post_init__(self) -> None:
        by_group = np.array(self.correct_by_group, dtype=np.int64, ndmin=1)
        by_group.setflags(write=False)
        object.__setattr__(self, "correct_by_group", by_group)
        possible = (
            self.trials >= 1
            and self.samples >= 1
            and 0 <= self.correct <= self.trials * self.samples
            and 0 <= self.bits_flipped <= self.bits_exposed <= self.bits_stored
            and self.correct**2 <= self.trials * self.correct_squares
            and self.correct_squares <= self.samples * self.correct
            and self.correct_squares**2 <= self.correct * self.correct_cubes
            and self.correct_cubes <= self.samples * self.correct_squares
            and by_group.ndim == 1
            and bool((by_group >= 0).all())
            and int(by_group.sum()) == self.correct
        )
        if not possible:
            raise InputError(
                "these counts cannot come from trials", where="TrialCounts",
                rule="trials, samples >= 1; 0 <= correct <= trials * samples, the sum over groups; "
                "0 <= flipped <= exposed <= stored bits",
                value=self._values(), next_step="build TrialCounts with run_trial, or check the file they come from",
            )

    def __add__(self, other: TrialCounts) -> TrialCounts:
        if not isinstance(other, TrialCounts):
            return NotImplemented
        if other.samples != self.samples or other.correct_by_group.shape != self.correct_by_group.shape:
            raise InputError(
                "trials over different evaluation sets cannot be added", where="TrialCounts + TrialCounts",
                rule="the same number of samples per trial", value=(self.samples, other.samples),
                next_step="keep the counts of different evaluation sets apart",
            )
        return TrialCounts(
            trials=self.trials + other.trials,
            samples=self.samples,
            correct=self.correct + other.correct,
            correct_squares=self.correct_squares + other.correct_squares,
            correct_cubes=self.correct_cubes + other.correct_cubes,
            correct_by_group=self.correct_by_group + other.correct_by_group,
            bits_stored=self.bits_stored + other.bits_stored,
            bits_exposed=self.bits_exposed + other.bits_exposed,
            bits_flipped=self.bits_flipped + other.bits_flipped,
            expected_flips=self.expected_flips + other.expected_flips,
            seconds=self.seconds + other.seconds,
        )

    @classmethod
    def total(cls, parts: list[TrialCounts] | tuple[TrialCounts, ...]) -> TrialCounts:
        """Sum of one or more counts."""
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
        plain = [getattr(self, field.name) for field in fields(self) if field.name != "correct_by_group"]
        return (*plain, tuple(self.correct_by_group.tolist()))

    def accuracy(self, confidence: float = 0.95) -> Interval:
        """Mean accuracy in 0..1 with its interval over a fixed number of trials (`statistics.union_interval`)."""
        sums = (self.correct, self.correct_squares, self.correct_cubes)
        return union_interval(*sums, self.trials, self.samples, confidence)

    def skewed_accuracy(self, confidence: float = 0.95) -> Interval:
        """Mean accuracy in 0..1 with Hall's skewness-corrected interval over trials (`statistics.hall_interval`)."""
        sums = (self.correct, self.correct_squares, self.correct_cubes)
        return hall_interval(*sums, self.trials, self.samples, confidence)

    def image_half_width(
        self, clean_by_group: NDArray[np.int64], sizes: NDArray[np.int64], share: float, confidence: float = 0.95
    ) -> float:
        """Half-width over evaluation samples of accuracy - share x clean accuracy, for these drawings of the flips.

        Both are counted on the same samples, so it is the interval of a paired difference (`group_half_width`). With
        share 0 it is that of the accuracy itself.

        Args:
            clean_by_group: (G,) right answers of the clean network in each group.
            sizes: (G,) samples in each group.
            share: part of the clean accuracy that is to be kept.
            confidence: two-sided level in (0, 1).
        """
        return group_half_width(self.correct_by_group / self.trials - share * clean_by_group, sizes, confidence)

    @property
    def realised_ber(self) -> float:
        """Flipped cells / exposed cells; nan when every cell is protected."""
        return self.bits_flipped / self.bits_exposed if self.bits_exposed else float("nan")

    @property
    def nominal_ber(self) -> float:
        """Expected flips / exposed cells, by the law and the stored codes; nan when every cell is protected."""
        return self.expected_flips / self.bits_exposed if self.bits_exposed else float("nan")
