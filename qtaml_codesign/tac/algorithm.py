"""The steps of Algorithm 1, and of the baselines: scores, floors, depths, corrections -> `TacPlan`.

With n_l weights, gain J_l and scale s_l of layer l, and v_l the mean variance of one read value under its protection,
in units of s_l^2, averaged over the codes written, the predicted output variance is

    E||dz||^2 = sum_l n_l J_l^2 s_l^2 gain_l^2 v_l

A factor in the codes leaves the noise as it is; a readout gain enlarges it.

Everything here trusts its input; `plan.py` checks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.plane_protected import PlaneProtected, largest_magnitude
from qtaml_codesign.memory.groups import StoredGroup
from qtaml_codesign.nets.layer_alone import LayerAlone
from qtaml_codesign.nets.probes import Progress
from qtaml_codesign.nets.residual import residual_floors
from qtaml_codesign.nets.sensitivity import JacobianGains, jacobian_gains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac import allocation as allocations
from qtaml_codesign.tac.allocation import AllocationProblem, Protection
from qtaml_codesign.tac.correction import (
    NOTHING,
    RULES,
    Always,
    MeanCorrection,
    ProtectedLayer,
    decide,
    layer_deviation,
    samples_for,
)
from qtaml_codesign.tac.methods import METHOD_RULES, MethodRule
from qtaml_codesign.tac.plan import LayerPlan, Method, TacPlan, weights_digest
from qtaml_codesign.tac.saturation import saturation_ratio

Layers = Mapping[str, ProtectedLayer]
StageProgress = Callable[[str, int, int], None]
"""(stage, steps done, steps known so far); the stages are calibration, scores and correction."""


@dataclass(frozen=True)
class Planner:
    """Everything a plan needs, measured once for one workload and one set of flip rates."""

    workload: Workload
    errors: Mapping[str, CellLaw]
    seed: int
    allocation: allocations.Allocation
    correction_trials: int
    sensitivity: str
    progress: StageProgress = lambda stage, done, total: None
    gains: JacobianGains | None = None

    def make(self, method: str, budget: float) -> TacPlan:
        """Steps 1 to 4 of Algorithm 1, or what the baseline does instead of them."""
        rule = METHOD_RULES[method]
        gains = self._gains(rule)
        stored = self._store()
        squares = {} if gains is None else gains.gains
        jacobian_scores = {name: _magnitude(self.workload, name) * gain for name, gain in squares.items()}
        scores = self._scores(rule, jacobian_scores, stored)
        floors, warnings = self._floors(rule, scores, budget)
        problem = self._problem(scores or dict.fromkeys(self.errors, 1.0), stored, floors, budget)
        protection = self._protection(rule, problem, budget, warnings)
        layers = self._protected(stored, protection)
        corrections = self._corrections(rule, layers, warnings)
        return TacPlan(
            method=cast(Method, method), workload=self.workload.name,
            weights_digest=weights_digest(self.workload.weights),
            budget=float(budget), seed=int(self.seed),
            allocation=self.allocation if rule.spend == "allocate" else "none",
            sensitivity="none" if gains is None else gains.method,
            rho_star=saturation_ratio(problem.weights, list(jacobian_scores.values())) if squares else None,
            predicted_variance=self._predicted(jacobian_scores, layers, corrections) if squares else None,
            uniform_variance=self._problem(jacobian_scores, stored, floors, budget, use_half=False).variance(
                allocations.uniform(problem)
            ) if squares else None,
            warnings=tuple(warnings), layers=self._layers(scores, squares, floors, layers, corrections),
        )

    def _predicted(
        self, scores: Mapping[str, float], layers: Layers, corrections: Mapping[str, MeanCorrection]
    ) -> float:
        """Linear-response E||dz||^2 of the plan: sum_l s_l n_l sigma_l^2 of what is really stored and read."""
        return sum(
            scores[name] * _output_variance(layer.stored(corrections[name])) for name, layer in layers.items()
        )

    def _gains(self, rule: MethodRule) -> JacobianGains | None:
        """Jacobian gains where the method allocates by them, or the user says how to measure them."""
        if rule.needs_gains or self.sensitivity != "auto":
            return self.gains or jacobian_gains(self.workload, self.sensitivity, seed=self.seed,
                                                progress=self._of("calibration"))
        return None

    def _store(self) -> Layers:
        """Every layer uncorrected and unprotected."""
        weights = self.workload.weights
        return {name: ProtectedLayer.unprotected(name, weights[name], law) for name, law in self.errors.items()}

    def _scores(self, rule: MethodRule, jacobian: Mapping[str, float], stored: Layers) -> dict[str, float]:
        if rule.score == "magnitude":
            return {name: _magnitude(self.workload, name) for name in self.errors}
        if rule.score == "sensitivity":
            return self._deviations(stored)
        return dict(jacobian)

    def _deviations(self, stored: Layers) -> dict[str, float]:
        """Squared deviation of the logits per weight of each layer, simulated alone."""
        tell, scores = self._of("scores"), dict[str, float]()
        alone = LayerAlone(self.workload.network, samples_for(self.workload))
        tell(0, len(self.errors))
        for name, layer in stored.items():
            deviation = layer_deviation(alone, layer.plain, self.seed, self.correction_trials)
            scores[name] = deviation / layer.weights.size
            tell(len(scores), len(self.errors))
        return scores

    def _of(self, stage: str) -> Progress:
        return lambda done, total: self.progress(stage, done, total)

    def _floors(
        self, rule: MethodRule, scores: Mapping[str, float], budget: float
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Residual floors (none at zero score), dropped with a warning where they alone cost more than the budget."""
        none = np.zeros(len(self.errors), dtype=np.int64)
        if not rule.floored:
            return none, []
        by_name = residual_floors(self.workload)
        floors = np.array([
            min(by_name[name], errors.format.bits) if scores[name] > 0.0 else 0 for name, errors in self.errors.items()
        ])
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
        self, scores: Mapping[str, float], stored: Layers, floors: NDArray[np.int64], budget: float,
        use_half: bool = True,
    ) -> AllocationProblem:
        rows = tuple(
            layer.weights.size * scores[name] * _residual_variance(layer.plain, use_half)
            for name, layer in stored.items()
        )
        sizes = np.array([layer.weights.size for layer in stored.values()], dtype=np.int64)
        return AllocationProblem(sizes, rows, floors, self._budget_bits(budget))

    def _protection(
        self, rule: MethodRule, problem: AllocationProblem, budget: float, warnings: list[str]
    ) -> Protection:
        if rule.spend == "nothing":
            return Protection.top(np.zeros_like(problem.floors))
        if rule.spend == "fractional":
            return Protection.top(*allocations.fractional(problem))
        if rule.spend == "random":
            return Protection.of_planes(allocations.random_planes(problem, (self.seed,)), problem.highest)
        if rule.spend == "random-layers":
            return Protection.top(allocations.random_layers(problem, (self.seed, problem.budget_bits)))
        if rule.spend == "uniform":
            depths = allocations.uniform(problem)
            if budget > 0.0 and not depths.any():
                warnings.append(f"the budget {budget:g} does not buy one plane on every weight: nothing is protected")
            return Protection.top(depths)
        return Protection.top(allocations.SOLVERS[self.allocation](problem))

    def _protected(self, stored: Layers, protection: Protection) -> Layers:
        """Every layer with its protection and plain codes."""
        rows = zip(protection.depths.tolist(), protection.deeper.tolist(), protection.planes, strict=True)
        return {name: layer.protected(*row) for (name, layer), row in zip(stored.items(), rows, strict=True)}

    def _corrections(
        self, rule: MethodRule, layers: Layers, warnings: list[str]
    ) -> dict[str, MeanCorrection]:
        chosen = RULES[rule.correction]
        corrections = decide(
            self.workload, layers, chosen, self.seed, self.correction_trials, self._of("correction")
        )
        if isinstance(chosen, Always) and NOTHING in corrections.values():
            warnings.append(
                "the mean correction has no effect where the read-back slope 1 - 2p is 1, and cannot undo one below 0"
            )
        return corrections

    def _layers(
        self, scores: Mapping[str, float], squares: Mapping[str, float], floors: NDArray[np.int64],
        layers: Layers, corrections: Mapping[str, MeanCorrection],
    ) -> tuple[LayerPlan, ...]:
        return tuple(
            LayerPlan.of_codec(
                layer.codec(corrections[name]), name=name, weights=layer.weights.size,
                jacobian_gain=math.sqrt(squares[name]) if squares else None, score=scores.get(name), floor=int(floor),
                corrected=corrections[name] != NOTHING,
            )
            for (name, layer), floor in zip(layers.items(), floors, strict=True)
        )


def _magnitude(workload: Workload, name: str) -> float:
    """||W_l||_inf^2."""
    return largest_magnitude(workload.weights[name]) ** 2


def _residual_variance(group: StoredGroup[PlaneProtected], use_half: bool) -> NDArray[np.float64]:
    """(B + 1,) mean conditional variance of the read value by protection depth, averaged over the stored codes.

    When no plane can flip (p underflows) an even rate of 1/2 stands in, if asked, so that depths keep their order.
    """
    law = BitErrorProfile.uniform(0.5, group.law.format).regions[0] if use_half and group.law.silent else group.law
    share = group.histogram / group.words.size
    return np.array([share @ variance for variance in _read_variances(law)])


@lru_cache(maxsize=16)
def _read_variances(errors: CellLaw) -> tuple[NDArray[np.float64], ...]:
    """(2^B,) variance of the read value of each code, for each protection depth 0..B; tensors and plans share it."""
    return tuple(ReadLaw(errors, depth).variance() for depth in range(errors.format.bits + 1))


def _output_variance(group: StoredGroup[PlaneProtected]) -> float:
    """n gain^2 v: what the tensor as written and read adds to the output variance, per unit of its score."""
    codec, total = group.codec, float(group.histogram @ ReadLaw(group.residual).variance())
    if codec.deeper:
        below = float(group.histogram @ ReadLaw(group.residual, codec.depth + 1).variance())
        total -= (total - below) * codec.deeper / group.words.size
    return codec.gain**2 * total
