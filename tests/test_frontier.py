"""The frontier of synthetic sweeps whose answer is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from qtaml_codesign.errors import InputError
from qtaml_codesign.frontier import AT_OR_BELOW, BEYOND, CROSSING, Frontier

GRID = np.array([1.0, 1.5, 2.0, 3.0])
FLIPS = np.exp(-2.0 * GRID)


def points(accuracy, *, half=0.0, method="tac", budget=0.05, overhead=0.04, clean=1.0, grid=GRID):
    accuracy = np.asarray(accuracy, float)
    return pd.DataFrame({
        "thickness_nm": grid, "flip_probability": np.exp(-2.0 * np.asarray(grid)), "method": method, "budget": budget,
        "overhead": overhead, "accuracy": accuracy, "accuracy_low": accuracy - half, "accuracy_high": accuracy + half,
        "clean_accuracy": clean,
    })


def only_row(frame, target, **kwargs):
    table = Frontier(frame, target, **kwargs).to_frame()
    assert len(table) == 1
    return table.iloc[0]


def test_crossing_is_interpolated_between_last_miss_and_first_keep():
    row = only_row(points([0.2, 0.6, 0.9, 1.0]), 0.75)
    assert row.status == CROSSING
    assert row.thickness_nm == pytest.approx(1.75)
    assert row.thickness_low_nm == pytest.approx(1.75)
    assert row.flip_probability == pytest.approx(math.exp(-3.5), rel=1e-12)


def test_threshold_is_target_times_clean():
    row = only_row(points([0.1, 0.3, 0.45, 0.5], clean=0.5), 0.75)
    assert row.thickness_nm == pytest.approx(1.5 + 0.5 * (0.375 - 0.3) / 0.15)


def test_bounds_come_from_the_other_end_of_the_interval():
    row = only_row(points([0.2, 0.6, 0.9, 1.0], half=0.1), 0.75)
    assert row.thickness_low_nm == pytest.approx(1.5 + 0.5 * 0.05 / 0.3)
    assert row.thickness_high_nm == pytest.approx(1.5 + 0.5 * 0.25 / 0.3)
    assert row.thickness_low_nm < row.thickness_nm < row.thickness_high_nm


def test_bounds_over_evaluation_samples_come_from_their_own_interval():
    frame = points([0.2, 0.6, 0.9, 1.0], half=0.1).assign(image_half_width=[0.0, 0.05, 0.15, 0.0])
    row = only_row(frame, 0.75)
    assert row.image_low_nm == pytest.approx(1.5 + 0.5 * 0.10 / 0.40)
    assert row.image_high_nm == pytest.approx(1.5 + 0.5 * 0.20 / 0.20)
    assert row.thickness_low_nm == pytest.approx(1.5 + 0.5 * 0.05 / 0.3)
    wide = only_row(frame.assign(image_half_width=0.6), 0.75)
    assert math.isnan(wide.image_low_nm)
    assert math.isnan(wide.image_high_nm)
    old = only_row(points([0.2, 0.6, 0.9, 1.0]), 0.75)
    assert math.isnan(old.image_low_nm)


def test_all_points_keep_the_target():
    row = only_row(points([0.96, 0.97, 0.98, 0.99], half=0.02), 0.95)
    assert row.status == AT_OR_BELOW
    assert row.thickness_nm == 1.0
    assert math.isnan(row.thickness_low_nm)
    assert 1.0 < row.thickness_high_nm < 2.0
    assert row.flip_probability == FLIPS[0]


def test_no_point_keeps_the_target():
    row = only_row(points([0.1, 0.2, 0.3, 0.4]), 0.95)
    assert row.status == BEYOND
    assert math.isnan(row.thickness_nm)
    assert math.isnan(row.thickness_high_nm)
    assert math.isnan(row.flip_probability)


def test_upper_bound_beyond_the_grid_is_nan():
    row = only_row(points([0.1, 0.2, 0.9, 0.96], half=0.05), 0.95)
    assert row.status == CROSSING
    assert math.isnan(row.thickness_high_nm)


def test_curve_that_dips_is_judged_by_its_last_miss():
    row = only_row(points([0.50, 0.97, 0.80, 1.00]), 0.90)
    assert row.thickness_nm == pytest.approx(2.5)


def test_equal_to_the_threshold_keeps_it():
    row = only_row(points([0.5, 0.75, 0.8, 0.9]), 0.75)
    assert row.thickness_nm == 1.5
    assert row.flip_probability == FLIPS[1]


def test_nan_does_not_keep_the_threshold_and_is_not_interpolated():
    row = only_row(points([0.2, math.nan, 0.9, 1.0]), 0.75)
    assert (row.status, row.thickness_nm) == (CROSSING, 2.0)
    assert only_row(points([0.2, 0.8, 0.9, math.nan]), 0.75).status == BEYOND


def test_row_order_of_the_table_does_not_matter():
    frame = points([0.2, 0.6, 0.9, 1.0], half=0.1)
    shuffled = frame.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(Frontier(frame, 0.75).to_frame(), Frontier(shuffled, 0.75).to_frame())


def test_flip_law_gives_the_exact_probability():
    row = only_row(points([0.2, 0.6, 0.9, 1.0]), 0.75, flip_law=lambda nm: nm / 10.0)
    assert row.flip_probability == pytest.approx(0.175)


def test_zero_flip_probability_on_the_grid():
    frame = points([0.2, 0.6, 0.9, 1.0])
    frame["flip_probability"] = [0.1, 0.01, 0.0, 0.0]
    assert only_row(frame, 0.75).flip_probability == 0.0


def test_overhead_is_that_of_the_first_point_that_keeps_it():
    frame = points([0.2, 0.6, 0.9, 1.0], overhead=[0.01, 0.02, 0.03, 0.04])
    assert only_row(frame, 0.75).overhead == 0.03


def test_smallest_budget_takes_the_smallest_overhead_and_says_how_sure():
    frame = pd.concat([
        points([0.7, 0.99, 0.99, 0.99], budget=0.02, overhead=0.015, half=0.03),
        points([0.7, 0.97, 0.99, 0.99], budget=0.01, overhead=0.010, half=0.03),
        points([0.7, 0.99, 0.99, 0.99], budget=0.03, overhead=0.010, half=0.03),
    ])
    table = Frontier(frame, 0.95).smallest_budgets()
    assert list(table.thickness_nm) == list(GRID)
    assert list(table.status) == ["none", "uncertain", "certain", "certain"]
    assert math.isnan(table.overhead[0])
    assert list(table.budget[1:]) == [0.01, 0.01, 0.01]
    assert list(table.overhead[1:]) == [0.01, 0.01, 0.01]


def test_methods_stay_apart_and_in_order():
    frame = pd.concat([
        points([0.2, 0.6, 0.9, 1.0], method="uniform-msp"),
        points([0.9, 0.9, 0.9, 1.0], method="tac"),
        points([0.9, 0.9, 0.9, 1.0], method="tac", budget=0.1),
    ])
    table = Frontier(frame, 0.75).to_frame()
    assert list(table.method) == ["uniform-msp", "tac", "tac"]
    assert list(table.budget) == [0.05, 0.05, 0.1]
    assert list(table.status) == [CROSSING, AT_OR_BELOW, AT_OR_BELOW]


@pytest.mark.parametrize("target", [0.0, -0.1, 1.01, math.nan])
def test_target_out_of_bounds_is_refused(target):
    with pytest.raises(InputError, match="target"):
        Frontier(points([0.2, 0.6, 0.9, 1.0]), target)


def test_repeated_points_and_missing_columns_are_refused():
    frame = points([0.2, 0.6, 0.9, 1.0])
    with pytest.raises(InputError, match="twice"):
        Frontier(pd.concat([frame, frame]), 0.95)
    with pytest.raises(InputError, match="lacks columns"):
        Frontier(frame.drop(columns="clean_accuracy"), 0.95)
