"""From the points of a sweep to its frontier: the thinnest oxide per budget, the smallest budget per thickness.

Of a method that spends cells per weight the number of cells takes the place of the budget.

Everything here works on the table of a sweep alone, so a saved `sweep.csv` is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.metric import ACCURACY, Metric, as_metric
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.tac.choices import choice_of, curve_columns

CROSSING = "crossing"
AT_OR_BELOW = "at-or-below-range"
BEYOND = "beyond-range"

COLUMNS = ("overhead", "thickness_nm", "thickness_low_nm", "thickness_high_nm",
           "flip_probability", "status", "image_low_nm", "image_high_nm")
"""Of `frontier.csv`, after those that name a curve."""

_SHOWN_ANSWERS = 12

Array = NDArray[np.float64]

FlipLaw = Callable[[float], float]
"""Oxide thickness in nm -> flip probability."""


@dataclass(frozen=True)
class Frontier:
    """The thinnest oxide that keeps the target, for each method and budget or number of cells.

    Args:
        points: the table of the sweep (columns of `sweep.csv`).
        target: what is to be kept, as in `sweep`: 0.95 (of the clean value), "clean + 0.1" or "= 12.5"; default: the
            metric's usual one.
        flip_law: exact thickness -> flip probability; None interpolates ln p between the grid points.
        knots: measured points of the same columns that lie closer to the crossing; it is looked for there. None: in
            `points`.
        metric: what the sweep has measured; it names the columns and says which way is better.

    Raises:
        InputError: a target that cannot be read, or is better than the clean network; columns that are missing; a point
            that is there twice.

    Example:
        >>> points = pd.DataFrame({"thickness_nm": [1.0, 2.0], "flip_probability": [0.1, 0.001], "method": "tac",
        ...     "budget": 0.05, "overhead": 0.05, "accuracy": [0.5, 1.0], "accuracy_low": [0.5, 1.0],
        ...     "accuracy_high": [0.5, 1.0], "clean_accuracy": 1.0})
        >>> float(Frontier(points, target=0.75).to_frame().thickness_nm[0])
        1.5
    """

    points: pd.DataFrame
    target: float | str | Target | None = None
    flip_law: FlipLaw | None = None
    knots: pd.DataFrame | None = None
    metric: Metric | str = ACCURACY

    def __post_init__(self) -> None:
        metric = self._metric
        needed = ("thickness_nm", "flip_probability", "method", "budget", "overhead", *metric.columns,
                  metric.clean_column)
        missing = [name for name in needed if name not in self.points.columns]
        if missing:
            raise InputError("the table of the sweep lacks columns", where="Frontier(points)",
                             rule=f"columns {', '.join(needed)}", value=", ".join(missing),
                             next_step="pass Sweep.to_frame(), or sweep.csv as it was written, and its metric")
        for clean in self.points[metric.clean_column].unique():
            metric.check_target(self._target, float(clean))
        twice = self.points.duplicated([*self._curve, "thickness_nm"])
        if bool(twice.any()):
            first = self.points[twice].iloc[0]
            raise InputError("the table of the sweep holds a point twice", where="Frontier(points)",
                             rule=f"one row per {', '.join(self._curve)} and thickness",
                             value=f"{choice_of(first).text}, {first['thickness_nm']} nm",
                             next_step="drop the repeated rows, or keep one run per table")

    def __repr__(self) -> str:
        """The answers in a few lines."""
        table = self.to_frame()
        shown = table.head(_SHOWN_ANSWERS)
        lines = [f"  {choice_of(row).text}: {_range_text(row)}" for _, row in shown.iterrows()]
        more = [f"  and {len(table) - _SHOWN_ANSWERS} more; see to_frame()"] if len(table) > _SHOWN_ANSWERS else []
        return "\n".join([f"Frontier: thinnest oxide that keeps {self._target.of(self._metric.name)}", *lines, *more])

    def to_frame(self) -> pd.DataFrame:
        """One row per method and budget or number of cells, in the order of the sweep: the columns of `frontier.csv`.

        thickness_nm is where the straight line between the last grid point below the threshold and the next one
        meets the threshold; every thicker grid point keeps it. thickness_low_nm and thickness_high_nm are the same
        for the two ends of the metric's interval (the better end allows a thinner oxide).

        image_low_nm and image_high_nm are where the metric +- `image_half_width` meets it: the interval over
        evaluation samples; NaN in a table without that column.

        status: "crossing"; "at-or-below-range" when already the thinnest grid point keeps the threshold (then
        thickness_nm is that grid point, and thickness_low_nm is NaN); "beyond-range" when the thickest one misses
        it (thickness_nm is NaN). A bound that lies outside the grid is NaN. A value equal to the threshold keeps it;
        one that is NaN or infinite does not, and the line is then replaced by the next grid point.
        overhead is that of the first grid point that keeps the threshold, or of the thickest one. `cells` stands after
        `budget` where the table of the sweep has it.
        """
        measured = self.points if self.knots is None else self.knots
        rows = [(*curve, *self._row(group)) for curve, group in measured.groupby(self._curve, sort=False)]
        return pd.DataFrame(rows, columns=[*self._curve, *COLUMNS])

    def smallest_budgets(self) -> pd.DataFrame:
        """One row per method and thickness: the smallest overhead among the budgets that keep the threshold, and of a
        method that spends cells the fewest of them.

        status: "certain" when the whole interval of that value keeps the threshold, "uncertain" when
        the interval holds the threshold, "none" when no budget of the sweep keeps it (the numbers are then NaN).
        Of two budgets with the same overhead the smaller is named. `cells` stands after `budget` where the table of the
        sweep has it. Rows run by method, then rising thickness.

        Raises:
            InputError: the budgets were not measured at the same thicknesses, as a bisection leaves them.
        """
        if self.points.groupby("thickness_nm").size().nunique() > 1:
            raise InputError("the budgets of this table were not measured at the same thicknesses",
                             where="Frontier.smallest_budgets", rule="every thickness with every method and budget",
                             value="the points of a bisection",
                             next_step="run qc.sweep over a grid of thickness: its frontier is bisected too")
        columns = ["method", "thickness_nm", "flip_probability", *self._curve[1:], "overhead", self._metric.column,
                   "status"]
        rows = [
            (method, float(str(thickness)), *self._smallest(group))
            for method, own in self.points.groupby("method", sort=False)
            for thickness, group in own.groupby("thickness_nm")
        ]
        return pd.DataFrame(rows, columns=columns)

    def plot(self, ax: Any = None) -> Any:
        """Draw thinnest oxide (nm) against ECC overhead (% of stored bits), and in a panel to the right of it against
        cells per weight where methods spend them; returns the matplotlib axes of the first.

        Args:
            ax: matplotlib axes; None: of a new figure.
        """
        from qtaml_codesign.plots import draw_frontier

        return draw_frontier(self.points, self.to_frame(), self._target, ax)

    @cached_property
    def _curve(self) -> list[str]:
        return curve_columns(self.points.columns)

    @cached_property
    def _metric(self) -> Metric:
        return as_metric(self.metric)

    @cached_property
    def _target(self) -> Target:
        return self._metric.usual_target if self.target is None else as_target(self.target)

    def _margins(self, group: pd.DataFrame, values: pd.Series) -> Array:
        """By how much values of some points keep the target: (n,), negative where they do not."""
        clean: Array = group[self._metric.clean_column].to_numpy(float)
        return self._metric.margin(values.to_numpy(float), self._target.value(clean))

    def _row(self, group: pd.DataFrame) -> tuple[object, ...]:
        """The values of `COLUMNS`."""
        group = group.sort_values("thickness_nm")
        thickness = group["thickness_nm"].to_numpy(float)
        value, low, high = (group[name] for name in self._metric.columns)
        half = group["image_half_width"] if "image_half_width" in group.columns else math.nan
        found, first, status = crossing(thickness, self._margins(group, value))
        flips = self._flips_at(found, thickness, group["flip_probability"].to_numpy(float))
        return (float(group["overhead"].iloc[first]), found, *self._bounds(group, low, high), flips, status,
                *self._bounds(group, value - half, value + half))

    def _bounds(self, group: pd.DataFrame, low: pd.Series, high: pd.Series) -> tuple[float, float]:
        """Thinnest and thickest crossing that the two ends of an interval allow; NaN outside the grid, or without."""
        thickness, margins = group["thickness_nm"].to_numpy(float), [self._margins(group, end) for end in (low, high)]
        if np.isnan(margins).all():
            return math.nan, math.nan
        thin, _, status = crossing(thickness, np.maximum(*margins))
        thick, _, _ = crossing(thickness, np.minimum(*margins))
        return (math.nan if status == AT_OR_BELOW else thin), thick

    def _flips_at(self, found: float, thickness: Array, flips: Array) -> float:
        if math.isnan(found):
            return math.nan
        on_grid = np.flatnonzero(thickness == found)
        if on_grid.size:
            return float(flips[on_grid[0]])
        if self.flip_law is not None:
            return float(self.flip_law(found))
        with np.errstate(divide="ignore", invalid="ignore"):
            log_flips = np.interp(found, thickness, np.log(flips))
        return 0.0 if math.isnan(log_flips) else math.exp(log_flips)

    def _smallest(self, group: pd.DataFrame) -> tuple[object, ...]:
        flips, names, told = float(group["flip_probability"].iloc[0]), self._metric.columns, self._curve[1:]
        group = group.reset_index(drop=True)
        margins = group.assign(**{name: self._margins(group, group[name]) for name in names})
        kept = margins[margins[names[0]] >= 0.0]
        if kept.empty:
            return (flips, *(math.nan for _ in told), math.nan, math.nan, "none")
        best = kept.sort_values([*told[1:], "overhead", "budget"]).index[0]
        certain = (margins.loc[best, list(names)] >= 0.0).all()
        row = group.loc[best]
        numbers = (float(row[name]) for name in (*told, "overhead", names[0]))
        return (flips, *numbers, "certain" if certain else "uncertain")


def _range_text(row: pd.Series) -> str:
    if row["status"] == BEYOND:
        return "beyond the range"
    bound = "<= " if row["status"] == AT_OR_BELOW else ""
    sure = bound and row["thickness_high_nm"] <= row["thickness_nm"]
    ends = "" if sure else f" [{row['thickness_low_nm']:.4f}, {row['thickness_high_nm']:.4f}]"
    return f"{bound}{row['thickness_nm']:.4f}{ends} nm"


def crossing(thickness: Array, margin: Array) -> tuple[float, int, str]:
    """Where a curve comes to keep its target for good: (thickness, first index that keeps it, status).

    Args:
        thickness: rising, shape (n,), n >= 1.
        margin: by how much the target is kept, shape (n,); negative and NaN do not keep it.

    Example:
        >>> crossing(np.array([1.0, 2.0, 3.0]), np.array([-0.5, -0.25, 0.25]))
        (2.5, 2, 'crossing')
    """
    misses = np.flatnonzero(~(margin >= 0.0))
    if misses.size == 0:
        return float(thickness[0]), 0, AT_OR_BELOW
    last = int(misses[-1])
    if last == len(thickness) - 1:
        return math.nan, last, BEYOND
    below, above = margin[last], margin[last + 1]
    if not math.isfinite(below):
        return float(thickness[last + 1]), last + 1, CROSSING
    share = float(-below / (above - below))
    found = float(thickness[last] + share * (thickness[last + 1] - thickness[last]))
    return found, last + 1, CROSSING
