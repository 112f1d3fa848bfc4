"""Escape of the electrons of one cell, and the tail of their number.

All functions take the WKB action S of the barrier and return natural logarithms, so that 10^-12249 is a number like any
other and 1 - p keeps its digits near 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.checks import one_of
from qtaml_codesign.physics import binomial, kernels

Tail = Literal["binomial", "poisson", "leading"]
Array = NDArray[np.float64]
_CODES = {"binomial": kernels.BINOMIAL, "poisson": kernels.POISSON, "leading": kernels.LEADING}

TAIL_NOTES = {
    "binomial": "exact binomial tail P(K > k_th), K ~ Binomial(N, p_esc)",
    "poisson": "approximation: Poisson tail; too large by a factor that never goes away when k_th^2 is not << N",
    "leading": "approximation: leading term C(N, k_th+1) p_esc^(k_th+1), capped at 1; near the truth for few escapes",
}


class EscapeLogs(NamedTuple):
    """Natural logs, each of the shape of the action."""

    log_escape: Array
    log_stay: Array
    log_flip: Array
    log_no_flip: Array


def check_tail(tail: str) -> Tail:
    """The tail, checked.

    Args:
        tail: its name.

    Raises:
        InputError: there is no tail of that name.
    """
    return cast("Tail", one_of("tail", "tail", tail, get_args(Tail)))


def escape_logs(
    action: Array, attempts: float, electrons: int, flip_threshold: int, tail: Tail = "binomial"
) -> EscapeLogs:
    """Logs of p_esc, 1 - p_esc, p_flip and 1 - p_flip for barriers of a given WKB action.

    T      = exp(-S)                                   transmission per attempt
    p_esc  = 1 - (1 - T)^M = -expm1(M log1p(-T))       one electron, M attempts, one window
    p_flip = P(K > k_th),  K ~ Binomial(N, p_esc)      = I_{p_esc}(k_th + 1, N - k_th)

    Args:
        action: S > 0, dimensionless, any shape.
        attempts: M = nu tau > 0, dimensionless, need not be whole.
        electrons: N >= 1.
        flip_threshold: k_th in 0 .. N - 1; the bit flips when MORE than k_th electrons escape.
        tail: "binomial" (exact), or the labelled approximations "poisson" and "leading".

    Validity: electrons escape independently, one by one, through an unchanged barrier, and do not come back.
    Source: Loader (2000) for the mass function; the tail is a series of positive terms on the smaller side.

    Example:
        >>> logs = escape_logs(np.array([19.975293]), 2.4e7, 50, 4)
        >>> np.exp(logs.log_flip).round(6)
        array([0.09997])
    """
    out = np.empty((4, action.size))
    if tail == "binomial":
        binomial.fill_logs(np.ravel(action), attempts, float(electrons), float(flip_threshold), out)
    else:
        kernels.flip_chain(np.ravel(action), attempts, float(electrons), float(flip_threshold), _CODES[tail], out)
    return EscapeLogs(*out.reshape((4, *action.shape)))


def log_flips(action: Array, attempts: float, electrons: int, flip_threshold: int, tail: Tail = "binomial") -> Array:
    """ln p_flip alone, as in `escape_logs`, for less time and memory.

    Args:
        action: S > 0, any shape.
        attempts: M of one electron in the window.
        electrons: N.
        flip_threshold: k_th.
        tail: name of the tail.

    Example:
        >>> np.exp(log_flips(np.array([19.975293]), 2.4e7, 50, 4)).round(6)
        array([0.09997])
    """
    if tail != "binomial":
        return escape_logs(action, attempts, electrons, flip_threshold, tail).log_flip
    out = np.empty((1, action.size))
    binomial.fill_logs(np.ravel(action), attempts, float(electrons), float(flip_threshold), out)
    return out.reshape(action.shape)
