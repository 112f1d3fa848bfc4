"""Packed tensors read what `draw_flips` draws, bit for bit: the slow twin reads one tensor after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.packed.kernels import WORDS
from qtaml_codesign.bits.packed.tensors import PackedTensor, PackedTensors

rates = st.one_of(st.sampled_from([0.0, 1.0, 5e-324, 0.5]), st.floats(0.0, 1.0))


def tensor_of(name, size, bits, one_to_zero, zero_to_one, depth, seed):
    generator = np.random.default_rng([seed, size])
    codes = generator.integers(0, 2**bits, size).astype(np.uint8)
    values = generator.normal(size=2**bits).astype(np.float32)
    errors = CellLaw("default", BitFormat(bits), one_to_zero, zero_to_one)
    return errors, depth, PackedTensor(codes, values, errors.protect(depth), flip_key(seed, name))


def check(tensors, trial):
    packed = PackedTensors([tensor for _, _, tensor in tensors])
    flipped = packed.read(trial)
    for (errors, depth, tensor), weights, planes in zip(tensors, packed.weights, packed.flips_by_plane, strict=True):
        slow = draw_flips(tensor.codes, errors, depth, tensor.key, trial)
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(weights, tensor.values[slow.codes])
        assert planes[: errors.format.bits].tolist() == slow.flips_by_plane.tolist()
    assert flipped == packed.flips_by_plane.sum()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 200), st.integers(2, 8), rates, rates, st.integers(0, 8)), min_size=1,
                max_size=4), st.integers(0, 2**64 - 1), st.integers(0, 5))
def test_every_tensor_reads_as_if_alone(cases, trial, seed):
    tensors = [tensor_of(f"t{index}", size, bits, one_to_zero, zero_to_one, min(depth, bits), seed)
               for index, (size, bits, one_to_zero, zero_to_one, depth) in enumerate(cases)]
    check(tensors, trial)


@pytest.mark.parametrize("size", [8 * WORDS - 1, 8 * WORDS, 8 * WORDS + 1, 20 * WORDS + 3])
def test_around_the_length_of_a_piece(size):
    check([tensor_of("w", size, 8, 0.1, 0.1, 0, 0), tensor_of("v", 9, 8, 0.2, 0.0, 1, 0)], trial=3)


def test_another_reading_overwrites_and_the_same_comes_back():
    packed = PackedTensors([tensor_of("w", 500, 8, 0.1, 0.1, 0, 0)[2]])
    first, weights = packed.read(0), packed.weights[0].copy()
    packed.read(1)
    assert not np.array_equal(packed.weights[0], weights)
    assert packed.read(0) == first
    np.testing.assert_array_equal(packed.weights[0], weights)


def test_nothing_to_pack():
    packed = PackedTensors([])
    assert (packed.read(0), packed.weights) == (0, [])
