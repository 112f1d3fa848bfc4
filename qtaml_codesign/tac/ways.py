"""The ways in which weights can be held, and what each costs and loses, before it is known which weights.

Rows are brought to mean 0 and variance 1, so that the error of a way is a number that hangs on the flip law alone:
that of its table on a Gaussian source. The tables are therefore the same for all rows, tensors and networks in a
memory; tables made for the weights of each tensor did no better on the networks that ship.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.channel_optimised import design
from qtaml_codesign.codecs.codebook import MOST_CELLS, Codebook, Source, design_codebook
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.dropped import Dropped
from qtaml_codesign.errors import InputError

SOURCE_ATOMS = 2**12
"""Intervals of equal mass that stand for the Gaussian distribution; the error of a table moves by 0.1 % with more."""


@dataclass(frozen=True)
class Way:
    """One way to hold rows of weights.

    Attributes:
        cells: that it takes for each weight.
        error: expected squared error of a weight whose row has variance 1.
        hold: weights (rows, ...) -> codec.
    """

    cells: float
    error: float
    hold: Callable[[NDArray[np.floating]], Codec]


DROP = Way(0.0, 1.0, Dropped.of)
"""Every row is read as its mean."""


@lru_cache(maxsize=512)
def gaussian_codebook(law: CellLaw) -> tuple[Codebook, float]:
    """The table for a Gaussian source under a law, and its expected squared error.

    Args:
        law: of words of 1 to 12 cells.
    """
    source = Source.gaussian(SOURCE_ATOMS)
    book = design_codebook(source, law)
    return book, book.distortion(source, law)


def word_ways(law: CellLaw) -> list[Way]:
    """Channel-optimised words of 1 to 12 cells; where the planes of the memory differ, of as many as it has planes.

    Args:
        law: flip rates of the raw cells.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> ways = word_ways(CellLaw("default", BitFormat(8), 0.1, 0.1))
        >>> [way.cells for way in ways[:3]], round(ways[3].error, 3)
        ([1.0, 2.0, 3.0], 0.259)
    """
    ways = []
    for cells in range(1, MOST_CELLS + 1):
        try:
            book, error = gaussian_codebook(law_of_words(law, cells))
        except InputError:
            continue
        ways.append(Way(float(cells), error, partial(_in_words, law=law, book=book)))
    return ways


def _in_words(weights: NDArray[np.floating], law: CellLaw, book: Codebook) -> Codec:
    return design(weights, law_of_words(law, book.format.bits), codebook=book)
