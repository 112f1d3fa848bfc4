"""Large networks: nothing is copied that need not be, and work in pieces gives what work on the whole gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.algorithm import Planner

KEY = 23
INPUTS = torch.randn(6, 5, generator=torch.Generator().manual_seed(KEY))
LABELS = torch.zeros(6, dtype=torch.long)


def workload(dtype: torch.dtype = torch.float32) -> Workload:
    torch.manual_seed(KEY)
    inputs = INPUTS.to(dtype)
    return Workload(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype), inputs, (inputs, LABELS))


def start_of(module: nn.Module, name: str) -> int:
    return module.get_parameter(name).data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_lie_over_the_private_network(dtype):
    network = workload(dtype).network
    for name, weight in network.weights.items():
        assert weight.ctypes.data == start_of(network.module, name)
        assert not weight.flags.writeable
        assert weight.base is not None


def owner(array):
    """The object at the root of an array's memory."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_stay_where_they_are_when_torch_moves_the_module(dtype):
    """Sending a module to another process moves torch's memory into shared memory, under whatever looks at it."""
    network = workload(dtype).network
    assert all(isinstance(owner(weight), np.ndarray) for weight in network.weights.values())
    before = {name: weight.copy() for name, weight in network.weights.items()}
    network.module.share_memory()
    for name, weight in network.weights.items():
        assert weight.ctypes.data != start_of(network.module, name)
        assert weight.ctypes.data % 64 == 0
        assert np.array_equal(weight, before[name])
        assert np.array_equal(network.module.get_parameter(name).detach().numpy(), before[name])


def test_weights_of_other_forms_are_copies_in_c_order():
    half = Workload(nn.Linear(5, 3).bfloat16(), INPUTS.bfloat16(), (INPUTS.bfloat16(), LABELS)).network
    assert half.weights["weight"].dtype == np.float32
    assert np.array_equal(half.weights["weight"], half.module.weight.detach().float().numpy())
    images = torch.randn(6, 3, 4, 4)
    last = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 3)).to(memory_format=torch.channels_last)
    kernel = Workload(last, images, (images, LABELS)).weights["0.weight"]
    assert kernel.flags.c_contiguous
    assert np.array_equal(kernel, last[0].weight.detach().numpy())


def test_weights_stay_what_they_were_when_the_module_rewrites_them():
    """An embedding with max_norm shortens its rows in place when they are looked up."""
    model = nn.Sequential(nn.Embedding(7, 5, max_norm=0.5), nn.Flatten(), nn.Linear(10, 3))
    given = model[0].weight.detach().numpy().copy()
    tokens = torch.arange(12).reshape(6, 2) % 7
    network = Workload(model, tokens, (tokens, LABELS)).network
    assert np.array_equal(network.weights["0.weight"], given)
    assert not np.array_equal(network.module[0].weight.detach().numpy(), given)
    assert np.array_equal(model[0].weight.detach().numpy(), given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_differentiable_network_shares_memory_unless_it_has_a_type_of_its_own(dtype):
    network = workload(dtype).network
    shared, own = network.differentiable(), network.differentiable(torch.float64)
    for name, weight in network.weights.items():
        assert start_of(shared, name) == start_of(network.module, name) != start_of(own, name)
        assert own.get_parameter(name).dtype == torch.float64
        assert np.array_equal(own.get_parameter(name).detach().numpy(), weight)
        assert shared.get_parameter(name).requires_grad
    assert not shared.get_parameter("0.bias").requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_differences_leave_the_network_alone(dtype):
    plain = workload(dtype)
    before = {name: weight.copy() for name, weight in plain.weights.items()}
    jacobian_gains(plain, "finite-difference", probes=2, step=0.5)
    assert all(np.array_equal(plain.weights[name], weight) for name, weight in before.items())


def test_a_plan_quantises_each_tensor_once(monkeypatch):
    """Where nothing is corrected, so that no other words come into question."""
    seen: list[tuple[int, ...]] = []
    real = PlaneProtected.encode
    monkeypatch.setattr(PlaneProtected, "encode",
                        lambda codec, weights: (seen.append(weights.shape), real(codec, weights))[1])
    plain = workload()
    errors = BitErrorProfile.uniform(0.05).assign(list(plain.weights))
    Planner(plain, errors, 0, "greedy", 2, "reverse").make("tac-bits-only", 0.3)
    assert seen == [weight.shape for weight in plain.weights.values()]
