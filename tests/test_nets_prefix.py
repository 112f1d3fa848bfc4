"""Simulations that start at the noisy layer: the logits of a full run bit for bit, and the work before it left out."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.nets.prefix import LIMIT, LayerAlone
from qtaml_codesign.nets.workload import Workload, load_workload
from qtaml_codesign.nets.zoo import ZOO
from qtaml_codesign.tac.correction import PURPOSE, RULES, MeanCorrection, ProtectedLayer, decide
from tests.in_memory import stored
from tests.prefix_networks import (
    ARCHITECTURES,
    AROUND,
    BETWEEN,
    Around,
    Recurrent,
    Shared,
    Ways,
    gives_a_dict,
    gives_a_strided_view,
    in_place,
    make,
    noisy,
    writes_into_the_dict,
)


def assert_same(workload: Workload, limit: int = LIMIT) -> LayerAlone:
    """Every stored tensor, in order, backwards, and once more, against runs of the whole network."""
    alone = LayerAlone(workload.network, workload.calibration, limit)
    assert torch.equal(alone.clean, workload.run(workload.calibration))
    names = list(workload.weights)
    for turn, name in enumerate([*names, *reversed(names), *names]):
        weight = noisy(workload, name, turn)
        expected = workload.run(workload.calibration, {name: weight})
        found = alone.run(name, weight)
        assert torch.equal(found, expected), (name, turn)
        assert not torch.equal(found, alone.clean), name
    return alone


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo(name):
    assert_same(load_workload(name))


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("limit", [LIMIT, 0, 300])
def test_whatever_is_done_between_layers(between, limit):
    net = Ways(between)
    net.clean = None
    assert_same(make(net), limit)


@pytest.mark.parametrize(("inner", "outer"), AROUND)
def test_whatever_a_module_leaves_behind(inner, outer):
    assert_same(make(Around(inner, outer)))
    assert_same(make(Around(inner, outer), batch_size=5))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("limit", [LIMIT, 600, 0])
def test_architectures(name, limit):
    workload = ARCHITECTURES[name]()
    workload.network.batch_size = 12
    assert_same(workload, limit)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "attention"])
def test_several_batches(name):
    workload = ARCHITECTURES[name]()
    workload.network.batch_size = 5
    alone = assert_same(workload)
    assert len(alone._batches) == 3


def test_a_late_layer_alone_calls_nothing_before_it(monkeypatch):
    """The first simulation needs the clean pass up to its layer; every other one runs one layer of six."""
    workload = load_workload("deep-cnn")
    alone = LayerAlone(workload.network, workload.calibration)
    calls = Counter[str]()
    for name in ("conv2d", "linear", "batch_norm"):
        owner, real = (torch, torch.conv2d) if name == "conv2d" else (functional, getattr(functional, name))

        def counted(*args, name=name, real=real, **named):
            calls[name] += 1
            return real(*args, **named)

        monkeypatch.setattr(functional if name == "conv2d" else owner, name, counted)
    weight = noisy(workload, "fc2.weight", 0)
    alone.run("fc2.weight", weight)
    assert calls == {"conv2d": 4, "batch_norm": 4, "linear": 2}
    calls.clear()
    found = alone.run("fc2.weight", weight)
    assert calls == {"linear": 1}
    assert torch.equal(found, workload.run(workload.calibration, {"fc2.weight": weight}))
    calls.clear()
    alone.run("conv3.weight", noisy(workload, "conv3.weight", 0))
    assert calls == {"conv2d": 2, "batch_norm": 2, "linear": 2}


def ran(workload: Workload, name: str, limit: int = LIMIT, before: int = 1) -> Counter[str]:
    """Calls by type of module in a simulation of a tensor after some others, as the modules themselves see them."""
    calls = Counter[str]()
    alone = LayerAlone(workload.network, workload.calibration, limit)
    for turn in range(before):
        alone.run(name, noisy(workload, name, turn))
    kinds = {type(part) for part in workload.network.module.modules()}
    real = {kind: kind.forward for kind in kinds}
    record = alone._records[0]
    for index, (own, _) in enumerate(record._wrappers):
        part = list(record._module.modules())[index]
        assert vars(part) is own

        def counted(*args, part=part, **named):
            calls[type(part).__name__] += 1
            return real[type(part)](part, *args, **named)

        record._wrappers[index] = own, _rewrapped(part, counted, record._handler)
    alone.run(name, noisy(workload, name, before))
    return calls


def _rewrapped(part, forward, handler):
    return lambda *args, **named: handler[0](part, forward, args, named)


def test_whole_blocks_are_left_out():
    assert ran(ARCHITECTURES["encoder"](), "blocks.layers.2.linear1.weight") == {
        "Encoder": 1, "TransformerEncoder": 1, "TransformerEncoderLayer": 1, "Linear": 1}
    assert ran(ARCHITECTURES["recurrent"](), "head.weight") == {"Recurrent": 1, "Linear": 1}
    assert ran(ARCHITECTURES["tied"](), "middle.weight") == {"Tied": 1, "Linear": 2}
    assert ran(ARCHITECTURES["shared"](), "head.weight")["Linear"] == 1


def test_what_does_not_fit_is_run():
    """A layer's output takes 12 x 6 x 4 = 288 bytes; with room for one, the second layer runs each time."""
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    assert [ran(make(net), "2.weight", limit)["Linear"] for limit in (576, 575, 287)] == [1, 2, 3]


def test_a_block_takes_the_room_of_what_is_inside():
    workload = make(nn.Sequential(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)), nn.Linear(6, 3)))
    alone = LayerAlone(workload.network, workload.calibration, 288)
    for turn, (name, held) in enumerate([("0.1.weight", [2]), *[("1.weight", [1]), ("0.1.weight", [1])] * 2]):
        alone.run(name, noisy(workload, name, turn))
        record = alone._records[0]
        assert [call.index for call in record._calls if call.kept is not None] == held
        assert record._room == 0


def test_an_output_that_is_written_to_is_kept_all_the_same():
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    assert [ran(make(net), "2.weight", before=before)["Linear"] for before in range(1, 7)] == [1, 2, 1, 1, 1, 1]


def test_a_sparse_attribute_costs_its_own_module_alone():
    net = Around(lambda block, x: block.linear(x) + torch.sparse.mm(block.note, x.T).T, lambda net, x: net.block(x))
    net.block.note = torch.eye(6).to_sparse()
    assert ran(make(net), "last.weight") == {"Around": 1, "Block": 1, "Linear": 1}


def test_a_module_that_leaves_something_behind_is_run():
    for inner, outer in AROUND[:1] + AROUND[2:]:
        skipped = ran(make(Around(inner, outer)), "last.weight")["Block"] == 0
        assert skipped == (inner in (gives_a_dict, gives_a_strided_view)), inner.__name__


def test_another_thread_gets_the_same():
    workload = load_workload("small-cnn")
    alone = LayerAlone(workload.network, workload.calibration)
    weight, found = noisy(workload, "fc2.weight", 0), []
    thread = threading.Thread(target=lambda: found.append(alone.run("fc2.weight", weight)))
    thread.start()
    thread.join()
    assert torch.equal(found[0], alone.run("fc2.weight", weight))


def test_nothing_stays_behind():
    """The network runs as before, and the kept outputs go with the last reference."""
    workload = load_workload("small-cnn")
    module = workload.network._replica()._module
    before = [dict(vars(part)) for part in module.modules()]
    alone = LayerAlone(workload.network, workload.calibration)
    alone.run("fc2.weight", noisy(workload, "fc2.weight", 0))
    for part, held in zip(module.modules(), before, strict=True):
        assert vars(part).keys() == held.keys()
        assert all(vars(part)[key] is value for key, value in held.items())
    kept = weakref.ref(next(call.kept for call in alone._records[0]._calls if call.kept is not None))
    gc.disable()
    try:
        del alone
        assert kept() is None
    finally:
        gc.enable()


def test_a_failing_simulation_leaves_the_network_whole():
    workload = make(Around(gives_a_dict, writes_into_the_dict))
    alone = LayerAlone(workload.network, workload.calibration)
    with pytest.raises(Exception, match="shape"):
        alone.run("last.weight", np.zeros((1, 1), np.float32))
    assert_same(workload)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is false: no GPU here")
@pytest.mark.parametrize("build", [in_place, Recurrent, Shared])
def test_on_a_gpu(build):
    assert_same(make(build().cuda()))


@pytest.mark.parametrize("name", ["small-cnn", "transformer"])
def test_decisions_are_those_of_whole_runs(name):
    """Algorithm 1 step 3 by hand, with runs of the whole network: W against W' = W / (1 - 2p), two stored tensors."""
    workload = load_workload(name)
    errors = BitErrorProfile.uniform(0.08).regions[0]
    layers = {tensor: ProtectedLayer.unprotected(tensor, weight, errors).protected(1)
              for tensor, weight in workload.weights.items()}
    clean = workload.run(workload.calibration).double()

    def deviation(tensor: str, factor: float) -> float:
        total, group = 0.0, stored(workload.weights[tensor], errors, tensor, factor=factor, depth=1)
        reader = DeployedModel((group,)).prepare(4, purpose=PURPOSE)
        for trial in range(2):
            read = reader.read(trial).weights
            moved = workload.run(workload.calibration, read).double() - clean
            total += float(moved.square().sum()) / clean.shape[0]
        return total

    factor = 1 / round(1 - 2 * 0.08, 15)
    expected = {tensor: MeanCorrection(factor if deviation(tensor, factor) < deviation(tensor, 1.0) else 1.0)
                for tensor in layers}
    assert decide(workload, layers, RULES["decided"], 4, 2) == expected
