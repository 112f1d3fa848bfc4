"""read_back and draw_flips: identity of the flips, nesting, counts, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key, read_back
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.errors import InputError

CODES = np.random.default_rng(1).integers(0, 256, 20_000).astype(np.uint8)
KEY = flip_key(0, "layer")


def mask(rate, depth=0, trial=0, codes=CODES, fmt=None, key=KEY):
    errors = BitErrorProfile.uniform(rate, fmt or BitFormat()).regions[0]
    return draw_flips(codes, errors, depth, key, trial).codes ^ codes


def test_flips_nest_over_the_rate():
    masks = [mask(rate) for rate in (1e-4, 0.01, 0.1, np.nextafter(0.1, 1), 0.3, 0.5, 0.99, 1.0)]
    for smaller, larger in itertools.pairwise(masks):
        assert not (smaller & ~larger).any()
    assert [bool(found.any()) for found in masks] == [True] * 8


def test_flips_nest_over_the_depth_and_protected_planes_never_flip():
    masks = [mask(0.3, depth) for depth in range(9)]
    for depth, found in enumerate(masks):
        assert np.array_equal(found, masks[0] & (2 ** (8 - depth) - 1))


def test_flips_do_not_depend_on_the_size_of_the_array():
    assert np.array_equal(mask(0.2, codes=CODES[:100]), mask(0.2, codes=CODES[:1000])[:100])
    assert np.array_equal(mask(0.2, codes=CODES[:1000]), mask(0.2)[:1000])


def test_reading_in_pieces_is_reading_at_once():
    errors = BitErrorProfile.uniform(0.2).regions[0]
    pieces = [
        draw_flips(CODES[start:stop], errors, 0, KEY, 0, first_index=start).codes
        for start, stop in [(0, 7), (7, 519), (519, 520), (520, CODES.size)]
    ]
    assert np.array_equal(np.concatenate(pieces), draw_flips(CODES, errors, 0, KEY, 0).codes)


def test_flips_do_not_depend_on_the_codes_bits_or_encoding():
    reference = mask(0.2)
    assert np.array_equal(mask(0.2, codes=np.zeros_like(CODES)), reference)
    for bits in (2, 3, 5, 8):
        found = mask(0.2, codes=CODES & (2**bits - 1), fmt=BitFormat(bits))
        assert np.array_equal(found, reference & (2**bits - 1))
    wide = mask(0.2, codes=CODES.astype(np.uint16), fmt=BitFormat(16))
    assert np.array_equal(wide & 255, reference)
    for encoding in ENCODINGS:
        assert np.array_equal(mask(0.2, fmt=BitFormat(8, encoding)), reference)


def test_both_directions_share_their_number():
    charge = CellLaw("default", BitFormat(), one_to_zero=np.full(8, 0.2), zero_to_one=np.zeros(8))
    lost = draw_flips(CODES, charge, 0, KEY, 0).codes ^ CODES
    assert np.array_equal(lost, mask(0.2) & CODES)


@pytest.mark.parametrize("change", [{"seed": 1}, {"trial": 1}, {"tensor": "other"}])
def test_every_part_of_the_key_matters_and_repeats(change):
    first = read_back(CODES, 0.2)
    assert np.array_equal(read_back(CODES, 0.2), first)
    assert not np.array_equal(read_back(CODES, 0.2, **change), first)


def test_keys_tell_their_parts_apart():
    keys = [
        flip_key(0, "a"), flip_key(1, "a"), flip_key(0, "b"), flip_key(0, "a", "correction"),
        flip_key(10, "1"), flip_key(1, "01"), flip_key(0, "a", "trial\", \"x"), flip_key(2**64, "a"),
    ]
    assert len(set(keys)) == len(keys)
    assert flip_key(np.int64(3), "a") == flip_key(3, "a")


def test_neither_the_input_nor_the_global_generator_is_touched():
    codes, before = CODES.copy(), np.random.get_state()
    read = read_back(codes, 0.3)
    after = np.random.get_state()
    assert np.array_equal(codes, CODES)
    assert not np.shares_memory(codes, read)
    assert before[2] == after[2]
    assert np.array_equal(before[1], after[1])
    locked = CODES.copy()
    locked.setflags(write=False)
    assert np.array_equal(read_back(locked, 0.3), read)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "uint64", ">u2"])
@pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3), (0, 4)])
def test_shape_and_dtype_come_back(dtype, shape):
    codes = np.zeros(shape, dtype)
    read = read_back(codes, 1.0)
    assert (read.shape, read.dtype) == (codes.shape, codes.dtype)
    assert (read == 255).all()


def test_strided_codes_are_read_in_their_own_order():
    square = CODES[:900].reshape(30, 30)
    assert np.array_equal(read_back(square.T, 0.2), read_back(np.ascontiguousarray(square.T), 0.2))
    assert np.array_equal(read_back(square[:, ::2], 0.2), read_back(square[:, ::2].copy(), 0.2))


@pytest.mark.parametrize("depth", [0, 3, 8])
def test_counts_are_those_of_the_codes(depth):
    errors = CellLaw("default", BitFormat(), one_to_zero=np.linspace(0, 0.4, 8), zero_to_one=np.linspace(0.5, 0, 8))
    found = draw_flips(CODES.reshape(100, 200), errors, depth, KEY, 0)
    flipped = found.codes.ravel() ^ CODES
    assert found.flips_by_plane.tolist() == [int((flipped >> plane & 1).sum()) for plane in range(8)]
    assert found.flipped == int(np.bitwise_count(flipped).sum())
    assert found.exposed == CODES.size * (8 - depth)
    assert found.flips_by_plane[8 - depth :].sum() == 0


def test_cells_silent_by_direction_count_as_exposed():
    charge = CellLaw("default", BitFormat(), one_to_zero=np.full(8, 0.2), zero_to_one=np.zeros(8))
    assert draw_flips(np.zeros(10, np.uint8), charge, 0, KEY, 0).exposed == 80


def test_rates_by_plane_and_profiles_are_accepted():
    rates = np.zeros(8)
    rates[7] = 1.0
    assert np.array_equal(qc.read_back(CODES, rates), CODES ^ 128)
    narrow = BitErrorProfile.uniform(1.0, BitFormat(4, "sign_magnitude"))
    assert read_back(np.zeros(3, np.uint8), narrow).tolist() == [15, 15, 15]
    named = CellLaw("a", BitFormat(), np.ones(8), np.ones(8), ("embed*",))
    profile = BitErrorProfile((*BitErrorProfile.uniform([1.0, *[0.0] * 7]).regions, named))
    assert read_back(np.zeros(1, np.uint8), profile, tensor="embed.weight").tolist() == [255]
    assert read_back(np.zeros(1, np.uint8), profile, tensor="fc.weight").tolist() == [1]


NARROW = BitErrorProfile.uniform(0.1, BitFormat(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CODES.astype(float), 0.1), "not integers"), ((CODES > 3, 0.1), "not integers"),
        ((CODES.astype("U"), 0.1), "not integers"),
        ((CODES, 0.1, 4), "do not fit"), ((np.array([-1]), 0.1), "do not fit"), ((np.array([256]), 0.1), "do not fit"),
        ((CODES, 0.0), "no bit can flip"), ((CODES, np.zeros(8)), "no bit can flip"), ((CODES, 1.5), "between 0 and 1"),
        ((CODES, -0.1), "between 0 and 1"), ((CODES, np.nan), "between 0 and 1"), ((CODES, [0.1] * 4), "bit planes"),
        ((CODES, 0.1, 1), "bits"), ((CODES, 0.1, 17), "bits"), ((CODES, 0.1, 8, 9), "protected"),
        ((CODES, 0.1, 8, -1), "protected"),
        ((CODES, 0.1, 8, 1.0), "protected"), ((CODES, 0.1, 8, 0, -1), "seed"), ((CODES, 0.1, 8, 0, 0.5), "seed"),
        ((CODES, 0.1, 8, 0, None), "seed"), ((CODES & 15, NARROW, 8), "bits differs"),
    ],
)
def test_what_cannot_be_read_back_is_refused(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        read_back(*arguments)
    assert [part for part in ("where:", "rule:", "value:", "next:") if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    "named", [{"trial": -1}, {"trial": 2**64}, {"encoding": "grey"}, {"encoding": "sign-magnitude"}]
)
def test_named_arguments_are_checked_too(named):
    with pytest.raises(InputError, match="next:"):
        read_back(CODES, 0.1, **named)


def test_draw_flips_refuses_wide_codes_and_huge_tensors():
    errors = BitErrorProfile.uniform(0.1).regions[0]
    with pytest.raises(InputError, match="uint8 or uint16"):
        draw_flips(CODES.astype(np.int64), errors, 0, KEY, 0)
    with pytest.raises(InputError, match="too many weights"):
        draw_flips(CODES, errors, 0, KEY, 0, first_index=2**48)


@pytest.mark.parametrize("bits", [5, 8, 16])
def test_read_codes_go_where_they_are_asked_to(bits):
    fmt = BitFormat(bits)
    codes = (CODES.astype(np.uint16) * 257 & (2**bits - 1)).astype(fmt.code_dtype).reshape(100, 200)
    errors = BitErrorProfile.uniform(0.05, fmt).regions[0]
    expected = draw_flips(codes, errors, 1, KEY, 0)
    whole = np.full((102, 200), 3, fmt.code_dtype)
    found = draw_flips(codes, errors, 1, KEY, 0, out=whole[1:-1])
    assert np.shares_memory(found.codes, whole)
    assert np.array_equal(whole[1:-1], expected.codes)
    assert np.array_equal(found.flips_by_plane, expected.flips_by_plane)
    assert (whole[[0, -1]] == 3).all()


def test_codes_wider_than_their_format_read_like_narrow_ones():
    errors = BitErrorProfile.uniform(0.1).regions[0]
    wide = draw_flips(CODES.astype(np.uint16), errors, 1, KEY, 0, out=np.full(CODES.size, 2**16 - 1, np.uint16))
    assert np.array_equal(wide.codes, draw_flips(CODES, errors, 1, KEY, 0).codes)


@pytest.mark.parametrize("cells", [{"block": 4}, {"spread": 0.3}])
def test_unlike_cells_go_there_too(cells):
    errors = CellLaw("default", BitFormat(), np.full(8, 0.1), np.full(8, 0.1), **cells)
    out = np.empty_like(CODES)
    assert draw_flips(CODES, errors, 0, KEY, 0, out=out).codes.base is out
    assert np.array_equal(out, draw_flips(CODES, errors, 0, KEY, 0).codes)


LOCKED = np.zeros(CODES.size, np.uint8)
LOCKED.setflags(write=False)


@pytest.mark.parametrize(
    "out", [CODES, CODES[::-1], np.zeros(3, np.uint8), CODES.astype(np.uint16), np.zeros(2 * CODES.size, np.uint8)[::2],
            LOCKED, [0] * CODES.size],
    ids=["codes", "view", "short", "wide", "strided", "locked", "list"],
)
def test_places_that_do_not_fit_are_refused(out):
    with pytest.raises(InputError, match="cannot go there"):
        draw_flips(CODES, BitErrorProfile.uniform(0.1).regions[0], 0, KEY, 0, out=out)
