"""What a sweep is asked for: every choice that acts on its tables, checked once at the edge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.checks import number_within, one_of, several, whole_number
from qtaml_codesign.errors import InputError, shown
from qtaml_codesign.nets.metric import Metric, as_metric
from qtaml_codesign.nets.sensitivity import METHODS as SENSITIVITIES
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.sweeps.grid import checked_grid, ends_of, thickness_grid
from qtaml_codesign.sweeps.stopping import DEFAULT_MAX_TRIALS, StoppingRule
from qtaml_codesign.tac.allocation import checked_allocation
from qtaml_codesign.tac.choices import (
    Choice,
    checked_block,
    checked_cells,
    checked_margin,
    checked_methods,
    decodes,
    need_method,
)
from qtaml_codesign.tac.methods import BUDGET_FREE_METHODS, CELL_METHODS, METHOD_RULES, METHODS, SPENDING_METHODS

DEFAULT_BUDGETS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10, 0.125, 0.25, 0.375)
DEFAULT_METHODS = ("tac", "uniform-msp")

MOST_POINTS = 48
"""Grids of more thicknesses are interpolated unless told otherwise."""

Rows = Literal["measured", "interpolated", "knots"]


@dataclass(frozen=True)
class SweepOptions:
    """Everything that acts on the tables of a sweep, but for its card and workload; made by `sweep_options`.

    Args:
        thickness_nm: oxide thicknesses in nm, rising; of a search for the frontier alone the two ends of its range.
        budgets: protected-bit fractions, rising.
        cells: cells per weight, rising; empty where no method spends any.
        methods: protection methods.
        seed: key of every drawing.
        target: what the frontier keeps; None: what is usual for the metric.
        metric: what is measured; None: the workload's own.
        stopping: how many trials a point gets.
        allocation: "greedy" or "exact".
        sensitivity: how Jacobian gains are measured.
        rows: what the table holds: each thickness "measured", each "interpolated" between knots that lie where the
            curve bends, or the "knots" of a search for the frontier alone.
        refine: whether further knots are measured where a curve crosses the target.
        margin: design margin on the raw bit error rate, of methods that spend cells.
        block: weights that share a mean and a scale; None: those of an output channel do.
        decode: whether codewords are really decoded in every trial.
    """

    thickness_nm: tuple[float, ...]
    budgets: tuple[float, ...]
    cells: tuple[float, ...]
    methods: tuple[str, ...]
    seed: int
    target: Target | None
    metric: Metric | None
    stopping: StoppingRule
    allocation: str
    sensitivity: str
    rows: Rows
    refine: bool
    margin: float = 1.0
    block: int | None = None
    decode: bool = False

    def margin_of(self, method: str) -> float:
        """The design margin of a method, 1 where it designs nothing for the flip probability.

        Args:
            method: one of `METHODS`.
        """
        return self.margin if method in CELL_METHODS else 1.0

    def block_of(self, method: str) -> int | None:
        """Weights that share a mean and a scale under a method, None where their number is no choice.

        Args:
            method: one of `METHODS`.
        """
        return self.block if method in CELL_METHODS else None

    def sensitivity_of(self, method: str) -> str:
        """How the gains of a method are measured; one that chooses the store has its own way.

        Args:
            method: one of `METHODS`.
        """
        return "auto" if METHOD_RULES[method].chooses_store else self.sensitivity

    @property
    def curves(self) -> tuple[Choice, ...]:
        """What every curve stands for, in the order of the tables."""
        return tuple(choice for method in self.methods for choice in self.choices(method))

    def choices(self, method: str) -> list[Choice]:
        """What a method may spend, each in turn: cells or a budget; a method that spends nothing has a budget of 0.

        Args:
            method: one of `METHODS`.
        """
        if method in CELL_METHODS:
            return [Choice(method, 0.0, cells) for cells in self.cells]
        return [Choice(method, budget) for budget in ((0.0,) if method in BUDGET_FREE_METHODS else self.budgets)]

    @property
    def curve_columns(self) -> list[str]:
        """The columns of the tables that name a curve; they tell of cells where a method spends them."""
        return ["method", "budget", *(["cells"] if self.cells else [])]

    @property
    def wanted(self) -> Target:
        """What the frontier keeps."""
        return self.target or self.stopping.metric.usual_target

    def measuring(self, metric: Metric, clean: float) -> SweepOptions:
        """The same options for a workload's metric.

        Args:
            metric: what is measured.
            clean: its value for the clean network, as shown.

        Raises:
            InputError: a half-width that is not below half of the metric's range.
        """
        target = self.target or metric.usual_target
        return replace(self, target=target, metric=metric,
                       stopping=self.stopping.measuring(metric, clean, target.value(clean)))

    def deciding(self) -> SweepOptions:
        """The same options, but a point is left once it lies on one side of the target; after `measuring`."""
        return replace(self, stopping=replace(self.stopping, threshold=self.stopping.far_from))

    def to_json(self) -> dict[str, Any]:
        """Plain values that survive JSON; without what acts on stores where it is not asked for."""
        unused = {"cells": (), "margin": 1.0, "block": None, "decode": False}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
                 if name not in unused or value != unused[name]}
        return plain | {"stopping": self.stopping.describe(), "target": self.wanted.plain,
                        "metric": self.stopping.metric.name}


def differences(standing: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names of the options that differ, in the order of the wanted ones.

    Args:
        standing: options by name, of the tables that are there.
        wanted: options by name, of those that are asked for.

    Example:
        >>> differences({"seed": 0, "target": 0.95}, {"seed": 1, "target": 0.95})
        ['seed']
    """
    if not standing.keys() & wanted.keys():
        return ["not recorded"]
    names = [*wanted, *(name for name in standing if name not in wanted)]
    return [name for name in names if standing.get(name) != wanted.get(name)]


def sweep_options(
    card: DeviceCard, *, thickness_nm: ArrayLike | None = None, budgets: Sequence[float] | None = None,
    cells: float | Sequence[float] | None = None, methods: Sequence[str] = DEFAULT_METHODS, seed: int = 0,
    target: float | str | Target | None = None, metric: str | Metric | None = None, trials: int | None = None,
    half_width: float | None = None, max_trials: int | None = None, allocation: str | None = None,
    sensitivity: str = "auto", interpolate: bool | None = None, refine: bool | None = None, margin: float = 1.0,
    block: int | None = None, decode: bool = False, search: bool = False,
) -> SweepOptions:
    """The options of a sweep, checked; `sweep` and `find_frontier` say what each means.

    Args:
        card: whose range is the default.
        thickness_nm, budgets, cells, methods, seed, target, metric, trials, half_width, max_trials, allocation,
            sensitivity, interpolate, refine, margin, block, decode: as in `sweep`.
        search: look for the frontier alone.

    Raises:
        InputError: a choice that cannot be, or that would change nothing.
    """
    chosen = checked_methods(methods)
    grid = thickness_grid(card) if thickness_nm is None else checked_grid(thickness_nm)
    rows = "knots" if search else _rows(grid, interpolate, refine)
    return SweepOptions(
        thickness_nm=ends_of(grid) if search else tuple(grid.tolist()), budgets=_budgets(budgets, chosen),
        cells=_cells(cells, chosen), methods=chosen, seed=whole_number("seed", seed, least=0),
        target=None if target is None else as_target(target), metric=None if metric is None else as_metric(metric),
        stopping=_stopping(trials, half_width, max_trials), allocation=checked_allocation(allocation, chosen),
        sensitivity=_sensitivity(sensitivity, chosen), rows=rows, refine=refine is not False,
        margin=checked_margin(margin, chosen), block=checked_block(block, chosen), decode=decodes(decode, chosen),
    )


def _rows(grid: NDArray[np.float64], interpolate: bool | None, refine: bool | None) -> Rows:
    between = len(grid) > MOST_POINTS if interpolate is None else interpolate and len(grid) > 1
    if between and refine is False:
        raise InputError("an interpolated sweep always bisects its frontier", where="refine (--no-refine)",
                         rule="refine=False only where each thickness is measured", value=f"{len(grid)} thicknesses",
                         next_step="leave it out, or measure each: interpolate=False (--every-point)")
    return "interpolated" if between else "measured"


def _stopping(trials: int | None, half_width: float | None, max_trials: int | None) -> StoppingRule:
    """A fixed number of trials, or the adaptive rule; both at once would leave one of them without effect."""
    for name, value in (("half_width", half_width), ("max_trials", max_trials)):
        if trials is not None and value is not None:
            raise InputError("two stopping rules were given", where=f"trials and {name}",
                             rule="either a fixed number of trials, or a half-width with its limit",
                             value=f"trials={shown(trials)}, {name}={shown(value)}",
                             next_step=f"drop --trials, or --{name.replace('_', '-')}")
    width = None if half_width is None else number_within(
        "half_width (--half-width)", half_width, math.ulp(0.0), math.inf, "half-width > 0, in the metric's unit",
        "0.01 is one point of accuracy")
    return StoppingRule(trials, width, DEFAULT_MAX_TRIALS if max_trials is None else max_trials)


def _budgets(budgets: Sequence[float] | None, methods: tuple[str, ...]) -> tuple[float, ...]:
    if budgets is None:
        return DEFAULT_BUDGETS
    need_method("budgets (--budget)", budgets, "spends a budget", methods, SPENDING_METHODS)
    given = tuple(
        number_within("budgets (--budget)", budget, 0.0, 1.0, "0 <= budget <= 1, the protected-bit fraction",
                      "5 % of the stored bits is written 0.05")
        for budget in several(budgets)
    )
    return _each_once("budgets", "budgets (--budget)", given, "for instance --budget 0.01,0.05,0.1")


def _cells(cells: float | Sequence[float] | None, methods: tuple[str, ...]) -> tuple[float, ...]:
    given = (checked_cells(one, methods) for one in ([None] if cells is None else several(cells)))
    found = tuple(one for one in given if one is not None)
    return found if cells is None else _each_once("cells per weight", "cells (--cells)", found,
                                                  "for instance --cells 2,4,8")


def _each_once(what: str, where: str, given: tuple[float, ...], next_step: str) -> tuple[float, ...]:
    if not given or len(set(given)) < len(given):
        raise InputError(f"the list of {what} is empty or names one twice", where=where,
                         rule=f"one or more different {what}", value=", ".join(map(str, given)), next_step=next_step)
    return tuple(sorted(given))


def _sensitivity(sensitivity: str, methods: tuple[str, ...]) -> str:
    chosen = one_of("way to measure Jacobian gains", "sensitivity (--sensitivity)", sensitivity, SENSITIVITIES)
    if chosen != "auto":
        need_method("sensitivity (--sensitivity)", chosen, "allocates by Jacobian gains", methods,
                    [name for name in METHODS if METHOD_RULES[name].needs_gains])
    return chosen
