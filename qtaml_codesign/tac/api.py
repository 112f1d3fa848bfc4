"""Algorithm 1 of Tunneling-Aware Compensation, and the baselines it is compared with: workload -> `TacPlan`.

Source: arXiv 2606.00741, section 4.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from qtaml_codesign.bits.cell_law import BitErrorProfile, as_profile
from qtaml_codesign.bits.formats import BitFormat, Encoding, plain_bits
from qtaml_codesign.checks import number_within, one_of, whole_number
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import JacobianGains
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.flip import FlipProbability
from qtaml_codesign.tac.algorithm import Planner, StageProgress
from qtaml_codesign.tac.allocation import checked_allocation
from qtaml_codesign.tac.auto import AUTO, best_plan, candidates
from qtaml_codesign.tac.choices import checked_block, checked_cells, checked_margin, need_method
from qtaml_codesign.tac.layers import LayerPlan
from qtaml_codesign.tac.methods import BUDGET_FREE_METHODS, METHOD_RULES, METHODS, SPENDING_METHODS
from qtaml_codesign.tac.plan import TacPlan, weights_digest
from qtaml_codesign.tac.quantised import check_quantised
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.stores import STORES

__all__ = ["BUDGET_FREE_METHODS", "METHODS", "LayerPlan", "TacPlan", "plan", "weights_digest"]

CORRECTION_TRIALS = 5
PLAN_METHODS = (*METHODS, AUTO)
GAIN_METHODS = tuple(name for name, rule in METHOD_RULES.items() if rule.needs_gains)
PLANE_METHODS = tuple(name for name, rule in METHOD_RULES.items() if not rule.chooses_store)
FlipInput = float | ArrayLike | FlipProbability | BitErrorProfile


def plan(
    workload: Workload | str,
    method: str = "tac",
    flip_probability: FlipInput | None = None,
    budget: float = 0.0,
    seed: int = 0,
    *,
    cells: float | None = None,
    margin: float = 1.0,
    block: int | None = None,
    allocation: str | None = None,
    sensitivity: str = "auto",
    bits: int | None = None,
    encoding: str | None = None,
    correction_trials: int = CORRECTION_TRIALS,
    progress: StageProgress | None = None,
    gains: JacobianGains | None = None,
) -> TacPlan:
    """Choose which bit planes to protect and which layers to correct; no labels, no retraining.

    Minimises the linear-response output variance sum_l n_l J_l^2 sigma_l^2(k_l) within the budget (Theorem 4.5),
    then decides the mean correction of each layer by simulating it alone (Algorithm 1, step 3).

    Args:
        workload: network and calibration inputs, or the name of one; its labels are not used.
        method: one of `METHODS`, or `auto`: the method that moves the logits least, of those that spend cells, or, with
            a budget, of those that protect bits; expected errors pick two, and the calibration inputs decide. Without
            a budget or cells it spends 8 cells.
        flip_probability: one number, (B,) by bit plane (0 = LSB), a scalar `FlipProbability` or a profile; all zero is
            quantisation alone.
        budget: protected-bit fraction in [0, 1]; must be 0 for methods that protect nothing or spend cells.
        seed: key of random probes, correction drawings and random protection.
        cells: cells per weight, for the methods that spend them (`CELL_METHODS`); theirs is 8 when left out.
        margin: design margin on the raw bit error rate, >= 1, for the methods that spend cells: words, tables and codes
            are made for so many times the flip probability, so that the store holds where it turns out higher; at most
            a flip probability of 1/2. What a code leaves is still that of `flip_probability`.
        block: weights that share a mean and a scale, runs of each flattened tensor such as a line of the memory holds;
            for the same methods. Those of an output channel do when left out; one larger than a tensor is the tensor.
        allocation: `greedy` (the paper's, default) or `exact` (integer programme), for methods that allocate by score.
        sensitivity: how Jacobian gains are measured. `auto`: only for methods that allocate by them, by reverse passes
            up to 128 logits per input and random signs beyond. `reverse`, `finite-difference` or `random-sign`: so, for
            every method that protects bit planes.
        bits: B, 2 to 16, per stored weight; 8 when left out. With a `FlipProbability` or a profile it is theirs;
            of a method that spends cells it is no choice, unless there are rates by bit plane.
        encoding: how a weight becomes a code; `offset_binary` when left out. Likewise.
        correction_trials: drawings per layer for the mean-correction decision.
        progress: called with (stage, steps done, steps known so far) as the work goes on; the stages are calibration
            (Jacobian gains), scores and correction (simulations of one layer alone).
        gains: what `nets.sensitivity.jacobian_gains` found for this network, where several plans share it; None
            measures them if the method needs them. Beside another `sensitivity` than the one that they were measured
            by, and for methods that use none, they are refused.

    Raises:
        InputError: an argument that is unknown, out of bounds, or would have no effect.
        WorkloadError: a network or inputs that cannot be used.

    Example:
        >>> import qtaml_codesign as qc
        >>> chosen = qc.plan(qc.load_workload("small-cnn"), method="uniform-msp", flip_probability=0.1, budget=0.25)
        >>> set(chosen.depths.values()), chosen.overhead
        ({2}, 0.25)
    """
    one_of("protection method", "method", method, PLAN_METHODS)
    number_within("budget", budget, 0.0, 1.0, "0 <= budget <= 1, the protected-bit fraction", "5 % is written 0.05")
    if budget > 0.0:
        need_method("budget", budget, "spends a budget", [method], (*SPENDING_METHODS, AUTO))
    whole_number("seed", seed, least=0)
    whole_number("correction_trials", correction_trials, least=1)
    spent = [method] if method != AUTO else candidates(budget, cells)
    solver = checked_allocation(allocation, spent)
    wanted, run = checked_cells(cells, spent), checked_block(block, spent)
    checked_margin(margin, spent)
    if sensitivity != "auto":
        need_method("sensitivity", sensitivity, "weighs whole tensors", spent, PLANE_METHODS)
    if (bits or encoding) and np.ndim(cast(ArrayLike, flip_probability)) == 0:  # rates by plane need their number
        need_method("bits, encoding", (bits, encoding), "stores plain codes", spent, PLANE_METHODS)
    _check_gains(gains, sensitivity, spent)
    profile = _rates(flip_probability, bits, encoding)
    network = load_workload(workload)
    errors = profile.assign(list(network.weights))
    check_quantised(network, errors, spent)
    told = progress or (lambda stage, done, total: None)
    highest = max(float(max(law.one_to_zero.max(), law.zero_to_one.max())) for law in errors.values())
    wider = checked_margin(margin, spent, highest)
    planner = Planner(network, errors, seed, solver, correction_trials, sensitivity, told, _of_network(gains, network))

    def make(name: str) -> TacPlan:
        if METHOD_RULES[name].chooses_store:
            return STORES[name](StoreRequest(network, errors, name, float(budget), wanted, seed, told, margin=wider,
                                             block=run))
        return planner.make(name, float(budget))

    with single_threaded():
        if method == AUTO:
            return best_plan(network, errors, spent, seed, make, given=budget > 0.0 or cells is not None)
        return make(method)


def _check_gains(gains: JacobianGains | None, sensitivity: str, methods: list[str]) -> None:
    """Refuse what are no gains, gains that no method uses, or gains measured in another way than is asked for."""
    if gains is None:
        return
    if not isinstance(gains, JacobianGains):
        raise InputError("these are no Jacobian gains", where="gains", rule="what jacobian_gains(workload) returns",
                         value=type(gains).__name__, next_step="leave gains out to measure them")
    if sensitivity == "auto":
        need_method("gains", "Jacobian gains", "allocates by Jacobian gains", methods, GAIN_METHODS)
    elif gains.method != sensitivity:
        raise InputError("the Jacobian gains were measured in another way", where="gains, sensitivity",
                         rule=f"gains by {sensitivity}, as sensitivity says", value=f"gains by {gains.method}",
                         next_step="leave gains out to measure them, or leave sensitivity out to use these")


def _of_network(gains: JacobianGains | None, network: Workload) -> JacobianGains | None:
    if gains is not None and gains.gains.keys() != network.weights.keys():
        raise InputError(
            "the Jacobian gains belong to another network", where="gains", rule="a gain for each stored tensor",
            value=sorted(gains.gains.keys() ^ network.weights.keys()),
            next_step="leave gains out, or pass jacobian_gains(workload) of the same workload",
        )
    return gains


def _rates(flip_probability: FlipInput | None, bits: int | None, encoding: str | None) -> BitErrorProfile:
    if flip_probability is None:
        raise InputError("no flip probability was given", where="flip_probability",
                         rule="a number, an array or a FlipProbability", value=None,
                         next_step="pass flip_probability=0.1 or qc.flip_probability(card)")
    if not isinstance(flip_probability, (FlipProbability, BitErrorProfile)):
        stored = cast(Encoding, "offset_binary" if encoding is None else encoding)
        form = BitFormat(8 if bits is None else plain_bits(bits), stored)
        return as_profile(flip_probability, form)
    if bits is not None or encoding is not None:
        raise InputError("the storage format is given twice", where="bits, encoding",
                         rule="the card or profile names its own", value=(bits, encoding),
                         next_step="leave bits and encoding out, or change the card's storage")
    return as_profile(flip_probability)
