"""The closed-form law against enumeration of all flip patterns, and against the formulas of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.errors import InputError
from tests.bits_oracles import slow_value

BITS = 8
CODES = np.arange(2**BITS)
LOSS = np.array([0.31, 0.02, 0.47, 0.11, 0.005, 0.23, 0.08, 0.17])
GAIN = np.array([0.03, 0.41, 0.09, 0.001, 0.29, 0.14, 0.37, 0.06])
ADDITIVE = ("offset_binary", "twos_complement")
every_case = pytest.mark.parametrize(("encoding", "depth"), [(e, k) for e in ENCODINGS for k in range(BITS + 1)])


def values_of(encoding, bits=BITS):
    return np.array([float(slow_value(code, bits, encoding)) for code in range(2**bits)])


def enumerate_patterns(down, up, depth):
    """P(stored code -> read code) by going through all 2^B flip patterns of every code, extended precision."""
    matrix = np.zeros((CODES.size, CODES.size))
    for pattern in CODES:
        chance = np.ones(CODES.size, dtype=np.longdouble)
        for plane in range(BITS):
            rate = np.where(CODES >> plane & 1, down[plane], up[plane]).astype(np.longdouble)
            rate = rate if plane < BITS - depth else 0 * rate
            chance = chance * (rate if pattern >> plane & 1 else 1 - rate)
        matrix[CODES, CODES ^ pattern] = chance
    return matrix


def central_moments(matrix, values):
    """Mean deviation and central moments 2 to 4 of every row, extended precision."""
    weights = matrix.astype(np.longdouble)
    delta = values[None, :].astype(np.longdouble) - values[:, None]
    mean = (weights * delta).sum(axis=1)
    return [mean, *((weights * (delta - mean[:, None]) ** k).sum(axis=1) for k in (2, 3, 4))]


def law_of(encoding="offset_binary", depth=0, down=LOSS, up=GAIN, bits=BITS):
    return ReadLaw(CellLaw("default", BitFormat(bits, encoding), down, up), depth)


def uniform(rate, encoding="offset_binary", bits=BITS, depth=0):
    return ReadLaw(BitErrorProfile.uniform(rate, BitFormat(bits, encoding)).regions[0], depth)


@every_case
def test_law_is_the_enumeration_of_all_flip_patterns(encoding, depth):
    law, values = law_of(encoding, depth), values_of(encoding)
    matrix = enumerate_patterns(LOSS, GAIN, depth)
    np.testing.assert_allclose(law.transition_matrix(), matrix, rtol=1e-14, atol=1e-300)
    mean, second, third, fourth = central_moments(matrix, values)
    np.testing.assert_allclose(law.drift(), mean.astype(float), rtol=0, atol=1e-14)
    np.testing.assert_allclose(law.conditional_mean(), (values + mean).astype(float), rtol=0, atol=1e-14)
    np.testing.assert_allclose(law.variance(), second.astype(float), rtol=1e-14, atol=0)
    if depth < BITS:
        np.testing.assert_allclose(law.skewness(), (third / second**1.5).astype(float), rtol=0, atol=1e-13)
        np.testing.assert_allclose(law.excess_kurtosis(), (fourth / second**2 - 3).astype(float), rtol=0, atol=1e-13)
    else:
        assert np.isnan(law.skewness()).all()
        assert np.isnan(law.excess_kurtosis()).all()


@every_case
def test_slope_and_msb_share_are_the_enumerations(encoding, depth):
    law, values = law_of(encoding, depth), values_of(encoding)
    mean, second, *_ = central_moments(enumerate_patterns(LOSS, GAIN, depth), values)
    slope = np.polyfit(values.astype(float), (values + mean).astype(float), 1)[0]
    assert law.mean_slope() == pytest.approx(slope, rel=1e-12)
    guarded = central_moments(enumerate_patterns(LOSS, GAIN, max(depth, 1)), values)[1]
    if depth < BITS:
        assert law.msb_share() == pytest.approx(float(1 - guarded.mean() / second.mean()), rel=1e-12, abs=1e-15)
    else:
        assert np.isnan(law.msb_share())


@every_case
def test_pmf_and_characteristic_function_are_the_enumerations(encoding, depth):
    law, values = law_of(encoding, depth), values_of(encoding)
    matrix = enumerate_patterns(LOSS, GAIN, depth)
    times = np.array([[0.0, 0.7], [-3.1, 55.0]])
    for code in (0, 1, 100, 127, 128, 200, 255):
        found, chances = law.pmf(code)
        assert np.array_equal(found, np.unique(values))
        np.testing.assert_allclose(chances, [matrix[code][values == v].sum() for v in found], rtol=1e-14, atol=1e-300)
        expected = (matrix[code] * np.exp(1j * times[..., None] * (values - values[code]))).sum(axis=-1)
        np.testing.assert_allclose(law.characteristic_function(times, code), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("p", [1e-300, 1e-12, 1e-4, 0.05, 0.10, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_one_symmetric_rate_gives_the_formulas_of_the_paper(bits, p):
    law, w, step = uniform(p, bits=bits), values_of("offset_binary", bits), 2.0 ** (1 - bits)
    q, sum4 = 1 - p, (4.0**bits - 1) / 3
    signs = 1 - 2 * (np.arange(2**bits)[:, None] >> np.arange(bits) & 1)
    np.testing.assert_allclose(law.drift(), -2 * p * w - p * step, rtol=1e-12, atol=1e-15 * p)
    np.testing.assert_allclose(law.variance(), p * q * step**2 * sum4, rtol=1e-14, atol=0)
    assert law.mean_slope() == pytest.approx(1 - 2 * p, rel=1e-15, abs=1e-16)
    if p == 1.0:
        return
    assert law.msb_share() == pytest.approx(0.75 / (1 - 4.0**-bits), rel=1e-14)
    skew = (1 - 2 * p) / np.sqrt(p * q) * (signs * 8.0 ** np.arange(bits)).sum(axis=1) / sum4**1.5
    np.testing.assert_allclose(law.skewness(), skew, rtol=1e-13, atol=1e-15)
    excess = (1 - 6 * p * q) * ((16.0**bits - 1) / 15 / sum4**2) / (p * q)
    np.testing.assert_allclose(law.excess_kurtosis(), excess, rtol=1e-13)
    ratio = (p * p + q * q) / np.sqrt(p * q) * ((8.0**bits - 1) / 7) / sum4**1.5
    np.testing.assert_allclose(law.lyapunov_ratio(), ratio, rtol=1e-13)


@pytest.mark.parametrize("depth", range(9))
def test_protected_mean_and_variance_are_those_of_the_paper(depth):
    p, step, low = 0.10, 2.0**-7, CODES % 2 ** (8 - depth) * 2.0**-7
    law = uniform(p, depth=depth)
    np.testing.assert_allclose(law.drift(), -2 * p * low + p * step * (2.0 ** (8 - depth) - 1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(law.variance(), p * (1 - p) * step**2 * (4.0 ** (8 - depth) - 1) / 3, rtol=1e-14)


@pytest.mark.parametrize("p", [1e-4, 0.05, 0.3, 0.5])
def test_other_encodings_follow_their_drift_lines(p):
    step = 2.0**-7
    w = values_of("twos_complement")
    np.testing.assert_allclose(uniform(p, "twos_complement").conditional_mean(), (1 - 2 * p) * w - p * step, atol=1e-15)
    w, sign = values_of("sign_magnitude"), np.where(CODES < 128, 1.0, -1.0)
    line = (1 - 2 * p) ** 2 * w + (1 - 2 * p) * p * sign * (1 - step)
    np.testing.assert_allclose(uniform(p, "sign_magnitude").conditional_mean(), line, rtol=0, atol=1e-15)
    w, falling = values_of("offset_binary"), law_of(down=np.full(8, p), up=np.zeros(8))
    np.testing.assert_allclose(falling.conditional_mean(), w - p * (w + 1), rtol=0, atol=1e-15)
    assert falling.mean_slope() == pytest.approx(1 - p, rel=1e-15)


def test_lyapunov_ratio_does_not_vanish_with_more_bits():
    p = 1e-6
    limit = 3 * np.sqrt(3) / (7 * np.sqrt(p))
    assert uniform(p, bits=16).lyapunov_ratio(0) == pytest.approx(limit, rel=1e-4)


def test_rare_flips_keep_their_digits_in_sign_magnitude():
    law = uniform(1e-12, "sign_magnitude")
    w = values_of("sign_magnitude")
    leading = 1e-12 * ((4.0**7 - 1) / 3 / 128**2 + 4 * w**2)
    np.testing.assert_allclose(law.variance(), leading, rtol=1e-11)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_moments_at_16_bits_agree_with_the_row_of_the_law(encoding):
    down, up = np.tile(LOSS, 2), np.tile(GAIN, 2)
    law = law_of(encoding, 3, down, up, bits=16)
    for code in (0, 12345, 32768, 65535):
        values, chances = law.pmf(code)
        assert chances.sum() == pytest.approx(1.0, rel=1e-13)
        assert (values * chances).sum() == pytest.approx(law.conditional_mean(code), rel=1e-12)
        spread = (chances * (values - law.conditional_mean(code)) ** 2).sum()
        assert spread == pytest.approx(law.variance(code), rel=1e-11)


@pytest.mark.parametrize(
    "method", ["drift", "conditional_mean", "variance", "skewness", "excess_kurtosis", "lyapunov_ratio"]
)
def test_codes_pick_from_the_table_in_their_own_shape(method):
    picked = getattr(law_of(), method)(np.array([[3, 200], [255, 0]], dtype=np.uint8))
    assert picked.shape == (2, 2)
    assert np.array_equal(picked, getattr(law_of(), method)()[np.array([[3, 200], [255, 0]])])


@pytest.mark.parametrize(
    "action",
    [
        lambda: law_of(depth=9), lambda: law_of(depth=-1), lambda: law_of().pmf(256), lambda: law_of().variance([300]),
        lambda: uniform(0.1, bits=13).transition_matrix(), lambda: uniform(0.1, "sign_magnitude").lyapunov_ratio(),
        lambda: law_of().characteristic_function(1.0, -1),
    ],
)
def test_what_has_no_meaning_is_refused(action):
    with pytest.raises(InputError, match="next:"):
        action()


@pytest.mark.parametrize("encoding", ["offset_binary", "twos_complement", "sign_magnitude"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_slope_over_stored_codes_is_a_straight_line_fit_to_them(encoding, depth):
    """numpy's fit of a line through one point (w, E[read | w]) per stored weight."""
    generator = np.random.default_rng(4)
    fmt = BitFormat(6, encoding)
    codes = fmt.quantise(generator.normal(0.1, 0.25, 3000))
    law = ReadLaw(CellLaw("default", fmt, generator.uniform(0, 0.4, 6), generator.uniform(0, 0.4, 6)), depth)
    fitted = np.polyfit(law.values[codes], law.conditional_mean(codes), 1)[0]
    assert law.mean_slope(np.bincount(codes, minlength=64)) == pytest.approx(fitted, rel=1e-10)


def test_slope_of_an_affine_mean_does_not_depend_on_what_is_stored():
    histogram = np.zeros(256, np.int64)
    histogram[[3, 100, 101]] = (5, 1, 7)
    for encoding in ("offset_binary", "twos_complement"):
        law = ReadLaw(BitErrorProfile.uniform(0.1, BitFormat(8, encoding)).regions[0])
        assert law.mean_slope(histogram) == law.mean_slope() == 0.8


def test_slope_is_nan_where_one_value_is_stored_and_the_mean_is_not_affine():
    law = ReadLaw(BitErrorProfile.uniform(0.1, BitFormat(8, "sign_magnitude")).regions[0])
    assert np.isnan(law.mean_slope(np.bincount([5, 5], minlength=256)))
