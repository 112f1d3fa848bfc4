"""What no code can beat: the capacity of a memory cell that flips with probability p."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.checks import probabilities

NEAR_HALF = 0.25


def binary_entropy(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Binary entropy H2(p) = -p log2 p - (1-p) log2(1-p), bits; any shape, p in [0, 1], exact down to 1e-300.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    Example:
        >>> round(float(binary_entropy(0.1)), 6)
        0.468996
    """
    rate = probabilities("flip_probability", flip_probability)
    return (special.entr(rate) - special.xlog1py(1.0 - rate, -rate)) / math.log(2.0)


def capacity(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Capacity C = 1 - H2(p) of the binary symmetric channel, bits per cell; any shape, p in [0, 1].

    Near p = 1/2 the difference cancels; there, with x = 1 - 2p, C = ((1+x) log1p(x) + (1-x) log1p(-x)) / (2 ln 2)
    is evaluated by its series sum_k x^(2k) / (2k (2k-1) ln 2), so C keeps its digits down to x = 1e-150.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    Example:
        >>> round(float(capacity(0.10)), 3)
        0.531
    """
    rate = probabilities("flip_probability", flip_probability)
    x = (0.5 - rate) * 2.0
    return np.where(np.abs(rate - 0.5) < NEAR_HALF, _capacity_series(x), 1.0 - binary_entropy(rate))


def extra_cells_per_protected_bit(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Fewest extra cells per protected bit, 1/C - 1, that any code needs at flip probability p; inf at p = 1/2.

    The bound holds for error probability tending to zero with long blocks and symmetric flips at this rate; a code
    of finite length needs more. Below p = 1/2 it grows from 0 (p = 0) without limit. For small p it is H2(p) / C,
    which keeps its digits down to p = 1e-300.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948), noisy-channel coding theorem.

    Example:
        >>> round(float(extra_cells_per_protected_bit(0.10)), 3)
        0.883
    """
    free = capacity(flip_probability)
    entropy = np.asarray(binary_entropy(flip_probability))
    return np.divide(entropy, free, out=np.full_like(entropy, np.inf), where=free > 0.0)


def capacity_under_charge_loss(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Capacity C = log2(1 + (1-p) p^(p/(1-p))) of the Z channel, on which only one state flips; p in [0, 1].

    The best code stores the state that cannot flip more often than the other.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Source: L. G. Tallini, S. Al-Bassam and B. Bose, IEEE Int. Symp. Inf. Theory (2002) 422.

    Example:
        >>> round(float(capacity_under_charge_loss(0.10)), 3)
        0.763
    """
    return np.log1p(np.exp(_log_use(flip_probability))) / math.log(2.0)


def extra_cells_under_charge_loss(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Fewest extra cells per protected bit, 1/C - 1, of any code where only one state flips; inf at p = 1.

    With h = ln((1-p) p^(p/(1-p))) it is (1 - C) / C, 1 - C = -log2(1 + expm1(h) / 2), which keeps its digits down to
    p = 1e-300.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Example:
        >>> round(float(extra_cells_under_charge_loss(0.10)), 3)
        0.311
    """
    free = np.asarray(capacity_under_charge_loss(flip_probability))
    lost = -np.log1p(np.expm1(_log_use(flip_probability)) / 2.0) / math.log(2.0)
    return np.divide(lost, free, out=np.full_like(free, np.inf), where=free > 0.0)


def _log_use(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """ln((1-p) p^(p/(1-p))), -inf at p = 1."""
    rate = probabilities("flip_probability", flip_probability)
    below = np.where(rate < 1.0, rate, 0.5)
    return np.where(rate < 1.0, np.log1p(-below) + special.xlogy(below / (1.0 - below), below), -np.inf)


def _capacity_series(x: NDArray[np.float64]) -> NDArray[np.float64]:
    square = np.minimum(x * x, NEAR_HALF)
    total = np.zeros_like(square)
    for k in range(30, 0, -1):
        total = square * (1.0 / (2 * k * (2 * k - 1)) + total)
    return total / math.log(2.0)
