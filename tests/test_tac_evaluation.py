"""What an evaluation says about its own uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.statistics import mean_interval
from qtaml_codesign.tac.evaluation import deploy_plan


def test_an_evaluation_tells_its_error_over_evaluation_samples(small: qc.Workload) -> None:
    """Each image is one unit: the share of trials that answer it right, read out here trial by trial."""
    plan = qc.plan(small, "tac", 0.1, 0.03)
    result = qc.evaluate(small, plan, 0.1, trials=20)
    reader = deploy_plan(small, plan, 0.1).prepare(0)
    right = np.mean([
        (small.run(small.evaluation_inputs, reader.read(trial).weights).argmax(1) == small.labels).numpy()
        for trial in range(20)
    ], axis=0)
    expected = mean_interval(right)
    assert (result.image_low, result.image_high) == pytest.approx((expected.low, min(expected.high, 1.0)), rel=1e-12)
    assert result.notes == ()


def test_an_evaluation_of_few_trials_says_that_its_level_is_nominal(small: qc.Workload, codesign, tmp_path) -> None:
    plan = qc.plan(small, "uniform-msp", 0.1, 0.25)
    assert "nominal" in qc.evaluate(small, plan, 0.1, trials=19).notes[0]
    plan.save(tmp_path / "plan.json")
    common = ("evaluate", "--workload", "small-cnn", "--plan", tmp_path / "plan.json", "--flip-probability", 0.1)
    few, enough = codesign(*common, "--trials", 3), codesign(*common, "--trials", 20)
    assert "with 3 trials the 95% of the interval over trials is nominal" in few.stderr
    assert "nominal:" not in enough.stderr
    assert "over evaluation samples: [" in enough.stdout
