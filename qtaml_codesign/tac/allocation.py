"""Spend a budget of protected bits over the layers of a network.

The problem (arXiv 2606.00741, Theorem 4.5), with v_l(k) the output variance that layer l still causes when its
top k bit planes are protected:

    minimise  sum_l v_l(k_l)    subject to  sum_l n_l k_l <= T,  floor_l <= k_l <= B_l,  k_l integer

v_l(k) = n_l J_l^2 sigma_l^2(k) falls with k; under a uniform flip probability it is proportional to 4^(B-k) - 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.checks import one_of
from qtaml_codesign.tac.choices import need_method
from qtaml_codesign.tac.methods import ALLOCATING_METHODS

Floats = NDArray[np.float64]
Depths = NDArray[np.int64]


@dataclass(frozen=True)
class AllocationProblem:
    """One budget, L layers.

    Attributes:
        weights: (L,) number of weights n_l of each layer; one more protected plane costs n_l bits.
        residual_variance: L arrays of length B_l + 1; entry k is v_l(k), falling in k.
        floors: (L,) smallest depth allowed.
        budget_bits: T, the bits that may be protected.
    """

    weights: NDArray[np.int64]
    residual_variance: tuple[Floats, ...]
    floors: Depths
    budget_bits: int

    @property
    def highest(self) -> Depths:
        """(L,) depth at which a whole layer is protected: its bit count."""
        return np.array([len(row) - 1 for row in self.residual_variance], dtype=np.int64)

    def variance(self, depths: Depths) -> float:
        """Objective: sum_l v_l(k_l) at `depths` (L,)."""
        return float(sum(row[depth] for row, depth in zip(self.residual_variance, depths, strict=True)))

    def can_fall(self, depths: Depths) -> NDArray[np.bool_]:
        """(L,) whether more than `depths` (L,) takes variance away from each layer."""
        return np.array([row[depth] > row[-1] for row, depth in zip(self.residual_variance, depths, strict=True)])

    def cost(self, depths: Depths) -> int:
        """Protected bits: sum_l n_l k_l at `depths` (L,)."""
        return int(self.weights @ depths)


def greedy(problem: AllocationProblem) -> Depths:
    """Algorithm 1, step 2: raise the layer of the `problem` that removes most variance per bit until nothing fits.

    A layer whose variance cannot fall any more, such as one of zero score, is left alone. Not optimal for unequal n_l:
    a budget that cannot pay for the next large layer goes to whatever still fits.

    Example:
        >>> rows = tuple(score * (4.0 ** np.arange(2, -1, -1) - 1) for score in (8.0, 1.0))
        >>> greedy(AllocationProblem(np.array([10, 10]), rows, np.zeros(2, dtype=np.int64), 20))
        array([2, 0])
    """
    def best(depths: Depths, layers: NDArray[np.int64]) -> int:
        rows = [(problem.residual_variance[layer], depths[layer], float(problem.weights[layer])) for layer in layers]
        return int(layers[np.argmax([float(row[depth] - row[depth + 1]) / size for row, depth, size in rows])])

    return _deepened(problem, problem.floors.copy(), problem.can_fall, best)


def _deepened(
    problem: AllocationProblem, depths: Depths, can_rise: Callable[[Depths], NDArray[np.bool_]],
    choose: Callable[[Depths, NDArray[np.int64]], int],
) -> Depths:
    """The next plane of a chosen layer, again and again, until no layer that can rise fits into the budget."""
    left = problem.budget_bits - problem.cost(depths)
    while (open_layers := np.flatnonzero(can_rise(depths) & (problem.weights <= left))).size:
        layer = choose(depths, open_layers)
        depths[layer] += 1
        left -= int(problem.weights[layer])
    return depths


def exact(problem: AllocationProblem) -> Depths:
    """The optimum of the `problem` as an integer programme, by HiGHS branch and bound (`scipy.optimize.milp`).

    One binary x[l, k] per layer and depth, sum_k x[l, k] = 1, sum n_l k x[l, k] <= T. Never worse than `greedy`.

    Example:
        >>> rows = (np.array([9.0, 5.0]), np.array([8.0, 0.0]))   # greedy takes the small layer, 5 per bit
        >>> problem = AllocationProblem(np.array([1, 2]), rows, np.zeros(2, dtype=np.int64), 2)
        >>> greedy(problem), exact(problem)
        (array([1, 0]), array([0, 1]))
    """
    from scipy import optimize, sparse  # 40 MB that greedy plans do without

    layer, depth = _columns(problem)
    objective = np.array([problem.residual_variance[i][k] for i, k in zip(layer, depth, strict=True)])
    scale = float(objective.max(initial=0.0)) or 1.0
    one_depth = sparse.csr_array((np.ones(layer.size), (layer, np.arange(layer.size))),
                                 shape=(len(problem.residual_variance), layer.size))
    cost = sparse.csr_array((problem.weights[layer] * depth).astype(float)[None, :] / problem.weights.sum())
    with _standard_output_closed():
        found = optimize.milp(
            objective / scale,
            integrality=np.ones(layer.size, dtype=np.int64),
            bounds=optimize.Bounds(0, 1),
            constraints=[
                optimize.LinearConstraint(one_depth, 1, 1),
                optimize.LinearConstraint(cost, -np.inf, problem.budget_bits / problem.weights.sum()),
            ],
            options={"mip_rel_gap": 0.0},
        )
    fallback = greedy(problem)
    if found.x is None:
        return fallback
    chosen = np.flatnonzero(found.x > 0.5)
    depths = np.zeros_like(problem.floors)
    depths[layer[chosen]] = depth[chosen]
    feasible = problem.cost(depths) <= problem.budget_bits
    return depths if feasible and problem.variance(depths) <= problem.variance(fallback) else fallback


@contextmanager
def _standard_output_closed() -> Iterator[None]:
    """Keep file descriptor 1 silent: HiGHS writes traces of its own there, whatever `disp` says."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _columns(problem: AllocationProblem) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Layer and depth of every column of the integer programme; a depth that saves nothing on a lesser one has none."""
    pairs = [
        (layer, depth)
        for layer, (row, low) in enumerate(zip(problem.residual_variance, problem.floors.tolist(), strict=True))
        for depth in range(low, len(row))
        if depth == low or row[depth] < row[low:depth].min()
    ]
    columns = np.array(pairs, dtype=np.int64)
    return columns[:, 0], columns[:, 1]


def uniform(problem: AllocationProblem) -> Depths:
    """Uniform-MSP: the largest depth that every layer of the `problem` can have at once.

    Example:
        >>> rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(2))
        >>> uniform(AllocationProblem(np.array([100, 60]), rows, np.zeros(2, dtype=np.int64), 500))
        array([3, 3])
    """
    depth = problem.budget_bits // int(problem.weights.sum())
    return np.minimum(depth, problem.highest)


def fractional(problem: AllocationProblem) -> tuple[Depths, NDArray[np.int64]]:
    """Uniform-MSP without steps: (depths, deeper), the same depth everywhere and one more plane on `deeper` weights.

    The budget of the `problem` that whole planes leave over is shared out by layer size, to the bit.

    Example:
        >>> rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(2))
        >>> fractional(AllocationProblem(np.array([100, 60]), rows, np.zeros(2, dtype=np.int64), 240))
        (array([1, 1]), array([50, 30]))
    """
    total = int(problem.weights.sum())
    depth, rest = divmod(problem.budget_bits, total)
    depths = np.minimum(depth, problem.highest)
    shared = np.where(depths < problem.highest, np.diff(np.cumsum(problem.weights) * rest // total, prepend=0), 0)
    whole = shared == problem.weights
    return depths + whole, np.where(whole, 0, shared)


def random_layers(problem: AllocationProblem, key: tuple[int, ...]) -> Depths:
    """(L,) depths of the `problem`: the next plane of a layer drawn by `key`, until nothing fits; floors ignored."""
    generator = _generator(key)
    return _deepened(problem, np.zeros_like(problem.floors), lambda depths: depths < problem.highest,
                     lambda _, layers: int(generator.choice(layers)))


def random_planes(problem: AllocationProblem, key: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Random ECC: (layer, plane) pairs drawn without replacement; a pair that does not fit any more is left out.

    Any plane of the `problem` may be drawn by `key`, not only the next one from the MSB down; floors are ignored.

    Returns:
        The protected planes of each layer, ascending, 0 = LSB.

    Source: arXiv 2606.00741, section 5.8 (Random ECC).

    Example:
        >>> rows = tuple(4.0 ** np.arange(8, -1, -1) - 1 for _ in range(2))
        >>> random_planes(AllocationProblem(np.array([100, 60]), rows, np.zeros(2, dtype=np.int64), 300), (0,))
        ((7,), (3, 6, 7))
    """
    pairs = [(layer, plane) for layer, bits in enumerate(problem.highest.tolist()) for plane in range(bits)]
    chosen: list[list[int]] = [[] for _ in problem.residual_variance]
    left = problem.budget_bits
    for index in _generator(key).permutation(len(pairs)):
        layer, plane = pairs[index]
        if problem.weights[layer] <= left:
            chosen[layer].append(plane)
            left -= int(problem.weights[layer])
    return tuple(tuple(sorted(planes)) for planes in chosen)


def _generator(key: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


Allocation = Literal["greedy", "exact"]
SOLVERS: dict[Allocation, Callable[[AllocationProblem], Depths]] = {"greedy": greedy, "exact": exact}


def checked_allocation(allocation: str | None, methods: Sequence[str] = ALLOCATING_METHODS) -> Allocation:
    """The solver that allocates for these methods; `greedy` where none is asked for.

    Args:
        allocation: name of a solver, or None.
        methods: the methods that are asked for.

    Raises:
        InputError: an unknown solver, or one that none of the methods would use.

    Example:
        >>> checked_allocation(None), checked_allocation("exact", ["tac"])
        ('greedy', 'exact')
    """
    if allocation is None:
        return "greedy"
    need_method("allocation (--allocation)", allocation, "allocates by score", methods, ALLOCATING_METHODS)
    return cast("Allocation", one_of("allocation", "allocation (--allocation)", allocation, SOLVERS))
