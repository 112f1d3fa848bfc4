"""What a code leaves of the flips: by decoding real codewords, and exactly where a closed form is known.

Failures come word by word: most words are right, and a word that is lost holds many wrong bits at once. So a law keeps
the error patterns of words that were seen to fail, and draws whole words.

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
from qtaml_codesign.statistics import Interval, clopper_pearson

MOST_PATTERNS = 256
BATCH_BITS = 2**22


@dataclass(frozen=True, eq=False)
class ResidualLaw:
    """Errors in the data of a code at one flip probability.

    Attributes:
        code: name of the code.
        n, k: cells and data bits of its words.
        rates: flip rates of the cells.
        words: words that were decoded, all of them with more than t flips where `share` < 1.
        wrong: those of them with a wrong data bit.
        wrong_bits: wrong data bits in all of them.
        reported: wrong ones that the decoder reported; the others were miscorrected or passed unseen.
        share: probability that a word is one of those that were drawn.
        seed: of the drawing.
        patterns: (F, k) uint8, data errors of up to 256 words that failed, in the order in which they were seen.
        exact: the closed form, or None.
    """

    code: str
    n: int
    k: int
    rates: FlipRates
    words: int
    wrong: int
    wrong_bits: int
    reported: int
    share: float
    seed: int
    patterns: Bits
    exact: ClosedForm | None = None

    @property
    def word_error_rate(self) -> Interval:
        """Probability that a word has a wrong data bit, as measured, with its 95 % interval (Clopper-Pearson)."""
        return Interval(*(self.share * end for end in clopper_pearson(self.wrong, self.words)))

    @property
    def bit_error_rate(self) -> Interval:
        """Expected share of wrong data bits, as measured; its interval is that of the words, their damage as seen.

        Where no word failed the upper end takes half of a lost word's bits as wrong.
        """
        damage = self.wrong_bits / (self.wrong * self.k) if self.wrong else 0.5
        return Interval(*(end * damage for end in self.word_error_rate))

    @property
    def miscorrected(self) -> float:
        """Share of the wrong words that the decoder did not report; 0 where none was wrong."""
        return 1.0 - self.reported / self.wrong if self.wrong else 0.0

    @property
    def expected(self) -> ClosedForm:
        """The closed form where there is one, else what is to be expected of the next word, by which `draw` draws.

        By the rule of succession: as if one word more had been lost, with as many of its data bits wrong as raw cells
        flip, which is what a decoder leaves that gives up. No failure seen is no proof that there are none, and a few
        say little of the damage; many leave the measured rates.
        """
        word = self.share * (self.wrong + 1) / (self.words + 2)
        damage = (self.wrong_bits + self.k * self.rates.mean) / ((self.wrong + 1) * self.k)
        return self.exact or ClosedForm(word, word * damage)

    def draw(self, generator: np.random.Generator, words: int) -> Bits:
        """Errors of the data of one reading: whole words fail together.

        A word fails with `expected.word`; its errors are one of the patterns that were seen, each as likely. One number
        decides per word, so that a smaller rate drawn with the same generator fails a subset of the words.

        Args:
            generator: keyed by what is read: seed, tensor, trial.
            words: W, how many words the data take.

        Returns:
            (W, k) uint8, 1 where a data bit is read wrong.

        Raises:
            InputError: a negative number of words.
        """
        count = whole_number("words", words, least=0)
        errors, chance = np.zeros((count, self.k), np.uint8), generator.random(count)
        which = generator.random(count)
        if len(self.patterns):
            failed = chance < self.expected.word
            errors[failed] = self.patterns[(which[failed] * len(self.patterns)).astype(np.intp)]
        return errors


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
    patterns: list[Bits] = []
    for first in range(0, total, _batch(code)):
        data = generator.integers(0, 2, (min(_batch(code), total - first), code.k), dtype=np.uint8)
        cells = code.encode_bits(data)
        found = code.decode_bits(cells ^ _flips(generator, cells, rates, radius), rates)
        errors = found.bits ^ data
        failed = errors.any(axis=1)
        wrong += int(failed.sum())
        wrong_bits += int(errors.sum())
        reported += int((failed & found.failed).sum())
        patterns.append(errors[failed][: MOST_PATTERNS])
    kept = np.concatenate(patterns)[:MOST_PATTERNS]
    return ResidualLaw(code.name, code.n, code.k, rates, total, wrong, wrong_bits, reported, share, int(seed), kept,
                       code.closed_form(rates))


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
