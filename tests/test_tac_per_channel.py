"""Protected bits spent over output channels: budgets, what each part does, and what the network then does."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import as_profile
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_protected import ChannelProtected
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.nets.weight_gains import weight_gains
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.per_channel import ALL_PARTS, Parts, channel_wise, design_rows
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.readout_fit import fit_readouts
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.row_stores import Array, RowStore, TensorRows, floored
from tests.in_memory import uniform, value_by_digits


def a_workload(seed: int = 3, width: int = 12) -> qc.Workload:
    """A small network with a normalisation layer; its labels are its own answers."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(48, 6, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 4)).eval()
    with torch.no_grad():
        labels = model(inputs).argmax(-1)
    return qc.Workload(model, calibration=inputs, evaluation=(inputs, labels), name="toy")


def asked(workload: qc.Workload, budget: float, rate: float = 0.1, bits: int = 8) -> StoreRequest:
    laws = as_profile(rate, BitFormat(bits)).assign(list(workload.weights))
    return StoreRequest(workload, laws, "tac-c", budget, None, 0, lambda stage, done, total: None)


@pytest.mark.parametrize("budget", [0.0, 0.003, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("parts", [ALL_PARTS, Parts.none()])
def test_the_budget_is_kept_to_and_counted_bit_by_bit(budget: float, parts: Parts) -> None:
    workload = a_workload()
    plan = channel_wise(asked(workload, budget), parts)
    bits = sum(weight.size for weight in workload.weights.values()) * 8
    model = deploy_plan(workload, plan, 0.1)
    assert plan.protected_bits == bits - model.bits_exposed <= budget * bits
    assert budget < 1.0 or model.bits_exposed == 0
    assert plan.cells_per_weight == 8.0
    assert TacPlan.from_json(plan.to_json()) == plan


def test_depths_come_within_one_step_of_the_best_of_all_choices() -> None:
    workload = a_workload(width=3)
    gains, sizes = weight_gains(workload), [6] * 3 + [3] * 4
    law = uniform(0.1, BitFormat(3))
    options = np.array([
        [_error(weight[row], gain[row], tensor.store(np.full(len(weight), depth)), row) for depth in range(4)]
        for name, weight in workload.weights.items()
        for gain in [floored(gains[name])] for tensor in [TensorRows(weight.astype(np.float64), gain, law)]
        for row in range(len(weight))
    ])
    for bits in (0, 7, 20, 45, 90):
        stores, error = design_rows(asked(workload, bits / 90, bits=3), gains, ALL_PARTS)
        best = min((sum(options[np.arange(7), list(depths)]), depths) for depths in product(range(4), repeat=7)
                   if np.dot(depths, sizes) <= bits)
        chosen = np.concatenate([store.depths for store in stores.values()])
        assert np.dot(chosen, sizes) <= bits
        assert error == pytest.approx(options[np.arange(7), chosen].sum(), rel=1e-5)
        assert best[0] * (1 - 1e-9) <= error <= best[0] + (options[:, :-1] - options[:, 1:]).max()


def _error(weight: Array, gain: Array, store: RowStore, row: int) -> float:
    """E sum g (w - read)^2 of a row, by all words that may be read."""
    depth = int(store.depths[row])
    law = ReadLaw(uniform(0.1, BitFormat(3)), depth)
    codec = ChannelProtected(BitFormat(3), *((float(part[row]),) for part in (
        store.scale, store.gain, store.offset)), depth=depth, rates=store.rates, base=store.bases[depth])
    chances = law.transition_matrix()[codec.encode(weight[None].astype(np.float64))[0]]
    values = [float(value_by_digits(word, BitFormat(3), codec.depth, Fraction(codec.base))) for word in range(8)]
    read = store.gain[row] * np.array(values) + store.offset[row]
    return float(gain @ (chances * (weight[:, None] - read) ** 2).sum(axis=1))


def test_without_any_part_it_is_the_plain_store_of_a_tensor() -> None:
    workload = a_workload()
    plan = channel_wise(asked(workload, 0.0), Parts.none())
    plain = qc.plan(workload, "none", 0.1)
    ours, theirs = (deploy_plan(workload, one, 0.1).prepare(1).read(5) for one in (plan, plain))
    for name in workload.weights:
        assert torch.equal(ours.weights[name], theirs.weights[name])
    assert ours.bits_flipped == theirs.bits_flipped
    assert plan.statistics == {}
    whole = channel_wise(asked(workload, 0.3), Parts.none())
    assert all(isinstance(layer.codec, ChannelProtected) for layer in whole.layers)


@pytest.mark.parametrize("part", [field.name for field in fields(Parts)])
def test_every_part_changes_the_plan(part: str) -> None:
    request = asked(a_workload(), 0.2)
    assert channel_wise(request).layers != channel_wise(request, replace(ALL_PARTS, **{part: False})).layers


def test_fitting_brings_logits_under_new_flips_nearer_and_leaves_words_as_they_are() -> None:
    workload = a_workload()
    request = asked(workload, 0.1)
    stores, _ = design_rows(request, weight_gains(workload), ALL_PARTS)
    assert isinstance(stores["0.weight"].holding, ByGroups)

    def deployed(some):  # type: ignore[no-untyped-def]
        return deploy(workload.weights, {name: store.holding for name, store in some.items()}, request.laws)

    def distance(some) -> float:  # type: ignore[no-untyped-def]
        reader, clean = deployed(some).prepare(9, purpose="this test"), workload.run(workload.calibration)
        return float(np.mean([float((workload.run(workload.calibration, reader.read(trial).weights) - clean).square()
                                    .mean()) for trial in range(200)]))

    fitted = fit_readouts(workload, deployed(stores).prepare(0, purpose="readout"), stores, {})
    assert distance(fitted) < 0.9 * distance(stores)
    for before, after in zip(deployed(stores).groups, deployed(fitted).groups, strict=True):
        np.testing.assert_array_equal(before.words, after.words)


def test_a_third_of_a_percent_keeps_a_network_that_tac_loses() -> None:
    """Protected bits alone, as the paper counts them; keyed, so no false alarms."""
    workload = qc.load_workload("small-cnn")
    chosen = qc.evaluate(workload, qc.plan(workload, "tac-c", 0.1, 0.0035), 0.1)
    paper = qc.evaluate(workload, qc.plan(workload, "tac", 0.1, 0.0035), 0.1)
    assert chosen.value > 0.94 * chosen.clean_value
    assert paper.high < 0.85 * chosen.clean_value


def test_the_same_request_gives_the_same_plan() -> None:
    request = asked(a_workload(), 0.1)
    assert channel_wise(request).to_json() == channel_wise(request).to_json()
