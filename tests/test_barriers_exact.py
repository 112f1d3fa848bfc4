"""The exact transmission against closed forms, Airy functions and the Siegert state; the prefactor against both."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import integrate

from qtaml_codesign.barriers import kernels
from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.bounds import DECAY_PER_nm
from qtaml_codesign.barriers.exact import Exact, transfer_matrix
from qtaml_codesign.barriers.image_force import ImageForce
from qtaml_codesign.barriers.prefactor import Prefactor
from qtaml_codesign.barriers.profile import Profile
from qtaml_codesign.barriers.rectangular import Rectangular
from qtaml_codesign.barriers.stack import Layer, Stack
from qtaml_codesign.barriers.trapezoidal import Trapezoidal
from qtaml_codesign.errors import InputError
from tests.barrier_oracles import exact_log_transmission, siegert
from tests.physics_oracle import DECAY_PER_NM
from tests.test_barriers_wkb import HIGH_K, LOWERED, PLAIN, SHAPES, TABLE, TILTED, profile_pieces, stack_pieces

SILICON = 0.916
AIRY = 2.71322906812e-9
"""T of the trapezoid at 0.65 V, E = 0.05 eV, 1.765 nm."""


def rectangle(shape: Rectangular, mass: float, thickness_nm: float) -> mpf:
    """S = ln(1 + (r + 1/r)^2 sinh^2(kappa d) / 4)."""
    energy, above = mpf(shape.electron_energy_eV), mpf(shape.height_eV) - mpf(shape.electron_energy_eV)
    inside = mpf(shape.effective_mass_m0)
    ratio = mp.sqrt(energy / mpf(mass)) / mp.sqrt(above / inside)
    grown = DECAY_PER_NM * mp.sqrt(inside * above) * mpf(thickness_nm)
    return mp.log1p((ratio + 1 / ratio) ** 2 * mp.sinh(grown) ** 2 / 4)


def ratio(barrier: Exact | Prefactor, thickness_nm: float) -> float:
    """Transmission over that of WKB."""
    return math.exp(barrier.shape.action(thickness_nm) - barrier.action(thickness_nm))


class TestRectangle:
    @pytest.mark.parametrize("thickness", [1e-3, 0.1, 1.0, 1.765, 5.5, 60.0, 176.0])
    @pytest.mark.parametrize("way", [Exact, Prefactor])
    def test_the_closed_form(self, way: type[Exact], thickness: float) -> None:
        """To 1e-12 of T up to S = 2000, far beyond exp(709); at a picometre to 1e-9 of S."""
        for energy, mass in ((0.05, 0.916), (1.0, 0.19), (3.0, 0.40)):
            shape = Rectangular(3.10, energy, 0.40)
            truth = rectangle(shape, mass, thickness)
            assert float(way(shape, mass).action(thickness)) == pytest.approx(float(truth), rel=1e-12, abs=1e-14)

    def test_many_slices_are_one(self) -> None:
        """The same rectangle in 120 pieces, to S = 2000: 1e-9 of T."""
        for thickness in (1.765, 20.0, 176.7):
            pieces = Profile(tuple((share / 120.0, 3.10) for share in range(121)), 0.05, 0.40)
            found = float(Exact(pieces, SILICON).action(thickness))
            assert abs(math.expm1(found - float(rectangle(PLAIN, SILICON, thickness)))) < 1e-9
        assert found > 2000.0

    @pytest.mark.parametrize(("mass", "ratios"), [
        (0.916, (0.1129, 0.226, 0.454, 1.14, 2.28)), (0.19, (0.516, 0.980, 1.77, 3.28, 4.00))])
    @pytest.mark.parametrize("way", [Exact, Prefactor])
    def test_the_published_ratios(self, way: type[Exact], mass: float, ratios: tuple[float, ...]) -> None:
        for energy, published in zip((0.05, 0.1, 0.2, 0.5, 1.0), ratios, strict=True):
            for thickness in (1.0, 1.765, 5.5):
                barrier = way(Rectangular(3.10, energy, 0.40), mass)
                assert ratio(barrier, thickness) == pytest.approx(published, rel=4.5e-3, abs=0.0)

    @pytest.mark.parametrize(("energy", "published"), [
        (0.05, 0.0477), (0.1, 0.0973), (0.2, 0.202), (0.5, 0.574), (1.0, 1.47)])
    def test_the_published_ratios_of_hafnia(self, energy: float, published: float) -> None:
        barrier = Exact(Rectangular(2.05, energy, 0.11), SILICON)
        assert ratio(barrier, 5.5) == pytest.approx(published, rel=3e-3, abs=0.0)
        assert ratio(barrier, 1.0) == pytest.approx(ratio(barrier, 5.5), rel=0.11)

    def test_as_thickness(self) -> None:
        """0.19 nm of SiO2 and 0.63 nm of HfO2 at 0.05 eV."""
        for shape, thinner in ((PLAIN, 0.19), (Rectangular(2.05, 0.05, 0.11), 0.63)):
            same = shape.thickness_nm(float(Exact(shape, SILICON).action(3.0)))
            assert same - 3.0 == pytest.approx(thinner, abs=6e-3)


class TestSlopes:
    def test_the_published_airy_value(self) -> None:
        truth = exact_log_transmission([(3.05, 2.40, 1.765, 0.40)], SILICON, 0.05, 0.65)
        assert float(mp.exp(truth)) == pytest.approx(AIRY, rel=1e-12, abs=0.0)
        exact = Exact(TILTED, SILICON)
        assert math.exp(-exact.action(1.765)) == pytest.approx(AIRY, rel=4e-8, abs=0.0)
        assert ratio(exact, 1.765) == pytest.approx(0.425, abs=5e-4)
        assert math.exp(PLAIN.action(1.765) - TILTED.action(1.765)) == pytest.approx(3.02, abs=5e-3)
        assert math.exp(PLAIN.action(1.765) - exact.action(1.765)) == pytest.approx(1.28, abs=5e-3)

    def test_the_error_falls_with_the_square_of_the_slices(self) -> None:
        """Order 2.00 +- 0.02 from 100 to 1600 slices; 5e-6, 4e-8 and 2e-9 at 10, 200 and 800."""
        land, slices = TILTED.landscape(np.array([1.765])), np.array([100, 200, 400, 800, 1600])
        truth = float(exact_log_transmission([(mpf(3.10) - mpf(0.05), mpf(3.10) - mpf(0.05) - mpf(0.65), 1.765, 0.40)],
                                             SILICON, 0.05, 0.65))
        errors = np.array([abs(transfer_matrix(land, SILICON, int(count))[0] - truth) for count in slices])
        orders = -np.diff(np.log(errors)) / math.log(2.0)
        np.testing.assert_allclose(orders, 2.0, atol=0.02)
        assert [float(f"{error:.0e}") for error in errors[[1, 3]]] == [4e-8, 2e-9]
        assert abs(transfer_matrix(land, SILICON, 10)[0] - truth) == pytest.approx(5e-6, rel=0.1)

    @pytest.mark.parametrize(("bias", "tolerance"), [(0.01, 1e-9), (0.65, 4e-8), (2.0, 4e-6), (4.0, 1e-4), (6.0, 1e-4)])
    def test_trapezoid(self, bias: float, tolerance: float) -> None:
        """Through Fowler-Nordheim, where the wave runs free behind the turning point."""
        shape, above = replace(TILTED, bias_V=bias), mpf(3.10) - mpf(0.05)
        truth = exact_log_transmission([(above, above - mpf(bias), 1.765, 0.40)], SILICON, 0.05, bias)
        assert float(-Exact(shape, SILICON).action(1.765)) == pytest.approx(float(truth), rel=0.0, abs=tolerance)

    @pytest.mark.parametrize("bias", [0.0, 0.65, 2.5])
    def test_stack_and_profile(self, bias: float) -> None:
        """Several materials and steps: 3e-5 of T; without a slope, each layer is exact."""
        stack, profile = replace(HIGH_K, bias_V=bias), replace(TABLE, bias_V=bias)
        for shape, pieces in ((stack, stack_pieces(stack, 2.0)), (profile, profile_pieces(profile, 2.0))):
            truth = float(exact_log_transmission(pieces, SILICON, 0.05, bias))
            tolerance = 1e-12 if shape is stack and bias == 0.0 else 3e-5
            assert float(-Exact(shape, SILICON).action(2.0)) == pytest.approx(truth, rel=0.0, abs=tolerance)

    def test_no_overflow(self) -> None:
        """S = 2000 under bias."""
        thickness = TILTED.thickness_nm(2000.0)
        above = mpf(3.10) - mpf(0.05)
        truth = exact_log_transmission([(above, above - mpf(0.65), thickness, 0.40)], SILICON, 0.05, 0.65)
        assert float(Exact(TILTED, SILICON).action(thickness)) == pytest.approx(float(-truth), rel=3e-7)

    @pytest.mark.parametrize(("oxide", "hafnia", "height", "mass", "published"), [
        (0.5, 1.6, 2.05, 0.11, 0.070), (0.7, 2.0, 2.05, 0.11, 0.070), (0.8, 2.0, 2.05, 0.11, 0.070),
        (0.8, 2.0, 1.5, 0.18, 0.110)])
    @pytest.mark.parametrize("way", [Exact, Prefactor])
    def test_the_published_ratios_of_stacks(self, way: type[Exact], oxide: float, hafnia: float, height: float,
                                            mass: float, published: float) -> None:
        stack = Stack((Layer(3.10, 0.40, 3.9, oxide), Layer(height, mass, 22.0)), 0.05)
        assert ratio(way(stack, SILICON), hafnia) == pytest.approx(published, abs=5e-4)

    def test_image_force(self) -> None:
        """Against a solution of the differential equation, cut off at the electrode's band edge: 1e-3 of T."""
        shape = replace(LOWERED, bias_V=0.4)
        depth = 3.05 * _peak_share(shape, 1.765)

        def above(share: float) -> float:
            image = depth / max(share * (1.0 - share), 1e-9)
            return max(3.05 - image, -0.05) - 0.4 * share

        def back(x: float, state: np.ndarray) -> np.ndarray:
            return np.array([0.40 * state[1], DECAY_PER_nm**2 * above(x / 1.765) * state[0]])

        before, after = (DECAY_PER_nm * math.sqrt(energy / SILICON) for energy in (0.05, 0.45))
        wave = integrate.solve_ivp(back, (1.765, 0.0), np.array([1.0, 1j * after]), rtol=1e-9, atol=1e-9, max_step=2e-3)
        psi, flow = wave.y[:, -1]
        truth = math.log(after / before) - 2.0 * math.log(abs(psi + flow / (1j * before)) / 2.0)
        assert float(-Exact(shape, SILICON).action(1.765)) == pytest.approx(truth, rel=0.0, abs=1e-3)


def _peak_share(shape: ImageForce, thickness_nm: float) -> float:
    """1.15 L over V0 - E, L = 0.0725 eV at 1.765 nm and 3.9 (four digits) from the constants."""
    image = 1.15 * 1.602176634e-19 * math.log(2.0) / (8.0 * math.pi * 8.8541878128e-12 * shape.relative_permittivity)
    return image / (thickness_nm * 1e-9) / (shape.height_eV - shape.electron_energy_eV)


class TestPrefactor:
    def test_trapezoid(self) -> None:
        """0.1 % of the exact one at 0.65 V."""
        assert ratio(Prefactor(TILTED, SILICON), 1.765) == pytest.approx(ratio(Exact(TILTED, SILICON), 1.765), rel=2e-3)

    def test_it_is_refused_where_the_electron_leaves_the_barrier(self) -> None:
        for shape in (replace(TILTED, bias_V=3.5), LOWERED):
            with pytest.raises(InputError, match="prefactor has no closed form"):
                Prefactor(shape, SILICON).action(1.765)


@pytest.mark.parametrize(("well", "exact_off", "wkb_off"), [(3.0, 0.026, 10.5), (2.0, 0.040, 4.8)])
def test_decay_of_a_quasi_bound_state(well: float, exact_off: float, wkb_off: float) -> None:
    """The Siegert state of a silicon well behind 1.765 nm of SiO2: (v / 2L) T within 3 % (3 nm), T_WKB far off."""
    state = siegert(well, 3.10, 1.765, SILICON, 0.40)
    shape = Rectangular(3.10, state.energy_eV, 0.40)
    if well == 3.0:
        assert state.rate_per_s == pytest.approx(4242.68, abs=5e-3)
        assert state.energy_eV == pytest.approx(0.04336, abs=5e-6)
    exact = state.attempts_per_s * math.exp(-Exact(shape, SILICON).action(1.765)) / state.rate_per_s
    assert exact - 1.0 == pytest.approx(exact_off, abs=6e-4)
    assert state.attempts_per_s * math.exp(-shape.action(1.765)) / state.rate_per_s == pytest.approx(wkb_off, abs=0.06)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_a_transmission(name: str) -> None:
    """S > 0 that rises, its derivatives, its inverse, one point like many, and a value that can be sent on."""
    barrier = Exact(SHAPES[name], SILICON)
    grid = np.linspace(1.0, 4.0, 9)
    actions = barrier.action(grid)
    assert actions.min() > 0.0
    assert np.diff(actions).min() > 0.0
    assert [float(barrier.action(float(place))) for place in grid] == actions.tolist()
    assert barrier.thickness_nm(float(actions[3])) == pytest.approx(grid[3], rel=1e-13)
    above, below = (float(barrier.action(1.9 + sign * 1e-4)) for sign in (1, -1))
    assert barrier.slope_per_nm(1.9) == pytest.approx((above - below) / 2e-4, rel=1e-6)
    above, below = (float(barrier.with_energy(0.05 + sign * 1e-5).action(1.9)) for sign in (1, -1))
    assert barrier.log_transmission_per_eV(1.9) == pytest.approx((below - above) / 2e-5, rel=1e-5)
    assert pickle.loads(pickle.dumps(barrier)) == barrier
    assert hash(replace(barrier)) == hash(barrier)


def test_a_bias_goes_through_to_the_shape() -> None:
    for way in (Exact, Prefactor):
        assert way(PLAIN, SILICON).with_bias(0.65) == way(TILTED, SILICON)
        assert way(TILTED, SILICON).departures == ("a bias of 0.65 V", way(PLAIN, SILICON).departures[0])


def test_an_electron_at_rest_is_refused() -> None:
    for way in (Exact, Prefactor):
        with pytest.raises(InputError, match="never arrives"):
            way(Rectangular(3.10, 0.0, 0.40), SILICON)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.5, 5.0), st.floats(0.05, 2.0), st.floats(0.2, 3.0)), min_size=1, max_size=4),
       st.floats(0.01, 0.4), st.floats(0.05, 2.0))
def test_stacks_of_any_layers(layers: list[tuple[float, float, float]], energy: float, electrode: float) -> None:
    """Flat layers against exponentials in mpmath: 1e-11 of T, which is below 1; the way back transmits as much."""
    def action(order: list[tuple[float, float, float]]) -> float:
        (height, mass, swept), *rest = order
        others = (Layer(other, heavy, 3.9, width) for other, heavy, width in rest)
        return float(Exact(Stack((Layer(height, mass, 3.9), *others), energy), electrode).action(swept))

    pieces = [(mpf(height) - mpf(energy), mpf(height) - mpf(energy), width, mass) for height, mass, width in layers]
    assert action(layers) == pytest.approx(-float(exact_log_transmission(pieces, electrode, energy, 0.0)), abs=1e-11)
    assert action(layers[::-1]) == pytest.approx(action(layers), rel=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(1.0, 5.0), st.floats(0.02, 0.4), st.floats(0.05, 2.0), st.floats(0.5, 6.0), st.floats(0.0, 0.5),
       st.floats(0.05, 2.0), st.floats(1.01, 2.0))
def test_exact_transmission_falls_with_thickness_and_height(
    height: float, energy: float, mass: float, thickness: float, bias: float, electrode: float, more: float
) -> None:
    """The mass of the barrier only where S is large: a heavier one may match the electrodes better."""
    for way in (Exact, Prefactor):
        def made(height: float, mass: float, way: type[Exact] = way) -> Barrier:  # type: ignore[assignment]
            return way(Trapezoidal(height, energy, mass, bias), electrode)

        action = made(height, mass).action(thickness)
        assert made(height, mass).action(thickness * more) > action
        assert made(height * more, mass).action(thickness * 4.0) > made(height, mass).action(thickness * 4.0)
        assert made(height, mass * more).action(40.0) > made(height, mass).action(40.0)


def test_the_kernel_runs_uncompiled() -> None:
    land, out = replace(TILTED, bias_V=4.0).landscape(np.array([1.0, 2.0])), np.empty(2)
    arrays = [np.ascontiguousarray(part) for part in (land.start_eV, land.end_eV, land.width_nm)]
    arguments = (*arrays, land.mass_m0, np.array([7]), 1.0, 2.0, DECAY_PER_nm)
    kernels.log_transmission(*arguments, out)
    plain = np.empty(2)
    compiled, kernels.piece = kernels.piece, kernels.piece.py_func
    try:
        kernels.log_transmission.py_func(*arguments, plain)
    finally:
        kernels.piece = compiled
    np.testing.assert_allclose(plain, out, rtol=1e-13, atol=0.0)


@pytest.mark.parametrize("above", [3.0, 1e-3, 0.0, -1e-3, -3.0])
@pytest.mark.parametrize("width", [1e-12, 1e-9, 1e-3, 0.3])
def test_one_piece(above: float, width: float) -> None:
    """(psi, psi'/m) through one flat piece, however thin, and where the electron is at the band edge itself."""
    k = DECAY_PER_NM * mp.sqrt(mp.mpc(mpf(0.4) * mpf(above)))
    sine = mp.sinh(k * mpf(width)) / k if above else mpf(width)
    cosine, to_psi, to_flow, growth = kernels.piece(above, 0.4, width, DECAY_PER_nm)
    scale = math.exp(growth)
    wanted = [float(mp.re(value)) for value in (mp.cosh(k * width), mpf(0.4) * sine, k**2 / mpf(0.4) * sine)]
    assert [scale * cosine, scale * to_psi, scale * to_flow] == pytest.approx(wanted, rel=1e-13, abs=0.0)
