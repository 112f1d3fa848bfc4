"""Blocks of the memory with a mean and a scale of their own, from the law of what is read to the plan and the sweep."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import Blocks, ByGroups, Place
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised, design
from qtaml_codesign.codecs.coded import Coded, decoding
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.sweeps.jobs import PlanRequest
from qtaml_codesign.sweeps.options import sweep_options
from qtaml_codesign.tac import store_design, ways
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.groups import small_groups, stakes, tensor_group
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.prediction import expected_output_error
from qtaml_codesign.tac.ways import coded_ways

LAW = CellLaw("default", BitFormat(3), [0.02, 0.2, 0.1], [0.3, 0.05, 0.15])
ROWS = np.random.default_rng(6).normal(size=(4, 3, 2)) * np.geomspace(0.1, 3.0, 4)[:, None, None]
WEIGHTS = ROWS.astype(np.float32)
FLAT = WEIGHTS.reshape(-1)
BLOCK = 5
PLACES = ((0, 3), (1, 2), (4,))
"""24 weights in blocks of 5: the last has 4."""


def members(groups: tuple[int, ...]) -> NDArray[np.int64]:
    """Places in the flattened tensor of the weights of some blocks, by hand."""
    return np.array([i for group in groups for i in range(BLOCK * group, min(BLOCK * (group + 1), FLAT.size))])


def held() -> ByGroups:
    """Blocks in two ways that take turns, and the short one in its own."""
    parts = tuple((groups, design(FLAT[members(groups)].reshape(len(groups), -1), LAW)) for groups in PLACES)
    return ByGroups(parts, Blocks(BLOCK, FLAT.size))


def deployed() -> DeployedModel:
    return deploy({"w": WEIGHTS}, {"w": held()}, {"w": LAW})


def readable() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(24, 8) what each weight can be read as, and how likely: every flip of every word, weight by weight."""
    values, chances = np.empty((FLAT.size, 8)), np.empty((FLAT.size, 8))
    for groups, codec in held().parts:
        assert isinstance(codec, ChannelOptimised)
        for place, group in enumerate(groups):
            mean, scale = codec.mean[place], codec.scale[place]
            for i in members((group,)):
                wanted = (float(FLAT[i]) - mean) / scale
                word = codec.codebook.words[sum(wanted >= bound for bound in codec.codebook.thresholds)]
                for flips in range(8):
                    values[i, flips] = mean + scale * codec.codebook.table[word ^ flips]
                    rates = [(LAW.one_to_zero if word >> plane & 1 else LAW.zero_to_one)[plane] for plane in range(3)]
                    chances[i, flips] = math.prod(rate if flips >> plane & 1 else 1.0 - rate
                                                  for plane, rate in enumerate(rates))
    return values, chances


def test_the_law_of_what_is_read_is_that_of_every_word_under_every_flip() -> None:
    """Exactly, with a gain for each weight, so that an error in the wrong place counts otherwise."""
    values, chances = readable()
    gains = np.random.default_rng(1).uniform(0.5, 2.0, WEIGHTS.shape).astype(np.float32)
    by_hand = gains.reshape(-1) @ (chances * (values - FLAT[:, None]) ** 2).sum(axis=1)
    assert expected_output_error(deployed(), {"w": WEIGHTS}, {"w": gains}) == pytest.approx(by_hand, rel=1e-6)
    assert deployed().expected_flips == pytest.approx(float((chances @ [0, 1, 1, 2, 1, 2, 2, 3]).sum()), rel=1e-12)


def test_readings_follow_that_law_weight_by_weight() -> None:
    """Mean and mean square of 4,000 readings of 24 weights, 6.5 standard errors each: false alarm below 1e-8."""
    values, chances = readable()
    reader, trials = deployed().prepare(2), 4000
    read = np.array([reader.read(trial).weights["w"].numpy().reshape(-1) for trial in range(trials)], np.float64)
    for power in (1, 2):
        expected = (chances * values**power).sum(axis=1)
        spread = np.sqrt((chances * values ** (2 * power)).sum(axis=1) - expected**2)
        assert (np.abs((read**power).mean(axis=0) - expected) < 6.5 * spread / math.sqrt(trials)).all()


def test_each_block_is_read_where_it_lies_with_flips_named_by_the_first_of_its_part() -> None:
    model, reading = deployed(), deployed().prepare(3).read(7)
    assert [group.key for group in model.groups] == ["w[0]", "w[1]", "w[4]"]
    assert reading.weights["w"].shape == WEIGHTS.shape
    for groups, codec in held().parts:
        part = FLAT[members(groups)].reshape(len(groups), -1)
        words = draw_flips(codec.encode(part), LAW, 0, flip_key(3, f"w[{groups[0]}]"), 7).codes
        gain, offset = codec.readout or (None, None)
        assert gain is not None
        assert offset is not None
        wanted = codec.values[words] * gain[:, None] + offset[:, None]
        np.testing.assert_array_equal(reading.weights["w"].numpy().reshape(-1)[members(groups)], wanted.reshape(-1))
    there = CudaReader(model.groups, 3, "trial", torch.device("cpu")).read(7)
    assert torch.equal(there.weights["w"], reading.weights["w"])
    assert there.bits_flipped == reading.bits_flipped
    clean = model.clean_weights()["w"]
    assert np.corrcoef(clean.reshape(-1), FLAT)[0, 1] > 0.9


@pytest.mark.parametrize(("shape", "block"), [((7,), 3), ((4, 6), 8), ((4, 6), 6), ((2, 3, 2), 100), ((5, 1), 1)])
def test_any_shape_is_put_together_again(shape: tuple[int, ...], block: int) -> None:
    """Plain codes of 16 bits without flips, the parts in a mixed order: each weight is back in its own place."""
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    blocks = Blocks(block, weights.size)
    order = [(group,) for group in np.random.default_rng(1).permutation(blocks.count).tolist()]
    codec = PlaneProtected(BitFormat(16), float(np.abs(weights).max()))
    model = deploy({"w": weights}, {"w": ByGroups(tuple((groups, codec) for groups in order), blocks)},
                   {"w": CellLaw("default", BitFormat(16), 0.0, 0.0)})
    np.testing.assert_allclose(model.prepare(0).read(0).weights["w"].numpy(), weights, rtol=0, atol=2e-4)
    assert model.bits_stored == 16 * weights.size


def test_what_lies_beside_the_cells_is_counted_block_by_block() -> None:
    """A mean and a scale of 32 bits for each of 5 blocks, and which of two stores for each of the 4 whole ones."""
    assert held().metadata_bits == 5 * 64 + 4
    one = ByGroups((((0, 1, 2, 3), held().parts[0][1]), ((4,), held().parts[2][1])), Blocks(BLOCK, FLAT.size))
    assert one.metadata_bits == one.parts[0][1].metadata_bits + 64
    assert ByGroups((((0,), held().parts[2][1]),), Blocks(BLOCK, 4)).metadata_bits == 64


def test_a_short_block_counts_by_its_weights() -> None:
    wide, narrow = PlaneProtected(BitFormat(8), 1.0, depth=2), PlaneProtected(BitFormat(4), 1.0)
    found = ByGroups((((0, 1), wide), ((2,), narrow)), Blocks(10, 21))
    assert found.cells == (20 * 8 + 1 * 4) / 21
    assert found.protected_bits(21) == 40


def test_it_survives_json_and_decoding() -> None:
    again = codec_from_json(json.loads(json.dumps(held().to_json())))
    assert again == held()
    assert isinstance(again, ByGroups)
    assert (again.count, again.blocks, again.summary[:13]) == (5, Blocks(5, 24), "blocks of 5: ")
    words = design(FLAT[:20].reshape(4, 5), CellLaw("default", BitFormat(2), 0.0, 0.0))
    coded = ByGroups((((0, 1, 2, 3), Coded(words, "secded-39-32", 0.1, 0.1, 0.5, 0.1)),), Blocks(5, 20))
    found = decoding(coded)
    assert isinstance(found, ByGroups)
    assert found.blocks == coded.blocks
    assert [codec.decode for _, codec in found.parts if isinstance(codec, Coded)] == [True]


def test_stores_by_rows_are_written_and_read_as_ever() -> None:
    """The text of a file from before there were blocks."""
    plain = '{"codec": "plane-protected", "bits": 4, "encoding": "offset_binary", "scale": 1.0, "factor": 1.0, '
    text = json.dumps(ByGroups((((0, 2), PlaneProtected(BitFormat(4), 1.0)),
                                ((1,), PlaneProtected(BitFormat(4), 1.0, depth=2)))).to_json())
    assert text.startswith('{"codec": "by-rows", "parts": [[[0, 2], {"codec": "plane-protected", ')
    assert plain.split(",")[0] in text
    assert codec_from_json(json.loads(text)) == ByGroups((((0, 2), PlaneProtected(BitFormat(4), 1.0)),
                                                          ((1,), PlaneProtected(BitFormat(4), 1.0, depth=2))))


@pytest.mark.parametrize(("parts", "size", "message"), [
    (((0, 1, 2, 3, 4),), 24, "short block lies among whole ones"), (((0, 1, 2, 3),), 24, "blocks of a tensor"),
    (((0, 1, 2, 3), (4,), (5,)), 24, "blocks of a tensor"), (((0, 1), (1, 2, 3), (4,)), 24, "blocks of a tensor"),
    (((0,),), 0, "not a whole number"), (((0,),), 10**18, "blocks of a tensor"),
])
def test_blocks_that_overlap_or_lack_are_refused(parts: Any, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ByGroups(tuple((groups, held().parts[0][1]) for groups in parts), Blocks(BLOCK, size))


def test_a_tensor_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="24 weights"):
        deploy({"w": WEIGHTS[:3]}, {"w": held()}, {"w": LAW})


@pytest.fixture(autouse=True)
def short_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of up to 5 cells: longer ones take seconds to find, and add nothing here."""
    monkeypatch.setattr(ways, "MOST_CELLS", 5)
    monkeypatch.setattr(store_design, "coded_ways", partial(coded_ways, most_bits=4))


def linear(columns: tuple[int, int] = (30, 30)) -> qc.Workload:
    """Two linear layers, whose rows have so many weights."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(40, columns[0], generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(columns[0], columns[1], bias=False), nn.Linear(columns[1], 4, bias=False))
    with torch.no_grad():
        labels = model(inputs).argmax(-1)
    return qc.Workload(model, calibration=inputs, evaluation=(inputs, labels), name="linear")


@pytest.mark.parametrize("method", ["channel-optimised", "joint"])
def test_rows_are_blocks_of_as_many_weights_as_a_row_has(method: str) -> None:
    """The same cells, the same error foretold, the same bits beside the cells, the same weights where nothing flips."""
    workload = linear()
    rows, blocks = (qc.plan(workload, method, 0.001, cells=4.0, block=block) for block in (None, 30))
    assert rows.cells_per_weight == pytest.approx(blocks.cells_per_weight, rel=1e-14)
    assert (rows.predicted_variance, rows.error_floor) == (blocks.predicted_variance, blocks.error_floor)
    assert rows.metadata_bits == blocks.metadata_bits
    read, again = (deploy_plan(workload, plan, 0.001).clean_weights() for plan in (rows, blocks))
    for name, weight in read.items():
        np.testing.assert_array_equal(weight, again[name])


def test_a_block_above_the_tensor_is_the_tensor() -> None:
    workload = linear((30, 50))
    plan = qc.plan(workload, "channel-optimised", 0.001, cells=4.0, block=10**6)
    assert plan.metadata_bits == 2 * 64
    for name, weight in workload.weights.items():
        (_, codec), = plan.codecs[name].parts  # type: ignore[union-attr]
        assert isinstance(codec, ChannelOptimised)
        assert codec.mean == pytest.approx((float(weight.mean(dtype=np.float64)),), rel=1e-5)
        assert codec.scale == pytest.approx((float(weight.std(dtype=np.float64)),), rel=1e-5)


def test_stakes_of_blocks_are_the_error_of_reading_each_as_its_mean() -> None:
    gain = np.random.default_rng(2).uniform(0.5, 2.0, FLAT.size).astype(np.float32)
    runs = [(FLAT[i : i + BLOCK].astype(np.float64), gain[i : i + BLOCK]) for i in range(0, FLAT.size, BLOCK)]
    by_hand = [float(own.astype(np.float64).mean() * ((run - run.mean()) ** 2).sum()) for run, own in runs]
    spread = gain.reshape(WEIGHTS.shape)
    np.testing.assert_allclose(stakes(WEIGHTS, spread, BLOCK), by_hand, rtol=1e-12)
    groups = list(small_groups("w", WEIGHTS, {"w": spread}, BLOCK))
    assert [(group.members, group.size) for group in groups] == [((0,), 5), ((1,), 5), ((2,), 5), ((3,), 5), ((4,), 4)]
    (whole,) = tensor_group("w", WEIGHTS, {"w": spread}, BLOCK)
    assert whole.stake == pytest.approx(sum(by_hand), rel=1e-12)


def test_blocks_that_shrink_together_move_the_logits_by_the_coherence() -> None:
    """y = W x with inputs that all point one way, and blocks of 3 that lie across the rows, by hand."""
    weight = np.array([[3.0, 1.0, -1.0, 5.0], [0.0, 2.0, 4.0, -2.0]], np.float32)
    model = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(weight))
    inputs = torch.tensor([[1.0, -1.0, -2.0, 3.0], [2.0, -2.0, -4.0, 6.0], [-1.0, 1.0, 2.0, -3.0]])
    workload = qc.Workload(model, calibration=inputs, evaluation=(inputs, torch.tensor([0, 1, 0])), name="one way")
    away = np.array([[2.0, 0.0, -2.0, 8.0 / 3.0], [-7.0 / 3.0, -1.0 / 3.0, 3.0, -3.0]])
    together = ((inputs.numpy() @ away.T) ** 2).sum(axis=1).mean()
    gain = np.broadcast_to((inputs.numpy() ** 2).mean(axis=0), (2, 4)).reshape(-1)
    gain = (3 * gain + gain.mean()) / 4
    alone = sum(float(gain[run].mean() * (away.reshape(-1)[run] ** 2).sum())
                for run in (slice(0, 3), slice(3, 6), slice(6, 8)))
    assert together / alone > 1.2
    assert store_design.coherences_of(workload, 3) == {"weight": pytest.approx(together / alone, rel=1e-5)}
    assert store_design.coherences_of(workload)["weight"] != pytest.approx(together / alone, rel=0.01)


@pytest.mark.parametrize("method", ["channel-optimised", "joint"])
def test_a_plan_of_blocks_comes_back_from_its_file_and_reads_the_same(method: str) -> None:
    """50 x 30 and 4 x 50 weights in blocks of 64: 24 of which the last has 28, and 4 of which the last has 8."""
    workload = linear((30, 50))
    plan = qc.plan(workload, method, 0.001, cells=3.0, block=64)
    assert 2.0 < plan.cells_per_weight <= 3.0
    if method == "channel-optimised":
        assert plan.metadata_bits == (24 + 4) * 64
    assert [held.blocks for held in plan.codecs.values()  # type: ignore[union-attr]
            ] == [Blocks(64, 1500), Blocks(64, 200)]
    again = TacPlan.from_json(plan.to_json())
    assert again == plan
    one, other = (deploy_plan(workload, which, 0.001).prepare(0).read(4).weights for which in (plan, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for wrong in ('"block": 0', '"block": 74', '"block": "64"', '"size": 64', '"lines": 64'):
        with pytest.raises(PlanError, match=r"layers\.0\.codec"):
            TacPlan.from_json(plan.to_json().replace('"block": 64', wrong))


def test_the_error_foretold_for_blocks_is_the_error_measured() -> None:
    """The output is linear in each layer; smaller blocks lose less, as less varies about their means."""
    workload, found = linear(), {}
    clean = workload.run(workload.calibration)
    for block in (1000, 8):
        plan = qc.plan(workload, "channel-optimised", 0.001, cells=4.0, block=block)
        reader = deploy_plan(workload, plan, 0.001).prepare(0, purpose="this test")
        moved = [workload.run(workload.calibration, reader.read(trial).weights) - clean for trial in range(200)]
        measured = np.array([float(one.double().square().sum(-1).mean()) for one in moved])
        assert plan.predicted_variance is not None
        assert measured.mean() / plan.predicted_variance == pytest.approx(1.0, abs=0.35)
        found[block] = measured.mean()
    assert found[8] < found[1000]


def test_blocks_are_refused_where_they_change_nothing_or_are_none() -> None:
    workload = linear()
    for method, budget in (("tac", 0.05), ("none", 0.0), ("tac-c", 0.05), ("uniform-msp", 0.05), ("auto", 0.05)):
        with pytest.raises(InputError, match="mean and a scale by block"):
            qc.plan(workload, method, 0.1, budget, block=64)
    for block in (0, -1, 2.5, "64", True):
        with pytest.raises(InputError, match="not a whole number"):
            qc.plan(workload, "channel-optimised", 0.1, block=block)  # type: ignore[arg-type]
    card = qc.load_card("3nm")
    with pytest.raises(InputError, match="mean and a scale by block"):
        sweep_options(card, methods=["tac"], block=64)
    assert "block" not in sweep_options(card, methods=["joint"]).to_json()
    assert sweep_options(card, methods=["tac", "joint"], block=64).to_json()["block"] == 64


def test_auto_chooses_among_methods_in_blocks() -> None:
    plan = qc.plan(linear(), "auto", 0.001, cells=3.0, block=64)
    assert all(isinstance(held, ByGroups) and held.blocks for held in plan.codecs.values())


def test_a_sweep_in_blocks_agrees_with_plan_and_evaluate_and_leaves_other_methods_alone() -> None:
    workload, options = linear(), {"thickness_nm": [1.8], "budgets": [0.1], "trials": 5, "refine": False}
    methods = ["channel-optimised", "tac"]
    plain, cut = (qc.sweep(workload, "3nm", methods=methods, block=block, **options).to_frame().set_index("method")
                  for block in (None, 16))
    flip = qc.flip_probability(qc.load_card("3nm"), 1.8)
    result = qc.evaluate(workload, qc.plan(workload, methods[0], flip, block=16), flip, trials=5)
    row = cut.loc[methods[0]]
    assert (row.accuracy, row.realised_ber) == (result.accuracy, result.realised_ber)
    assert plain.loc["tac"].equals(cut.loc["tac"])
    law = qc.BitErrorProfile.uniform(0.1)
    names = {PlanRequest("digest", "joint", 0.0, 0, "greedy", "auto", law, 4.0, block).request_id
             for block in (None, 16, 64)}
    assert len(names) == 3


def test_places_name_what_they_say() -> None:
    tensor = np.arange(24).reshape(WEIGHTS.shape)
    for groups in PLACES:
        place = Place(groups, WEIGHTS.shape, BLOCK)
        assert place.take(tensor).reshape(-1).tolist() == members(groups).tolist()
        assert place.short == (groups == (4,))
