"""The output error foretold from exact laws against the one measured, and the method that follows from both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_optimised import design
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.nets.weight_gains import weight_gains
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac import auto
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.prediction import expected_output_error, measured_output_error
from tests.in_memory import uniform
from tests.test_tac_stores import linear_workload, normalised_workload

RATE = 0.001
"""At which a BCH code is the cheapest: its law takes a moment to measure, that of an LDPC code ten seconds."""


def test_the_expected_error_is_the_mean_over_many_readings() -> None:
    """Plain codes with a correction, channel-optimised rows and dropped ones; 5 standard errors of 600 readings."""
    weights = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    gains = np.random.default_rng(1).exponential(size=weights.shape).astype(np.float32)
    law = uniform(0.05, qc_format())
    plain = PlaneProtected.fitted(weights, law.format, depth=2, factor=1.1, gain=0.9, offset=0.01)
    rows = (0, 2, 5)
    held = ByGroups(((rows, design(weights[list(rows)], law)), ((1, 3, 4), plain)))
    for codec in (plain, held):
        model = deploy({"w": weights}, {"w": codec}, {"w": law})
        reader = model.prepare(0)
        readings = [reader.read(trial).weights["w"].numpy() for trial in range(600)]
        errors = [float((gains * (reading - weights) ** 2).sum()) for reading in readings]
        expected = expected_output_error(model, {"w": weights}, {"w": gains})
        assert abs(np.mean(errors) - expected) < 5 * np.std(errors) / np.sqrt(len(errors))


def qc_format():  # type: ignore[no-untyped-def]
    return PlaneProtected.fitted(np.ones(1)).format


def test_foretold_and_measured_meet_where_the_output_is_linear() -> None:
    """One stored layer: the logits are linear in it, so that the sum over weights is the error itself."""
    workload = linear_workload()
    first, second = qc.plan(workload, "none", 0.01).layers
    alone = deploy(workload.weights, {second.name: second.codec}, {second.name: uniform(0.01, qc_format())})
    expected = expected_output_error(alone, workload.weights, weight_gains(workload))
    measured = measured_output_error(workload, alone, 0, 300)
    assert measured.low <= expected <= measured.high
    assert measured.high - measured.low < 0.5 * expected
    assert first.name not in {group.name for group in alone.groups}


def test_auto_takes_the_plan_that_moves_the_outputs_least() -> None:
    workload = qc.load_workload("small-cnn")
    chosen = qc.plan(workload, "auto", RATE, cells=3.0)
    assert chosen.method == "joint"
    assert "as foretold" in chosen.reason
    assert chosen.cells_per_weight <= 3.0
    models = [deploy_plan(workload, qc.plan(workload, method, RATE, cells=3.0), RATE)
              for method in ("joint", "channel-optimised")]
    joint, words = (measured_output_error(workload, model, 1, 10) for model in models)
    assert joint.high < words.low
    assert qc.TacPlan.from_json(chosen.to_json()).reason == chosen.reason


def test_with_a_budget_auto_spends_protected_bits() -> None:
    chosen = qc.plan(linear_workload(), "auto", 0.05, 0.25)
    assert chosen.method in auto.BUDGET_CANDIDATES
    assert 0.0 < chosen.overhead <= 0.25
    assert qc.plan(linear_workload(), "tac", 0.05, 0.25).reason == ""


def test_what_is_measured_overrules_what_was_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([Interval(2.0, 1.9, 2.1), Interval(1.0, 0.9, 1.1)])
    monkeypatch.setattr(auto, "measured_output_error", lambda *given: next(found))
    usual = qc.plan(linear_workload(), "auto", 0.05, 0.25)
    assert "against what was foretold" in usual.reason


def test_decoding_every_trial_agrees_with_drawing_what_is_left() -> None:
    workload = qc.load_workload("small-cnn")
    plan = qc.plan(workload, "joint", RATE, cells=3.0)
    drawn, decoded = (qc.evaluate(workload, plan, RATE, trials=6, decode=decode) for decode in (False, True))
    assert abs(drawn.accuracy - decoded.accuracy) < 0.01
    assert drawn.nominal_ber == decoded.nominal_ber
    with pytest.raises(InputError, match="nothing to decode"):
        qc.evaluate(workload, qc.plan(workload, "none", RATE), RATE, trials=2, decode=True)
    with pytest.raises(InputError, match="for which the plan was made"):
        qc.evaluate(workload, plan, 0.9 * RATE, trials=2)
    assert replace(decoded, counts=drawn.counts).trials == 6


def test_what_is_measured_has_the_statistics_of_the_plan_and_flips_of_its_own() -> None:
    workload = normalised_workload()
    silent, noisy = (deploy_plan(workload, qc.plan(workload, "none", 0.1), rate) for rate in (0.0, 0.1))
    moved = replace(silent, statistics={"1.running_mean": torch.full((16,), 0.5)})
    clean = workload.run(workload.calibration)
    given = workload.run(workload.calibration, moved.prepare(0).read(0).weights | moved.statistics)
    wanted = float((given - clean).double().square().sum(-1).mean())
    assert measured_output_error(workload, moved, 0, 2).estimate == pytest.approx(wanted)
    assert measured_output_error(workload, silent, 0, 2).estimate < 0.5 * wanted
    of_trials = [workload.run(workload.calibration, noisy.prepare(0).read(trial).weights) - clean for trial in (0, 1)]
    same_flips = float(np.mean([one.double().square().sum(-1).mean() for one in of_trials]))
    assert measured_output_error(workload, noisy, 0, 2).estimate != pytest.approx(same_flips, rel=1e-6)
