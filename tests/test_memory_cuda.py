"""Flips drawn by torch: bit for bit those of the compiled loop, on every device, and the same counts of every trial.

Everything runs on the CPU as a device like any other. With a GPU at hand the same tests run there too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import FlipKey, draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory import cuda_reader, deploy
from qtaml_codesign.memory.cuda_reader import CudaReader, DeviceCells
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.reader import HostReader
from qtaml_codesign.memory.stored import StoredGroup
from tests.bits_oracles import slow_read
from tests.in_memory import stored
from tests.test_bits_kernels import KNOWN_ANSWERS, words

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is false: no GPU here")
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]
on_each_device = pytest.mark.parametrize("where", DEVICES)

EXTREME_RATES = [0.0, 5e-324, 1e-12, 2.0**-33, 0.1, 1 / 3, 0.5, 1 - 2.0**-53, 1.0]
RATES = st.one_of(st.floats(0.0, 1.0), st.sampled_from(EXTREME_RATES))
WORDS = st.integers(0, 2**64 - 1)


def region(loss, gain=None, bits=8, **cells):
    both = [np.broadcast_to(rate, (bits,)) for rate in (loss, loss if gain is None else gain)]
    return CellLaw("default", BitFormat(bits), *both, **cells)


def read_there(codes, errors, depth, key, trial, where):
    group = StoredGroup("w", codes.copy(), PlaneProtected(errors.format, 1.0, depth=depth), errors)
    read, by_plane = DeviceCells(group, key, torch.device(where)).read_words(trial)
    assert (read.device.type, by_plane.device.type) == (where, where)
    return read.cpu().numpy(), by_plane.cpu().numpy()


def assert_same_flips(codes, errors, depth, key, trial, where):
    expected = draw_flips(codes, errors, depth, key, trial)
    read, by_plane = read_there(codes, errors, depth, key, trial, where)
    np.testing.assert_array_equal(read, expected.codes.ravel())
    np.testing.assert_array_equal(by_plane, expected.flips_by_plane)


@on_each_device
@pytest.mark.parametrize(("rounds", "counter", "key", "answer"), [row for row in KNOWN_ANSWERS if row[0] == 7])
def test_philox_gives_the_published_answers(where, rounds, counter, key, answer):
    assert rounds == kernels.ROUNDS
    tensors = tuple(torch.tensor([word, 0], device=where) for word in words(counter))
    assert [int(word[0]) for word in cuda_reader.philox(tensors, tuple(words(key)))] == words(answer)
    assert list(cuda_reader.philox(tuple(words(counter)), tuple(words(key)))) == words(answer)


@on_each_device
@given(key=st.tuples(WORDS, WORDS), trial=WORDS, index=st.integers(0, 2**48 - 1), plane=st.integers(0, 15),
       level=st.integers(0, 1080))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_digits_are_those_of_the_compiled_loop_for_every_counter(where, key, trial, index, plane, level):
    expected = kernels.digit(np.array(key, np.uint64), np.uint64(trial), np.uint64(index), plane, level)
    word = torch.tensor([index // 8], device=where)
    digits = cuda_reader.digit_words(FlipKey(key), trial, word, plane // 8, level // 2)[level % 2]
    assert int(digits) >> (8 * (index % 8) + plane % 8) & 1 == int(expected)


@on_each_device
@given(given=st.data())
@settings(derandomize=True, max_examples=150, deadline=None)
def test_every_reading_is_that_of_the_compiled_loop(where, given):
    """Any size, bit count, depth, key, trial, and any rate of any plane and direction."""
    bits, size = given.draw(st.integers(2, 16)), given.draw(st.integers(0, 300))
    rates = st.lists(RATES, min_size=bits, max_size=bits)
    errors = region(given.draw(rates), given.draw(rates), bits)
    generator = np.random.default_rng(given.draw(st.integers(0, 99)))
    codes = generator.integers(0, 2**bits, size).astype(errors.format.code_dtype)
    key = FlipKey((given.draw(WORDS), given.draw(WORDS)))
    assert_same_flips(codes, errors, given.draw(st.integers(0, bits)), key, given.draw(WORDS), where)


@on_each_device
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.1, 0.37, 0.5, 0.9])
def test_large_tensors_in_any_shape(where, bits, rate):
    codes = np.random.default_rng(bits).integers(0, 2**bits, (37, 41, 43)).astype(BitFormat(bits).code_dtype)
    for depth in (0, 1, 3):
        assert_same_flips(codes, region(rate, bits=bits), depth, flip_key(3, "conv.weight"), 2**40 + 7, where)


@on_each_device
def test_the_slow_twin_agrees(where):
    """Exact fractions, one cell at a time: an oracle that shares nothing with either sampler."""
    generator = np.random.default_rng(5)
    for bits in (8, 11):
        codes = generator.integers(0, 2**bits, 60).astype(BitFormat(bits).code_dtype)
        loss, gain = generator.uniform(0, 0.6, bits), generator.uniform(0, 0.6, bits)
        loss[0], gain[-1] = 1.0, 0.0
        read, _ = read_there(codes, region(loss, gain, bits), 0, flip_key(9, "layer.weight"), 4, where)
        assert read.tolist() == slow_read(codes.tolist(), loss, gain, 9, "layer.weight", 4)


@on_each_device
@pytest.mark.parametrize("piece", [1, 3, 16])
def test_pieces_give_the_flips_of_the_whole(where, piece, monkeypatch):
    monkeypatch.setattr(cuda_reader, "PIECE", piece)
    codes = np.random.default_rng(2).integers(0, 256, 413).astype(np.uint8)
    assert_same_flips(codes, region(np.linspace(0.05, 0.4, 8)), 1, flip_key(0, "w"), 3, where)


def mixed_model():
    """Groups of every kind: plain, fully protected, 16-bit, empty, all zero, partly deeper, in other regions."""
    generator = np.random.default_rng(7)
    wide, plain = BitErrorProfile.uniform(0.1, BitFormat(16, "twos_complement")).regions[0], region(0.2)
    return DeployedModel((
        stored(generator.normal(size=(13, 5)), plain, "plain", depth=2),
        stored(generator.normal(size=40), plain, "covered", depth=8),
        stored(generator.normal(size=(3, 4, 5)), wide, "wide", depth=1),
        stored(np.zeros((0, 3)), plain, "empty"),
        stored(np.zeros(9), region(0.0, 0.3), "zero"),
        stored(generator.normal(size=50), plain, "deeper", depth=1, deeper=20),
        stored(generator.normal(size=50), plain, "planes", depth=3, planes=(1, 4, 7)),
        stored(generator.normal(size=50), plain, "readout", factor=1.25, gain=0.9, offset=0.05),
        stored(generator.normal(size=50), region(0.2, block=4), "blocks"),
        stored(generator.normal(size=50), region(0.2, spread=0.5), "spread"),
    ))


@on_each_device
@pytest.mark.parametrize("purpose", ["trial", "correction"])
def test_reading_a_model_there_is_reading_it_here(where, purpose):
    model = mixed_model()
    expected = model.prepare(4, purpose=purpose).read(2)
    found = CudaReader(model.groups, 4, purpose, torch.device(where)).read(2)
    assert found.weights.keys() == expected.weights.keys() == found.flips_by_plane.keys()
    for name, weights in expected.weights.items():
        assert (found.weights[name].dtype, found.weights[name].device.type) == (torch.float32, where)
        np.testing.assert_array_equal(found.weights[name].cpu().numpy(), weights.numpy())
        np.testing.assert_array_equal(found.flips_by_plane[name], expected.flips_by_plane[name])
    assert found.bits_flipped == expected.bits_flipped > 0


def test_only_alike_cells_that_nothing_corrects_are_drawn_there():
    names = [group.name for group in mixed_model().groups if group.regular]
    assert names == ["plain", "covered", "wide", "empty", "zero", "planes", "readout"]


def test_a_reading_changes_nothing_that_is_kept():
    reader = CudaReader(mixed_model().groups, 0, "trial", torch.device("cpu"))
    first = reader.read(0).weights
    kept = {name: weights.clone() for name, weights in first.items()}
    reader.read(1)
    again = reader.read(0).weights
    assert all(torch.equal(again[name], weights) for name, weights in kept.items())
    assert all(torch.equal(first[name], weights) for name, weights in kept.items())


def test_what_the_host_refuses_is_refused_there_too():
    reader = CudaReader(mixed_model().groups, 0, "trial", torch.device("cpu"))
    for trial in (-1, 2**64, 0.5):
        with pytest.raises(InputError) as caught:
            reader.read(trial)
        assert caught.value.next_step == "count trials from 0"


def test_only_cuda_draws_on_the_device_by_itself():
    model = DeployedModel(())
    assert isinstance(model.prepare(0, torch.device("cpu")), HostReader)
    assert isinstance(model.prepare(0, torch.device("meta")), HostReader)
    assert isinstance(model.prepare(0, torch.device("cuda")), CudaReader)
    assert {"cuda"} == deploy.DRAWS_THERE


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_no_operation_of_a_reading_mixes_devices(bits, rate, monkeypatch):
    """On torch's meta device, which holds no values and refuses those of the CPU, as a GPU would."""
    def half_left(tensor):
        return torch.arange(tensor.numel() // 2, device=tensor.device)[:, None]

    group = stored(np.linspace(-1, 1, 77).reshape(7, 11), region(rate, bits=bits), depth=1)
    there = DeviceCells(group, flip_key(0, "w"), torch.device("meta"))
    monkeypatch.setattr(torch.Tensor, "nonzero", half_left)
    weights, by_plane = there.read(3)
    assert (weights.device.type, by_plane.device.type) == ("meta", "meta")
    assert (weights.shape, weights.dtype, by_plane.shape) == ((7, 11), torch.float32, (bits,))
    with pytest.raises(RuntimeError, match="device"):
        there.words[0] + torch.zeros(1, dtype=torch.int64).repeat(there.words[0].numel())
