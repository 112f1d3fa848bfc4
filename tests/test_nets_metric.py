"""The metrics against torch, numpy and brute force; what travels with them, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets.metric import METRICS, InTop, as_metric, cross_entropy
from qtaml_codesign.nets.scoring import scores_of
from qtaml_codesign.nets.target import Target, as_target
from qtaml_codesign.sweeps.soundness import check_evaluation


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def workload(metric="accuracy", targets=None, model=None, **more):
    torch.manual_seed(1)
    model, inputs = nn.Linear(6, 4) if model is None else model, drawn(80, 6)
    given = model(inputs).argmax(-1) if targets is None else targets
    return qc.Workload(model, inputs[:16], (inputs, given), metric=metric, **more)


# scores

@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)])
def test_cross_entropy_is_torchs_and_perplexity_its_exponential(shape):
    logits, labels = drawn(*shape), torch.randint(5, shape[:-1], generator=torch.Generator().manual_seed(2))
    expected = functional.cross_entropy(logits.movedim(-1, 1), labels, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, labels), expected, rtol=1e-6, atol=0.0)
    rounded = functional.cross_entropy(logits.half().float().movedim(-1, 1), labels, reduction="none")
    torch.testing.assert_close(cross_entropy(logits.half(), labels), rounded, rtol=1e-6, atol=0.0)
    found = qc.Workload(nn.Linear(6, 4), drawn(80, 6), (drawn(80, 6), torch.zeros(80, dtype=int)), metric="perplexity",
                        logits=lambda z: 0.0 * z)
    assert found.clean_value == pytest.approx(4.0, rel=1e-6)  # of logits that say nothing


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.0, math.inf, -math.inf, math.nan]), min_size=2, max_size=6),
       st.integers(0, 5), st.integers(1, 4))
def test_top_k_counts_the_larger_logits_and_equals_that_come_first(row, label, most):
    label = label % len(row)
    before = sum(value > row[label] or (value == row[label] and place < label) for place, value in enumerate(row))
    expected = before < most and not any(map(math.isnan, row))
    assert InTop(most)(torch.tensor([row]), torch.tensor([label])).item() is expected


@pytest.mark.parametrize("shape", [(80,), (80, 3)])
def test_rmse_and_mae_are_numpys(shape):
    model = nn.Sequential(nn.Linear(6, 3))
    pick = (lambda z: z[:, 0]) if len(shape) == 1 else None
    out = model(drawn(80, 6)).detach()
    targets = (out[:, 0] if len(shape) == 1 else out) + 0.1 * drawn(*shape, seed=4)
    found = workload("rmse", targets, model, logits=pick)
    out = found.run(found.evaluation_inputs).double().numpy()
    error = out - targets.double().numpy()
    assert (found.samples, out.shape) == (targets.numel(), shape)
    assert found.clean_value == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    assert found.with_metric("mae").clean_value == pytest.approx(np.abs(error).mean(), rel=1e-12)
    plan = qc.plan(found, "tac", 0.05, 0.25)
    table = qc.sweep(found, "3nm", [1.75, 1.9], budgets=(0.25,), methods=("tac",), trials=4).to_frame()
    assert plan.overhead <= 0.25
    assert (table.rmse >= found.clean_value * 0.99).all()
    assert table.rmse[0] > table.rmse[1]


def test_agreement_needs_no_labels_and_is_accuracy_on_the_networks_own_answers():
    bare = qc.Workload(nn.Linear(6, 4), drawn(16, 6), drawn(80, 6), metric="agreement")
    pair = qc.Workload(bare.network.module, drawn(16, 6), (drawn(80, 6), None), metric="agreement")
    own = bare.run(drawn(80, 6)).argmax(-1)
    accuracy = qc.Workload(bare.network.module, drawn(16, 6), (drawn(80, 6), own))
    assert (bare.clean_value, bare.samples, bare.digest) == (1.0, 80, pair.digest)
    plan = qc.plan(bare, "uniform-msp", 0.1, 0.125)
    assert qc.evaluate(bare, plan, 0.1, 4).score_by_trial == qc.evaluate(accuracy, plan, 0.1, 4).score_by_trial
    with pytest.raises(WorkloadError, match="not a pair"):
        bare.with_metric("accuracy")
    assert check_evaluation(bare, Target(0.9)) == ()


REFUSED = {
    "mean": (lambda o, t: functional.cross_entropy(o, t), {}, "score per sample", "reduction='none'"),
    "fails": (lambda o, t: o.nothing, {}, "the metric fails", "one batch"),
    "no tensor": (lambda o, t: 0.5, {}, "score per sample", "reduction"),
    "out of bounds": (lambda o, t: o[:, 0] * 0.0 + 1.5, {}, "outside of the metric's bounds", "-inf or inf"),
    "never finite": (lambda o, t: o[:, 0] * math.nan, {"bounds": (0.0, math.inf), "larger_is_better": False},
                     "no finite score", "nan"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_metrics_that_cannot_be_used_are_refused_at_once(name):
    score, options, what, step = REFUSED[name]
    with pytest.raises(WorkloadError, match=what) as caught:
        workload(qc.Metric("own", score, **options))
    assert step in caught.value.next_step


@pytest.mark.parametrize("change", [{"name": "trials"}, {"name": "a b"}, {"bounds": (1.0, 0.0)}, {"shown": "log"},
                                    {"shown": ["mean"]}, {"bounds": None}, {"bounds": ("a", 1.0)},
                                    {"shown": "root", "bounds": (-1.0, 1.0)},
                                    {"targets": "labels"}, {"score": "mean"}])
def test_metrics_that_cannot_be_are_refused(change):
    with pytest.raises(InputError, match=f"the {next(iter(change))} of a metric"):
        replace(METRICS["mae"], **change)


def test_values_of_another_shape_are_refused_before_they_broadcast():
    with pytest.raises(WorkloadError, match="targets and outputs do not fit"):
        workload("rmse", drawn(80), nn.Linear(6, 80))
    with pytest.raises(WorkloadError, match="not the form of logits"):
        workload("perplexity", torch.full((80,), 2), nn.Linear(6, 1))


def test_a_nan_is_the_worst_bound():
    scores = scores_of(replace(METRICS["mae"], score=lambda o, t: o), torch.tensor([math.nan, 1.0]), torch.zeros(2))
    assert scores.tolist() == [math.inf, 1.0]
    own = qc.Metric("own", lambda o, t: o, bounds=(-2.0, 2.0))
    assert scores_of(own, torch.tensor([math.nan, 1.0]), torch.zeros(2)).tolist() == [-2.0, 1.0]


@pytest.mark.parametrize(("larger", "bounds"), [(True, (-math.inf, math.inf)), (False, (-math.inf, math.inf)),
                                                (True, (0.0, math.inf))])
def test_an_infinity_on_the_better_side_is_no_better_than_a_nan(larger, bounds):
    own = qc.Metric("own", lambda o, t: o, larger, bounds)
    best = math.inf if larger else -math.inf
    found = scores_of(own, torch.tensor([best, math.nan, 1.0]), torch.zeros(3))
    assert found.tolist() == [own.worst, own.worst, 1.0]


@pytest.mark.parametrize("name", [*METRICS, "top-3"])
def test_a_metric_is_part_of_the_workload_and_travels(name):
    kind = as_metric(name).targets
    targets = {"values": drawn(80, 4), "binary": drawn(80, 4) > 0.0}.get(kind)
    found = workload(name, targets)
    again = pickle.loads(pickle.dumps(found))
    assert (again.metric, again.digest, again.clean_value) == (found.metric, found.digest, found.clean_value)
    other = found.with_metric({"classes": "top-2", "clean": "top-2"}.get(kind, "mae" if name != "mae" else "rmse"))
    assert other.digest != found.digest
    assert copy.deepcopy(found.metric) == found.metric
    np.testing.assert_array_equal(found.score_by_group(), found.scoring.clean_by_group)


def test_unknown_names_are_told_apart():
    with pytest.raises(InputError, match="unknown metric") as caught:
        as_metric("perplexty")
    assert "perplexity" in caught.value.next_step
    for bad in ("top-0", "top-", 3, None):
        with pytest.raises(InputError, match="unknown metric"):
            as_metric(bad)


# names, and what is said

@pytest.mark.parametrize(("metric", "targets"), [("accuracy", drawn(80, 1)),
                                                 ("perplexity", torch.full((80,), 2))])
def test_outputs_that_are_values_lead_to_a_metric_of_values_in_the_factory(metric, targets):
    with pytest.raises(WorkloadError, match=r"not the form of logits|not classes") as caught:
        workload(metric, targets, nn.Linear(6, 1))
    assert 'metric="rmse" into qc.Workload(...)' in caught.value.next_step


@pytest.mark.parametrize(("tensors", "reasons"), [
    (None, {"parameter of a norm": (2, 24), "bias": (2, 16)}), (("*.weight",), {"not chosen by tensors=": (3, 28)})])
def test_exposure_and_warnings_stay_with_another_metric_and_on_the_way(tensors, reasons):
    model = nn.Sequential(nn.Linear(6, 12), nn.LayerNorm(12), nn.Linear(12, 4))
    found = workload(model=model, tensors=tensors)
    assert found.exposure.reasons == reasons
    for other in (found.with_metric("top-2"), pickle.loads(pickle.dumps(found)),
                  pickle.loads(pickle.dumps(found.with_metric("top-2"))).with_metric("accuracy")):
        assert (other.exposure, other.warnings) == (found.exposure, found.warnings)
        assert list(other.weights) == list(found.weights)


def test_a_warning_of_little_exposure_stays_with_another_metric():
    found = workload(model=nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), *(nn.LayerNorm(4) for _ in range(4))))
    assert any("lie in tunnelling cells" in note for note in found.warnings)
    assert found.with_metric("top-2").warnings == found.warnings == pickle.loads(pickle.dumps(found)).warnings


@pytest.mark.parametrize("most", [4, 5, 100])
def test_a_top_k_that_no_answer_can_miss_is_refused(most):
    with pytest.raises(WorkloadError, match="every sample is right") as caught:
        workload(f"top-{most}")
    assert "1 <= K < 4" in caught.value.rule
    assert workload("top-3").clean_value == 1.0
    with pytest.raises(InputError, match="unknown metric") as caught:
        as_metric("top-0")
    assert "K >= 1" in caught.value.rule


def test_a_multiple_of_the_clean_value_is_told_where_smaller_is_better():
    def told(name, target):
        return [note for note in check_evaluation(workload(name, drawn(80, 4) if name == "rmse" else None),
                                                  as_target(target)) if "'= 3'" in note]

    assert len(told("rmse", 3)) == 1
    assert "3 x the clean rmse" in told("rmse", 3)[0]
    assert [*told("rmse", 2), *told("rmse", "= 3"), *told("rmse", "clean + 3")] == []


def test_a_percentage_of_its_own_is_told_how_to_be_written():
    with pytest.raises(InputError, match="the target") as caught:
        as_target("= 95%")
    assert "'= 0.95'" in caught.value.next_step


def test_the_refusal_of_an_absolute_target_names_it_once():
    with pytest.raises(InputError, match="not worse than the clean") as caught:
        check_evaluation(workload(), as_target("= 3"))
    assert caught.value.value == "accuracy 3"
    with pytest.raises(InputError, match="not worse than the clean") as caught:
        check_evaluation(workload(), as_target(1.5))
    assert caught.value.value == "1.5 x clean accuracy = 1.5"


def test_a_score_that_cannot_travel_is_named_and_not_the_module():
    with pytest.raises(WorkloadError, match="cannot be sent") as caught:
        pickle.dumps(workload(qc.Metric("own", lambda o, t: o.argmax(-1) == t)))
    assert "score of the metric 'own'" in caught.value.where
    assert "lambda" in caught.value.value
    assert "Linear" not in str(caught.value)


@pytest.mark.parametrize("name", ["accuracy", "rmse", "top-5"])
def test_a_shipped_name_with_another_score_is_refused(name):
    with pytest.raises(InputError, match="name of a metric that is there already"):
        as_metric(qc.Metric(name, lambda o, t: o.argmax(-1) == t))
    assert as_metric(pickle.loads(pickle.dumps(as_metric(name)))) == as_metric(name)
