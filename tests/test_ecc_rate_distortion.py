"""Capacity of any binary cell, rate-distortion and prices, against Blahut's iterations, 700 digits and scipy."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from scipy import optimize

from qtaml_codesign.ecc import limits
from qtaml_codesign.ecc import rate_distortion as rd
from qtaml_codesign.ecc.currencies import price
from qtaml_codesign.errors import InputError

HARD = [0.0, 1e-300, 1e-12, 0.01, 0.1, 0.3, 0.49, 0.5 - 1e-9, 0.5, 0.7, 0.9, 1 - 1e-9, 1 - 2.0**-53, 1.0]
NEARLY_ALIKE = [(0.3, 0.7 + step) for step in (1e-3, 1e-8, -1e-12, 2.0**-52)] + [(0.0625, 0.9375 - 2.0**-50)]
HALF_A_BIT = 0.5


def blahut_capacity(rows, steps=200_000, close=1e-9):
    """Bounds below and above the capacity (bits) of a channel P(read | stored), one row for each stored word."""
    use = np.full(len(rows), 1 / len(rows))
    for _ in range(steps):
        gain = np.sum(rows * np.log2(np.where(rows > 0, rows / np.maximum(use @ rows, 1e-300), 1.0)), axis=1)
        if gain.max() - use @ gain < close:
            break
        use = use * np.exp2(gain)
        use /= use.sum()
    return use @ gain, gain.max()


def cell(loss, gain):
    return np.array([[1 - gain, gain], [loss, 1 - loss]])


def silverman(loss, gain):
    """log2(2^x0 + 2^x1), where P x = - entropies of the rows, in 700 digits, and 1 / it - 1."""
    with mpmath.workdps(700):
        a, b = mpmath.mpf(loss), mpmath.mpf(gain)
        of_a, of_b = (-sum((x * mpmath.log(x, 2) for x in (p, 1 - p) if x > 0), mpmath.mpf(0)) for p in (a, b))
        if a + b == 1:
            return 0.0, np.inf
        zero, one = (b * of_a - (1 - a) * of_b) / (1 - a - b), (a * of_b - (1 - b) * of_a) / (1 - a - b)
        free = mpmath.log(2**zero + 2**one, 2)
        return float(free), float(1 / free - 1)


@pytest.mark.parametrize(("loss", "gain"), [*itertools.product([0.0, 0.05, 0.3, 0.8], [0.0, 0.1, 0.45, 0.9])])
def test_capacity_of_a_cell_lies_between_blahuts_bounds(loss, gain):
    low, high = blahut_capacity(cell(loss, gain))
    assert high - low < 1e-6
    assert low - 1e-12 <= float(limits.capacity_of_channel(loss, gain)) <= high + 1e-12


@pytest.mark.parametrize(("loss", "gain"), [*itertools.product(HARD, HARD), *NEARLY_ALIKE])
def test_capacity_of_a_cell_keeps_its_digits(loss, gain):
    found = [limits.capacity_of_channel(loss, gain), limits.extra_cells_of_channel(loss, gain)]
    np.testing.assert_allclose([float(x) for x in found], silverman(loss, gain), rtol=2e-14, atol=0)


def test_capacity_of_a_word_is_that_of_its_whole_channel():
    """Against the iteration on all 8 words at once; the planes flip independently."""
    loss, gain = [0.1, 0.02, 0.4], [0.1, 0.0, 0.2]
    rows = np.ones((1, 1))
    for rates in zip(loss, gain, strict=True):
        rows = np.kron(cell(*rates), rows)
    low, high = blahut_capacity(rows)
    assert high - low < 1e-8
    assert low - 1e-12 <= float(limits.capacity_of_word(loss, gain)) <= high + 1e-12


def test_rates_broadcast_and_refuse_what_does_not_fit():
    assert limits.capacity_of_channel(np.full((2, 1), 0.1), [0.1, 0.2, 0.3]).shape == (2, 3)
    assert limits.capacity_of_word(np.full((5, 8), 0.1), 0.1).shape == (5,)
    with pytest.raises(InputError, match="do not fit together"):
        limits.capacity_of_channel([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="next:"):
        limits.capacity_of_channel(0.1, 1.2)


def blahut_rate(density, grid, slope):
    """Rate (bits) and distortion of a source on a grid at one slope of its curve, by Blahut's iteration."""
    mass = density / density.sum()
    error = (grid[:, None] - grid) ** 2
    kernel, reach = np.exp(-slope * error), np.full(grid.size, 1 / grid.size)
    for _ in range(3000):
        reach *= mass / (kernel @ reach) @ kernel
    joint = mass[:, None] * kernel * reach / (kernel @ reach)[:, None]
    told = np.where(joint > 0, joint / np.maximum(mass[:, None] * joint.sum(axis=0), 1e-300), 1.0)
    return float(np.sum(joint * np.log2(told))), float(np.sum(joint * error))


def test_gaussian_distortion_is_what_blahuts_iteration_finds():
    grid = np.linspace(-8, 8, 321)
    for slope in (0.5, 1.0, 2.0):
        rate, distortion = blahut_rate(np.exp(-(grid**2) / 4), grid, slope)
        assert rate > 0.3
        np.testing.assert_allclose(rd.gaussian_distortion(2.0, rate), distortion, rtol=2e-3)


def test_a_laplace_source_lies_between_its_own_floor_and_that_of_the_gaussian():
    """The floor with variances is not a bound for other laws; with entropy powers, e/pi of the variance here, it is."""
    grid = np.linspace(-10, 10, 401)
    rate, distortion = blahut_rate(np.exp(-np.sqrt(2) * np.abs(grid)), grid, 2.0)
    floors = [float(rd.error_floor(power, 1, 1.0, 2 * rate, HALF_A_BIT)) for power in (np.e / np.pi, 1.0)]
    assert floors[0] < distortion < 0.98 * floors[1]


@pytest.mark.parametrize("seed", range(6))
def test_water_filling_is_what_a_general_optimiser_finds(seed):
    rng = np.random.default_rng(seed)
    variances, importances, counts = rng.lognormal(0, 1.5, 5), rng.lognormal(0, 1, 5), rng.integers(1, 9, 5)
    total = float(rng.uniform(0.2, 2.0) * counts.sum())
    scale = counts * importances * variances

    found = optimize.minimize(
        lambda rates: np.log(np.sum(scale * 4.0**-rates)), np.full(5, total / counts.sum()), method="SLSQP",
        bounds=[(0, None)] * 5, constraints={"type": "ineq", "fun": lambda rates: total - counts @ rates},
        options={"ftol": 1e-14, "maxiter": 1000})
    best = rd.water_filling(variances, counts, importances, total)
    assert found.success
    np.testing.assert_allclose(best.rates, found.x, atol=2e-4)
    assert np.sum(counts * importances * best.distortions) <= np.exp(found.fun) * (1 + 1e-12)


@pytest.mark.parametrize("per_weight", [1e-6, 0.1, 1.0, 4.0, 40.0])
def test_water_filling_meets_the_conditions_of_the_optimum(per_weight):
    """Karush, Kuhn, Tucker: all bits spent, one slope where there are bits, and no steeper one where there are none."""
    rng = np.random.default_rng(1)
    variances, importances, counts = rng.lognormal(0, 3, 5000), rng.lognormal(0, 3, 5000), rng.integers(1, 10_000, 5000)
    variances[::7], importances[::11] = 0.0, 0.0
    rates, distortions, level = rd.water_filling(variances, counts, importances, per_weight * counts.sum())
    np.testing.assert_allclose(counts @ rates, per_weight * counts.sum(), rtol=1e-9)
    np.testing.assert_allclose(distortions, variances / 4.0**rates, rtol=1e-13)
    held = rates > 0
    assert 0 < held.sum() < 5000
    np.testing.assert_allclose((importances * distortions)[held], level, rtol=1e-11)
    assert np.all((importances * variances)[~held] <= level * (1 + 1e-11))


def test_water_filling_takes_many_totals_at_once():
    totals = np.array([[0.0, 3.0, 10.0], [1.0, 7.0, 100.0]])
    together = rd.water_filling([3.0, 0.5], [2, 5], 1.0, totals)
    assert together.rates.shape == together.distortions.shape == (2, 3, 2)
    for index in np.ndindex(2, 3):
        alone = rd.water_filling([3.0, 0.5], [2, 5], 1.0, totals[index])
        np.testing.assert_allclose(together.rates[index], alone.rates)
        np.testing.assert_allclose(together.water_level[index], alone.water_level)
    assert together.rates[0, 0].tolist() == [0.0, 0.0]
    assert together.water_level[0, 0] == pytest.approx(3.0)


def test_nothing_to_lose_takes_no_bits():
    best = rd.water_filling([0.0, 0.0], 1, [1.0, 2.0], 10)
    assert best.rates.tolist() == best.distortions.tolist() == [0.0, 0.0]
    assert best.water_level == rd.error_floor([1.0, 2.0], 1, 0.0, 1.0, 1.0) == 0.0
    assert rd.cells_for_error([0.0, 1.0], 1, [1.0, 0.0], 0.0, 0.5) == 0.0


def test_the_floor_of_a_gaussian_at_the_figures_of_the_theory():
    floor = rd.error_floor(1.0, 1, 1.0, [4, 6, 8], float(limits.capacity(0.10)))
    np.testing.assert_allclose(rd.distance_dB(1.0, floor), [12.8, 19.2, 25.6], atol=0.05)
    np.testing.assert_allclose(rd.distance_dB([0.2585, 0.1667, 0.1075], floor), [6.91, 11.40, 15.89], atol=0.01)


def test_equal_groups_have_the_floor_of_one():
    """Closed form: N g v 4^(-C r); and how the weights are grouped does not matter."""
    expected = 12 * 0.7 * 2.5 * 4.0 ** (-HALF_A_BIT * 5)
    for variances, counts in (([2.5] * 3, [2, 4, 6]), (2.5, 12), ([2.5], [12])):
        np.testing.assert_allclose(rd.error_floor(variances, counts, 0.7, 5, HALF_A_BIT), expected, rtol=1e-13)


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.3, 0.9, 0.999])
def test_cells_for_an_error_by_bisection_on_the_floor_and_back(share):
    rng = np.random.default_rng(3)
    groups = rng.lognormal(0, 2, 300), rng.integers(1, 50, 300), rng.lognormal(0, 1, 300)
    error = share * float(np.sum(groups[0] * groups[1] * groups[2]))
    low_to_high = optimize.brentq(lambda log: np.sum(groups[1] * np.minimum(
        np.exp(log), groups[0] * groups[2])) - error, -60, 60, xtol=1e-13)
    bits = groups[1] @ np.maximum(0, np.log2(groups[0] * groups[2] / np.exp(low_to_high)) / 2)
    cells = rd.cells_for_error(*groups, error, HALF_A_BIT)
    np.testing.assert_allclose(cells, bits / HALF_A_BIT / groups[1].sum(), rtol=1e-9)
    np.testing.assert_allclose(rd.error_floor(*groups, cells, HALF_A_BIT), error, rtol=1e-10)
    np.testing.assert_allclose(rd.distance_in_cells(*groups, error, cells + 1.5, HALF_A_BIT), 1.5, rtol=1e-9)


def test_errors_at_the_ends():
    groups = [2.0, 1.0], [1, 3], 1.0
    assert rd.cells_for_error(*groups, [5.0, 6.0, 0.0], HALF_A_BIT).tolist() == [0.0, 0.0, np.inf]
    assert rd.cells_for_error(*groups, [5.0, 4.9], 0.0).tolist() == [0.0, np.inf]
    assert rd.error_floor(*groups, [0.0, 9.0], 0.0).tolist() == [5.0, 5.0]
    assert rd.distance_dB(0.0, 1.0) == -np.inf


@pytest.mark.parametrize(("draw", "share"), [("normal", 1.0), ("laplace", np.e / np.pi), ("uniform", 6 / np.pi / np.e)])
def test_entropy_powers_of_known_laws(draw, share):
    samples = getattr(np.random.default_rng(5), draw)(size=(100, 2000)) * 3.0
    assert rd.entropy_power(samples) == pytest.approx(share * samples.var(), rel=0.02)


def test_weights_on_a_grid_have_no_entropy_power():
    assert rd.entropy_power(np.arange(10_000) // 5000) == 0.0


def test_the_price_of_a_plan_counted_by_hand():
    """1000 words of 8 bits, 500 bits three times over: 7500 + 1500 cells; Shannon: 7500 + 500 / C."""
    cost = price(1000, 8000, 500, 0.1, 0.1, cells_per_protected_bit=3)
    low, _ = blahut_capacity(cell(0.1, 0.1))
    assert cost.protected_bits == 0.0625
    assert (cost.extra_cells, cost.total_cells) == pytest.approx((1.0, 9.0))
    assert cost.shannon_total_cells == pytest.approx(7.5 + 0.5 / low, rel=1e-6)
    assert cost.shannon_extra_cells == pytest.approx(cost.shannon_total_cells - 8.0)
    one_way = price(1000, 8000, 500, 0.0, 0.1, cells_per_protected_bit=3)
    assert one_way.shannon_total_cells == pytest.approx(7.5 + 0.5 / blahut_capacity(cell(0.0, 0.1))[0], rel=1e-6)


def test_no_code_protects_cells_without_capacity_and_nothing_protected_costs_nothing():
    assert price(10, 80, 1, 0.5, 0.5, 3).shannon_total_cells == np.inf
    free = price(10, 80, 0, 0.5, 0.5, 3)
    assert (free.protected_bits, free.extra_cells, free.total_cells) == (0.0, 0.0, 8.0)
    assert (free.shannon_extra_cells, free.shannon_total_cells) == (0.0, 8.0)


@pytest.mark.parametrize("call", [
    lambda: rd.water_filling([1.0, -1.0], 1, 1, 1), lambda: rd.water_filling([1.0, np.nan], 1, 1, 1),
    lambda: rd.water_filling(1.0, 0, 1, 1), lambda: rd.water_filling([1.0, 2.0], [1, 2, 3], 1, 1),
    lambda: rd.water_filling([[1.0, 2.0]], 1, 1, 1), lambda: rd.water_filling([], 1, 1, 1),
    lambda: rd.water_filling("a", 1, 1, 1), lambda: rd.water_filling(1, 1, 1, np.inf),
    lambda: rd.gaussian_distortion(1.0, -1), lambda: rd.error_floor(1.0, 1, 1, -1, 0.5),
    lambda: rd.error_floor(1.0, 1, 1, 8, 53.1), lambda: rd.cells_for_error(1.0, 1, 1, 0.1, [0.5, 0.6]),
    lambda: rd.cells_for_error(1.0, 1, 1, -0.1, 0.5), lambda: rd.distance_dB(1.0, 0.0),
    lambda: rd.entropy_power([1.0, 2.0, 3.0]), lambda: rd.entropy_power([1.0, 2.0, 3.0, np.inf]),
    lambda: price(0, 8, 0, 0.1, 0.1, 3), lambda: price(10, 80, 81, 0.1, 0.1, 3), lambda: price(10, 9, 1, 0.1, 0.1, 3),
    lambda: price(10, 80, 1, 0.1, 0.1, 0.9), lambda: price(10, 80, 1, 0.1, 0.1, np.inf),
    lambda: price(10, 80, 0, 1.1, 0.1, 3),
])
def test_what_is_no_amount_is_refused(call):
    with pytest.raises(InputError, match="next:"):
        call()
