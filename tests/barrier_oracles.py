"""Barriers once more in mpmath: WKB by quadrature, transmission by Airy functions, decay by the Siegert state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpmath import mp, mpc, mpf

from tests.physics_oracle import CHARGE, DECAY_PER_NM, MASS, PLANCK

Piece = tuple[float, float, float, float]
"""V - E at the start and at the end in eV, width in nm, mass in m0."""


def wkb(above_eV: Callable[[mpf], mpf], mass_m0: float, breaks: Sequence[float]) -> mpf:
    """2 sqrt(2 m) / hbar int sqrt(max(V - E, 0)) dx by quadrature, split at the breaks in nm."""
    root = mp.quad(lambda x: mp.sqrt(max(above_eV(x), mpf(0))), [mpf(place) for place in breaks])
    return 2 * DECAY_PER_NM * mp.sqrt(mpf(mass_m0)) * root


def wkb_of(pieces: Sequence[Piece]) -> mpf:
    """The same for straight pieces, each split where it crosses zero."""
    total = mpf(0)
    for start, end, width, mass in pieces:
        a, b, w = mpf(start), mpf(end), mpf(width)
        crossing = [a / (a - b) * w] if a * b < 0 else []
        total += wkb(lambda x, a=a, b=b, w=w: a + (b - a) * x / w, mass, [0, *crossing, w])
    return total


def exact_log_transmission(pieces: Sequence[Piece], electrode_m0: float, energy_eV: float, bias_V: float) -> mpf:
    """ln T, Airy functions in sloped pieces and exponentials in flat ones (Gundlach 1966), masses of BenDaniel-Duke."""
    mass = mpf(electrode_m0)
    before, after = (DECAY_PER_NM * mp.sqrt(mass * energy) / mass
                     for energy in (mpf(energy_eV), mpf(energy_eV) + mpf(bias_V)))
    psi, flow = mpc(1), mpc(0, after)
    for start, end, width, inside in reversed(pieces):
        psi, flow = _back(psi, flow, mpf(start), mpf(end), mpf(width), mpf(inside))
    incident = (psi + flow / (mpc(0, 1) * before)) / 2
    return mp.log(after / before) - 2 * mp.log(abs(incident))


def _back(psi: mpc, flow: mpc, start: mpf, end: mpf, width: mpf, mass: mpf) -> tuple[mpc, mpc]:
    """psi and psi'/m at the start of a piece from those at its end."""
    strength = DECAY_PER_NM**2 * mass
    if start == end:
        k = mp.sqrt(mpc(strength * start))
        return (psi * mp.cosh(k * width) - mass / k * flow * mp.sinh(k * width),
                flow * mp.cosh(k * width) - k / mass * psi * mp.sinh(k * width))
    gradient = (end - start) / width
    scale = mp.sign(gradient) * mp.cbrt(strength * abs(gradient))
    z, z_end = (strength * above / scale**2 for above in (start, end))
    of_ai = (psi * scale * mp.airybi(z_end, derivative=1) - mass * flow * mp.airybi(z_end)) * mp.pi / scale
    of_bi = (mass * flow * mp.airyai(z_end) - psi * scale * mp.airyai(z_end, derivative=1)) * mp.pi / scale
    slope = of_ai * mp.airyai(z, derivative=1) + of_bi * mp.airybi(z, derivative=1)
    return of_ai * mp.airyai(z) + of_bi * mp.airybi(z), scale * slope / mass


class QuasiBound(NamedTuple):
    """The lowest state of a well that leaks."""

    energy_eV: float
    rate_per_s: float
    attempts_per_s: float


def siegert(well_nm: float, height_eV: float, thickness_nm: float, well_m0: float, barrier_m0: float) -> QuasiBound:
    """Complex energy of the state with an outgoing wave alone: rate = -2 Im E / hbar; attempts v / 2L at Re E."""
    length, width, outer, inner = mpf(well_nm), mpf(thickness_nm), mpf(well_m0), mpf(barrier_m0)

    def mismatch(energy: mpc) -> mpc:
        k = DECAY_PER_NM * mp.sqrt(outer * energy)
        psi, flow = _back(mpc(1), mpc(0, 1) * k / outer, mpf(height_eV) - energy, mpf(height_eV) - energy, width, inner)
        return flow / psi * mp.sin(k * length) - k / outer * mp.cos(k * length)

    hard_wall = (mp.pi / (DECAY_PER_NM * length)) ** 2 / outer
    energy = mp.findroot(mismatch, (mpc(hard_wall * 0.95, -1e-12), mpc(hard_wall * 0.94, 0)), tol=1e-60)
    hbar = PLANCK / (2 * mp.pi)
    speed = mp.sqrt(2 * energy.real * CHARGE / (outer * MASS))
    attempts = speed / (2 * length * mpf("1e-9"))
    return QuasiBound(float(energy.real), float(-2 * energy.imag * CHARGE / hbar), float(attempts))
