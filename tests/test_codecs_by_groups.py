"""A tensor whose rows are held in several ways, from the plan file to the weights that are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import qtaml_codesign as qc
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.ecc.family import named_code
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.sweeps.jobs import run_trials, task_for
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac.evaluation import deploy_plan, laws_for
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.plan import TacPlan
from tests.in_memory import uniform

FORM = BitFormat(8)
WEIGHTS = np.random.default_rng(5).normal(0.0, 0.5, (6, 4, 3)).astype(np.float32)
PARTS = (((0, 3, 4), PlaneProtected(FORM, 2.0, depth=2)), ((1, 2, 5), PlaneProtected(FORM, 1.5, deeper=3)))
HELD = ByGroups(PARTS)


@dataclass(frozen=True)
class Scaled(PlaneProtected):
    """Plain codes in units of a gain and an offset for each row."""

    gains: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    @cached_property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.array(self.gains, np.float32), np.array(self.offsets, np.float32)


def read_by_hand(rows: tuple[int, ...], codec: PlaneProtected, trial: int) -> NDArray[np.float32]:
    words = codec.encode(WEIGHTS[list(rows)])
    read = draw_flips(words, uniform(0.1, FORM), codec.depth, flip_key(3, f"w[{rows[0]}]"), trial).codes
    return codec.values[codec.corrected(read, words)]


def test_each_row_is_read_as_its_own_codec_says() -> None:
    model = deploy({"w": WEIGHTS}, {"w": HELD}, {"w": uniform(0.1, FORM)})
    reading = model.prepare(3).read(7)
    assert list(reading.weights) == ["w"]
    for rows, codec in PARTS:
        np.testing.assert_array_equal(reading.weights["w"].numpy()[list(rows)], read_by_hand(rows, codec, 7))
        clean = codec.values[codec.encode(WEIGHTS[list(rows)])]
        np.testing.assert_array_equal(model.clean_weights()["w"][list(rows)], clean)
    there = CudaReader(model.groups, 3, "trial", torch.device("cpu")).read(7)
    assert torch.equal(there.weights["w"], reading.weights["w"])
    assert there.bits_flipped == reading.bits_flipped
    assert model.bits_exposed == 36 * 6 + 36 * 8 - 3


def test_gain_and_offset_of_each_row_act_on_what_is_read() -> None:
    gains, offsets = (1.0, 2.0, 0.5, 3.0, 1.0, 1.0), (0.0, 1.0, -1.0, 0.25, 0.0, 7.0)
    plain, scaled = PlaneProtected(FORM, 2.0), Scaled(FORM, 2.0, gains=gains, offsets=offsets)
    law = {"w": uniform(0.1, FORM)}
    before, after = (deploy({"w": WEIGHTS}, {"w": codec}, law) for codec in (plain, scaled))
    raw, found = (model.prepare(0).read(1).weights["w"].numpy() for model in (before, after))
    wanted = raw * np.array(gains, np.float32)[:, None, None] + np.array(offsets, np.float32)[:, None, None]
    np.testing.assert_array_equal(found, wanted)
    there = CudaReader(after.groups, 0, "trial", torch.device("cpu")).read(1).weights["w"]
    np.testing.assert_array_equal(there.numpy(), wanted)
    words = after.groups[0].words
    np.testing.assert_array_equal(after.groups[0].weights(words)[1], plain.values[words[1]] * 2 + 1)


@pytest.mark.parametrize("parts", [(), (((0, 1), PARTS[0][1]), ((1, 2), PARTS[1][1])), (((0, 2), PARTS[0][1]),),
                                   (((1, 0), PARTS[0][1]),), (((0,), PARTS[0][1]), ((), PARTS[1][1]))])
def test_rows_that_overlap_or_lack_are_refused(parts: Any) -> None:
    with pytest.raises(InputError, match="rows"):
        ByGroups(parts)


def test_a_tensor_with_other_rows_is_refused() -> None:
    with pytest.raises(InputError, match="6 rows"):
        deploy({"w": WEIGHTS[:5]}, {"w": HELD}, {"w": uniform(0.1, FORM)})


def test_it_survives_json() -> None:
    assert codec_from_json(HELD.to_json()) == HELD
    with pytest.raises(InputError, match="plane-protected"):
        codec_from_json({"codec": "plain-protected"})


def plan_by_rows(statistics: dict[str, tuple[float, ...]] | None = None) -> tuple[qc.Workload, TacPlan]:
    """ResCNN with the rows of one layer held in two ways."""
    workload = qc.load_workload("res-cnn")
    made = qc.plan(workload, "tac", 0.05, 0.1)
    name = made.layers[1].name
    weight = workload.weights[name]
    scale, half = float(np.abs(weight).max()), len(weight) // 2
    held = ByGroups(((tuple(range(half)), PlaneProtected(FORM, scale, depth=3)),
                   (tuple(range(half, len(weight))), PlaneProtected(FORM, scale))))
    layer = StoredLayer(codec=held, name=name, weights=weight.size, jacobian_gain=None, score=None)
    layers = (made.layers[0], layer, *made.layers[2:])
    return workload, made.model_copy(update={"layers": layers, "statistics": statistics or {}})


def test_a_plan_of_the_paper_is_written_as_before_and_one_of_stores_as_version_3() -> None:
    workload, made = plan_by_rows()
    text = made.to_json()
    assert '"version": 3' in text
    assert '"statistics"' not in text
    assert TacPlan.from_json(text) == made
    assert TacPlan.from_json(text).codecs == made.codecs
    paper = qc.plan(workload, "none", 0.05)
    assert '"version": 2' in paper.to_json()
    assert '"cells"' not in paper.to_json()
    assert paper.cells_per_weight == 8.0
    with pytest.raises(PlanError, match="kind of store"):
        TacPlan.from_json(text.replace("by-rows", "by-row"))
    with pytest.raises(PlanError, match="kind of store writes"):
        TacPlan.from_json(text.replace('"parts"', '"part"'))


def test_a_table_that_is_not_there_is_named() -> None:
    content = json.loads(plan_by_rows()[1].to_json())
    held = {"codec": "channel-optimised", "codebook": "not there", "mean": [0], "scale": [1]}
    content["layers"][1]["codec"]["parts"][0][1] = held
    with pytest.raises(PlanError, match="names a table that is not there"):
        TacPlan.from_json(json.dumps(content))


@pytest.mark.parametrize("part", ["plain codes", 5, None, [1], {"codec": "coded", "words": None}])
def test_a_part_that_is_no_store_is_refused_with_its_place(part: object) -> None:
    content = json.loads(plan_by_rows()[1].to_json())
    content["layers"][1]["codec"]["parts"][0][1] = part
    with pytest.raises(PlanError, match=r"layers\.1\.codec is not usable"):
        TacPlan.from_json(json.dumps(content))


def test_a_code_that_is_no_name_is_refused() -> None:
    with pytest.raises(InputError, match="no code of this name"):
        named_code(5)  # type: ignore[arg-type]


def test_bits_protected_in_some_rows_count_in_proportion() -> None:
    _, made = plan_by_rows()
    protected = sum(layer.weights * layer.depth for layer in made.layers if not isinstance(layer, StoredLayer))
    assert made.protected_bits == protected + made.layers[1].weights // 2 * 3
    assert made.overhead == made.protected_bits / (8 * made.weights)


def test_statistics_of_the_plan_take_the_place_of_the_networks_own_and_of_no_other_run() -> None:
    plain_workload, plain = plan_by_rows()
    name = next(name for name, _ in plain_workload.network.module.named_buffers() if name.endswith("running_mean"))
    kept = dict(plain_workload.network.module.named_buffers())[name].clone()
    _, made = plan_by_rows({name: tuple((kept + 1.0).tolist())})
    assert TacPlan.from_json(made.to_json()) == made
    assert made.metadata_bits == plain.metadata_bits + 32 * kept.numel()
    own, other = (Trials(plain_workload, deploy_plan(plain_workload, which, 0.05), 0) for which in (plain, made))
    before = own.run(0).score
    assert other.run(0).score < before
    assert own.run(0).score == before
    laws = laws_for(plain_workload, made, 0.05)
    task, plain_task = (task_for(plain_workload.digest, which, laws, 0) for which in (made, plain))
    assert task.strong_id != plain_task.strong_id
    assert run_trials(Workers(plain_workload).handle, task, 0, 1)[0].score == other.run(0).score
