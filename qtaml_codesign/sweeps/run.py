"""The sweep: card + network -> the metric at every oxide thickness, method and ECC budget, or the frontier alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from numpy.typing import ArrayLike

from qtaml_codesign.cards import DeviceCard, as_card
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.metric import Metric, as_metric
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.flip import flip_probability
from qtaml_codesign.sweeps import ways
from qtaml_codesign.sweeps.grid import checked_grid, thickness_grid
from qtaml_codesign.sweeps.progress import ProgressReport, SweepProgress
from qtaml_codesign.sweeps.result import Sweep
from qtaml_codesign.sweeps.session import Session
from qtaml_codesign.sweeps.settings import DEFAULT_METHODS, check_settings, stopping_rule, worker_count

__all__ = ["Sweep", "SweepProgress", "find_frontier", "sweep"]

MOST_POINTS = 48
"""Grids of more thicknesses are interpolated unless told otherwise."""


def sweep(
    workload: Workload | str,
    card: DeviceCard | str | Path,
    thickness_nm: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    seed: int = 0,
    *,
    target: float | str | None = None,
    metric: str | Metric | None = None,
    trials: int | None = None,
    half_width: float | None = None,
    max_trials: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    out: str | Path | None = None,
    allocation: str | None = None,
    sensitivity: str = "auto",
    interpolate: bool | None = None,
    refine: bool | None = None,
    reuse: Sequence[str | Path] = (),
    progress: ProgressReport | None = None,
) -> Sweep:
    """A network's metric under tunnelling flips over oxide thickness, for each protection method and ECC budget.

    The same arguments give the same table to the last bit, whatever the number of workers, and also when the run
    was killed and started again on the same `out` folder: each trial's flips are keyed by (seed, trial, tensor,
    cell), and the number of trials of a point is decided from its own first trials alone.

    Args:
        workload: a network with its data, a zoo name, or "FILE.py:FACTORY".
        card: a device card, its name, or its path.
        thickness_nm: oxide thicknesses in nm; default: see `thickness_grid`.
        budgets: protected-bit fractions in [0, 1]; default 0 to 37.5 %. Methods that protect nothing ignore them.
        methods: protection methods to compare.
        seed: key of every drawing, >= 0.
        target: what the frontier keeps: 0.95 (or "0.95 x clean") of the clean value, "clean + 0.1", "clean - 0.02", or
            "= 12.5"; default 0.95, or 1.05 where smaller is better. It must be worse than the clean value.
        metric: what is measured, a name or a `Metric`; default: the workload's own.
        trials: exactly this many drawings per point, >= 2; default: adaptive.
        half_width: adaptive rule: go on until the 95 % interval of the metric is +- this; default 0.01, and of a metric
            without bounds a fifth of what the target allows to lose.
        max_trials: adaptive rule: stop here at the latest; default 320.
        workers: processes to run trials in; 1 (default) runs them in this one. A script that asks for more must
            start under `if __name__ == "__main__":`, as Python's process pools need it.
        executor: any `concurrent.futures.Executor` instead; it is left running.
        out: folder for the result store, the CSV files, the figure and run.json; None keeps everything in memory.
        allocation: "greedy" (default) or "exact", for methods that allocate by score.
        sensitivity: how Jacobian gains are measured, "auto" (default), "reverse", "random-sign" or
            "finite-difference"; see `plan`.
        interpolate: measure at knots that the accuracy's own shape asks for, interpolate the grid between them, and
            bisect the frontier; the cost does not depend on the number of thicknesses. Default: on a grid of more than
            48 thicknesses (`MOST_POINTS`).
        refine: bisect the cells of the grid in which a curve crosses the target, down to a sixteenth of an octave of
            the flip probability, so that the frontier does not depend on the grid. Default: yes; an interpolated sweep
            always does.
        reuse: result stores of other sweeps (or their folders) to take finished plans and trials from.
        progress: called in this thread with a `SweepProgress` after each step.

    Example:
        >>> import qtaml_codesign as qc
        >>> result = qc.sweep("small-cnn", "3nm", thickness_nm=[1.75, 2.0], budgets=[0.05], trials=2)
        >>> result.to_frame().shape
        (4, 13)
    """
    settings = check_settings(methods, budgets, seed, target, allocation, stopping_rule(trials, half_width, max_trials),
                              sensitivity)
    device = as_card(card)
    grid = thickness_grid(device) if thickness_nm is None else checked_grid(thickness_nm)
    flips = flip_probability(device, grid)
    session = Session(workload, device, settings, worker_count(workers, executor), executor, out, reuse, progress,
                      metric if metric is None else as_metric(metric))
    between = len(grid) > MOST_POINTS if interpolate is None else interpolate and len(grid) > 1
    preview = partial(ways.first_answer, card=device, flips=flip_probability(device, grid[[0, -1]][: len(grid)]))
    if not between:
        bisect = refine is None or refine
        return session.run(partial(ways.every_point, card=device, flips=flips, refine=bisect),
                           {"way": "every point", "refined": bisect, "thickness_nm": grid.tolist()}, preview=preview)
    if refine is False:
        raise InputError("an interpolated sweep always bisects its frontier", where="refine (--no-refine)",
                         rule="refine=False only where each thickness is measured", value=f"{len(grid)} thicknesses",
                         next_step="leave it out, or measure each: interpolate=False (--every-point)")
    return session.run(partial(ways.interpolated, card=device, flips=flips),
                       {"way": "interpolated", "refined": True, "thickness_nm": grid.tolist()}, preview=preview)


def find_frontier(
    workload: Workload | str,
    card: DeviceCard | str | Path,
    thickness_nm: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    seed: int = 0,
    *,
    target: float | str | None = None,
    metric: str | Metric | None = None,
    half_width: float | None = None,
    max_trials: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    out: str | Path | None = None,
    allocation: str | None = None,
    sensitivity: str = "auto",
    reuse: Sequence[str | Path] = (),
    progress: ProgressReport | None = None,
) -> Sweep:
    """The thinnest oxide for each method and ECC budget, by bisection: no grid, and no more trials than it takes.

    Flips nest over the flip probability, so each curve is bisected with common random numbers; a point is left as soon
    as its interval lies on one side of the target. The last two knots of each curve, and of the ends of its interval,
    are a sixteenth of an octave of the flip probability apart.

    Args:
        thickness_nm: the range to search, from the smallest to the largest of these; default: the card's sweep range.
        half_width, max_trials: a point that stays undecided is left when its 95 % interval is +- `half_width` (default
            0.01), or after `max_trials` drawings (default 320).

    The other arguments are those of `sweep`. The points of the result are the knots, each curve's own.

    Example:
        >>> import qtaml_codesign as qc
        >>> found = qc.find_frontier("small-cnn", "3nm", budgets=[0.05], methods=["tac"], max_trials=20)
        >>> row = found.frontier().to_frame().iloc[0]
        >>> bool(row.thickness_low_nm < row.thickness_nm < row.thickness_high_nm)
        True
    """
    settings = check_settings(methods, budgets, seed, target, allocation, stopping_rule(None, half_width, max_trials),
                              sensitivity)
    device = as_card(card)
    grid = thickness_grid(device) if thickness_nm is None else checked_grid(thickness_nm)
    session = Session(workload, device, settings, worker_count(workers, executor), executor, out, reuse, progress,
                      metric if metric is None else as_metric(metric))
    if len(grid) == 1:
        raise InputError("one thickness is no range to search", where="thickness_nm (--thickness)",
                         rule="the two ends of a range", value=float(grid[0]), next_step="give for instance 1.7:2.2")
    ends = flip_probability(device, grid[[0, -1]])
    return session.run(
        partial(ways.frontier_alone, card=device, flips=ends),
        {"way": "frontier", "refined": True, "thickness_nm": grid[[0, -1]].tolist()},
        preview=partial(ways.first_answer, card=device, flips=ends), leaving=True,
    )
