"""The choices of a sweep, checked once at the edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from qtaml_codesign.checks import is_one_of, number_within, several, whole_number
from qtaml_codesign.errors import InputError, did_you_mean, shown
from qtaml_codesign.nets.sensitivity import METHODS as WAYS
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.sweeps.stopping import DEFAULT_MAX_TRIALS, StoppingRule
from qtaml_codesign.tac import allocation as allocations
from qtaml_codesign.tac.methods import BUDGET_FREE_METHODS, METHOD_RULES, METHODS

DEFAULT_BUDGETS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10, 0.125, 0.25, 0.375)
DEFAULT_METHODS = ("tac", "uniform-msp")
DEFAULT_ALLOCATION = "greedy"


@dataclass(frozen=True)
class SweepSettings:
    """What a sweep was asked to do, apart from its card, workload and grid; no target: the metric's usual one."""

    methods: tuple[str, ...]
    budgets: tuple[float, ...]
    seed: int
    target: Target | None
    allocation: str
    rule: StoppingRule
    sensitivity: str = "auto"

    @property
    def wanted(self) -> Target:
        """What is to be kept."""
        return self.target or self.rule.metric.usual_target

    def measuring(self, network: Workload, deciding: bool = False) -> SweepSettings:
        """The same with the workload's metric; `deciding`: a point is left once it lies on one side of the target."""
        metric, clean = network.metric, network.clean_value
        threshold = (self.target or metric.usual_target).value(clean)
        rule = self.rule.measuring(metric, clean, threshold)
        return replace(self, rule=replace(rule, threshold=threshold) if deciding else rule)

    def budgets_of(self, method: str) -> tuple[float, ...]:
        """The budgets a method is run at; 0 alone for a method that protects nothing."""
        return (0.0,) if method in BUDGET_FREE_METHODS else self.budgets


def check_settings(
    methods: Sequence[str], budgets: Sequence[float] | None, seed: int, target: float | str | None,
    allocation: str | None, rule: StoppingRule, sensitivity: str = "auto",
) -> SweepSettings:
    """The settings, or an InputError that names the choice that cannot be, or would change nothing."""
    chosen = _methods(methods)
    if budgets is not None and all(method in BUDGET_FREE_METHODS for method in chosen):
        raise InputError("a budget changes nothing here: none of the methods protects bits", where="budgets (--budget)",
                         rule="budgets come with a method that spends them", value=", ".join(chosen),
                         next_step="leave the budgets out, or add a method such as tac")
    return SweepSettings(
        methods=chosen, budgets=_budgets(DEFAULT_BUDGETS if budgets is None else budgets),
        seed=whole_number("seed", seed, least=0), target=None if target is None else as_target(target),
        allocation=_allocation(allocation, chosen), rule=rule, sensitivity=_sensitivity(sensitivity, chosen),
    )


def stopping_rule(trials: int | None, half_width: float | None, max_trials: int | None) -> StoppingRule:
    """A fixed number of trials, or the adaptive rule; both at once would leave one of them without effect."""
    if trials is None:
        width = None if half_width is None else number_within(
            "half_width (--half-width)", half_width, math.ulp(0.0), math.inf, "half-width > 0, in the metric's unit",
            "0.01 is one point of accuracy")
        return StoppingRule(None, width, DEFAULT_MAX_TRIALS if max_trials is None else max_trials)
    for name, value in (("half_width", half_width), ("max_trials", max_trials)):
        if value is not None:
            raise InputError("two stopping rules were given", where=f"trials and {name}",
                             rule="either a fixed number of trials, or a half-width with its limit",
                             value=f"trials={shown(trials)}, {name}={shown(value)}",
                             next_step=f"drop --trials, or --{name.replace('_', '-')}")
    return StoppingRule(trials)


def worker_count(workers: int | None, executor: Executor | None) -> int:
    """How many worker processes to start; 1 means this one."""
    if executor is None:
        return whole_number("workers", 1 if workers is None else workers, least=1)
    if workers is not None:
        raise InputError("workers and an executor were both given", where="workers, executor", rule="one of the two",
                         value=f"workers={workers}", next_step="set the number of workers on the executor")
    if not isinstance(executor, Executor):
        raise InputError("this is not an executor", where="executor", rule="a concurrent.futures.Executor",
                         value=type(executor).__name__, next_step="pass for instance ThreadPoolExecutor(4)")
    return 1


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    chosen = several(methods)
    for method in chosen:
        if not is_one_of(method, METHODS):
            raise InputError("unknown protection method", where="methods (--method)",
                             rule=f"one of {', '.join(METHODS)}", value=method,
                             next_step=did_you_mean(method, METHODS))
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("the list of methods is empty or names one twice", where="methods (--method)",
                         rule="one or more different methods", value=", ".join(chosen),
                         next_step="name each method once")
    return chosen


def _budgets(budgets: Sequence[float] | float) -> tuple[float, ...]:
    given = tuple(
        number_within("budgets (--budget)", budget, 0.0, 1.0, "0 <= budget <= 1, the protected-bit fraction",
                      "5 % of the stored bits is written 0.05")
        for budget in several(budgets)
    )
    if not given or len(set(given)) < len(given):
        raise InputError("the list of budgets is empty or names one twice", where="budgets (--budget)",
                         rule="one or more different budgets", value=", ".join(map(str, given)),
                         next_step="for instance --budget 0.01,0.05,0.1")
    return tuple(sorted(given))


def _allocation(allocation: str | None, methods: tuple[str, ...]) -> str:
    if allocation is None:
        return DEFAULT_ALLOCATION
    if not any(METHOD_RULES[method].spend == "allocate" for method in methods):
        raise InputError("the allocation changes nothing here: none of the methods allocates by score",
                         where="allocation (--allocation)", rule="allocation comes with tac or a scoring baseline",
                         value=", ".join(methods), next_step="leave the allocation out, or add a method such as tac")
    return str(allocations.checked_allocation(allocation))


def _sensitivity(sensitivity: str, methods: tuple[str, ...]) -> str:
    if sensitivity not in WAYS:
        raise InputError("unknown way to measure Jacobian gains", where="sensitivity (--sensitivity)",
                         rule=f"one of {', '.join(WAYS)}", value=sensitivity,
                         next_step=did_you_mean(str(sensitivity), WAYS))
    if sensitivity != "auto" and not any(METHOD_RULES[method].needs_gains for method in methods):
        raise InputError("the sensitivity changes nothing here: none of the methods allocates by Jacobian gains",
                         where="sensitivity (--sensitivity)", rule="sensitivity comes with a method such as tac",
                         value=", ".join(methods), next_step="leave the sensitivity out, or add a method such as tac")
    return sensitivity
