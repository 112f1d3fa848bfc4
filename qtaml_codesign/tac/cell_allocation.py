"""Spend a budget of cells over groups of weights, each of which can be held in several ways.

With cost c_g(o) in cells and error e_g(o) of group g held in way o,

    minimise  sum_g e_g(o_g)    subject to  sum_g c_g(o_g) <= T

by one Lagrange multiplier: every group takes the way that minimises e + lambda c, which lies on the lower convex hull
of its (cost, error) points, and lambda falls until the budget is spent. What is left over then goes to further steps
along the hulls that still fit. The error is larger than the least possible one by that of a single step at most.

Source: H. Everett, Oper. Res. 11, 399 (1963); Y. Shoham and A. Gersho, IEEE Trans. ASSP 36, 1445 (1988).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lower_hull(costs: Floats, errors: Floats) -> NDArray[np.int64]:
    """Indices of the options on the lower convex hull, from the cheapest to the one of least error.

    Args:
        costs: (k,) in cells.
        errors: (k,) of the same options.

    Example:
        >>> lower_hull(np.array([0.0, 1.0, 2.0, 3.0]), np.array([9.0, 8.0, 1.0, 2.0]))
        array([0, 2])
    """
    hull: list[int] = []
    for option in np.lexsort((errors, costs)).tolist():
        if hull and errors[option] >= errors[hull[-1]]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1], costs, errors) >= _slope(hull[-1], option, costs, errors):
            hull.pop()
        if len(hull) == 1 and costs[hull[0]] == costs[option]:
            hull.pop()
        hull.append(option)
    return np.array(hull, np.int64)


def _slope(first: int, second: int, costs: Floats, errors: Floats) -> float:
    """Error per cell from one option to the next, negative where it falls."""
    return float((errors[second] - errors[first]) / (costs[second] - costs[first]))


def allocate_cells(costs: Sequence[Floats], errors: Sequence[Floats], total: float) -> NDArray[np.int64]:
    """The option of each group: least summed error within the budget.

    Args:
        costs: for each group, (k,) cells that each way takes.
        errors: for each group, (k,) errors.
        total: T, cells of all groups together.

    Returns:
        (groups,) chosen options; the cheapest of each where even those exceed the budget.

    Example:
        >>> costs = [np.array([0.0, 10.0, 20.0])] * 2
        >>> allocate_cells(costs, [np.array([8.0, 2.0, 1.0]), np.array([80.0, 20.0, 10.0])], 30.0)
        array([1, 2])
    """
    hulls = [lower_hull(cost, error) for cost, error in zip(costs, errors, strict=True)]
    chosen = np.array([hull[0] for hull in hulls], np.int64)
    left = total - sum(float(cost[option]) for cost, option in zip(costs, chosen.tolist(), strict=True))
    steps = sorted(
        (_slope(first, second, costs[group], errors[group]), group, first, second)
        for group, hull in enumerate(hulls) for first, second in zip(hull[:-1].tolist(), hull[1:].tolist(), strict=True)
    )
    for _, group, first, second in steps:
        needed = float(costs[group][second] - costs[group][first])
        if chosen[group] == first and needed <= left + 1e-9 * abs(total):
            chosen[group], left = second, left - needed
    return chosen
