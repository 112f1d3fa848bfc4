"""Roughness of the oxide within one cell: the current is the mean over its area, and thin places carry most of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Barrier

Array = NDArray[np.float64]
_STEP = 1e-4


def rough_action(action: Array, slope_per_nm: Array, roughness_nm: float) -> Array:
    """Action of an even barrier with the mean transmission of an uneven one.

    T_eff = <exp(-S(d + z))>, z ~ Normal(0, s),  = T exp((S' s)^2 / 2)

    Args:
        action: S at the mean thickness, any shape.
        slope_per_nm: S' = dS/dd there, of the same shape.
        roughness_nm: s, rms of the thickness over the area of one cell.

    Returns:
        S - (S' s)^2 / 2, which may fall to 0 and below; the caller stops there.

    Validity: S a line in d over a few S' s^2, by which the places that carry the current are thinner than the mean, and
    S' s^2 well below d; many correlation areas in a cell. How cells differ from each other is another number.
    Source: J. Sune, I. Placencia, E. Farres, N. Barniol, X. Aymerich, phys. stat. sol. (a) 109, 479 (1988).

    Example:
        >>> np.exp(20.0 - rough_action(np.array([20.0]), np.array([11.3174]), 0.1)).round(2)
        array([1.9])
    """
    return np.asarray(action - 0.5 * (slope_per_nm * roughness_nm) ** 2, dtype=np.float64)


def slopes_per_nm(barrier: Barrier, thickness_nm: Array) -> Array:
    """dS/dd of any barrier at many thicknesses, by central differences, to about 1e-9.

    Args:
        barrier: its shape.
        thickness_nm: d, any shape.
    """
    step = _STEP * thickness_nm
    rise = barrier.action(thickness_nm + step) - barrier.action(thickness_nm - step)
    return np.asarray(rise / (2.0 * step), dtype=np.float64)
