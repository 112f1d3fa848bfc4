"""Rows of the table of theorems: an estimate, what the law predicts for it, and a bound on chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.moments import Array

MEAN, VARIANCE, PROTECTION = "3.2 mean drift", "A.11 variance", "4.2 protected planes"
OTHER_ENCODINGS, BY_PLANE = "A.8 encodings", "3.1 rates by plane"
ROUNDING = 1e-12


@dataclass(frozen=True)
class TheoremCheck:
    """One row: what a theorem predicts, what the sampler does, and whether the two agree.

    Args:
        theorem: number in arXiv 2606.00741 and what it is about.
        quantity: what is compared; values in units of the full scale, w in [-1, 1).
        predicted: closed form.
        measured: Monte Carlo.
        standard_error: exact standard deviation of `measured` under the law.
        z: (measured - predicted) / standard_error.
        p_value: bound on the chance of a deviation this large under the law.
        passed: p_value >= 1e-9 / number of rows.
    """

    theorem: str
    quantity: str
    predicted: float
    measured: float
    standard_error: float
    z: float
    p_value: float
    passed: bool = False


class CodeSums(NamedTuple):
    """What all trials gave for each stored code.

    Attributes:
        law: under which every code was read.
        repeats: how often each code was read.
        deviations: (2^B,) sum of delta - E[delta | w] by code.
        squares: (2^B,) sum of its square.
        flips: (B,) by plane, over all codes.
    """

    law: ReadLaw
    repeats: int
    deviations: Array
    squares: Array
    flips: NDArray[np.int64]


def line(theorem: str, prefix: str, sums: CodeSums, of_variance: str = "") -> Iterator[TheoremCheck]:
    """Slope and intercept of E[read | w] on w, least squares over all codes, and the mean variance.

    Args:
        theorem: as in `TheoremCheck`.
        prefix: what stands before the quantities.
        sums: the trials.
        of_variance: the theorem on the variance, where it is another one.
    """
    values = sums.law.values
    regressors = {"slope of E[read | w]": values, "E[read | w = 0]": np.ones_like(values)}
    return coefficients(theorem, prefix, sums, regressors, sums.law.conditional_mean(), of_variance)


def coefficients(
    theorem: str, prefix: str, sums: CodeSums, regressors: Mapping[str, Array], expected: Array, of_variance: str = ""
) -> Iterator[TheoremCheck]:
    """Least-squares coefficients of a mean on the regressors, and the variance averaged over all codes.

    Args:
        theorem: as in `TheoremCheck`.
        prefix: what stands before the quantities.
        sums: the trials.
        regressors: each (2^B,), by the name of its coefficient.
        expected: (2^B,) E[read | w] or E[delta | w] by code.
        of_variance: the theorem on the variance, where it is another one.
    """
    solve = np.linalg.pinv(np.stack(list(regressors.values()), axis=1))
    noise = sums.deviations / sums.repeats
    largest = _largest_deviation(sums.law)
    for name, weights in zip(regressors, solve, strict=True):
        spread = float((weights**2 * sums.law.variance()).sum()) / sums.repeats
        bound = float(np.abs(weights * largest).max()) / sums.repeats
        predicted = float(weights @ expected)
        yield _bernstein(theorem, prefix + name, predicted, predicted + float(weights @ noise), spread, bound)
    even = np.full(expected.size, 1.0 / expected.size)
    yield _of_squares(of_variance or theorem, f"{prefix}Var[delta | w], mean over w", sums, even)


def variance_slope(encoding: str, sums: CodeSums) -> TheoremCheck:
    """Slope of the variance on w: zero when it does not depend on the stored value.

    Args:
        encoding: for the name of the row.
        sums: the trials.
    """
    centred = sums.law.values - sums.law.values.mean()
    return _of_squares(VARIANCE, f"{encoding}: slope of Var[delta | w] on w", sums, centred / (centred @ centred))


def _of_squares(theorem: str, name: str, sums: CodeSums, weights: Array) -> TheoremCheck:
    variance = sums.law.variance()
    spread = np.where(variance > 0.0, variance**2 * (sums.law.excess_kurtosis() + 2.0), 0.0)
    bound = np.abs(weights) * np.maximum(_largest_deviation(sums.law) ** 2, variance)
    return _bernstein(theorem, name, float(weights @ variance), float(weights @ sums.squares) / sums.repeats,
                      float(weights**2 @ spread) / sums.repeats, float(bound.max()) / sums.repeats)


def msb_share(encoding: str, sums: CodeSums) -> TheoremCheck:
    """(MSB part of delta, centred)^2 over the mean variance: r^2 for a cell that stays, (1-r)^2 for one that flips.

    Args:
        encoding: for the name of the row.
        sums: the trials.
    """
    rate = float(sums.law.errors.one_to_zero[-1])
    scale = 1.0 / float(sums.law.variance().mean())
    cells = sums.repeats * sums.law.values.size
    flipped = float(sums.flips[-1]) / cells
    step = scale * ((1.0 - rate) ** 2 - rate**2)
    return _bernstein("A.12 MSB dominance", f"{encoding}: share of the variance in the MSB", sums.law.msb_share(),
                      scale * rate**2 + step * flipped, step**2 * rate * (1.0 - rate) / cells, abs(step) / cells)


def lyapunov(sums: CodeSums) -> TheoremCheck:
    """sum_i E|Y_i - E Y_i|^3 / Var^1.5 from the flips counted in each plane.

    Args:
        sums: the trials.
    """
    rates, cells = sums.law.errors.one_to_zero, sums.repeats * sums.law.values.size
    cubes = (sums.law.errors.format.step * 2.0 ** np.arange(rates.size)) ** 3 / float(sums.law.variance().mean()) ** 1.5
    step = cubes * ((1.0 - rates) ** 3 - rates**3)
    measured = float((cubes * rates**3 + step * sums.flips / cells).sum())
    return _bernstein("3.4 non-Gaussianity", "Lyapunov ratio", float(sums.law.lyapunov_ratio(0)), measured,
                      float((step**2 * rates * (1.0 - rates)).sum()) / cells, float(np.abs(step).max()) / cells)


def plane_rate(plane: int, sums: CodeSums) -> TheoremCheck:
    """Share of the cells of one plane that flip.

    Args:
        plane: 0 = LSB.
        sums: the trials.
    """
    rate, cells = float(sums.law.errors.one_to_zero[plane]), sums.repeats * sums.law.values.size
    return _bernstein(BY_PLANE, f"flip rate of plane {plane}", rate, float(sums.flips[plane]) / cells,
                      rate * (1.0 - rate) / cells, 1.0 / cells)


def one_code(law: ReadLaw, code: int, counts: NDArray[np.int64], prefix: str) -> Iterator[TheoremCheck]:
    """Rows on the law of one stored code, from the histogram of its read codes.

    Args:
        law: under which the code was read.
        code: the stored one.
        counts: (2^B,) how often each code was read.
        prefix: what stands before the quantity.
    """
    chances, draws = law.code_probabilities(code), int(counts.sum())
    delta = law.values - law.values[code]
    scaled = (delta - float(law.drift(code))) / math.sqrt(float(law.variance(code)))
    t = 1.0 / math.sqrt(float(law.variance(code)))
    expected = complex(law.characteristic_function(t, code))
    yield _worst_value(law, code, counts, prefix)
    for theorem, name, terms, predicted in (
        ("3.1 law", "Re phi(t), t = 1/sd", np.cos(t * delta), expected.real),
        ("3.1 law", "Im phi(t), t = 1/sd", np.sin(t * delta), expected.imag),
        ("A.13 skewness", "skewness", scaled**3, float(law.skewness(code))),
        ("A.14 kurtosis", "excess kurtosis", scaled**4 - 3.0, float(law.excess_kurtosis(code))),
    ):
        deviation = terms - predicted
        spread = float(chances @ deviation**2) / draws
        bound = float(np.abs(deviation).max()) / draws
        yield _bernstein(theorem, prefix + name, predicted, float(counts @ terms) / draws, spread, bound)


def _worst_value(law: ReadLaw, code: int, counts: NDArray[np.int64], prefix: str) -> TheoremCheck:
    """PMF: exact binomial test of every read value; the row shows the least likely count, its p-value times values."""
    values, chances = law.pmf(code)
    found = np.bincount(np.searchsorted(values, law.values), weights=counts).astype(np.int64)
    draws = int(found.sum())
    tails = np.minimum(stats.binom.cdf(found, draws, chances), stats.binom.sf(found - 1, draws, chances))
    worst = int(np.argmin(tails))
    chance, share = float(chances[worst]), float(found[worst]) / draws
    error = math.sqrt(chance * (1.0 - chance) / draws)
    p_value = min(1.0, 2.0 * float(tails[worst]) * values.size)
    name = f"{prefix}P(read = {values[worst]:.6g}), worst of {values.size} values"
    return TheoremCheck("3.1 law", name, chance, share, error, _z(share - chance, error), p_value)


def _bernstein(
    theorem: str, quantity: str, predicted: float, measured: float, variance: float, bound: float
) -> TheoremCheck:
    """Row with Bernstein's bound; float rounding of the two sides, relative 1e-12, is no deviation."""
    distance, error = abs(measured - predicted) - ROUNDING * abs(predicted), math.sqrt(variance)
    if distance <= 0.0:
        p_value = 1.0
    else:
        scale = 2.0 * (variance + bound * distance / 3.0)
        p_value = min(1.0, 2.0 * math.exp(-(distance**2) / scale)) if scale != 0.0 else 0.0
    return TheoremCheck(theorem, quantity, predicted, measured, error, _z(measured - predicted, error), p_value)


def _z(difference: float, error: float) -> float:
    return difference / error if error > 0.0 else 0.0


def _largest_deviation(law: ReadLaw) -> Array:
    """|delta - E delta| never exceeds this, by code (2^B,)."""
    reach: Array = np.maximum(law.values.max() - law.values, law.values - law.values.min())
    return np.abs(law.drift()) + reach
