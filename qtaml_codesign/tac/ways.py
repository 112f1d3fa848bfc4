"""The ways in which weights can be held, and what each costs and loses, before it is known which weights.

Rows are brought to mean 0 and variance 1, so that the error of a way is a number that hangs on the flip law alone:
that of its table on a Gaussian source. The tables are therefore the same for all rows, tensors and networks in a
memory; tables made for the weights of each tensor did no better on the networks that ship.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.bits.transition import law_of_words
from qtaml_codesign.codecs.channel_optimised import design
from qtaml_codesign.codecs.codebook import MOST_CELLS, Codebook, Source, design_codebook
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.coded import Coded
from qtaml_codesign.codecs.dropped import Dropped
from qtaml_codesign.ecc.code import FlipRates, flip_rates
from qtaml_codesign.ecc.family import RatedCode, cheapest_code
from qtaml_codesign.ecc.kept_laws import kept_law
from qtaml_codesign.errors import InputError
from qtaml_codesign.tac.algorithm import StageProgress
from qtaml_codesign.tac.request import with_margin

SOURCE_ATOMS = 2**12
"""Intervals of equal mass that stand for the Gaussian distribution; the error of a table moves by 0.1 % with more."""


MOST_RESIDUAL = 2e-4
"""Share of wrong data bits that a code may leave: at most a lost word or two of the 2,000 that are decoded."""


MEASURING = "measuring what codes leave"
"""Stage of the progress that is told."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody of the progress, `done` of `total` steps of a `stage`."""


@dataclass(frozen=True)
class Way:
    """One way to hold rows of weights.

    Attributes:
        cells: that it takes for each weight.
        error: expected squared error of a weight whose row has variance 1.
        hold: weights (rows, ...) -> codec.
        padding: cells that the last codeword of a network takes beyond its data, at most.
    """

    cells: float
    error: float
    hold: Callable[[NDArray[np.floating]], Codec]
    padding: int = 0


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


def coded_ways(
    law: CellLaw, most_bits: int = MOST_CELLS - 2, margin: float = 1.0, progress: StageProgress = silent
) -> list[Way]:
    """Words of 1 to 10 bits under the code of `rated_for`.

    Args:
        law: flip rates of the raw cells.
        most_bits: of a word.
        margin, progress: as for `rated_for`.
    """
    rated = rated_for(law, margin, progress)
    return [] if rated is None else [coded_way(bits, *rated, law.name) for bits in range(1, most_bits + 1)]


def rated_for(
    law: CellLaw, margin: float = 1.0, progress: StageProgress = silent
) -> tuple[RatedCode, RatedCode] | None:
    """The code of `code_for` at so many times the rates, and the same code at the rates themselves.

    Args:
        law: flip rates of the raw cells.
        margin: design margin on the raw bit error rate.
        progress: as for `code_for`.
    """
    worst = code_for(with_margin(law, margin), progress)
    if worst is None or margin == 1.0:
        return worst and (worst, worst)
    rates = flip_rates((law.zero_to_one[0], law.one_to_zero[0]))
    return worst, RatedCode(worst.code, kept_law(worst.code, rates, laws_folder()))


def code_for(law: CellLaw, progress: StageProgress = silent) -> RatedCode | None:
    """The code that takes fewest cells and leaves hardly an error at these rates; measured where it is not known.

    Args:
        law: flip rates of the raw cells.
        progress: called with (stage, codes looked at, codes) as codes are looked through.

    Returns:
        None where no code suffices, or planes differ: a code is known for one rate.
    """
    down, up = (np.unique(rates) for rates in (law.one_to_zero, law.zero_to_one))
    if len(down) > 1 or len(up) > 1:
        return None
    return cheapest_code((float(up[0]), float(down[0])), MOST_RESIDUAL, laws_folder(), partial(progress, MEASURING))


def coded_way(bits: int, worst: RatedCode, used: RatedCode, region: str) -> Way:
    """Words of so many bits under a code, with the table and the error for what it leaves at the worst rates.

    Args:
        bits: of a word.
        worst: the code, at the rates that it is designed for.
        used: the code at the rates of the memory; the codec knows what is left there.
        region: of the memory.
    """
    code, wrong = worst.code, worst.law.expected.bit
    left = code.residual_rates(worst.law.rates) or FlipRates(wrong, wrong)
    down, up = (np.full(bits, rate) for rate in (left.one_to_zero, left.zero_to_one))
    book, error = gaussian_codebook(CellLaw(region, BitFormat(bits), down, up))
    return Way(bits * code.cells_per_bit, error, partial(_in_code, rated=used, book=book), code.n - code.k)


def _in_code(weights: NDArray[np.floating], rated: RatedCode, book: Codebook) -> Codec:
    silent = np.zeros(book.format.bits)
    words = design(weights, CellLaw("default", book.format, silent, silent), codebook=book)
    left, rates = rated.law.expected, rated.law.rates
    return Coded(words, rated.code.name, rates.one_to_zero, rates.zero_to_one, left.word,
                 left.bit / left.word if left.word else 0.0, measured=rated.law.counts)


def laws_folder() -> Path:
    """Where the measured laws of codes are kept for the next plan: a folder of the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qtaml-codesign" / "codes"


def _in_words(weights: NDArray[np.floating], law: CellLaw, book: Codebook) -> Codec:
    return design(weights, law_of_words(law, book.format.bits), codebook=book)
