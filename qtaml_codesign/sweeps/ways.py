"""Ways to measure a range of oxide thickness: every point, knots with the grid between them, or the frontier alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qtaml_codesign.bits.profile import BitErrorProfile
from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.flip import FlipProbability
from qtaml_codesign.sweeps.adaptive import Key, knot_rows, measure_curves, rows_between
from qtaml_codesign.sweeps.axis import axis_for
from qtaml_codesign.sweeps.points import COLUMNS, MeasuredPoint, Measurement, Point
from qtaml_codesign.sweeps.session import Rows
from qtaml_codesign.sweeps.settings import SweepSettings


def every_point(measurement: Measurement, card: DeviceCard, flips: FlipProbability, refine: bool) -> Rows:
    """Measure each thickness of the grid, and bisect the cells in which the curves cross the target."""
    grid = np.asarray(flips.thickness_nm)
    measured = measurement.measure(_points(measurement.settings, flips))
    table = pd.DataFrame([measurement.row(point) for point in measured], columns=list(COLUMNS))
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
    clean, rule = measurement.network.clean_accuracy, measurement.settings.rule
    axis, grid = axis_for(card), np.asarray(flips.thickness_nm)
    curves = measure_curves(measurement, axis, grid, everywhere=True)
    table = rows_between(curves, axis, flips, clean, rule.half_width)
    knots = knot_rows(curves, axis, grid, measurement)
    return Rows(table, knots, grid, flips.warnings, interpolated=True)


def frontier_alone(measurement: Measurement, card: DeviceCard, flips: FlipProbability) -> Rows:
    """Bisect each curve for the crossing of the target; the knots and the ends are the table. flips: at the ends."""
    axis, ends = axis_for(card), np.asarray(flips.thickness_nm)
    curves = measure_curves(measurement, axis, ends, everywhere=False)
    table = knot_rows(curves, axis, ends, measurement)
    return Rows(table, None, np.unique(table["thickness_nm"]), flips.warnings)


def _points(settings: SweepSettings, flips: FlipProbability) -> list[Point]:
    rows = [flips.at(index) for index in range(np.size(flips.thickness_nm))]
    profiles = [BitErrorProfile.from_flip_probability(row) for row in rows]
    return [
        Point(float(row.thickness_nm), float(row.probability), method, budget, profile)
        for method in settings.methods
        for budget in settings.budgets_of(method)
        for row, profile in zip(rows, profiles, strict=True)
    ]
