"""A noise model from outside the package: any object with `apply_to`, as it is or under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.errors import InputError

RATE, TRIALS = 0.1, 2


@dataclass(frozen=True)
class DeadPlane:
    """All flips of a tensor happen in one plane, at a rate that keeps the mean over planes; no class of ours."""

    plane: int

    def apply_to(self, nominal: Mapping[str, CellLaw], sizes: Mapping[str, int], seed: int = 0) -> dict[str, CellLaw]:
        assert dict(sizes) == {name: weight.size for name, weight in network().weights.items()}
        assert seed == 7
        return {name: replace(law, one_to_zero=self._moved(law.one_to_zero), zero_to_one=self._moved(law.zero_to_one))
                for name, law in nominal.items()}

    def _moved(self, rates: np.ndarray) -> np.ndarray:
        moved = np.zeros_like(rates)
        moved[self.plane] = rates.sum()
        return moved


@cache
def network() -> qc.Workload:
    return qc.load_workload("small-cnn")


def measured(noise: object, flips: object = RATE) -> qc.Evaluation:
    plan = qc.plan(network(), method="none", flip_probability=RATE)
    return qc.evaluate(network(), plan, flips, trials=TRIALS, seed=7, noise=noise)  # type: ignore[arg-type]


@pytest.fixture
def named() -> Iterator[str]:
    qc.NOISE_MODELS["dead-lsb"] = DeadPlane(0)
    yield "dead-lsb"
    del qc.NOISE_MODELS["dead-lsb"]


def test_the_trials_are_those_of_the_rates_that_the_model_gives() -> None:
    """The same flips as under a profile whose rates are written down by hand: 0.8 in plane 0, none elsewhere."""
    by_hand = measured(None, [8 * RATE, *[0.0] * 7])
    mine = measured(DeadPlane(0))
    assert mine.counts.bits_flipped == by_hand.counts.bits_flipped > 0
    assert mine.score_by_trial == by_hand.score_by_trial
    assert mine.nominal_ber == pytest.approx(RATE, rel=1e-12)
    assert mine.accuracy > measured(DeadPlane(7)).accuracy + 0.2


def test_it_is_found_under_its_own_name(named: str) -> None:
    assert measured(named).score_by_trial == measured(DeadPlane(0)).score_by_trial
    with pytest.raises(InputError, match="unknown noise model") as caught:
        qc.noise_model("dead-lbs")
    assert named in caught.value.next_step


@pytest.mark.parametrize("wrong", [None, 3, np.zeros(2)])
def test_what_is_no_model_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="unknown noise model"):
        qc.noise_model(wrong)  # type: ignore[arg-type]
