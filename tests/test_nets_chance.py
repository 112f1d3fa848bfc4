"""Nonsense in, warning or refusal out: labels off by one, an untrained network, a handful of images."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError, WorkloadError
from qtaml_codesign.nets.architectures import BUILDERS
from qtaml_codesign.nets.chance import check_clean, is_above
from qtaml_codesign.nets.target import Target
from qtaml_codesign.nets.zoo import digits, trained_network
from qtaml_codesign.sweeps.soundness import check_evaluation

SWEEP = {"thickness_nm": [1.9, 2.0], "budgets": [0.125], "methods": ["uniform-msp"], "trials": 2, "refine": False}


def small(model: nn.Module | None = None, images: int = 360, shift: int = 0) -> qc.Workload:
    evaluation = digits("evaluation")
    labels = (evaluation.labels[:images] + shift) % 10
    return qc.Workload(trained_network("small-cnn") if model is None else model, digits("train").inputs[:64],
                       (evaluation.inputs[:images], labels))


def untrained() -> nn.Module:
    torch.manual_seed(5)
    return BUILDERS["small-cnn"]()


@pytest.mark.parametrize("run", [qc.sweep, qc.find_frontier])
@pytest.mark.parametrize(("shift", "named"), [(1, "labels - 1"), (-1, "labels + 1")])
def test_labels_off_by_one_are_found(run, shift, named):
    workload = small(shift=shift)
    assert workload.clean_accuracy < 0.05
    (warning,) = workload.warnings
    options = {key: value for key, value in SWEEP.items() if run is qc.sweep or key not in ("trials", "refine")}
    with pytest.raises(WorkloadError, match="not above chance") as caught:
        run(workload, "3nm", **options)
    for text in (warning, caught.value.next_step):
        assert f"the labels are off by one: {named} give an accuracy of 0.9" in text


def test_an_untrained_network_is_found():
    workload = small(untrained())
    assert workload.clean_accuracy < 0.2
    assert len(workload.warnings) == 1
    with pytest.raises(WorkloadError, match="not above chance") as caught:
        qc.sweep(workload, "3nm", **SWEEP)
    assert "load the trained weights" in caught.value.next_step
    plan = qc.plan(workload, "uniform-msp", 0.01, 0.125)
    assert qc.evaluate(workload, plan, 0.01, trials=2).trials == 2


def test_the_zoo_and_its_sweeps_have_no_warnings():
    workload = small()
    assert workload.warnings == ()
    found = qc.sweep(workload, "3nm", **SWEEP)
    assert found.warnings == ()
    assert found.exposure is workload.exposure


def test_twelve_images_are_too_few_for_the_target():
    workload = small(images=12)
    (warning,) = workload.warnings
    assert "only 12 evaluation samples: one of them is 8.3%" in warning
    for run in (qc.sweep, qc.find_frontier):
        with pytest.raises(InputError, match="cannot be told from the clean accuracy") as caught:
            run(workload, "3nm", [1.9, 2.0], [0.05])
        assert "x 12 = 0.6" in str(caught.value)
        assert "60 or more evaluation samples" in caught.value.next_step
    assert len(check_evaluation(workload, Target(0.9))) == 2
    found = qc.sweep(workload, "3nm", **SWEEP, target=0.7)
    assert found.warnings == (warning,)


def test_a_target_of_one_leaves_no_room():
    with pytest.raises(InputError, match="cannot be told") as caught:
        check_evaluation(small(), Target(1.0))
    assert "for instance 0.95" in caught.value.next_step


class Given(nn.Module):
    """Answers with the class that its first input names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.eye(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(x[:, 0].long(), len(self.scale)).float() @ self.scale


def answering(answers: torch.Tensor, labels: torch.Tensor, classes: int = 3) -> qc.Workload:
    inputs = answers.float()[:, None]
    return qc.Workload(Given(classes), inputs, (inputs, labels))


def test_a_constant_answer_that_keeps_the_target_is_told():
    """94 % of the labels are class 0: the target 0.95 x 0.98 lies below what a broken network reaches."""
    labels = (torch.arange(1000) % 50 < 3).long()
    answers = labels.clone()
    answers[:20] = 1 - answers[:20]
    workload = answering(answers, labels)
    assert workload.warnings == ()
    (note,) = check_evaluation(workload, Target(0.95))
    assert "always gives the commonest label, 0.9400" in note
    assert check_evaluation(workload, Target(0.97)) == ()


def test_one_class_alone_says_nothing():
    with pytest.raises(WorkloadError, match="share of the commonest label"):
        check_evaluation(answering(torch.zeros(100), torch.zeros(100, dtype=torch.long)), Target(0.9))


@pytest.mark.parametrize("chance", [1e-4, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("samples", [1, 12, 360, 20_000])
def test_the_binomial_test_is_that_of_scipy(samples, chance):
    """Both sides of the boundary, against an oracle that is not ours."""
    least = next(correct for correct in range(samples + 2)
                 if correct > samples or stats.binom.sf(correct - 1, samples, chance) <= 0.01)
    if least <= samples:
        assert is_above(least, samples, chance)
    assert not is_above(least - 1, samples, chance)


def test_labels_of_sequences_count_one_by_one():
    labels = torch.arange(60).reshape(12, 5) % 4
    check = check_clean(labels, (labels - 1) % 4, correct=0, classes=4)
    assert (check.samples, check.commonest, check.shift) == (60, 0.25, (-1, 60))
