"""What a code leaves of the flips: by decoding real codewords, and exactly where a closed form is known.

Failures come word by word: most words are right, and a word that is lost holds many wrong bits at once. So a law counts
both, words that were lost and wrong bits in them.

Up to t flips per word are always corrected, so that under symmetric flips only words with more than t are worth
decoding. They are drawn by their exact law (a binomial count above t at random cells), and their share P(K > t) is
known in closed form: a word error rate of 1e-15 is measured with as few words as one of 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtaml_codesign.checks import whole_number
from qtaml_codesign.ecc.code import Bits, ClosedForm, Code, FlipRates, flip_rates
from qtaml_codesign.errors import InputError
from qtaml_codesign.statistics import Interval, clopper_pearson

BATCH_BITS = 2**22


@dataclass(frozen=True)
class WordCounts:
    """Codewords that were decoded to see what a code leaves of the flips.

    Args:
        words: words that were decoded, all of them with more flips than the code always corrects where `share` < 1.
        wrong: those of them with a wrong data bit.
        wrong_bits: wrong data bits in all of them.
        reported: wrong words that the decoder reported; the others were miscorrected or passed unseen.
        share: probability that a word is one of those that were drawn.

    Raises:
        InputError: numbers that cannot be counts of such words.

    Example:
        >>> seen = WordCounts(words=2000, wrong=0, wrong_bits=0, reported=0)
        >>> [round(end, 6) for end in seen.word_error_rate]
        [0.0, 0.0, 0.001843]
    """

    words: int
    wrong: int
    wrong_bits: int
    reported: int
    share: float = 1.0

    def __post_init__(self) -> None:
        """Check that they belong together."""
        counts = (self.words, self.wrong, self.wrong_bits, self.reported)
        if not all(type(count) is int for count in counts) or not (
                0 <= self.reported <= self.wrong <= self.words and self.words and self.wrong <= self.wrong_bits
                and 0.0 <= self.share <= 1.0):
            raise InputError("these are no counts of decoded words", where="WordCounts", value=(*counts, self.share),
                             rule="whole numbers; reported <= wrong <= words, wrong <= wrong_bits; 0 <= share <= 1",
                             next_step="make the plan again, or delete the kept law")

    @property
    def word_error_rate(self) -> Interval:
        """Probability that a word has a wrong data bit, as measured, with its 95 % interval (Clopper-Pearson)."""
        return Interval(*(self.share * end for end in clopper_pearson(self.wrong, self.words)))

    @property
    def miscorrected(self) -> float:
        """Share of the wrong words that the decoder did not report; 0 where none was wrong."""
        return 1.0 - self.reported / self.wrong if self.wrong else 0.0


@dataclass(frozen=True)
class ResidualLaw:
    """Errors in the data of a code at one flip probability.

    Attributes:
        code: name of the code.
        n, k: cells and data bits of its words.
        rates: flip rates of the cells.
        counts: what was decoded, and what of it was wrong.
        seed: of the drawing.
        exact: the closed form, or None.
    """

    code: str
    n: int
    k: int
    rates: FlipRates
    counts: WordCounts
    seed: int
    exact: ClosedForm | None = None

    @property
    def word_error_rate(self) -> Interval:
        """As `WordCounts.word_error_rate`."""
        return self.counts.word_error_rate

    @property
    def bit_error_rate(self) -> Interval:
        """Expected share of wrong data bits, as measured; its interval is that of the words, their damage as seen.

        Where no word failed the upper end takes half of a lost word's bits as wrong.
        """
        damage = self.counts.wrong_bits / (self.counts.wrong * self.k) if self.counts.wrong else 0.5
        return Interval(*(end * damage for end in self.word_error_rate))

    @property
    def expected(self) -> ClosedForm:
        """The closed form where there is one, else what is to be expected of the next word, by which plans draw.

        By the rule of succession: as if one word more had been lost, with as many of its data bits wrong as raw cells
        flip, which is what a decoder leaves that gives up. No failure seen is no proof that there are none, and a few
        say little of the damage; many leave the measured rates.
        """
        seen = self.counts
        word = seen.share * (seen.wrong + 1) / (seen.words + 2)
        damage = (seen.wrong_bits + self.k * self.rates.mean) / ((seen.wrong + 1) * self.k)
        return self.exact or ClosedForm(word, word * damage)


def measure(code: Code, flip_probability: object, words: int, seed: int = 0) -> ResidualLaw:
    """Encode random data, let cells flip, decode, and count what is wrong.

    Args:
        code: any code.
        flip_probability: of every cell, as `flip_rates` takes it.
        words: words to decode.
        seed: of data and flips.

    Raises:
        InputError: no word, a negative seed, or a rate outside [0, 1].

    Example:
        >>> from qtaml_codesign.ecc.repetition import Repetition
        >>> law = measure(Repetition(3), 0.1, words=10_000)
        >>> round(law.exact.bit, 12), law.word_error_rate.low < law.exact.word
        (0.028, True)
    """
    rates, total = flip_rates(flip_probability), whole_number("words", words, least=1)
    generator = np.random.default_rng(whole_number("seed", seed, least=0))
    radius, share = _certain(code, rates)
    wrong = wrong_bits = reported = 0
    for first in range(0, total, _batch(code)):
        data = generator.integers(0, 2, (min(_batch(code), total - first), code.k), dtype=np.uint8)
        cells = code.encode_bits(data)
        found = code.decode_bits(cells ^ _flips(generator, cells, rates, radius), rates)
        errors = found.bits ^ data
        failed = errors.any(axis=1)
        wrong += int(failed.sum())
        wrong_bits += int(errors.sum())
        reported += int((failed & found.failed).sum())
    counts = WordCounts(total, wrong, wrong_bits, reported, share)
    return ResidualLaw(code.name, code.n, code.k, rates, counts, int(seed), code.closed_form(rates))


def _certain(code: Code, rates: FlipRates) -> tuple[int, float]:
    """How many flips of a word need no decoding (-1: none), and the probability of more."""
    p = rates.zero_to_one
    if not rates.symmetric or not 0.0 < p < 0.5:
        return -1, 1.0
    return code.radius, float(special.bdtrc(code.radius, code.n, p))


def _flips(generator: np.random.Generator, cells: Bits, rates: FlipRates, radius: int) -> NDArray[np.bool_]:
    """(W, n) flips of words as they hold ones and zeros, given that each word has more than `radius`."""
    if radius < 0:
        return generator.random(cells.shape) < np.where(cells, rates.one_to_zero, rates.zero_to_one)
    counts = np.searchsorted(_count_law(cells.shape[1], rates.zero_to_one, radius), generator.random(len(cells)),
                             side="right") + radius + 1
    return generator.permuted(np.arange(cells.shape[1]) < counts[:, None], axis=1)


@lru_cache(maxsize=8)
def _count_law(n: int, p: float, radius: int) -> NDArray[np.float64]:
    """(n - radius,) P(K <= radius + 1 + i | K > radius), K binomial."""
    k = np.arange(radius + 1.0, n + 1.0)
    logs = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    logs += special.xlogy(k, p) + special.xlog1py(n - k, -p)
    mass = np.exp(logs - logs.max()).cumsum()
    mass /= mass[-1]
    mass[-1] = 1.0
    return np.asarray(mass)


def _batch(code: Code) -> int:
    return max(1, BATCH_BITS // code.n)
