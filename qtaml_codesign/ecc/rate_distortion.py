"""The smallest error that a number of cells allows, whatever the store and the code: rate-distortion of the weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.checks import plain_array
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]


class WaterFilling(NamedTuple):
    """The best division of bits over groups of weights.

    Args:
        rates: (..., G) bits per weight of each group.
        distortions: (..., G) squared error per weight of each group, not weighted.
        water_level: (...,) importance x distortion of every group that gets bits; the others have less to lose.
    """

    rates: Array
    distortions: Array
    water_level: Array


def gaussian_distortion(variance: ArrayLike, bits: ArrayLike) -> Array:
    """Smallest mean squared error of a Gaussian source at R bits per weight, D(R) = v 4^(-R); the arguments broadcast.

    Args:
        variance: v >= 0 of the source.
        bits: R >= 0, bits per weight.

    Raises:
        InputError: a negative or infinite number.

    Source: Shannon, IRE Nat. Conv. Rec. 7-4, 142 (1959); T. M. Cover and J. A. Thomas, Elements of Information
    Theory, 2nd ed. (2006), theorem 10.3.2.

    Example:
        >>> gaussian_distortion(1.0, [0, 1, 2]).tolist()
        [1.0, 0.25, 0.0625]
    """
    return np.asarray(_amounts("variance", variance) * np.exp2(-2.0 * _amounts("bits", bits)))


def water_filling(
    variances: ArrayLike, counts: ArrayLike, importances: ArrayLike, total_bits: ArrayLike
) -> WaterFilling:
    """Rates R_i >= 0 that minimise sum_i n_i g_i v_i 4^(-R_i) under sum_i n_i R_i <= total bits, in closed form.

    Groups with g_i v_i above the water level are cut down to it, g_i d_i = level, and the rest get no bits:
    R_i = max(0, log2(g_i v_i / level) / 2). The bits that a level takes are the greatest of G lines in log2(level), one
    for the k largest g_i v_i, k = 1 to G; so the level is the highest of those at which a line meets the total.

    Args:
        variances: (G,) v_i >= 0 of a weight of each group, or one number for all.
        counts: (G,) n_i > 0, weights of each group.
        importances: (G,) g_i >= 0, what a unit of squared error of one weight costs.
        total_bits: bits for all weights together, any shape (...).

    Raises:
        InputError: numbers out of range, or not one per group.

    Source: Cover and Thomas (2006), theorem 10.3.3 (reverse water-filling); A. N. Kolmogorov, IRE Trans. Inf. Theory
    2, 102 (1956).

    Example:
        >>> best = water_filling([4.0, 1.0, 0.1], counts=1, importances=1, total_bits=2)
        >>> best.rates.tolist(), best.distortions.tolist(), float(best.water_level)
        ([1.5, 0.5, 0.0], [0.5, 0.5, 0.1], 0.5)
    """
    variance, count, importance = _groups(variances, counts, importances)
    bits = _amounts("total_bits", total_bits)[..., None]
    cost = importance * variance
    order = _greatest_first(cost)
    height, weights = np.log2(cost[order]), count[order]
    crossings = (np.cumsum(weights * height) - 2.0 * bits) / np.cumsum(weights)
    level = crossings.max(axis=-1, initial=-np.inf)
    rates = np.zeros((*level.shape, cost.size))
    rates[..., order] = np.maximum(0.0, (height - level[..., None]) / 2.0)
    return WaterFilling(rates, variance * np.exp2(-2.0 * rates), np.exp2(level))


def error_floor(
    variances: ArrayLike, counts: ArrayLike, importances: ArrayLike, cells_per_weight: ArrayLike,
    capacity_per_cell: float,
) -> Array:
    """Shannon's floor of the weighted error sum_i n_i g_i E[(read - weight)^2] at a number of cells per weight.

    What it bounds: weights drawn independently from Gaussians with these variances and then stored in any way whatever
    (formats, codes, weights left out, blocks of any length, mean and variance of each group known to the reader for
    free), in cells of this capacity. The expectation is over weights and flips, and no store comes below the floor;
    long blocks come as close as one likes.

    What it does not bound: of all sources with the same variances the Gaussian is the worst, so weights of another
    law can be held better than this. With their entropy powers in place of the variances (see `entropy_power`) the
    same formula is Shannon's lower bound, which holds for weights drawn independently by that law. It bounds the sum
    above, where errors of different weights add up; a store that shapes its errors to cancel in a network's output is
    judged by another sum. Flips that cells share, or rates that differ among them, raise the capacity to be given.

    Args:
        variances: (G,) v_i >= 0 of a weight of each group (or entropy powers), or one number for all.
        counts: (G,) n_i > 0, weights of each group.
        importances: (G,) g_i >= 0, what a unit of squared error of one weight costs.
        cells_per_weight: cells over weights, the mean over all groups, >= 0, any shape (...).
        capacity_per_cell: bits per cell, 0 to 1 (see `ecc.limits`).

    Returns:
        (...,) in the units of importance x variance x weights.

    Raises:
        InputError: numbers out of range, or not one per group.

    Source: Shannon, Bell Syst. Tech. J. 27, 623 (1948) (lower bound by entropy power) and IRE Nat. Conv. Rec. 7-4, 142
    (1959) (source and channel code apart lose nothing); Cover and Thomas (2006), chapter 10.

    Example:
        >>> from qtaml_codesign.ecc.limits import capacity
        >>> floor = error_floor(1.0, 1, 1.0, [4, 6, 8], float(capacity(0.10)))
        >>> distance_dB(1.0, floor).round(1).tolist()
        [12.8, 19.2, 25.6]
    """
    _, count, importance = _groups(variances, counts, importances)
    bits = _capacity(capacity_per_cell) * _amounts("cells_per_weight", cells_per_weight) * count.sum()
    best = water_filling(variances, counts, importances, bits)
    return np.asarray((count * importance * best.distortions).sum(axis=-1))


def cells_for_error(
    variances: ArrayLike, counts: ArrayLike, importances: ArrayLike, error: ArrayLike, capacity_per_cell: float
) -> Array:
    """Cells per weight at which `error_floor` comes down to an error: no store needs fewer, for the same sources.

    The error of a water level is the smallest of G lines: the k greatest g_i v_i cut down to the level, the others
    whole. So the level is the largest at which one of them meets the error.

    Args:
        variances: (G,) v_i >= 0 of a weight of each group, or one number for all.
        counts: (G,) n_i > 0, weights of each group.
        importances: (G,) g_i >= 0, what a unit of squared error of one weight costs.
        error: sum_i n_i g_i d_i, >= 0, any shape (...).
        capacity_per_cell: bits per cell, 0 to 1.

    Returns:
        (...,) cells over weights: 0 where every weight may be left out, inf for no error at all or no capacity.

    Raises:
        InputError: numbers out of range, or not one per group.

    Source: Cover and Thomas (2006), theorem 10.3.3.

    Example:
        >>> float(cells_for_error(1.0, 1, 1.0, error=0.0625, capacity_per_cell=0.5))
        4.0
    """
    variance, count, importance = _groups(variances, counts, importances)
    wanted, per_cell = _amounts("error", error)[..., None], _capacity(capacity_per_cell)
    cost = importance * variance
    order = _greatest_first(cost)
    height, weights = cost[order], count[order]
    whole = np.cumsum((weights * height)[::-1])[::-1]
    level = ((wanted - np.append(whole[1:], 0.0)[: whole.size]) / np.cumsum(weights)).max(axis=-1, initial=0.0)
    with np.errstate(divide="ignore"):
        rates = np.maximum(0.0, np.log2(height) - np.log2(level)[..., None]) / 2.0
    bits = np.asarray((weights * rates).sum(axis=-1))
    none: Array = np.where(bits > 0.0, np.inf, 0.0)
    return np.asarray(np.divide(bits, per_cell * count.sum(), out=none, where=(bits > 0.0) & (per_cell > 0.0)))


def distance_dB(error: ArrayLike, floor: ArrayLike) -> Array:
    """How far an error lies above a floor, 10 log10(error / floor), dB; the arguments broadcast.

    Args:
        error: weighted error of a store, >= 0.
        floor: of `error_floor`, > 0, at the same cells per weight.

    Raises:
        InputError: a negative error, or a floor that is not positive.

    Example:
        >>> round(float(distance_dB(0.1075, 0.00275)), 1)
        15.9
    """
    ratio = _amounts("error", error) / _amounts("floor", floor, positive=True)
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(ratio))


def distance_in_cells(
    variances: ArrayLike, counts: ArrayLike, importances: ArrayLike, error: ArrayLike, cells_per_weight: ArrayLike,
    capacity_per_cell: float,
) -> Array:
    """Cells per weight that a store spends beyond what the limit needs for the same error.

    Args:
        variances: (G,) v_i >= 0 of a weight of each group, or one number for all.
        counts: (G,) n_i > 0, weights of each group.
        importances: (G,) g_i >= 0, what a unit of squared error of one weight costs.
        error: weighted error of the store, >= 0, any shape (...).
        cells_per_weight: of the store.
        capacity_per_cell: bits per cell, 0 to 1.

    Raises:
        InputError: numbers out of range, or not one per group.

    Example:
        >>> float(distance_in_cells(1.0, 1, 1.0, error=0.0625, cells_per_weight=6, capacity_per_cell=0.5))
        2.0
    """
    needed = cells_for_error(variances, counts, importances, error, capacity_per_cell)
    return np.asarray(_amounts("cells_per_weight", cells_per_weight) - needed)


def entropy_power(samples: ArrayLike) -> float:
    """Entropy power 2^(2h) / (2 pi e) of what samples are drawn from, h its differential entropy in bits, estimated.

    It is the variance of the Gaussian with the same entropy: at most the variance, e/pi = 0.865 of it (0.6 dB less) for
    a Laplace law, 6/(pi e) = 0.703 (1.5 dB less) for a uniform one. As an estimate by the spacing of sorted samples it
    is somewhat low where there are few, and 0 where many are alike, as weights rounded to a grid are. Samples of
    several groups must be made alike in mean and scale first.

    Args:
        samples: at least 4 numbers, any shape.

    Raises:
        InputError: fewer, or not finite.

    Source: Shannon, Bell Syst. Tech. J. 27, 623 (1948), section 21; estimate: O. Vasicek, J. R. Stat. Soc. B 38, 54
    (1976), and what scipy.stats.differential_entropy chooses by size.

    Example:
        >>> round(entropy_power(np.random.default_rng(0).normal(0.0, 2.0, 100_000)), 1)
        4.0
    """
    from scipy import stats  # slow to import, and the floor does without

    step = "for instance the weights of a tensor, divided by the deviation of each row"
    given = plain_array("samples", samples, "at least 4 finite numbers", step)
    if given.dtype.kind not in "fiu" or given.size < 4 or not np.isfinite(given).all():
        raise InputError("these samples have no entropy", where="samples", rule="at least 4 finite numbers",
                         value=samples, next_step=step)
    with np.errstate(divide="ignore"):
        entropy = float(stats.differential_entropy(given.astype(np.float64).ravel()))
    return math.exp(2.0 * entropy) / (2.0 * math.pi * math.e)


def _greatest_first(cost: Array) -> NDArray[np.intp]:
    """Groups that have something to lose, the greatest first."""
    return np.argsort(-cost, kind="stable")[: np.count_nonzero(cost)]


def _groups(variances: ArrayLike, counts: ArrayLike, importances: ArrayLike) -> tuple[Array, Array, Array]:
    given = {"variances": _amounts("variances", variances), "counts": _amounts("counts", counts, positive=True),
             "importances": _amounts("importances", importances)}
    size = max(array.size for array in given.values())
    for where, array in given.items():
        if array.shape not in ((), (size,)) or size == 0:
            raise InputError(f"{where} does not fit the groups", where=where,
                             rule=f"one number, or one for each of {size} groups", value=f"shape {array.shape}",
                             next_step="give flat arrays of one length")
    variance, count, importance = (np.broadcast_to(array, (size,)) for array in given.values())
    return variance, count, importance


def _capacity(bits: float) -> float:
    found = _amounts("capacity_per_cell", bits)
    if found.shape != () or found > 1.0:
        raise InputError("a cell of two states holds at most one bit", where="capacity_per_cell",
                         rule="0 <= capacity_per_cell <= 1", value=bits, next_step="0.531 at p = 0.10")
    return float(found)


def _amounts(where: str, values: ArrayLike, positive: bool = False) -> Array:
    rule, step = f"{where} {'>' if positive else '>='} 0, finite", "give plain numbers"
    given = plain_array(where, values, rule, step)
    found = given.astype(np.float64) if given.dtype.kind in "fiu" else np.full((), np.nan)
    if not (np.isfinite(found) & (found > 0.0 if positive else found >= 0.0)).all():
        raise InputError(f"{where} is not an amount", where=where, rule=rule, value=values, next_step=step)
    return found
