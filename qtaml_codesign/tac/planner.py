"""The steps of Algorithm 1, and of the baselines: scores, floors, depths, corrections -> `TacPlan`.

Everything here trusts its input; `plan.py` checks it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.profile import BitErrorProfile, RegionErrors
from qtaml_codesign.errors import shown
from qtaml_codesign.nets.prefix import LayerAlone
from qtaml_codesign.nets.residual import residual_floors
from qtaml_codesign.nets.sensitivity import JacobianGains, jacobian_gains
from qtaml_codesign.nets.storage import StoredModel, largest_magnitude, store_tensor
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac import allocation as allocations
from qtaml_codesign.tac.allocation import AllocationProblem
from qtaml_codesign.tac.baselines import METHOD_RULES, MethodRule
from qtaml_codesign.tac.correction import correction_factor, decide, layer_deviation
from qtaml_codesign.tac.saturation import saturation_ratio
from qtaml_codesign.tac.values import LayerPlan, Method, TacPlan, weights_digest


@dataclass(frozen=True)
class Planner:
    """Everything a plan needs, measured once for one workload and one set of flip rates."""

    workload: Workload
    errors: Mapping[str, RegionErrors]
    seed: int
    allocation: allocations.Allocation
    correction_trials: int
    sensitivity: str

    def make(self, method: str, budget: float) -> TacPlan:
        """Steps 1 to 4 of Algorithm 1, or what the baseline does instead of them."""
        rule = METHOD_RULES[method]
        gains = _measured_gains(self.workload, self.sensitivity, self.seed)
        stored = self._store()
        jacobian_scores = {name: _magnitude(self.workload, name) * gains.gains[name] for name in self.errors}
        scores = self._scores(rule, jacobian_scores, stored)
        floors, warnings = self._floors(rule, budget)
        problem = self._problem(scores, stored, floors, budget)
        depths, deeper = self._depths(rule, problem, budget, warnings)
        factors = self._factors(rule, stored, depths)
        if rule.correction == "always" and 1.0 in factors.values():
            warnings.append(
                "the mean correction has no effect where the read-back slope 1 - 2p is 1, and cannot undo one below 0"
            )
        objective = self._problem(jacobian_scores, stored, floors, budget, use_half=False)
        return TacPlan(
            method=cast(Method, method), workload=self.workload.name,
            weights_digest=weights_digest(self.workload.weights),
            budget=float(budget), seed=int(self.seed),
            allocation=self.allocation if rule.spend == "allocate" else "none",
            sensitivity=gains.method, rho_star=saturation_ratio(problem.weights, list(jacobian_scores.values())),
            predicted_variance=_predicted(objective, depths, deeper, factors),
            uniform_variance=objective.variance(allocations.uniform(problem)), warnings=tuple(warnings),
            layers=self._layers(scores, gains, floors, depths, deeper, factors),
        )

    def _store(self) -> StoredModel:
        """Every tensor uncorrected and unprotected."""
        return StoredModel(tuple(
            store_tensor(name, self.workload.weights[name], errors.format) for name, errors in self.errors.items()
        ))

    def _scores(self, rule: MethodRule, jacobian: Mapping[str, float], stored: StoredModel) -> dict[str, float]:
        if rule.score == "magnitude":
            return {name: _magnitude(self.workload, name) for name in self.errors}
        if rule.score == "sensitivity":
            alone = LayerAlone(self.workload.network, self.workload.calibration)
            return {
                name: layer_deviation(alone, stored, self.errors, name, self.seed, self.correction_trials)
                / self.workload.weights[name].size
                for name in self.errors
            }
        return dict(jacobian)

    def _floors(self, rule: MethodRule, budget: float) -> tuple[NDArray[np.int64], list[str]]:
        """Residual floors, dropped with a warning where they alone cost more than the budget."""
        none = np.zeros(len(self.errors), dtype=np.int64)
        if not rule.floored:
            return none, []
        by_name = residual_floors(self.workload)
        floors = np.array([min(by_name[name], errors.format.bits) for name, errors in self.errors.items()])
        sizes = np.array([self.workload.weights[name].size for name in self.errors], dtype=np.int64)
        needed, allowed = int(sizes @ floors), self._budget_bits(budget)
        if needed <= allowed:
            return floors, []
        return none, [
            f"insufficient budget: the floor of the layers inside residual blocks costs {needed} bits, "
            f"the budget {budget:g} allows {allowed}; the floor was dropped"
        ]

    def _budget_bits(self, budget: float) -> int:
        stored = sum(self.workload.weights[name].size * errors.format.bits for name, errors in self.errors.items())
        return math.floor(budget * stored + 1e-6)

    def _problem(
        self, scores: Mapping[str, float], stored: StoredModel, floors: NDArray[np.int64], budget: float,
        use_half: bool = True,
    ) -> AllocationProblem:
        rows = tuple(
            self.workload.weights[name].size * scores[name] * _residual_variance(stored, name, errors, use_half)
            for name, errors in self.errors.items()
        )
        sizes = np.array([self.workload.weights[name].size for name in self.errors], dtype=np.int64)
        return AllocationProblem(sizes, rows, floors, self._budget_bits(budget))

    def _depths(
        self, rule: MethodRule, problem: AllocationProblem, budget: float, warnings: list[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(depths, deeper): protected planes of each layer, and how many of its weights protect one more."""
        whole = np.zeros_like(problem.floors)
        if rule.spend == "nothing":
            return whole, whole
        if rule.spend == "fractional":
            return allocations.fractional(problem)
        if rule.spend == "random":
            return allocations.random(problem, (self.seed, problem.budget_bits)), whole
        if rule.spend == "uniform":
            depths = allocations.uniform(problem)
            if budget > 0.0 and not depths.any():
                warnings.append(f"the budget {budget:g} does not buy one plane on every weight: nothing is protected")
            return depths, whole
        return allocations.SOLVERS[self.allocation](problem), whole

    def _factors(self, rule: MethodRule, stored: StoredModel, depths: NDArray[np.int64]) -> dict[str, float]:
        """Correction factor per tensor, 1.0 where the layer is not corrected."""
        if rule.correction == "never":
            return dict.fromkeys(self.errors, 1.0)
        possible = {name: correction_factor(errors) for name, errors in self.errors.items()}
        if rule.correction == "always":
            return {name: factor or 1.0 for name, factor in possible.items()}
        protected = StoredModel(tuple(
            replace(tensor, depth=depth) for tensor, depth in zip(stored, depths.tolist(), strict=True)
        ))
        wanted = decide(self.workload, protected, self.errors, possible, self.seed, self.correction_trials)
        return {name: (possible[name] or 1.0) if wanted[name] else 1.0 for name in possible}

    def _layers(
        self, scores: Mapping[str, float], gains: JacobianGains, floors: NDArray[np.int64],
        depths: NDArray[np.int64], deeper: NDArray[np.int64], factors: Mapping[str, float],
    ) -> tuple[LayerPlan, ...]:
        return tuple(
            LayerPlan(
                name=name, weights=self.workload.weights[name].size, bits=errors.format.bits,
                encoding=errors.format.encoding, scale=_largest(self.workload, name),
                jacobian_gain=math.sqrt(gains.gains[name]), score=scores[name], floor=int(floors[index]),
                depth=int(depths[index]), corrected=factors[name] != 1.0, factor=factors[name],
                deeper=int(deeper[index]),
            )
            for index, (name, errors) in enumerate(self.errors.items())
        )


def _largest(workload: Workload, name: str) -> float:
    return largest_magnitude(workload.weights[name])


def _magnitude(workload: Workload, name: str) -> float:
    """||W_l||_inf^2."""
    return _largest(workload, name) ** 2


def _residual_variance(stored: StoredModel, name: str, errors: RegionErrors, use_half: bool) -> NDArray[np.float64]:
    """(B + 1,) mean conditional variance of the read value by protection depth, averaged over the stored codes.

    When no plane can flip (p underflows) an even rate of 1/2 stands in, if asked, so that depths keep their order.
    """
    if use_half and errors.silent:
        errors = BitErrorProfile.uniform(0.5, errors.format).regions[0]
    share = stored[name].histogram / stored[name].codes.size
    return np.array([share @ variance for variance in _read_variances(errors)])


@lru_cache(maxsize=16)
def _read_variances(errors: RegionErrors) -> tuple[NDArray[np.float64], ...]:
    """(2^B,) variance of the read value of each code, for each protection depth 0..B; tensors and plans share it."""
    return tuple(ReadLaw(errors, depth).variance() for depth in range(errors.format.bits + 1))


def _predicted(
    problem: AllocationProblem, depths: NDArray[np.int64], deeper: NDArray[np.int64], factors: Mapping[str, float]
) -> float:
    squares = np.array(list(factors.values())) ** 2
    rows = tuple(row * square for row, square in zip(problem.residual_variance, squares, strict=True))
    return replace(problem, residual_variance=rows).mixed_variance(depths, deeper)


_GAINS: dict[tuple[str, str, int], JacobianGains] = {}


def _measured_gains(workload: Workload, sensitivity: str, seed: int) -> JacobianGains:
    """Jacobian gains of a workload, measured once per process: they do not depend on budget or flip probability."""
    key = (workload.digest, shown(sensitivity, str), seed)
    if key not in _GAINS:
        _GAINS[key] = jacobian_gains(workload, method=sensitivity, seed=seed)
    return _GAINS[key]
