"""Allocation and saturation against exhaustive search and closed forms."""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.tac import allocation
from qtaml_codesign.tac.allocation import AllocationProblem
from qtaml_codesign.tac.saturation import continuous_depths, integer_correction_bound, saturation_ratio


def make_problem(seed: int, layers: int = 3, bits: int = 4, floors: bool = False) -> AllocationProblem:
    generator = np.random.default_rng(seed)
    weights = generator.integers(1, 60, layers)
    scores = 10.0 ** generator.uniform(-2, 2, layers)
    rows = tuple(n * s * (4.0 ** np.arange(bits, -1, -1) - 1.0) for n, s in zip(weights, scores, strict=True))
    floor = generator.integers(0, 2, layers) if floors else np.zeros(layers, dtype=np.int64)
    least = int(weights @ floor)
    budget = int(generator.integers(least, int(weights.sum()) * bits + 1))
    return AllocationProblem(weights, rows, floor.astype(np.int64), budget)


def best_by_enumeration(problem: AllocationProblem) -> float:
    ranges = [range(int(low), int(high) + 1) for low, high in zip(problem.floors, problem.highest, strict=True)]
    affordable = (np.array(depths) for depths in itertools.product(*ranges))
    return min(problem.variance(depths) for depths in affordable if problem.cost(depths) <= problem.budget_bits)


@pytest.mark.parametrize("floors", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_exact_equals_exhaustive_search(seed: int, floors: bool) -> None:
    problem = make_problem(seed, floors=floors)
    depths = allocation.exact(problem)
    assert problem.cost(depths) <= problem.budget_bits
    assert np.all(depths >= problem.floors)
    np.testing.assert_allclose(problem.variance(depths), best_by_enumeration(problem), rtol=1e-9)


def test_greedy_is_sometimes_beaten_and_never_better() -> None:
    beaten = 0
    for seed in range(60):
        problem = make_problem(seed, layers=4)
        gap = problem.variance(allocation.greedy(problem)) - problem.variance(allocation.exact(problem))
        assert gap >= -1e-9 * problem.variance(np.zeros(4, dtype=np.int64))
        beaten += gap > 1e-6 * problem.variance(np.zeros(4, dtype=np.int64))
    assert beaten >= 5


@pytest.mark.parametrize("solver", [allocation.greedy, allocation.exact])
def test_solvers_respect_budget_floors_and_leave_no_affordable_plane(solver) -> None:  # type: ignore[no-untyped-def]
    for seed in range(30):
        problem = make_problem(seed, layers=4, bits=8, floors=True)
        depths = solver(problem)
        left = problem.budget_bits - problem.cost(depths)
        assert left >= 0
        assert np.all((depths >= problem.floors) & (depths <= problem.highest))
        if solver is allocation.greedy:
            assert not np.any((depths < problem.highest) & (problem.weights <= left))


@pytest.mark.parametrize("solver", [allocation.greedy, allocation.exact])
@pytest.mark.parametrize("seed", range(10))
def test_layers_whose_variance_cannot_fall_cost_nothing(solver, seed) -> None:  # type: ignore[no-untyped-def]
    """A layer of zero score, the cheapest of all, buys nothing, and the others are served as if it were not there."""
    served = make_problem(seed, bits=8)
    weights, rows = np.array([1, *served.weights]), (np.zeros(9), *served.residual_variance)
    everything = int(weights.sum()) * 8
    for budget in (served.budget_bits, everything):
        with_it = AllocationProblem(weights, rows, np.zeros(4, dtype=np.int64), budget)
        without = AllocationProblem(served.weights, served.residual_variance, served.floors, budget)
        depths = solver(with_it)
        assert depths[0] == 0
        assert without.variance(depths[1:]) == pytest.approx(without.variance(solver(without)), rel=1e-12)


@pytest.mark.parametrize("solver", [allocation.greedy, allocation.exact])
def test_a_plane_that_never_flips_is_bought_only_on_the_way_to_one_that_does(solver) -> None:  # type: ignore[no-untyped-def]
    rows = (np.array([4.0, 4.0, 1.0, 0.0, 0.0]),)
    depths = [solver(AllocationProblem(np.array([10]), rows, np.zeros(1, dtype=np.int64), 10 * planes)).item()
              for planes in (2, 3, 4)]
    assert depths == [2, 3, 3]


def test_more_budget_never_raises_the_optimal_variance() -> None:
    problem = make_problem(3, layers=4, bits=8)
    budgets = np.linspace(0, problem.weights.sum() * 8, 12).astype(int)
    values = []
    for budget in budgets:
        one = AllocationProblem(problem.weights, problem.residual_variance, problem.floors * 0, int(budget))
        values.append(one.variance(allocation.exact(one)))
    assert np.all(np.diff(values) <= 1e-9 * values[0])
    assert values[-1] == 0.0


def test_random_layers_are_keyed_and_spend_the_budget() -> None:
    problem = make_problem(1, layers=4, bits=8)
    first, again, other = (allocation.random_layers(problem, (key,)) for key in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    left = problem.budget_bits - problem.cost(first)
    assert not np.any((first < problem.highest) & (problem.weights <= left))


def test_random_planes_are_pairs_without_replacement_that_spend_the_budget() -> None:
    problem = make_problem(1, layers=4, bits=8)
    first, again, other = (allocation.random_planes(problem, (key,)) for key in (7, 7, 8))
    assert first == again
    assert first != other
    assert all(len(set(planes)) == len(planes) and set(planes) <= set(range(8)) for planes in first)
    left = problem.budget_bits - problem.cost(np.array([len(planes) for planes in first]))
    assert left >= 0
    assert not any(len(planes) < 8 and size <= left for planes, size in zip(first, problem.weights, strict=True))


def test_every_pair_is_drawn_equally_often() -> None:
    """6000 keys, a budget of one pair out of 24: chi-square, false failure 1e-9; planes that are not next come too."""
    rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(3))
    problem = AllocationProblem(np.array([10, 10, 10]), rows, np.zeros(3, dtype=np.int64), 10)
    counts = np.zeros((3, 8), np.int64)
    for key in range(6000):
        for layer, planes in enumerate(allocation.random_planes(problem, (key,))):
            counts[layer, list(planes)] += 1
    assert counts.sum() == 6000
    assert stats.chisquare(counts.ravel()).pvalue > 1e-9


def test_unknown_solver_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown allocation") as failure:
        allocation.checked_allocation("gready")
    assert "greedy" in failure.value.next_step


def test_interior_optimum_reaches_rho_star_exactly() -> None:
    """V_TAC / V_uniform = rho* when every continuous depth is interior; objective 4^-k, closed form by hand."""
    weights, scores = np.array([100.0, 300.0, 50.0]), np.array([8.0, 1.0, 3.0])
    depths = continuous_depths(weights, scores, mean_depth=4.0, bits=8)
    assert np.all((depths > 0) & (depths < 8))
    ratio = (weights * scores * 4.0**-depths).sum() / (weights * scores * 4.0**-4.0).sum()
    np.testing.assert_allclose(ratio, saturation_ratio(weights, scores), rtol=1e-10)
    np.testing.assert_allclose(weights @ depths, 4.0 * weights.sum(), rtol=1e-12)
    mean_log = np.exp((weights / weights.sum()) @ np.log(scores))
    np.testing.assert_allclose(depths, 4.0 + np.log(scores / mean_log) / np.log(4.0), rtol=1e-10)


@pytest.mark.parametrize("mean_depth", [0.0, 0.3, 2.0, 7.5, 8.0])
def test_clipped_optimum_spends_the_budget_and_beats_uniform(mean_depth: float) -> None:
    weights, scores = np.array([10.0, 1000.0, 40.0]), np.array([1e3, 1e-3, 1.0])
    depths = continuous_depths(weights, scores, mean_depth, bits=8)
    assert np.all((depths >= 0) & (depths <= 8))
    np.testing.assert_allclose(weights @ depths, mean_depth * weights.sum(), rtol=1e-9, atol=1e-9)
    assert (weights * scores * 4.0**-depths).sum() <= (weights * scores).sum() * 4.0**-mean_depth * (1 + 1e-12)


def test_saturation_ratio_of_special_scores() -> None:
    assert saturation_ratio([5, 7], [2.0, 2.0]) == pytest.approx(1.0, rel=1e-15)
    assert saturation_ratio([5, 7], [2.0, 0.0]) == 1.0
    assert saturation_ratio([5, 70, 7], [2.0, 0.0, 3.0]) == saturation_ratio([5, 7], [2.0, 3.0]) < 1.0
    assert saturation_ratio([5, 7], [0.0, 0.0]) == 1.0
    assert saturation_ratio([1, 1], [1e-200, 1e-100]) == pytest.approx(2e-50, rel=1e-12)


def test_integer_correction_bound_is_the_maximum() -> None:
    bound, where = integer_correction_bound()
    grid = np.linspace(0, 1, 100_001)
    values = 4.0**grid * (1 - 0.75 * grid)
    np.testing.assert_allclose([bound, where], [values.max(), grid[values.argmax()]], rtol=1e-5)


def test_the_exact_solver_is_silent(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS writes to file descriptor 1 now and then; whatever runs inside the solver, nothing of it is seen."""
    solve = optimize.milp

    def noisy(*arguments: Any, **options: Any) -> Any:
        os.write(1, b"trace of the solver")
        return solve(*arguments, **options)

    monkeypatch.setattr(optimize, "milp", noisy)
    rows = tuple(score * (4.0 ** np.arange(8, -1, -1) - 1) for score in (8.0, 1.0))
    allocation.exact(AllocationProblem(np.array([10, 10]), rows, np.zeros(2, dtype=np.int64), 20))
    os.write(1, b"heard again")
    assert capfd.readouterr().out == "heard again"
