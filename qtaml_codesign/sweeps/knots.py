"""Where a sweep measures: the loop that places knots where the curves need them, and the rows made from them.

Each round measures, for every method and all that it may spend at once, the knots that its curve asks for: bisection
towards the crossing of the target, and, for an interpolated table, closer knots where the curve bends. The flips of all
knots are nested (common random numbers), so neighbouring knots move together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.physics.flip import FlipProbability, flip_probability
from qtaml_codesign.sweeps.collect import MeasuredPoint, Measurement, Point
from qtaml_codesign.sweeps.coordinates import Coordinate, Place, coordinate_for, flip_law, place_of
from qtaml_codesign.sweeps.curve import Curve, Knot, starting_knots
from qtaml_codesign.sweeps.options import SweepOptions
from qtaml_codesign.sweeps.progress import FirstAnswer
from qtaml_codesign.tac.choices import USUAL_CELLS, Choice
from qtaml_codesign.tac.methods import CODED_METHODS

FIRST_BUDGET = 0.03
"""The first answer is that of the budget nearest to this."""


@dataclass(frozen=True)
class MeasuredCurve:
    """One method and what it may spend: the points in the order in which they were measured, and what they tell."""

    points: tuple[MeasuredPoint, ...]
    curve: Curve


Curves = Mapping[Choice, MeasuredCurve]


@dataclass(frozen=True)
class SweepRows:
    """The tables of a sweep, `points`, and `knots` where others were measured beside them."""

    points: pd.DataFrame
    knots: pd.DataFrame | None
    warnings: tuple[str, ...]


def measure_rows(measurement: Measurement, card: DeviceCard) -> SweepRows:
    """Measure what the options of the measurement ask for, and make the tables of it.

    Args:
        measurement: what measures points.
        card: the device card.

    Raises:
        InputError: a thickness outside the card's validity, or what `Measurement.measure` refuses.
    """
    options, coordinate = measurement.options, coordinate_for(card)
    flips = flip_probability(card, np.array(options.thickness_nm))
    x = coordinate.at(np.asarray(flips.thickness_nm))
    within = (float(x.min()), float(x.max()))
    if options.rows == "measured":
        start = [place_of(flips.at(index), at) for index, at in enumerate(x.tolist())]
    else:
        ends = coordinate.ends(*within) if options.rows == "interpolated" else within
        start = [coordinate.place(end) for end in starting_knots(*ends)]
    curves = measure_curves(measurement, coordinate, start, within)
    knots = _knot_rows(curves, coordinate, flips, measurement)
    if options.rows == "knots":
        return SweepRows(knots, None, flips.warnings)
    rows = [measurement.row(one, one.point.place.thickness_nm)
            for curve in curves.values() for one in curve.points[: len(start)]]
    between = options.rows == "interpolated"
    table = _rows_between(curves, coordinate, flips, measurement) if between else measurement.table(rows)
    return SweepRows(table, knots if _can_refine(options, start) else None, flips.warnings)


def measure_curves(
    measurement: Measurement, coordinate: Coordinate, start: Sequence[Place], within: tuple[float, float]
) -> Curves:
    """Measure every curve at the starting places, then at the knots that it asks for, until none asks for more.

    Args:
        measurement: what measures points; its options say which curves, which target, and whether to refine.
        coordinate: the card's.
        start: where to begin; two different places, or there is nothing to refine between.
        within: coordinates beyond which no further knot is measured.
    """
    options, refine = measurement.options, _can_refine(measurement.options, start)
    found: dict[Choice, list[MeasuredPoint]] = {key: [] for key in options.curves}
    asked = [Point(key, place) for key in found for place in start]
    while True:
        for one in measurement.measure(asked):
            found[one.point.choice].append(one)
        curves = {key: MeasuredCurve(tuple(points), _curve(points, measurement)) for key, points in found.items()}
        asked = [
            Point(key, coordinate.place(x)) for key, measured in curves.items() if refine
            for x in measured.curve.to_split(measurement.threshold, options.stopping.width,
                                             options.rows == "interpolated", within)
        ]
        if not asked:
            return curves


def first_answer(measurement: Measurement, card: DeviceCard) -> FirstAnswer | None:
    """The thinnest oxide of one curve: the first at the budget nearest to 3 %, and of those at about 8 cells.

    Args:
        measurement: what measures points; its options say what was asked for.
        card: the device card.

    Returns:
        None where there is nothing to bisect, or where this one curve is all that was asked for. The trials are those
        that the curves need too, but for a few knots far from the crossing.
    """
    options = measurement.options
    if len(options.thickness_nm) < 2 or len(options.curves) == 1:
        return None
    chosen = min(options.curves, key=_from_usual)
    ends = (options.thickness_nm[0], options.thickness_nm[-1])
    one = replace(options, methods=(chosen.method,), budgets=(chosen.budget,), thickness_nm=ends,
                  cells=() if chosen.cells is None else (chosen.cells,), rows="knots", refine=True)
    rows = measure_rows(replace(measurement, options=one.deciding()), card)
    frontier = Frontier(rows.points, options.wanted, flip_law(card), metric=measurement.network.metric)
    row = frontier.to_frame().iloc[0]
    return FirstAnswer(
        chosen.method, chosen.budget, float(row["overhead"]), options.wanted, float(row["thickness_nm"]),
        float(row["thickness_low_nm"]), float(row["thickness_high_nm"]), float(row["flip_probability"]),
        str(row["status"]), ends, chosen.cells,
    )


def _from_usual(choice: Choice) -> tuple[float, float]:
    return abs(choice.budget - FIRST_BUDGET), 0.0 if choice.cells is None else abs(choice.cells - USUAL_CELLS)


def _can_refine(options: SweepOptions, start: Sequence[Place]) -> bool:
    return options.refine and len({place.x for place in start}) > 1


def _knot_rows(
    curves: Curves, coordinate: Coordinate, flips: FlipProbability, measurement: Measurement
) -> pd.DataFrame:
    """The knots inside the range of thickness as rows of `sweep.csv`, thickness rising within each curve."""
    grid = np.asarray(flips.thickness_nm)
    given = dict(zip(coordinate.at(grid).tolist(), grid.tolist(), strict=True))

    @cache
    def thickness_nm(x: float) -> float:
        return given[x] if x in given else coordinate.thickness_nm(x)

    rows = []
    for curve in curves.values():
        by_x = {one.point.place.x: one for one in curve.points}
        inside = [x for x in sorted(by_x, reverse=True) if min(given) <= x <= max(given)]
        rows += [measurement.row(by_x[x], thickness_nm(x)) for x in inside]
    return measurement.table(rows)


def _rows_between(
    curves: Curves, coordinate: Coordinate, flips: FlipProbability, measurement: Measurement
) -> pd.DataFrame:
    """Rows of `sweep.csv` at the thicknesses of `flips`, (n,), interpolated; realised_ber is NaN: nothing was drawn."""
    thickness, probability = np.asarray(flips.thickness_nm), np.asarray(flips.probability)
    tables, metric = [], measurement.network.metric
    for measured in curves.values():
        at = measured.curve.between(coordinate.at(thickness), probability, measurement.options.stopping.width)
        tables.append(pd.DataFrame({
            "thickness_nm": thickness, "flip_probability": probability,
            **measurement.curve_of(measured.points[0]), "overhead": at.overhead,
            **dict(zip(metric.columns, (at.value, at.low, at.high), strict=True)),
            "trials": at.trials, metric.clean_column: measurement.network.clean_value, "nominal_ber": at.nominal_ber,
            "realised_ber": np.nan, "image_half_width": at.image_half_width,
        }))
    return pd.concat(tables, ignore_index=True)


def _curve(points: Sequence[MeasuredPoint], measurement: Measurement) -> Curve:
    by_x = {one.point.place.x: one for one in points}
    knots = tuple(_knot(by_x[x], measurement) for x in sorted(by_x))
    steps = points[0].point.choice.method not in CODED_METHODS
    return Curve(knots, measurement.network.metric, measurement.threshold, finds_steps=steps)


def _knot(measured: MeasuredPoint, measurement: Measurement) -> Knot:
    """A measured point as a knot; those of one curve are smooth where depths, planes and corrections are the same."""
    place, counts, plan = measured.point.place, measured.counts, measured.plan
    found = measurement.options.stopping.interval(counts)
    shape = tuple(layer.shape for layer in plan.layers)
    return Knot(place.x, *found, measurement.image_half_width(counts),
                counts.trials, plan.overhead, counts.nominal_ber, place.flip_probability, shape)
