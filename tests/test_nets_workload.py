"""What a workload stores, that it leaves the caller's things alone, and that it runs anywhere."""

from __future__ import annotations

import copy
import io
import pickle
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.selection import stored_names
from qtaml_codesign.nets.workload import Workload

KEY = 20260607


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


def make(model: nn.Module, inputs: object = None, labels: object = None, **more: object) -> Workload:
    inputs = drawn(12, 6) if inputs is None else inputs
    labels = torch.zeros(12, dtype=torch.long) if labels is None else labels
    return Workload(model, calibration=inputs, evaluation=(inputs, labels), **more)


def mlp() -> nn.Sequential:
    torch.manual_seed(KEY)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


class Tied(nn.Module):
    """An embedding that is also the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens).mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x.reshape(-1, 3, 2))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, add_bias_kv=True, batch_first=True)
        self.scale = nn.Parameter(torch.ones(1, 6))
        self.norm = nn.LayerNorm((1, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]
        return (self.norm(self.attention(x, x, x)[0]) * self.scale)[:, 0]


CASES = {
    "linear": (nn.Linear(2, 2), ["weight"]),
    "conv1d": (nn.Conv1d(2, 2, 3), ["weight"]),
    "conv3d": (nn.Conv3d(2, 2, 3), ["weight"]),
    "transposed": (nn.ConvTranspose2d(2, 2, 3), ["weight"]),
    "embedding": (nn.Embedding(3, 2), ["weight"]),
    "bag": (nn.EmbeddingBag(3, 2), ["weight"]),
    "bilinear": (nn.Bilinear(2, 2, 2), ["weight"]),
    "gru": (nn.GRU(2, 3), ["weight_ih_l0", "weight_hh_l0"]),
    "norms": (nn.Sequential(nn.LayerNorm((2, 3)), nn.BatchNorm2d(2), nn.Linear(2, 2)), ["2.weight"]),
    "separate attention": (nn.MultiheadAttention(4, 2, kdim=3, vdim=3), [
        "q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]),
    "attention": (Attention(), ["scale", "attention.in_proj_weight", "attention.out_proj.weight"]),
    "tied": (Tied(), ["embedding.weight"]),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_are_found_and_biases_and_norms_left_out(case):
    module, expected = CASES[case]
    assert list(stored_names(module, None)) == expected


def test_patterns_replace_the_default():
    assert list(make(mlp(), tensors=["*.bias", "0.weight"]).weights) == ["0.weight", "0.bias", "1.bias", "4.bias"]
    assert list(make(mlp(), tensors="4.*").weights) == ["4.weight", "4.bias"]
    assert list(stored_names(Tied(), ["head.weight"])) == ["embedding.weight"]


@pytest.mark.parametrize("build", [mlp, Recurrent, Attention])
def test_every_stored_tensor_acts_on_the_logits_and_only_for_that_run(build):
    torch.manual_seed(KEY)
    workload = make(build())
    clean = workload.run(workload.calibration)
    for name, weight in workload.weights.items():
        assert not torch.equal(workload.run(workload.calibration, {name: weight * 1.5 + 0.1}), clean), name
        assert torch.equal(workload.run(workload.calibration), clean)
        assert torch.equal(workload.run(workload.calibration, {name: weight}), clean)


def test_tied_weight_flips_in_both_places():
    torch.manual_seed(KEY)
    tokens = torch.arange(10).reshape(5, 2) % 5
    workload = make(Tied(), tokens, torch.zeros(5, dtype=torch.long))
    changed = np.asarray(workload.weights["embedding.weight"]) * 2.0
    table = torch.from_numpy(changed)
    expected = table[tokens].mean(1) @ table.T
    torch.testing.assert_close(workload.run(tokens, {"embedding.weight": changed}), expected)


def test_the_callers_things_stay_as_they_are():
    model, inputs = mlp(), drawn(12, 6)
    model.train()
    kept, state = inputs.clone(), copy.deepcopy(model.state_dict())
    seeds = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    workload = make(model, inputs)
    workload.run(workload.calibration, {"0.weight": np.zeros((8, 6), np.float32)})
    assert workload.digest == make(model, inputs).digest
    assert model.training
    assert all(part.training for part in model.modules())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(inputs, kept)
    assert torch.equal(torch.get_rng_state(), seeds[0])
    assert random.getstate() == seeds[1]
    assert np.array_equal(np.random.get_state()[1], seeds[2])


def test_later_changes_by_the_caller_do_not_reach_the_workload():
    model, inputs, labels = mlp(), drawn(12, 6), torch.zeros(12, dtype=torch.long)
    workload = make(model, inputs, labels)
    correct = workload.score_by_group().sum()
    with torch.no_grad():
        model[0].weight.zero_()
        inputs.zero_()
        labels.fill_(2)
    assert workload.score_by_group().sum() == correct == workload.scoring.clean_by_group.sum()
    assert workload.weights["0.weight"].any()
    with pytest.raises(ValueError, match="read-only"):
        workload.weights["0.weight"][0, 0] = 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    workload = make(nn.Linear(6, 3).to(dtype), drawn(12, 6).to(dtype))
    weight = workload.weights["weight"]
    assert weight.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    logits = workload.run(workload.calibration, {"weight": weight})
    assert logits.dtype == dtype
    assert torch.equal(logits, workload.run(workload.calibration))


@pytest.mark.parametrize("form", ["tuple", "list", "dict", "array"])
def test_forms_of_inputs(form):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Bilinear(6, 6, 3)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.layer(a, b)

    a, b = drawn(12, 6), drawn(12, 6) + 1.0
    model = Two() if form != "array" else nn.Linear(6, 3)
    inputs = {"tuple": (a, b), "list": [a, b], "dict": {"b": b, "a": a}, "array": a.numpy()}[form]
    expected = model(a, b) if form != "array" else model(a)
    workload = make(model, inputs, np.zeros(12, dtype=int), batch_size=5)
    torch.testing.assert_close(workload.run(workload.calibration), expected.detach())


def test_sequence_labels_count_one_by_one():
    labels = torch.arange(28).reshape(4, 7) % 3
    workload = make(nn.Linear(6, 3), drawn(4, 7, 6), labels, batch_size=3)
    expected = int((workload.run(workload.calibration).argmax(-1) == labels).sum())
    clean = workload.scoring.clean_by_group.sum()
    assert (workload.samples, clean, workload.score_by_group().sum()) == (28, expected, expected)


def test_each_batch_meets_its_own_labels():
    torch.manual_seed(KEY)
    model, inputs = nn.Linear(6, 3), drawn(50, 6)
    labels = model(inputs).argmax(1)
    for size in (1, 7, 50):
        assert make(model, inputs, labels, batch_size=size).score_by_group().sum() == 50


def test_nan_logits_count_as_wrong():
    workload = make(nn.Linear(6, 3))
    assert workload.score_by_group({"weight": np.full((3, 6), np.nan, np.float32)}).sum() == 0


def test_logits_function_brings_any_output_into_form():
    class Wrapped(nn.Linear):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            return {"logits": super().forward(x)}

    workload = make(Wrapped(6, 3), logits=lambda output: output["logits"])
    assert workload.run(workload.calibration).shape == (12, 3)


def test_results_do_not_depend_on_batch_size():
    torch.manual_seed(KEY)
    model = mlp()
    counts = {make(model, batch_size=size).scoring.clean_by_group.sum() for size in (1, 5, 12, 100)}
    assert len(counts) == 1


def test_threads_have_their_own_replica():
    workload = load_workload("small-cnn")
    scales = [0.1, 0.5, 2.0, 5.0]
    alone = [workload.run(workload.calibration, scaled(workload, scale)) for scale in scales]
    found: dict[int, list[bool]] = {}

    def work(index: int) -> None:
        results = [workload.run(workload.calibration, scaled(workload, scales[index])) for _ in range(10)]
        found[index] = [torch.allclose(result, alone[index]) for result in results]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [all(found[index]) for index in range(4)] == [True] * 4


def scaled(workload: Workload, scale: float) -> dict[str, np.ndarray]:
    return {"fc2.weight": np.asarray(workload.weights["fc2.weight"]) * np.float32(scale)}


def test_digest_names_the_content():
    def digest(model: nn.Module | None = None, **more: object) -> str:
        return make(model or mlp(), **more).digest

    base = digest()
    assert base == digest()
    changed = mlp()
    with torch.no_grad():
        changed[1].running_mean += 1e-3
    others = [
        digest(changed), digest(tensors="0.weight"), digest(batch_size=7), digest(inputs=drawn(12, 6) + 1e-6),
        digest(labels=torch.ones(12, dtype=torch.long)), digest(residual_floors={}),
    ]
    assert len({base, *others}) == 7
    assert digest(name="other") == base


def test_digest_ignores_addresses_in_the_description_of_a_module():
    class Described(nn.Linear):
        def extra_repr(self) -> str:
            return repr(object())

    def digest() -> str:
        torch.manual_seed(KEY)
        return make(Described(6, 3)).digest

    assert digest() == digest()


@pytest.mark.parametrize("name", ["small-cnn", None])
def test_pickle_round_trip(name):
    workload = load_workload(name) if name else make(mlp(), residual_floors={"0.weight": 1}, batch_size=5, name="mine")
    again = pickle.load(io.BytesIO(pickle.dumps(workload)))
    assert again.digest == workload.digest
    assert (again.name, again.source, again.batch_size) == (workload.name, workload.source, workload.batch_size)
    assert again.given_floors == workload.given_floors


def test_built_under_inference_mode_it_can_still_be_differentiated():
    with torch.inference_mode():
        workload = make(nn.Linear(6, 3))
    module = workload.network.differentiable()
    workload.network.call(module, workload.calibration).sum().backward()
    assert module.weight.grad is not None
