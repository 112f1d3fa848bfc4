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
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits import theorem_rows
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat, Encoding
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.moments import Array
from qtaml_codesign.bits.theorem_rows import CodeSums, TheoremCheck
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

    Example:
        >>> checks = verify_theorems(flip_probability=0.10, bits=4, trials=4)
        >>> all(check.passed for check in checks)
        True
        >>> checks[0].theorem, checks[0].quantity, round(checks[0].predicted, 12)
        ('3.2 mean drift', 'offset_binary: slope of E[read | w]', 0.8)
    """
    whole_number_within("trials", trials, 1, 10**9, "64 trials take a second or two")
    fmt = BitFormat(bits)
    rate = _open_rate(flip_probability, trials * max(WEIGHTS_PER_TRIAL, fmt.code_count))
    flat = np.full(fmt.bits, rate)
    rows = [
        *_drift_rows(fmt, flat, trials, seed),
        *_shape_rows(fmt, flat, trials, seed),
        *_protection_rows(fmt, flat, trials, seed),
        *_variant_rows(fmt, flat, trials, seed),
    ]
    limit = FALSE_FAILURE / len(rows)
    return tuple(replace(row, passed=row.p_value >= limit) for row in rows)


def _drift_rows(fmt: BitFormat, rates: Array, trials: int, seed: int) -> Iterator[TheoremCheck]:
    """Theorem 3.2, A.11, A.12: mean, variance and MSB share in the two additive encodings."""
    for encoding in ("offset_binary", "twos_complement"):
        law = _law(fmt, encoding, rates, rates)
        sums = _read_every_code(law, trials, seed)
        yield from theorem_rows.line(theorem_rows.MEAN, f"{encoding}: ", law, sums)
        yield theorem_rows.mean_variance(theorem_rows.VARIANCE, f"{encoding}: ", law, sums)
        yield theorem_rows.variance_slope(encoding, law, sums)
        yield theorem_rows.msb_share(encoding, law, sums)
    yield theorem_rows.lyapunov(law, sums)


def _shape_rows(fmt: BitFormat, rates: Array, trials: int, seed: int) -> Iterator[TheoremCheck]:
    """Theorem 3.1, A.13, A.14: PMF, characteristic function, skewness, excess kurtosis of single stored codes."""
    pattern = int("01101001" * 2, 2) >> (16 - fmt.bits)
    for encoding in ENCODINGS:
        law = _law(fmt, encoding, rates, rates)
        for code in sorted({0, pattern, fmt.code_count - 1} if encoding == "offset_binary" else {pattern}):
            yield from theorem_rows.one_code(
                law, code, _read_one_code(law, code, trials, seed), f"{encoding}, code {code}: "
            )


def _protection_rows(fmt: BitFormat, rates: Array, trials: int, seed: int) -> Iterator[TheoremCheck]:
    """Lemma 4.2: mean and variance below k protected planes."""
    codes = np.arange(fmt.code_count)
    for depth in sorted({1, 2, fmt.bits // 2, fmt.bits - 1}):
        law = _law(fmt, "offset_binary", rates, rates, depth)
        sums = _read_every_code(law, trials, seed)
        low = (codes % 2 ** (fmt.bits - depth)) * fmt.step
        names = ("slope of E[delta | w] on low(w)", "E[delta | low(w) = 0]")
        yield from theorem_rows.coefficients(
            theorem_rows.PROTECTION, [f"k = {depth}: {name}" for name in names], law, sums, [low, np.ones_like(
                low)], law.drift(
            )
        )
        yield theorem_rows.mean_variance(theorem_rows.PROTECTION, f"k = {depth}: ", law, sums)


def _variant_rows(fmt: BitFormat, rates: Array, trials: int, seed: int) -> Iterator[TheoremCheck]:
    """Sign-magnitude, charge loss, and rates that differ from plane to plane."""
    law = _law(fmt, "sign_magnitude", rates, rates)
    sums = _read_every_code(law, trials, seed)
    signs = np.where(np.arange(fmt.code_count) < fmt.code_count // 2, 1.0, -1.0)
    names = ["sign_magnitude: coefficient of w", "sign_magnitude: coefficient of sign(w)"]
    yield from theorem_rows.coefficients(
        theorem_rows.OTHER_ENCODINGS, names, law, sums, [law.values, signs], law.conditional_mean()
    )
    yield theorem_rows.mean_variance(theorem_rows.OTHER_ENCODINGS, "sign_magnitude: ", law, sums)
    law = _law(fmt, "offset_binary", rates, np.zeros_like(rates))
    sums = _read_every_code(law, trials, seed)
    yield from theorem_rows.line(theorem_rows.OTHER_ENCODINGS, "charge loss: ", law, sums)
    yield theorem_rows.mean_variance(theorem_rows.OTHER_ENCODINGS, "charge loss: ", law, sums)
    graded = rates * np.arange(1, fmt.bits + 1) / fmt.bits
    law = _law(fmt, "offset_binary", graded, graded)
    sums = _read_every_code(law, trials, seed)
    yield from theorem_rows.line(theorem_rows.BY_PLANE, "", law, sums)
    yield theorem_rows.mean_variance(theorem_rows.BY_PLANE, "", law, sums)
    yield from (theorem_rows.plane_rate(plane, law, sums) for plane in range(fmt.bits))


def _law(fmt: BitFormat, encoding: str, one_to_zero: Array, zero_to_one: Array, depth: int = 0) -> ReadLaw:
    return ReadLaw(CellLaw("default", BitFormat(fmt.bits, cast("Encoding", encoding)), one_to_zero, zero_to_one), depth)


def _name(law: ReadLaw, what: str) -> str:
    rates = (law.errors.one_to_zero.tolist(), law.errors.zero_to_one.tolist())
    return f"{law.errors.format} {rates} {law.depth} {what}"


def _read_every_code(law: ReadLaw, trials: int, seed: int) -> CodeSums:
    """Store every code equally often, read all of them in each trial, and sum delta - E[delta | w] and its square."""
    count = law.errors.format.code_count
    copies = -(-WEIGHTS_PER_TRIAL // count)
    codes = np.tile(np.arange(count), copies).astype(law.errors.format.code_dtype)
    key, expected = flip_key(seed, _name(law, "every code"), PURPOSE), law.values + law.drift()
    deviations, squares = np.zeros(count), np.zeros(count)
    flips = np.zeros(law.errors.format.bits, np.int64)
    for trial in range(trials):
        read = draw_flips(codes, law.errors, law.depth, key, trial)
        delta = law.values[read.codes].reshape(copies, count) - expected
        deviations += delta.sum(axis=0)
        squares += (delta**2).sum(axis=0)
        flips += read.flips_by_plane
    return CodeSums(copies * trials, deviations, squares, flips)


def _read_one_code(law: ReadLaw, code: int, trials: int, seed: int) -> NDArray[np.int64]:
    """Histogram (2^B,) of the read codes of one stored code."""
    codes = np.full(WEIGHTS_PER_TRIAL, code, law.errors.format.code_dtype)
    key = flip_key(seed, _name(law, f"code {code}"), PURPOSE)
    counts = np.zeros(law.errors.format.code_count, np.int64)
    for trial in range(trials):
        read = draw_flips(codes, law.errors, law.depth, key, trial).codes
        counts += np.bincount(read, minlength=counts.size)
    return counts


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
