"""Blocks of the memory with a mean and a scale of their own, from the law of what is read to the plan and the sweep."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import Blocks, ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised, design
from qtaml_codesign.codecs.coded import Coded, decoding
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.tac.prediction import expected_output_error

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
