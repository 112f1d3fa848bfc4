"""Cells that are written with a number of electrons that varies from one write to the next, n_0 = N + dn.

    p = sum_dn P(dn) P(K > k_th + dn | N + dn),  P(dn) in proportion to exp(-dn^2 / (2 s^2)), dn whole

The cell flips once no more than N - k_th - 1 electrons are left, so that it flips for certain where dn < -k_th: no
thickness brings p below P(dn < -k_th). That also stands for every n_0 that would be negative. `leaving` and
`self_limiting` take the sum.

Validity: kTC noise is this distribution, of the energy (q dn)^2 / 2C; a given rms stands for any noise like it, such as
that of injection. s well below N. Where s is below about 0.3 the number of electrons no longer varies.
Source: Boltzmann distribution over the charge states of a capacitor.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, BOLTZMANN_J_per_K, FARAD_PER_aF

Array = NDArray[np.float64]

_REACH = 10.0


def thermal_rms_electrons(node_capacitance_aF: float, temperature_K: float) -> float:
    """rms of the number of electrons on a capacitor that was connected to a voltage at a temperature, sqrt(k T C) / q.

    Args:
        node_capacitance_aF: C.
        temperature_K: T when the cell was written.

    Source: H. Nyquist, Phys. Rev. 32, 110 (1928).

    Example:
        >>> round(thermal_rms_electrons(12.2, 300.0), 3)
        1.403
    """
    variance = BOLTZMANN_J_per_K * temperature_K * node_capacitance_aF * FARAD_PER_aF
    return math.sqrt(variance) / ELEMENTARY_CHARGE_C


def most_extra(rms_electrons: float) -> int:
    """The largest dn that is counted where all charges are taken at once: more are lost beside any 1 - p above e^-60.

    Args:
        rms_electrons: s.
    """
    return math.ceil(_REACH * rms_electrons + 3.0 * rms_electrons**2)


def shares_at_start(rms_electrons: float, flip_threshold: int) -> tuple[Array, float]:
    """ln P(dn) for dn from `most_extra` down to -k_th, and ln P(dn < -k_th).

    Args:
        rms_electrons: s; at 0 all cells have dn = 0.
        flip_threshold: k_th.
    """
    extra = np.arange(most_extra(rms_electrons), -flip_threshold - 1.0, -1.0)
    if rms_electrons == 0.0:
        return np.where(extra == 0.0, 0.0, -np.inf), -math.inf
    return -0.5 * (extra / rms_electrons) ** 2 - _log_total(rms_electrons), log_empty(rms_electrons, flip_threshold)


def chances_by_number(
    rms_electrons: float, flip_threshold: int, steepest: float, most: int
) -> tuple[int, Array, Array, Array, Array]:
    """ln P(dn < m - k_th) and ln P(dn >= m - k_th) by the number m of electrons that would leave, and their ratios.

    Args:
        rms_electrons: s; 0 = none.
        flip_threshold: k_th.
        steepest: the largest ln of the factor by which m + 1 is likelier than m; the second goes on until this is lost.
        most: of dn that are held.

    Returns:
        The first m with a chance to flip; the first logs, that of the last m holding for all beyond, and their ratios
        from m to m + 1 (1 at the last); the second logs and theirs (none at the last).
    """
    threshold, near = flip_threshold + 1, math.ceil(_REACH * rms_electrons)
    if rms_electrons == 0.0:
        return threshold, np.zeros(threshold + 1), np.ones(threshold + 1), np.zeros(threshold), np.ones(threshold - 1)
    far = min(math.ceil(4.0 * _REACH * rms_electrons + rms_electrons**2 * (steepest + 1.0)), most)
    extra = np.arange(-threshold - near, far + near + 1.0)
    shares = -0.5 * (extra / rms_electrons) ** 2 - _log_total(rms_electrons)
    flips = np.minimum(np.logaddexp.accumulate(shares)[near:near + threshold + near + 1], 0.0)
    stays = np.minimum(np.logaddexp.accumulate(shares[::-1])[::-1][near + 1:near + 1 + threshold + far], 0.0)
    with np.errstate(over="ignore"):
        return 0, flips, np.append(np.exp(np.diff(flips)), 1.0), stays, np.exp(np.diff(stays))


def log_empty(rms_electrons: float, flip_threshold: int) -> float:
    """ln P(dn < -k_th), of cells that start with so few electrons that they have flipped already.

    Args:
        rms_electrons: s > 0.
        flip_threshold: k_th.

    Example:
        >>> round(math.exp(log_empty(1.41, 4)), 7)
        0.0005605
    """
    fewer = np.arange(flip_threshold + 1.0, flip_threshold + 2.0 + math.ceil(_REACH * rms_electrons))
    return float(special.logsumexp(-0.5 * (fewer / rms_electrons) ** 2)) - _log_total(rms_electrons)


def _log_share(extra: int, rms_electrons: float) -> float:
    """ln P(dn)."""
    return -0.5 * (extra / rms_electrons) ** 2 - _log_total(rms_electrons)


@lru_cache(maxsize=64)
def _log_total(rms_electrons: float) -> float:
    """ln of the sum of exp(-dn^2 / (2 s^2)) over all whole dn."""
    more = np.arange(1.0, 2.0 + math.ceil(_REACH * rms_electrons))
    return math.log1p(2.0 * float(np.sum(np.exp(-0.5 * (more / rms_electrons) ** 2))))
