"""Bare kernels of the physics chain: float64, logs throughout, no checks (the functions above them check).

Every kernel also runs uncompiled through its `.py_func`. Names: `log_p` = ln p and `log_q` = ln(1 - p) of one electron,
N electrons, threshold k, K the number that escape. `flip_chain` goes point by point, as do all kernels above it; those
below it take one step of `binomial` or `cells` for many points, free of branches, so that they become vector code.

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
    total, power = (x - mean) * v, 2.0 * x * v
    for order in range(3, 1002, 2):
        power *= v * v
        longer = total + power / order
        if longer == total:
            break
        total = longer
    return total


@njit(cache=True)
def log_peak(n: float, j: float) -> float:
    """ln P(K = j) at its largest, p = j / n, 1 <= j <= n."""
    if j == n:
        return 0.0
    correction = stirling_error(n) - stirling_error(j) - stirling_error(n - j)
    return correction - 0.5 * (_LOG_2_PI + math.log(j * ((n - j) / n)))


@njit(cache=True)
def log_choose(n: float, j: float) -> float:
    """ln C(n, j), 0 <= j <= n, from Stirling's series."""
    if j <= 0.0 or j >= n:
        return 0.0
    return log_peak(n, j) - j * math.log(j / n) - (n - j) * math.log1p(-j / n)


@njit(cache=True)
def log_binomial_mass(j: float, n: float, log_p: float, log_q: float) -> float:
    """ln P(K = j), K ~ Binomial(n, p): Loader's saddle point, or ln C(n, j) + j ln p + (n - j) ln q in a deep tail.

    j: 0..n, a whole number. log_p, log_q: ln p and ln q, q = 1 - p.
    """
    if j == 0.0:
        return n * log_q
    if j == n:
        return n * log_p
    if log_p < _DEEP or log_q < _DEEP:
        return log_choose(n, j) + j * log_p + (n - j) * log_q
    mean, rest = -n * math.expm1(log_q), n * math.exp(log_q)
    return log_peak(n, j) - deviance(j, mean) - deviance(n - j, rest)


@njit(cache=True)
def log_binomial_tail(n: float, k: float, log_p: float, log_q: float) -> tuple[float, float]:
    """(ln P(K > k), ln P(K <= k)), K ~ Binomial(n, p): the smaller side as a series of positive terms.

    k: 0 <= k < n, a whole number. log_p, log_q: ln p and ln q, q = 1 - p.
    """
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
    """ln P(K = j), K ~ Poisson(mean), from log_mean = ln mean; j a whole number >= 0."""
    if j == 0.0:
        return -math.exp(log_mean)
    factorial_part = 0.5 * (_LOG_2_PI + math.log(j)) + stirling_error(j)
    if log_mean < _DEEP:
        return j * (log_mean - math.log(j)) + j - math.exp(log_mean) - factorial_part
    return -deviance(j, math.exp(log_mean)) - factorial_part


@njit(cache=True)
def log_poisson_tail(k: float, log_mean: float) -> tuple[float, float]:
    """(ln P(K > k), ln P(K <= k)), K ~ Poisson(mean), from log_mean = ln mean; k a whole number >= 0."""
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
def flip_chain(action: np.ndarray, attempts: float, n: float, k: float, tail: int, out: np.ndarray) -> None:
    """Rows of `out` (4, len(action)): ln p_esc, ln(1 - p_esc), ln p_flip, ln(1 - p_flip) for each action.

    attempts: M, tries of each electron. n: N electrons. k: as many may escape without a flip. The tail is BINOMIAL,
    POISSON or LEADING (capped at 1).
    """
    for place in range(action.size):
        log_p, log_q = log_escape(action[place], attempts)
        if tail == POISSON:
            above, below = log_poisson_tail(k, math.log(n) + log_p)
        elif tail == LEADING:
            above = min(0.0, log_choose(n, k + 1.0) + (k + 1.0) * log_p)
            below = log1mexp(above)
        else:
            above, below = log_binomial_tail(n, k, log_p, log_q)
        out[0, place], out[1, place], out[2, place], out[3, place] = log_p, log_q, above, below


@njit(cache=True)
def rare_hazard(transmission: np.ndarray, attempts: float) -> None:
    """-M ln(1 - T) for T < 0.01, in place of T: M (T + T^2 / 2 + ... + T^8 / 8).

    transmission: (n,) T, overwritten. attempts: M.
    """
    for i in range(transmission.size):
        t = transmission[i]
        rest = t * (1 / 2 + t * (1 / 3 + t * (1 / 4 + t * (1 / 5 + t * (1 / 6 + t * (1 / 7 + t / 8))))))
        transmission[i] = attempts * (t + t * rest)


@njit(cache=True)
def tail_coefficients(n: float, j: float) -> np.ndarray:
    """c_i of P(K >= j) / P(K = j) = sum_i c_i z^i, z = (n - j) / (j + 1) p / q; as many as z <= 1 needs, in eights.

    c_0 = 1, c_(i+1) / c_i = (n - j - i) / (n - j) (j + 1) / (j + 1 + i) <= 1.
    """
    terms, total = [1.0], 1.0
    while terms[-1] > _SERIES_END * total and len(terms) <= n - j:
        i = len(terms)
        terms.append(terms[-1] * ((n - j - i + 1.0) / (n - j) * ((j + 1.0) / (j + i))))
        total += terms[-1]
    return np.array(terms + [0.0] * (-len(terms) % 8))


@njit(cache=True)
def blocks_needed(coefficients: np.ndarray, z: float) -> int:
    """Blocks of eight terms after which no term changes the sum any more, at z and at everything below it.

    coefficients: of `tail_coefficients`, a multiple of eight. z: >= 0.
    """
    total, power = 0.0, 1.0
    for i in range(coefficients.size):
        term = coefficients[i] * power
        if term < _SERIES_END * total:
            return (i + 7) // 8
        total += term
        power *= z
    return coefficients.size // 8


@njit(cache=True)
def tail_series(odds: np.ndarray, scale: float, coefficients: np.ndarray, blocks: int, total: np.ndarray) -> None:
    """total = sum_i c_i (scale odds)^i in blocks of eight; one too small to change the sum leaves it as it is.

    odds: (n,) p / q. coefficients: c_i, of `tail_coefficients`; the first `blocks` times eight count. total: (n,),
    overwritten.
    """
    power = np.empty_like(odds)
    for block in range(blocks):
        c0, c1, c2, c3, c4, c5, c6, c7 = coefficients.reshape(-1, 8)[block]
        for i in range(odds.size):
            z = scale * odds[i]
            square = z * z
            inner = c0 + z * (c1 + z * (c2 + z * (c3 + z * (c4 + z * (c5 + z * (c6 + z * c7))))))
            eighth = (square * square) * (square * square)
            before, so_far = (power[i], total[i]) if block else (1.0, 0.0)
            total[i] = so_far + before * inner
            power[i] = before * eighth


@njit(cache=True, error_model="numpy")
def near_peak(odds: np.ndarray, n: float, j: float, ratio: np.ndarray, rounding: np.ndarray, lean: np.ndarray) -> None:
    """ratio = n p / j, rounding = ln of the exact over the rounded ratio, lean = n q / (n - j) - 1; odds = p / q.

    n p - j is taken from the smaller of p and q, and all three from it, so that the rounding of p moves the mass
    function no more than p itself does, however close the ratio is to 1.
    """
    over_j, over_rest = 1.0 / j, 1.0 / (n - j) if n > j else 0.0
    for i in range(odds.size):
        q = 1.0 / (1.0 + odds[i])
        p = odds[i] * q
        excess = n * p - j if p < 0.5 else (n - j) - n * q
        above = excess * over_j
        near = above > -0.5
        ratio[i] = 1.0 + above if near else n * p * over_j
        rounding[i] = (above - (ratio[i] - 1.0)) / ratio[i] if near else 0.0
        lean[i] = -excess * over_rest


@njit(cache=True)
def join_tail(
    log_ratio: np.ndarray, rounding: np.ndarray, log_rest: np.ndarray, log_total: np.ndarray, log_peak: float, n: float,
    j: float, out: np.ndarray,
) -> None:
    """out = ln P(K >= j) from its parts; log_ratio = ln(n p / j), to be corrected by its rounding, becomes ln p.

    Each array is (points,). log_rest: ln(n q / (n - j)). log_total: ln of `tail_series`. log_peak: what the function of
    that name gives for n and j. out: overwritten, and so is log_ratio.
    """
    log_share = math.log(j / n)
    for i in range(out.size):
        exact = log_ratio[i] + rounding[i]
        log_ratio[i] = exact + log_share
        out[i] = min(0.0, log_peak + j * exact + (n - j) * log_rest[i] + log_total[i])


@njit(cache=True)
def piecewise_cubic(places: np.ndarray, origin: float, per_step: float, table: np.ndarray, out: np.ndarray) -> None:
    """out = table[i] . (1, t, t^2, t^3), i + t = (places - origin) per_step; every place must lie in the table."""
    for at in range(places.size):
        steps = (places[at] - origin) * per_step
        i = int(steps)
        t = steps - i
        out[at] = table[i, 0] + t * (table[i, 1] + t * (table[i, 2] + t * table[i, 3]))
