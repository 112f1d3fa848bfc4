"""Stand-ins for stored tensors in the watched pass: they take no memory, and change nothing that is computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.dataflow import Dataflow
from qtaml_codesign.nets.exposure import _stand_in
from qtaml_codesign.nets.workload import Workload

KEY = 31
ROOT = Path(__file__).parent.parent
PEAK = """
import torch
import qtaml_codesign as qc
from benchmarks.encoder import memory

def peak():
    return memory("VmHWM")

torch.set_num_threads(1)
tokens = torch.arange(120).reshape(60, 2)
size = 25_000_000
def build(rows):
    table = torch.nn.Embedding.from_pretrained(torch.full((rows, 1000), 0.5), freeze=False)
    model = torch.nn.Sequential(table, torch.nn.Flatten(), torch.nn.Linear(2000, 3))
    return model, qc.Workload(model, tokens, (tokens, torch.zeros(60, dtype=int)))
build(200)
first = peak()
weights = torch.ones(size)
second = peak()
del weights
kept = build(size // 1000)
print((peak() - second) / (second - first))
"""


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(KEY))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("weight", [drawn(4, 4), drawn(4, 4).t(), drawn(5, 8)[1:, ::2]], ids=["plain", "turned", "cut"])
def test_operations_compute_with_what_a_stand_in_stands_for(dtype, weight):
    weight, x = torch.empty_like(weight, dtype=dtype).copy_(weight), drawn(3, 4).to(dtype)
    other = _stand_in(weight)
    assert (other.shape, other.stride(), other.dtype) == (weight.shape, weight.stride(), weight.dtype)
    with Dataflow([x], {"w": other}, str, [(other, weight)]) as flow:
        found = x @ (2.0 * other)[1:].t()
        row = other.diagonal()[1:].clone()
    assert torch.equal(found, x @ (2.0 * weight)[1:].t())
    assert torch.equal(row, weight.diagonal()[1:])
    assert flow.read == {"w"}
    assert not other.any()


def test_a_stand_in_may_be_read_as_another_type():
    weight = drawn(4, 6)[1:]
    other = _stand_in(weight)
    with Dataflow([], {"w": other}, str, [(other, weight)]):
        bits = other.view(torch.int32)[1].clone()
    assert torch.equal(bits.view(torch.float32), weight[1])


def test_writing_to_a_stand_in_leaves_what_it_stands_for_alone():
    weight = drawn(4, 4)
    before, other = weight.clone(), _stand_in(weight)
    with Dataflow([], {"w": other}, str, [(other, weight)]):
        other[1].mul_(3.0)
        total = other.sum()
    assert torch.equal(weight, before)
    assert float(total) == pytest.approx(float(before.sum() + 2.0 * before[1].sum()), rel=1e-5)


class Chosen(nn.Module):
    """A stored tensor decides by its values whether a buffer acts as weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(KEY)
        self.gate, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.register_buffer("hidden", drawn(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        one = x @ self.hidden if bool(self.gate.weight.abs().max() > 0.1) else x
        return self.last(self.gate(one))


def test_weights_that_the_values_of_a_stored_tensor_choose_are_found():
    x = drawn(8, 6)
    with pytest.raises(WorkloadError, match="hidden: float32 buffer"):
        Workload(Chosen(), x, (x, torch.arange(8) % 3))


def test_a_workload_takes_one_copy_of_the_weights():
    """Peak memory beyond the caller's module, in units of its weights: the private copy, and little else."""
    done = subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert 0.5 < float(done.stdout) < 1.5


def test_masks_and_tables_of_many_values_are_told_apart(monkeypatch):
    monkeypatch.setattr("qtaml_codesign.nets.dataflow._AT_ONCE", 5)
    mask, x = torch.ones(4, 3), torch.ones(2, 4)
    weight, banned = mask.clone(), mask.clone()
    weight[3, 2] = 0.5
    banned[0, 0], banned[3, 2] = 0.5, -torch.inf
    with Dataflow([x], {"mask": mask, "weight": weight, "banned": banned}, str) as flow:
        for one in (mask, weight, banned):
            x @ one
    assert list(flow.weights) == ["weight"]
