"""Cells spent over groups of weights: against every possible choice, and against the relaxed programme."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, spatial

from qtaml_codesign.tac.cell_allocation import allocate_cells, lower_hull


def random_case(seed: int, groups: int, options: int) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    generator = np.random.default_rng(seed)
    costs = [np.sort(generator.integers(0, 40, options)).astype(float) for _ in range(groups)]
    errors = [generator.exponential(1.0, options) * 0.7 ** np.arange(options) for _ in range(groups)]
    return costs, errors


def spent(values: list[NDArray[np.float64]], chosen: NDArray[np.int64]) -> float:
    return float(sum(row[option] for row, option in zip(values, chosen, strict=True)))


def relaxed_optimum(costs: list[NDArray[np.float64]], errors: list[NDArray[np.float64]], total: float) -> float:
    """The linear programme in which a group may be shared between ways: below every whole choice."""
    sizes = [len(row) for row in costs]
    one_each = np.zeros((len(costs), sum(sizes)))
    for group, end in enumerate(np.cumsum(sizes)):
        one_each[group, end - sizes[group]:end] = 1.0
    found = optimize.linprog(np.concatenate(errors), A_ub=[np.concatenate(costs)], b_ub=[total], A_eq=one_each,
                             b_eq=np.ones(len(costs)), bounds=(0, 1))
    return float(found.fun)


@pytest.mark.parametrize("seed", range(12))
def test_within_one_step_of_the_best_of_all_choices(seed: int) -> None:
    costs, errors = random_case(seed, 4, 5)
    for total in (20.0, 60.0, 100.0, 200.0):
        if spent(costs, np.array([np.argmin(row) for row in costs])) > total:
            continue
        chosen = allocate_cells(costs, errors, total)
        assert spent(costs, chosen) <= total
        best = min(spent(errors, np.array(choice)) for choice in product(range(5), repeat=4)
                   if spent(costs, np.array(choice)) <= total)
        steps = [errors[g][hull[:-1]] - errors[g][hull[1:]] for g in range(4)
                 if len(hull := lower_hull(costs[g], errors[g])) > 1]
        assert best <= spent(errors, chosen) <= best + max(step.max() for step in steps)


def test_many_groups_come_within_a_step_of_the_relaxed_programme() -> None:
    costs, errors = random_case(99, 300, 9)
    total = 0.4 * sum(row.max() for row in costs)
    found, floor = spent(errors, allocate_cells(costs, errors, total)), relaxed_optimum(costs, errors, total)
    assert floor <= found <= floor + 0.005 * floor


def test_the_hull_is_that_of_qhull() -> None:
    generator = np.random.default_rng(3)
    points = generator.random((60, 2))
    found = lower_hull(points[:, 0].copy(), points[:, 1].copy())
    corners = spatial.ConvexHull(points).vertices
    assert set(found.tolist()) <= set(corners.tolist())
    assert found[0] == points[:, 0].argmin()
    assert found[-1] == points[:, 1].argmin()
    turns = np.diff(points[found, 1]) / np.diff(points[found, 0])
    assert (np.diff(turns) > 0).all()
    below = [point for point in points
             if np.interp(point[0], points[found, 0], points[found, 1]) > point[1] + 1e-12
             and points[found, 0].min() <= point[0] <= points[found, 0].max()]
    assert not below


def test_ways_of_the_same_cost_leave_the_better_one() -> None:
    assert lower_hull(np.array([1.0, 1.0, 1.0]), np.array([3.0, 1.0, 2.0])).tolist() == [1]
    assert lower_hull(np.array([1.0, 1.0, 2.0]), np.array([3.0, 2.0, 2.0])).tolist() == [1]


def test_a_budget_below_the_cheapest_ways_takes_those() -> None:
    assert allocate_cells([np.array([5.0, 9.0])] * 2, [np.array([1.0, 0.0])] * 2, 3.0).tolist() == [0, 0]


def test_what_is_left_goes_to_steps_that_still_fit() -> None:
    """The step that helps most does not fit, the next one does."""
    costs = [np.array([0.0, 10.0]), np.array([0.0, 5.0])]
    assert allocate_cells(costs, [np.array([100.0, 0.0]), np.array([10.0, 0.0])], 5.0).tolist() == [0, 1]
