"""Cells that differ from one another, and runs of weights that share their flips.

Cell variation: every cell (weight, plane) has a rate of its own, log-normal around the rate of its plane,

    r = min(1, m exp(s z)),   z ~ N(0, 1),   m = m(p, s) such that E[r] = p exactly,

    E[min(1, m exp(s z))] = m exp(s^2/2) Phi(-ln m / s - s) + Phi(ln m / s).

z belongs to the cell and the key, not to the trial: one seed is one chip, whose weak cells stay weak. Over all chips
the flips of one reading are those of identical cells again, because a mixture of independent Bernoulli variables with
mean rate p is a Bernoulli variable with rate p; cell variation acts only through repeated reading of one chip.
Where a card gives the cells oxides of their own (`variation.cells: own_rate`), z is the deviation of the cell's
thickness and r = p_flip(d + sigma z) comes from a table (`physics.own_rates`) in place of m exp(s z).

Blocks: runs of `block` weights share the uniform numbers of their cells, as if one defect reached over all of them.
Every single cell keeps its law; only the correlation between neighbours changes.

Source: arXiv 2606.00741, section 5.7 (non-uniform noise); its constants are not restated there, so these laws are ours.
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import CellLaw

PIECE = 2**16
"""Weights per piece: what bounds the memory."""

ONE_CHIP = ("each cell keeps a rate of its own, so that all trials read one chip, which the seed names: the intervals "
            "do not hold what differs from chip to chip")
"""What to know of results over trials where cells have own rates."""


def mean_rate(median: float, spread: float) -> float:
    """E[min(1, median exp(spread z))], z ~ N(0, 1).

    Args:
        median: m > 0.
        spread: sigma of ln r, > 0.

    Example:
        >>> round(mean_rate(0.1, 0.3), 12) == round(0.1 * math.exp(0.045), 12)
        True
    """
    log_median = math.log(median) / spread
    below = median * math.exp(spread**2 / 2.0) * special.ndtr(-log_median - spread)
    return float(below + special.ndtr(log_median))


@lru_cache(maxsize=1024)
def median_rate(mean: float, spread: float) -> float:
    """The median m of log-normal cell rates, capped at 1, whose mean is `mean`: the least double that reaches it.

    The float64 numbers from the smallest one to exp(40 spread) are halved until one is left. This interval does not
    depend on `mean`, so a larger mean never has a smaller median, to the last bit: the flips nest.

    Args:
        mean: flip probability in [0, 1]; 0 gives 0 and 1 gives infinity (every cell capped).
        spread: sigma of ln r, > 0.

    Example:
        >>> m = median_rate(0.4, 0.6)
        >>> round(m, 4), round(mean_rate(m, 0.6), 12)
        (0.3436, 0.4)
    """
    if mean == 0.0:
        return 0.0
    if mean == 1.0:
        return math.inf
    low, high = 1, int(struct.unpack("<q", struct.pack("<d", math.exp(40.0 * spread)))[0])
    while low < high:
        middle = (low + high) // 2
        if mean_rate(_double(middle), spread) < mean:
            low = middle + 1
        else:
            high = middle
    return _double(low)


def _double(pattern: int) -> float:
    """The float64 with these 64 bits; for positive numbers a larger pattern is a larger number."""
    return float(struct.unpack("<d", struct.pack("<q", pattern))[0])


def flip_cells(
    codes: NDArray[Any], errors: CellLaw, key: NDArray[np.uint64], trial: int, first_index: int, read: NDArray[Any]
) -> NDArray[np.int64]:
    """Read codes (n,) whose cells vary or share flips: flips by plane (B,).

    Args:
        codes: (n,) uint8 or uint16.
        errors: rates after protection, with `block`, and `spread` or `own_rates`.
        key: (2,) of the tensor (`FlipKey.words`); the cells' rates hang on a second key made from it.
        trial: index of the drawing.
        first_index: weight index of codes[0] in its tensor.
        read: where the read codes go, like codes.
    """
    flips, down, up = np.zeros(errors.format.bits, np.int64), errors.one_to_zero, errors.zero_to_one
    if errors.own_rates:
        down, up = (np.where(rates > 0.0, 1.0, 0.0) for rates in (down, up))
    if errors.spread != 0.0:
        down, up = (np.array([median_rate(rate, errors.spread) for rate in rates.tolist()]) for rates in (down, up))
    for start in range(0, codes.size, PIECE):
        piece, first = codes[start:start + PIECE], np.uint64(first_index + start)
        kernels.flip_unlike_cells(piece, down, up, _cell_factors(key, first, piece.size, errors), key,
                                  np.uint64(trial), first, np.uint64(errors.block), read[start:start + PIECE], flips)
    return flips


def _cell_factors(key: NDArray[np.uint64], first: np.uint64, count: int, errors: CellLaw) -> NDArray[np.float64]:
    """(count, B) exp(spread z) of every cell, or its own rate where it has one; ones where all cells are alike."""
    bits = errors.format.bits
    if errors.spread == 0.0 and not errors.own_rates:
        return np.ones((count, bits))
    digest = hashlib.blake2b(f"cell rates {key[0]} {key[1]}".encode(), digest_size=16).digest()
    uniforms = np.empty((count, bits))
    kernels.cell_uniforms(np.frombuffer(digest, dtype="<u8").astype(np.uint64), first, uniforms)
    if len(errors.own_rates) > 1:
        planes = zip(errors.own_rates, special.ndtri(uniforms).T, strict=True)
        return np.stack([table.rates(z) for table, z in planes], axis=-1)
    if errors.own_rates:
        return errors.own_rates[0].rates(special.ndtri(uniforms))
    factors: NDArray[np.float64] = np.exp(errors.spread * special.ndtri(uniforms))
    return factors
