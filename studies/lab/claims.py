"""Claims of the paper beside what was measured, and the verdict that the interval allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qtaml_codesign.statistics import Interval

Verdict = Literal["agrees", "differs", "not decidable"]
Kind = Literal["claim of the paper", "identity", "ours"]
NEGLIGIBLE = 0.01
"""A difference of accuracies below one percentage point is none, whichever way it points."""
A_FEW = 0.05
"""More than five percentage points are more than a few, by any reading."""


@dataclass(frozen=True)
class Claim:
    """One row of docs/reproduction.md.

    Attributes:
        key: short unique name.
        where: section, table or figure of the paper.
        statement: what the paper claims, in our words.
        figure: what was measured, with interval and number of networks and trials.
        verdict: `agrees`, `differs`, or `not decidable` when the interval or a lost number leaves it open.
        because: the evidence; must be given when the verdict may be `differs`.
        explain_open: whether `because` also fits, and is shown, when the verdict is `not decidable`.
        kind: whose claim it is. `identity`: the paper claims it, but here it holds by construction, so that measuring
            it tests nothing; `ours`: the paper does not claim it.
    """

    key: str
    where: str
    statement: str
    figure: str
    verdict: Verdict
    because: str = ""
    explain_open: bool = False
    kind: Kind = "claim of the paper"

    def __post_init__(self) -> None:
        if self.verdict == "differs" and not self.because:
            raise ValueError(f"claim {self.key}: a verdict `differs` needs its evidence in `because`")


def above(interval: Interval, bound: float) -> Verdict:
    """Agrees when the whole interval lies above the bound, differs when the whole interval lies below it.

    Example:
        >>> above(Interval(0.95, 0.94, 0.96), 0.93), above(Interval(0.95, 0.90, 1.0), 0.93)
        ('agrees', 'not decidable')
    """
    if interval.low > bound:
        return "agrees"
    return "differs" if interval.high < bound else "not decidable"


def below(interval: Interval, bound: float) -> Verdict:
    """The mirror image of `above`."""
    return above(_turned(interval), -bound)


def raises(difference: Interval) -> Verdict:
    """Whether a difference of accuracies is a gain: above a percentage point.

    Example:
        >>> raises(Interval(0.03, 0.02, 0.04)), raises(Interval(0.006, 0.002, 0.009)), lowers(Interval(-0.006, -0.009,
        ...                                                                                             -0.002))
        ('agrees', 'differs', 'differs')
    """
    return above(difference, NEGLIGIBLE)


def lowers(difference: Interval) -> Verdict:
    """Whether a difference of accuracies is a loss: the same rule, turned round."""
    return raises(_turned(difference))


def keeps(difference: Interval) -> Verdict:
    """Whether nothing is lost: the loss stays below a percentage point."""
    return above(difference, -NEGLIGIBLE)


def close(difference: Interval) -> Verdict:
    """For `similar` or `a few points` without a number: agrees within one percentage point, differs beyond five.

    Between the two it depends on what a few points are, and is not decidable.

    Example:
        >>> close(Interval(0.0, -0.005, 0.005)), close(Interval(-0.03, -0.04, -0.02)), close(Interval(0.1, 0.08, 0.12))
        ('agrees', 'not decidable', 'differs')
    """
    if within(difference, -NEGLIGIBLE, NEGLIGIBLE) == "agrees":
        return "agrees"
    return "differs" if within(difference, -A_FEW, A_FEW) == "differs" else "not decidable"


def within(interval: Interval, low: float, high: float) -> Verdict:
    """Agrees when the whole interval lies between low and high, differs when it lies outside."""
    return all_of([above(interval, low), below(interval, high)])


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """For a claim about every point: differs when one does, agrees when all do.

    Example:
        >>> all_of(["agrees", "not decidable"]), all_of(["agrees", "differs"]), all_of(["agrees", "agrees"])
        ('not decidable', 'differs', 'agrees')
    """
    found = set(verdicts)
    return "differs" if "differs" in found else "agrees" if found == {"agrees"} else "not decidable"


def _turned(interval: Interval) -> Interval:
    return Interval(-interval.estimate, -interval.high, -interval.low)


def contains(interval: Interval, value: float) -> Verdict:
    """For a printed figure: agrees when the interval holds it, differs when it does not.

    Example:
        >>> contains(Interval(0.25, 0.19, 0.31), 0.24), contains(Interval(0.25, 0.19, 0.31), 0.35)
        ('agrees', 'differs')
    """
    return "agrees" if interval.low <= value <= interval.high else "differs"


def holds(fact: bool) -> Verdict:
    """For facts without chance: `agrees` or `differs`."""
    return "agrees" if fact else "differs"


def shown(interval: Interval, digits: int = 3, unit: str = "") -> str:
    """Text of an estimate with its interval.

    Example:
        >>> shown(Interval(0.95, 0.94, 0.96)), shown(Interval(3.14159, 3.1, 3.2), 1, " x")
        ('0.950 [0.940, 0.960]', '3.1 [3.1, 3.2] x')
    """
    return f"{interval.estimate:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]{unit}"


def points(interval: Interval) -> str:
    """Text of a difference of accuracies in percentage points.

    Example:
        >>> points(Interval(0.082, 0.061, 0.103))
        '+8.2 [+6.1, +10.3] pp'
    """
    return "{:+.1f} [{:+.1f}, {:+.1f}] pp".format(*(round(100.0 * value, 1) + 0.0 for value in interval))
