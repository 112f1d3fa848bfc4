"""Networks that other programs wrote: folders of transformers, ONNX files, exported programs, with data beside them.

transformers and onnx are imported here alone: that takes seconds.
"""

from __future__ import annotations

import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.errors import WorkloadError
from tests.brought import KEY, loses_with_p, trained

os.environ["HF_HUB_OFFLINE"] = "1"
TOKENS = torch.randint(0, 12, (200, 10), generator=torch.Generator().manual_seed(KEY))
TOKENS[:, 1::2] = (TOKENS[:, ::2] * 5 + 1) % 12
CLASSES = TOKENS[:, 0] % 3
SERIES = torch.randn(200, 6, 5, generator=torch.Generator().manual_seed(KEY))
SERIES_LABELS = SERIES.mean(1)[:, :3].argmax(1)
IMAGES = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(KEY))
IMAGE_LABELS = IMAGES.mean(3).flatten(1)[:, :3].argmax(1)


class Logits(nn.Module):
    """What is trained: the logits of a model of transformers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=tokens).logits


def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A BERT-like classifier and a GPT-2-like language model of a few thousand weights, saved as users save theirs."""
    import transformers

    place = tmp_path_factory.mktemp("models")
    torch.manual_seed(KEY)
    small = {"vocab_size": 12, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3,
        max_position_embeddings=16, hidden_dropout_prob=0.0, **small))
    gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=16, **small))
    trained(Logits(bert), TOKENS, CLASSES, steps=40)
    trained(Logits(gpt), TOKENS, TOKENS, next_token_loss, steps=60)
    bert.eval().save_pretrained(place / "bert")
    gpt.eval().save_pretrained(place / "gpt")
    save_file({"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS), "labels": CLASSES},
              place / "classes.safetensors")
    np.savez(place / "tokens.npz", input_ids=TOKENS.numpy())
    return SimpleNamespace(place=place, bert=bert, gpt=gpt)


def assert_rounded(found: torch.Tensor, expected: torch.Tensor, roundings: int) -> None:
    """Apart by no more than so many roundings of float32 (2^-24) of the largest output."""
    assert float((found - expected).abs().max()) <= roundings * 2.0**-24 * float(expected.abs().max())


def test_a_classifier_of_transformers(folders):
    workload = qc.load_workload(str(folders.place / "bert"), folders.place / "classes.safetensors")
    with torch.no_grad():
        expected = folders.bert(input_ids=TOKENS).logits
    assert_rounded(workload.run(workload.evaluation_inputs), expected, 16)
    assert (workload.name, workload.metric.name) == ("bert", "accuracy")
    assert workload.clean_accuracy > 0.9
    loses_with_p(workload)


def test_a_language_model_is_measured_by_perplexity_and_its_tied_weights_are_stored_once(folders):
    workload = qc.load_workload(str(folders.place / "gpt"), folders.place / "tokens.npz")
    with torch.no_grad():
        by_hand = float(next_token_loss(folders.gpt(input_ids=TOKENS).logits.double(), TOKENS).exp())
    assert workload.metric.name == "perplexity"
    assert workload.clean_value == pytest.approx(by_hand, rel=1e-5)
    assert workload.clean_value < 8.0
    assert "transformer.wte.weight" in workload.weights
    assert not any("lm_head" in name for name in workload.weights)
    assert "transformer.h.0.attn.c_attn.weight" in workload.weights
    loses_with_p(workload)


def test_labels_beside_a_causal_language_model_are_refused(folders, tmp_path):
    """Scored as they stand they would reward the copying of each token."""
    np.savez(tmp_path / "labelled.npz", input_ids=TOKENS.numpy(), labels=TOKENS.numpy())
    with pytest.raises(WorkloadError, match="measured by its own next tokens"):
        qc.load_workload(str(folders.place / "gpt"), tmp_path / "labelled.npz")


def test_what_was_loaded_from_a_folder_travels(folders, monkeypatch):
    workload = qc.load_workload(str(folders.place / "gpt"), folders.place / "tokens.npz")
    sent = pickle.dumps(workload)
    monkeypatch.chdir(folders.place)
    again = qc.load_workload("gpt", "tokens.npz")
    assert pickle.loads(sent).digest == workload.digest == again.digest
    assert again.load(again.source).with_metric("accuracy").samples == workload.samples


def test_the_command_line_takes_a_folder_with_data(folders, codesign, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    network = ("--workload", folders.place / "bert", "--data", folders.place / "classes.safetensors")
    done = codesign("plan", *network, "--method", "uniform-msp", "--flip-probability", 0.1, "--budget", 0.25,
                    "--out", "plan.json")
    assert done.code == 0, done.stderr
    done = codesign("evaluate", *network, "--plan", "plan.json", "--flip-probability", 0.1, "--trials", 2)
    assert done.code == 0, done.stderr
    done = codesign("frontier", "--device", "3nm", *network, "--budget", "5%", "--method", "uniform-msp", "--thickness",
                    "1.75:2.1", "--max-trials", 10, "--workers", 1)
    assert done.code == 0, done.stderr
    assert [path.parent.name for path in tmp_path.glob("runs/*/frontier.csv")] == ["3nm-bert-frontier"]


@pytest.mark.parametrize(("network", "data", "what", "advice"), [
    ("bert", None, "comes without data", "--data"), ("bert", "absent.npz", "does not exist", "savez"),
    ("bert", "bert/config.json", "of another kind", "savez"), ("small-cnn", "tokens.npz", "no such network", "leave"),
    ("empty", "tokens.npz", "cannot be loaded", "Python"),
])
def test_folders_and_data_that_cannot_be_used(folders, monkeypatch, network, data, what, advice):
    monkeypatch.chdir(folders.place)
    (folders.place / "empty").mkdir(exist_ok=True)
    with pytest.raises(WorkloadError, match=what) as caught:
        qc.load_workload(network, data)
    assert advice in caught.value.next_step


def test_padded_tokens_of_a_language_model_are_not_scored_in_silence(folders, tmp_path):
    mask = torch.ones_like(TOKENS)
    mask[0, -1] = 0
    np.savez(tmp_path / "padded.npz", input_ids=TOKENS.numpy(), attention_mask=mask.numpy())
    with pytest.raises(WorkloadError, match="padded tokens"):
        qc.load_workload(str(folders.place / "gpt"), tmp_path / "padded.npz")


# ONNX

class Recurrent(nn.Module):
    """Classes from a layer that runs both ways."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer, self.head = kind(5, 8, batch_first=True, bidirectional=True), nn.Linear(16, 3)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(series)[0].mean(1))


class Attending(nn.Module):
    """Classes from an encoder layer over an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(12, 16), nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.table(tokens)).mean(1))


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(72, 3))


NETWORKS = {"CNN": (cnn, IMAGES, IMAGE_LABELS), "GRU": (lambda: Recurrent(nn.GRU), SERIES, SERIES_LABELS),
            "LSTM": (lambda: Recurrent(nn.LSTM), SERIES, SERIES_LABELS), "attention": (Attending, TOKENS, CLASSES)}


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("name", NETWORKS)
def test_an_onnx_file_is_the_network_it_was_exported_from(name, tmp_path):
    make, inputs, labels = NETWORKS[name]
    torch.manual_seed(KEY)
    model = trained(make(), inputs, labels, steps=40).eval()
    path = tmp_path / "net.onnx"
    torch.onnx.export(model, (inputs[:4],), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "samples"}})
    np.savez(tmp_path / "data.npz", x=inputs.numpy(), labels=labels.numpy())
    workload = qc.load_workload(str(path), tmp_path / "data.npz")
    with torch.no_grad():
        assert_rounded(workload.run(inputs), model(inputs), 32)
    held = sum(weight.size for weight in workload.weights.values())
    assert held == sum(weight.size for weight in qc.Workload(model, inputs[:8], (inputs, labels)).weights.values())
    assert pickle.loads(pickle.dumps(workload)).digest == workload.digest
    loses_with_p(workload)


def onnx_file(path, nodes, constants, shape=("samples", 6), result=None):
    """A graph of one input x and one output y."""
    import onnx
    from onnx import helper, numpy_helper

    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(nodes, "graph", [helper.make_tensor_value_info("x", number, list(shape))],
                              [helper.make_tensor_value_info("y", number, result or ["samples", "classes"])],
                              [numpy_helper.from_array(array, name) for name, array in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def rows(tmp_path):
    inputs = np.random.default_rng(KEY).normal(size=(200, 6)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", inputs=inputs, labels=(inputs[:, :3]).argmax(1))
    return tmp_path / "rows.npz"


def test_weights_that_an_onnx_file_holds_in_8_bits_are_stored_as_they_are(tmp_path, rows):
    from onnx import helper

    generator = np.random.default_rng(KEY)
    codes = (np.eye(6, 3) * 127 + generator.integers(-20, 1, (6, 3))).astype(np.int8)
    nodes = [helper.make_node("DequantizeLinear", ["codes", "scale"], ["w"], axis=1),
             helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = onnx_file(tmp_path / "q.onnx", nodes, {"codes": codes, "scale": np.float32([0.01, 0.02, 0.015])})
    workload = qc.load_workload(str(path), rows)
    assert np.array_equal(workload.weights["codes"], codes)
    plan = qc.plan(workload, "none", 0.1)
    assert qc.evaluate(workload, plan, 0.0, trials=2).value == workload.clean_value
    loses_with_p(workload, trials=40)


def test_onnx_files_that_cannot_be_run(tmp_path, rows, monkeypatch):
    from onnx import helper

    weight = {"w": np.eye(6, 3, dtype=np.float32)}
    product = helper.make_node("MatMul", ["x", "w"], ["z"])
    path = onnx_file(tmp_path / "odd.onnx", [product, helper.make_node("Hardmax", ["z"], ["y"])], weight)
    with pytest.raises(WorkloadError, match="what is not run here") as caught:
        qc.load_workload(str(path), rows)
    assert "Hardmax" in caught.value.value
    path = onnx_file(tmp_path / "plain.onnx", [product, helper.make_node("Softmax", ["z"], ["y"])], weight)
    assert qc.load_workload(str(path), rows).clean_accuracy == 1.0
    from qtaml_codesign.nets.onnx_operators import OPERATORS
    monkeypatch.setitem(OPERATORS, "Softmax", lambda given, has: 1.01 * given[0].softmax(-1))
    with pytest.raises(WorkloadError, match="do not agree"):
        qc.load_workload(str(path), rows)
    (tmp_path / "torn.onnx").write_bytes(b"no model")
    with pytest.raises(WorkloadError, match="cannot be read"):
        qc.load_workload(str(tmp_path / "torn.onnx"), rows)


def test_an_exported_program_from_its_file(tmp_path):
    torch.manual_seed(KEY)
    model = trained(cnn(), IMAGES, IMAGE_LABELS, steps=40).eval()
    program = torch.export.export(model, (IMAGES[:4],), dynamic_shapes=({0: torch.export.Dim("samples", min=2)},))
    torch.export.save(program, tmp_path / "net.pt2")
    np.savez(tmp_path / "data.npz", inputs=IMAGES.numpy(), labels=IMAGE_LABELS.numpy())
    workload = qc.load_workload(str(tmp_path / "net.pt2"), tmp_path / "data.npz")
    assert torch.equal(workload.run(IMAGES), model(IMAGES))
    assert pickle.loads(pickle.dumps(workload)).digest == workload.digest
    loses_with_p(workload)


# data files

def test_what_a_data_file_means(tmp_path):
    from qtaml_codesign.nets.data_file import read_data

    path = tmp_path / "data.npz"
    np.savez(path, left=np.zeros((9, 2)), right=np.ones((9, 2)), targets=np.full(9, 0.5), **{
        "calibration.left": np.ones((3, 2)), "calibration.right": np.zeros((3, 2))})
    found = read_data(path)
    assert (found.metric, list(found.inputs), found.calibration["left"].shape) == ("rmse", ["left", "right"], (3, 2))
    np.savez(path, inputs=np.zeros((9, 2)), labels=np.eye(9), calibration=np.ones((4, 2)))
    found = read_data(path)
    assert (found.metric, found.calibration.shape) == ("label-accuracy", (4, 2))
    np.savez(path, labels=np.zeros(9))
    with pytest.raises(WorkloadError, match="no inputs"):
        read_data(path)
    np.savez(path, inputs=np.array([{}], dtype=object))
    with pytest.raises(WorkloadError, match="cannot be read"):
        read_data(path)
