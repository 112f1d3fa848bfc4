"""What a sweep returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import Metric, accuracy_of
from qtaml_codesign.nets.target import as_target
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.statistics import Interval
from qtaml_codesign.sweeps import outputs
from qtaml_codesign.sweeps.adaptive import with_ends
from qtaml_codesign.sweeps.settings import SweepSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qtaml_codesign.nets.exposure import Exposure


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep and what they stand for.

    Attributes:
        points: one row per method, budget and thickness, in that order, see `to_frame`.
        knots: measured points in the same columns that lie closer together where the curves cross the target; the
            frontier is found there. None when nothing was measured beside `points`.
        interpolated: True when `points` was interpolated between the knots.
        card: the device card.
        grid_nm: the oxide thicknesses, rising, shape (n,).
        settings: methods, budgets, seed, target, allocation and stopping rule.
        workload_name, workload_digest: the network and its evaluation set.
        exposure: what share of the network lies in the tunnelling memory, and what does not.
        clean_interval: the metric of the float network, no quantisation, no flips, with its interval over evaluation
            samples.
        samples: scores of the evaluation set.
        options: what was asked for and acts on the tables, as plain values.
        counts: sum over the distinct tasks of the sweep.
        tasks: number of distinct tasks; points that store the same codes under the same rates share one.
        new_trials: trials that this call ran; the others were in its store, or in one that it was allowed to reuse.
        borrowed_trials: trials that came from other stores.
        warnings: what the physics and the plans want the reader to know, each once.
    """

    points: pd.DataFrame
    knots: pd.DataFrame | None
    interpolated: bool
    card: DeviceCard
    grid_nm: NDArray[np.float64]
    settings: SweepSettings
    workload_name: str
    workload_digest: str
    exposure: Exposure
    clean_interval: Interval
    samples: int
    options: Mapping[str, object]
    counts: TrialCounts
    tasks: int
    new_trials: int
    borrowed_trials: int
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """A few lines: what was measured, and the answers."""
        settings, grid = self.settings, self.grid_nm
        return "\n".join([
            f"Sweep of {self.workload_name} on card {self.card.name}: {len(self.points)} points, "
            f"{grid[0]:.4g} to {grid[-1]:.4g} nm, {self.counts.trials} trials",
            f"methods {', '.join(settings.methods)}",
            f"budgets {', '.join(f'{budget:g}' for budget in settings.budgets)}",
            f"clean {self.metric.name} {self.clean_value:.6g}",
            repr(self.frontier()),
        ])

    @property
    def metric(self) -> Metric:
        """What was measured."""
        return self.settings.rule.metric

    @property
    def clean_value(self) -> float:
        """The metric of the float network, no quantisation, no flips."""
        return self.clean_interval.estimate

    @property
    def clean_accuracy(self) -> float:
        """Accuracy of the float network; refused where another metric was measured."""
        return accuracy_of(self.metric, self.clean_value)

    def to_frame(self) -> pd.DataFrame:
        """The columns of `sweep.csv`.

        thickness_nm is the oxide thickness of the base cell, flip_probability its p; accuracy (or the column of another
        metric's name) is that over `trials` drawings of all flips, with its interval over trials
        (`StoppingRule.interval`); image_half_width is half the interval of accuracy - target over evaluation samples,
        paired with the clean network, for the sweep's own target; overhead is the protected fraction of the stored
        bits, at most the budget; nominal_ber and realised_ber are expected and counted flips per exposed cell (NaN when
        every cell is protected). In an interpolated sweep `trials` is the smaller of the two knots', and realised_ber
        is NaN: nothing was drawn at that thickness.
        """
        return self.points.copy()

    def frontier(self, target: float | str | None = None) -> Frontier:
        """The thinnest oxide that keeps `target` (as in `sweep`; default: the sweep's), per method and budget.

        Another target than the sweep's is read off the grid as it is, without the interval over evaluation samples,
        which is paired with the sweep's own target; and refused where only that was looked for (`find_frontier`).
        """
        own = self.settings.wanted
        wanted = own if target is None else as_target(target)
        if self.settings.rule.threshold is not None and wanted != own:
            raise InputError("this search has looked for another target", where="frontier(target)",
                             rule=f"target {own}, or a sweep over a grid of thickness",
                             value=wanted, next_step="call find_frontier(..., target=...), or qc.sweep")
        knots = with_ends(self.knots, self.points) if self.interpolated and self.knots is not None else self.knots
        points, unpaired = self.to_frame(), [] if wanted == own else ["image_half_width"]
        return Frontier(points.drop(columns=unpaired), wanted, partial(_flip_probability_at, self.card),
                        None if knots is None else knots.drop(columns=unpaired), self.metric)

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write sweep.csv, frontier.csv, frontier.png and run.json into a folder; returns their paths."""
        return outputs.write_outputs(self, outputs.writable_folder(folder))


def _flip_probability_at(card: DeviceCard, thickness_nm: float) -> float:
    return float(flip_probability(card, thickness_nm).probability)
