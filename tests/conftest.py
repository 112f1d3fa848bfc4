"""What several test files share: the command line run in this process, and a tiny network in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from qtaml_codesign.nets.workload import Workload

ROOT = Path(__file__).parent.parent

TINY_WORKLOAD = '''
import torch
import qtaml_codesign as qc


def make(hidden=12, seed=3):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(120, 6, generator=generator)
    module = torch.nn.Sequential(torch.nn.Linear(6, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        labels = module(inputs).argmax(1)
    return qc.Workload(model=module, calibration=inputs[:32], evaluation=(inputs, labels), name="tiny")


def other():
    return make(seed=4)


def wider():
    return make(hidden=20)
'''


def tiny_network() -> Workload:
    """That network, built in this process."""
    names: dict[str, object] = {}
    exec(TINY_WORKLOAD, names)
    workload: Workload = names["make"]()  # type: ignore[operator]
    return workload


@dataclass(frozen=True)
class Finished:
    """Exit code and output of one command."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def codesign(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run `codesign ARGUMENTS...` in this process."""
    from qtaml_codesign.commands.main import run

    def call(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, arguments)])
        capsys.readouterr()
        try:
            run()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return call


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """`FILE.py:FACTORY` of a two-layer network that labels its own inputs: clean accuracy 1."""
    file = tmp_path / "tiny.py"
    file.write_text(TINY_WORKLOAD, encoding="utf-8")
    return f"{file}:make"
