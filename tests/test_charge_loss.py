"""Cells that can only lose charge, from the card to the plan, against all words x all flips, one by one.

The oracle here knows nothing of the package: it decodes words, walks through every flip pattern, and adds up.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.tac.correction import NOTHING, ProtectedLayer, correction_factor
from qtaml_codesign.tac.evaluation import laws_for
from qtaml_codesign.tac.planes import best_planes, mean_variance, variance_by_depth

BITS = 5
RATES = (0.1, 0.02, 0.3, 0.17, 0.05)
EVERY = [(encoding, charged) for encoding in ENCODINGS for charged in (1, 0)]
every_polarity = pytest.mark.parametrize(("encoding", "charged"), EVERY)


def decoded(word: int, encoding: str, bits: int = BITS) -> float:
    """Value in [-1, 1) of a word, from the definition of the encoding."""
    half = 2 ** (bits - 1)
    if encoding == "offset_binary":
        level = word - half
    elif encoding == "twos_complement":
        level = word - 2 * half if word >= half else word
    else:
        level = -(word - half) if word >= half else word
    return level / half


@cache
def moments(
    word: int, encoding: str, charged: int, rates: tuple[float, ...], protected: frozenset[int]
) -> tuple[float, float]:
    """Mean and variance of what is read for a word, over all flip patterns."""
    bits = len(rates)
    values, chances = [], []
    for pattern in itertools.product((0, 1), repeat=bits):
        chance, read = 1.0, word
        for plane, flips in enumerate(pattern):
            can = plane not in protected and (word >> plane & 1) == charged
            chance *= (rates[plane] if flips else 1.0 - rates[plane]) if can else 1.0 - flips
            read ^= flips << plane
        values.append(decoded(read, encoding, bits))
        chances.append(chance)
    mean = math.fsum(p * v for p, v in zip(chances, values, strict=True))
    return mean, math.fsum(p * (v - mean) ** 2 for p, v in zip(chances, values, strict=True))


def law_of(encoding: str, charged: int, rates: tuple[float, ...] = RATES) -> CellLaw:
    """As the card's fields say: only the charged value flips."""
    lost, none = np.array(rates), np.zeros(len(rates))
    down, up = (lost, none) if charged else (none, lost)
    return CellLaw("default", BitFormat(len(rates), encoding), down, up)  # type: ignore[arg-type]


def card_of(encoding: str, charged: int, bits: int = BITS) -> qc.DeviceCard:
    return qc.load_card("3nm").with_fields({
        "flips": "charge_loss", "storage.encoding": encoding, "storage.charged_bit": charged, "storage.bits": bits})


@every_polarity
@pytest.mark.parametrize("protected", [set(), {4}, {4, 3, 2}, {0, 3}, {0, 1, 2, 3, 4}])
def test_mean_and_variance_are_those_of_all_flips(encoding: str, charged: int, protected: set[int]) -> None:
    law = ReadLaw(law_of(encoding, charged).without(protected))
    found = [moments(word, encoding, charged, RATES, frozenset(protected)) for word in range(2**BITS)]
    np.testing.assert_allclose(law.conditional_mean(), [mean for mean, _ in found], rtol=0, atol=1e-15)
    np.testing.assert_allclose(law.variance(), [variance for _, variance in found], rtol=1e-12, atol=1e-18)


@every_polarity
def test_a_card_reaches_the_law_with_its_polarity(encoding: str, charged: int) -> None:
    """E[read] = w - p (w - w0), w0 the word without charge; Var = p (1 - p) D^2 sum of 4^i charged: sums of bits."""
    card = card_of(encoding, charged)
    p = qc.flip_probability(card).probability
    law = ReadLaw(BitErrorProfile.from_flip_probability(qc.flip_probability(card)).regions[0])
    found = [moments(word, encoding, charged, (p,) * BITS, frozenset()) for word in range(2**BITS)]
    np.testing.assert_allclose(law.conditional_mean(), [mean for mean, _ in found], rtol=0, atol=1e-15)
    np.testing.assert_allclose(law.variance(), [variance for _, variance in found], rtol=1e-12, atol=1e-18)
    if encoding == "sign_magnitude":
        return
    words = np.arange(2**BITS)
    empty = decoded(0 if charged else 2**BITS - 1, encoding)
    np.testing.assert_allclose(law.conditional_mean(), law.values - p * (law.values - empty), rtol=0, atol=1e-15)
    held = sum(4**plane * ((words >> plane & 1) == charged) for plane in range(BITS))
    np.testing.assert_allclose(law.variance(), p * (1 - p) * 4.0 ** (1 - BITS) * held, rtol=1e-13, atol=1e-18)
    assert correction_factor(law.errors) == pytest.approx(1 / (1 - p), rel=1e-14)


def test_only_charged_cells_are_drawn() -> None:
    codes = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8)
    for charged in (0, 1):
        profile = BitErrorProfile((law_of("offset_binary", charged, (0.4,) * 8),))
        read = qc.read_back(codes, profile, seed=1)
        assert not np.any((read ^ codes) & (codes if charged == 0 else ~codes))
        assert np.any(read != codes)


@every_polarity
@pytest.mark.parametrize("protected", [(), (4,), (3, 4), (1, 3)])
def test_correction_of_a_layer_is_that_of_all_flips(encoding: str, charged: int, protected: tuple[int, ...]) -> None:
    """Factor: inverse slope of a line through every stored weight; offset: the mean read is the mean written."""
    weights = np.random.default_rng(3).normal(0.02, 0.25, 400)
    layer = ProtectedLayer.unprotected("w", weights, law_of(encoding, charged)).protected(len(protected), 0, protected)
    read = {word: moments(word, encoding, charged, RATES, frozenset(protected))[0] for word in range(2**BITS)}

    def means(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = words.reshape(-1).tolist()
        return np.array([decoded(word, encoding) for word in flat]), np.array([read[word] for word in flat])

    assert layer.own_factor == pytest.approx(1 / np.polyfit(*means(layer.plain.words), 1)[0], rel=1e-9)
    for start in (NOTHING, layer.centred(NOTHING)):
        chosen = layer.centred(start)
        written, _ = means(layer.plain.words)
        _, after = means(layer.stored(chosen).words)
        assert chosen.offset == pytest.approx(written.mean() - after.mean(), rel=0, abs=1e-14)


@every_polarity
def test_what_a_plan_predicts_is_the_sum_over_its_stored_words(
    tiny_workload: qc.Workload, encoding: str, charged: int
) -> None:
    card = card_of(encoding, charged)
    flip = qc.flip_probability(card)
    rates = (float(flip.probability),) * BITS
    plan = qc.plan(tiny_workload, "tac", flip, 0.35)
    assert any(plan.depths.values())
    expected = 0.0
    for layer in plan.layers:
        protected = frozenset(layer.codec.protected_planes)
        words = layer.codec.encode(tiny_workload.weights[layer.name]).reshape(-1).tolist()
        spread = sum(moments(word, encoding, charged, rates, protected)[1] for word in words)
        expected += layer.jacobian_gain**2 * layer.scale**2 * spread
    assert plan.predicted_variance == pytest.approx(expected, rel=1e-10)
    assert laws_for(tiny_workload, plan, flip)[plan.layers[0].name].one_to_zero.any() == (charged == 1)


@every_polarity
def test_the_best_planes_are_the_best_of_all_sets(encoding: str, charged: int) -> None:
    """Every set of planes, by enumeration, for weights of three shapes and one of planes with rates of their own."""
    for seed, rates in itertools.product(range(3), (RATES, (0.1,) * BITS)):
        weights = np.random.default_rng(seed).normal(0.0, 0.1 + 0.1 * seed, 300)
        law = law_of(encoding, charged, rates)
        counts = np.bincount(law.format.quantise(weights), minlength=2**BITS)

        def left(planes: tuple[int, ...]) -> float:
            found = [moments(word, encoding, charged, rates, frozenset(planes))[1] for word in range(2**BITS)]  # noqa: B023
            return float(counts @ np.array(found)) / counts.sum()  # noqa: B023

        by_depth = variance_by_depth(law, counts, best_planes(law, counts))
        for depth in range(BITS + 1):
            least = min(map(left, itertools.combinations(range(BITS), depth)))
            assert by_depth[depth] == pytest.approx(least, rel=1e-9, abs=1e-18)


def test_small_weights_in_sign_magnitude_are_best_protected_below_the_top() -> None:
    """Charge loss, one rate: few weights hold a charge in plane 6, so that plane 5 comes before it."""
    law = law_of("sign_magnitude", 1, (0.1,) * 8)
    counts = np.bincount(law.format.quantise(np.random.default_rng(0).normal(0.0, 0.16, 20_000)), minlength=256)
    order = best_planes(law, counts)
    assert order.index(5) < order.index(6)
    assert mean_variance(law.without(order[:2]), counts) < 0.8 * mean_variance(law.protect(2), counts)


def gaussian(sigma: float) -> np.ndarray:
    """Shares of the levels -128..127 among rounded and clipped Gaussian weights of this standard deviation."""
    edges = np.concatenate([[-np.inf], np.arange(-127.5, 127), [np.inf]])
    return np.diff([0.5 * math.erfc(-edge / sigma / math.sqrt(2.0)) for edge in edges])


def error_in_steps(encoding: str, down: float, up: float, sigma: float) -> float:
    """E[(w' - w)^2] in squared steps of int8 weights."""
    form = BitFormat(8, encoding)  # type: ignore[arg-type]
    levels = np.maximum(np.arange(-128, 128), form.lowest_level)
    law = ReadLaw(CellLaw("default", form, np.full(8, down), np.full(8, up)))
    codes = form.levels_to_codes(levels)
    return float(gaussian(sigma) @ (law.variance(codes) + law.drift(codes) ** 2)) / form.step**2


@pytest.mark.parametrize(("encoding", "down", "up", "sigma", "error"), [
    ("twos_complement", 0.1, 0.1, 16, 1976), ("twos_complement", 0.1, 0.0, 16, 961),
    ("twos_complement", 0.0, 0.1, 16, 1010), ("twos_complement", 0.1, 0.1, 32, 2007),
    ("twos_complement", 0.1, 0.0, 32, 982), ("twos_complement", 0.0, 0.1, 32, 1004),
    ("sign_magnitude", 0.1, 0.0, 16, 63), ("sign_magnitude", 0.1, 0.0, 32, 252),
])
def test_error_of_gaussian_int8_weights(encoding: str, down: float, up: float, sigma: float, error: float) -> None:
    """Published from 2e5 drawn weights: two to four digits; drawing leaves a standard error of about 0.3 %."""
    assert error_in_steps(encoding, down, up, sigma) == pytest.approx(error, rel=0.008)


@pytest.mark.parametrize(("down", "up", "slope", "intercept"), [(0.1, 0.1, 0.8, -0.1), (0.1, 0.0, 0.9, 0.0)])
def test_read_mean_of_twos_complement_is_a_line(down: float, up: float, slope: float, intercept: float) -> None:
    """In steps, as int8 numbers: symmetric flips shrink by 1 - 2p, charge loss by 1 - p."""
    form = BitFormat(8, "twos_complement")
    law = ReadLaw(CellLaw("default", form, np.full(8, down), np.full(8, up)))
    levels = law.values / form.step
    np.testing.assert_allclose(law.conditional_mean() / form.step, slope * levels + intercept, rtol=0, atol=1e-12)
