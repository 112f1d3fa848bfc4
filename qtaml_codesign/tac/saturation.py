"""When does an uneven allocation pay? The saturation theorem (arXiv 2606.00741, Theorem 4.6).

With scores s_l = ||W_l||_inf^2 J_l^2 and N = sum_l n_l,

    rho* = GM / AM,   GM = exp(sum_l (n_l/N) ln s_l),   AM = sum_l (n_l/N) s_l
    k_l* = kbar + log_4(s_l / GM)                       (interior regime, 0 < k_l* < B for every l)
    V_TAC / V_uniform = rho*                            at every budget of the interior regime
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def saturation_ratio(weights: ArrayLike, scores: ArrayLike) -> float:
    """rho* = GM / AM of the scores, weighted by layer size: in (0, 1], 1 when all scores are equal.

    Layers of score zero (an unused or all-zero tensor) need no protection and are left out: N counts the weights of the
    others. A network of such layers alone gives 1.

    Args:
        weights: (L,) n_l.
        scores: (L,) s_l >= 0.

    Example:
        >>> saturation_ratio([1, 1], [4.0, 1.0])
        0.8
        >>> saturation_ratio([1, 1, 50], [4.0, 1.0, 0.0])
        0.8
    """
    score = np.asarray(scores, dtype=np.float64)
    counts = score > 0.0
    if not counts.any():
        return 1.0
    size, score = np.asarray(weights, dtype=np.float64)[counts], score[counts]
    share = size / size.sum()
    return float(np.exp(share @ np.log(score / (share @ score))))


def continuous_depths(weights: ArrayLike, scores: ArrayLike, mean_depth: float, bits: ArrayLike) -> Floats:
    """Optimum over real depths: k_l = clip(log_4(s_l / mu), 0, B_l) with sum_l n_l k_l = N mean_depth.

    mu is found by bisection; in the interior regime it equals GM 4^(-mean_depth).

    Args:
        weights: (L,) n_l.
        scores: (L,) s_l >= 0.
        mean_depth: kbar, protected bits per weight, in [0, B].
        bits: B_l, one number or (L,).

    Example:
        >>> continuous_depths([1, 1], [4.0, 1.0], mean_depth=3.0, bits=8).round(12)
        array([3.5, 2.5])
    """
    size = np.asarray(weights, dtype=np.float64)
    highest = np.broadcast_to(np.asarray(bits, dtype=np.float64), size.shape)
    with np.errstate(divide="ignore"):
        log_score = np.log(np.asarray(scores, dtype=np.float64)) / np.log(4.0)
    finite = log_score[np.isfinite(log_score)]
    if finite.size == 0:
        flat: Floats = np.minimum(mean_depth, highest)
        return flat
    low, high = finite.min() - highest.max() - 1.0, finite.max() + 1.0
    for _ in range(200):
        level = 0.5 * (low + high)
        spent = size @ np.clip(log_score - level, 0.0, highest)
        low, high = (level, high) if spent > mean_depth * size.sum() else (low, level)
    depths: Floats = np.clip(log_score - high, 0.0, highest)
    return depths


def integer_correction_bound() -> tuple[float, float]:
    """Worst cost of rounding depths to integers: (max_f, argmax_f) of 4^f (1 - 3f/4) over 0 <= f <= 1.

    The maximum lies at f = 4/3 - 1/ln 4.

    Example:
        >>> [round(v, 5) for v in integer_correction_bound()]
        [1.26374, 0.61199]
    """
    fraction = 4.0 / 3.0 - 1.0 / float(np.log(4.0))
    return float(4.0**fraction * (1.0 - 0.75 * fraction)), fraction
