"""Plain codes with protected planes: what is written, what it is worth, and which cells stay open."""

from __future__ import annotations

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs import codec as codec_module
from qtaml_codesign.codecs.plane_protected import PlaneProtected, largest_magnitude
from qtaml_codesign.errors import InputError

KEY = 77
FORMATS = [BitFormat(8), BitFormat(8, "twos_complement"), BitFormat(5, "sign_magnitude"), BitFormat(12)]
WEIGHTS = np.random.Generator(np.random.Philox(KEY)).normal(0.0, 0.3, size=(1000, 4)).astype(np.float32)


def read_clean(codec: PlaneProtected, weights=WEIGHTS):
    return codec.values[codec.encode(weights)]


@pytest.mark.parametrize("form", FORMATS)
def test_clean_weights_lie_within_half_a_step(form):
    codec = PlaneProtected.fitted(WEIGHTS, form)
    clean, scale = read_clean(codec), np.abs(WEIGHTS).max()
    assert codec.scale == float(scale)
    assert (clean.dtype, clean.shape) == (np.float32, WEIGHTS.shape)
    inside = np.abs(WEIGHTS) < scale * (1 - 1.5 * form.step)
    assert np.abs(clean - WEIGHTS)[inside].max() <= scale * form.step / 2 * (1 + 1e-6)
    assert np.abs(clean - WEIGHTS).max() <= scale * form.step * (1 + 1e-6)


def test_the_correction_factor_is_written_into_codes_that_clip_at_the_fixed_scale():
    """W' = 1.25 W under the scale of W: what passes +-||W||_inf is stored as the end of the grid, by hand."""
    plain, corrected = PlaneProtected.fitted(WEIGHTS), PlaneProtected.fitted(WEIGHTS, factor=1.25)
    assert corrected.scale == plain.scale == float(np.abs(WEIGHTS).max())
    np.testing.assert_array_equal(corrected.values, plain.values)
    levels = np.clip(np.rint(1.25 * (WEIGHTS.astype(np.float64) / plain.scale) * 128), -128, 127)
    np.testing.assert_array_equal(corrected.encode(WEIGHTS), levels + 128)
    assert (np.abs(1.25 * WEIGHTS) > plain.scale).sum() > 3
    assert np.abs(read_clean(corrected)).max() <= plain.scale


def test_gain_and_offset_act_on_what_is_read_and_on_no_code():
    plain, read = PlaneProtected.fitted(WEIGHTS), PlaneProtected.fitted(WEIGHTS, gain=1.25, offset=0.1)
    assert np.array_equal(plain.encode(WEIGHTS), read.encode(WEIGHTS))
    levels = plain.encode(WEIGHTS).astype(np.float64) - 128
    np.testing.assert_allclose(read_clean(read), plain.scale * (1.25 * levels / 128 + 0.1), rtol=1e-6, atol=0)


def test_a_given_scale_clips():
    codec = PlaneProtected(BitFormat(4), scale=1.0)
    assert read_clean(codec, np.array([-3.0, 0.5, 3.0])).tolist() == [-1.0, 0.5, 0.875]


def test_zeros_are_worth_zero_in_every_code():
    codec = PlaneProtected.fitted(np.zeros((3, 4)))
    assert codec.scale == 0.0
    assert not codec.values.any()
    with pytest.raises(InputError, match="the scale is out of bounds"):
        codec.encode(np.ones(2))


@pytest.mark.parametrize("bits", [4, 8, 11])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (7, 3), (40, 25)])
def test_pieces_equal_the_whole(bits, shape, monkeypatch):
    """The slow twin is one call of `quantise` and one count over the whole tensor."""
    monkeypatch.setattr(codec_module, "PIECE", 64)
    form = BitFormat(bits)
    weights = np.asarray(np.random.default_rng(KEY).standard_normal(shape), dtype=np.float32)
    codec = PlaneProtected.fitted(weights, form)
    scale = np.abs(weights).max(initial=0.0)
    codes, words = form.quantise(weights.astype(np.float64) / (float(scale) or 1.0)), codec.encode(weights)
    assert codec.scale == float(scale) == largest_magnitude(weights)
    assert (words.dtype, words.shape) == (codes.dtype, codes.shape)
    assert np.array_equal(words, codes)
    assert np.array_equal(codec_module.histogram(words, form), np.bincount(codes.ravel(), minlength=2**bits))


def test_pieces_of_a_view_in_another_order(monkeypatch):
    monkeypatch.setattr(codec_module, "PIECE", 16)
    weights = np.random.default_rng(KEY).standard_normal((9, 8)).T
    codec = PlaneProtected.fitted(weights)
    assert np.array_equal(codec.encode(weights), codec.encode(np.ascontiguousarray(weights)))


@pytest.mark.parametrize("fields", [{}, {"depth": 2}, {"depth": 3, "planes": (0, 2, 4)}, {"depth": 1, "deeper": 333},
                                    {"depth": 5}, {"deeper": 3999}])
def test_open_cells_by_looking_at_every_cell(fields):
    codec = PlaneProtected.fitted(WEIGHTS, BitFormat(5), **fields)
    words = codec.encode(WEIGHTS)
    expected = np.zeros((2, 5), int)
    planes = fields.get("planes", tuple(range(5 - codec.depth, 5)))
    for word, deeper in zip(words.ravel().tolist(), codec.is_deeper(words.size).tolist(), strict=True):
        for plane in set(range(5)) - set(planes) - ({4 - codec.depth} if deeper else set()):
            expected[word >> plane & 1, plane] += 1
    assert codec.open_cells(words).tolist() == expected.tolist()


def test_more_deeper_weights_keep_the_earlier_ones_and_lie_evenly():
    few, many = (PlaneProtected(BitFormat(), 1.0, deeper=deeper).is_deeper(1000) for deeper in (100, 400))
    assert (few.sum(), many.sum()) == (100, 400)
    assert not (few & ~many).any()
    for period in (2, 5, 8, 25):  # rows, columns, kernels: no residue class is preferred
        counts = np.bincount(np.flatnonzero(many) % period, minlength=period)
        np.testing.assert_allclose(counts, 400 / period, atol=0.2 * 400 / period + 2)


def test_the_evenly_spread_weights_are_the_smallest_fractions_of_multiples_of_the_golden_ratio():
    """By whole numbers of Python: i 2^64 / golden ratio modulo 2^64, sorted."""
    order = sorted(range(500), key=lambda index: index * 0x9E3779B97F4A7C15 % 2**64)
    chosen = PlaneProtected(BitFormat(), 1.0, deeper=37).is_deeper(500)
    assert np.flatnonzero(chosen).tolist() == sorted(order[:37])


def test_the_residual_law_silences_the_protected_planes_alone():
    law = CellLaw("default", BitFormat(4), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1]))
    left = PlaneProtected(BitFormat(4), 1.0, depth=2, planes=(1, 3), deeper=0).residual(law)
    assert left.one_to_zero.tolist() == [0.1, 0.0, 0.3, 0.0]
    assert left.zero_to_one.tolist() == [0.4, 0.0, 0.2, 0.0]
    assert PlaneProtected(BitFormat(4), 1.0, depth=1, deeper=3).residual(law).one_to_zero.tolist() == [0.1, 0.2, 0.3, 0]


def test_equal_codecs_are_one_value_and_every_field_is_in_the_json():
    codec = PlaneProtected(BitFormat(4), 0.75, 1.25, 2, 0, 1.5, 0.1, (0, 3))
    assert codec == PlaneProtected(BitFormat(4), 0.75, 1.25, 2, 0, 1.5, 0.1, (0, 3))
    assert len({codec, PlaneProtected(BitFormat(4), 0.75)}) == 2
    assert codec.to_json() == {
        "codec": "plane-protected", "format": {"bits": 4, "encoding": "offset_binary"}, "scale": 0.75, "factor": 1.25,
        "depth": 2, "deeper": 0, "gain": 1.5, "offset": 0.1, "planes": (0, 3),
    }
    assert (codec.cells, codec.metadata_bits) == (4.0, 68)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 9}, "protection depth"), ({"depth": -1}, "protection depth"), ({"factor": 0.0}, "factor"),
        ({"gain": 0.0}, "readout gain"), ({"gain": float("inf")}, "readout gain"), ({"offset": float("nan")}, "offset"),
        ({"planes": (3,), "depth": 2}, "protected planes"), ({"planes": (8,), "depth": 1}, "protected planes"),
        ({"planes": (2, 2), "depth": 2}, "protected planes"), ({"planes": (2,), "depth": 1, "deeper": 1}, "planes"),
        ({"factor": float("nan")}, "factor"), ({"scale": -1.0}, "scale"), ({"scale": float("inf")}, "scale"),
        ({"deeper": -1}, "one plane more"), ({"deeper": 1, "depth": 8}, "one plane more"),
    ],
)
def test_impossible_codecs_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        PlaneProtected(**{"format": BitFormat(), "scale": 1.0, **change})


@pytest.mark.parametrize(("weights", "fields", "message"), [
    (np.array([1.0, np.nan]), {}, "not a finite number"), (np.ones(3), {"deeper": 3}, "one plane more"),
])
def test_weights_that_cannot_be_held_are_refused(weights, fields, message):
    with pytest.raises(InputError, match=message):
        PlaneProtected(BitFormat(), 1.0, **fields).encode(weights)
