"""Formats: the grid, the three encodings, and the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.errors import InputError
from tests.bits_oracles import slow_value

formats = st.builds(BitFormat, st.integers(1, 16), st.sampled_from(ENCODINGS))
fixed = settings(derandomize=True, max_examples=60, deadline=None)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bits", range(1, 17))
def test_every_code_means_what_its_encoding_says(bits, encoding):
    fmt = BitFormat(bits, encoding)
    codes = np.arange(2**bits) if bits <= 8 else np.unique(np.linspace(0, 2**bits - 1, 501).astype(int))
    values = fmt.codes_to_levels(codes) * fmt.step
    assert [float(slow_value(int(code), bits, encoding)) for code in codes] == values.tolist()


@given(fmt=formats)
@fixed
def test_levels_survive_the_round_trip(fmt):
    levels = np.arange(fmt.lowest_level, fmt.highest_level + 1)
    codes = fmt.levels_to_codes(levels)
    assert codes.dtype == fmt.code_dtype
    assert codes.max() < fmt.code_count
    assert np.array_equal(fmt.codes_to_levels(codes), levels)
    assert np.unique(codes).size == levels.size


@given(fmt=formats)
@fixed
def test_codes_survive_the_round_trip_but_for_minus_zero(fmt):
    codes = np.arange(fmt.code_count)
    again = fmt.levels_to_codes(fmt.codes_to_levels(codes))
    changed = codes[again != codes].tolist()
    assert changed == ([fmt.code_count // 2] if fmt.encoding == "sign_magnitude" else [])


@given(fmt=formats, weights=st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20))
@fixed
def test_quantise_takes_the_nearest_grid_value(fmt, weights):
    grid = np.arange(fmt.lowest_level, fmt.highest_level + 1) * fmt.step
    values = fmt.codes_to_levels(fmt.quantise(np.array(weights))) * fmt.step
    nearest = np.array([np.abs(grid - weight).min() for weight in weights])
    assert np.array_equal(np.abs(values - weights), nearest)


@given(fmt=formats)
@fixed
def test_quantise_is_the_identity_on_the_grid_in_both_float_types(fmt):
    levels = np.arange(fmt.lowest_level, fmt.highest_level + 1)
    for dtype in (np.float32, np.float64):
        codes = fmt.quantise((levels * fmt.step).astype(dtype))
        assert np.array_equal(fmt.codes_to_levels(codes), levels)


def test_quantise_rounds_half_to_even_and_clips():
    fmt = BitFormat(8)
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 128
    assert fmt.codes_to_levels(fmt.quantise(halves)).tolist() == [0, 2, 2, 0, -2]
    assert fmt.codes_to_levels(fmt.quantise([3.0, 1.0, -1.0, -3.0])).tolist() == [127, 127, -128, -128]
    assert BitFormat(8, "sign_magnitude").quantise([-1.0, -1e-9]).tolist() == [255, 0]


def test_the_callers_array_is_not_changed():
    values = np.array([0.3, -0.7], dtype=np.float32)
    BitFormat(4).quantise(values)
    assert values.tolist() == np.array([0.3, -0.7], dtype=np.float32).tolist()


@pytest.mark.parametrize(
    "action",
    [
        lambda: BitFormat(0), lambda: BitFormat(17), lambda: BitFormat(8.0), lambda: BitFormat(True),
        lambda: BitFormat(8, "offset"), lambda: BitFormat(8).quantise([np.nan]),
        lambda: BitFormat(8).quantise([np.inf]),
        lambda: BitFormat(8).levels_to_codes([128]), lambda: BitFormat(8, "sign_magnitude").levels_to_codes([-128]),
        lambda: BitFormat(8).levels_to_codes([0.5]), lambda: BitFormat(8).codes_to_levels([256]),
        lambda: BitFormat(8).codes_to_levels([-1]), lambda: BitFormat(4).codes_to_levels(np.array([16], np.uint8)),
    ],
)
def test_what_does_not_fit_is_refused_with_all_five_parts(action):
    with pytest.raises(InputError) as caught:
        action()
    assert [part for part in ("where:", "rule:", "value:", "next:") if part not in str(caught.value)] == []


def test_a_misspelt_encoding_gets_the_near_match():
    with pytest.raises(InputError, match="did you mean offset_binary"):
        BitFormat(8, "offset_binry")
