"""Where knots may lie: the same places for every card whose cells are alike, a path of its own for any other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.sweeps.coordinates import OctaveCoordinate, ThicknessCoordinate, coordinate_for
from qtaml_codesign.sweeps.curve import FINEST, middle

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
    first, second = (coordinate_for(qc.load_card(name)) for name in ("3nm", "5nm"))
    assert isinstance(first, OctaveCoordinate)
    for x in (-40.0, -3.0625, 0.0, 0.5):
        assert first.place(x).profile == second.place(x).profile
        assert first.place(x).profile.regions[0].zero_to_one.tolist() == [2.0 ** (x - 1.0)] * 8


def test_the_coordinate_and_the_physics_agree():
    card = qc.load_card("3nm")
    coordinate = coordinate_for(card)
    for thickness, x in zip(GRID, coordinate.at(GRID), strict=True):
        exact = qc.flip_probability(card, thickness)
        assert coordinate.place(x).flip_probability == pytest.approx(exact.probability, rel=1e-13, abs=0.0)
        assert coordinate.thickness_nm(x) == pytest.approx(thickness, rel=1e-12, abs=0.0)
        rates = coordinate.place(x).profile.regions[0].one_to_zero
        np.testing.assert_allclose(rates, exact.by_plane, rtol=1e-13, atol=0.0)


def test_charge_loss_flips_in_one_direction_only():
    coordinate = coordinate_for(qc.load_card("3nm").with_field("flips", "charge_loss"))
    assert isinstance(coordinate, OctaveCoordinate)
    region = coordinate.place(-2.0).profile.regions[0]
    assert {tuple(region.one_to_zero), tuple(region.zero_to_one)} == {(0.125,) * 8, (0.0,) * 8}


def test_rates_that_underflow_still_have_a_direction_and_a_place():
    coordinate = coordinate_for(qc.load_card("sram_6t"))
    assert coordinate.at(np.array([3.0])).tolist() == [-1000.0]
    assert coordinate.ends(-1000.0, -1000.0)[0] == -1024.0
    law = coordinate.place(-4.0).profile.regions[0]
    assert law.one_to_zero.tolist() == [2.0**-5] * law.format.bits


@pytest.mark.parametrize(("lowest", "highest", "ends"), [
    (-39.7, -0.4, (-64.0, -0.25)), (-8.0, -2.0, (-8.0, -2.0)), (-0.01, -0.01, (-0.0625, 0.0)),
    (-3.0, 0.3, (-4.0, 1.0)), (0.2, 0.8, (0.0, 1.0)),
])
def test_ends_are_powers_of_two_outwards(lowest, highest, ends):
    assert coordinate_for(qc.load_card("3nm")).ends(lowest, highest) == ends


def mixed_card():
    return qc.load_card("3nm").with_field("bit_planes", {7: {"barrier": {"thickness_nm": 2.1}}})


def test_a_card_with_several_kinds_of_cells_goes_its_own_way():
    card = mixed_card()
    coordinate = coordinate_for(card)
    assert isinstance(coordinate, ThicknessCoordinate)
    x = coordinate.at(GRID)
    assert (np.diff(x) < 0.0).all()
    assert coordinate.ends(float(x.min()), float(x.max())) == (x.min(), x.max())
    for thickness, one in zip(GRID, x, strict=True):
        flips, place = qc.flip_probability(card, coordinate.thickness_nm(one)), coordinate.place(one)
        assert coordinate.thickness_nm(one) == pytest.approx(thickness, rel=1e-15, abs=0.0)
        assert place.profile == BitErrorProfile.from_flip_probability(flips)
        assert place.flip_probability == flips.probability
    first, second = (coordinate.place(one).flip_probability for one in x[:2])
    assert 0.5 < (x[0] - x[1]) / np.log2(first / second) < 2.0


def test_an_interpolated_sweep_measures_at_knots_that_other_ranges_share(tiny):
    found = qc.sweep(tiny, "3nm", [1.74, 1.9], [0.3], ["tac"], trials=2, interpolate=True).knots
    x = np.log2(2.0 * found.flip_probability.to_numpy())
    assert len(x) > 3
    assert (x % FINEST == 0.0).all()
