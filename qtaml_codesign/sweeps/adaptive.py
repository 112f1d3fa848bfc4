"""Curves measured at knots that are placed where they are needed, and the rows of a sweep made from them.

Each round measures, for every method and budget at once, the knots that its curve asks for: bisection towards the
crossing of the target, and, if asked, closer knots where the curve bends. The flips of all knots are nested (common
random numbers), so neighbouring knots move together.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.physics.flip import FlipProbability
from qtaml_codesign.sweeps.axis import Axis
from qtaml_codesign.sweeps.curve import Curve, Knot, starting_knots
from qtaml_codesign.sweeps.points import MeasuredPoint, Measurement, Point
from qtaml_codesign.tac.api import TacPlan

Key = tuple[str, float]
"""Method and budget."""


@dataclass(frozen=True)
class MeasuredCurve:
    """The knots of one method and budget, as a curve and as measured points by coordinate."""

    curve: Curve
    points: Mapping[float, MeasuredPoint]


def measure_curves(
    measurement: Measurement, axis: Axis, thickness_nm: NDArray[np.float64], everywhere: bool,
    known: Mapping[Key, Mapping[float, MeasuredPoint]] | None = None,
) -> dict[Key, MeasuredCurve]:
    """Knots over a range of thickness, (n,) in nm, until no curve asks for more.

    Args:
        measurement: what measures points; its settings say which methods, budgets and target.
        axis: the card's axis.
        thickness_nm: the range is from the smallest to the largest.
        everywhere: False looks for the crossing of the target alone, between the ends of the range as they are; True
            starts from the ends of the axis, which other cards share.
        known: measured points by coordinate to start from instead, two or more for every method and budget.
    """
    settings, x = measurement.settings, axis.coordinates(thickness_nm)
    within = (float(x.min()), float(x.max()))
    ends = starting_knots(*(axis.ends(*within) if everywhere else within))
    keys = [(method, budget) for method in settings.methods for budget in settings.budgets_of(method)]
    found: dict[Key, dict[float, MeasuredPoint]] = {key: dict(known[key]) if known else {} for key in keys}
    asked = [] if known else [(key, place) for key in keys for place in ends]
    while True:
        measured = measurement.measure([_point(axis, place, key) for key, place in asked])
        for (key, place), point in zip(asked, measured, strict=True):
            found[key][place] = point
        curves = {key: _curve(found[key], measurement) for key in keys}
        asked = [(key, place) for key in keys
                 for place in curves[key].to_split(measurement.threshold, settings.rule.width, everywhere, within)]
        if not asked:
            return {key: MeasuredCurve(curves[key], found[key]) for key in keys}


def knot_rows(
    curves: Mapping[Key, MeasuredCurve], axis: Axis, thickness_nm: NDArray[np.float64], measurement: Measurement
) -> pd.DataFrame:
    """The knots inside the range of thickness as rows of `sweep.csv`, thickness rising within each curve."""
    x = axis.coordinates(thickness_nm)
    inside = {key: [place for place in sorted(curve.points, reverse=True) if x.min() <= place <= x.max()]
              for key, curve in curves.items()}
    thickness = dict(zip(x.tolist(), thickness_nm.tolist(), strict=True))
    for place in {place for row in inside.values() for place in row} - set(thickness):
        thickness[place] = axis.thickness_nm(place)
    rows = [
        (thickness[place], *measurement.row(curves[key].points[place])[1:])
        for key, places in inside.items() for place in places
    ]
    return measurement.table(rows)


def rows_between(
    curves: Mapping[Key, MeasuredCurve], axis: Axis, flips: FlipProbability, measurement: Measurement
) -> pd.DataFrame:
    """Rows of `sweep.csv` at the thicknesses of `flips`, (n,), interpolated; realised_ber is NaN: nothing was drawn."""
    thickness = np.asarray(flips.thickness_nm)
    x, probability = axis.coordinates(thickness), np.asarray(flips.probability)
    tables, rule, metric = [], measurement.settings.rule, measurement.network.metric
    for (method, budget), measured in curves.items():
        at = measured.curve.between(x, probability, rule.width)
        tables.append(pd.DataFrame({
            "thickness_nm": thickness, "flip_probability": probability, "method": method, "budget": budget,
            "overhead": at.overhead, **dict(zip(metric.columns, (at.value, at.low, at.high), strict=True)),
            "trials": at.trials, metric.clean_column: measurement.network.clean_value, "nominal_ber": at.nominal_ber,
            "realised_ber": np.nan, "image_half_width": at.image_half_width,
        }))
    return pd.concat(tables, ignore_index=True)


def with_ends(knots: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Knots, and the rows of the table at those of its two ends that are no knots; thickness rising in each curve."""
    ends = (table["thickness_nm"].min(), table["thickness_nm"].max())
    edges = table[table["thickness_nm"].isin(ends)]
    both = pd.concat([knots, edges], ignore_index=True) if len(knots) else edges
    once = both.drop_duplicates(["method", "budget", "thickness_nm"])
    groups = once.groupby(["method", "budget"], sort=False)
    return pd.concat([rows.sort_values("thickness_nm") for _, rows in groups], ignore_index=True)


def _point(axis: Axis, place: float, key: Key) -> Point:
    """The thickness of a knot is worked out where a table needs it: beyond the card's range there may be none."""
    return Point(np.nan, axis.flip_probability(place), *key, axis.profile(place))


def _curve(points: Mapping[float, MeasuredPoint], measurement: Measurement) -> Curve:
    knots = tuple(_knot(place, points[place], measurement) for place in sorted(points))
    return Curve(knots, measurement.network.metric, measurement.threshold)


def _knot(place: float, measured: MeasuredPoint, measurement: Measurement) -> Knot:
    found, image = measurement.settings.rule.interval(measured.counts), measurement.image_half_width(measured.counts)
    return Knot(place, *found, image, measured.counts.trials,
                measured.plan.overhead, measured.counts.nominal_ber, measured.point.flip_probability,
                _shape(measured.plan))


def _shape(plan: TacPlan) -> Hashable:
    return tuple(
        (layer.depth, layer.deeper, layer.planes, layer.factor != 1.0, layer.gain != 1.0, layer.offset != 0.0)
        for layer in plan.layers
    )
