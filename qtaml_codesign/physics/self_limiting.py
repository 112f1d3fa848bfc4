"""Escape that limits itself: each electron that leaves lowers the voltage across the oxide, and so the next one's rate.

The number of electrons is a pure death process n -> n - 1 at the rate n x(n) per window, and the bit flips when the sum
of k_th + 1 exponential times is below 1. The two sides of its distribution are the Bromwich integrals

    P(sum < 1) = 1/(2 pi i) int exp(phi(s)) ds,  phi(s) = s - ln s - sum_i ln(1 + s / r_i)

through the saddle point of phi on the positive axis, and the same with -ln(-s) for P(sum > 1) through the one between
the poles 0 and -r_min. On a parabola that leaves the saddle straight up and bends towards -infinity the integrand is a
smooth bump, so that the trapezoid rule converges exponentially, with full digits however small the probability is.

Source: W. Feller, An Introduction to Probability Theory and Its Applications I, XVII.5 (death process); H. E. Daniels,
Ann. Math. Stat. 25, 631 (1954) (saddle points); L. N. Trefethen, J. A. C. Weideman, SIAM Rev. 56, 385 (2014) (rule).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, FARAD_PER_aF
from qtaml_codesign.physics import charge_noise
from qtaml_codesign.physics.death_process import kernels

Array = NDArray[np.float64]
Logs = tuple[Array, Array]


def node_voltage_V(electrons: int, node_capacitance_aF: float) -> float:
    """Voltage across the oxide with so many electrons on the node, V = n q / C.

    Args:
        electrons: n.
        node_capacitance_aF: C.

    Validity: all of the voltage falls across the oxide, and none without charge (no flat-band voltage).

    Example:
        >>> round(node_voltage_V(50, 12.2), 4)
        0.6566
    """
    return electrons * ELEMENTARY_CHARGE_C / (node_capacitance_aF * FARAD_PER_aF)


def death_logs(log_rates: Array, flip_threshold: int, rms_electrons: float = 0.0) -> Logs:
    """ln P and ln(1 - P) that more than k_th electrons leave within the window, by one contour for all cells.

    Phi(s) = sum_dn P(dn) prod_i 1 / (1 + s / r_i) takes the place of the product where the number of electrons at the
    start varies.

    Args:
        log_rates: (most_extra + k_th + 1, points) ln of n x(n), the rate per window at which the next electron leaves,
            in order, from the fullest cell on (`charge_noise.most_extra`).
        flip_threshold: k_th.
        rms_electrons: s of the number of electrons at the start; 0 where it does not vary.

    Returns:
        Both (points,), to about 1e-13 relative for P from 1e-12000 to 1 - 1e-12000; where the number varies 1 - P
        below e^-60 may be cut off.

    Validity: one electron at a time, none comes back.

    Example:
        >>> flips, _ = death_logs(np.log([[5.0], [4.0], [3.0]]) + np.log(0.1), 2)  # 3 of 5, each with 1 - exp(-0.1)
        >>> np.exp(flips).round(6)
        array([0.007435])
    """
    shares, sure = charge_noise.shares_at_start(rms_electrons, flip_threshold)
    out = np.empty((2, log_rates.shape[1]))
    kernels.death_logs(log_rates, shares, sure, out)
    return out[0], out[1]
