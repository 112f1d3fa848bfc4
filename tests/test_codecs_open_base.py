"""Words whose open planes are digits of another base: by hand, digit by digit, and against every flip of every word."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat, Encoding
from qtaml_codesign.bits.transition import read_moments, transition_matrix
from qtaml_codesign.codecs.channel_protected import ChannelProtected
from qtaml_codesign.codecs.open_base import word_values
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from tests.in_memory import uniform, value_by_digits

BASES = (1.0, 1.25, 1.5, 2.0)
LAW = CellLaw("default", BitFormat(5), np.linspace(0.05, 0.3, 5), np.linspace(0.2, 0.0, 5))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize("base", BASES)
def test_every_word_is_worth_its_digits(encoding: Encoding, depth: int, base: float) -> None:
    form = BitFormat(5, encoding)
    by_hand = [float(value_by_digits(word, form, depth, Fraction(base))) for word in range(32)]
    found = word_values(form, depth, base)
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-15)
    levels = form.codes_to_levels(np.arange(32)) / 16
    assert (found.min(), found.max()) == pytest.approx((levels.min(), levels.max()), rel=1e-15)
    if base == 2.0 or depth >= 4:
        np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("base", BASES)
def test_mean_and_variance_are_those_over_every_flip(encoding: Encoding, base: float) -> None:
    law = replace(LAW, format=BitFormat(5, encoding))
    for depth in range(6):
        values, chances = word_values(law.format, depth, base), transition_matrix(law.protect(depth))
        mean, variance = read_moments(law.protect(depth), values)
        np.testing.assert_allclose(mean, chances @ values, rtol=1e-12, atol=1e-14)
        by_hand = (chances * (values - mean[:, None]) ** 2).sum(axis=1)
        np.testing.assert_allclose(variance, by_hand, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rate", [1e-300, 1e-12, 0.3])
def test_the_variance_of_rare_flips_keeps_its_precision(rate: float) -> None:
    """Symmetric flips of digits u_i: p (1 - p) sum u_i^2, and p (1 - p) D^2 (4^B - 1) / 3 in base 2 (theorem A.11)."""
    for base in BASES:
        form = BitFormat(8)
        digits = [float(value_by_digits(1 << plane, form, 0, Fraction(base)) + 1) for plane in range(8)]
        _, variance = read_moments(uniform(rate, form), word_values(form, 0, base))
        np.testing.assert_allclose(variance, rate * (1 - rate) * np.square(digits).sum(), rtol=1e-10, atol=0)
        if base == 2.0:
            np.testing.assert_allclose(variance, rate * (1 - rate) * (4**8 - 1) / 3 / 128**2, rtol=1e-12, atol=0)


def test_what_is_read_is_the_digits_of_the_words_that_were_written() -> None:
    form, base = BitFormat(4), 1.25
    weights = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    codec = ChannelProtected(form, (2.0, 3.0), (1.5, 2.0), (0.5, 0.0), 1, base=base)
    values = np.array([float(value_by_digits(word, form, 1, Fraction(base))) for word in range(16)])
    words = codec.encode(weights)
    distance = np.abs(values - (weights / np.array([[2.0], [3.0]]))[..., None])
    chosen = np.take_along_axis(distance, words[..., None].astype(np.int64), -1)[..., 0]
    assert (chosen <= distance.min(-1) + 1e-15).all()
    read = deploy({"w": weights}, {"w": codec}, {"w": uniform(1.0, form)}).prepare(0).read(0).weights["w"]
    gain, offset = np.array([[[1.5], [2.0]], [[0.5], [0.0]]], np.float32)
    np.testing.assert_array_equal(read.numpy(), values.astype(np.float32)[words ^ 0b0111] * gain + offset)


def test_the_base_is_written_counted_and_checked() -> None:
    plain = ChannelProtected(BitFormat(4), (1.0,), (1.0,), (0.0,), 1)
    codec = replace(plain, base=1.25)
    assert codec_from_json(json.loads(json.dumps(codec.to_json()))) == codec != plain
    assert "base" not in plain.to_json()
    assert codec.metadata_bits == plain.metadata_bits + 32
    assert codec.summary == "1 of 4 planes protected, the others in base 1.25, scale by row"
    wrong: Any
    for wrong in (0.99, 2.01, float("nan")):
        with pytest.raises(InputError, match="base of the open planes"):
            replace(codec, base=wrong)
