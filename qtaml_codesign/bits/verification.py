"""The theorems on a read weight, each checked by Monte Carlo of the sampler that trials use.

Every row but one is a mean (or a least-squares coefficient) of independent bounded terms whose expectation, variance
V and largest term b the closed-form law gives, so its standard error is exact, sqrt(V), and Bernstein's inequality

    P(|measured - predicted| >= x) <= 2 exp(-x^2 / (2 (V + b x / 3)))

bounds its false alarms for every flip probability, rare flips included. The PMF row uses exact binomial tests.
A row passes when this bound is at least FALSE_FAILURE / rows: the whole table fails falsely with probability < 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits import theorem_rows as rows
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey, draw_flips, flip_key
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat, Encoding, plain_bits
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.moments import Array
from qtaml_codesign.bits.theorem_rows import CodeSums, TheoremCheck
from qtaml_codesign.cards import DEFAULT_REGION
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.errors import InputError

FALSE_FAILURE = 1e-9
WEIGHTS_PER_TRIAL = 2**14
FEWEST_FLIPS = 100
PURPOSE = "verify"


def verify_theorems(
    flip_probability: float = 0.10, bits: int = 8, trials: int = 64, seed: int = 0
) -> tuple[TheoremCheck, ...]:
    """All rows of the table, in the order of the theorems.

    Args:
        flip_probability: p in (0, 1), large enough for 100 flips and small enough for 100 cells that stay, per plane
            and setting: fewer would pass without evidence. Rows with rates by plane use p (i + 1) / B on plane i.
        bits: B, 2 to 16.
        trials: drawings per setting, each of at least 16 384 weights (every code equally often).
        seed: key of the flips; the same seed repeats the table exactly.

    Raises:
        InputError: a probability outside (0, 1), too few trials for it, or bits, trials or a seed out of bounds.

    Example:
        >>> checks = verify_theorems(flip_probability=0.10, bits=4, trials=4)
        >>> all(check.passed for check in checks)
        True
        >>> checks[0].theorem, checks[0].quantity, round(checks[0].predicted, 12)
        ('3.2 mean drift', 'offset_binary: slope of E[read | w]', 0.8)
    """
    whole_number_within("trials", trials, 1, 10**9, "64 trials take a second or two")
    fmt = BitFormat(plain_bits(bits))
    rate = _open_rate(flip_probability, trials * max(WEIGHTS_PER_TRIAL, fmt.code_count))
    sampler, flat = _Sampler(fmt, trials, seed), np.full(fmt.bits, rate)
    found = [row for rows_of in _ROWS for row in rows_of(sampler, flat)]
    limit = FALSE_FAILURE / len(found)
    return tuple(replace(row, passed=row.p_value >= limit) for row in found)


@dataclass(frozen=True)
class _Sampler:
    """The trials of one format; rates are (B,) by plane, alike in both directions where one is given."""

    fmt: BitFormat
    trials: int
    seed: int

    def law(self, encoding: Encoding, one_to_zero: Array, zero_to_one: Array | None = None, depth: int = 0) -> ReadLaw:
        other = one_to_zero if zero_to_one is None else zero_to_one
        return ReadLaw(CellLaw(DEFAULT_REGION, BitFormat(self.fmt.bits, encoding), one_to_zero, other), depth)

    def every_code(self, law: ReadLaw) -> CodeSums:
        """Store every code equally often, read all of them in each trial, sum delta - E[delta | w] and its square."""
        count = self.fmt.code_count
        copies = -(-WEIGHTS_PER_TRIAL // count)
        codes = np.tile(np.arange(count), copies).astype(self.fmt.code_dtype)
        key, expected = self._key(law, "every code"), law.values + law.drift()
        deviations, squares = np.zeros(count), np.zeros(count)
        flips = np.zeros(self.fmt.bits, np.int64)
        for trial in range(self.trials):
            read = draw_flips(codes, law.errors, law.depth, key, trial)
            delta = law.values[read.codes].reshape(copies, count) - expected
            deviations += delta.sum(axis=0)
            squares += (delta**2).sum(axis=0)
            flips += read.flips_by_plane
        return CodeSums(law, copies * self.trials, deviations, squares, flips)

    def one_code(self, law: ReadLaw, code: int) -> NDArray[np.int64]:
        """Histogram (2^B,) of the read codes of one stored code."""
        codes, key = np.full(WEIGHTS_PER_TRIAL, code, self.fmt.code_dtype), self._key(law, f"code {code}")
        counts = np.zeros(self.fmt.code_count, np.int64)
        for trial in range(self.trials):
            counts += np.bincount(draw_flips(codes, law.errors, law.depth, key, trial).codes, minlength=counts.size)
        return counts

    def _key(self, law: ReadLaw, what: str) -> FlipKey:
        rates = (law.errors.one_to_zero.tolist(), law.errors.zero_to_one.tolist())
        return flip_key(self.seed, f"{law.errors.format} {rates} {law.depth} {what}", PURPOSE)


def _drift_rows(sampler: _Sampler, rates: Array) -> Iterator[TheoremCheck]:
    """Theorem 3.2, A.11, A.12: mean, variance and MSB share in the two additive encodings."""
    for encoding in ENCODINGS[:2]:
        sums = sampler.every_code(sampler.law(encoding, rates))
        yield from rows.line(rows.MEAN, f"{encoding}: ", sums, rows.VARIANCE)
        yield rows.variance_slope(encoding, sums)
        yield rows.msb_share(encoding, sums)
    yield rows.lyapunov(sums)


def _shape_rows(sampler: _Sampler, rates: Array) -> Iterator[TheoremCheck]:
    """Theorem 3.1, A.13, A.14: PMF, characteristic function, skewness, excess kurtosis of single stored codes."""
    pattern = int("01101001" * 2, 2) >> (16 - sampler.fmt.bits)
    for encoding in ENCODINGS:
        law = sampler.law(encoding, rates)
        ends = {0, sampler.fmt.code_count - 1} if encoding == "offset_binary" else set()
        for code in sorted({pattern} | ends):
            yield from rows.one_code(law, code, sampler.one_code(law, code), f"{encoding}, code {code}: ")


def _protection_rows(sampler: _Sampler, rates: Array) -> Iterator[TheoremCheck]:
    """Lemma 4.2: mean and variance below k protected planes."""
    fmt = sampler.fmt
    for depth in sorted({1, 2, fmt.bits // 2, fmt.bits - 1}):
        sums = sampler.every_code(sampler.law("offset_binary", rates, depth=depth))
        low = (np.arange(fmt.code_count) % 2 ** (fmt.bits - depth)) * fmt.step
        regressors = {"slope of E[delta | w] on low(w)": low, "E[delta | low(w) = 0]": np.ones_like(low)}
        yield from rows.coefficients(rows.PROTECTION, f"k = {depth}: ", sums, regressors, sums.law.drift())


def _variant_rows(sampler: _Sampler, rates: Array) -> Iterator[TheoremCheck]:
    """Sign-magnitude, charge loss, and rates that differ from plane to plane."""
    count, bits = sampler.fmt.code_count, sampler.fmt.bits
    sums = sampler.every_code(sampler.law("sign_magnitude", rates))
    regressors = {"coefficient of w": sums.law.values,
                  "coefficient of sign(w)": np.where(np.arange(count) < count // 2, 1.0, -1.0)}
    yield from rows.coefficients(rows.OTHER_ENCODINGS, "sign_magnitude: ", sums, regressors,
                                 sums.law.conditional_mean())
    graded = rates * np.arange(1, bits + 1) / bits
    for theorem, prefix, law in (
        (rows.OTHER_ENCODINGS, "charge loss: ", sampler.law("offset_binary", rates, np.zeros_like(rates))),
        (rows.BY_PLANE, "", sampler.law("offset_binary", graded)),
    ):
        sums = sampler.every_code(law)
        yield from rows.line(theorem, prefix, sums)
    yield from (rows.plane_rate(plane, sums) for plane in range(bits))


_ROWS = (_drift_rows, _shape_rows, _protection_rows, _variant_rows)


def _open_rate(flip_probability: float, weights: int) -> float:
    if isinstance(flip_probability, (int, float)) and 0.0 < flip_probability < 1.0:
        rare = min(flip_probability, 1.0 - flip_probability)
        if rare * weights >= FEWEST_FLIPS:
            return float(flip_probability)
        raise InputError(
            "too few flips to test a theorem on", where="flip_probability and trials",
            rule=f"p x weights per plane >= {FEWEST_FLIPS}, also for 1 - p", value=f"{rare:.6g} x {weights}",
            next_step=f"take more trials: --trials {math.ceil(FEWEST_FLIPS / rare / WEIGHTS_PER_TRIAL)}, or a larger p",
        )
    raise InputError("the theorems need flips that may or may not happen", where="flip_probability",
                     rule="0 < flip_probability < 1", value=flip_probability, next_step="10 % is written 0.10")
