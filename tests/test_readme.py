"""The README's examples of a card and of a workload file are taken from it and used as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.physics.effect_validity import acting
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_card_and_its_optional_parts_load(tmp_path: Path) -> None:
    card, optional, effects = blocks("yaml")
    path = tmp_path / "my_cell.yaml"
    path.write_text(card, encoding="utf-8")
    plain = qc.load_card(path)
    path.write_text(card + optional, encoding="utf-8")
    thick = qc.load_card(path)
    assert plain.resolve(None, 7).thickness_nm == 1.765
    assert thick.resolve(None, 7).thickness_nm == 2.1
    assert thick.resolve("embeddings", 0).thickness_nm == 2.0
    path.write_text(card + effects, encoding="utf-8")
    assert len(acting(qc.load_card(path).resolve())) == 8


def test_the_workload_file_runs_as_written(codesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    (factory,) = [block for block in blocks("python") if "def make" in block]
    assert "weights_only=False" not in README
    (command,) = re.findall(r"^    codesign (.*my_net\.py:make.*)$", README, re.MULTILINE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, inputs = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2)), torch.randn(400, 20)
    save_file(network.state_dict(), tmp_path / "my_net.safetensors")
    save_file({"inputs": inputs, "labels": network(inputs).argmax(1)}, tmp_path / "my_test_set.safetensors")
    (tmp_path / "my_net.py").write_text(factory, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = codesign(*shlex.split(command), "--max-trials", 4, "--workers", 1)
    assert done.code == 0, done.stderr
    assert "my-net, 400 evaluation samples" in done.stdout
