"""Bare kernels of a pure death process: float64, logs throughout, no checks (the functions above them check).

Every kernel also runs uncompiled through its `.py_func`.

Beside a trap that passes electrons at the rate R, whatever their number is, n of them leave at n x + R per window. The
times of such rates add up to -ln(1 - U) / x, U ~ Beta(k + 1, b), b = N - k + R / x, so that

    P(more than k leave) = P(m > k),   P(m) = Gamma(m + b) / (m! Gamma(b)) p^m q^b,   p = 1 - e^-x, q = e^-x

a negative binomial law whose b depends on N - k alone. N + dn electrons of which more than k + dn must leave have the
same law: over a dn that varies, the cell flips with sum_m P(m) P(dn < m - k), one sum of positive terms for all dn.

Sources: A. Renyi, Acta Math. Acad. Sci. Hung. 4, 191 (1953) (sums of such times); C. Loader, "Fast and accurate
computation of binomial probabilities" (2000) (saddle-point mass function).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from qtaml_codesign.physics.kernels import log1mexp

_LOG_2_PI = math.log(2.0 * math.pi)
_MOST_LOG_RATE = 690.0
_LEAST = 1e-300
_SERIES_END = 1e-18
_HALVINGS = 20


@njit(cache=True)
def log_add(a: float, b: float) -> float:
    """ln(e^a + e^b); b may be -inf, a may not."""
    most = max(a, b)
    return most + math.log1p(math.exp(min(a, b) - most))


@njit(cache=True)
def stirling_error_of(v: float) -> float:
    """ln Gamma(v + 1) - [ln(2 pi v)/2 + v ln v - v] for any v > 0."""
    if v < 16.0:
        return math.lgamma(v + 1.0) - (v + 0.5) * math.log(v) + v - 0.5 * _LOG_2_PI
    vv = v * v
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188 - 691 / 360360 / vv) / vv) / vv) / vv) / vv) / v


@njit(cache=True)
def deviance_by(v: float, excess: float, log_ratio: float) -> float:
    """v ln(v / mean) + mean - v from excess = mean - v and log_ratio = ln(mean / v), each with all its digits."""
    u = excess / v
    if abs(u) > 0.1:
        return excess - v * log_ratio
    r = u / (2.0 + u)
    rr = r * r
    rest = 1 / 3 + rr * (1 / 5 + rr * (1 / 7 + rr * (1 / 9 + rr * (1 / 11 + rr * (1 / 13 + rr / 15)))))
    return excess * r - 2.0 * (v * r) * rr * rest


@njit(cache=True)
def log_leaving_mass(m: float, x: float, log_p: float, b: float, log_mean: float) -> float:
    """ln P(m) of the negative binomial law, m >= 1, from x, log_p = ln p and b; log_mean = ln(b p) holds at any b."""
    excess = math.exp(log_mean) - m * math.exp(-x)  # (m + b) p - m
    log_ratio = log_add(math.log(m) + log_p, log_mean) - math.log(m)
    log_rest = math.log1p(m / b)
    peak = stirling_error_of(m + b) - stirling_error_of(m) - stirling_error_of(b) - 0.5 * (
        _LOG_2_PI + math.log(m) + log_rest)
    return peak - deviance_by(m, excess, log_ratio) - deviance_by(b, -excess, log_rest - x)


@njit(cache=True)
def weighted_peak(first: int, last: int, p: float, mean: float, rise: np.ndarray) -> int:
    """The m in first..last at which P(m) w(m) is largest, from p and mean = b p; rise[m] = w(m + 1) / w(m)."""
    while first < last:
        middle = (first + last) // 2
        if (middle * p + mean) / (middle + 1.0) * rise[middle] < 1.0:
            last = middle
        else:
            first = middle + 1
    return first


@njit(cache=True)
def weighted_sum(m: int, first: int, last: int, p: float, mean: float, rise: np.ndarray) -> float:
    """sum_i P(i) w(i) / (P(m) w(m)) from the peak m outwards, over i >= first; beyond `last` w stays as it is, or ends.

    p, mean: as for `weighted_peak`. last: where w ends if `rise` is no longer than that, else where it stays.
    """
    total, term, i = 1.0, 1.0, m
    while term > _SERIES_END * total and (i < last or rise.size > last):
        term *= (i * p + mean) / (i + 1.0) * rise[min(i, last)]
        total += term
        i += 1
    term, i = 1.0, m
    while term > _SERIES_END * total and i > first:
        term *= i / ((i - 1.0) * p + mean) / rise[i - 1]
        total += term
        i -= 1
    return total


@njit(cache=True)
def leaving_logs(
    log_x: np.ndarray, log_rate: np.ndarray, rest: float, k: int, first: int, log_flips: np.ndarray, rise: np.ndarray,
    log_stays: np.ndarray, fall: np.ndarray, out: np.ndarray,
) -> None:
    """Rows of `out` (2, points): ln p_flip and ln(1 - p_flip), of which the smaller is a sum, over m that would leave.

    log_x, log_rate: (points,) ln x of each electron, and ln R (-inf: none). rest: N - k_th. k: k_th.
    log_flips[m]: ln of the chance to flip if m would leave, 0 from the last on; of those below `first` none flips.
    rise[m]: its ratio from m to m + 1, 1 at the last. log_stays[m]: ln of the
    chance to stay, none beyond its last. fall[m]: its ratio.
    """
    for place in range(log_x.size):
        log_one, log_by = min(log_x[place], _MOST_LOG_RATE), min(log_rate[place], _MOST_LOG_RATE)
        x = math.exp(log_one)
        p = -math.expm1(-x)
        log_p = math.log(p) if x > _LEAST else log_one
        log_total = log_add(math.log(rest) + log_one, log_by)
        log_mean = log_total + (log_p - log_one)
        b, mean = rest + math.exp(min(log_by - log_one, _MOST_LOG_RATE)), max(math.exp(log_mean), _LEAST)
        few = mean < (k + 1.0) * math.exp(-x)  # the mean of m, which is not below its peak
        if few:
            last = log_flips.size - 1
            m = weighted_peak(first, last, p, mean, rise)
            log_sum = log_flips[m] + math.log(weighted_sum(m, first, last, p, mean, rise))
        else:
            last = log_stays.size - 1
            m = weighted_peak(0, last, p, mean, fall)
            log_sum = log_stays[m] + math.log(weighted_sum(m, 0, last, p, mean, fall))
        if m == 0:
            log_sum -= math.exp(log_total)
        else:
            log_sum += log_leaving_mass(float(m), x, log_p, b, log_mean)
        small = min(log_sum, 0.0)
        out[0, place], out[1, place] = (small, log1mexp(small)) if few else (log1mexp(small), small)


@njit(cache=True)
def tilted(s: float, log_rates: np.ndarray, gaps: np.ndarray, log_shares: np.ndarray, shares: np.ndarray) -> float:
    """ln Phi(s), Phi = sum_i share_i prod_(j >= i) r_j / (r_j + s); `shares` becomes the part of each i in it.

    log_rates: (stages,) in the order in which electrons leave. gaps: (stages,) r + s. log_shares: (stages,) ln of the
    share of cells that start with each stage, -inf allowed.
    """
    below, most = 0.0, -math.inf
    for i in range(gaps.size - 1, -1, -1):
        rate = math.exp(log_rates[i])
        below -= math.log1p(s / rate) if abs(s) < 0.5 * rate else math.log(gaps[i]) - log_rates[i]
        shares[i] = log_shares[i] + below
        most = max(most, shares[i])
    total = 0.0
    for i in range(gaps.size):
        shares[i] = math.exp(shares[i] - most)
        total += shares[i]
    for i in range(gaps.size):
        shares[i] /= total
    return most + math.log(total)


@njit(cache=True)
def tilted_mean(gaps: np.ndarray, shares: np.ndarray, centre: float) -> tuple[float, float]:
    """Means over the shares of a_1 and of (a_1 - centre)^2 + a_2, a_n = sum_(j >= i) gaps[j]^-n."""
    first, second, mean, spread = 0.0, 0.0, 0.0, 0.0
    for i in range(gaps.size - 1, -1, -1):
        inverse = 1.0 / gaps[i]
        first += inverse
        second += inverse * inverse
        mean += shares[i] * first
        spread += shares[i] * ((first - centre) ** 2 + second)
    return mean, spread


@njit(cache=True)
def contour_area(pole: float, gaps: np.ndarray, shares: np.ndarray, width: float, bend: float) -> float:
    """Integral of exp(away) pole / (pole + away) Phi(s + away) / Phi(s) over a parabola through the saddle, over pi.

    pole: s at the saddle. gaps, shares: (stages,) r + s and the parts of `tilted` there. width: of one step of the path
    in 1 / 0.125. bend: of the parabola: with 1 / (3 width) the integrand of equal stages falls.
    """
    total, quiet, u, inverse = 0.5, 0, 0.0, 1.0 / gaps
    while quiet < 4 and u < 60.0:
        u += 0.125
        away = complex(-width * bend * u * u, width * u)
        passed, phi = complex(1.0, 0.0), complex(0.0, 0.0)
        for i in range(gaps.size - 1, -1, -1):
            passed /= 1.0 + away * inverse[i]
            phi += shares[i] * passed
        value = np.exp(away) * phi / (1.0 + away / pole) * complex(1.0, 2.0 * bend * u)
        total += value.real
        quiet = quiet + 1 if abs(value) < _SERIES_END * total else 0
    return width * 0.125 * total / math.pi


@njit(cache=True)
def death_logs(log_rates: np.ndarray, log_shares: np.ndarray, log_sure: float, out: np.ndarray) -> None:
    """Rows of `out` (2, points): ln of the share of cells that are through all their stages in the window, and rest.

    The smaller of the two by the contour integral of `self_limiting` with Phi(s) in place of one product.

    log_rates: (stages, points) ln of the rates per window, in the order in which electrons leave. log_shares: (stages,)
    ln of the share of cells that start with each stage. log_sure: ln of the share that is through from the start.
    """
    stages = log_rates.shape[0]
    rates, gaps, shares = np.empty(stages), np.empty(stages), np.empty(stages)
    for place in range(log_rates.shape[1]):
        logs = np.minimum(log_rates[:, place], _MOST_LOG_RATE)
        rates[:] = np.exp(logs)
        slowest, held = rates.min(), np.maximum(rates, _LEAST)
        tilted(0.0, logs, held, log_shares, shares)
        rare = tilted_mean(held, shares, 0.0)[0] >= 1.0
        origin = 0.0 if rare else slowest
        low, high = 0.3, stages + 1.0 if rare else min(stages + 1.0, slowest)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            s = middle - origin
            gaps[:] = (rates - origin) + middle  # with all digits, however large the rates
            tilted(s, logs, gaps, log_shares, shares)
            if 1.0 - 1.0 / s - tilted_mean(gaps, shares, 0.0)[0] > 0.0:
                high = middle
            else:
                low = middle
        gaps[:] = (rates - origin) + low
        s = low - origin
        log_phi = tilted(s, logs, gaps, log_shares, shares)
        centre = tilted_mean(gaps, shares, 0.0)[0]
        curvature = 1.0 / (s * s) + tilted_mean(gaps, shares, centre)[1]
        width = curvature**-0.5
        area = contour_area(s, gaps, shares, width, 1.0 / (3.0 * width))
        small = min(s - math.log(abs(s)) + log_phi + math.log(area), -_LEAST)
        if rare:
            small = min(log_add(small, log_sure), -_LEAST)
        out[0, place], out[1, place] = (small, log1mexp(small)) if rare else (log1mexp(small), small)
