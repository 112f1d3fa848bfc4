"""A word of B cells as a channel: what a function of the read word is worth on average, and where stored mass goes.

Each cell flips on its own, so that the channel is a product of B channels of one cell. Plane i has the matrix

    A_i = [[1 - up_i, up_i], [down_i, 1 - down_i]]      rows: stored bit, columns: read bit

and P(read | stored) = A_(B-1) x ... x A_0 (Kronecker). A vector of 2^B numbers is multiplied by it in B passes of
2 x 2. `spread`, `own_rates` and `block` of a law change nothing here: they tie words to one another, or fix what a cell
draws, and leave the law of one word, averaged over cells, as it is.

Source: Good, "The interaction algorithm and practical Fourier analysis", J. R. Statist. Soc. B 20 (1958).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]


def expected_values(law: CellLaw, values: ArrayLike) -> Array:
    """E[values[read word] | stored word] for every stored word, in O(B 2^B).

    Args:
        law: flip rates of the B cells.
        values: (..., 2^B) a number for every read word.

    Returns:
        (..., 2^B), by stored word.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> law = CellLaw("default", BitFormat(2), one_to_zero=0.25, zero_to_one=0.0)
        >>> expected_values(law, [0.0, 1.0, 2.0, 3.0]).tolist()
        [0.0, 0.75, 1.5, 2.25]
    """
    return _by_planes(np.asarray(values, dtype=np.float64), cell_matrices(law))


def read_moments(law: CellLaw, values: ArrayLike) -> tuple[Array, Array]:
    """Mean and variance of values[read word] for every stored word, cell by cell by the law of total variance.

    Nothing cancels: variances of rare flips keep their relative precision.

    Args:
        law: flip rates of the B cells.
        values: (2^B,) a number for every read word.

    Returns:
        (2^B,) means and (2^B,) variances, by stored word.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> law = CellLaw("default", BitFormat(2), one_to_zero=0.25, zero_to_one=0.0)
        >>> [part.tolist() for part in read_moments(law, [0.0, 1.0, 2.0, 3.0])]
        [[0.0, 0.75, 1.5, 2.25], [0.0, 0.1875, 0.75, 0.9375]]
    """
    mean = np.asarray(values, dtype=np.float64)
    variance = np.zeros_like(mean)
    for plane, rate in enumerate(np.stack([law.zero_to_one, law.one_to_zero], axis=1)):
        flips, shape = rate[:, None], (-1, 2, 2**plane)
        mean, variance = mean.reshape(shape), variance.reshape(shape)
        change = mean[:, ::-1] - mean
        variance = variance + flips * (variance[:, ::-1] - variance) + flips * (1.0 - flips) * change**2
        mean = mean + flips * change
    return mean.reshape(-1), variance.reshape(-1)


def received_mass(law: CellLaw, mass: ArrayLike) -> Array:
    """sum_c mass[c] P(read | c) for every read word: the adjoint of `expected_values`, in O(B 2^B).

    Args:
        law: flip rates of the B cells.
        mass: (..., 2^B) a number for every stored word, such as its probability.

    Returns:
        (..., 2^B), by read word.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> law = CellLaw("default", BitFormat(2), one_to_zero=0.25, zero_to_one=0.0)
        >>> received_mass(law, [0.0, 0.0, 0.0, 1.0]).tolist()
        [0.0625, 0.1875, 0.1875, 0.5625]
    """
    return _by_planes(np.asarray(mass, dtype=np.float64), cell_matrices(law).swapaxes(1, 2))


def transition_matrix(law: CellLaw) -> Array:
    """P(read word | stored word), shape (2^B, 2^B), rows = stored word.

    Args:
        law: flip rates of the B cells; 8 x 4^B bytes are needed.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> transition_matrix(CellLaw("default", BitFormat(1), 0.25, 0.125)).tolist()
        [[0.875, 0.125], [0.25, 0.75]]
    """
    found = np.ones((1, 1))
    for cell in cell_matrices(law):
        found = np.kron(cell, found)
    return found


def law_of_words(law: CellLaw, cells: int) -> CellLaw:
    """The law of the same cells where words have another length.

    Args:
        law: flip rates by plane.
        cells: B of the words that are meant.

    Raises:
        InputError: the planes of the law differ, so that it says nothing of words of another length.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> law_of_words(CellLaw("default", BitFormat(8), 0.25, 0.0), 3).one_to_zero.tolist()
        [0.25, 0.25, 0.25]
    """
    if cells == law.format.bits:
        return law
    rates = [np.unique(rate) for rate in (law.one_to_zero, law.zero_to_one)]
    if max(map(len, rates)) > 1:
        raise InputError("the bit planes of this memory differ, so words of another length have no law",
                         where=f"region {law.name!r}", rule=f"words of {law.format.bits} cells, or planes alike",
                         value=f"words of {cells} cells", next_step="drop bit_planes from the card, or store "
                         f"{law.format.bits} cells per weight")
    down, up = (float(rate[0]) for rate in rates)
    return replace(law, format=BitFormat(cells, law.format.encoding), one_to_zero=np.full(cells, down),
                   zero_to_one=np.full(cells, up))


def cell_matrices(law: CellLaw) -> Array:
    """(B, 2, 2) P(read bit | stored bit) of each plane, 0 = LSB.

    Args:
        law: flip rates of the B cells.
    """
    up, down = law.zero_to_one, law.one_to_zero
    return np.array([[1.0 - up, up], [down, 1.0 - down]]).transpose(2, 0, 1)


def _by_planes(vectors: Array, cells: Array) -> Array:
    """The last axis multiplied by the Kronecker product of the cells, the last of which is its slowest index."""
    found = np.array(vectors, order="C")
    for row in found.reshape(-1, vectors.shape[-1]):
        kernels.through_cells(row, cells)
    return found
