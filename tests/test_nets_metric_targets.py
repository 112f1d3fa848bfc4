"""Targets and their direction; scores that add up exactly; intervals in the unit that is shown."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.metric import METRICS, PERPLEXITY, as_metric, cross_entropy
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.statistics import hall_interval, mean_interval, trial_interval
from qtaml_codesign.sweeps.soundness import check_evaluation
from qtaml_codesign.sweeps.stopping import StoppingRule
from qtaml_codesign.sweeps.store import ResultStore
from tests.test_nets_metric import workload

# targets

@pytest.mark.parametrize(("given_target", "expected"), [
    (0.95, Target(0.95)), ("0.95", Target(0.95)), ("95 %", Target(0.95)), ("1.1%", Target(0.011)),
    (" .9 x clean ", Target(0.9)), (np.float32(0.5), Target(0.5)),
    ("1.05*clean", Target(1.05)), ("1.05 × Clean", Target(1.05)), ("clean + 0.1", Target(1.0, 0.1)),
    ("0.9 x clean - 0.01", Target(0.9, -0.01)), (Target(1.0, -0.01234567891), Target(1.0, -0.01234567891)),
    ("clean-2e-2", Target(1.0, -0.02)), ("= 12.5", Target(0.0, 12.5)), ("=-1", Target(0.0, -1.0)),
])
def test_targets_are_read(given_target, expected):
    assert as_target(given_target) == expected
    assert as_target(expected.plain) == expected


@pytest.mark.parametrize("bad", [0, -0.5, math.nan, math.inf, True, None, "", "most", "clean", "clean +", "0.9 x dirty",
                                 "= clean", "1e999", "= 1e999", "0%", [0.9]])
def test_targets_that_cannot_be_read_are_refused(bad):
    with pytest.raises(InputError, match="the target"):
        as_target(bad)


@pytest.mark.parametrize(("metric", "good", "bad"), [
    ("accuracy", "clean - 0.1", "clean + 0.01"), ("accuracy", "= 0.5", "= 1.1"), ("accuracy", 0.9, 1.5),
    ("perplexity", "clean + 0.1", "clean - 0.1"), ("perplexity", 1.2, 0.95), ("cross-entropy", "= 9", "= 0"),
])
def test_a_target_is_read_in_the_metrics_own_direction(metric, good, bad):
    found = workload(metric)
    check_evaluation(found, as_target(good))
    with pytest.raises(InputError, match="not worse than the clean"):
        check_evaluation(found, as_target(bad))
    with pytest.raises(InputError, match="not worse than the clean"):
        check_evaluation(workload("perplexity"), Target(1.0))


@pytest.mark.parametrize(("metric", "clean", "advice"), [
    (METRICS["rmse"], 0.0, "clean rmse + 0.1"), (METRICS["rmse"], 2.0, "1.05 x clean rmse"),
    (qc.Metric("gain", cross_entropy, bounds=(-math.inf, math.inf)), -2.0, "clean gain - 0.1"),
])
def test_the_advice_on_a_target_that_is_too_good_is_one_that_can_be_kept(metric, clean, advice):
    with pytest.raises(InputError, match="not worse than the clean") as caught:
        metric.check_target(Target(1.0), clean, strictly=True)
    assert caught.value.next_step == f"for instance {advice}"
    metric.check_target(as_target(advice.replace(metric.name, "")), clean, strictly=True)


def frame(metric, values, low, high, clean):
    names = (*as_metric(metric).columns, as_metric(metric).clean_column)
    columns = dict(zip(names, (values, low, high, clean), strict=True))
    return pd.DataFrame({"thickness_nm": [1.0, 2.0, 3.0], "flip_probability": [0.1, 0.01, 0.001], "method": "tac",
                         "budget": 0.05, "overhead": 0.05, **columns, "image_half_width": 0.5})


def test_the_frontier_of_a_loss_crosses_from_above_with_the_better_end_on_the_thin_side():
    table = frame("perplexity", [20.0, 14.0, 10.0], [19.0, 13.0, 9.0], [22.0, 16.0, 11.0], 10.0)
    row = qc.Frontier(table, "clean + 2", metric="perplexity").to_frame().iloc[0]
    assert row.thickness_nm == pytest.approx(2.5)
    assert row.thickness_low_nm == pytest.approx(2.25)
    assert row.thickness_high_nm == pytest.approx(2.8)
    assert (row.image_low_nm, row.image_high_nm) == (pytest.approx(2.375), pytest.approx(2.625))
    status = qc.Frontier(table, "= 12", metric="perplexity").smallest_budgets().status
    assert list(status) == ["none", "none", "certain"]
    assert "clean perplexity + 2" in repr(qc.Frontier(table, "clean + 2", metric="perplexity"))
    with pytest.raises(InputError, match="not worse"):
        qc.Frontier(table, 0.95, metric="perplexity")
    with pytest.raises(InputError, match="lacks columns"):
        qc.Frontier(table)


# sums and intervals

real = st.builds(lambda values: TrialCounts.of_trial(np.array(values), 3, 80, 60, 3, 2.5, 0.25),
                 st.lists(st.one_of(st.floats(-1e9, 1e9), st.just(math.inf)), min_size=3, max_size=3))


@given(real, real, real)
def test_real_scores_add_exactly_in_any_order(a, b, c):
    names = ("score", "score_squares", "score_cubes")
    one, two = (a + b) + c, c + (b + a)
    assert [getattr(one, name) for name in names] == [getattr(two, name) for name in names]
    if math.isfinite(one.score):
        assert one.score_squares == sum(Fraction(part.score) ** 2 for part in (a, b, c))


@given(real)
def test_the_store_gives_real_scores_back_to_the_last_bit(one):
    with ResultStore(None) as store:
        store.add_trials([("task", 0, [one])])
        assert store.trials("task")[0] == one


def test_a_small_spread_about_a_large_mean_is_not_cancelled():
    """Squares of 1e9 have their last bit at 128; exact sums see a spread of 1e-3."""
    values = 1e9 + 1e-3 * np.random.default_rng(5).standard_normal(12)
    exact = [sum(Fraction(value) ** power for value in values) for power in (1, 2, 3)]
    expected = mean_interval(values - 1e9, 0.9)
    found = trial_interval(*exact[:2], 12, 1, 0.9, bounds=(-math.inf, math.inf))
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=1e-3)
    hall = hall_interval(*exact, 12, 1, 0.9, bounds=(-math.inf, math.inf))
    shifted = [sum((Fraction(value) - 10**9) ** power for value in values) for power in (1, 2, 3)]
    low = hall_interval(*shifted, 12, 1, 0.9, bounds=(-math.inf, math.inf))
    assert (hall.low - 1e9, hall.high - 1e9) == pytest.approx((low.low, low.high), rel=1e-3)


def test_intervals_end_at_the_metrics_own_bounds_and_are_shown_as_it_is():
    counts = TrialCounts.total([TrialCounts.of_trial(np.array([score]), 1, 8, 8, 0, 0.0, 0.0) for score in (0.1, 9.0)])
    means = counts.interval(METRICS["cross-entropy"])
    assert (means.estimate, means.low) == (pytest.approx(4.55), 0.0)
    assert tuple(counts.interval(PERPLEXITY)) == pytest.approx(tuple(np.exp(means)), rel=1e-12)
    assert tuple(counts.interval(METRICS["rmse"])) == pytest.approx(tuple(np.sqrt(means)), rel=1e-12)


@pytest.mark.parametrize(("name", "target"), [("perplexity", Target(1.1)), ("rmse", Target(1.1)),
                                              ("rmse", Target(1.0, 0.1)), ("cross-entropy", Target(0.0, 3.0))])
def test_the_interval_over_samples_is_paired_in_the_unit_that_is_shown(name, target):
    """Against the jackknife over groups of shown(trials) - target(shown(clean)), which knows no derivative."""
    rng, metric, groups = np.random.default_rng(7), as_metric(name), 400
    sizes = rng.integers(1, 4, groups)
    clean = rng.gamma(2.0, 0.3, groups) * sizes
    under = clean * rng.uniform(0.9, 1.6, groups)
    counts = TrialCounts.of_trial(under, int(sizes.sum()), 8, 8, 0, 0.0, 0.0)

    def beyond(keep):
        total = sizes[keep].sum()
        return metric.show(under[keep].sum() / total) - target.value(metric.show(clean[keep].sum() / total))

    left_out = np.array([beyond(np.arange(groups) != one) for one in range(groups)])
    error = math.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
    found = counts.image_half_width(clean, sizes, target, 0.95, metric)
    assert found == pytest.approx(1.966 * error, rel=0.02)


def test_a_clean_error_of_nothing_has_an_interval_over_samples():
    """sqrt has no slope at 0; of a network whose targets are its own outputs nothing but the trials varies."""
    under, sizes = np.array([4.0, 5.0, 3.0, 4.0]), np.ones(4, int)
    of_trial = [TrialCounts.of_trial(scores, 4, 8, 8, 0, 0.0, 0.0) for scores in (under, 0.0 * under)]
    found = [one.image_half_width(np.zeros(4), sizes, Target(1.0, 0.1), metric=METRICS["rmse"]) for one in of_trial]
    mean = mean_interval(under)
    assert found == pytest.approx([mean.half_width / (2.0 * math.sqrt(mean.estimate)), 0.0])


@pytest.mark.filterwarnings("error")
def test_a_perplexity_near_the_largest_float_warns_of_nothing():
    counts = TrialCounts.of_trial(np.array([700.0, 705.0, 710.0]), 3, 8, 8, 0, 0.0, 0.0)
    assert not counts.image_half_width(np.ones(3), np.ones(3, int), Target(1.05), metric=PERPLEXITY) < 1e300


def test_far_from_the_target_a_metric_without_bounds_needs_less():
    rule = StoppingRule(max_trials=80).measuring(METRICS["mae"], clean=1.0, target=1.05)
    assert rule.width == pytest.approx(0.01)
    noise = np.random.default_rng(3).standard_normal(80)
    far, near = ([Fraction(float(value)) for value in centre + spread * noise]
                 for centre, spread in ((50.0, 10.0), (1.0, 0.1)))
    assert rule.decide(far, 1) == (20, True)
    assert rule.decide(near, 1) == (80, True)
    assert rule.decide([math.inf] * 20, 1) == (20, True)
    given_width = StoppingRule(half_width=0.5).measuring(METRICS["mae"], 1.0, 1.05)
    assert given_width.decide(near, 1) == (20, True)


def test_the_command_line_takes_a_metric(codesign, tiny, tmp_path):
    plan = tmp_path / "plan.json"
    codesign("plan", "--workload", tiny, "--flip-probability", 0.1, "--budget", "25%", "--out", plan)
    common = ("--workload", tiny, "--plan", plan, "--flip-probability", 0.1, "--trials", 3)
    done = codesign("evaluate", *common, "--metric", "cross-entropy")
    assert done.code == 0, done.stderr
    assert "cross-entropy under flips: " in done.stdout
    result = qc.evaluate(tiny, qc.TacPlan.load(plan), 0.1, 3, metric="cross-entropy")
    assert f"{result.value:.6g}  [{result.low:.6g}, {result.high:.6g}]" in done.stdout
    wrong = codesign("evaluate", *common, "--metric", "crossentropy")
    assert (wrong.code, "did you mean cross-entropy" in wrong.stderr) == (2, True)
    found = codesign("frontier", "--device", "3nm", "--workload", tiny, "--thickness", "1.73:2.0", "--budget", "25%",
                     "--metric", "agreement", "--target", "clean - 0.1", "--max-trials", 20, "--workers", 1,
                     "--out", tmp_path / "run")
    assert found.code == 0, found.stderr
    assert "clean agreement - 0.1" in found.stdout
