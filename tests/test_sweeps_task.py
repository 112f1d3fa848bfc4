"""Tasks are named by what acts on their counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.sweeps.jobs import run_trials, task_for
from qtaml_codesign.sweeps.task import SweepTask, TaskGroup, canonical_json, content_digest
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac.evaluation import laws_for

CODEC = PlaneProtected(BitFormat(), 0.75, 1.25, 2)
LAW = CellLaw("default", BitFormat(), np.full(8, 0.1), np.full(8, 0.2))
GROUP = TaskGroup("fc.weight", CODEC, LAW)
TASK = SweepTask("1", "abc", (GROUP,), 7)


def test_id_is_the_digest_of_readable_json():
    text = canonical_json(TASK.to_json())
    assert TASK.strong_id == hashlib.sha256(text.encode()).hexdigest()
    back = json.loads(text)
    assert back["groups"][0]["law"]["one_to_zero"] == [0.1] * 8
    assert back["groups"][0]["codec"]["scale"] == 0.75
    assert back["seed"] == 7


def test_id_is_the_same_in_every_version_of_this_engine():
    """Written down once: a change here orphans every stored result and calls for a new engine version."""
    assert TASK.strong_id == "dbe5b05a749d27bd96d013d2c6222f7d8cfde4b6086f34d6000ef310bbb44072"


def with_group(**changes):
    return replace(TASK, groups=(replace(GROUP, **changes),))


SIGNED = BitFormat(8, "twos_complement")


@pytest.mark.parametrize("other", [
    replace(TASK, engine="2"), replace(TASK, workload_digest="abd"), replace(TASK, seed=8), with_group(name="x"),
    with_group(codec=replace(CODEC, format=SIGNED), law=replace(LAW, format=SIGNED)),
    *(with_group(codec=replace(CODEC, **change)) for change in (
        {"scale": 0.7500000000000001}, {"factor": 1.0}, {"depth": 3}, {"deeper": 1}, {"gain": 1.25}, {"offset": 0.01},
        {"planes": (0, 7)},
    )),
    *(with_group(law=replace(LAW, **change)) for change in (
        {"one_to_zero": [0.1] * 7 + [0.10000000000000002]}, {"zero_to_one": [0.1] * 8}, {"block": 2}, {"spread": 0.3},
    )),
    replace(TASK, groups=(GROUP, replace(GROUP, name="b"))),
])
def test_everything_that_acts_is_in_the_id(other):
    assert other.strong_id != TASK.strong_id


def test_what_does_not_act_is_not_in_the_id():
    """Two cards whose regions have other names and patterns, but the same cells, share their trials."""
    assert with_group(law=replace(LAW, name="embeddings", tensors=("fc*",))).strong_id == TASK.strong_id


def test_order_of_groups_counts_and_order_of_keys_does_not():
    other = replace(GROUP, name="b")
    assert replace(TASK, groups=(GROUP, other)).strong_id != replace(TASK, groups=(other, GROUP)).strong_id
    assert content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})


def test_equal_numbers_have_equal_text():
    assert canonical_json([0.0, -0.0]) == "[0.0,0.0]"
    assert json.loads(canonical_json(5e-324)) == 5e-324


def test_laws_that_differ_in_block_or_spread_alone_have_tasks_and_counts_of_their_own():
    workload = load_workload("small-cnn")
    plan = qc.plan(workload, "uniform-msp", 0.1, 0.25)
    plain, counts = laws_for(workload, plan, 0.1), {}
    for cells in ({}, {"block": 4}, {"spread": 0.3}, {"block": 4, "spread": 0.3}):
        laws = {name: replace(law, **cells) for name, law in plain.items()}
        task = task_for(workload.digest, plan, laws, seed=0)
        counts[task.strong_id] = run_trials(Workers(workload).handle, task, 0, 1)[0].bits_flipped
    assert len(counts) == len(set(counts.values())) == 4
