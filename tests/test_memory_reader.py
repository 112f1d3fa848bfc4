"""Readings of the host are those of `draw_flips`, group by group, bit for bit, whatever their size, law and codec."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.kernels import WORDS_AT_ONCE
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.stored import StoredGroup
from tests.in_memory import stored, uniform

rates = st.one_of(st.sampled_from([0.0, 1.0, 5e-324, 0.5]), st.floats(0.0, 1.0))


def group_of(name, size, bits, down, up, depth, seed=0, **cells):
    generator = np.random.default_rng([seed, size])
    form = BitFormat(bits)
    words = generator.integers(0, 2**bits, size).astype(form.code_dtype)
    law = CellLaw("default", form, np.full(bits, down), np.full(bits, up), **cells)
    return StoredGroup(name, words, PlaneProtected(form, 0.7, depth=depth, gain=1.1, offset=0.01), law)


def check(groups, trial, seed=3):
    """The slow twin draws each group on its own, with its protection as a depth."""
    found = DeployedModel(tuple(groups)).prepare(seed).read(trial)
    for group in groups:
        slow = draw_flips(group.words, group.law, group.codec.depth, flip_key(seed, group.name), trial)
        weights = found.weights[group.name].numpy()
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(weights, group.codec.values[slow.codes])
        assert found.flips_by_plane[group.name].tolist() == slow.flips_by_plane.tolist()
    assert found.bits_flipped == sum(planes.sum() for planes in found.flips_by_plane.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(2, 16), rates, rates, st.integers(0, 16)), min_size=1,
                max_size=4), st.integers(0, 2**64 - 1), st.integers(0, 5))
def test_every_group_reads_as_if_alone(cases, trial, seed):
    check([group_of(f"t{index}", size, bits, down, up, min(depth, bits), seed)
           for index, (size, bits, down, up, depth) in enumerate(cases)], trial)


@pytest.mark.parametrize("size", [8 * WORDS_AT_ONCE - 1, 8 * WORDS_AT_ONCE, 8 * WORDS_AT_ONCE + 1, 2**18 + 1])
def test_around_the_length_of_a_piece_and_beyond(size):
    check([group_of("w", size, 8, 0.1, 0.1, 0), group_of("v", 9, 8, 0.2, 0.0, 1)], trial=3)


@pytest.mark.parametrize("cells", [{"block": 16}, {"spread": 0.3}, {"block": 4, "spread": 0.6}])
def test_unlike_cells_read_by_their_own_law(cells):
    check([group_of("w", 1000, 8, 0.1, 0.2, 1, **cells), group_of("v", 50, 8, 0.1, 0.1, 0)], trial=1)


def test_planes_and_directions_have_their_own_rates():
    law = CellLaw("default", BitFormat(), np.linspace(0.0, 0.3, 8), np.linspace(0.2, 0.0, 8))
    check([stored(np.linspace(-1.0, 1.0, 999).reshape(3, 333), law, depth=2)], trial=0)


@pytest.mark.parametrize("deeper", [1, 137, 999])
def test_the_flips_of_a_fraction_are_those_of_two_depths_put_together(deeper):
    law, weights = uniform(0.3), np.random.default_rng(0).uniform(-1.0, 1.0, (40, 25))
    group = stored(weights, law, depth=1, deeper=deeper)
    found = DeployedModel((group,)).prepare(5).read(3)
    shallow, deep = (draw_flips(group.words, law, depth, flip_key(5, "w"), 3).codes for depth in (1, 2))
    expected = np.where(group.codec.is_deeper(1000).reshape(40, 25), deep, shallow)
    np.testing.assert_array_equal(found.weights["w"].numpy(), group.codec.values[expected])
    by_plane = [int(((expected ^ group.words) >> plane & 1).sum()) for plane in range(8)]
    assert found.flips_by_plane["w"].tolist() == by_plane
    assert group.bits_exposed == 7 * 1000 - deeper


def test_any_planes_can_be_protected_and_the_others_keep_their_flips():
    """Planes 7 and 2 of eight: the flips of the other planes are those without protection, cell by cell."""
    law, weights = uniform(np.linspace(0.1, 0.3, 8)), np.random.default_rng(1).normal(size=(100, 4))
    bare, some = stored(weights, law), stored(weights, law, depth=2, planes=(2, 7))
    flips = draw_flips(bare.words, law, 0, flip_key(3, "w"), 4).codes ^ bare.words
    found = DeployedModel((some,)).prepare(3).read(4)
    expected = some.words ^ (flips & 0b01111011)
    np.testing.assert_array_equal(found.weights["w"].numpy(), some.codec.values[expected])
    assert not found.flips_by_plane["w"][[2, 7]].any()
    assert some.bits_exposed == 6 * bare.words.size
    assert some.expected_flips == pytest.approx(stored(weights, law.without((2, 7))).expected_flips, rel=1e-12)


def test_every_reading_owns_what_it_gives():
    """The next readings overwrite nothing, small groups and large ones alike; the same trial comes back."""
    groups = (group_of("small", 500, 8, 0.1, 0.1, 0), group_of("large", 2**18 + 8, 8, 0.1, 0.1, 0))
    reader = DeployedModel(groups).prepare(0)
    readings = [reader.read(trial) for trial in (0, 1, 0)]
    for name in ("small", "large"):
        first, other, again = (reading.weights[name].numpy() for reading in readings)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        assert not any(np.shares_memory(*pair) for pair in itertools.combinations((first, other, again), 2))
        planes = [reading.flips_by_plane[name] for reading in readings]
        assert planes[0].tolist() == planes[2].tolist() != planes[1].tolist()


def test_nothing_stored_reads_nothing():
    found = DeployedModel(()).prepare(0).read(0)
    assert (found.weights, found.bits_flipped) == ({}, 0)


@pytest.mark.parametrize("trial", [-1, 2**64, 0.5, True])
def test_no_such_trial(trial):
    with pytest.raises(InputError) as caught:
        DeployedModel(()).prepare(0).read(trial)
    assert caught.value.next_step == "count trials from 0"
