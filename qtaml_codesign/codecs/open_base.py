"""What a word stands for when its open planes are the digits of a base below two.

Protected planes are binary digits. The n planes below them flip, and in base 2 a flip of the first one moves the value
by half of all that they span. In a base 1 < beta < 2 the n digits have fewer values, and each value several words,

    value = protected part + c sum_i b_i beta^i,      c sum_i beta^i = (2^n - 1) D,      D = 2^(1-B)

so that a flip moves the value less: the sum of c^2 beta^(2 i), which the variance is proportional to, falls from a
third of the squared range towards an n-th of it, where all planes count alike. What is lost is resolution, of which
planes that flip had no use. Base 2 is the plain store.

Source: expansions in such a base, and their use against digits that may be wrong, Daubechies, DeVore, Gunturk and
Vaishampayan, IEEE Trans. Inf. Theory 52 (2006) 874.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.formats import BitFormat


def word_values(form: BitFormat, depth: int, base: float) -> NDArray[np.float64]:
    """(2^B,) value of every word, in [-1, 1 - D]; the levels times D where the base is 2.

    Args:
        form: bit count and encoding.
        depth: protected planes from the MSB down, 0..B; those below are digits of the base.
        base: >= 1; the sign of sign-magnitude is no digit.

    Example:
        >>> word_values(BitFormat(3), 1, 2.0).tolist() == [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75]
        True
        >>> word_values(BitFormat(3), 1, 1.0).tolist() == [-1.0, -0.625, -0.625, -0.25, 0.0, 0.375, 0.375, 0.75]
        True
    """
    bits, top = form.bits, form.bits - 1
    digits = np.arange(form.code_count)[:, None] >> np.arange(bits) & 1
    signed = form.encoding == "sign_magnitude"
    count = min(bits - depth, top) if signed else bits - depth
    weights = 2.0 ** np.arange(bits)
    powers = base ** np.arange(count)
    weights[:count] = powers * ((2.0**count - 1.0) / max(powers.sum(), 1.0))
    if signed:
        return np.asarray((1 - 2 * digits[:, top]) * (digits[:, :top] @ weights[:top]) * form.step, np.float64)
    digits[:, top] ^= form.encoding == "twos_complement"
    return np.asarray((digits @ weights - 2.0**top) * form.step, np.float64)
