"""Bare kernels of the physics chain: float64, logs throughout, no checks (the functions above them check).

Every kernel also runs uncompiled through its `.py_func`. Names: `log_p` = ln p and `log_q` = ln(1 - p) of one electron,
N electrons, threshold k, K the number that escape.

Sources: C. Loader, "Fast and accurate computation of binomial probabilities" (2000), for the saddle-point mass
function; M. Maechler, "Accurately computing log(1 - exp(-|a|))" (2012).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BINOMIAL, POISSON, LEADING = 0, 1, 2
_LOG_2 = math.log(2.0)
_LOG_2_PI = math.log(2.0 * math.pi)
_DEEP = -600.0
_SERIES_END = 1e-18
_STIRLING = np.array([
    0.0, 0.08106146679532725822, 0.04134069595540929409, 0.02767792568499833915, 0.02079067210376509311,
    0.01664469118982119216, 0.01387612882307074800, 0.01189670994589177010, 0.01041126526197209650,
    0.009255462182712732918, 0.008330563433362871256, 0.007573675487951840795, 0.006942840107209529866,
    0.006408994188004207068, 0.005951370112758847736, 0.005554733551962801371,
])  # fmt: skip


@njit(cache=True)
def log1mexp(x: float) -> float:
    """ln(1 - e^x) for x <= 0, with full digits at both ends."""
    if x >= 0.0:
        return -math.inf
    if x > -_LOG_2:
        return math.log(-math.expm1(x))
    return math.log1p(-math.exp(x))


@njit(cache=True)
def log_escape(action: float, attempts: float) -> tuple[float, float]:
    """(ln p, ln q) of one electron after `attempts` tries at transmission T = exp(-action).

    ln q = M ln(1 - T); ln p = ln(1 - q), or ln M - action once M T is lost beside 1 (it never underflows).
    """
    log_q = attempts * log1mexp(-action)
    if log_q > -1e-17:
        return math.log(attempts) - action, log_q
    return log1mexp(log_q), log_q


@njit(cache=True)
def stirling_error(n: float) -> float:
    """ln n! - [ln(2 pi n)/2 + n ln n - n] for a whole n >= 0 (0 by convention at n = 0)."""
    if n < 16.0:
        return float(_STIRLING[int(n)])
    nn = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188 - 691 / 360360 / nn) / nn) / nn) / nn) / nn) / n


@njit(cache=True)
def deviance(x: float, mean: float) -> float:
    """x ln(x / mean) + mean - x, without cancellation when x is close to the mean."""
    if x == 0.0:
        return mean
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, power, order = (x - mean) * v, 2.0 * x * v, 1
    while order < 1000:
        power *= v * v
        order += 2
        longer = total + power / order
        if longer == total:
            break
        total = longer
    return total


@njit(cache=True)
def log_choose(n: float, j: float) -> float:
    """ln C(n, j), 0 <= j <= n, from Stirling's series."""
    if j <= 0.0 or j >= n:
        return 0.0
    entropy = -j * math.log(j / n) - (n - j) * math.log1p(-j / n)
    correction = stirling_error(n) - stirling_error(j) - stirling_error(n - j)
    return entropy + correction - 0.5 * (_LOG_2_PI + math.log(j) + math.log1p(-j / n))


@njit(cache=True)
def log_binomial_mass(j: float, n: float, log_p: float, log_q: float) -> float:
    """ln P(K = j), K ~ Binomial(n, p): Loader's saddle point, or ln C(n, j) + j ln p + (n - j) ln q in a deep tail."""
    if j == 0.0:
        return n * log_q
    if j == n:
        return n * log_p
    if log_p < _DEEP or log_q < _DEEP:
        return log_choose(n, j) + j * log_p + (n - j) * log_q
    mean, rest = -n * math.expm1(log_q), n * math.exp(log_q)
    correction = stirling_error(n) - stirling_error(j) - stirling_error(n - j)
    exponent = correction - deviance(j, mean) - deviance(n - j, rest)
    return exponent - 0.5 * (_LOG_2_PI + math.log(j) + math.log1p(-j / n))


@njit(cache=True)
def log_binomial_tail(n: float, k: float, log_p: float, log_q: float) -> tuple[float, float]:
    """(ln P(K > k), ln P(K <= k)), K ~ Binomial(n, p): the smaller side as a series of positive terms."""
    total, term = 1.0, 1.0
    if k + 1.0 > -n * math.expm1(log_q):
        odds, j = math.exp(log_p - log_q), k + 1.0
        while term > _SERIES_END * total and j < n:
            term *= (n - j) / (j + 1.0) * odds
            total += term
            j += 1.0
        above = min(0.0, log_binomial_mass(k + 1.0, n, log_p, log_q) + math.log(total))
        return above, log1mexp(above)
    odds, j = math.exp(log_q - log_p), k
    while term > _SERIES_END * total and j > 0.0:
        term *= j / (n - j + 1.0) * odds
        total += term
        j -= 1.0
    below = min(0.0, log_binomial_mass(k, n, log_p, log_q) + math.log(total))
    return log1mexp(below), below


@njit(cache=True)
def log_poisson_mass(j: float, log_mean: float) -> float:
    """ln P(K = j), K ~ Poisson(mean)."""
    if j == 0.0:
        return -math.exp(log_mean)
    factorial_part = 0.5 * (_LOG_2_PI + math.log(j)) + stirling_error(j)
    if log_mean < _DEEP:
        return j * (log_mean - math.log(j)) + j - math.exp(log_mean) - factorial_part
    return -deviance(j, math.exp(log_mean)) - factorial_part


@njit(cache=True)
def log_poisson_tail(k: float, log_mean: float) -> tuple[float, float]:
    """(ln P(K > k), ln P(K <= k)), K ~ Poisson(mean)."""
    total, term, mean = 1.0, 1.0, math.exp(log_mean)
    if k + 1.0 > mean:
        j = k + 1.0
        while term > _SERIES_END * total:
            term *= mean / (j + 1.0)
            total += term
            j += 1.0
        above = min(0.0, log_poisson_mass(k + 1.0, log_mean) + math.log(total))
        return above, log1mexp(above)
    j = k
    while term > _SERIES_END * total and j > 0.0:
        term *= j / mean
        total += term
        j -= 1.0
    below = min(0.0, log_poisson_mass(k, log_mean) + math.log(total))
    return log1mexp(below), below


@njit(cache=True)
def log_tail(tail: int, n: float, k: float, log_p: float, log_q: float) -> tuple[float, float]:
    """(ln P(K > k), ln P(K <= k)) by the tail asked for: BINOMIAL, POISSON or LEADING (capped at 1)."""
    if tail == POISSON:
        return log_poisson_tail(k, math.log(n) + log_p)
    if tail == LEADING:
        above = min(0.0, log_choose(n, k + 1.0) + (k + 1.0) * log_p)
        return above, log1mexp(above)
    return log_binomial_tail(n, k, log_p, log_q)


@njit(cache=True)
def flip_chain(action: np.ndarray, attempts: float, n: float, k: float, tail: int, out: np.ndarray) -> None:
    """Rows of `out` (4, len(action)): ln p_esc, ln(1 - p_esc), ln p_flip, ln(1 - p_flip) for each action."""
    for place in range(action.size):
        log_p, log_q = log_escape(action[place], attempts)
        above, below = log_tail(tail, n, k, log_p, log_q)
        out[0, place], out[1, place], out[2, place], out[3, place] = log_p, log_q, above, below
