"""Which bit planes of a tensor to protect first, and what is left of the read variance when so many of them are.

With w the stored value of a code, r_i the rate of the bit that it holds in plane i, and a mean over the codes written,
the read variance of additive encodings is a sum over open planes, and the best k planes are those of largest v_i:

    v_i = D^2 4^i mean[ r_i (1 - r_i) ],   symmetric flips: D^2 4^i p_i (1 - p_i),   charge loss: ... x share charged

In sign-magnitude the sign adds 4 r (1 - r) E[magnitude read]^2, which hangs on the planes below it: there the plane
that takes away most is taken again and again.

One rate for all planes and both directions is the paper's case: there the top planes stand for the best ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.law import ReadLaw

Counts = NDArray[np.int64]


def top_planes(law: CellLaw) -> tuple[int, ...]:
    """All planes from the MSB down, 0 = LSB: the order in which Uniform-MSP protects them.

    Args:
        law: of cells in words of B bits.
    """
    return tuple(reversed(range(law.format.bits)))


def best_planes(law: CellLaw, counts: Counts) -> tuple[int, ...]:
    """All planes, 0 = LSB, each the one that takes most of the read variance away after those before it.

    Equal ones, and all planes of a law that is `even`, come from the MSB down.

    Args:
        law: flip rates of the raw cells.
        counts: (2^B,) how many weights hold each code.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> stored = np.ones(16, np.int64)
        >>> best_planes(CellLaw("default", BitFormat(4), 0.1, 0.1), stored)
        (3, 2, 1, 0)
        >>> thick_msb = [0.1, 0.1, 0.1, 0.001]
        >>> best_planes(CellLaw("default", BitFormat(4), thick_msb, thick_msb), stored)
        (2, 1, 0, 3)
    """
    if law.even:
        return top_planes(law)
    chosen: list[int] = []
    for _ in range(law.format.bits):
        left = [plane for plane in top_planes(law) if plane not in chosen]
        chosen.append(min(left, key=lambda plane: mean_variance(law.without([*chosen, plane]), counts)))
    return tuple(chosen)


def variance_by_depth(law: CellLaw, counts: Counts, order: Iterable[int]) -> NDArray[np.float64]:
    """(B + 1,) mean variance of a read value when the first 0, 1, ... B planes of `order` are protected.

    Args:
        law: flip rates of the raw cells.
        counts: (2^B,) how many weights hold each code.
        order: all planes, 0 = LSB.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> law = CellLaw("default", BitFormat(2), 0.5, 0.5)
        >>> variance_by_depth(law, np.ones(4, np.int64), (1, 0)).tolist()
        [0.3125, 0.0625, 0.0]
    """
    planes = tuple(order)
    return np.array([mean_variance(law.without(planes[:depth]), counts) for depth in range(len(planes) + 1)])


def mean_variance(law: CellLaw, counts: Counts) -> float:
    """Mean variance of a read value over the codes written.

    Args:
        law: flip rates that protection leaves.
        counts: (2^B,) how many weights hold each code.
    """
    share = counts / counts.sum()
    return float(share @ _variance(law))


@lru_cache(maxsize=256)
def _variance(law: CellLaw) -> NDArray[np.float64]:
    """(2^B,) variance of the read value of each code; tensors and plans share it."""
    return ReadLaw(law).variance()
