"""What no code can beat: the capacity of a memory cell that flips, in one direction or in both."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qtaml_codesign.checks import probabilities
from qtaml_codesign.errors import InputError

NEAR_ZERO = 0.5
"""Rows of a channel that lie closer than this share their digits: a series keeps what their difference would lose."""

Array = NDArray[np.float64]


def binary_entropy(flip_probability: ArrayLike) -> Array:
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


def capacity(flip_probability: ArrayLike) -> Array:
    """Capacity C = 1 - H2(p) of the binary symmetric channel, bits per cell; any shape, p in [0, 1].

    It keeps its digits down to |1 - 2p| = 1e-150.

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
    return capacity_of_channel(rate, rate)


def extra_cells_per_protected_bit(flip_probability: ArrayLike) -> Array:
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
    rate = probabilities("flip_probability", flip_probability)
    return extra_cells_of_channel(rate, rate)


def capacity_under_charge_loss(flip_probability: ArrayLike) -> Array:
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
    return capacity_of_channel(probabilities("flip_probability", flip_probability), 0.0)


def extra_cells_under_charge_loss(flip_probability: ArrayLike) -> Array:
    """Fewest extra cells per protected bit, 1/C - 1, of any code where only one state flips; inf at p = 1.

    Args:
        flip_probability: p in [0, 1], any shape.

    Raises:
        InputError: p outside [0, 1].

    Example:
        >>> round(float(extra_cells_under_charge_loss(0.10)), 3)
        0.311
    """
    return extra_cells_of_channel(probabilities("flip_probability", flip_probability), 0.0)


def capacity_of_channel(one_to_zero: ArrayLike, zero_to_one: ArrayLike) -> Array:
    """Capacity of a cell whose two states flip at rates of their own, bits per cell; the rates broadcast.

    With a = one_to_zero, b = zero_to_one and ln(q0/q1) = (H(a) - H(b)) / (1 - a - b) for the best read-out law q,
    C = D(1-a, a || q1, q0), the height of the entropy above its chord from b to 1 - a. Here it is the information of
    evenly used states plus what the best use adds, which keeps its digits where a + b comes near 1 (C = 0).

    Args:
        one_to_zero: P(a stored 1 is read as 0), in [0, 1], any shape.
        zero_to_one: P(a stored 0 is read as 1), in [0, 1].

    Raises:
        InputError: a rate outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948); R. A. Silverman, IRE Trans. Inf. Theory 1, 19 (1955);
    iteration for any channel: R. E. Blahut, IEEE Trans. Inf. Theory 18, 460 (1972).

    Example:
        >>> [round(float(capacity_of_channel(a, b)), 3) for a, b in [(0.1, 0.1), (0.1, 0.0), (0.1, 0.05), (0.3, 0.7)]]
        [0.531, 0.763, 0.621, 0.0]
    """
    return _kept_and_lost(one_to_zero, zero_to_one)[0]


def extra_cells_of_channel(one_to_zero: ArrayLike, zero_to_one: ArrayLike) -> Array:
    """Fewest extra cells per protected bit, 1/C - 1, where the two states flip at rates of their own.

    It is inf where C = 0 and keeps its digits where both rates are small.

    Args:
        one_to_zero: P(a stored 1 is read as 0), in [0, 1], any shape.
        zero_to_one: P(a stored 0 is read as 1), in [0, 1].

    Raises:
        InputError: a rate outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948), noisy-channel coding theorem.

    Example:
        >>> round(float(extra_cells_of_channel(0.1, 0.05)), 3)
        0.61
    """
    kept, lost = _kept_and_lost(one_to_zero, zero_to_one)
    return np.divide(lost, kept, out=np.full_like(kept, np.inf), where=kept > 0.0)


def capacity_of_word(one_to_zero: ArrayLike, zero_to_one: ArrayLike) -> Array:
    """Capacity of a word of B cells with rates per plane, bits per word: the sum over its cells.

    It is that of cells which flip independently and are all alike in a plane. Flips that words share, or rates that
    differ from cell to cell about the given mean, leave more to a code that knows of them.

    Args:
        one_to_zero: (..., B) P(1 -> 0) of each plane, in [0, 1], such as `CellLaw.one_to_zero`.
        zero_to_one: (..., B) P(0 -> 1) of each plane.

    Returns:
        (...,) bits per word; divided by B, bits per cell.

    Raises:
        InputError: a rate outside [0, 1].

    Source: Shannon, Bell Syst. Tech. J. 27, 379 (1948); independent channels side by side.

    Example:
        >>> round(float(capacity_of_word([0.1, 0.1, 0.5], [0.1, 0.0, 0.5])), 3)
        1.294
    """
    return np.asarray(capacity_of_channel(one_to_zero, zero_to_one).sum(axis=-1))


def _kept_and_lost(one_to_zero: ArrayLike, zero_to_one: ArrayLike) -> tuple[Array, Array]:
    """C and 1 - C in bits, each to its own digits, from H and what the best use of the states adds to even use.

    The read law of even use is (m, n), n the rarer state; the rows lie at m -+ h. ln(q0/q1) is that of (m, n) and delta
    more. 1 - a - b = 2h is summed without loss: where 1 - a rounds, what it lost is added.
    """
    loss, gain = _rates_that_fit(one_to_zero, zero_to_one)
    held = 1.0 - loss
    half = np.abs((held - gain) + ((1.0 - held) - loss)) / 2.0
    ones, zeros = (held + gain) / 2.0, ((1.0 - gain) + loss) / 2.0
    common, rare = np.maximum(ones, zeros), np.minimum(ones, zeros)
    near, far = _ratio(half, common), _ratio(half, rare)
    delta = _skew(far) - _skew(near)
    added = (np.log1p(rare * np.expm1(delta)) - rare * delta) / math.log(2.0)
    even = common * _divergence(near) + rare * _divergence(far)
    return even + added, _divergence(np.abs(gain - loss)) + (binary_entropy(loss) + binary_entropy(gain)) / 2.0 - added


def _rates_that_fit(one_to_zero: ArrayLike, zero_to_one: ArrayLike) -> tuple[Array, Array]:
    loss, gain = probabilities("one_to_zero", one_to_zero), probabilities("zero_to_one", zero_to_one)
    try:
        shape = np.broadcast_shapes(loss.shape, gain.shape)
    except ValueError:
        raise InputError("the rates of the two directions do not fit together", where="zero_to_one",
                         rule=f"a shape that broadcasts with {loss.shape}", value=f"shape {gain.shape}",
                         next_step="give one rate per cell in each direction, or one for all") from None
    return np.broadcast_to(loss, shape), np.broadcast_to(gain, shape)


def _ratio(part: Array, whole: Array) -> Array:
    return np.minimum(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0.0), 1.0)


def _skew(x: Array) -> Array:
    """((1+x) ln(1+x) - (1-x) ln(1-x)) / 2x - 1 for 0 <= x <= 1, which grows as -x^2/6."""
    both = special.xlog1py(1.0 + x, x) - special.xlog1py(1.0 - x, -x)
    return np.where(x < NEAR_ZERO, -_series(x, 1), both / np.maximum(2.0 * x, NEAR_ZERO) - 1.0)


def _divergence(x: Array) -> Array:
    """((1+x) ln(1+x) + (1-x) ln(1-x)) / (2 ln 2) for 0 <= x <= 1, bits, which grows as x^2 / (2 ln 2)."""
    both = special.xlog1py(1.0 + x, x) + special.xlog1py(1.0 - x, -x)
    return np.where(x < NEAR_ZERO, _series(x, -1), both / 2.0) / math.log(2.0)


def _series(x: Array, step: int) -> Array:
    """sum_k x^(2k) / (2k (2k + step)), to float64 below NEAR_ZERO."""
    square, total = np.minimum(x * x, NEAR_ZERO**2), np.zeros_like(x)
    for k in range(30, 0, -1):
        total = square * (1.0 / (2 * k * (2 * k + step)) + total)
    return total
