"""Tables chosen for their channel: which words to write, and what to take a read word for.

A source w of mean 0 and variance 1 is written into words of B cells that flip by the law P(r | c). The reader takes the
read word r for x_r. With squared error the best encoder for a reader, and the best reader for an encoder, are

    e(w) = argmin_c sum_r P(r | c) (w - x_r)^2 = argmin_c ( E[x^2 | c] - 2 w E[x | c] )
    x_r  = E[w | r] = sum_c P(r | c) m_c / sum_c P(r | c) q_c,   q_c = Pr(e(w) = c),  m_c = E[w; e(w) = c]

The cost of a word is a line in w, so that each word holds an interval: the lower envelope of 2^B lines. The two steps
in turn can only lower the error, and end in a local minimum that hangs on the start: natural binary words, Gray words
each of whose digits is repeated over several cells, and words at random; from the best of them on, a word at a time is
changed as long as it helps. On a Gaussian source in 8 cells that comes within 2 % of the best that ten times the
changes find at rates from 0.05 up (25 % at a rate of 0.001, where the error is small).

Source: Fine, "Properties of an optimum digital system and applications", IEEE Trans. Inf. Theory 10 (1964); Kurtenbach
and Wintz, "Quantizing for noisy channels", IEEE Trans. Commun. 17 (1969); Farvardin and Vaishampayan, "Optimal
quantizer design for noisy channels", IEEE Trans. Inf. Theory 33 (1987). Changes of words: Zeger and Gersho,
"Pseudo-Gray coding", IEEE Trans. Commun. 38 (1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.bits.transition import cell_matrices, expected_values
from qtaml_codesign.checks import whole_number
from qtaml_codesign.codecs import kernels
from qtaml_codesign.codecs.codec import whole
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]

MOST_CELLS = 12
FURTHEST = 2.0**20
"""What a word is read for is a mean of numbers of variance 1: of n such numbers none exceeds the root of n."""
RANDOM_STARTS, LARGEST_RANDOM = 16, 32
CHANGES = 60
FIRST_ROUNDS, FINALISTS, ROUGHLY = 8, 4, 1e-6
LAST_ROUNDS, EXACTLY = 1000, 1e-12
TIE_DIGITS = 9
"""Errors that agree so far are equal: words that differ by a symmetry only are chosen between by their order."""


class Source(NamedTuple):
    """A distribution of mean 0 and variance 1 that words are chosen for, as atoms.

    Attributes:
        points: (n,) ascending.
        mass: (n + 1,) mass before each point and after the last, 0 to 1.
        moment: (n + 1,) sum of mass x point before each point and after the last.
        power: E[w^2]; above sum of mass x point^2 where an atom stands for an interval.
    """

    points: Array
    mass: Array
    moment: Array
    power: float

    @classmethod
    def of(cls, points: Array, mass: Array, power: float | None = None) -> Source:
        """A source with these atoms.

        Args:
            points: (n,) in any order.
            mass: (n,) >= 0, with a sum > 0; divided by it.
            power: E[w^2]; by default that of the atoms.

        Example:
            >>> Source.of(np.array([1.0, -1.0]), np.array([1.0, 3.0])).mass.tolist()
            [0.0, 0.75, 1.0]
        """
        order = np.argsort(points, kind="stable")
        at, share = points[order], mass[order] / mass.sum()
        sums = [np.concatenate([[0.0], np.cumsum(each)]) for each in (share, share * at)]
        return cls(at, sums[0], sums[1], float(share @ at**2) if power is None else power)

    @classmethod
    def gaussian(cls, atoms: int = 2**14) -> Source:
        """The standard normal distribution in intervals of equal mass, each at its mean, with the power 1 of it.

        Args:
            atoms: how many intervals.

        Example:
            >>> source = Source.gaussian(2)
            >>> source.points.round(4).tolist(), source.power
            ([-0.7979, 0.7979], 1.0)
        """
        edges = ndtri(np.arange(atoms + 1) / atoms)
        density = np.exp(-(edges**2) / 2.0) / np.sqrt(2.0 * np.pi)
        return cls.of(-np.diff(density) * atoms, np.full(atoms, 1.0 / atoms), 1.0)


@dataclass(frozen=True, repr=False)
class Codebook:
    """Words for a number of mean 0 and variance 1, and what each read word is worth.

    Args:
        format: the B cells of a word.
        table: (2^B,) what a read word is taken for.
        words: the words that are written, in rising order of the numbers that they stand for.
        thresholds: one fewer, ascending: word k holds thresholds[k-1] <= w < thresholds[k].

    Raises:
        InputError: the fields do not fit one another.

    Example:
        >>> law = CellLaw("default", BitFormat(1), 0.1, 0.1)
        >>> book = design_codebook(Source.gaussian(), law)
        >>> [round(value, 4) for value in book.table], book.words, book.thresholds
        ([-0.6383, 0.6383], (0, 1), (0.0,))
    """

    format: BitFormat
    table: tuple[float, ...]
    words: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        count, numbers = self.format.code_count, (*self.table, *self.thresholds)
        if not (len(self.table) == count and len(self.words) == len(self.thresholds) + 1 and np.isfinite(numbers).all()
                and max(map(abs, self.table)) <= FURTHEST and whole(*self.words)
                and all(0 <= word < count for word in self.words)
                and all(low <= high for low, high in pairwise(self.thresholds))):
            raise InputError(
                "the table of a store does not fit its words", where="Codebook",
                rule=f"{count} values within +-{FURTHEST:g}, words below {count}, and between them rising thresholds",
                value=f"{len(self.table)} values, {len(self.words)} words, {len(self.thresholds)} thresholds",
                next_step="make it with design_codebook(source, law)",
            )

    def __repr__(self) -> str:
        """Cells of a word and shapes of the tables."""
        return f"Codebook({self.format.bits} cells, {len(self.table)} values, {len(self.words)} words)"

    def encode(self, numbers: Array) -> Codes:
        """The word of least expected error of each number, in their shape.

        Args:
            numbers: finite, any shape.
        """
        bounds, words = self._encoder
        return words[np.searchsorted(bounds, numbers, side="right")]

    def errors(self, numbers: Array, law: CellLaw) -> Array:
        """E[(read - number)^2] of each number, in their shape, exact.

        Args:
            numbers: finite, any shape.
            law: flip rates of the cells.
        """
        table = np.array(self.table)
        words, (first, second) = self.encode(numbers), expected_values(law, [table, table**2])
        found: Array = second[words] - 2.0 * numbers * first[words] + numbers**2
        return found

    def distortion(self, source: Source, law: CellLaw) -> float:
        """E[(read - w)^2] over a source, exact.

        Args:
            source: what is written.
            law: flip rates of the cells.

        Example:
            >>> law = CellLaw("default", BitFormat(4), 0.1, 0.1)
            >>> source = Source.gaussian()
            >>> round(design_codebook(source, law).distortion(source, law), 4)
            0.2586
        """
        within = source.power - float(np.diff(source.mass) @ source.points**2)
        return float(np.diff(source.mass) @ self.errors(source.points, law)) + within

    def to_json(self) -> dict[str, Any]:
        """Every field as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Codebook:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave, also after JSON.
        """
        lists = {name: tuple(fields[name]) for name in ("table", "words", "thresholds")}
        return cls(BitFormat(**fields["format"]), **lists)

    @cached_property
    def _encoder(self) -> tuple[Array, Codes]:
        return np.array(self.thresholds), np.array(self.words).astype(self.format.code_dtype)


def design_codebook(source: Source, law: CellLaw, seed: int = 0) -> Codebook:
    """The best table found for a source and a law, the same in every run.

    A law of rates 0.5 reads nothing: every value is the mean. A word that is never read (rate 0) keeps the value 0.

    Args:
        source: distribution of what is written.
        law: flip rates of the cells, 1 to 12; each plane and direction may have its own.
        seed: key of the random starts and changes.

    Raises:
        InputError: more than 12 cells.
    """
    if law.format.bits > MOST_CELLS:
        raise InputError("a table for so many cells takes too long to find", where="law.format.bits",
                         rule=f"at most {MOST_CELLS} cells", value=law.format.bits,
                         next_step="give the law of fewer cells, or store plain numbers")
    random = np.random.Generator(np.random.Philox(whole_number("seed", seed, least=0)))
    forward = cell_matrices(law)
    channel = (forward, np.ascontiguousarray(forward.swapaxes(1, 2)), *source)
    tables = [start(words, law, source) for words in _labels(law.format.bits, random)]
    for rounds, kept in ((FIRST_ROUNDS, FINALISTS), (kernels.LONG, 1)):
        errors = np.round([kernels.alternate(table, *channel, rounds, ROUGHLY) for table in tables], TIE_DIGITS)
        tables = [tables[place] for place in np.argsort(errors, kind="stable")[:kept]]
    (table,) = tables
    kernels.search(table, *channel, random.random((_changes(law.format.bits), 3)), ROUGHLY)
    kernels.alternate(table, *channel, LAST_ROUNDS, EXACTLY)
    return codebook_of(table, law)


def codebook_of(table: Array, law: CellLaw) -> Codebook:
    """A table with its best encoder.

    Args:
        table: (2^B,) what each read word is taken for.
        law: flip rates of the B cells.
    """
    words, bounds = np.empty(table.size, np.int64), np.empty(table.size)
    count = kernels.best_encoder(np.asarray(table, np.float64), cell_matrices(law), words, bounds)
    return Codebook(law.format, tuple(table.tolist()), tuple(words[:count].tolist()),
                    tuple(bounds[: count - 1].tolist()))


def start(words: NDArray[np.int64], law: CellLaw, source: Source) -> Array:
    """(2^B,) the best reader of N words on the N intervals that suit a Gaussian source without noise.

    Args:
        words: (N,) in rising order of the intervals, whose density is the cube root of the Gaussian's.
        law: flip rates of the cells.
        source: distribution of what is written.
    """
    edges, table = np.sqrt(3.0) * ndtri(np.arange(1, words.size) / words.size), np.empty(law.format.code_count)
    backward = np.ascontiguousarray(cell_matrices(law).swapaxes(1, 2))
    kernels.best_reader(words, edges, backward, *source[:3], table)
    return table


def _labels(bits: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Natural binary words, Gray words with repeated digits, and random words: starts of the design."""
    count = 2**bits
    yield np.arange(count)
    for cells in _partitions(bits, bits):
        numbers = np.arange(2 ** len(cells))
        yield _repeated(numbers ^ numbers >> 1, cells)
    for _ in range(RANDOM_STARTS):
        yield random.permutation(count)[: random.integers(2, min(count, LARGEST_RANDOM), endpoint=True)]


def _partitions(total: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every way of writing a number as a sum of non-increasing parts, none above `most`."""
    if total == 0:
        yield ()
    for part in range(min(total, most), 0, -1):
        yield from ((part, *rest) for rest in _partitions(total - part, part))


def _repeated(numbers: NDArray[np.int64], cells: tuple[int, ...]) -> NDArray[np.int64]:
    """Words that hold each binary digit of a number, the highest first, in so many cells."""
    words = np.zeros_like(numbers)
    for place, repeats in enumerate(reversed(cells)):
        digit, low = numbers >> place & 1, sum(cells[len(cells) - place:])
        words |= digit * (2**repeats - 1) << low
    return words


def _changes(bits: int) -> int:
    """How many changes of a word are tried: fewer where each takes long."""
    return int(CHANGES * min(1.0, 2.0 ** (8 - bits)))
