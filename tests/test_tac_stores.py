"""Methods that choose the store: what they spend, what they promise, and what the network then does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised
from qtaml_codesign.codecs.dropped import Dropped
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.nets.normalisation import reestimated_statistics
from qtaml_codesign.tac import store_design
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.groups import Group, small_groups, stakes
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.store_design import READINGS, coherences_of, design_store
from qtaml_codesign.tac.ways import DROP, coded_ways, word_ways
from tests.in_memory import uniform


def linear_workload(seed: int = 3) -> qc.Workload:
    """Two linear layers without anything between: what flips do to the logits is exactly linear in each."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 30, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(30, 50, bias=False), nn.Linear(50, 4, bias=False))
    with torch.no_grad():
        labels = model(inputs).argmax(-1)
    return qc.Workload(model, calibration=inputs, evaluation=(inputs, labels), name="linear")


@pytest.mark.parametrize("cells", [1.0, 3.5, 8.0])
def test_the_cells_asked_for_are_not_exceeded_and_nothing_is_protected(cells: float) -> None:
    plan = qc.plan("small-cnn", "channel-optimised", 0.1, cells=cells)
    assert cells - 1.0 < plan.cells_per_weight <= cells
    assert (plan.protected_bits, plan.overhead, plan.budget, plan.cells) == (0, 0.0, 0.0, cells)
    model = deploy_plan(qc.load_workload("small-cnn"), plan, 0.1)
    assert model.bits_stored == model.bits_exposed == round(plan.cells_per_weight * plan.weights)
    assert TacPlan.from_json(plan.to_json()) == plan
    assert plan.to_json().count('"table":') == len({layer.codec.format for layer in plan.layers if layer.codec.cells})


def test_eight_cells_of_its_own_beat_plain_codes() -> None:
    """The plain store keeps about a quarter of the clean accuracy; false alarm: none, 30 trials are keyed."""
    workload = qc.load_workload("small-cnn")
    chosen = qc.evaluate(workload, qc.plan(workload, "channel-optimised", 0.1), 0.1)
    plain = qc.evaluate(workload, qc.plan(workload, "none", 0.1), 0.1)
    assert chosen.low > 0.95 * chosen.clean_accuracy
    assert plain.high < 0.5 * plain.clean_accuracy
    assert abs(chosen.realised_ber - 0.1) < 0.001


def test_the_error_foretold_is_the_error_measured() -> None:
    """Where the output is linear in each layer and flips are rare enough for the product of two errors not to count."""
    workload = linear_workload()
    plan = qc.plan(workload, "channel-optimised", 0.001, cells=8.0)
    reader = deploy_plan(workload, plan, 0.001).prepare(0, purpose="this test")
    clean = workload.run(workload.calibration)
    moved = [workload.run(workload.calibration, reader.read(trial).weights) - clean for trial in range(400)]
    measured = np.array([float(one.double().square().sum(-1).mean()) for one in moved])
    error = measured.std() / np.sqrt(len(measured))
    assert plan.predicted_variance is not None
    assert abs(measured.mean() / plan.predicted_variance - 1.0) < 0.25 + 5 * error / measured.mean()
    assert plan.error_floor is not None
    assert plan.error_floor < plan.predicted_variance


def test_stakes_are_the_error_of_reading_every_row_as_its_mean() -> None:
    weight = np.random.default_rng(1).normal(size=(5, 3, 4))
    gain = np.broadcast_to(np.arange(1.0, 6.0)[:, None, None], weight.shape).astype(np.float32)
    by_hand = [row * ((weight[row - 1] - weight[row - 1].mean()) ** 2).sum() for row in range(1, 6)]
    np.testing.assert_allclose(stakes(weight, gain), by_hand, rtol=1e-12)
    groups = list(small_groups("w", weight, {"w": gain}))
    assert [group.members for group in groups] == [(row,) for row in range(5)]
    assert [group.size for group in groups] == [12] * 5


def test_rows_that_shrink_together_move_the_logits_by_the_coherence() -> None:
    """y = W x with inputs that all point one way: by hand, the square of the sum over the sum of the squares."""
    weight = torch.tensor([[3.0, 1.0, -1.0, 5.0], [0.0, 2.0, 4.0, -2.0]])
    model = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(weight)
    inputs = torch.tensor([[1.0, -1.0, -2.0, 3.0], [2.0, -2.0, -4.0, 6.0], [-1.0, 1.0, 2.0, -3.0]])
    workload = qc.Workload(model, calibration=inputs, evaluation=(inputs, torch.tensor([0, 1, 0])), name="one way")
    shifted = weight - weight.mean(dim=1, keepdim=True)
    together = (inputs @ shifted.T).square().sum(dim=1).mean()
    alone = (inputs.square().mean(dim=0).mean() * shifted.square().sum())
    assert float(together / alone) > 1.2
    assert coherences_of(workload) == {"weight": pytest.approx(float(together / alone), rel=1e-5)}
    noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    white = qc.Workload(model, calibration=noise, evaluation=(noise, model(noise).argmax(1)), name="white")
    assert coherences_of(white)["weight"] == pytest.approx(1.0, abs=0.1)


def test_a_tensor_whose_errors_add_up_gets_more_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {}
    for coherence in (1.0, 300.0):
        found = dict.fromkeys(qc.load_workload("small-cnn").weights, 1.0) | {"conv2.weight": coherence}
        monkeypatch.setattr(store_design, "coherences_of", lambda workload, block, found=found: found)
        plan = qc.plan("small-cnn", "channel-optimised", 0.1, cells=2.0)
        cells[coherence] = {layer.name: layer.codec.cells for layer in plan.layers}["conv2.weight"]
    assert cells[300.0] > cells[1.0]


def test_no_tensor_is_dropped_whole_where_every_row_can_have_a_cell() -> None:
    """Priced by the sum of independent errors, fc1 of DeepCNN lost 51 of its 64 rows at 3 cells, and 0.37 of clean."""
    workload = qc.load_workload("deep-cnn")
    plan = qc.plan(workload, "channel-optimised", 0.1, cells=2.0)
    assert all(layer.codec.cells >= 1.0 for layer in plan.layers)
    kept = qc.evaluate(workload, plan, 0.1, trials=5)
    assert kept.low > 0.4


def test_a_dropped_row_takes_no_cell_and_reads_its_mean() -> None:
    weights = np.random.default_rng(2).normal(size=(3, 7)).astype(np.float32)
    model = deploy({"w": weights}, {"w": Dropped.of(weights)}, {"w": uniform(0.3, BitFormat(8))})
    assert (model.bits_stored, model.bits_exposed, model.expected_flips) == (0, 0, 0.0)
    reading = model.prepare(0).read(0)
    wanted = np.broadcast_to(weights.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None], (3, 7))
    np.testing.assert_array_equal(reading.weights["w"].numpy(), wanted)
    assert reading.bits_flipped == 0


def test_ways_fall_in_error_as_they_rise_in_cells_down_to_published_figures() -> None:
    ways = [DROP, *word_ways(uniform(0.1, BitFormat(8)))]
    errors: NDArray[np.float64] = np.array([way.error for way in ways])
    assert [way.cells for way in ways] == list(range(13))
    assert (np.diff(errors) < 0.0).all()
    assert errors[4] < 0.2587
    assert errors[6] < 0.1668
    assert errors[8] < 0.1076
    assert errors[1] == pytest.approx(1.0 - 2.0 / np.pi * 0.8**2, rel=1e-3)


def test_planes_that_differ_leave_words_of_their_own_length_alone() -> None:
    law = CellLaw("default", BitFormat(8), np.linspace(0.01, 0.08, 8), np.linspace(0.01, 0.08, 8))
    assert [way.cells for way in word_ways(law)] == [8.0]
    with pytest.raises(InputError, match="planes of this memory differ"):
        ChannelOptimised(qc_book(4), (0.0,), (1.0,)).cell_law(law)
    plan = qc.plan("small-cnn", "channel-optimised", BitErrorProfile((law,)))
    assert plan.cells_per_weight == 8.0


def qc_book(cells: int):  # type: ignore[no-untyped-def]
    codec = word_ways(uniform(0.1, BitFormat(8)))[cells - 1].hold(np.random.default_rng(0).normal(size=(2, 9)))
    assert isinstance(codec, ChannelOptimised)
    return codec.codebook


def test_a_network_smaller_than_a_codeword_is_held_without_codes() -> None:
    """12 weights at 3 cells: the 50 checks of one codeword alone would take more than all of that."""
    inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    workload = qc.Workload(nn.Linear(4, 3, bias=False), calibration=inputs, evaluation=(inputs, torch.arange(40) % 3),
                           name="smallest")
    plan = qc.plan(workload, "joint", 0.001, cells=3.0)
    assert 2.0 < plan.cells_per_weight <= 3.0
    assert not any(held.coded_bits for held in plan.codecs.values())
    assert any(held.coded_bits for held in qc.plan(linear_workload(), "joint", 0.001, cells=3.0).codecs.values())


def test_cells_below_one_drop_what_matters_least_and_none_at_all_is_told() -> None:
    workload = linear_workload()
    half = qc.plan(workload, "channel-optimised", 0.05, cells=0.5)
    assert 0.0 < half.cells_per_weight <= 0.5
    assert half.warnings == ()
    nothing = qc.plan(workload, "channel-optimised", 0.05, cells=0.1)
    assert nothing.cells_per_weight == 0.0
    assert "buy nothing" in nothing.warnings[0]


def test_cells_are_refused_where_they_buy_nothing() -> None:
    with pytest.raises(InputError, match="spends cells"):
        qc.plan("small-cnn", "tac", 0.1, 0.05, cells=4.0)
    with pytest.raises(InputError, match="spends a budget"):
        qc.plan("small-cnn", "channel-optimised", 0.1, 0.05)
    for cells in (0.0, -1.0, float("nan"), 65.0):
        with pytest.raises(InputError, match="cells per weight"):
            qc.plan("small-cnn", "channel-optimised", 0.1, cells=cells)


def layers_of(found: TacPlan) -> list[str]:
    return [layer.codec.summary for layer in found.layers]


def test_a_code_whose_last_word_is_dear_keeps_no_store_without_one_from_its_cells() -> None:
    """A network smaller than a codeword: the room for the checks of one is more than all that may be spent."""
    workload, law = linear_workload(), uniform(0.1, BitFormat(8))
    words, dear = word_ways(law)[3], replace(word_ways(law)[0], cells=3.0, error=0.01, padding=10**6)
    groups = [Group(name, None, weight.size, 1.0) for name, weight in workload.weights.items()]
    request = StoreRequest(workload, dict.fromkeys(workload.weights, law), "joint", 0.0, 4.0, 0, lambda *state: None)
    found = design_store(request, groups, {name: [DROP, words, dear] for name in workload.weights})
    assert layers_of(found) == [words.hold(weight).summary for weight in workload.weights.values()]
    assert found.cells_per_weight == 4.0
    assert found.predicted_variance == pytest.approx(2 * words.error)
    small = replace(dear, padding=100)
    chosen = design_store(request, groups, {name: [DROP, words, small] for name in workload.weights})
    assert chosen.predicted_variance == pytest.approx(2 * small.error)


def test_room_is_left_for_the_last_word_of_each_code() -> None:
    """Two regions of the memory, each with a code of its own whose last codeword is not full."""
    workload, law = linear_workload(), uniform(0.1, BitFormat(8))
    word, total = word_ways(law)[0], sum(weight.size for weight in workload.weights.values())
    ways = {name: [DROP, replace(word, error=0.5, padding=padding)]
            for name, padding in zip(workload.weights, (100, 101), strict=True)}
    groups = [Group(name, None, weight.size, 1.0) for name, weight in workload.weights.items()]
    for spare, kept in ((201, 2), (200, 1)):
        request = StoreRequest(workload, dict.fromkeys(workload.weights, law), "joint", 0.0, (total + spare) / total, 0,
                               lambda *state: None)
        found = design_store(request, groups, ways)
        assert sum("dropped" not in held for held in layers_of(found)) == kept


def test_choices_that_a_store_of_its_own_does_not_follow_are_refused() -> None:
    workload = linear_workload()
    for choice in ({"sensitivity": "finite-difference"}, {"sensitivity": "unheard-of"}, {"bits": 4},
                   {"encoding": "sign_magnitude"}):
        with pytest.raises(InputError, match="this choice changes nothing here"):
            qc.plan(workload, "channel-optimised", 0.1, **choice)  # type: ignore[arg-type]
    assert qc.plan(workload, "channel-optimised", np.linspace(0.1, 0.2, 4), bits=4, cells=4.0).cells_per_weight == 4.0


def test_a_floor_of_nothing_comes_back_from_the_file() -> None:
    workload = linear_workload()
    plan = qc.plan(workload, "channel-optimised", 0.1).model_copy(update={"error_floor": 0.0})
    assert TacPlan.from_json(plan.to_json()) == plan


def normalised_workload() -> qc.Workload:
    """Two layers with a batch norm between them."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 12, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with torch.no_grad():
        labels = model(inputs).argmax(-1)
    return qc.Workload(model, calibration=inputs, evaluation=(inputs, labels), name="normalised")


def test_a_plan_brings_the_statistics_of_readings_that_no_trial_sees() -> None:
    workload = normalised_workload()
    plan = qc.plan(workload, "channel-optimised", 0.1, cells=4.0, seed=2)
    model = deploy_plan(workload, plan, 0.1)
    by_purpose = [reestimated_statistics(workload, (reader.read(trial).weights for trial in range(READINGS)))
                  for reader in (model.prepare(2, purpose=purpose) for purpose in ("statistics", "trial"))]
    assert plan.statistics == by_purpose[0]
    assert by_purpose[0] != by_purpose[1]
    assert set(plan.statistics) == {"1.running_mean", "1.running_var"}


def test_the_floor_of_a_memory_with_regions_is_that_of_its_best_cells() -> None:
    """Worse cells for some tensors leave a bound that holds, if a loose one."""
    workload = linear_workload()
    name = next(iter(workload.weights))
    regions = [CellLaw("default", BitFormat(8), 0.01, 0.01), CellLaw("worse", BitFormat(8), 0.2, 0.2, (name,))]
    floors = [qc.plan(workload, "channel-optimised", BitErrorProfile(tuple(some)), cells=4.0).error_floor
              for some in (regions, regions[:1])]
    assert floors[0] == floors[1]


def test_codes_are_chosen_for_the_direction_in_which_charge_is_lost() -> None:
    for down, up in ((0.002, 0.0), (0.0, 0.002)):
        law = CellLaw("default", BitFormat(8), down, up)
        held = coded_ways(law, most_bits=1)[0].hold(np.random.default_rng(0).normal(size=(2, 9)))
        assert held.cell_law(law).format.bits == 1
        with pytest.raises(InputError, match="for which the plan was made"):
            held.cell_law(CellLaw("default", BitFormat(8), up, down))
        with pytest.raises(InputError, match="for which the plan was made"):
            held.cell_law(CellLaw("default", BitFormat(8), down, 0.5 * (down + up)))


def test_rows_that_no_calibration_input_reaches_are_kept_where_cells_allow_it() -> None:
    """An embedding half of whose tokens are seen before the memory is written."""
    generator = torch.Generator().manual_seed(6)
    tokens = torch.randint(0, 20, (60, 3), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(24, 4))
    with torch.no_grad():
        labels = model(tokens).argmax(-1)
    seen = tokens.clamp(max=9)
    workload = qc.Workload(model, calibration=seen, evaluation=(tokens, labels), name="tokens")
    plan = qc.plan(workload, "joint", 0.001, cells=8.0)
    assert "dropped" not in plan.layers[0].codec.summary
    assert plan.cells_per_weight > 7.0
    assert qc.evaluate(workload, plan, 0.001, trials=5).accuracy > 0.9
