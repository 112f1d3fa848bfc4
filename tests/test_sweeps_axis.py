"""Where knots may lie: the same places for every card whose cells are alike, a path of its own for any other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.sweeps.axis import FINEST, FlipAxis, ThicknessAxis, axis_for, middle

GRID = np.array([1.72, 1.765, 1.9, 2.2])


def dyadic_level(value):
    """Power of two of the denominator; minus that of the numerator's even part for whole numbers; slow twin's ruler."""
    exact = Fraction(value)
    if exact == 0:
        return -99
    level = exact.denominator.bit_length() - 1
    return level or -((exact.numerator & -exact.numerator).bit_length() - 1)


@given(st.integers(-2**14, 2**10), st.integers(1, 2**12))
def test_middle_is_the_coarsest_dyadic_number_inside(start, width):
    lower, upper = start * FINEST, (start + width) * FINEST
    inside = [Fraction(number, 32) for number in range(2 * start + 1, 2 * (start + width))]
    coarsest = min(dyadic_level(value) for value in inside)
    found = middle(lower, upper)
    assert lower < found < upper
    assert dyadic_level(found) == coarsest
    assert Fraction(found) == max(value for value in inside if dyadic_level(value) == coarsest)


def test_two_cards_with_cells_alike_ask_for_the_same_rates_to_the_last_bit():
    first, second = (axis_for(qc.load_card(name)) for name in ("3nm", "5nm"))
    assert isinstance(first, FlipAxis)
    for x in (-40.0, -3.0625, 0.0, 0.5):
        assert first.profile(x) == second.profile(x)
        assert first.profile(x).regions[0].zero_to_one.tolist() == [2.0 ** (x - 1.0)] * 8


def test_the_flip_axis_and_the_physics_agree():
    card = qc.load_card("3nm")
    axis = axis_for(card)
    for thickness, x in zip(GRID, axis.coordinates(GRID), strict=True):
        exact = qc.flip_probability(card, thickness)
        assert axis.flip_probability(x) == pytest.approx(exact.probability, rel=1e-13, abs=0.0)
        assert axis.thickness_nm(x) == pytest.approx(thickness, rel=1e-12, abs=0.0)
        np.testing.assert_allclose(axis.profile(x).regions[0].one_to_zero, exact.by_plane, rtol=1e-13, atol=0.0)


def test_charge_loss_flips_in_one_direction_only():
    axis = axis_for(qc.load_card("3nm").with_field("flips", "charge_loss"))
    assert isinstance(axis, FlipAxis)
    region = axis.profile(-2.0).regions[0]
    assert {tuple(region.one_to_zero), tuple(region.zero_to_one)} == {(0.125,) * 8, (0.0,) * 8}


def test_rates_that_underflow_still_have_a_direction_and_a_place():
    axis = axis_for(qc.load_card("sram_6t"))
    assert axis.coordinates(np.array([3.0])).tolist() == [-1000.0]
    assert axis.ends(-1000.0, -1000.0)[0] == -1024.0
    assert axis.profile(-4.0).regions[0].one_to_zero.tolist() == [2.0**-5] * axis.profile(-4.0).regions[0].format.bits


@pytest.mark.parametrize(("lowest", "highest", "ends"), [
    (-39.7, -0.4, (-64.0, -0.25)), (-8.0, -2.0, (-8.0, -2.0)), (-0.01, -0.01, (-0.0625, 0.0)),
    (-3.0, 0.3, (-4.0, 1.0)), (0.2, 0.8, (0.0, 1.0)),
])
def test_ends_are_powers_of_two_outwards(lowest, highest, ends):
    assert axis_for(qc.load_card("3nm")).ends(lowest, highest) == ends


def mixed_card():
    return qc.load_card("3nm").with_field("bit_planes", {7: {"barrier": {"thickness_nm": 2.1}}})


def test_a_card_with_several_kinds_of_cells_goes_its_own_way():
    card = mixed_card()
    axis = axis_for(card)
    assert isinstance(axis, ThicknessAxis)
    x = axis.coordinates(GRID)
    assert (np.diff(x) < 0.0).all()
    assert axis.ends(float(x.min()), float(x.max())) == (x.min(), x.max())
    for thickness, place in zip(GRID, x, strict=True):
        expected = BitErrorProfile.from_flip_probability(qc.flip_probability(card, axis.thickness_nm(place)))
        assert axis.thickness_nm(place) == pytest.approx(thickness, rel=1e-15, abs=0.0)
        assert axis.profile(place) == expected
        assert axis.flip_probability(place) == qc.flip_probability(card, axis.thickness_nm(place)).probability
    assert 0.5 < (x[0] - x[1]) / np.log2(axis.flip_probability(x[0]) / axis.flip_probability(x[1])) < 2.0
