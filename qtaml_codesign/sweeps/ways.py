"""Ways to measure a range of oxide thickness: every point, knots with the grid between them, or the frontier alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.physics.flip import FlipProbability, flip_probability
from qtaml_codesign.sweeps.adaptive import Key, knot_rows, measure_curves, rows_between
from qtaml_codesign.sweeps.axis import axis_for
from qtaml_codesign.sweeps.points import MeasuredPoint, Measurement, Point
from qtaml_codesign.sweeps.progress import FirstAnswer
from qtaml_codesign.sweeps.session import Rows
from qtaml_codesign.sweeps.settings import SweepSettings

FIRST_BUDGET = 0.03
"""The first answer is that of the budget nearest to this."""


def every_point(measurement: Measurement, card: DeviceCard, flips: FlipProbability, refine: bool) -> Rows:
    """Measure each thickness of the grid, and bisect the cells in which the curves cross the target."""
    grid = np.asarray(flips.thickness_nm)
    measured = measurement.measure(_points(measurement.settings, flips))
    table = measurement.table([measurement.row(point) for point in measured])
    if not refine or len(grid) == 1:
        return Rows(table, None, grid, flips.warnings)
    axis = axis_for(card)
    known: dict[Key, dict[float, MeasuredPoint]] = {}
    for one, x in zip(measured, np.tile(axis.coordinates(grid), len(measured) // len(grid)).tolist(), strict=True):
        known.setdefault((one.point.method, one.point.budget), {})[x] = one
    if min(map(len, known.values())) == 1:
        return Rows(table, None, grid, flips.warnings)
    curves = measure_curves(measurement, axis, grid, everywhere=False, known=known)
    return Rows(table, knot_rows(curves, axis, grid, measurement), grid, flips.warnings)


def interpolated(measurement: Measurement, card: DeviceCard, flips: FlipProbability) -> Rows:
    """Measure where the curves bend and where they cross the target; interpolate the grid."""
    axis, grid = axis_for(card), np.asarray(flips.thickness_nm)
    curves = measure_curves(measurement, axis, grid, everywhere=True)
    table = rows_between(curves, axis, flips, measurement)
    knots = knot_rows(curves, axis, grid, measurement)
    return Rows(table, knots, grid, flips.warnings, interpolated=True)


def frontier_alone(measurement: Measurement, card: DeviceCard, flips: FlipProbability) -> Rows:
    """Bisect each curve for the crossing of the target; the knots and the ends are the table. flips: at the ends."""
    axis, ends = axis_for(card), np.asarray(flips.thickness_nm)
    curves = measure_curves(measurement, axis, ends, everywhere=False)
    table = knot_rows(curves, axis, ends, measurement)
    return Rows(table, None, np.unique(table["thickness_nm"]), flips.warnings)


def first_answer(measurement: Measurement, card: DeviceCard, flips: FlipProbability) -> FirstAnswer | None:
    """The thinnest oxide of one curve: the first method that spends a budget, at the budget nearest to 3 %.

    None where there is nothing to bisect, or where this one curve is all that was asked for. Its trials are those that
    the curves need too, but for a few knots far from the crossing.
    """
    settings, ends = measurement.settings, np.asarray(flips.thickness_nm)
    curves = [(method, budget) for method in settings.methods for budget in settings.budgets_of(method)]
    if ends.size < 2 or len(curves) == 1:
        return None
    method, budget = min(curves, key=lambda curve: abs(curve[1] - FIRST_BUDGET))
    one = replace(measurement, settings=replace(settings, methods=(method,), budgets=(budget,)))
    rows = frontier_alone(one, card, flips)

    def law(thickness_nm: float) -> float:
        return float(flip_probability(card, thickness_nm).probability)

    frontier = Frontier(rows.points, settings.wanted, law, metric=measurement.network.metric)
    row = frontier.to_frame().iloc[0]
    return FirstAnswer(
        method, budget, float(row["overhead"]), settings.wanted, float(row["thickness_nm"]),
        float(row["thickness_low_nm"]), float(row["thickness_high_nm"]), float(row["flip_probability"]),
        str(row["status"]), (float(ends[0]), float(ends[-1])),
    )


def _points(settings: SweepSettings, flips: FlipProbability) -> list[Point]:
    rows = [flips.at(index) for index in range(np.size(flips.thickness_nm))]
    profiles = [BitErrorProfile.from_flip_probability(row) for row in rows]
    return [
        Point(float(row.thickness_nm), float(row.probability), method, budget, profile)
        for method in settings.methods
        for budget in settings.budgets_of(method)
        for row, profile in zip(rows, profiles, strict=True)
    ]
