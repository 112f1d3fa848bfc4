"""A kind of workload file that this package has never seen, read by a package of its own."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import WorkloadError

PLUGIN = '''
import json
import torch
import qtaml_codesign as qc


def load(path):
    """Two linear layers as nested lists; the inputs are drawn with the key in the file."""
    text = json.loads(open(path).read())
    inputs = torch.randn(60, 3, generator=torch.Generator().manual_seed(text["key"]))
    layers = [torch.nn.Linear(len(rows[0]), len(rows), bias=False) for rows in text["layers"]]
    for layer, rows in zip(layers, text["layers"]):
        torch.nn.init.zeros_(layer.weight).data += torch.tensor(rows)
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])
    return qc.Workload(model, inputs[:20], (inputs, model(inputs).argmax(1)), name="from-json")


def nothing(path):
    return None
'''
ENTRIES = "[qtaml_codesign.workload_loaders]\n.layers = layers_reader:load\n.none = layers_reader:nothing\n"
NETWORK = {"key": 5, "layers": [[[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]], [[1.0, 1.0], [-1.0, 0.5], [0.3, -2.0]]]}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """What `pip install` would leave behind: a module, and the metadata that names its entry points."""
    site = tmp_path / "site"
    metadata = site / "layers_reader-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "layers_reader.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: layers-reader\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.layers").write_text(json.dumps(NETWORK))
    yield site
    sys.modules.pop("layers_reader", None)


def test_a_file_of_a_new_kind_is_a_workload(installed, tmp_path):
    workload = qc.load_workload("net.layers")
    np.testing.assert_allclose(workload.weights["2.weight"], NETWORK["layers"][1], rtol=1e-6)
    assert (workload.name, workload.source) == ("from-json", str(tmp_path / "net.layers"))
    again = pickle.loads(pickle.dumps(workload))
    assert (again.digest, again.source) == (workload.digest, workload.source)


def test_the_command_line_reads_it_too(installed, codesign):
    done = codesign("plan", "--workload", "net.layers", "--method", "uniform-msp", "--flip-probability", 0.1,
                    "--budget", 0.25, "--out", "plan.json")
    assert done.code == 0, done.stderr
    assert json.loads(Path("plan.json").read_text())["workload"] == "from-json"


def test_what_a_plug_in_gets_wrong_is_said(installed):
    Path("net.none").write_text("")
    with pytest.raises(WorkloadError, match="returns something else") as caught:
        qc.load_workload("net.none")
    assert "layers_reader:nothing" in caught.value.rule
    with pytest.raises(WorkloadError, match=r"FileNotFoundError: .*absent\.layers"):
        qc.load_workload("absent.layers")
