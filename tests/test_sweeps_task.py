"""Tasks are named by what acts on their counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from qtaml_codesign.sweeps.task import StoredLayer, SweepTask, canonical_json, content_digest

LAYER = StoredLayer("fc.weight", 8, "offset_binary", 0.75, 1.25, 2, (0.1,) * 8, (0.2,) * 8)
TASK = SweepTask("1", "abc", (LAYER,), 7)


def test_id_is_the_digest_of_readable_json():
    text = canonical_json(TASK.to_json())
    assert TASK.strong_id == hashlib.sha256(text.encode()).hexdigest()
    back = json.loads(text)
    assert back["layers"][0]["loss"] == [0.1] * 8
    assert back["seed"] == 7


def test_id_is_the_same_in_every_version_of_this_engine():
    """Written down once: a change here orphans every stored result and calls for a new engine version."""
    assert TASK.strong_id == "632651af1f857325c2dee46a1aee0e325b5ae888f3e6cc530b4295905b28a675"


@pytest.mark.parametrize("other", [
    replace(TASK, engine="2"), replace(TASK, workload_digest="abd"), replace(TASK, seed=8),
    *(replace(TASK, layers=(replace(LAYER, **change),)) for change in (
        {"name": "x"}, {"bits": 7}, {"encoding": "twos_complement"}, {"scale": 0.7500000000000001}, {"factor": 1.0},
        {"depth": 3}, {"loss": (0.1,) * 7 + (0.10000000000000002,)}, {"gain": (0.1,) * 8},
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
