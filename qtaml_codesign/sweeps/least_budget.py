"""The smallest ECC budget with which a network keeps its target on a card as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.cards import DeviceCard, as_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.api import sweep
from qtaml_codesign.sweeps.result import Sweep

COARSE: Final = (0.0, 0.01, 0.03, 0.06, 0.125, 0.25, 0.375, 0.5, 0.75)
_PARTS: Final = 5
_ROUNDS: Final = 2


@dataclass(frozen=True, eq=False)
class LeastBudget:
    """The smallest budget that was seen to keep the target.

    Attributes:
        budget: protected-bit fraction whose value keeps the target; the next smaller one tried, `below`, does not.
        sure: smallest one tried whose whole interval keeps it; None where none does.
        below: largest smaller one tried; None where nothing need be spent.
        search: the sweep over every budget that was tried.
    """

    budget: float
    sure: float | None
    below: float | None
    search: Sweep


def least_budget(
    workload: Workload | str, card: DeviceCard | str | Path, *, method: str = "tac", out: str | Path | None = None,
    reuse: Sequence[str | Path] = (), **more: Any,
) -> LeastBudget:
    """Find it on a grid of budgets, then between the two about the crossing, twice, to a 25th of their distance.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path; its own thickness is used.
        method: protection method that spends a budget.
        out: folder for the last sweep, which holds every budget; those before it have round-1, round-2 inside it.
        reuse: as in `sweep`.
        more: as for `sweep`: target, metric, seed, trials, half_width, max_trials, workers, progress.

    Raises:
        InputError: a method that spends no budget, or no budget of those tried that keeps the target.
        CardError: a card that cannot be read.
        WorkloadError: a network or its data that cannot be used.
        StoreError: a folder or result store that cannot be used.

    Example:
        >>> found = least_budget("small-cnn", "3nm", max_trials=20)
        >>> found.below < found.budget < 0.06
        True
    """
    device, budgets, stores = as_card(card), np.array(COARSE), list(reuse)
    for place in _places(out):  # each sweep holds the budgets of the last one, and takes over its trials
        run = sweep(workload, device, [device.barrier.thickness_nm], budgets.tolist(), (method,), out=place,
                    reuse=stores, **more)
        stores += [] if place is None else [place]
        points = run.to_frame().sort_values("budget", ignore_index=True)
        keeps, sure = _kept(run, points)
        if not keeps.any():
            raise InputError("no budget keeps the target on this card", where="solve (--solve budget)",
                             rule=f"one of 0 to {COARSE[-1]:g}", value=f"p = {points['flip_probability'].iloc[0]:.4g}",
                             next_step="take a thicker oxide, another method, or a lower target")
        first = int(np.argmax(keeps))
        if first == 0:  # already of the first sweep
            if out is not None:
                run.save(out)
            break
        between = np.linspace(points["budget"][first - 1], points["budget"][first], _PARTS + 1)
        budgets = np.unique([*budgets, *between])
    certain = points["budget"][sure & keeps]
    return LeastBudget(float(points["budget"][first]), float(certain.iloc[0]) if len(certain) else None,
                       float(points["budget"][first - 1]) if first else None, run)


def _places(out: str | Path | None) -> list[Path | None]:
    """The folder of each sweep, the last one `out` itself."""
    if out is None:
        return [None] * (_ROUNDS + 1)
    return [*(Path(out) / f"round-{turn}" for turn in range(1, _ROUNDS + 1)), Path(out)]


def _kept(run: Sweep, points: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points keep the target by their value, and which by their whole interval."""
    metric, wanted = run.metric, np.full(len(points), run.options.wanted.value(run.clean_value))
    value, low, high = (metric.margin(points[name].to_numpy(float), wanted) >= 0.0 for name in metric.columns)
    return value, low & high
