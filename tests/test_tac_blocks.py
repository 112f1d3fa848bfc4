"""Plans and sweeps of stores by blocks of the memory: stakes, errors foretold, files, and what is refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.codecs.by_groups import Blocks, ByGroups, Place
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.sweeps.jobs import PlanRequest
from qtaml_codesign.sweeps.options import sweep_options
from qtaml_codesign.tac import store_design, ways
from qtaml_codesign.tac.evaluation import deploy_plan
from qtaml_codesign.tac.groups import small_groups, stakes, tensor_group
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.ways import coded_ways
from tests.test_codecs_blocks import BLOCK, FLAT, PLACES, WEIGHTS, members


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
