"""Networks as people bring them: small real models, trained here, that lose with p; no flip is missing."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, TensorDataset

import qtaml_codesign as qc
from qtaml_codesign.errors import WorkloadError
from tests.brought import KEY, loses_with_p, trained

CLASSES, SAMPLES = 4, 240


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


IMAGES, SERIES = drawn(SAMPLES, 1, 8, 8), drawn(SAMPLES, 6, 5)
IMAGE_LABELS = (IMAGES.flatten(1) @ drawn(64, CLASSES)).argmax(1)
SERIES_LABELS = (SERIES.mean(1) @ drawn(5, CLASSES)).argmax(1)


def cnn() -> nn.Module:
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, CLASSES))


class Recurrent(nn.Module):
    """Classes from the last state of a recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.layer, self.head = kind(5, 16, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(series)[0].mean(1))


def normed(make: object) -> nn.Module:
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Flatten(), make(nn.Linear(64, 24)), nn.Tanh(), nn.Linear(24, CLASSES))


@pytest.mark.parametrize("model", [cnn(), normed(parametrizations.weight_norm), normed(nn.utils.weight_norm)],
                         ids=["batch norm", "weight norm", "weight norm by a hook"])
def test_image_networks(model):
    loses_with_p(qc.Workload(trained(model, IMAGES, IMAGE_LABELS), IMAGES[:32], (IMAGES, IMAGE_LABELS)))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_networks(kind):
    model = trained(Recurrent(kind), SERIES, SERIES_LABELS)
    loses_with_p(qc.Workload(model, SERIES[:32], (SERIES, SERIES_LABELS)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_of_half_precision(dtype):
    model = trained(normed(lambda layer: layer), IMAGES, IMAGE_LABELS).to(dtype)
    loses_with_p(qc.Workload(model, IMAGES[:32].to(dtype), (IMAGES.to(dtype), IMAGE_LABELS)))


def test_an_exported_program_is_a_module():
    model = trained(normed(lambda layer: layer), IMAGES, IMAGE_LABELS).eval()
    program = torch.export.export(model, (IMAGES[:8],), dynamic_shapes=({0: torch.export.Dim("samples", min=2)},))
    workload = qc.Workload(program, IMAGES[:32], (IMAGES, IMAGE_LABELS))
    assert torch.equal(workload.run(IMAGES), model(IMAGES))
    other = torch.export.export(nn.Sequential(*model, nn.Tanh()), (IMAGES[:8],),
                                dynamic_shapes=({0: torch.export.Dim("samples", min=2)},))
    assert workload.digest == qc.Workload(program, IMAGES[:32], (IMAGES, IMAGE_LABELS)).digest
    assert workload.digest != qc.Workload(other, IMAGES[:32], (IMAGES, IMAGE_LABELS)).digest
    loses_with_p(workload)


# what a module returns

Output = namedtuple("Output", ["loss", "logits"])
FORMS = {
    "logits of a dict": lambda z: {"hidden": 2.0 * z, "logits": z},
    "the only tensor of a dict": lambda z: {"loss": None, "scores": z},
    "the first of a tuple": lambda z: (z, [2.0 * z]),
    "behind a loss": lambda z: (z.mean(), z),
    "an attribute": lambda z: Output(z.mean(), z),
    "a list": lambda z: [z, 2.0 * z],
}


class Wrapped(nn.Module):
    """A linear layer whose output is dressed up."""

    def __init__(self, form: object) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.layer, self.form = nn.Linear(5, CLASSES), form

    def forward(self, x: torch.Tensor) -> object:
        return self.form(self.layer(x))


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_found_in_what_a_module_returns(form):
    model, x = Wrapped(FORMS[form]), SERIES[:, 0]
    labels = model.layer(x).argmax(1)
    workload = qc.Workload(model, x[:32], (x, labels))
    assert torch.equal(workload.run(x), model.layer(x))
    assert workload.clean_accuracy == 1.0


@pytest.mark.parametrize("form", [lambda z: {"first": z, "second": z}, lambda z: {"loss": z.mean()}, lambda z: "z"])
def test_outputs_that_could_be_any_are_not_guessed(form):
    with pytest.raises(WorkloadError, match="cannot be told") as caught:
        qc.Workload(Wrapped(form), SERIES[:, 0], (SERIES[:, 0], SERIES_LABELS))
    assert "logits=" in caught.value.next_step


# evaluation data that comes in batches

@pytest.mark.parametrize("given", [
    lambda: DataLoader(TensorDataset(IMAGES, IMAGE_LABELS), batch_size=50),
    lambda: [(IMAGES[:150], IMAGE_LABELS[:150]), (IMAGES[150:], IMAGE_LABELS[150:].tolist())],
    lambda: iter([{"input": IMAGES, "labels": IMAGE_LABELS}]),
    lambda: {"input": IMAGES, "labels": IMAGE_LABELS},
], ids=["data loader", "list", "generator of dicts", "dict"])
def test_batches_are_the_same_evaluation_set(given):
    model, states = cnn(), torch.get_rng_state()
    workload = qc.Workload(model, IMAGES[:32], given())
    assert torch.equal(torch.get_rng_state(), states)
    assert torch.equal(workload.labels, IMAGE_LABELS)
    assert workload.clean_value == qc.Workload(model, IMAGES[:32], (IMAGES, IMAGE_LABELS)).clean_value
    again = qc.Workload(model, DataLoader(TensorDataset(IMAGES, IMAGE_LABELS), batch_size=32), given())
    assert again.digest == workload.digest


def test_batches_need_no_labels_where_the_metric_needs_none():
    workload = qc.Workload(cnn(), IMAGES[:32], DataLoader(TensorDataset(IMAGES), batch_size=50), metric="agreement")
    assert (workload.samples, workload.clean_value) == (SAMPLES, 1.0)


def test_several_inputs_come_before_the_labels_of_a_batch():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, CLASSES)

        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return self.layer(one + other)

    pair = (SERIES[:, 0], SERIES[:, 1])
    loader = DataLoader(TensorDataset(*pair, SERIES_LABELS), batch_size=100)
    assert qc.Workload(Sum(), loader, loader).samples == SAMPLES


@pytest.mark.parametrize(("given", "message"), [
    (lambda: iter([]), "no batches"),
    (lambda: iter([(IMAGES, IMAGE_LABELS), (IMAGES[..., :4], IMAGE_LABELS)]), "do not fit together"),
    (lambda: DataLoader(TensorDataset(IMAGES)), "not a pair"),
])
def test_batches_that_cannot_be_used(given, message):
    with pytest.raises(WorkloadError, match=message):
        qc.Workload(cnn(), IMAGES[:32], given())


def test_a_loader_that_shuffles_is_told_of():
    loader = DataLoader(TensorDataset(IMAGES, IMAGE_LABELS), batch_size=50, shuffle=True)
    assert any("shuffles" in note for note in qc.Workload(cnn(), IMAGES[:32], loader).warnings)


# values, and several labels of a sample

VALUES = torch.tanh(SERIES.mean(1) @ drawn(5, 1))
SEVERAL = (SERIES.mean(1) @ drawn(5, 3) > 0.0).long()


@pytest.mark.parametrize("targets", [VALUES, VALUES[:, 0]], ids=["(N, 1)", "(N,)"])
def test_regression(targets):
    model = trained(nn.Sequential(nn.Flatten(), nn.Linear(30, 24), nn.Tanh(), nn.Linear(24, 1)), SERIES, VALUES,
                    nn.functional.mse_loss)
    workload = qc.Workload(model, SERIES[:32], (SERIES, targets), metric="rmse")
    by_hand = float((model.eval()(SERIES) - VALUES).square().mean().sqrt())
    assert workload.clean_value == pytest.approx(by_hand, rel=1e-5)
    loses_with_p(workload)


def several_labels(metric: str, targets: torch.Tensor = SEVERAL) -> qc.Workload:
    torch.manual_seed(KEY)
    model = trained(nn.Sequential(nn.Flatten(), nn.Linear(30, 24), nn.Tanh(), nn.Linear(24, 3)), SERIES,
                    SEVERAL.float(), nn.functional.binary_cross_entropy_with_logits)
    return qc.Workload(model, SERIES[:32], (SERIES, targets), metric=metric)


@pytest.mark.parametrize("targets", [SEVERAL, SEVERAL.bool(), SEVERAL.float()], ids=["int", "bool", "float"])
def test_several_labels_of_a_sample(targets):
    workload = several_labels("label-accuracy", targets)
    right = ((workload.run(SERIES) > 0) == SEVERAL.bool()).sum()
    assert workload.clean_value == int(right) / SEVERAL.numel()
    loss = several_labels("binary-cross-entropy", targets)
    by_hand = nn.functional.binary_cross_entropy_with_logits(loss.run(SERIES).double(), SEVERAL.double())
    assert loss.clean_value == pytest.approx(float(by_hand), rel=1e-9)


@pytest.mark.parametrize("metric", ["label-accuracy", "binary-cross-entropy"])
def test_several_labels_are_lost_with_p(metric):
    loses_with_p(several_labels(metric))


@pytest.mark.parametrize(("targets", "what", "advice"), [
    (VALUES, "real numbers, not classes", "rmse"), (VALUES[:, 0].tolist(), "real numbers, not classes", "rmse"),
    (torch.eye(3)[SERIES_LABELS % 3], "one-hot", "argmax"), (SEVERAL, "zeros and ones", "label-accuracy"),
])
def test_targets_that_are_no_classes_are_named_for_what_they_are(targets, what, advice):
    with pytest.raises(WorkloadError, match=what) as caught:
        qc.Workload(nn.Sequential(nn.Flatten(), nn.Linear(30, 3)), SERIES, (SERIES, targets))
    assert advice in caught.value.next_step


def test_labels_of_an_output_that_says_yes_or_no():
    model = nn.Sequential(nn.Flatten(), nn.Linear(30, 1))
    with pytest.raises(WorkloadError, match="zeros and ones") as caught:
        qc.Workload(model, SERIES, (SERIES, SEVERAL[:, 0]))
    assert "label-accuracy" in caught.value.next_step
    assert qc.Workload(model, SERIES, (SERIES, SEVERAL[:, 0]), metric="label-accuracy").samples == SAMPLES
    with pytest.raises(WorkloadError, match="neither 0 nor 1"):
        qc.Workload(model, SERIES, (SERIES, 2 * SEVERAL[:, 0]), metric="label-accuracy")


# a second reference to a weight

class Twice(nn.Module):
    """A layer whose weights are kept a second time, and read there, product by product."""

    def __init__(self, kept: object) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.layer, self.other = nn.Linear(30, CLASSES, bias=False), nn.Linear(CLASSES, CLASSES)
        self.kept = kept(self.layer.weight.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.stack([(x.flatten(1) * torch.as_tensor(row).to(x.dtype)).sum(1) for row in self.kept], 1)
        return self.other(rows)


@pytest.mark.parametrize("kept", [torch.clone, lambda w: w, lambda w: [row.clone() for row in w],
                                  lambda w: w.bfloat16(), lambda w: w.numpy().copy()],
                         ids=["copy", "view", "rows", "in bf16", "numpy"])
def test_a_copy_of_a_weight_that_is_read_instead_is_refused(kept):
    with pytest.raises(WorkloadError, match="flips would not reach") as caught:
        qc.Workload(Twice(kept), SERIES[:32], (SERIES, SERIES_LABELS))
    assert "a copy of" in str(caught.value)


def test_a_parameter_that_is_held_twice_is_no_copy():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(30, CLASSES)
            self.again = self.layer.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) @ self.again.T

    model = trained(Tied(), SERIES, SERIES_LABELS)
    loses_with_p(qc.Workload(model, SERIES[:32], (SERIES, SERIES_LABELS)))


# weights that came quantised

class Settings:
    """As a library keeps them."""

    def __init__(self, **settings: object) -> None:
        vars(self).update(settings)


def test_where_settings_come_from_is_no_part_of_what_a_network_computes():
    def digest(**settings: object) -> str:
        model = cnn()
        model.config = Settings(width=3, **settings)
        return qc.Workload(model, IMAGES[:32], (IMAGES, IMAGE_LABELS)).digest

    assert digest(_original_object_hash=1, _name_or_path="a") == digest(_original_object_hash=2, _name_or_path="b")
    assert digest(act="relu") != digest(act="gelu")


def test_onnx_indices_count_from_the_end():
    from qtaml_codesign.nets.onnx_operators import OPERATORS

    table, last = torch.arange(12.0).reshape(4, 3), torch.tensor([-1, 0])
    assert torch.equal(OPERATORS["Gather"]([table, last], {}), table[[3, 0]])
    assert torch.equal(OPERATORS["Gather"]([table, last], {"axis": 1}), table[:, [2, 0]])
    assert torch.equal(OPERATORS["Gather"]([torch.arange(4), torch.tensor(-1)], {}), torch.tensor(3))
    assert OPERATORS["Slice"]([table, torch.tensor([-1]), torch.tensor([-9]), torch.tensor([0]), torch.tensor([-2])],
                              {})[:, 0].tolist() == [9.0, 3.0]
