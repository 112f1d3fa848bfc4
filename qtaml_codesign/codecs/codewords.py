"""The codewords of a memory: which data bits come back wrong when they are read.

Codewords know no tensors. The bits of all weights that lie under one code, in cells of the same flip rates, fill them
one after the other, from tensor to tensor; the last word is shortened: it holds all its checks, and data bits that no
weight needs take no cell. So a long code costs a small tensor no padding, and a codeword that is lost may damage
rows of two tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.flips import FlipKey
from qtaml_codesign.ecc.code import Bits, Code, FlipRates
from qtaml_codesign.ecc.family import named_code

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Codewords(ABC):
    """Codewords of one code in cells of one kind; groups of weights whose codewords are equal share them.

    Args:
        code: name of the code.
        rates: flip rates of the cells.
    """

    code: str
    rates: FlipRates

    @property
    def known(self) -> Code:
        """The code of that name."""
        return named_code(self.code)

    def cells(self, bits: int) -> int:
        """Cells of so many data bits: themselves, and the checks of every codeword that is begun.

        Args:
            bits: of all groups that share the codewords.

        Example:
            >>> FailedWords("secded-72-64", FlipRates(0.01, 0.01), 0.1, 0.05).cells(400)
            456
        """
        return bits + -(-bits // self.known.k) * (self.known.n - self.known.k)

    @abstractmethod
    def wrong(self, data: Bits, key: FlipKey, trial: int) -> Places:
        """Places of the data bits that one reading gets wrong, each once.

        Args:
            data: (T,) what is stored.
            key: of the reading.
            trial: which drawing.
        """


@dataclass(frozen=True)
class FailedWords(Codewords):
    """Codewords that fail as often as is known of their code, each with its own number and damage.

    Args:
        rate: probability that a codeword fails.
        damage: probability that a data bit of one that failed is wrong.
    """

    rate: float
    damage: float

    def wrong(self, data: Bits, key: FlipKey, trial: int) -> Places:
        """Places among `data` by the `key` and `trial`; a smaller rate fails a subset of the words."""
        random, k = keyed(key, trial), self.known.k
        failed = np.flatnonzero(random.random(-(-data.size // k)) < self.rate)
        word, bit = np.nonzero(random.random((failed.size, k)) < self.damage)
        places = failed[word] * k + bit
        return np.asarray(places[places < data.size], np.intp)


@dataclass(frozen=True)
class DecodedWords(Codewords):
    """Codewords that are really encoded and decoded, their cells flipped between."""

    def wrong(self, data: Bits, key: FlipKey, trial: int) -> Places:
        """Places where decoding does not give the `data` back, flips drawn by the `key` and `trial`."""
        code, random = self.known, keyed(key, trial)
        padded = np.zeros((-(-data.size // code.k), code.k), np.uint8)
        padded.reshape(-1)[: data.size] = data
        cells = code.encode(padded)
        flips = random.random(cells.shape) < np.where(cells == 1, self.rates.one_to_zero, self.rates.zero_to_one)
        flips[-1:, code.k - (padded.size - data.size) : code.k] = False  # a shortened word has no such cells
        found = code.decode(cells ^ flips, tuple(self.rates)).bits.reshape(-1)[: data.size]
        return np.flatnonzero(found ^ data)


def keyed(key: FlipKey, trial: int) -> np.random.Generator:
    """Random numbers of one drawing, by its `key` and `trial`."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([*key.words, trial])))
