"""Does a network answer better than chance on its evaluation set? If not, labels or weights are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import special
from torch import Tensor

CONFIDENCE = 0.99


@dataclass(frozen=True)
class CleanCheck:
    """The clean network on its evaluation set, against answering without looking.

    Attributes:
        correct, samples: right answers of the clean network.
        classes: number of classes, C.
        commonest: share of the commonest label.
        shift: (step, right answers) of the labels moved by one class, round about, whichever of -1 and +1 fits better.

    Example:
        >>> labels = torch.arange(60) % 3
        >>> check = check_clean(labels, (labels + 1) % 3, correct=0, classes=3)
        >>> check.problem is None, check.shift
        (False, (1, 60))
    """

    correct: int
    samples: int
    classes: int
    commonest: float
    shift: tuple[int, int]

    @property
    def chance(self) -> float:
        """The larger of 1 / C and the share of the commonest label."""
        return max(1.0 / self.classes, self.commonest)

    @property
    def problem(self) -> str | None:
        """What is wrong, in one sentence; None if the network is above chance by a one-sided exact test at 99 %."""
        if is_above(self.correct, self.samples, self.chance):
            return None
        whose = "the share of the commonest label" if self.commonest >= 1.0 / self.classes else "one of C classes"
        return (f"the clean accuracy {self.correct / self.samples:.4f} ({self.correct} of {self.samples}) is not above "
                f"chance, {self.chance:.4f} ({whose}), at {CONFIDENCE:.0%}")

    @property
    def advice(self) -> str:
        """What to do about it."""
        step, right = self.shift
        if self.classes > 2 and is_above(right, self.samples, self.chance):
            return (f"the labels are off by one: labels {'+' if step > 0 else '-'} 1 give an accuracy of "
                    f"{right / self.samples:.4f}")
        return "load the trained weights, scale the inputs as in training, and count the classes as the network does"


def check_clean(labels: Tensor, predictions: Tensor, correct: int, classes: int) -> CleanCheck:
    """The check of a clean network on its evaluation set.

    Args:
        labels: integers 0..C-1 of any shape.
        predictions: classes that the network chooses, of the same shape.
        correct: how many of them are right.
        classes: their number, C.
    """
    flat, answers = labels.flatten(), predictions.flatten()
    counts = torch.bincount(flat, minlength=classes)
    shifted = [(int(((flat + step) % classes == answers).sum()), step) for step in (1, -1)]
    right, step = max(shifted)
    return CleanCheck(correct, flat.numel(), classes, float(counts.max()) / flat.numel(), (step, right))


def is_above(correct: int, samples: int, chance: float) -> bool:
    """Whether so many right answers of independent samples are more than chance gives: P(X >= correct) <= 1 %.

    P(X >= k) = I_chance(k, n - k + 1), the regularised incomplete beta function; 1 for k = 0.

    Args:
        correct: right answers, k.
        samples: all answers, n.
        chance: probability of a right answer without looking, in 0..1.

    Example:
        >>> is_above(3, 12, chance=0.1), is_above(5, 12, chance=0.1)
        (False, True)
    """
    if correct == 0 or chance >= 1.0:
        return False
    return float(special.betainc(correct, samples - correct + 1, chance)) <= 1.0 - CONFIDENCE
