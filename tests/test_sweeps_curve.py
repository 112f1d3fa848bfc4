"""Curves between knots: on curves whose truth is known, the interval holds it, and knots go where they are needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qtaml_codesign.nets.metric import METRICS
from qtaml_codesign.sweeps.curve import FINEST, Curve, Knot, starting_knots

X = np.linspace(-8.0, 0.0, 2001)
P = 2.0 ** (X - 1.0)


def collapse(x, centre=-2.0, width=0.5):
    """An accuracy that falls from 0.98 to 0.1."""
    return 0.1 + 0.88 / (1.0 + math.exp((x - centre) / width))


def knot(x, law=collapse, half=0.0, plan="plan", trials=10):
    middle = law(x)
    return Knot(x, middle, middle - half, middle + half, half, trials, 0.05, 2.0 ** (x - 1.0), 2.0 ** (x - 1.0), plan)


def refined(law=collapse, threshold=0.93, half_width=0.01, half=0.0, plan_of=lambda x: "plan", **options):
    places = set(starting_knots(-8.0, 0.0))
    while True:
        curve = Curve(tuple(knot(x, law, half, plan_of(x)) for x in sorted(places)))
        wanted = curve.to_split(threshold, half_width, **options)
        if not wanted:
            return curve
        assert not places & set(wanted)
        places |= set(wanted)


@pytest.mark.parametrize("centre", [-6.0, -2.0, -0.3])
@pytest.mark.parametrize("width", [0.15, 0.5, 1.5])
def test_the_interval_holds_the_truth_everywhere_and_is_as_narrow_as_asked(centre, width):
    curve = refined(lambda x: collapse(x, centre, width))
    truth = np.array([collapse(x, centre, width) for x in X])
    found = curve.between(X, P)
    assert (np.abs(found.value - truth) <= 0.015).all()
    assert ((found.low <= truth + 1e-12) & (truth <= found.high + 1e-12)).all()
    assert (found.high - found.low <= 2.0 * 1.5 * 0.01 + 1e-9).all()


def test_more_knots_where_it_bends():
    x = np.array([one.x for one in refined().knots])
    assert ((x > -4.0) & (x < -0.5)).sum() > 2 * (x <= -4.0).sum()


def test_the_crossing_alone_is_bisection():
    curve = refined(everywhere=False)
    x = np.array([one.x for one in curve.knots])
    crossing = X[np.argmax(np.array([collapse(one) for one in X]) < 0.93)]
    last = np.searchsorted(x, crossing)
    assert len(x) <= 2 + 3 + math.log2(1.0 / FINEST)
    assert abs(np.interp(0.93, [collapse(x[last]), collapse(x[last - 1])], [x[last], x[last - 1]]) - crossing) < 0.01


def test_both_ends_of_the_interval_are_looked_for():
    wide = refined(half=0.04, everywhere=False)
    x = np.array([one.x for one in wide.knots])
    for level in (0.93 - 0.04, 0.93, 0.93 + 0.04):
        place = X[np.argmax(np.array([collapse(one) for one in X]) < level)]
        gap = np.diff(x)[np.searchsorted(x, place) - 1]
        error = np.interp(place, x, [one.value for one in wide.knots]) - collapse(place)
        assert gap <= 0.5, level
        assert abs(error) <= 0.006, level


def test_a_change_of_plan_is_never_interpolated_across():
    def jump(x):
        return collapse(x) - (0.05 if x >= -5.3 else 0.0)

    curve = refined(jump, plan_of=lambda x: x >= -5.3)
    truth = np.array([jump(x) for x in X])
    found = curve.between(X, P)
    assert ((found.low <= truth + 1e-12) & (truth <= found.high + 1e-12)).all()
    across = np.array([one.x < -5.3 <= two.x for one, two in zip(curve.knots, curve.knots[1:], strict=False)])
    gap = np.diff([one.x for one in curve.knots])[across]
    assert gap.tolist() == [FINEST]


def test_on_a_knot_its_own_figures_come_back():
    curve = Curve(tuple(replace(knot(x, half=0.01, trials=10 + index), overhead=0.01 * index)
                        for index, x in enumerate((-3.0, -2.5, -2.0, -1.5))))
    x = np.array([one.x for one in curve.knots])
    found = curve.between(x, 2.0 ** (x - 1.0))
    for name in ("value", "low", "high", "trials", "overhead", "nominal_ber"):
        assert getattr(found, name).tolist() == pytest.approx([getattr(one, name) for one in curve.knots], rel=1e-12)


def test_between_two_knots_the_smaller_number_of_trials_and_the_larger_overhead_count():
    curve = Curve((knot(-3.0, trials=40), replace(knot(-2.5, trials=10), overhead=0.2), knot(-2.0, trials=80)))
    found = curve.between(np.array([-2.75, -2.25]), 2.0 ** np.array([-3.75, -3.25]))
    assert (found.trials.tolist(), found.overhead.tolist()) == ([10, 10], [0.2, 0.2])


def test_the_expected_bit_error_rate_runs_with_the_flip_probability():
    curve = Curve((knot(-3.0), knot(-2.0), knot(-1.0)))
    p = np.linspace(2.0**-4, 2.0**-2, 7)
    np.testing.assert_allclose(curve.between(np.log2(2.0 * p), p).nominal_ber, p, rtol=1e-12, atol=0.0)


def test_where_other_planes_are_protected_the_expected_bit_error_rate_steps_between_the_closest_knots():
    share = {"one": 1.0, "two": 0.9}

    def with_share(x):
        plan = "one" if x < -5.3 else "two"
        return replace(knot(x, law=lambda x: 0.5, plan=plan), nominal_ber=share[plan] * 2.0 ** (x - 1.0))

    places = set(starting_knots(-8.0, 0.0))
    while wanted := Curve(tuple(map(with_share, sorted(places)))).to_split(0.7, 0.01):
        places |= set(wanted)
    step = [(low, high) for low, high in zip(sorted(places), sorted(places)[1:], strict=False) if low < -5.3 <= high]
    assert step[0][1] - step[0][0] == FINEST
    x = np.arange(-8.0, -3.5, 0.5)
    found = Curve(tuple(map(with_share, (-8.0, -6.0, -5.0, -4.0)))).between(x, p := 2.0 ** (x - 1))
    np.testing.assert_allclose(found.nominal_ber / p, [1.0] * 5 + [np.nan] + [0.9] * 3, rtol=1e-12, atol=0.0)
    coded = Curve((with_share(-8.0), with_share(0.0)), finds_steps=False)
    assert coded.to_split(0.7, 0.01) == []
    share["two"] = 0.96  # too small a step to be looked for
    assert Curve((with_share(-8.0), with_share(0.0))).to_split(0.7, 0.01) == []
    assert Curve((with_share(-8.0), with_share(0.0))).to_split(0.7, 0.01, everywhere=False) == []


def test_cells_outside_the_range_are_left_alone():
    curve = Curve(tuple(knot(x) for x in (-8.0, -4.0, 0.0)))
    assert curve.to_split(0.93, 0.01, within=(-3.0, 0.0)) == [-2.0]
    assert curve.to_split(0.93, 0.01, within=(-8.0, -5.0)) == [-6.0]


def test_wide_intervals_ask_for_fewer_knots():
    assert len(refined(half=0.1, threshold=2.0).knots) < len(refined(half=0.0, threshold=2.0).knots)


def test_one_thickness_has_two_knots():
    assert starting_knots(-2.0, -2.0) == (-2.0 - FINEST, -2.0)


def test_far_knots_leave_room_for_what_they_do_not_see():
    """Two plans: the intervals of both knots, and the half-width asked for on either side; on a knot its own."""
    curve = Curve((knot(-3.0, lambda x: 0.9, half=0.01, plan=1), knot(-2.0, lambda x: 0.8, half=0.02, plan=2)))
    found = curve.between(np.array([-3.0, -2.5]), 2.0 ** np.array([-4.0, -3.5]), half_width=0.005)
    assert found.low.tolist() == pytest.approx([0.89, 0.78 - 0.005], rel=1e-12)
    assert found.high.tolist() == pytest.approx([0.91, 0.91 + 0.005], rel=1e-12)


def test_the_crossings_of_the_interval_over_samples_are_bisected_too():
    """Ends that a constant half-width moves; the cells where they cross must be straight to the half-width."""
    def curve_of(half, places):
        return Curve(tuple(replace(knot(x), image_half_width=half) for x in sorted(places)))

    def settled(half):
        places = set(starting_knots(-8.0, 0.0))
        while wanted := curve_of(half, places).to_split(0.7, 0.01, everywhere=False):
            places |= set(wanted)
        return places

    narrow, wide = settled(0.0), settled(0.2)
    assert narrow < wide
    for level in (0.5, 0.9):
        across = -2.0 + 0.5 * math.log(0.88 / (level - 0.1) - 1.0)
        cell = [max(x for x in wide if x <= across), min(x for x in wide if x > across)]
        found = np.interp(across, cell, [collapse(x) for x in cell])
        assert abs(found - level) <= 0.01


def test_the_half_width_over_samples_lies_between_those_of_the_knots():
    widths = {-1.0: 0.02, -0.5: 0.04, 0.0: 0.01}
    curve = Curve(tuple(replace(knot(x), image_half_width=half) for x, half in widths.items()))
    x = np.array([-1.0, -0.75, -0.5, -0.25, 0.0])
    found = curve.between(x, 2.0 ** (x - 1.0)).image_half_width
    assert found.tolist() == pytest.approx([0.02, 0.03, 0.04, 0.025, 0.01])
    steps = Curve(tuple(replace(one, plan=one.x) for one in curve.knots))
    found = steps.between(x, 2.0 ** (x - 1.0)).image_half_width
    assert found.tolist() == pytest.approx([0.02, 0.04, 0.04, 0.04, 0.01])


def test_infinite_values_are_divided_from_the_finite_ones_and_lie_in_no_finite_interval():
    """A loss that breaks at -2.3, where no value keeps the target: that cell is split to the finest, none beyond is."""
    loss = replace(METRICS["mae"], name="loss")

    def curve_of(places):
        knots = (knot(x, lambda at: 1.0 if at < -2.3 else np.inf) for x in sorted(places))
        return Curve(tuple(knots), loss, target=1.05)

    places = {-8.0, -4.0, 0.0}
    while wanted := curve_of(places).to_split(0.5, 0.01, within=(-8.0, -1.0)):
        places |= set(wanted)
    curve = curve_of(places)
    apart = [(one.x, two.x) for one, two in zip(curve.knots, curve.knots[1:], strict=False) if two.value > one.value]
    assert [(one < -2.3 <= two, two - one) for one, two in apart] == [(True, FINEST)]
    assert len(places) < 12
    x = np.array([-5.0, sum(apart[0]) / 2.0, apart[0][0], apart[0][1], -0.5])
    found = curve.between(x, 2.0 ** (x - 1.0), 0.01)
    assert found.value.tolist() == [1.0, np.inf, 1.0, np.inf, np.inf]
    assert found.high.tolist()[1] == np.inf
    assert found.low.tolist()[1] <= 1.0
