"""The smallest budget that reaches a target accuracy: a coarse grid, then bisection inside the bracket."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]


def reach(evaluate: Callable[[float], Row], grid: Sequence[float], target: float, steps: int) -> list[Row]:
    """Rows of every budget that was looked at: the grid, and `steps` halvings (in the logarithm) of the bracket.

    The bracket is the first budget whose accuracy reaches the target and the one before it; nothing is refined when
    no budget of the grid reaches it, or the first already does.

    Args:
        evaluate: budget -> row with "accuracy".
        grid: rising budgets > 0.
        target: accuracy to reach.
        steps: halvings; a grid by factors of two leaves a bracket of 2^(1 / 2^steps).

    Example:
        >>> [round(row["budget"], 3) for row in reach(lambda budget: {"accuracy": budget}, (0.1, 0.2, 0.4), 0.3, 2)]
        [0.1, 0.2, 0.283, 0.336, 0.4]
    """
    rows = {budget: {"budget": budget, **evaluate(budget)} for budget in grid}
    for _ in range(steps):
        budgets = sorted(rows)
        passed = next((index for index, budget in enumerate(budgets) if rows[budget]["accuracy"] >= target), 0)
        if passed == 0:
            break
        middle = math.sqrt(budgets[passed - 1] * budgets[passed])
        rows[middle] = {"budget": middle, **evaluate(middle)}
    return [rows[budget] for budget in sorted(rows)]


def reached(rows: pd.DataFrame, target: float) -> float:
    """Overhead really spent at the first budget whose accuracy reaches the target; inf when none does.

    Example:
        >>> rows = pd.DataFrame({"budget": [0.1, 0.2], "overhead": [0.09, 0.2], "accuracy": [0.8, 0.96]})
        >>> reached(rows, 0.95), reached(rows, 0.97)
        (0.2, inf)
    """
    passing = rows[rows["accuracy"] >= target].sort_values("budget")
    return float(passing["overhead"].iloc[0]) if len(passing) else math.inf
