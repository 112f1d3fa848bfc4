"""The network in the memory: read with the flips that the bit room draws, counted exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.memory.stored import StoredGroup
from tests.in_memory import stored, uniform

KEY = 77
FALSE_FAILURE = 1e-9
FORMATS = [BitFormat(8), BitFormat(8, "twos_complement"), BitFormat(5, "sign_magnitude"), BitFormat(12)]


def weights(size: int = 4000) -> np.ndarray:
    return np.random.Generator(np.random.Philox(KEY)).normal(0.0, 0.3, size=(size // 4, 4)).astype(np.float32)


def charge_loss(fmt: BitFormat, rate: float) -> CellLaw:
    return CellLaw("default", fmt, np.full(fmt.bits, rate), np.zeros(fmt.bits))


def read(*groups, seed=0, trial=0, **more):
    return DeployedModel(groups).prepare(seed, **more).read(trial)


def test_zeros_read_zero_whatever_flips():
    found = read(stored(np.zeros((3, 4)), uniform(0.5)))
    assert found.bits_flipped > 0
    assert not found.weights["w"].any()


def test_stored_words_cannot_be_changed_and_the_input_is_not():
    given = weights()
    kept = given.copy()
    group = stored(given, uniform(0.3))
    with pytest.raises(ValueError, match="read-only"):
        group.words[0, 0] = 1
    read(group)
    assert np.array_equal(given, kept)


@pytest.mark.parametrize("fields", [{"depth": 2}, {"depth": 1, "deeper": 77}])
@pytest.mark.parametrize("fmt", FORMATS)
def test_expected_flips_by_counting_bits_one_by_one(fmt, fields):
    generator = np.random.Generator(np.random.Philox(KEY))
    law = CellLaw("default", fmt, generator.random(fmt.bits), generator.random(fmt.bits))
    group = stored(weights(200), law, **fields)
    slow, exposed = 0.0, 0
    for word, deeper in zip(group.words.ravel().tolist(), group.codec.is_deeper(200).tolist(), strict=True):
        for plane in range(fmt.bits - group.codec.depth - deeper):
            slow += law.one_to_zero[plane] if word >> plane & 1 else law.zero_to_one[plane]
            exposed += 1
    assert group.expected_flips == pytest.approx(slow, rel=1e-12)
    assert group.bits_exposed == exposed


def test_cells_silent_by_direction_are_exposed():
    assert stored(np.full(10, -1.0), charge_loss(BitFormat(), 0.2), depth=1).bits_exposed == 70


def test_flips_are_counted_from_the_codes_themselves():
    groups = (stored(weights(), uniform(0.2), "a"), stored(weights(400), charge_loss(BitFormat(6), 0.3), "b", depth=1))
    model = DeployedModel(groups)
    found = model.prepare(3).read(5)
    flips = 0
    for group in groups:
        form = group.codec.format
        back = np.rint(found.weights[group.name].numpy() / group.codec.scale / form.step).astype(int)
        changed = form.levels_to_codes(back) ^ group.words
        planes = [(int((changed >> plane & 1).sum())) for plane in range(form.bits)]
        assert planes == found.flips_by_plane[group.name].tolist()
        flips += sum(planes)
    assert found.bits_flipped == flips > 0
    assert found.flips_by_plane["b"][5] == 0
    assert model.bits_exposed == 4000 * 8 + 400 * 5
    assert model.bits_stored == 4000 * 8 + 400 * 6
    assert model.expected_flips == sum(group.expected_flips for group in groups)


@pytest.mark.parametrize("direction", ["symmetric", "charge_loss"])
@pytest.mark.parametrize("fmt", FORMATS[:3])
def test_mean_of_read_weights_follows_the_law(fmt, direction):
    """60 readings of 4000 weights; false failure 1e-9; sees a bias of 0.4 % of the scale (about 6 standard errors)."""
    law = uniform(0.1, fmt) if direction == "symmetric" else charge_loss(fmt, 0.1)
    group = stored(weights(), law, depth=1)
    scale, closed = group.codec.scale, ReadLaw(law, 1)
    mean = scale * closed.conditional_mean(group.words).mean()
    variance = scale**2 * closed.variance(group.words).mean()
    readings, reader = 60, DeployedModel((group,)).prepare(KEY)
    found = np.mean([reader.read(trial).weights["w"].numpy().mean() for trial in range(readings)])
    error = np.sqrt(variance / (readings * group.words.size))
    assert abs(found - mean) < stats.norm.isf(FALSE_FAILURE / 2) * error
    assert error < 0.001 * scale


def test_total_flips_follow_the_binomial_law():
    """40 readings of 32 000 cells at p = 0.05; false failure 1e-9; sees a rate that is off by 2.5 %."""
    reader = DeployedModel((stored(weights(), uniform(0.05)),)).prepare(KEY)
    flips = sum(reader.read(trial).bits_flipped for trial in range(40))
    assert stats.binomtest(flips, 40 * 32000, 0.05).pvalue > FALSE_FAILURE


def test_the_key_decides_the_flips():
    a, b = (stored(weights(), uniform(0.1), name) for name in "ab")
    base = read(a, b, seed=1, trial=2).weights
    assert np.array_equal(base["a"], read(a, seed=1, trial=2).weights["a"])
    assert np.array_equal(base["b"], read(b, a, seed=1, trial=2).weights["b"])
    assert list(base) == ["a", "b"]
    others = [read(a, seed=2, trial=2), read(a, seed=1, trial=3), read(a, seed=1, trial=2, purpose="correction")]
    assert all(not np.array_equal(base["a"], other.weights["a"]) for other in others)
    assert not np.array_equal(base["a"], base["b"])


def test_deeper_protection_only_removes_flips():
    shallow, deep = (read(stored(weights(), uniform(0.1), depth=depth)).flips_by_plane["w"] for depth in (1, 4))
    assert np.array_equal(deep[:4], shallow[:4])
    assert not deep[4:].any()
    assert shallow[4:7].all()


def test_laws_and_weights_must_exist_and_fit_the_format():
    given = {"w": weights(400)}
    codecs = {"w": PlaneProtected.fitted(given["w"])}
    laws = BitErrorProfile.uniform(0.1).assign(given)
    assert deploy(given, codecs, laws).groups[0].law == laws["w"]
    for arguments in ((given, codecs, {}), ({}, codecs, laws)):
        with pytest.raises(InputError, match="a stored tensor has no") as caught:
            deploy(*arguments)
        assert [part for part in ("where:", "rule:", "value:", "next:") if part not in str(caught.value)] == []
    with pytest.raises(InputError, match="another format"):
        deploy(given, codecs, BitErrorProfile.uniform(0.1, BitFormat(8, "sign_magnitude")).assign(given))
    group = stored(given["w"], uniform(0.1))
    with pytest.raises(InputError, match="stored twice"):
        DeployedModel((group, group))


@pytest.mark.parametrize("words", [np.zeros(3, np.int64), np.full(3, 16, np.uint8)])
def test_words_that_the_format_does_not_know_are_refused(words):
    codec = PlaneProtected(BitFormat(4), 1.0)
    with pytest.raises(InputError):
        StoredGroup("w", words, codec, uniform(0.1, BitFormat(4)))


def test_a_tensor_without_a_codec_is_not_stored():
    given = {"a": weights(8), "b": weights(8)}
    model = deploy(given, {"b": PlaneProtected.fitted(given["b"])}, BitErrorProfile.uniform(0.1).assign(given))
    assert list(model.clean_weights()) == ["b"]
    np.testing.assert_array_equal(model.clean_weights()["b"], model.groups[0].codec.values[model.groups[0].words])
