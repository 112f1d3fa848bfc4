"""The WKB actions of all shapes: published numbers, quadrature in mpmath, and what must rise and fall."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.image_force import ImageForce
from qtaml_codesign.barriers.numeric import LEAST_ACTION
from qtaml_codesign.barriers.profile import Profile
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.barriers.stack import Layer, Stack
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.barriers.two_band import TwoBand
from qtaml_codesign.errors import InputError
from tests.barrier_oracles import wkb, wkb_of
from tests.physics_oracle import CHARGE, DECAY_PER_NM, relative

PLAIN = Rectangular(3.10, 0.05, 0.40)
TILTED = Trapezoidal(3.10, 0.05, 0.40, 0.65)
HIGH_K = Stack((Layer(3.10, 0.40, 3.9, 0.8), Layer(2.05, 0.11, 22.0)), 0.05)
TABLE = Profile(((0.0, 2.4), (0.2, 3.2), (0.2, 2.8), (0.7, 3.0), (1.0, 1.1)), 0.05, 0.4)
LOWERED = ImageForce(3.10, 0.05, 0.40, 3.9)
FRANZ = TwoBand(3.10, 0.05, 0.61, 9.0)
SHAPES: dict[str, Barrier] = {
    "rectangular": PLAIN, "trapezoidal": TILTED, "Fowler-Nordheim": replace(TILTED, bias_V=4.0), "stack": HIGH_K,
    "stack under bias": replace(HIGH_K, bias_V=1.2), "profile": TABLE, "profile under bias": replace(TABLE, bias_V=1.0),
    "image force": LOWERED, "image force under bias": replace(LOWERED, bias_V=0.65), "two bands": FRANZ,
}


def stack_pieces(stack: Stack, thickness_nm: float) -> list[tuple[float, float, float, float]]:
    """Layers in mpmath: the displacement is continuous."""
    widths = [mpf(layer.thickness_nm or thickness_nm) for layer in stack.layers]
    weights = [width / mpf(layer.relative_permittivity) for width, layer in zip(widths, stack.layers, strict=True)]
    above, pieces = mpf(0), []
    for layer, width, weight in zip(stack.layers, widths, weights, strict=True):
        fall = mpf(stack.bias_V) * weight / mp.fsum(weights)
        start = mpf(layer.height_eV) - mpf(stack.electron_energy_eV) - above
        pieces.append((start, start - fall, width, mpf(layer.effective_mass_m0)))
        above += fall
    return pieces


def profile_pieces(profile: Profile, thickness_nm: float) -> list[tuple[float, float, float, float]]:
    above = [(mpf(share), mpf(height) - mpf(profile.electron_energy_eV) - mpf(profile.bias_V) * mpf(share))
             for share, height in profile.points]
    return [(start, end, (after - before) * mpf(thickness_nm), mpf(profile.effective_mass_m0))
            for (before, start), (after, end) in pairwise(above) if after > before]


class TestTrapezoid:
    def test_the_published_action(self) -> None:
        assert float(TILTED.action(1.765)) == pytest.approx(18.8698444403401, rel=1e-14, abs=0.0)

    @pytest.mark.parametrize("bias", [0.3, 0.65, 1.0, 3.05, 3.5, 20.0])
    def test_quadrature(self, bias: float) -> None:
        """Direct, on the edge, and Fowler-Nordheim."""
        shape = replace(TILTED, bias_V=bias)
        piece = (mpf(3.10) - mpf(0.05), mpf(3.10) - mpf(0.05) - mpf(bias), 1.765, 0.40)
        assert relative(float(shape.action(1.765)), wkb_of([piece])) < 2e-15

    @pytest.mark.parametrize("bias", [0.0, 1e-300, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
    def test_no_digit_is_lost_near_no_bias(self, bias: float) -> None:
        """phi^3/2 - (phi - V)^3/2 would lose eps phi / V; S = S_0 (1 - V/(4 phi) - ...)."""
        shape, phi, fall = replace(TILTED, bias_V=bias), mpf(3.10) - mpf(0.05), mpf(bias)
        series = (1 - fall / (4 * phi) - (fall / phi)**2 / 24 - (fall / phi)**3 / 64)
        whole = 2 * DECAY_PER_NM * mp.sqrt(mpf(0.40) * phi) * mpf(1.765)
        assert relative(float(shape.action(1.765)), whole * series) < 2e-14
        assert replace(TILTED, bias_V=0.0).action(1.765) == pytest.approx(PLAIN.action(1.765), rel=1e-15, abs=0.0)

    @pytest.mark.parametrize(("height", "mass", "slope"), [(3.2, 0.42, 253.4), (3.10, 0.40, 235.8)])
    def test_slope_of_fowler_and_nordheim(self, height: float, mass: float, slope: float) -> None:
        """S = B / field; B in MV/cm to the four digits of the table."""
        shape = Trapezoidal(height, 0.0, mass, 8.0)
        assert shape.fowler_nordheim_MV_per_cm == pytest.approx(slope, abs=0.05)
        for thickness in (4.0, 8.0):
            assert shape.fowler_nordheim_MV_per_cm / shape.figures(thickness)["field in the oxide (MV/cm)"] == (
                pytest.approx(shape.action(thickness), rel=1e-14, abs=0.0))

    def test_the_mean_height_is_a_little_off(self) -> None:
        """T of the mean barrier is 1.1 % low at 0.65 V and 2.9 % at 1 V."""
        for bias, low in ((0.65, 0.011), (1.0, 0.029)):
            mean = Rectangular(3.10 - bias / 2.0, 0.05, 0.40).action(1.765)
            assert -math.expm1(replace(TILTED, bias_V=bias).action(1.765) - mean) == pytest.approx(low, abs=1e-3)


class TestStack:
    @pytest.mark.parametrize(("oxide", "hafnia", "height", "mass", "eot", "transmission", "equivalent", "less"), [
        (0.5, 1.6, 2.05, 0.11, 0.784, 1.60e-6, 1.179, 88), (0.7, 2.0, 2.05, 0.11, 1.055, 2.43e-8, 1.549, 270),
        (0.8, 2.0, 2.05, 0.11, 1.155, 7.83e-9, 1.649, 270), (0.8, 2.0, 1.5, 0.18, 1.155, 3.32e-9, 1.725, 637),
    ])
    def test_the_published_table(self, oxide: float, hafnia: float, height: float, mass: float, eot: float,
                                 transmission: float, equivalent: float, less: float) -> None:
        stack = Stack((Layer(3.10, 0.40, 3.9, oxide), Layer(height, mass, 22.0)), 0.05)
        found = stack.figures(hafnia)
        assert found["EOT (nm)"] == pytest.approx(eot, abs=6e-4)
        assert found["thickness of all layers (nm)"] == pytest.approx(oxide + hafnia, rel=1e-15)
        assert math.exp(-stack.action(hafnia)) == pytest.approx(transmission, rel=3e-3, abs=0.0)
        assert PLAIN.thickness_nm(stack.action(hafnia)) == pytest.approx(equivalent, abs=6e-4)
        of_equal_eot = PLAIN.action(found["EOT (nm)"])
        assert math.exp(stack.action(hafnia) - of_equal_eot) == pytest.approx(less, rel=6e-3)

    @pytest.mark.parametrize("bias", [0.0, 0.65, 3.0, 6.0])
    @pytest.mark.parametrize("swept", [0, 1])
    def test_quadrature(self, bias: float, swept: int) -> None:
        """From direct tunnelling through both layers to a bias that bends the second below the electron."""
        layers = (Layer(3.10, 0.40, 3.9, 0.8), Layer(2.05, 0.11, 22.0, 2.0))
        free = replace(layers[swept], thickness_nm=None)
        stack, thickness = Stack((free, layers[1]) if swept == 0 else (layers[0], free), 0.05, bias), (1.1, 1.9)[swept]
        assert relative(float(stack.action(thickness)), wkb_of(stack_pieces(stack, thickness))) < 4e-15

    def test_a_bias_falls_by_displacement(self) -> None:
        """0.8 nm of 3.9 beside 2 nm of 22: 69.3 % over the oxide."""
        land = replace(HIGH_K, bias_V=1.0).landscape(np.array([2.0]))
        assert (land.start_eV - land.end_eV)[0].tolist() == pytest.approx([0.69291, 0.30709], abs=1e-5)

    @pytest.mark.parametrize("free", [0, 2])
    def test_one_layer_is_swept(self, free: int) -> None:
        layers = tuple(Layer(3.1, 0.4, 3.9, None if place < free else 1.0) for place in range(2))
        with pytest.raises(InputError, match="which layer"):
            Stack(layers, 0.05)


def test_profile_against_quadrature() -> None:
    for bias in (0.0, 1.0, 2.5):
        shape = replace(TABLE, bias_V=bias)
        assert relative(float(shape.action(1.9)), wkb_of(profile_pieces(shape, 1.9))) < 4e-15
    flat = Profile(((0.0, 3.1), (0.3, 3.1), (1.0, 3.1)), 0.05, 0.4, 0.65)
    assert flat.action(1.765) == pytest.approx(TILTED.action(1.765), rel=1e-15)


class TestImageForce:
    @pytest.mark.parametrize(("permittivity", "times", "thinner"), [
        (2.13, 234, 0.48), (3.9, 27, 0.29), (8.0, 6.0, 0.16)])
    def test_the_published_factors(self, permittivity: float, times: float, thinner: float) -> None:
        lowered = replace(LOWERED, relative_permittivity=permittivity).action(1.765)
        assert math.exp(PLAIN.action(1.765) - lowered) == pytest.approx(times, rel=3e-3)
        assert 1.765 - PLAIN.thickness_nm(lowered) == pytest.approx(thinner, abs=5e-3)

    @pytest.mark.parametrize("permittivity", [2.13, 22.0])
    @pytest.mark.parametrize("bias", [0.0, 1e-9, 0.65, 2.9, 4.5])
    @pytest.mark.parametrize("thickness", [0.9, 1.765, 30.0])
    def test_quadrature(self, permittivity: float, bias: float, thickness: float) -> None:
        """Between the turning points, which are the roots of a cubic."""
        with mp.workdps(30):
            width, phi, fall = mpf(thickness), mpf(3.10) - mpf(0.05), mpf(bias)
            image = mpf("1.15") * CHARGE * mp.log(2) / (8 * mp.pi * mpf("8.8541878128e-12") * mpf(permittivity))
            depth = image / (width * mpf("1e-9"))
            cubic = [fall, -(fall + phi), phi, -depth][0 if bias else 1:]
            first, last = sorted(root.real for root in mp.polyroots(cubic, maxsteps=400, extraprec=400))[:2]

            def above(x: mpf) -> mpf:
                share = x / width
                return phi - fall * share - depth / (share * (1 - share))

            middle = (first + last) / 2
            breaks = [first, first * 2 if first * 2 < middle else (first + middle) / 2, middle, last]
            truth = wkb(above, 0.40, [place * width for place in breaks])
        found = ImageForce(3.10, 0.05, 0.40, permittivity, bias).action(thickness)
        assert relative(float(found), truth) < 1e-12

    def test_nothing_may_be_left(self) -> None:
        """Two tenths of a nanometre; the chain still has its numbers."""
        assert float(replace(LOWERED, relative_permittivity=2.13).action(0.2)) == LEAST_ACTION
        assert LOWERED.action(np.array([0.1, 0.15])).tolist() == [LEAST_ACTION] * 2


class TestTwoBand:
    def test_the_mass_of_the_parabolic_band(self) -> None:
        """At the band edge itself 0.61 m0 is 0.400 m0."""
        assert TwoBand(3.10, 0.0, 0.61, 9.0).parabolic_mass_m0 == pytest.approx(0.400, abs=2e-4)
        assert FRANZ.action(1.765) == pytest.approx(
            Rectangular(3.10, 0.05, FRANZ.parabolic_mass_m0).action(1.765), rel=1e-15)

    def test_mixing_the_masses(self) -> None:
        """0.40 m0 in the two-band formula: T 42 times too large at 1.765 nm, 89 times at 2.12 nm."""
        mixed = TwoBand(3.10, 0.05, 0.40, 9.0)
        for thickness, times in ((1.765, 42), (2.12, 89)):
            assert math.exp(PLAIN.action(thickness) - mixed.action(thickness)) == pytest.approx(times, rel=5e-3)

    def test_below_the_valence_band(self) -> None:
        with pytest.raises(InputError, match="valence band"):
            TwoBand(3.10, 0.05, 0.61, 3.0)


@pytest.mark.parametrize("name", SHAPES)
class TestEveryShape:
    def test_derivatives_and_inverse(self, name: str) -> None:
        """dS/dd and d ln T/dE against differences of the quadrature-checked action; the inverse against the action."""
        shape = SHAPES[name]
        step = 1e-4
        ends = [float(shape.action(1.9 + sign * step)) for sign in (-1, 1)]
        assert shape.slope_per_nm(1.9) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-7, abs=0.0)
        below, above = (float(shape.with_energy(0.05 + sign * step).action(1.9)) for sign in (-1, 1))
        slope = shape.log_transmission_per_eV(1.9)
        assert slope == pytest.approx((below - above) / (2 * step), rel=1e-6, abs=0.0)
        assert slope == pytest.approx(Barrier.log_transmission_per_eV(shape, 1.9), rel=1e-8, abs=0.0)
        assert shape.thickness_nm(float(shape.action(1.9))) == pytest.approx(1.9, rel=1e-14, abs=0.0)

    def test_arrays_are_taken_point_by_point(self, name: str) -> None:
        shape, grid = SHAPES[name], np.linspace(1.0, 4.0, 6).reshape(2, 3)
        assert shape.action(grid).shape == (2, 3)
        assert shape.action(grid)[1, 2] == shape.action(4.0)
        assert isinstance(shape.action(4.0), float)
        assert shape.log_transmission_per_eV(grid)[0, 1] == pytest.approx(shape.log_transmission_per_eV(1.6), rel=1e-15)


HEIGHT, ENERGY, MASS = st.floats(1.0, 5.0), st.floats(0.0, 0.5), st.floats(0.05, 2.0)
THICKNESS, BIAS, MORE = st.floats(0.5, 10.0), st.floats(0.0, 8.0), st.floats(1.01, 2.0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(HEIGHT, ENERGY, MASS, THICKNESS, BIAS, MORE)
def test_transmission_falls_with_thickness_height_and_mass(
    height: float, energy: float, mass: float, thickness: float, bias: float, more: float
) -> None:
    """Never beyond 1e-13; strictly wherever S is above its floor. It rises with energy and bias."""
    def shapes(height: float, mass: float, bias: float, energy: float) -> list[Barrier]:
        return [
            Trapezoidal(height, energy, mass, bias), ImageForce(height, energy, mass, 3.9, bias),
            Profile(((0.0, height), (0.5, 1.2 * height), (1.0, height)), energy, mass, bias),
            Stack((Layer(height, mass, 3.9), Layer(height, mass, 20.0, 1.0)), energy, bias),
            TwoBand(height, energy, mass, 4.1 * height),
        ]

    base = shapes(height, mass, bias, energy)
    thicker, higher = [shape.action(thickness * more) for shape in base], shapes(height * more, mass, bias, energy)
    higher[4] = replace(base[4], height_eV=min(height * more, 2.0 * height))
    heavier, tilted = shapes(height, mass * more, bias, energy), shapes(height, mass, bias * more + 0.01, energy)
    faster = shapes(height, mass, bias, energy + 0.01)
    for place, shape in enumerate(base):
        action = shape.action(thickness)
        assert action > 0.0
        if action > LEAST_ACTION:
            assert min(thicker[place], higher[place].action(thickness), heavier[place].action(thickness)) > action
            assert max(tilted[place].action(thickness) if place < 4 else 0.0, faster[place].action(thickness)) < action


@pytest.mark.parametrize(("shape", "text"), [
    (lambda: Trapezoidal(3.1, 3.1, 0.4, 0.5), "above the barrier"), (lambda: ImageForce(1.0, 2.0, 0.4, 3.9), "above"),
    (lambda: Profile(((0.0, 1.0), (1.0, 2.0)), 2.0, 0.4), "above"),
    (lambda: replace(HIGH_K, electron_energy_eV=2.1), "above"),
    (lambda: Profile(((0.0, 1.0), (0.9, 2.0)), 0.1, 0.4), "run through"),
    (lambda: Profile(((0.0, 1.0), (0.6, 1.0), (0.5, 1.0), (1.0, 2.0)), 0.1, 0.4), "run through"),
    (lambda: FRANZ.with_bias(0.5), "bias_V is no number"),
])
def test_contradictions_are_refused(shape, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=text):
        shape()


def test_a_bias_may_take_the_whole_barrier() -> None:
    """The chain still has its numbers: S is 1e-12, and nothing divides by it."""
    gone = Profile(((0.0, 0.04), (1.0, 3.0)), 0.05, 0.4, 5.0)
    thin = replace(LOWERED, relative_permittivity=2.13)
    assert gone.action(np.array([1.0, 2.0])).tolist() == [LEAST_ACTION] * 2
    assert min(gone.slope_per_nm(2.0), thin.slope_per_nm(0.15)) == LEAST_ACTION


def test_with_bias() -> None:
    assert PLAIN.with_bias(0.65) == TILTED
    assert TILTED.with_bias(0.2) == replace(TILTED, bias_V=0.2)
    assert LOWERED.with_bias(0.2) == replace(LOWERED, bias_V=0.2)
