"""Words as channels, against every stored word with every flip pattern and against flips that are drawn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat, plain_bits
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.transition import expected_values, received_mass, transition_matrix
from qtaml_codesign.errors import InputError

RANDOM = np.random.default_rng(11)


def uneven(bits: int, encoding: str = "offset_binary") -> CellLaw:
    """Another rate for every plane and direction."""
    rates = np.random.default_rng(bits).uniform(0.0, 0.6, (2, bits))
    return CellLaw("default", BitFormat(bits, encoding), *rates)


def enumerated(law: CellLaw) -> np.ndarray:
    """P(read | stored) by multiplying out the cells of every stored word under every flip pattern."""
    bits = law.format.bits
    found = np.zeros((2**bits, 2**bits))
    for stored, flips in itertools.product(range(2**bits), repeat=2):
        rates = [law.one_to_zero[i] if stored >> i & 1 else law.zero_to_one[i] for i in range(bits)]
        found[stored, stored ^ flips] = math.prod(
            rate if flips >> i & 1 else 1.0 - rate for i, rate in enumerate(rates)
        )
    return found


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_all_three_equal_the_enumeration(bits: int) -> None:
    law, values = uneven(bits), RANDOM.normal(size=(3, 2**bits))
    matrix = enumerated(law)
    np.testing.assert_allclose(transition_matrix(law), matrix, rtol=1e-13, atol=0)
    np.testing.assert_allclose(expected_values(law, values), values @ matrix.T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(received_mass(law, values), values @ matrix, rtol=0, atol=1e-13)
    np.testing.assert_allclose(expected_values(law, values[0]), matrix @ values[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("depth", [0, 2])
def test_plain_numbers_have_the_moments_of_their_closed_forms(encoding: str, depth: int) -> None:
    law = uneven(7, encoding)
    plain = ReadLaw(law, depth)
    first, second = expected_values(law.protect(depth), [plain.values, plain.values**2])
    np.testing.assert_allclose(first, plain.conditional_mean(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(second - first**2, plain.variance(), rtol=0, atol=1e-14)
    for word in (0, 77, 127):
        received = received_mass(law.protect(depth), np.arange(128) == word)
        np.testing.assert_allclose(received, plain.code_probabilities(word), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("block", "spread"), [(1, 0.0), (4, 0.0), (1, 0.8)])
def test_drawn_flips_have_this_law(block: int, spread: float) -> None:
    """The mean of a table over 200 000 read words: a z-test of 1e-9, which sees a bias of 0.02 standard deviations."""
    law = CellLaw("default", BitFormat(6), RANDOM.uniform(0.05, 0.2, 6), RANDOM.uniform(0.0, 0.1, 6), (), block, spread)
    values, word, count = RANDOM.normal(size=64), 0b101101, 200_000
    read = draw_flips(np.full(count, word, np.uint8), law, 0, flip_key(11, "w"), 0).codes
    first, second = expected_values(law, [values, values**2])[:, word]
    z = (values[read].mean() - first) / math.sqrt((second - first**2) * block / count)
    assert abs(z) < stats.norm.isf(0.5e-9)


def test_a_word_of_one_cell_is_a_format_and_no_plain_number() -> None:
    assert [BitFormat(1).code_count, BitFormat(1).codes_to_levels([0, 1]).tolist()] == [2, [-1, 0]]
    for refused in (lambda: plain_bits(1), lambda: qc.plan("small-cnn", flip_probability=0.1, budget=0.05, bits=1),
                    lambda: qc.read_back(np.zeros(2, np.uint8), 0.1, bits=1), lambda: BitFormat(0)):
        with pytest.raises(InputError, match="bits"):
            refused()
