"""Plain codes with numbers of each row's own: against levels by hand, and against flips that are certain."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_protected import ChannelProtected
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from tests.in_memory import uniform

FORM = BitFormat(4)
CODEC = ChannelProtected(FORM, (2.0, 1.0), (4.0, 0.5), (0.25, -1.0), depth=1)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_word_is_the_nearest_level_of_the_scaled_row(encoding: Any) -> None:
    form = BitFormat(4, encoding)
    codec = replace(CODEC, format=form)
    weights = np.random.default_rng(0).normal(1.0, 1.5, size=(2, 5, 3))
    levels = np.arange(form.lowest_level, form.highest_level + 1)
    words = codec.encode(weights)
    for row, scale in enumerate((2.0, 1.0)):
        wanted = levels[np.abs(levels / 8 - weights[row, ..., None] / scale).argmin(axis=-1)]
        np.testing.assert_array_equal(form.codes_to_levels(words[row]), wanted)


@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_given_rates_a_word_is_the_one_that_reads_nearest_on_average(encoding: Any, depth: int) -> None:
    form, up, down = BitFormat(4, encoding), (0.1, 0.02, 0.1, 0.15), (0.05, 0.1, 0.2, 0.1)
    codec = ChannelProtected(form, (2.0,), (2.0,), (0.5,), depth, tuple(zip(up, down, strict=True)))
    weights = np.random.default_rng(5).normal(0.5, 1.5, size=(1, 200))
    means = np.zeros(16)
    for word, read in product(range(16), repeat=2):
        chance = 1.0
        for plane in range(4):
            rate = 0.0 if plane >= 4 - depth else (down if word >> plane & 1 else up)[plane]
            chance *= rate if (word ^ read) >> plane & 1 else 1.0 - rate
        means[word] += chance * float(form.codes_to_levels([read])[0]) / 8
    distance = np.abs(means - (weights[0] / 2.0)[:, None])
    np.testing.assert_allclose(distance[np.arange(200), codec.encode(weights)[0]], distance.min(axis=1), atol=1e-12)
    assert codec_from_json(json.loads(json.dumps(codec.to_json()))) == codec


@pytest.mark.parametrize("depth", range(5))
def test_every_open_plane_flips_where_flips_are_certain(depth: int) -> None:
    codec, weights = replace(CODEC, depth=depth), np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    model = deploy({"w": weights}, {"w": codec}, {"w": uniform(1.0, FORM)})
    words = codec.encode(weights) ^ (2 ** (4 - depth) - 1)
    levels = words.astype(np.int64) - 8
    wanted = levels / 8 * np.array([[4.0], [0.5]]) + np.array([[0.25], [-1.0]])
    np.testing.assert_array_equal(model.prepare(0).read(0).weights["w"].numpy(), wanted.astype(np.float32))
    assert model.bits_exposed == model.expected_flips == 12 * (4 - depth)
    assert codec.protected_bits(12) == 12 * depth


def test_rows_of_different_depth_read_as_each_alone() -> None:
    held = ByGroups((((0, 2), CODEC), ((1,), ChannelProtected(FORM, (3.0,), (3.0,), (0.5,), depth=4))))
    weights = np.array([[1.0, -1.0], [2.0, 0.5], [1.5, 0.0]], np.float32)
    model = deploy({"w": weights}, {"w": held}, {"w": uniform(1.0, FORM)})
    read = model.prepare(0).read(0).weights["w"].numpy()
    assert held.protected_bits(6) == 4 * 1 + 2 * 4
    np.testing.assert_array_equal(read[1], [2.375, 0.875])
    words = CODEC.encode(weights[[0, 2]]) ^ 0b0111
    np.testing.assert_array_equal(read[[0, 2]], (words.astype(np.int64) - 8) / 8 * [[4.0], [0.5]] + [[0.25], [-1.0]])


def test_a_tensor_with_one_axis_is_one_row_and_a_scale_of_zero_reads_the_offset() -> None:
    codec = ChannelProtected(FORM, (0.0,), (0.0,), (7.0,))
    weights = np.array([7.0, 7.0, 7.0])
    model = deploy({"w": weights}, {"w": codec}, {"w": uniform(0.5, FORM)})
    assert model.prepare(3).read(1).weights["w"].tolist() == [7.0, 7.0, 7.0]


def test_plain_values_come_back_and_metadata_is_counted() -> None:
    assert codec_from_json(json.loads(json.dumps(CODEC.to_json()))) == CODEC
    assert hash(CODEC) == hash(replace(CODEC))
    assert CODEC.metadata_bits == 2 * 2 * 32 + 3
    assert CODEC.summary == "1 of 4 planes protected, scale by row"


@pytest.mark.parametrize("wrong", [
    {"depth": 5}, {"depth": -1}, {"scale": (1.0,)}, {"gain": (1.0, float("nan"))}, {"scale": (-1.0, 1.0)},
    {"rates": ((0.1, 0.1),)}, {"rates": ((1.5, 0.1),) * 4}, {"scale": (), "gain": (), "offset": ()},
])
def test_numbers_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(CODEC, **wrong)


@pytest.mark.parametrize("weights", [np.zeros((3, 2)), np.full((2, 2), np.nan)])
def test_weights_that_cannot_be_held_are_refused(weights: Any) -> None:
    with pytest.raises(InputError):
        CODEC.encode(weights)
