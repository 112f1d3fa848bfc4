"""What a run of a sweep tells whoever waits for it: how far it is, what has settled, and a first answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qtaml_codesign.nets.metric import Metric
from qtaml_codesign.nets.target import Target
from qtaml_codesign.statistics import Interval


@dataclass(frozen=True)
class Settled:
    """A point whose trials are done; thickness_nm is NaN at a knot, which stands for its flip probability.

    `cells` per weight are those that a method which spends them may spend; else None.
    """

    method: str
    budget: float
    thickness_nm: float
    flip_probability: float
    metric: Metric
    found: Interval
    trials: int
    cells: float | None = None


@dataclass(frozen=True)
class FirstAnswer:
    """The thinnest oxide of one curve, found by bisection before the curves are measured.

    Attributes:
        thickness_nm, low_nm, high_nm: as in `frontier.csv`; NaN where they lie outside the range.
        status: as in `Frontier.to_frame`.
        range_nm: the thicknesses between which it was looked for.
        cells: per weight, of a method that spends them; else None.
    """

    method: str
    budget: float
    overhead: float
    target: Target
    thickness_nm: float
    low_nm: float
    high_nm: float
    flip_probability: float
    status: str
    range_nm: tuple[float, float]
    cells: float | None = None


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is: `done` of `total` plans, then tasks; `trials` that this run has added.

    At most one of the others is there: a point that has just settled, the first answer, or a note that the reader
    should see before the work goes on.
    """

    stage: str
    done: int
    total: int
    trials: int = 0
    settled: Settled | None = None
    answer: FirstAnswer | None = None
    note: str = ""


ProgressReport = Callable[[SweepProgress], None]


class Progress:
    """Counts what is done, stage by stage, over all rounds of a run, and tells whoever listens.

    Args:
        listener: called with the new state after each step; None where nobody listens.
    """

    def __init__(self, listener: ProgressReport | None = None) -> None:
        self.tell: ProgressReport = listener or (lambda state: None)
        self._states: dict[str, SweepProgress] = {}

    def add(self, stage: str, done: int = 0, total: int = 0, trials: int = 0, settled: Settled | None = None) -> None:
        """Add to the counts of a stage.

        Args:
            stage: "plans" or "trials".
            done, total: so many more are finished, so many more are known.
            trials: trials that were run for it.
            settled: the point that has just settled.
        """
        last = self._states.get(stage, SweepProgress(stage, 0, 0))
        self._states[stage] = SweepProgress(stage, last.done + done, last.total + total, last.trials + trials)
        self.tell(replace(self._states[stage], settled=settled))
