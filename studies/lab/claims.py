"""Claims of the paper beside what was measured, and the verdict that the interval allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtaml_codesign.statistics import Interval

Verdict = Literal["agrees", "differs", "not decidable"]


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
    """

    key: str
    where: str
    statement: str
    figure: str
    verdict: Verdict
    because: str = ""
    explain_open: bool = False

    def __post_init__(self) -> None:
        if self.verdict == "differs" and not self.because:
            raise ValueError(f"claim {self.key}: a verdict `differs` needs its evidence in `because`")


def above(interval: Interval, bound: float, negligible: float = 0.0) -> Verdict:
    """Agrees when the whole interval lies above the bound, differs when it lies below bound + negligible.

    Args:
        interval: what was measured.
        bound: what the paper says it exceeds.
        negligible: an excess smaller than this is no excess (0.01 for accuracies: one percentage point).

    Example:
        >>> above(Interval(0.95, 0.94, 0.96), 0.93), above(Interval(0.95, 0.90, 1.0), 0.93)
        ('agrees', 'not decidable')
        >>> above(Interval(0.0, -0.002, 0.002), 0.0, negligible=0.01)
        'differs'
    """
    if interval.low > bound:
        return "agrees"
    return "differs" if interval.high < bound + negligible else "not decidable"


def below(interval: Interval, bound: float) -> Verdict:
    """The mirror image of `above`."""
    return "agrees" if interval.high < bound else "differs" if interval.low > bound else "not decidable"


def within(interval: Interval, low: float, high: float) -> Verdict:
    """Agrees when the whole interval lies in [low, high], differs when it lies outside."""
    if low <= interval.low and interval.high <= high:
        return "agrees"
    return "differs" if interval.high < low or interval.low > high else "not decidable"


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
