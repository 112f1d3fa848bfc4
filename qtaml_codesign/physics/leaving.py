"""The tail of the number of electrons that leave a charge that varies through a fixed field, past a trap or none."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.physics import charge_noise
from qtaml_codesign.physics.death_process import kernels

Array = NDArray[np.float64]
Logs = tuple[Array, Array]

_MOST_CHARGES: Final = 2**20
_CLIP = 690.0


def leaving_logs(
    log_hazard: Array, log_trap_rate: Array | float, electrons: int, flip_threshold: int, rms_electrons: float = 0.0
) -> Logs:
    """ln p_flip and ln(1 - p_flip) of cells whose electrons leave at n x + R per window with n of them left.

    p_flip = sum_m P(m) P(dn < m - k_th),  P(m) = Gamma(m + b) / (m! Gamma(b)) p^m q^b
    p = 1 - e^-x,  q = e^-x,  b = N - k_th + R/x

    which is the average of P(K > k_th + dn | N + dn) over dn of `charge_noise` in one sum.

    Args:
        log_hazard: ln x of one electron, any shape S.
        log_trap_rate: ln R of a trap, to be broadcast with it; -inf for none.
        electrons: N.
        flip_threshold: k_th.
        rms_electrons: s of the number dn of electrons beyond N at the start.

    Returns:
        Both, of the shape broadcast, to about 1e-12 of p and 1 - p; 1 - p below e^-800 may be cut off beside noise.

    Validity: the rate of an electron does not change as others leave; a trap holds one electron at a time.
    Source: A. Renyi, Acta Math. Acad. Sci. Hung. 4, 191 (1953), for the times of such rates.

    Example:
        >>> flips, _ = leaving_logs(np.log([0.1]), -np.inf, 5, 2)  # 3 of 5, each with 1 - exp(-0.1)
        >>> np.exp(flips).round(6)
        array([0.007435])
    """
    log_x, log_rate = np.broadcast_arrays(log_hazard, np.asarray(log_trap_rate, dtype=np.float64))
    shape, rest = log_x.shape, electrons - flip_threshold
    log_x, log_rate, out = log_x.flatten(), log_rate.flatten(), np.empty((2, log_x.size))
    steepest = _steepest(log_x, log_rate, rest, flip_threshold)
    chances = charge_noise.chances_by_number(rms_electrons, flip_threshold, steepest, _MOST_CHARGES)
    kernels.leaving_logs(log_x, log_rate, float(rest), flip_threshold, *chances, out)
    above, below = out.reshape((2, *shape))
    return above, below


def _steepest(log_x: Array, log_rate: Array, rest: int, flip_threshold: int) -> float:
    """The largest ln P(m + 1) / P(m) from m = k_th + 1 on."""
    more = np.minimum(log_rate - log_x, _CLIP)
    log_mean = np.logaddexp(math.log(rest), more) + np.minimum(log_x, 0.0)
    return max(math.log1p(math.exp(min(float(np.max(log_mean)), _CLIP) - math.log(flip_threshold + 2.0))), 0.0)
