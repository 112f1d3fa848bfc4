"""Cumulants of what is read back, per stored code, in units of the step D; `law.py` wraps them.

An additive encoding (offset binary, two's complement) reads level + sum_i c_i s_i X_i with independent
X_i ~ Bernoulli(r_i), s_i = 1 - 2 b_i, c_i = 2^i (the MSB of two's complement has c = -2^(B-1)) and r_i the rate
`down` (1 to 0) of a stored 1, `up` (0 to 1) of a stored 0. Cumulants of independent terms add.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Cumulants(NamedTuple):
    """Mean of the deviation and cumulants 2 to 4, each of shape (codes,), code order."""

    mean: Array
    variance: Array
    third: Array
    fourth: Array


def over_codes(by_plane: Array, join: np.ufunc = np.add) -> Array:
    """Sum, or product, over planes for every code.

    Args:
        by_plane: (B, 2) values by plane and stored bit.
        join: `np.add` or `np.multiply`.

    Returns:
        (2^B,) in code order.

    Example:
        >>> over_codes(np.array([[0.0, 1.0], [0.0, 2.0]])).tolist()
        [0.0, 1.0, 2.0, 3.0]
        >>> over_codes(np.array([[0.9, 0.1], [0.5, 0.5]]), np.multiply).tolist()
        [0.45, 0.05, 0.45, 0.05]
    """
    found = np.full(1, float(join.identity))
    for zero, one in by_plane:
        found = np.concatenate([join(found, zero), join(found, one)])
    return found


def additive(down: Array, up: Array, weights: Array) -> Cumulants:
    """Cumulants of sum_i c_i s_i X_i for every code, in closed form.

    k1 = sum c s r, k2 = sum c^2 r q, k3 = sum (c s)^3 r q (1 - 2r), k4 = sum c^4 r q (1 - 6 r q), q = 1 - r.

    Args:
        down: (B,) rates of a stored 1.
        up: (B,) rates of a stored 0.
        weights: (B,) c_i.
    """
    rate = np.stack([up, down], axis=1)
    jump = np.stack([weights, -weights], axis=1)
    spread = rate * (1.0 - rate)
    return Cumulants(
        over_codes(jump * rate), over_codes(jump**2 * spread),
        over_codes(jump**3 * spread * (1.0 - 2.0 * rate)), over_codes(jump**4 * spread * (1.0 - 6.0 * spread)),
    )


def signed(down: Array, up: Array) -> Cumulants:
    """Cumulants of the deviation in sign-magnitude, exactly: a sign that flips multiplies an additive magnitude.

    With the magnitude's mean m and cumulants v, k3, k4, stored sign s and the sign's rate r, x = r (1 - r):

        mean = s (k1 - 2 r m),  variance = v + 4 x m^2,  third = s (1 - 2r) (k3 - 8 x m^3),
        fourth = k4 + 16 x m k3 + 16 x (1 - 6x) m^4

    Derivation: mixture of +M' and -M' with weights 1 - r and r, M' the read magnitude.

    Args:
        down: (B,) rates of a stored 1; the last plane is the sign, 1 = negative.
        up: (B,) rates of a stored 0.
    """
    bits = down.size
    magnitude = additive(down[:-1], up[:-1], np.exp2(np.arange(bits - 1, dtype=np.float64)))
    read = np.arange(2 ** (bits - 1)) + magnitude.mean
    halves = [_one_sign(magnitude, read, *of_sign) for of_sign in ((1.0, up[-1]), (-1.0, down[-1]))]
    return Cumulants(*(np.concatenate(pair) for pair in zip(*halves, strict=True)))


def _one_sign(part: Cumulants, read: Array, sign: float, rate: float) -> Cumulants:
    spread = rate * (1.0 - rate)
    return Cumulants(
        sign * (part.mean - 2.0 * rate * read),
        part.variance + 4.0 * spread * read**2,
        sign * (1.0 - 2.0 * rate) * (part.third - 8.0 * spread * read**3),
        part.fourth + 16.0 * spread * (read * part.third + (1.0 - 6.0 * spread) * read**4),
    )
