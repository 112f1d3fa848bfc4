"""The physics chain once more in mpmath at 50 digits, from the same float64 card inputs; shares no code with it."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import NamedTuple

from mpmath import mp, mpf

from qtaml_codesign.cards import CellParameters, DeviceCard

mp.dps = 50
PLANCK = mpf("6.62607015e-34")
CHARGE = mpf("1.602176634e-19")
MASS = mpf("9.1093837015e-31")
DECAY_PER_NM = mp.sqrt(2 * MASS * CHARGE) * 2 * mp.pi / PLANCK * mpf("1e-9")
ONE = mpf(1)
_BITS = 240


class Exact(NamedTuple):
    """ln p_esc, ln(1 - p_esc), ln p_flip and ln(1 - p_flip)."""

    log_p: mpf
    log_q: mpf
    log_flip: mpf
    log_no_flip: mpf


def card_of(cell: CellParameters) -> DeviceCard:
    """A card around one cell, with the widest validity."""
    return DeviceCard(
        schema_version=1, name="random", window_s=cell.window_s, validity={"thickness_nm": [1e-3, 1e3]},
        barrier={**asdict(cell.barrier), "thickness_nm": cell.thickness_nm},
        cell={"electrons": cell.electrons, "flip_threshold": cell.flip_threshold,
              "attempt_frequency_Hz": cell.attempt_frequency_Hz},
    )


def decay_constant(cell: CellParameters) -> mpf:
    """kappa in 1/nm."""
    height, energy, mass = map(mpf, astuple(cell.barrier))
    return DECAY_PER_NM * mp.sqrt(mass * (height - energy))


def exact(cell: CellParameters, scale: mpf = ONE) -> Exact:
    """The chain at `scale` times the WKB action (1: the card itself)."""
    action = 2 * decay_constant(cell) * mpf(cell.thickness_nm) * scale
    log_q = mpf(cell.attempt_frequency_Hz) * mpf(cell.window_s) * mp.log1p(-mp.exp(-action))
    log_p = mp.log(-mp.expm1(log_q))
    return Exact(log_p, log_q, *binomial_tail(cell.electrons, cell.flip_threshold, log_p, log_q))


def binomial_tail(n: int, k: int, log_p: mpf, log_q: mpf) -> tuple[mpf, mpf]:
    """(ln P(K > k), ln P(K <= k)): log-gamma for the first term, whole-number fixed point for the series after it."""
    if k + 1 > -n * mp.expm1(log_q):
        above = log_mass(n, k + 1, log_p, log_q) + log_series(log_p - log_q, range(k + 1, n), n, up=True)
        return above, mp.log1p(-mp.exp(above))
    below = log_mass(n, k, log_p, log_q) + log_series(log_q - log_p, range(k, 0, -1), n, up=False)
    return mp.log1p(-mp.exp(below)), below


def log_mass(n: int, j: int, log_p: mpf, log_q: mpf) -> mpf:
    """ln P(K = j)."""
    choose = mp.loggamma(n + 1) - mp.loggamma(j + 1) - mp.loggamma(n - j + 1)
    return choose + j * log_p + (n - j) * log_q


def log_series(log_odds: mpf, places: range, n: int, up: bool) -> mpf:
    """ln of 1 + r_1 + r_1 r_2 + ..., r the ratio of neighbouring masses."""
    odds = int(mp.floor(mp.exp(log_odds) * mpf(2) ** _BITS))
    total = term = 1 << _BITS
    for j in places:
        over, under = (n - j, j + 1) if up else (j, n - j + 1)
        term = term * over * odds // (under << _BITS)
        total += term
        if term < total >> 120:
            break
    return mp.log(mpf(total) / mpf(1 << _BITS))


def relative(found: float, truth: mpf) -> float:
    """|found / truth - 1|, with no absolute tolerance."""
    return float(abs(mpf(found) / truth - 1)) if truth != 0 else float(found != 0.0)
