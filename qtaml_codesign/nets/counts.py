"""What trials leave behind: whole numbers that add up, so that stopping and going on changes nothing."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import reduce

from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import Interval, trial_interval


@dataclass(frozen=True)
class TrialCounts:
    """Counts of one or more trials; a trial is one drawing of all flips.

    Attributes:
        trials: number of trials.
        samples: evaluation samples per trial; the same in everything that is added.
        correct: correct answers, summed over trials.
        correct_squares: (correct answers of a trial) squared, summed over trials.
        bits_stored: cells of the network, summed over trials.
        bits_exposed: cells that no ideal protection covers, summed over trials.
        bits_flipped: exposed cells that flipped, summed over trials.
        expected_flips: flips that the law expects for the stored codes, summed over trials.
        seconds: wall time, summed over trials.

    `+` is commutative, and associative up to the rounding of the two float fields.

    Example:
        >>> one = TrialCounts(trials=1, samples=10, correct=9, correct_squares=81, bits_stored=80, bits_exposed=40,
        ...                   bits_flipped=3, expected_flips=4.0, seconds=0.5)
        >>> both = one + one
        >>> both.trials, both.correct, both.realised_ber, both.nominal_ber
        (2, 18, 0.075, 0.1)
    """

    trials: int
    samples: int
    correct: int
    correct_squares: int
    bits_stored: int
    bits_exposed: int
    bits_flipped: int
    expected_flips: float
    seconds: float

    def __post_init__(self) -> None:
        possible = (
            self.trials >= 1
            and self.samples >= 1
            and 0 <= self.correct <= self.trials * self.samples
            and 0 <= self.bits_flipped <= self.bits_exposed <= self.bits_stored
            and self.correct**2 <= self.trials * self.correct_squares
            and self.correct_squares <= self.samples * self.correct
        )
        if not possible:
            raise InputError(
                "these counts cannot come from trials", where="TrialCounts",
                rule="trials, samples >= 1; 0 <= correct <= trials * samples; 0 <= flipped <= exposed <= stored bits",
                value=astuple(self), next_step="build TrialCounts with run_trial, or check the file they come from",
            )

    def __add__(self, other: TrialCounts) -> TrialCounts:
        if not isinstance(other, TrialCounts):
            return NotImplemented
        if other.samples != self.samples:
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

    def accuracy(self, confidence: float = 0.95) -> Interval:
        """Mean accuracy in 0..1 with its Student interval over trials (see `trial_interval`)."""
        return trial_interval(self.correct, self.correct_squares, self.trials, self.samples, confidence)

    @property
    def realised_ber(self) -> float:
        """Flipped cells / exposed cells; nan when every cell is protected."""
        return self.bits_flipped / self.bits_exposed if self.bits_exposed else float("nan")

    @property
    def nominal_ber(self) -> float:
        """Expected flips / exposed cells, by the law and the stored codes; nan when every cell is protected."""
        return self.expected_flips / self.bits_exposed if self.bits_exposed else float("nan")
