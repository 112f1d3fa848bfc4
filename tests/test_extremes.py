"""What is said at the ends of the scale: no flips at all, a flip in every other cell, and every electron gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qtaml_codesign.cards import load_card
from qtaml_codesign.physics.flip import flip_probability
from tests.conftest import Finished

Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans") / "plan.json"


@pytest.mark.parametrize(("chance", "warned"), [("0.4999", False), ("0.5", True), ("0.7", True), ("0", False)])
def test_a_plan_for_more_flips_than_bits_is_warned_about(codesign: Run, chance: str, warned: bool) -> None:
    done = codesign("plan", "--workload", "small-cnn", "--flip-probability", chance, "--method", "none")
    assert done.code == 0
    assert ("what is read says nothing" in done.stderr) == warned
    assert ("no flips: quantisation alone" in done.stderr) == (chance == "0")


def test_the_card_of_a_plan_is_warned_about_too(codesign: Run) -> None:
    """One hot region is enough."""
    regions = "regions={hot: {tensors: ['conv*'], barrier: {thickness_nm: 1.5}}}"
    done = codesign("plan", "--workload", "small-cnn", "--device", "3nm", "--set", regions, "--method", "none")
    assert done.code == 0, done.stderr
    assert "flip with probability 1, which is 0.5 or more" in done.stderr


def test_without_flips_there_is_no_interval_over_trials(codesign: Run, plan_file: Path) -> None:
    """All trials are one and the same: an interval of them would speak of drawings that were never made."""
    flips = ("--flip-probability", "0")
    made = codesign("plan", "--workload", "small-cnn", *flips, "--method", "none", "--out", plan_file)
    assert made.code == 0
    evaluate = ("evaluate", "--workload", "small-cnn", "--plan", plan_file, "--trials", "2", "--flip-probability")
    quiet, noisy = codesign(*evaluate, "0").stdout, codesign(*evaluate, "0.1").stdout
    assert "in every trial" in quiet.splitlines()[0]
    assert "at 95%" not in quiet
    assert "interval over trials" not in quiet
    assert "at 95%" in noisy.splitlines()[0]


@pytest.mark.parametrize(("electrons", "threshold"), [(1, 0), (5, 4), (50, 49)])
def test_cells_that_must_empty_reach_the_high_escape_regime(electrons: int, threshold: int) -> None:
    """p_flip = p_esc^N: above one half where lambda > N 2^(-1/N), though lambda is never more than N."""
    card = load_card("3nm").with_fields({"cell.electrons": electrons, "cell.flip_threshold": threshold})
    flip = flip_probability(card, np.linspace(1.2, 1.9, 200))
    named, chance = np.asarray(flip.regime), np.asarray(flip.probability)
    assert chance[0] == pytest.approx(1.0)
    np.testing.assert_array_equal(named == "high-escape", chance > 0.5)
    assert {"high-escape", "transition"} <= set(named)
