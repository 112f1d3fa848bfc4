"""Scale and readout of every row: against all flips of all words, least squares and a search over scales."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.codecs.channel_protected import ChannelProtected
from qtaml_codesign.tac.row_stores import (
    CLIPS,
    RowParts,
    TensorRows,
    best_bases,
    conditional_readout,
    expected_error,
    floored,
)
from tests.in_memory import uniform, value_by_digits

Array = NDArray[np.float64]
ROWS, COLUMNS = 3, 40
LAW = CellLaw("default", BitFormat(4), np.array([0.05, 0.1, 0.2, 0.1]), np.array([0.1, 0.02, 0.1, 0.15]))
RATES = tuple(zip(LAW.zero_to_one.tolist(), LAW.one_to_zero.tolist(), strict=True))
EVERY = RowParts()


def a_tensor(parts: RowParts = EVERY, law: CellLaw = LAW) -> TensorRows:
    generator = np.random.default_rng(7)
    weights = generator.normal(0.3, [[0.5], [1.0], [2.0]], size=(ROWS, COLUMNS))
    return TensorRows(weights, generator.exponential(1.0, (ROWS, COLUMNS)), law, parts)


def enumerated(tensor: TensorRows, codec: ChannelProtected, row: int) -> float:
    """E sum of g (w - read)^2 of a row, by going through every pattern of flips of every weight."""
    law, form, error = tensor.law, tensor.law.format, 0.0
    part = ChannelProtected(form, codec.scale[row : row + 1], codec.gain[row : row + 1], codec.offset[row : row + 1],
                            codec.depth, codec.rates, codec.planes, codec.base)
    values = [float(value_by_digits(word, form, codec.depth, Fraction(codec.base))) for word in range(form.code_count)]
    for weight, gain, word in zip(tensor.weights[row], tensor.gains[row],
                                  part.encode(tensor.weights[row][None])[0].tolist(), strict=True):
        free = [plane for plane in range(form.bits) if plane not in codec.protected_planes]
        for flips in product((0, 1), repeat=len(free)):
            chance = 1.0
            for plane, flip in zip(free, flips, strict=True):
                rate = (law.one_to_zero if word >> plane & 1 else law.zero_to_one)[plane]
                chance *= rate if flip else 1.0 - rate
            flipped = sum(flip << plane for plane, flip in zip(free, flips, strict=True))
            error += gain * chance * (weight - codec.gain[row] * values[word ^ flipped] - codec.offset[row]) ** 2
    return float(error)


def held(tensor: TensorRows, depth: int) -> ChannelProtected:
    codec = tensor.store(np.full(ROWS, depth)).holding
    assert isinstance(codec, ChannelProtected)
    return codec


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("parts", [
    EVERY, RowParts(*[False] * 5), RowParts(row_scale=False), RowParts(nearest_mean=False)])
def test_the_error_of_a_row_is_that_over_all_flips(encoding: Any, parts: RowParts) -> None:
    tensor = a_tensor(parts, CellLaw("default", BitFormat(4, encoding), LAW.one_to_zero, LAW.zero_to_one))
    for depth in (0, 1, 4):
        codec = held(tensor, depth)
        by_hand = [enumerated(tensor, codec, row) for row in range(ROWS)]
        np.testing.assert_allclose(tensor.errors[depth], by_hand, rtol=1e-5)


def test_a_top_plane_that_hardly_flips_is_protected_last() -> None:
    rates = np.array([0.1, 0.1, 0.1, 1e-4])
    tensor = a_tensor(law=CellLaw("default", BitFormat(4), rates, rates))
    assert tensor.order == (2, 1, 0, 3)
    codec = held(tensor, 2)
    assert codec.protected_planes == (1, 2)
    assert codec.open_cells(codec.encode(tensor.weights)).sum(axis=0).tolist() == [ROWS * COLUMNS, 0, 0, ROWS * COLUMNS]
    np.testing.assert_allclose(tensor.errors[2], [enumerated(tensor, codec, row) for row in range(ROWS)], rtol=1e-5)
    assert ChannelProtected.from_json(codec.to_json()) == codec
    assert held(tensor, 4).planes == ()
    assert "planes" not in held(tensor, 4).to_json()


def test_the_scale_is_as_good_as_the_best_of_a_search() -> None:
    tensor = a_tensor(RowParts(open_base=False))

    def error(log_scale: Array, row: int, depth: int) -> float:
        scale = float(np.exp(log_scale).item())
        words = ChannelProtected(LAW.format, (scale,), (1.0,), (0.0,), depth, RATES).encode(
            tensor.weights[row][None])
        chances = transition(depth)[words[0]]
        levels = (np.arange(16) - 8) / 8
        mean, square = chances @ levels, chances @ levels**2
        root = np.sqrt(tensor.gains[row])
        columns = np.stack([mean, np.ones(COLUMNS)], axis=1)
        (gain, offset), *_ = np.linalg.lstsq(root[:, None] * columns, root * tensor.weights[row], rcond=None)
        gain = min(1.0, chosen_spread(mean, row) / chosen_mean(square - mean**2, row)) * gain
        offset = chosen_mean(tensor.weights[row] - gain * mean, row)
        deviation = (tensor.weights[row] - gain * mean - offset) ** 2 + gain**2 * (square - mean**2)
        return float(tensor.gains[row] @ deviation)

    def chosen_mean(values: Array, row: int) -> float:
        return float(np.average(values, weights=tensor.gains[row]))

    def chosen_spread(values: Array, row: int) -> float:
        return chosen_mean((values - chosen_mean(values, row)) ** 2, row)

    for depth in (0, 1, 2):
        for row in range(ROWS):
            largest = np.log(tensor.extent[row])
            grid = (largest + np.log(CLIPS[-1]), largest + np.log(CLIPS[0]))
            best = optimize.brute(error, [grid], (row, depth), Ns=2000, full_output=True, finish=None)[1]
            assert best * 0.9999 <= tensor.errors[depth, row] <= best * 1.06


def transition(depth: int) -> Array:
    """(16, 16) P(read | stored), bit by bit."""
    chances = np.ones((16, 16))
    for stored, read, plane in product(range(16), range(16), range(4)):
        rate = (LAW.one_to_zero if stored >> plane & 1 else LAW.zero_to_one)[plane] if plane < 4 - depth else 0.0
        chances[stored, read] *= rate if (stored ^ read) >> plane & 1 else 1.0 - rate
    return chances


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_base_is_that_of_least_error_on_a_gaussian_row(encoding: Any) -> None:
    """Error by the full matrix of flips over a finer grid of bases and of scales; no base of it is 3 % better."""
    law, row = uniform(0.1, BitFormat(6, encoding)), special.ndtri((np.arange(300) + 0.5) / 300)
    planes = 5 if encoding == "sign_magnitude" else 6

    def error(base: float, depth: int) -> float:
        chances, found = ReadLaw(law, depth).transition_matrix(), []
        values = np.array([float(value_by_digits(word, law.format, depth, Fraction(base))) for word in range(64)])
        mean, square = chances @ values, chances @ values**2
        for scale in np.geomspace(1.0, 5.0, 25):
            words = np.abs(mean - row[:, None] / scale).argmin(axis=1)
            m, v = mean[words], (square - mean**2)[words]
            gain = np.cov(m, row, bias=True)[0, 1] / max(m.var(), v.mean())
            found.append(((row - row.mean() - gain * (m - m.mean())) ** 2).mean() + gain**2 * v.mean())
        return min(found)

    for depth in (0, 2, 6):
        chosen = best_bases(law)[depth]
        assert error(chosen, depth) < 1.03 * min(error(base, depth) for base in np.linspace(1.0, 2.0, 7))
        assert chosen < 2.0 if depth < planes else chosen == 2.0


def test_the_base_of_cells_that_do_not_flip_is_two_and_no_base_beats_words_of_least_distortion() -> None:
    """A Gaussian row at p = 0.1: above 0.1075, the published distortion of channel-optimised words of 8 cells."""
    assert best_bases(uniform(0.0, BitFormat(8))) == (2.0,) * 9
    row = np.random.default_rng(1).normal(size=(1, 1000))
    plain, free = (TensorRows(row, np.ones_like(row), uniform(0.1, BitFormat(8)), RowParts(open_base=part)).errors[0]
                   / 1000 for part in (False, True))
    assert 0.1075 < free < 0.6 * plain


def test_noise_makes_the_best_scale_smaller_than_the_largest_weight() -> None:
    tensor = a_tensor()
    free, protected = (np.array(held(tensor, depth).scale) / tensor.extent for depth in (0, 4))
    assert (free < 0.8 * protected).all()


def test_the_readout_is_weighted_least_squares() -> None:
    generator = np.random.default_rng(2)
    weights, mean = generator.normal(size=(2, 5, 30))
    gains, variance = generator.exponential(1.0, (5, 30)), np.full((5, 30), 1e-9)
    mean = 0.7 * weights + 0.3 * mean + 0.2
    gain, offset = conditional_readout(weights, gains, mean, variance)
    for row in range(5):
        root = np.sqrt(gains[row])[:, None]
        columns = np.stack([mean[row], np.ones(30)], axis=1) * root
        wanted, *_ = np.linalg.lstsq(columns, root[:, 0] * weights[row], rcond=None)
        np.testing.assert_allclose([gain[row], offset[row]], wanted, rtol=1e-9)
    least = expected_error(weights, gains, mean, 0 * variance, gain, offset)
    for step in (-1e-3, 1e-3):
        assert (expected_error(weights, gains, mean, 0 * variance, gain + step, offset) > least).all()
        assert (expected_error(weights, gains, mean, 0 * variance, gain, offset + step) > least).all()


def test_a_row_of_which_only_noise_would_be_read_is_left_out() -> None:
    tensor = a_tensor(law=CellLaw("default", BitFormat(4), 0.5, 0.5))
    codec = held(tensor, 0)
    share = tensor.gains / tensor.gains.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(codec.gain, 0.0, atol=1e-12)
    np.testing.assert_allclose(codec.offset, (share * tensor.weights).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize(("noise", "wanted"), [(0.0, 0.1), (90.0, 0.1), (200.0, 0.05)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_no_more_noise_is_read_than_weight(noise: float, wanted: float, sign: float) -> None:
    weights = np.array([[-1.0, 0.0, 1.0]])
    mean, variance = sign * 10.0 * weights, np.full((1, 3), noise * 2.0 / 3.0)
    gain, _ = conditional_readout(weights, np.ones((1, 3)), mean, variance)
    np.testing.assert_allclose(gain, sign * wanted, rtol=1e-12)
    assert gain[0] ** 2 * variance[0, 0] <= np.var(weights)


def test_each_row_has_the_numbers_of_its_own_depth() -> None:
    tensor = a_tensor()
    mixed = tensor.store(np.array([0, 3, 0]))
    for row, depth in enumerate((0, 3, 0)):
        alone = held(tensor, depth)
        assert (mixed.scale[row], mixed.gain[row], mixed.offset[row]) == (
            alone.scale[row], alone.gain[row], alone.offset[row])
    assert mixed.holding.protected_bits(ROWS * COLUMNS) == 3 * COLUMNS


def test_weights_that_calibration_never_moves_keep_a_small_gain() -> None:
    assert floored(np.array([0.0, 0.0])).min() > 0.0
    assert floored(np.array([[0.0, 4.0]], np.float32)).tolist() == [[pytest.approx(0.2), 4.0]]
