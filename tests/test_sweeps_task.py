"""Tasks are named by what acts on their counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

import qtaml_codesign as qc
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.sweeps.jobs import store_model, task_for
from qtaml_codesign.sweeps.task import StoredLayer, SweepTask, canonical_json, content_digest
from qtaml_codesign.tac.evaluation import errors_for

LAYER = StoredLayer("fc.weight", 8, "offset_binary", 0.75, 1.25, 2, (0.1,) * 8, (0.2,) * 8)
TASK = SweepTask("1", "abc", (LAYER,), 7)


def test_id_is_the_digest_of_readable_json():
    text = canonical_json(TASK.to_json())
    assert TASK.strong_id == hashlib.sha256(text.encode()).hexdigest()
    back = json.loads(text)
    assert back["layers"][0]["one_to_zero"] == [0.1] * 8
    assert back["seed"] == 7


def test_id_is_the_same_in_every_version_of_this_engine():
    """Written down once: a change here orphans every stored result and calls for a new engine version."""
    assert TASK.strong_id == "6b9afc5ac4f044794af6c421994c395a5b0a9a4380faaa914e5a11228eaacb4d"


@pytest.mark.parametrize("other", [
    replace(TASK, engine="2"), replace(TASK, workload_digest="abd"), replace(TASK, seed=8),
    *(replace(TASK, layers=(replace(LAYER, **change),)) for change in (
        {"name": "x"}, {"bits": 7}, {"encoding": "twos_complement"}, {"scale": 0.7500000000000001}, {"factor": 1.0},
        {"depth": 3}, {"one_to_zero": (0.1,) * 7 + (0.10000000000000002,)}, {"zero_to_one": (0.1,) * 8},
        {"deeper": 1}, {"block": 2}, {"spread": 0.3},
        {"readout_gain": 1.25}, {"offset": 0.01}, {"planes": (0, 7)},
    )),
    replace(TASK, layers=(LAYER, replace(LAYER, name="b"))),
])
def test_everything_that_acts_is_in_the_id(other):
    assert other.strong_id != TASK.strong_id


def test_order_of_layers_counts_and_order_of_keys_does_not():
    other = replace(LAYER, name="b")
    assert replace(TASK, layers=(LAYER, other)).strong_id != replace(TASK, layers=(other, LAYER)).strong_id
    assert content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})


def test_equal_numbers_have_equal_text():
    assert canonical_json([0.0, -0.0]) == "[0.0,0.0]"
    assert json.loads(canonical_json(5e-324)) == 5e-324


def test_laws_of_unlike_cells_have_tasks_of_their_own_and_are_rebuilt():
    workload = load_workload("small-cnn")
    plan = qc.plan(workload, "uniform-msp", 0.1, 0.25)
    plain = errors_for(workload, plan, 0.1)
    tasks = {}
    for cells in ({}, {"block": 4}, {"spread": 0.3}, {"block": 4, "spread": 0.3}):
        errors = {name: replace(rates, **cells) for name, rates in plain.items()}
        task = task_for(workload.digest, plan, errors, seed=0)
        tasks[task.strong_id] = task
        _, rebuilt = store_model(workload, task)
        assert {(rates.block, rates.spread) for rates in rebuilt.values()} == {
            (cells.get("block", 1), cells.get("spread", 0.0))}
    assert len(tasks) == 4
