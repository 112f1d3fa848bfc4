"""Deploy a plan on its network and measure its metric under flips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw, as_profile
from qtaml_codesign.bits.noise import CellNoise, noise_model
from qtaml_codesign.bits.variation import ONE_CHIP
from qtaml_codesign.checks import number_within, whole_number
from qtaml_codesign.codecs.coded import decoding
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.errors import InputError, PlanError, WorkloadError
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.metric import Metric, accuracy_of
from qtaml_codesign.nets.target import Target
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.flip import FlipProbability
from qtaml_codesign.tac.api import FlipInput, weights_digest
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.plan import TacPlan

ITSELF = Target(0.0)
"""An interval of the metric itself, not of its distance from a target."""

Progress = Callable[[int, int], None]

FEW_TRIALS = 20
"""With fewer trials the interval covers less than it says: the rare bad trial is likely to be missing."""


@dataclass(frozen=True)
class Evaluation:
    """The metric of a plan under flips, with its interval and what was really injected.

    Attributes:
        metric: what was measured.
        value: the metric over trials, as it is shown; also `accuracy` where it is one.
        low, high: interval over trials, conditional on the evaluation set (`statistics.union_interval`).
        image_low, image_high: interval over evaluation samples, conditional on the drawings (`group_half_width`).
        confidence: level of the interval.
        trials: drawings of all flips.
        clean_value: the metric of the untouched float network; also `clean_accuracy`.
        realised_ber: flipped cells / exposed cells; nan when every cell is protected.
        nominal_ber: the same ratio as the law expects it.
        counts: the additive counts behind these figures.
        score_by_trial: summed scores (right answers) of every trial, in order; trials of one seed are paired between
            plans.
        notes: what to know before the interval is relied on: warnings of the workload, cells that keep their own rates,
            and too few trials.
    """

    metric: Metric
    value: float
    low: float
    high: float
    image_low: float
    image_high: float
    confidence: float
    trials: int
    clean_value: float
    realised_ber: float
    nominal_ber: float
    counts: TrialCounts
    score_by_trial: tuple[int | float, ...]
    notes: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """The value, in 0..1.

        Raises:
            InputError: another metric was measured.
        """
        return accuracy_of(self.metric, self.value)

    @property
    def clean_accuracy(self) -> float:
        """The clean value, in 0..1.

        Raises:
            InputError: another metric was measured.
        """
        return accuracy_of(self.metric, self.clean_value)


def evaluate(
    workload: Workload | str,
    plan: TacPlan,
    flip_probability: FlipInput,
    trials: int = 30,
    seed: int = 0,
    *,
    confidence: float = 0.95,
    noise: str | CellNoise | None = None,
    metric: str | Metric | None = None,
    decode: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """The metric of the network deployed by `plan`, over `trials` drawings of all flips.

    Trial t of seed s draws the same flips for every plan and nests over flip probabilities, so that differences
    between plans are paired. The flip probability may differ from the one the plan was made for.

    Args:
        workload: the network the plan was made for, or its name.
        plan: from `qtaml_codesign.plan` or `TacPlan.load`.
        flip_probability: one number, (B,) by bit plane, a scalar `FlipProbability` or a profile; all zero is
            quantisation alone.
        trials: >= 2, or the interval would be empty of meaning; below 20 its level is nominal, and `notes` says so.
        seed: key of the flips.
        confidence: two-sided level of the interval.
        noise: a noise model (or its name, `noise_model`) that makes the flips non-uniform at the same mean rate; the
            plan does not know it. One seed is one chip: its layers, and its cells over all trials, keep their rates.
            None: as the flip probability says.
        metric: what is measured, a name or a `Metric`; None: the workload's own.
        decode: encode, flip and decode the codewords of a plan in every trial, instead of drawing what the code is
            known to leave; then the flip probability may also differ from the plan's.
        progress: called with (trials done, trials) after each trial.

    Raises:
        InputError: fewer than two trials, a seed or a confidence out of bounds, rates out of [0, 1] or of another
            format, or an unknown noise model or metric.
        PlanError: no plan, or a plan of another network.
        WorkloadError: a network that cannot be used, or targets that do not fit the metric.

    Example:
        >>> import qtaml_codesign as qc
        >>> workload = qc.load_workload("small-cnn")
        >>> chosen = qc.plan(workload, method="uniform-msp", flip_probability=0.1, budget=0.375)
        >>> result = qc.evaluate(workload, chosen, flip_probability=0.1, trials=3)
        >>> result.low < result.accuracy < result.high, abs(result.realised_ber - 0.1) < 0.002
        (True, True)
    """
    whole_number("trials", trials, least=2)
    whole_number("seed", seed, least=0)
    number_within("confidence", confidence, 0.5, 0.999999, "0.5 <= confidence < 1", "95 % is written 0.95")
    if not isinstance(plan, TacPlan):
        raise PlanError(
            "this is not a plan", where="plan", rule="a TacPlan", value=type(plan).__name__,
            next_step="make one with qc.plan(...), or read one with qc.TacPlan.load(path)",
        )
    network = load_workload(workload)
    network = network if metric is None else network.with_metric(metric)
    by_trial = []
    with single_threaded():
        memory = deploy_plan(network, plan, flip_probability, noise, seed, decode)
        drawings, notes = Trials(network, memory, seed), _notes(memory, trials, confidence)
        del memory  # a reader has its own words; of a large network they are gigabytes
        for trial in range(trials):
            by_trial.append(drawings.run(trial))
            if progress is not None:
                progress(trial + 1, trials)
    counts = TrialCounts.total(by_trial)
    own, found, scoring = network.metric, counts.interval(network.metric, confidence), network.scoring
    image = counts.image_half_width(scoring.clean_by_group, scoring.group_sizes, ITSELF, confidence, own)
    return Evaluation(
        metric=own, value=found.estimate, low=found.low, high=found.high,
        image_low=max(found.estimate - image, own.limits[0]), image_high=min(found.estimate + image, own.limits[1]),
        confidence=confidence, trials=trials,
        clean_value=network.clean_value, realised_ber=counts.realised_ber, nominal_ber=counts.nominal_ber,
        counts=counts, score_by_trial=tuple(one.plain_score for one in by_trial),
        notes=(*network.warnings, *notes),
    )


def _notes(memory: DeployedModel, trials: int, confidence: float) -> tuple[str, ...]:
    notes = (ONE_CHIP,) if any(group.law.own_rates for group in memory.groups) else ()
    if trials >= FEW_TRIALS:
        return notes
    return (*notes, f"with {trials} trials the {confidence:.0%} of the interval over trials is nominal: what flips do "
            f"is skewed, and a rare bad trial may be missing; {FEW_TRIALS} or more are needed",)


def deploy_plan(
    workload: Workload, plan: TacPlan, flip_probability: FlipInput, noise: str | CellNoise | None = None,
    seed: int = 0, decode: bool = False,
) -> DeployedModel:
    """Write the network into the memory as the plan says.

    Args:
        workload: the network the plan was made for.
        plan: how each tensor is held.
        flip_probability: as for `evaluate`.
        noise: as for `evaluate`.
        seed: which memory a noise model makes.
        decode: as for `evaluate`.

    Raises:
        PlanError: the plan belongs to another network.
        InputError: the plan stores in another format than the card, a rate outside [0, 1], or an unknown noise model.
    """
    check_same_network(workload, plan)
    laws = laws_for(workload, plan, flip_probability)
    if noise is not None:
        sizes = {name: weight.size for name, weight in workload.weights.items()}
        laws = noise_model(noise).apply_to(laws, sizes, seed)
    codecs = _decoding_codecs(plan) if decode else plan.codecs
    try:
        return deploy(workload.weights, codecs, laws, plan.statistics)
    except InputError as failure:
        if noise is None or not any(isinstance(layer, StoredLayer) for layer in plan.layers):
            raise
        name = noise if isinstance(noise, str) else type(noise).__name__
        raise _noise_does_not_fit(plan, laws, f"{name}, with a {plan.method} plan") from failure


def _noise_does_not_fit(plan: TacPlan, laws: Mapping[str, CellLaw], value: str) -> InputError:
    """Why the store of a plan has no law under a noise model, and what can be measured instead."""
    coded = any(held.coded_bits for held in plan.codecs.values())
    if any(len(np.unique(rates)) > 1 for law in laws.values() for rates in (law.one_to_zero, law.zero_to_one)):
        what = "the cells of this store's words are no bit planes that could have flip rates of their own"
        rule = "a noise model under which all cells of a word flip alike"
    elif any(law.block != 1 or law.spread != 0.0 for law in laws.values()):
        what = "what this plan's code leaves was measured for cells that flip independently, all at one rate"
        rule = "a noise model under which the cells of a codeword do so"
    else:
        what = "what this plan's code leaves was measured at its own flip probability, not at those of the noise model"
        rule = "codewords that are really decoded"
    instead = ("--noise layer-variation-0.3 with --decode (decode=True)" if coded
               else "--noise cell-variation-0.3, clusters-4 or layer-variation-0.3")
    return InputError(what, where="noise (--noise)", rule=rule, value=value,
                      next_step=f"take {instead}, or a plan of plain codes, such as of method tac")


def _decoding_codecs(plan: TacPlan) -> dict[str, Holding]:
    if not plan.coded:
        raise InputError("there is nothing to decode", where="decode (--decode)", rule="a plan with words under a code",
                         value=f"a {plan.method} plan", next_step="leave it out, or make a plan with method joint")
    return {name: decoding(held) for name, held in plan.codecs.items()}


def check_same_network(workload: Workload, plan: TacPlan) -> None:
    """Refuse a plan for other weights than those it was made for.

    Args:
        workload: the network with its weights.
        plan: what is to be used on it.

    Raises:
        PlanError: other tensors, or other values in them.
    """
    missing = sorted(set(plan.codecs) ^ set(workload.weights))
    again = f"make one for it: codesign plan --workload {workload.source or 'FILE.py:FACTORY'} ... --out FILE"
    if missing:
        raise PlanError(
            "the plan belongs to another network: the tensors differ", where=f"plan for {plan.workload!r}",
            rule=f"the same stored tensors as workload {workload.name!r}", value=missing, next_step=again,
        )
    found = weights_digest(workload.weights)
    if found != plan.weights_digest:
        raise PlanError(
            "the plan belongs to another network: the weights differ", where=f"plan for {plan.workload!r}",
            rule=f"weights digest {plan.weights_digest[:12]}...", value=f"{found[:12]}... (workload {workload.name!r})",
            next_step=again,
        )
    try:
        workload.network.replacements({name: np.array(values) for name, values in plan.statistics.items()})
    except WorkloadError as failure:
        raise PlanError("the plan's statistics do not fit the network", where=f"plan for {plan.workload!r}, statistics",
                        rule=f"{failure.where}: {failure.rule}", value=failure.value, next_step=again) from None


def laws_for(workload: Workload, plan: TacPlan, flip_probability: FlipInput) -> dict[str, CellLaw]:
    """Flip rates of each stored tensor by its name; all zero is quantisation alone.

    Args:
        workload: the network with its stored tensors.
        plan: names the formats of plain rates; a `FlipProbability` and a profile bring their own.
        flip_probability: as for `evaluate`.

    Raises:
        InputError: no flip probability, a rate outside [0, 1], not one per plane, or a region without a tensor.
    """
    formats = {name: codec.format for name, codec in plan.codecs.items()}
    if isinstance(flip_probability, (FlipProbability, BitErrorProfile)):
        return as_profile(flip_probability).assign(list(workload.weights))
    by_format = {form: as_profile(flip_probability, form).regions[0] for form in set(formats.values())}
    return {name: by_format[form] for name, form in formats.items()}
