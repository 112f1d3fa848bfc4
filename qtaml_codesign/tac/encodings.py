"""Which encoding, and which logical value for the charged state, loses least under the flips of a memory.

A cell that can only lose charge flips where it holds the charged value, so that what is written decides how much is
lost: small weights in sign-magnitude are mostly zeros, and lose little where the charged value is 1. Flips that go both
ways alike do not see which value is the charged one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw, as_profile
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat, Encoding
from qtaml_codesign.cards import DeviceCard, FlipDirection
from qtaml_codesign.checks import one_of, whole_number
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.physics.flip import flip_probability as flip_probability_of
from qtaml_codesign.statistics import Interval, mean_interval
from qtaml_codesign.tac.api import FlipInput, plan
from qtaml_codesign.tac.choices import need_method
from qtaml_codesign.tac.evaluation import Evaluation, Progress, deploy_plan, evaluate
from qtaml_codesign.tac.methods import CELL_METHODS, METHOD_RULES, METHODS
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.prediction import biased_output_error, expected_output_error
from qtaml_codesign.tac.store_design import gains_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("encoding", "charged_bit", "weight_error", "output_error", "overhead", "value", "low", "high", "behind",
           "behind_low", "behind_high")
NOT_BEHIND = Interval(0.0, 0.0, 0.0)
PLAIN_METHODS = tuple(name for name in METHODS if name not in CELL_METHODS)


@dataclass(frozen=True)
class EncodingLoss:
    """What the flips do to a network in one encoding and polarity.

    Attributes:
        encoding: how a level becomes a code.
        charged_bit: the logical value that a charged cell holds; None where it changes nothing.
        weight_error: expected squared error of all weights as they are read, quantisation included, as a share of their
            summed squares: exact, from the codes that are stored.
        output_error: expected squared change of the logits: of the weights as they are read on average, and of what
            varies about that, to first order (`biased_output_error`).
        plan: how the weights are held.
        result: what was measured.
        behind: how much worse the mean score of a sample is than in the best row, over the same drawings, with its
            interval over trials; 0 in the best row.
    """

    encoding: Encoding
    charged_bit: int | None
    weight_error: float
    output_error: float
    plan: TacPlan
    result: Evaluation
    behind: Interval

    @property
    def name(self) -> str:
        """Encoding and polarity in words."""
        return self.encoding if self.charged_bit is None else f"{self.encoding}, charged {self.charged_bit}"


@dataclass(frozen=True)
class EncodingComparison:
    """All encodings and polarities, the one that loses least first.

    Attributes:
        rows: sorted by what was measured, then by the predicted output error.
    """

    rows: tuple[EncodingLoss, ...]

    @property
    def best(self) -> EncodingLoss:
        """The row that loses least."""
        return self.rows[0]

    def to_frame(self) -> pd.DataFrame:
        """The rows as a table; `value`, `low` and `high` are the metric with its interval over trials."""
        import pandas as pd

        frame = pd.DataFrame([(
            row.encoding, row.charged_bit, row.weight_error, row.output_error, row.plan.overhead, row.result.value,
            row.result.low, row.result.high, *row.behind,
        ) for row in self.rows], columns=[*COLUMNS])
        return frame.astype({"charged_bit": "Int64"})

    @property
    def answer(self) -> str:
        """Which loses least and by how much, in a sentence."""
        best, metric = self.best, self.best.result.metric
        value, low, high, clean = map(metric.text, (
            best.result.value, best.result.low, best.result.high, best.result.clean_value))
        ties = [row.name for row in self.rows[1:] if row.behind.low <= 0.0]
        apart = f"; {best.result.trials} trials do not tell it from {' and '.join(ties)}" if ties else ""
        last = self.rows[-1]
        more, least, most = last.behind
        return (f"{best.name} loses least: {metric.name} {value} [{low}, {high}], clean {clean}{apart}; {last.name} "
                f"loses {more:.4f} [{least:.4f}, {most:.4f}] more per sample, with a weight error of "
                f"{last.weight_error:.3g} against {best.weight_error:.3g}")


def compare_encodings(
    workload: Workload | str, flip_probability: FlipInput | DeviceCard, method: str = "tac", budget: float = 0.0,
    trials: int = 30, seed: int = 0, *, flips: FlipDirection | None = None, progress: Progress | None = None,
) -> EncodingComparison:
    """Make and measure one plan for each encoding and polarity: what is lost, foretold and over the same drawings.

        weight error = sum E[(read - w)^2 | stored code] / sum w^2

    Args:
        workload: the network, or its name.
        flip_probability: a device card, what `flip_probability` made of it, a number, rates by bit plane, or a profile;
            encoding and polarity of a card are replaced in all its regions.
        method: of protection; it stores plain codes.
        budget: protected-bit fraction in [0, 1].
        trials: drawings of all flips for each row, >= 2.
        seed: key of every random choice; cells draw the same numbers in all rows.
        flips: "symmetric" or "charge_loss" in place of the card's own direction.
        progress: called with (trials done, trials of all rows).

    Raises:
        InputError: an argument that is unknown or out of bounds, or a method that chooses the store itself.
        WorkloadError: a network or inputs that cannot be used.

    Validity: what varies is taken to first order in the predicted output error; a plane more on some weights
    (`uniform-msp-fractional`) counts in both predictions as if it were not protected. Source: exact laws of what is
    read (`bits.transition`).

    Example:
        >>> import qtaml_codesign as qc
        >>> found = qc.compare_encodings("small-cnn", 0.1, "none", trials=3, flips="charge_loss")
        >>> len(found.rows), found.best.name
        (6, 'sign_magnitude, charged 0')
    """
    need_method("method", method, "stores plain codes", [one_of("protection method", "method", method, METHODS)],
                PLAIN_METHODS)
    whole_number("trials", trials, least=2)
    network, profile = load_workload(workload), _profile(flip_probability, flips)
    directed = any(not np.array_equal(law.one_to_zero, law.zero_to_one) for law in profile.regions)
    stores = [(encoding, charged) for encoding in ENCODINGS for charged in ((1, 0) if directed else (None,))]
    with single_threaded():
        gains = jacobian_gains(network, "auto", seed=seed) if METHOD_RULES[method].needs_gains else None

    def measured(number: int, encoding: Encoding, charged: int | None) -> EncodingLoss:
        held = _stored_as(profile, encoding, charged)
        made = plan(network, method, held, budget, seed, gains=gains)
        with single_threaded():
            model, to_logits = deploy_plan(network, made, held), gains_of(network)
        result = evaluate(network, made, held, trials, seed, progress=lambda done, _: told(number * trials + done))
        return EncodingLoss(encoding, charged, _weight_error(model, network.weights),
                            biased_output_error(network, model, to_logits), made, result, NOT_BEHIND)

    def told(done: int) -> None:
        if progress is not None:
            progress(done, trials * len(stores))

    return _sorted([measured(number, *store) for number, store in enumerate(stores)])


def _profile(given: FlipInput | DeviceCard, flips: FlipDirection | None) -> BitErrorProfile:
    """The flip rates with 1 as the charged value, and in the direction that is asked for."""
    profile = as_profile(flip_probability_of(given) if isinstance(given, DeviceCard) else given)
    if flips is not None:
        one_of("direction of flips", "flips (--flips)", flips, get_args(FlipDirection))
    return BitErrorProfile(tuple(_directed(law, flips) for law in profile.regions))


def _directed(law: CellLaw, flips: FlipDirection | None) -> CellLaw:
    lost, gained = np.maximum(law.one_to_zero, law.zero_to_one), np.minimum(law.one_to_zero, law.zero_to_one)
    other = {"symmetric": lost, "charge_loss": np.zeros_like(lost), None: gained}[flips]
    return replace(law, one_to_zero=lost, zero_to_one=other)


def _stored_as(profile: BitErrorProfile, encoding: Encoding, charged_bit: int | None) -> BitErrorProfile:
    """The profile in another encoding, its rates the other way round where the charged value is 0."""
    def changed(law: CellLaw) -> CellLaw:
        down, up = (law.zero_to_one, law.one_to_zero) if charged_bit == 0 else (law.one_to_zero, law.zero_to_one)
        return replace(law, format=BitFormat(law.format.bits, encoding), one_to_zero=down, zero_to_one=up)

    return BitErrorProfile(tuple(map(changed, profile.regions)))


def _weight_error(model: DeployedModel, weights: Mapping[str, NDArray[np.floating]]) -> float:
    """Sum of E[(read - w)^2] over all weights, as a share of their summed squares."""
    alike = {name: np.ones(weight.shape, np.float32) for name, weight in weights.items()}
    power = sum(float(np.square(weight, dtype=np.float64).sum()) for weight in weights.values())
    return expected_output_error(model, weights, alike) / (power or 1.0)


def _sorted(rows: list[EncodingLoss]) -> EncodingComparison:
    """The rows, best first, each with its distance from the best."""
    sign = 1.0 if rows[0].result.metric.larger_is_better else -1.0
    ranked = sorted(rows, key=lambda row: (-sign * row.result.value, row.output_error))
    best = np.array(ranked[0].result.score_by_trial, np.float64)
    return EncodingComparison(tuple(
        replace(row, behind=mean_interval(
            sign * (best - np.array(row.result.score_by_trial, np.float64)) / row.result.counts.samples,
            row.result.confidence,
        )) for row in ranked
    ))
