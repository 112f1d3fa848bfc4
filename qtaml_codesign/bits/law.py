"""The law of a read weight: closed forms for any rates per plane and direction, encoding and protection depth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.bits import moments
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import level_table
from qtaml_codesign.bits.moments import Array, Cumulants
from qtaml_codesign.bits.transition import transition_matrix
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.errors import InputError

MATRIX_BITS = 12


@dataclass(frozen=True)
class ReadLaw:
    """Distribution of the value read from a stored code when each bit flips on its own.

    A stored 1 of plane i flips with loss_i, a stored 0 with gain_i; the top `depth` planes never flip. Write
    r_i for the rate that applies to the stored bit b_i, s_i = 1 - 2 b_i, D = 2^(1-B), w for the stored value and
    delta = read - w. All results are exact up to float64 rounding. Methods that take `codes` accept integers of any
    shape, refuse others with an InputError, and return float64 of that shape; without them they return (2^B,), one
    entry per code in code order.

    Args:
        errors: rates and format of the region.
        depth: protected planes from the MSB down, 0 to B.

    Raises:
        InputError: a depth outside 0 to B.

    Source: arXiv 2606.00741, theorems 3.1 (law), 3.2 (mean), 3.4 (shape) and lemma 4.2 (protection), which treat
    offset binary with one symmetric rate; per-plane rates, directions and the other encodings by the same sums.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> law = ReadLaw(BitErrorProfile.uniform(0.10).regions[0])
        >>> round(law.mean_slope(), 12), round(law.msb_share(), 6)
        (0.8, 0.750011)
    """

    errors: CellLaw
    depth: int = 0

    def __post_init__(self) -> None:
        """Check the depth."""
        bits = self.errors.format.bits
        whole_number_within("depth", self.depth, 0, bits, f"protect 0 to {bits} planes")

    @cached_property
    def values(self) -> Array:
        """Stored value w of every code, shape (2^B,)."""
        return level_table(self.errors.format).astype(np.float64) * self.errors.format.step

    def drift(self, codes: ArrayLike | None = None) -> Array:
        """E[delta | w] = D sum_i c_i s_i r_i of `codes`, in units of the full scale.

        One symmetric rate p on the planes below depth k: -2 p low(w) + p D (2^(B-k) - 1), low(w) = D (j mod 2^(B-k)),
        in offset binary; sign-magnitude adds the sign's flips, (1-2p)^2 w + (1-2p) p sign(w) (1-D) - w for k = 0.

        Source: arXiv 2606.00741, theorem 3.2.

        Example:
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> law = ReadLaw(BitErrorProfile.uniform(0.25).regions[0])
            >>> law.drift([0, 255]).tolist() == [-2 * 0.25 * w - 0.25 / 128 for w in (-1.0, 127 / 128)]
            True
        """
        return self._pick(self._cumulants.mean * self.errors.format.step, codes)

    def conditional_mean(self, codes: ArrayLike | None = None) -> Array:
        """E[read | w] = w + E[delta | w] of `codes`; (1 - 2p) w - p D for one symmetric rate without protection.

        Source: arXiv 2606.00741, theorem 3.2 (offset binary; two's complement has the same law).
        """
        return self._pick(self.values, codes) + self.drift(codes)

    def variance(self, codes: ArrayLike | None = None) -> Array:
        """Var[delta | w] = D^2 sum_i 4^i r_i (1 - r_i) of `codes`.

        One symmetric rate, depth k: p (1-p) D^2 (4^(B-k) - 1)/3.
        Sign-magnitude: Var M' + 4 r (1-r) E[M']^2 with M' the read magnitude and r the rate of the sign.

        Source: arXiv 2606.00741, theorem A.11 and lemma 4.2.

        Example:
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> law = ReadLaw(BitErrorProfile.uniform(0.5).regions[0], depth=7)
            >>> set(law.variance().tolist()) == {0.25 / 128**2}
            True
        """
        return self._pick(self._cumulants.variance * self.errors.format.step**2, codes)

    def skewness(self, codes: ArrayLike | None = None) -> Array:
        """E[(delta - E delta)^3 | w] / Var^1.5 of `codes`; nan where nothing can flip.

        One symmetric rate: (1-2p)/sqrt(p(1-p)) sum_i s_i 8^i / ((4^B - 1)/3)^1.5.

        Source: arXiv 2606.00741, theorem A.13.
        """
        cumulants = self._cumulants
        return self._pick(_ratio(_ratio(cumulants.third, cumulants.variance), np.sqrt(cumulants.variance)), codes)

    def excess_kurtosis(self, codes: ArrayLike | None = None) -> Array:
        """E[(delta - E delta)^4 | w] / Var^2 - 3 of `codes`; nan where nothing can flip.

        One symmetric rate: (1 - 6p(1-p))/(p(1-p)) ((16^B - 1)/15) / ((4^B - 1)/3)^2.

        Source: arXiv 2606.00741, theorem A.14.
        """
        cumulants = self._cumulants
        return self._pick(_ratio(_ratio(cumulants.fourth, cumulants.variance), cumulants.variance), codes)

    def lyapunov_ratio(self, codes: ArrayLike | None = None) -> Array:
        """sum_i E|Y_i - E Y_i|^3 / Var^1.5 over the independent terms Y_i = D c_i s_i X_i; nan where nothing can flip.

        One symmetric rate: (p^2+q^2)/sqrt(pq) ((8^B - 1)/7) / ((4^B - 1)/3)^1.5 -> 3 sqrt(3)/(7 sqrt(p)) for small p:
        it does not vanish with B, so no central limit theorem applies. A sign-magnitude value is no sum of
        independent terms, so that encoding is refused. `codes` as everywhere. Source: arXiv 2606.00741, theorem 3.4.

        Raises:
            InputError: sign-magnitude.
        """
        if self.errors.format.encoding == "sign_magnitude":
            raise InputError("the Lyapunov ratio needs a sum of independent terms", where="encoding",
                             rule="offset_binary or twos_complement", value=self.errors.format.encoding,
                             next_step="use skewness() and excess_kurtosis(), exact for every encoding")
        rate = self._rates
        third = moments.over_codes(
            8.0 ** np.arange(len(rate))[:, None] * rate * (1 - rate) * (rate**2 + (1 - rate) ** 2)
        )
        variance = self._cumulants.variance
        return self._pick(_ratio(_ratio(third, variance), np.sqrt(variance)), codes)

    def msb_share(self) -> float:
        """Share of the mean variance (over all codes alike) that goes away when the MSB alone is protected too.

        (3/4) / (1 - 4^-B) for one symmetric rate in an additive encoding; 0 when the MSB is protected already; nan
        when nothing can flip. Source: arXiv 2606.00741, proposition A.12.
        """
        total = float(self.variance().mean())
        if total == 0.0:
            return float("nan")
        return 1.0 - float(ReadLaw(self.errors, max(self.depth, 1)).variance().mean()) / total

    def mean_slope(self, histogram: NDArray[np.int64] | None = None) -> float:
        """Least-squares slope (with intercept) of E[read | w] on w over stored codes.

        Affine means (additive encoding, 1 - loss_i - gain_i the same on every plane): that number itself, so 1 - 2p
        for one symmetric rate and 1 - p for charge loss, whatever is stored. Otherwise it depends on what is stored:
        cov(w, E[read | w]) / var(w).

        Args:
            histogram: (2^B,) how many weights hold each code; every code weighs the same by default.

        Returns:
            The slope; nan where all weights hold one value and the mean is not affine.

        Source: arXiv 2606.00741, corollary 3.3; its inverse is the paper's mean correction.

        Example:
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> round(ReadLaw(BitErrorProfile.uniform(0.10).regions[0]).mean_slope(), 12)
            0.8
        """
        keep = 1.0 - self._rates.sum(axis=1)
        if self.errors.format.encoding != "sign_magnitude" and keep.min() == keep.max():
            return float(keep[0])
        weights = np.ones_like(self.values) if histogram is None else histogram
        share = weights / max(weights.sum(), 1)
        distance = self.values - share @ self.values
        variance = float(share @ distance**2)
        return float(share @ (distance * self.conditional_mean())) / variance if variance > 0.0 else float("nan")

    def code_probabilities(self, code: int) -> Array:
        """P(read code | stored code), shape (2^B,), by exact convolution over planes.

        Raises:
            InputError: `code` is none of the format.
        """
        stored, flip = self._cells(code)
        by_plane = np.where((np.arange(2) == stored[:, None]), (1.0 - flip)[:, None], flip[:, None])
        return moments.over_codes(by_plane, np.multiply)

    def pmf(self, code: int) -> tuple[Array, Array]:
        """Read values, ascending and distinct in [-1, 1), and their probabilities, for one stored code.

        P(read code c' | c) = prod_i r_i or 1 - r_i; the two zeros of sign-magnitude are one value.

        Raises:
            InputError: `code` is none of the format.

        Source: arXiv 2606.00741, theorem 3.1.

        Example:
            >>> from qtaml_codesign.bits.formats import BitFormat
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> law = ReadLaw(BitErrorProfile.uniform(0.25, BitFormat(2)).regions[0])
            >>> [column.tolist() for column in law.pmf(0)]
            [[-1.0, -0.5, 0.0, 0.5], [0.5625, 0.1875, 0.1875, 0.0625]]
        """
        values, where = np.unique(self.values, return_inverse=True)
        return values, np.bincount(where, weights=self.code_probabilities(code)).astype(np.float64)

    def transition_matrix(self) -> Array:
        """P(read code | stored code), shape (2^B, 2^B), rows = stored code; up to 12 bits.

        Raises:
            InputError: more than 12 bits.
        """
        if self.errors.format.bits > MATRIX_BITS:
            raise InputError("the transition matrix would not fit in memory", where="ReadLaw.transition_matrix",
                             rule=f"bits <= {MATRIX_BITS}", value=self.errors.format.bits,
                             next_step="use code_probabilities(code), row by row")
        return transition_matrix(self.errors.protect(self.depth))

    def characteristic_function(self, t: ArrayLike, code: int) -> NDArray[np.complex128]:
        """E[exp(i t delta) | w] for t of any shape: prod_i (1 - r_i + r_i exp(i t D c_i s_i)).

        Sign-magnitude: the same product for either sign of the read magnitude, weighed by the sign's rate.

        Raises:
            InputError: `code` is none of the format.

        Source: arXiv 2606.00741, theorem 3.1.
        """
        stored, rates = self._cells(code)
        times, signs = np.asarray(t, dtype=np.float64) * self.errors.format.step, 1 - 2 * stored
        jumps = signs * self._weights
        if self.errors.format.encoding != "sign_magnitude":
            return _product(times, rates, jumps)
        sign, flip, magnitude = signs[-1], rates[-1], int(code) % (self.errors.format.code_count // 2)
        stays = _product(sign * times, rates[:-1], jumps[:-1])
        leaves = _product(-sign * times, rates[:-1], jumps[:-1]) * np.exp(-2j * times * sign * magnitude)
        return cast("NDArray[np.complex128]", (1.0 - flip) * stays + flip * leaves)

    @cached_property
    def _rates(self) -> Array:
        """(B, 2): rate of a stored 0 and of a stored 1, after protection."""
        open_errors = self.errors.protect(self.depth)
        return np.stack([open_errors.zero_to_one, open_errors.one_to_zero], axis=1)

    @cached_property
    def _cumulants(self) -> Cumulants:
        zero_to_one, one_to_zero = self._rates.T
        if self.errors.format.encoding == "sign_magnitude":
            return moments.signed(one_to_zero, zero_to_one)
        return moments.additive(one_to_zero, zero_to_one, self._weights)

    @property
    def _weights(self) -> Array:
        """(B,) what each plane adds to a level, c_i; of magnitudes below the sign in sign-magnitude."""
        weights = np.exp2(np.arange(self.errors.format.bits, dtype=np.float64))
        if self.errors.format.encoding == "twos_complement":
            weights[-1] *= -1.0
        return weights

    def _pick(self, table: Array, codes: ArrayLike | None) -> Array:
        return table if codes is None else cast("Array", table[self.errors.format.check_codes(codes)])

    def _cells(self, code: int) -> tuple[NDArray[np.int64], Array]:
        """(B,) stored bit and flip rate of each plane of one code."""
        found = whole_number_within("code", code, 0, self.errors.format.code_count - 1, "give one stored code")
        planes = np.arange(self.errors.format.bits)
        stored = found >> planes & 1
        return stored, self._rates[planes, stored]


def _product(times: Array, rates: Array, jumps: Array) -> NDArray[np.complex128]:
    terms = 1.0 + rates * np.expm1(1j * times[..., None] * jumps)
    return cast("NDArray[np.complex128]", terms.prod(axis=-1))


def _ratio(numerator: Array, denominator: Array) -> Array:
    result = np.full_like(numerator, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0.0)
    return result
