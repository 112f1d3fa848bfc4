"""A kind of store from outside the package: three cells per weight, each value held in a table of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.sweeps.jobs import run_trials
from qtaml_codesign.sweeps.task import ENGINE_VERSION, SweepTask, TaskGroup
from qtaml_codesign.sweeps.workers import Workers
from tests.in_memory import uniform

FORM = BitFormat(3)


@dataclass(frozen=True)
class Codebook(Codec):
    """The nearest of eight values; the word is its place in the table."""

    table: tuple[float, ...]
    format: BitFormat = FORM

    @cached_property
    def values(self) -> NDArray[np.float32]:
        return np.array(self.table, np.float32)

    @property
    def metadata_bits(self) -> int:
        return 32 * len(self.table)

    @property
    def summary(self) -> str:
        return "a table"

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        return np.abs(weights[..., None] - np.array(self.table)).argmin(-1).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        return {"codec": "codebook", "table": list(self.table)}


@dataclass(frozen=True)
class Repeated(Codec):
    """One bit per weight in three cells, the majority of which decides: a code that corrects."""

    size: float
    format: BitFormat = FORM

    @cached_property
    def values(self) -> NDArray[np.float32]:
        return np.array([-self.size] * 7 + [self.size], np.float32)

    @property
    def metadata_bits(self) -> int:
        return 32

    @property
    def summary(self) -> str:
        return "a sign, three times"

    def encode(self, weights: NDArray[np.floating]) -> Codes:
        return np.where(weights >= 0.0, 7, 0).astype(np.uint8)

    @property
    def corrects(self) -> bool:
        return True

    def corrected(self, read: Codes, stored: Codes) -> Codes:
        return np.where(np.bitwise_count(read) >= 2, 7, 0).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        return {"codec": "repeated", "size": self.size}


WEIGHTS = np.random.default_rng(4).normal(0.0, 0.5, (40, 25))
CODECS = [Codebook(tuple(np.quantile(WEIGHTS, np.linspace(0.02, 0.98, 8)).tolist())), Repeated(0.4)]


def model_of(codec: Codec, rate: float = 0.1) -> DeployedModel:
    return deploy({"w": WEIGHTS}, {"w": codec}, {"w": uniform(rate, FORM)})


@pytest.mark.parametrize("codec", CODECS)
def test_it_is_written_and_read_as_its_own_words_say(codec: Codec) -> None:
    model = model_of(codec)
    words = codec.encode(WEIGHTS)
    read = draw_flips(words, uniform(0.1, FORM), 0, flip_key(5, "w"), 2).codes
    handed = codec.corrected(read, words)
    found = model.prepare(5).read(2)
    np.testing.assert_array_equal(found.weights["w"].numpy(), codec.values[handed])
    left = [int(((handed ^ words) >> plane & 1).sum()) for plane in range(3)]
    assert found.flips_by_plane["w"].tolist() == left
    assert (model.bits_stored, model.bits_exposed, codec.cells) == (3000, 3000, 3.0)
    assert model.expected_flips == pytest.approx(300.0, rel=1e-12)


def test_a_code_that_corrects_lets_fewer_errors_through() -> None:
    """Majority of three at p = 0.1: 2.8 % of the weights, 5 standard errors are 0.5 % of 20 x 1000."""
    reader = model_of(CODECS[1]).prepare(0)
    wrong = np.mean([(reader.read(trial).weights["w"].numpy() > 0) != (WEIGHTS >= 0) for trial in range(20)])
    assert abs(wrong - 0.028) < 0.006


@pytest.mark.parametrize("codec", CODECS)
def test_a_device_reads_it_too(codec: Codec) -> None:
    model = model_of(codec)
    here, there = model.prepare(1).read(0), CudaReader(model.groups, 1, "trial", torch.device("cpu")).read(0)
    assert torch.equal(here.weights["w"], there.weights["w"])
    assert here.flips_by_plane["w"].tolist() == there.flips_by_plane["w"].tolist()


def test_a_task_carries_it_into_a_trial() -> None:
    """One tensor of a network in a codebook: the task is named by it, and its job gives the counts of `Trials`."""
    workload, name, law = load_workload("small-cnn"), "fc1.weight", uniform(0.02, FORM)
    table = tuple(np.quantile(workload.weights[name], np.linspace(0.02, 0.98, 8)).tolist())
    task = SweepTask(ENGINE_VERSION, workload.digest, (TaskGroup(name, Codebook(table), law),), seed=3)
    other = replace(task, groups=(TaskGroup(name, Codebook((*table[:7], 9.0)), law),))
    assert task.strong_id != other.strong_id
    assert json.loads(json.dumps(task.to_json()))["groups"][0]["codec"]["table"] == list(table)
    model = deploy(workload.weights, {name: Codebook(table)}, {name: law})
    expected = Trials(workload, model, 3).run(1)
    found = run_trials(Workers(workload).handle, task, 1, 1)[0]
    assert replace(found, seconds=0.0) == replace(expected, seconds=0.0)
    assert asdict(found)["bits_stored"] == 3 * workload.weights[name].size
