"""The transfer matrix of a barrier: float64, scaled, no checks; also runs uncompiled by its `.py_func`."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
_THIN = 1e-8


@njit(cache=True)
def piece(above: float, mass: float, width: float, decay: float) -> tuple[float, float, float, float]:
    """cosh, (m/k) sinh, (k/m) sinh of k w over a flat piece, all times exp(-k w), and k w; cos and sin above the edge.

    above: V - E in eV; mass: m*/m0; width: w in nm; decay: sqrt(2 m0 eV) / hbar in 1/nm. The third is negative above
    the edge, so that (psi, psi'/m) go back by the same formula on both sides of it.
    """
    constant = decay * math.sqrt(mass * abs(above))
    phase = constant * width
    if phase < _THIN:
        return 1.0, mass * width, decay * decay * above * width, 0.0
    if above > 0.0:
        falling = math.exp(-2.0 * phase)
        sine = -0.5 * math.expm1(-2.0 * phase)
        return 0.5 * (1.0 + falling), mass / constant * sine, constant / mass * sine, phase
    return math.cos(phase), mass / constant * math.sin(phase), -constant / mass * math.sin(phase), 0.0


@njit(cache=True)
def log_transmission(
    start: Array, end: Array, width: Array, mass: Array, slices: NDArray[np.int64], emitter: float, collector: float,
    decay: float, out: Array,
) -> None:
    """ln T of each point: psi and psi'/m from the outgoing wave behind the barrier back to its front.

    start, end, width: (points, pieces); mass, slices: (pieces,); emitter, collector: k/m of the electrodes, 1/nm;
    decay: sqrt(2 m0 eV) / hbar in 1/nm; out: (points,). A piece is cut into `slices` flat ones at the heights of their
    middles. psi = a + i b, psi'/m = c + i d. The growth exp(k w) of each slice is kept in the logarithm.
    """
    points, pieces = start.shape
    for point in range(points):
        a, b, c, d, grown = 1.0, 0.0, 0.0, collector, 0.0
        for place in range(pieces - 1, -1, -1):
            count = slices[place]
            rise = (end[point, place] - start[point, place]) / count
            thin = width[point, place] / count
            for number in range(count - 1, -1, -1):
                above = start[point, place] + (number + 0.5) * rise
                cosine, to_psi, to_flow, growth = piece(above, mass[place], thin, decay)
                a, c = a * cosine - c * to_psi, c * cosine - a * to_flow
                b, d = b * cosine - d * to_psi, d * cosine - b * to_flow
                grown += growth
        real, imaginary = a + d / emitter, b - c / emitter
        out[point] = math.log(4.0 * collector / emitter) - math.log(real * real + imaginary * imaginary) - 2.0 * grown
