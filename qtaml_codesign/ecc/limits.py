"""What no code can beat: the capacity of a memory cell that flips with probability p."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.errors import InputError

NEAR_HALF = 0.25


def binary_entropy(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Binary entropy H2(p) = -p log2 p - (1-p) log2(1-p), bits; any shape, p in [0, 1], exact down to 1e-300.

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    Example:
        >>> round(float(binary_entropy(0.1)), 6)
        0.468996
    """
    rate = _rate(flip_probability)
    return (special.entr(rate) - special.xlog1py(1.0 - rate, -rate)) / math.log(2.0)


def capacity(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Capacity C = 1 - H2(p) of the binary symmetric channel, bits per cell; any shape, p in [0, 1].

    Near p = 1/2 the difference cancels; there, with x = 1 - 2p, C = ((1+x) log1p(x) + (1-x) log1p(-x)) / (2 ln 2)
    is evaluated by its series sum_k x^(2k) / (2k (2k-1) ln 2), so C keeps its digits down to x = 1e-150.

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    Example:
        >>> round(float(capacity(0.10)), 3)
        0.531
    """
    rate = _rate(flip_probability)
    x = (0.5 - rate) * 2.0
    return np.where(np.abs(rate - 0.5) < NEAR_HALF, _capacity_series(x), 1.0 - binary_entropy(rate))


def extra_cells_per_protected_bit(flip_probability: ArrayLike) -> NDArray[np.float64]:
    """Fewest extra cells per protected bit, 1/C - 1, that any code needs at flip probability p; inf at p = 1/2.

    The bound holds for error probability tending to zero with long blocks and symmetric flips at this rate; a code
    of finite length needs more. Below p = 1/2 it grows from 0 (p = 0) without limit. For small p it is H2(p) / C,
    which keeps its digits down to p = 1e-300.

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948), noisy-channel coding theorem.

    Example:
        >>> round(float(extra_cells_per_protected_bit(0.10)), 3)
        0.883
    """
    free = capacity(flip_probability)
    entropy = np.asarray(binary_entropy(flip_probability))
    return np.divide(entropy, free, out=np.full_like(entropy, np.inf), where=free > 0.0)


def _capacity_series(x: NDArray[np.float64]) -> NDArray[np.float64]:
    square = np.minimum(x * x, NEAR_HALF)
    total = np.zeros_like(square)
    for k in range(30, 0, -1):
        total = square * (1.0 / (2 * k * (2 * k - 1)) + total)
    return total / math.log(2.0)


def _rate(values: ArrayLike) -> NDArray[np.float64]:
    rate = np.asarray(values, dtype=np.float64)
    if not ((rate >= 0.0) & (rate <= 1.0)).all():
        raise InputError(
            "a flip probability is not between 0 and 1", where="flip_probability", rule="0 <= flip_probability <= 1",
            value=values, next_step="give a probability per bit and inference window: 10 % is written 0.10",
        )
    return rate
