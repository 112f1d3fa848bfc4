"""From the points of a sweep to its frontier: the thinnest oxide per budget, the smallest budget per thickness.

Everything here works on the table of a sweep alone, so a saved `sweep.csv` is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROSSING = "crossing"
AT_OR_BELOW = "at-or-below-range"
BEYOND = "beyond-range"

COLUMNS = ("method", "budget", "overhead", "thickness_nm", "thickness_low_nm", "thickness_high_nm",
           "flip_probability", "status", "image_low_nm", "image_high_nm")
BUDGET_COLUMNS = ("method", "thickness_nm", "flip_probability", "budget", "overhead", "accuracy", "status")
_NEEDED = ("thickness_nm", "flip_probability", "method", "budget", "overhead", "accuracy", "accuracy_low",
           "accuracy_high", "clean_accuracy")

_SHOWN_ANSWERS = 12

FlipLaw = Callable[[float], float]
"""Oxide thickness in nm -> flip probability."""


@dataclass(frozen=True)
class Frontier:
    """The thinnest oxide that keeps `target` x clean accuracy, for each method and budget.

    Args:
        points: the table of the sweep (columns of `sweep.csv`).
        target: fraction of the clean accuracy to keep, in (0, 1].
        flip_law: exact thickness -> flip probability; None interpolates ln p between the grid points.
        knots: measured points of the same columns that lie closer to the crossing; it is looked for there. None: in
            `points`.

    Example:
        >>> points = pd.DataFrame({"thickness_nm": [1.0, 2.0], "flip_probability": [0.1, 0.001], "method": "tac",
        ...     "budget": 0.05, "overhead": 0.05, "accuracy": [0.5, 1.0], "accuracy_low": [0.5, 1.0],
        ...     "accuracy_high": [0.5, 1.0], "clean_accuracy": 1.0})
        >>> float(Frontier(points, target=0.75).to_frame().thickness_nm[0])
        1.5
    """

    points: pd.DataFrame
    target: float = 0.95
    flip_law: FlipLaw | None = None
    knots: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        check_target(self.target)
        missing = [name for name in _NEEDED if name not in self.points.columns]
        if missing:
            raise InputError("the table of the sweep lacks columns", where="Frontier(points)",
                             rule=f"columns {', '.join(_NEEDED)}", value=", ".join(missing),
                             next_step="pass Sweep.to_frame(), or sweep.csv as it was written")
        twice = self.points.duplicated(["method", "budget", "thickness_nm"])
        if bool(twice.any()):
            first = self.points[twice].iloc[0]
            raise InputError("the table of the sweep holds a point twice", where="Frontier(points)",
                             rule="one row per method, budget and thickness",
                             value=f"{first['method']}, budget {first['budget']}, {first['thickness_nm']} nm",
                             next_step="drop the repeated rows, or keep one run per table")

    def __repr__(self) -> str:
        """The answers in a few lines."""
        table = self.to_frame()
        shown = table.head(_SHOWN_ANSWERS)
        lines = [f"  {row['method']} {row['budget']:g}: {_range_text(row)}" for _, row in shown.iterrows()]
        more = [f"  and {len(table) - _SHOWN_ANSWERS} more; see to_frame()"] if len(table) > _SHOWN_ANSWERS else []
        return "\n".join([f"Frontier: thinnest oxide that keeps {self.target:g} x clean accuracy", *lines, *more])

    def to_frame(self) -> pd.DataFrame:
        """One row per method and budget, in the order of the sweep: the columns of `frontier.csv`.

        thickness_nm is where the straight line between the last grid point below the threshold and the next one
        meets the threshold; every thicker grid point keeps it. thickness_low_nm and thickness_high_nm are the same
        for the upper and the lower end of the accuracy's interval (the upper end allows a thinner oxide).

        image_low_nm and image_high_nm are where accuracy + and - `image_half_width` meet it: the interval over
        evaluation samples; NaN in a table without that column.

        status: "crossing"; "at-or-below-range" when already the thinnest grid point keeps the threshold (then
        thickness_nm is that grid point, and thickness_low_nm is NaN); "beyond-range" when the thickest one misses
        it (thickness_nm is NaN). A bound that lies outside the grid is NaN. An accuracy equal to the threshold
        keeps it; an accuracy that is NaN does not, and the line is then replaced by the next grid point.
        overhead is that of the first grid point that keeps the threshold, or of the thickest one.
        """
        measured = self.points if self.knots is None else self.knots
        groups = measured.groupby(["method", "budget"], sort=False)
        rows = [self._row(method, budget, group) for (method, budget), group in groups]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def smallest_budgets(self) -> pd.DataFrame:
        """One row per method and thickness: the smallest overhead among the budgets that keep the threshold.

        status: "certain" when the whole interval of that accuracy is at or above the threshold, "uncertain" when
        the interval holds the threshold, "none" when no budget of the sweep keeps it (the numbers are then NaN).
        Of two budgets with the same overhead the smaller is named. Rows run by method, then rising thickness. Refused
        where the budgets were not measured at the same thicknesses, as a bisection leaves them.
        """
        if self.points.groupby("thickness_nm").size().nunique() > 1:
            raise InputError("the budgets of this table were not measured at the same thicknesses",
                             where="Frontier.smallest_budgets", rule="every thickness with every method and budget",
                             value="the points of a bisection",
                             next_step="run qc.sweep over a grid of thickness: its frontier is bisected too")
        order = list(dict.fromkeys(self.points["method"]))
        rows = []
        for method in order:
            for thickness, group in self.points[self.points["method"] == method].groupby("thickness_nm"):
                rows.append(self._smallest(method, float(str(thickness)), group))
        return pd.DataFrame(rows, columns=list(BUDGET_COLUMNS))

    def plot(self, ax: Any = None) -> Any:
        """Draw thinnest oxide (nm) against ECC overhead (% of stored bits); returns the matplotlib axes."""
        from qtaml_codesign.plots import draw_frontier

        return draw_frontier(self.points, self.to_frame(), self.target, ax)

    def _row(self, method: object, budget: object, group: pd.DataFrame) -> tuple[object, ...]:
        group = group.sort_values("thickness_nm")
        thickness = group["thickness_nm"].to_numpy(float)
        threshold = self.target * group["clean_accuracy"].to_numpy(float)
        found, first, status = crossing(thickness, group["accuracy"].to_numpy(float), threshold)
        low, high = _bounds(thickness, group["accuracy_low"], group["accuracy_high"], threshold)
        image = (math.nan, math.nan)
        if "image_half_width" in group.columns:
            half = group["image_half_width"]
            image = _bounds(thickness, group["accuracy"] - half, group["accuracy"] + half, threshold)
        flips = self._flips_at(found, thickness, group["flip_probability"].to_numpy(float))
        return (method, budget, float(group["overhead"].iloc[first]), found, low, high, flips, status, *image)

    def _flips_at(self, found: float, thickness: NDArray[np.float64], flips: NDArray[np.float64]) -> float:
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

    def _smallest(self, method: str, thickness: float, group: pd.DataFrame) -> tuple[object, ...]:
        flips = float(group["flip_probability"].iloc[0])
        kept = group[group["accuracy"] >= self.target * group["clean_accuracy"]]
        if kept.empty:
            return (method, thickness, flips, math.nan, math.nan, math.nan, "none")
        best = kept.sort_values(["overhead", "budget"]).iloc[0]
        certain = best["accuracy_low"] >= self.target * best["clean_accuracy"]
        return (method, thickness, flips, float(best["budget"]), float(best["overhead"]), float(best["accuracy"]),
                "certain" if certain else "uncertain")


def _bounds(
    thickness: NDArray[np.float64], lower: pd.Series, upper: pd.Series, threshold: NDArray[np.float64]
) -> tuple[float, float]:
    """Thinnest and thickest crossing that the two ends of an interval of the accuracy allow; NaN outside the grid."""
    low, _, status = crossing(thickness, upper.to_numpy(float), threshold)
    high, _, _ = crossing(thickness, lower.to_numpy(float), threshold)
    return (math.nan if status == AT_OR_BELOW else low), high


def _range_text(row: pd.Series) -> str:
    if row["status"] == BEYOND:
        return "beyond the range"
    bound = "<= " if row["status"] == AT_OR_BELOW else ""
    sure = bound and row["thickness_high_nm"] <= row["thickness_nm"]
    ends = "" if sure else f" [{row['thickness_low_nm']:.4f}, {row['thickness_high_nm']:.4f}]"
    return f"{bound}{row['thickness_nm']:.4f}{ends} nm"


def crossing(
    thickness: NDArray[np.float64], accuracy: NDArray[np.float64], threshold: NDArray[np.float64]
) -> tuple[float, int, str]:
    """Where an accuracy curve rises above a threshold for good: (thickness, first index that keeps it, status).

    Args:
        thickness: rising, shape (n,), n >= 1.
        accuracy, threshold: shape (n,); NaN in `accuracy` does not keep the threshold.

    Example:
        >>> crossing(np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.6, 0.9]), np.full(3, 0.75))
        (2.5, 2, 'crossing')
    """
    misses = np.flatnonzero(~(accuracy >= threshold))
    if misses.size == 0:
        return float(thickness[0]), 0, AT_OR_BELOW
    last = int(misses[-1])
    if last == len(thickness) - 1:
        return math.nan, last, BEYOND
    below, above = accuracy[last] - threshold[last], accuracy[last + 1] - threshold[last + 1]
    if math.isnan(below):
        return float(thickness[last + 1]), last + 1, CROSSING
    share = float(-below / (above - below))
    found = float(thickness[last] + share * (thickness[last + 1] - thickness[last]))
    return found, last + 1, CROSSING


def check_target(target: float) -> None:
    """Refuse a target outside (0, 1]."""
    if not 0.0 < target <= 1.0:
        raise InputError("the target is out of bounds", where="target (--target)", rule="0 < target <= 1",
                         value=target, next_step="0.95 keeps 95 % of the clean accuracy")
