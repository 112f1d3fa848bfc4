"""The steps of Algorithm 1, and of the baselines: scores, floors, depths, corrections -> `TacPlan`.

With n_l weights, gain J_l and scale s_l of layer l, and v_l the mean variance of one read value under its protection,
in units of s_l^2, averaged over the codes written, the predicted output variance is

    E||dz||^2 = sum_l n_l J_l^2 s_l^2 gain_l^2 v_l

A factor in the codes leaves the noise as it is; a readout gain enlarges it.

Everything here trusts its input; `plan.py` checks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.stored import StoredGroup
from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.nets.residual import residual_floors
from qtaml_codesign.nets.sensitivity import JacobianGains, jacobian_gains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac import allocation as allocations
from qtaml_codesign.tac.allocation import AllocationProblem
from qtaml_codesign.tac.correction import NOTHING, RULES, ProtectedLayer, decide, layer_deviation, samples_for
from qtaml_codesign.tac.layers import LayerPlan
from qtaml_codesign.tac.methods import METHOD_RULES, MethodRule
from qtaml_codesign.tac.plan import TacPlan, weights_digest
from qtaml_codesign.tac.planes import best_planes, mean_variance, variance_by_depth
from qtaml_codesign.tac.saturation import saturation_ratio

Layers = Mapping[str, ProtectedLayer]
Group = StoredGroup[PlaneProtected]
Order = tuple[int, ...]
"""Planes, 0 = LSB, the first to be protected first."""
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
        """Steps 1 to 4 of Algorithm 1, or what the baseline does instead of them.

        Args:
            method: one of `METHODS`.
            budget: protected-bit fraction in [0, 1].

        Raises:
            InputError: `sensitivity` is no way to measure Jacobian gains.
            WorkloadError: a network or inputs that cannot be measured so.
        """
        rule, weights, warnings = METHOD_RULES[method], self.workload.weights, list[str]()
        plain = self._unprotected()
        gains = self._gains(rule)
        jacobian = {} if gains is None else {
            name: layer.plain.codec.scale**2 * gains.gains[name] for name, layer in plain.items()
        }
        scores = self._scores(rule, plain, jacobian)
        groups = _never_all_silent([layer.plain for layer in plain.values()])
        orders = [best_planes(group.law, group.histogram) for group in groups]
        problem = self._problem(rule, groups, orders, scores, budget, warnings)
        layers = self._protected(rule, plain, orders, problem, warnings, budget)
        corrections = decide(self.workload, layers, RULES[rule.correction], self.seed, self.correction_trials,
                             partial(self.progress, "correction"))
        if rule.correction == "always" and NOTHING in corrections.values():
            warnings.append(
                "the mean correction has no effect where the read-back slope 1 - 2p is 1, and cannot undo one below 0"
            )
        return TacPlan(
            method=method, workload=self.workload.name, weights_digest=weights_digest(weights),
            budget=float(budget), seed=int(self.seed),
            allocation=self.allocation if rule.spend == "allocate" else "none",
            sensitivity="none" if gains is None else gains.method,
            rho_star=saturation_ratio(problem.weights, _exposed_scores(groups, jacobian)) if gains else None,
            predicted_variance=sum(
                jacobian[name] * _output_variance(layer.stored(corrections[name])) for name, layer in layers.items()
            ) if gains else None,
            uniform_variance=float(sum(
                layer.weights.size * jacobian[name] * _uniform_variance(layer.plain, int(depth))
                for (name, layer), depth in zip(plain.items(), allocations.uniform(problem), strict=True)
            )) if gains else None,
            warnings=tuple(warnings),
            layers=tuple(
                LayerPlan.of_codec(
                    layer.codec(corrections[name]), name=name, weights=layer.weights.size,
                    jacobian_gain=math.sqrt(gains.gains[name]) if gains else None, score=scores.get(name),
                    floor=int(floor), corrected=corrections[name] != NOTHING,
                )
                for (name, layer), floor in zip(layers.items(), problem.floors, strict=True)
            ),
        )

    def _unprotected(self) -> Layers:
        """Every layer quantised from float, or as it came."""
        weights, quantised = self.workload.weights, self.workload.network.quantised
        return {name: ProtectedLayer.unprotected(name, weights[name], law, name in quantised)
                for name, law in self.errors.items()}

    def _gains(self, rule: MethodRule) -> JacobianGains | None:
        """Jacobian gains where the method allocates by them, or the user says how to measure them."""
        if rule.needs_gains or self.sensitivity != "auto":
            return self.gains or jacobian_gains(self.workload, self.sensitivity, seed=self.seed,
                                                progress=partial(self.progress, "calibration"))
        return None

    def _scores(self, rule: MethodRule, plain: Layers, jacobian: dict[str, float]) -> dict[str, float]:
        """What the method ranks layers by; for `sensitivity`, the squared deviation of the logits of each alone."""
        if rule.score == "jacobian":
            return jacobian
        if rule.score == "magnitude":
            return {name: layer.plain.codec.scale**2 for name, layer in plain.items()}
        alone, scores = LayerAlone(self.workload.network, samples_for(self.workload)), dict[str, float]()
        self.progress("scores", 0, len(plain))
        for name, layer in plain.items():
            deviation = layer_deviation(alone, layer.plain, self.seed, self.correction_trials)
            scores[name] = deviation / layer.weights.size
            self.progress("scores", len(scores), len(plain))
        return scores

    def _problem(
        self, rule: MethodRule, groups: Sequence[Group], orders: Sequence[Order], scores: Mapping[str, float],
        budget: float, warnings: list[str],
    ) -> AllocationProblem:
        """The allocation, with the floors of TAC (none where nothing is at stake), which a budget they exceed drops."""
        sizes = np.array([group.words.size for group in groups], dtype=np.int64)
        allowed = math.floor(budget * sum(group.bits_stored for group in groups) + 1e-6)
        floors = np.zeros_like(sizes)
        if rule.needs_gains:
            asked = residual_floors(self.workload)
            floors[:] = [min(asked[group.name], group.law.format.bits)
                         if scores[group.name] > 0.0 and not group.law.silent else 0
                         for group in groups]
        if (needed := int(sizes @ floors)) > allowed:
            warnings.append(
                f"insufficient budget: the floor of the layers inside residual blocks costs {needed} bits, "
                f"the budget {budget:g} allows {allowed}; the floor was dropped"
            )
            floors[:] = 0
        rows = (group.words.size * scores.get(group.name, 1.0) * _left_by_depth(rule, group, order)
                for group, order in zip(groups, orders, strict=True))
        return AllocationProblem(sizes, tuple(rows), floors, allowed)

    def _protected(
        self, rule: MethodRule, plain: Layers, orders: Sequence[Order], problem: AllocationProblem,
        warnings: list[str], budget: float,
    ) -> Layers:
        """Every layer with its protection and plain codes."""
        depths = deeper = np.zeros_like(problem.floors)
        planes: tuple[Order, ...] = ((),) * len(plain)
        if rule.spend == "allocate":
            depths = allocations.SOLVERS[self.allocation](problem)
            planes = tuple(tuple(sorted(order[:depth])) for order, depth in zip(orders, depths, strict=True))
        elif rule.spend == "fractional":
            depths, deeper = allocations.fractional(problem)
        elif rule.spend == "random-layers":
            depths = allocations.random_layers(problem, (self.seed, problem.budget_bits))
        elif rule.spend == "random":
            planes = allocations.random_planes(problem, (self.seed,))
            depths = np.array([len(chosen) for chosen in planes])
        elif rule.spend == "uniform":
            depths = allocations.uniform(problem)
            if budget > 0.0 and not depths.any():
                warnings.append(f"the budget {budget:g} does not buy one plane on every weight: nothing is protected")
        rows = zip(plain.items(), depths.tolist(), deeper.tolist(), planes, strict=True)
        return {name: layer.protected(*protection) for (name, layer), *protection in rows}


def _never_all_silent(groups: list[Group]) -> list[Group]:
    """The groups, at an even rate of 1/2 where no cell of any can flip (p underflows), so that depths keep an order."""
    if not all(group.law.silent for group in groups):
        return groups
    return [replace(group, law=BitErrorProfile.uniform(0.5, group.law.format).regions[0]) for group in groups]


def _left_by_depth(rule: MethodRule, group: Group, order: Order) -> NDArray[np.float64]:
    """(B + 1,) variance that is left by depth; as a share where the score was measured under the layer's own flips."""
    left = variance_by_depth(group.law, group.histogram, order)
    return left / left[0] if rule.score == "sensitivity" and left[0] > 0.0 else left


def _exposed_scores(groups: Sequence[Group], jacobian: Mapping[str, float]) -> list[float]:
    """What each weight of a layer adds to the output variance without protection, up to a factor common to all.

    The scores themselves where all layers lie in the same cells (Theorem 4.6); else they are weighed with the variance
    that the layer's own cells and codes give.
    """
    scores = [jacobian[group.name] for group in groups]
    if len({group.law for group in groups}) == 1:
        return scores
    return [score * mean_variance(group.law, group.histogram) for score, group in zip(scores, groups, strict=True)]


def _uniform_variance(group: Group, depth: int) -> float:
    """Mean variance of a read value when the top planes are protected, averaged over the stored codes."""
    return mean_variance(group.law.protect(depth), group.histogram)


def _output_variance(group: Group) -> float:
    """n gain^2 v: what the tensor as written and read adds to the output variance, per unit of its score."""
    codec, total = group.codec, float(group.histogram @ ReadLaw(group.residual).variance())
    if codec.deeper:
        below = float(group.histogram @ ReadLaw(group.residual, codec.depth + 1).variance())
        total -= (total - below) * codec.deeper / group.words.size
    return codec.gain**2 * total
