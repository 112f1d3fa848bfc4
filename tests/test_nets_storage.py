"""Stored codes: quantised once, read with the flips that the bit room draws, counted exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.errors import CodesignError, InputError
from qtaml_codesign.nets.reading import TrialReader
from qtaml_codesign.nets.storage import StoredModel, StoredTensor, store_tensor

KEY = 77
FALSE_FAILURE = 1e-9
FORMATS = [BitFormat(8), BitFormat(8, "twos_complement"), BitFormat(5, "sign_magnitude"), BitFormat(12)]


def weights(size: int = 4000) -> np.ndarray:
    return np.random.Generator(np.random.Philox(KEY)).normal(0.0, 0.3, size=(size // 4, 4)).astype(np.float32)


def charge_loss(fmt: BitFormat, rate: float) -> CellLaw:
    return CellLaw("default", fmt, np.full(fmt.bits, rate), np.zeros(fmt.bits))


@pytest.mark.parametrize("fmt", FORMATS)
def test_clean_weights_lie_within_half_a_step(fmt):
    given = weights()
    stored = store_tensor("w", given, fmt)
    clean = stored.weights()
    scale = np.abs(given).max()
    assert stored.scale == float(scale)
    assert clean.dtype == np.float32
    assert clean.shape == stored.codes.shape == given.shape
    inside = np.abs(given) < scale * (1 - 1.5 * fmt.step)
    assert np.abs(clean - given)[inside].max() <= scale * fmt.step / 2 * (1 + 1e-6)
    assert np.abs(clean - given).max() <= scale * fmt.step * (1 + 1e-6)


def test_the_correction_factor_is_written_into_codes_that_clip_at_the_fixed_scale():
    """W' = 1.25 W under the scale of W: what passes +-||W||_inf is stored as the end of the grid, by hand."""
    given = weights()
    plain, corrected = store_tensor("w", given), store_tensor("w", given, factor=1.25)
    assert corrected.scale == plain.scale == float(np.abs(given).max())
    np.testing.assert_array_equal(corrected.values, plain.values)
    levels = np.clip(np.rint(1.25 * (given.astype(np.float64) / plain.scale) * 128), -128, 127)
    np.testing.assert_array_equal(corrected.codes, levels + 128)
    assert (np.abs(1.25 * given) > plain.scale).sum() > 3
    assert np.abs(corrected.weights()).max() <= plain.scale


def test_gain_and_offset_act_on_what_is_read_and_on_no_code():
    plain, read = store_tensor("w", weights()), store_tensor("w", weights(), gain=1.25, offset=0.1)
    assert np.array_equal(plain.codes, read.codes)
    assert plain.scale == read.scale
    levels = plain.codes.astype(np.float64) - 128
    np.testing.assert_allclose(read.weights(), plain.scale * (1.25 * levels / 128 + 0.1), rtol=1e-6, atol=0)


def test_a_given_scale_clips():
    stored = store_tensor("w", np.array([-3.0, 0.5, 3.0]), BitFormat(4), scale=1.0)
    assert stored.weights().tolist() == [-1.0, 0.5, 0.875]


def test_zeros_have_scale_zero_and_read_zero_whatever_flips():
    stored = StoredModel((store_tensor("w", np.zeros((3, 4))),))
    read = stored.read(0, 0, BitErrorProfile.uniform(0.5).assign(["w"]))
    assert stored["w"].scale == 0.0
    assert read.flips.bits_flipped > 0
    assert not read.weights["w"].any()


def test_stored_arrays_cannot_be_changed_and_the_input_is_not():
    given = weights()
    kept = given.copy()
    stored = store_tensor("w", given)
    with pytest.raises(ValueError, match="read-only"):
        stored.codes[0, 0] = 1
    StoredModel((stored,)).read(0, 0, BitErrorProfile.uniform(0.3).assign(["w"]))
    assert np.array_equal(given, kept)


@pytest.mark.parametrize("fmt", FORMATS)
def test_expected_flips_by_counting_bits_one_by_one(fmt):
    generator = np.random.Generator(np.random.Philox(KEY))
    errors = CellLaw("default", fmt, generator.random(fmt.bits), generator.random(fmt.bits))
    stored = store_tensor("w", weights(200), fmt, depth=2)
    slow = 0.0
    for code in stored.codes.ravel().tolist():
        for plane in range(fmt.bits - 2):
            slow += errors.one_to_zero[plane] if code >> plane & 1 else errors.zero_to_one[plane]
    assert stored.expected_flips(errors) == pytest.approx(slow, rel=1e-12)


def test_flips_are_counted_from_the_codes_themselves():
    stored = StoredModel((store_tensor("a", weights()), store_tensor("b", weights(400), BitFormat(6), depth=1)))
    errors = {"a": BitErrorProfile.uniform(0.2).regions[0], "b": charge_loss(BitFormat(6), 0.3)}
    read = stored.read(3, 5, errors)
    flips = 0
    for tensor in stored:
        back = np.rint(read.weights[tensor.name] / tensor.scale / tensor.format.step).astype(int)
        codes = tensor.format.levels_to_codes(back)
        changed = codes ^ tensor.codes
        planes = [(int((changed >> plane & 1).sum())) for plane in range(tensor.format.bits)]
        assert planes == read.flips.by_plane[tensor.name].tolist()
        flips += sum(planes)
    assert read.flips.bits_flipped == flips > 0
    assert read.flips.by_plane["b"][5] == 0
    assert read.flips.bits_exposed == 4000 * 8 + 400 * 5
    assert stored.bits_stored == 4000 * 8 + 400 * 6


@pytest.mark.parametrize("direction", ["symmetric", "charge_loss"])
@pytest.mark.parametrize("fmt", FORMATS[:3])
def test_mean_of_read_weights_follows_the_law(fmt, direction):
    """60 readings of 4000 weights; false failure 1e-9; sees a bias of 0.4 % of the scale (about 6 standard errors)."""
    rate = 0.1
    errors = BitErrorProfile.uniform(rate, fmt).regions[0] if direction == "symmetric" else charge_loss(fmt, rate)
    stored = StoredModel((store_tensor("w", weights(), fmt, depth=1),))
    tensor, law = stored["w"], ReadLaw(errors, 1)
    mean = tensor.scale * law.conditional_mean(tensor.codes).mean()
    variance = tensor.scale**2 * law.variance(tensor.codes).mean()
    readings = 60
    found = np.mean([stored.read(KEY, trial, {"w": errors}).weights["w"].mean() for trial in range(readings)])
    error = np.sqrt(variance / (readings * tensor.codes.size))
    assert abs(found - mean) < stats.norm.isf(FALSE_FAILURE / 2) * error
    assert error < 0.001 * tensor.scale


def test_total_flips_follow_the_binomial_law():
    """40 readings of 32 000 cells at p = 0.05; false failure 1e-9; sees a rate that is off by 2.5 %."""
    stored = StoredModel((store_tensor("w", weights()),))
    errors = BitErrorProfile.uniform(0.05).assign(["w"])
    flips = sum(stored.read(KEY, trial, errors).flips.bits_flipped for trial in range(40))
    assert stats.binomtest(flips, 40 * 32000, 0.05).pvalue > FALSE_FAILURE


def test_the_key_decides_the_flips():
    stored = StoredModel((store_tensor("a", weights()), store_tensor("b", weights())))
    errors = BitErrorProfile.uniform(0.1).assign(["a", "b"])
    base = stored.read(1, 2, errors).weights
    assert np.array_equal(base["a"], stored.read(1, 2, errors, only="a").weights["a"])
    assert list(stored.read(1, 2, errors, only="a").weights) == ["a"]
    assert np.array_equal(base["b"], StoredModel(stored.tensors[::-1]).read(1, 2, errors).weights["b"])
    others = [stored.read(2, 2, errors), stored.read(1, 3, errors), stored.read(1, 2, errors, purpose="correction")]
    assert all(not np.array_equal(base["a"], other.weights["a"]) for other in others)
    assert not np.array_equal(base["a"], base["b"])


def test_deeper_protection_only_removes_flips():
    errors = BitErrorProfile.uniform(0.1).assign(["w"])
    shallow = StoredModel((store_tensor("w", weights(), depth=1),)).read(0, 0, errors).flips.by_plane["w"]
    deep = StoredModel((store_tensor("w", weights(), depth=4),)).read(0, 0, errors).flips.by_plane["w"]
    assert np.array_equal(deep[:4], shallow[:4])
    assert not deep[4:].any()
    assert shallow[4:7].all()


def test_any_planes_can_be_protected_and_the_others_keep_their_flips():
    """Planes 7 and 2 of eight: the flips of the other planes are those without protection, cell by cell."""
    rates = BitErrorProfile.uniform(np.linspace(0.1, 0.3, 8)).regions[0]
    bare, some = store_tensor("w", weights()), store_tensor("w", weights(), depth=2, planes=(2, 7))
    key = flip_key(3, "w")
    flips = bare.read(rates, key, 4).codes ^ bare.codes
    read = some.read(rates, key, 4)
    np.testing.assert_array_equal(read.codes ^ some.codes, flips & 0b01111011)
    assert read.exposed == some.bits_exposed == 6 * bare.codes.size
    assert not read.flips_by_plane[[2, 7]].any()
    protected = rates.without((2, 7))
    assert some.expected_flips(rates) == pytest.approx(bare.expected_flips(protected), rel=1e-12)
    packed = TrialReader(StoredModel((some,)), {"w": rates}, 3).read(4)
    np.testing.assert_array_equal(packed.weights["w"].numpy(), some.weights(some.read(rates, key, 4).codes))
    assert packed.flips.bits_exposed == some.bits_exposed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 9}, "protection depth"), ({"depth": -1}, "protection depth"), ({"factor": 0.0}, "factor"),
        ({"gain": 0.0}, "readout gain"), ({"gain": float("inf")}, "readout gain"), ({"offset": float("nan")}, "offset"),
        ({"planes": (3,), "depth": 2}, "protected planes"), ({"planes": (8,), "depth": 1}, "protected planes"),
        ({"planes": (2, 2), "depth": 2}, "protected planes"), ({"planes": (2,), "depth": 1, "deeper": 1}, "planes"),
        ({"factor": float("nan")}, "factor"), ({"scale": 0.0}, "scale"), ({"scale": float("inf")}, "scale"),
        ({"weights": np.array([1.0, np.nan])}, "not a finite number"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"weights": np.ones(3), **change}
    with pytest.raises(CodesignError, match=message):
        store_tensor("w", **arguments)


def test_rates_must_exist_and_fit_the_format():
    stored = StoredModel((store_tensor("w", weights(400)),))
    with pytest.raises(InputError, match="no flip rates"):
        stored.read(0, 0, {})
    with pytest.raises(InputError, match="another storage format"):
        stored.read(0, 0, BitErrorProfile.uniform(0.1, BitFormat(8, "sign_magnitude")).assign(["w"]))
    with pytest.raises(InputError, match="no stored tensor"):
        stored.read(0, 0, {}, only="v")
    with pytest.raises(CodesignError, match="stored twice"):
        StoredModel((stored["w"], stored["w"]))


def test_sequence_protocol():
    stored = StoredModel([store_tensor("a", weights(8)), store_tensor("b", weights(8))])  # type: ignore[arg-type]
    assert (len(stored), [tensor.name for tensor in stored]) == (2, ["a", "b"])
    assert isinstance(stored["b"], StoredTensor)
    assert list(stored.clean_weights()) == ["a", "b"]
