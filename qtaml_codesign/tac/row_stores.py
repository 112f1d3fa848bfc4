"""Words row by row: the scale and the readout of each row that disturb the output least, at every depth.

With g(w) the gain of a weight (`nets.weight_gains`), m(w) and v(w) mean and variance of the value that is read for it
under the row's protection, and a readout of gain a and offset o, a row adds

    e = sum_w g(w) [ (w - a m(w) - o)^2 + a^2 v(w) ]

to the expected squared error of the logits, independent noises and small errors taken for granted. The scale acts
through m and v: a smaller one clips more weights and lets the flips of the others move them less. So does the base of
the open planes, which is chosen for a Gaussian row: one for each depth, the same for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_protected import ChannelProtected, row_moments, row_words
from qtaml_codesign.codecs.codec import histogram
from qtaml_codesign.codecs.open_base import word_values
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.tac.planes import best_planes, top_planes

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

CLIPS = np.geomspace(1.3, 0.04, 32)
"""Scales that are tried, as shares of the largest magnitude; neighbours differ by 12 %."""
BASES = tuple(1.0 / share for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
"""Bases of the open planes that are tried: what a plane counts as a share of the next one."""
ATOMS = 512
"""Equally likely numbers that stand for a Gaussian row."""
LEAST_SHARE = 0.1
"""Gain that every weight has at least, as a share of the tensor's mean: few calibration inputs may not show all."""
WEIGHTS_AT_ONCE = 2**20


@dataclass(frozen=True)
class RowParts:
    """Which parts of the design act on a tensor.

    Attributes:
        row_scale: one scale for each row instead of one for the tensor.
        clipping: the scale of least error instead of the largest magnitude.
        readout: gain and offset of the conditional mean instead of the scale alone.
        nearest_mean: a weight is written as the word that reads nearest to it on average, not the nearest value.
        open_base: the open planes are digits of the base of least error instead of 2.
    """

    row_scale: bool = True
    clipping: bool = True
    readout: bool = True
    nearest_mean: bool = True
    open_base: bool = True


@dataclass(frozen=True, eq=False)
class RowStore:
    """How the rows of a tensor are held: what `ChannelProtected` says of them, and the depth of each.

    Args:
        format: bit count and encoding.
        depths: (rows,) protected planes.
        scale, gain, offset: (rows,) as for `ChannelProtected`.
        rates: as for `ChannelProtected`.
        order: all planes, 0 = LSB, the first to be protected first; from the MSB down by default.
        bases: of the open planes, by depth.
    """

    format: BitFormat
    depths: Counts
    scale: Array
    gain: Array
    offset: Array
    rates: tuple[tuple[float, float], ...] = ()
    order: tuple[int, ...] = ()
    bases: tuple[float, ...] = ()

    @property
    def holding(self) -> Holding:
        """The codec of the tensor; one for each depth that a row has."""
        parts = tuple((tuple(rows.tolist()), self._of(rows, depth)) for depth in np.unique(self.depths).tolist()
                      for rows in [np.flatnonzero(self.depths == depth)])
        return ByGroups(parts) if len(parts) > 1 else parts[0][1]

    def _of(self, rows: Counts, depth: int) -> ChannelProtected:
        scale, gain, offset = (tuple(part[rows].tolist()) for part in (self.scale, self.gain, self.offset))
        base = self.bases[depth] if self.bases else BASES[0]
        plain = ChannelProtected(self.format, scale, gain, offset, depth, self.rates, base=base)
        planes = tuple(sorted(self.order[:depth]))
        return replace(plain, planes=planes) if planes and planes != plain.protected_planes else plain


@dataclass(frozen=True, eq=False)
class TensorRows:
    """One tensor by rows, what its weights are worth to the output, and the law of its cells.

    Args:
        weights: (rows, n), finite.
        gains: (rows, n) g(w) >= 0.
        law: flip rates of the raw cells.
        parts: what acts.
        base: of the open planes at every depth; None for the best of each.

    Example:
        >>> weights = np.random.default_rng(0).normal(size=(3, 1000))
        >>> rows = TensorRows(weights, np.ones((3, 1000)), CellLaw("default", BitFormat(8), 0.1, 0.1))
        >>> (rows.errors[[0, 1, 4, 8]].mean(axis=1) / 1000).round(3).tolist()
        [0.214, 0.077, 0.003, 0.0]
    """

    weights: Array
    gains: Array
    law: CellLaw
    parts: RowParts = RowParts()
    base: float | None = None

    @cached_property
    def bases(self) -> tuple[float, ...]:
        """(B + 1,) base of the open planes, by depth; 2 where others than the top planes are protected."""
        given = (self.base or BASES[0],) * len(self.depths)
        wanted = best_bases(self.law) if self.base is None and self.parts.open_base else given
        top = top_planes(self.law)
        return tuple(base if {*self.order[:depth]} == {*top[:depth]} else BASES[0] for depth, base in enumerate(wanted))

    @property
    def depths(self) -> range:
        """Numbers of protected planes that a row may have."""
        return range(self.law.format.bits + 1)

    @property
    def errors(self) -> Array:
        """(B + 1, rows) e of each row by its depth, at the scale chosen for it."""
        return np.asarray(np.take_along_axis(self._by_clip, self._chosen[:, None], axis=1)[:, 0], np.float64)

    def store(self, depths: Counts) -> RowStore:
        """How the tensor is held.

        Args:
            depths: (rows,) protected planes of each row.
        """
        every = np.arange(len(self.weights))
        clip = CLIPS[self._chosen[depths, every]] if self.parts.clipping else np.ones(len(every))
        scale = (self.extent * clip).astype(np.float32).astype(np.float64)
        pairs = zip(self.law.zero_to_one.tolist(), self.law.one_to_zero.tolist(), strict=True)
        rates = tuple(pairs) if self.parts.nearest_mean else ()
        found = RowStore(self.law.format, depths, scale, scale.copy(), np.zeros(len(every)), rates, self.order,
                         self.bases)
        for depth in np.unique(depths).tolist():
            rows = np.flatnonzero(depths == depth)
            found.gain[rows], found.offset[rows], _ = self._read_by(rows, scale[rows], depth)
        return found

    @cached_property
    def extent(self) -> Array:
        """(rows,) the largest magnitude that is written, of the row or of the tensor."""
        largest = np.abs(self.weights).max(axis=1)
        return largest if self.parts.row_scale else np.full_like(largest, largest.max())

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All planes, those first that vary most what is read of the codes at full scale."""
        words = row_words(self.weights, self.law.format, self.extent)
        return best_planes(self.law, histogram(words, self.law.format))

    @cached_property
    def _moments(self) -> tuple[tuple[Array, Array], ...]:
        """(2^B,) mean and variance of the value read for each word, by depth."""
        return tuple(row_moments(self.law, self.order[:depth], self.bases[depth]) for depth in self.depths)

    @cached_property
    def _targets(self) -> tuple[Array | None, ...]:
        """(2^B,) what words are chosen by, by depth; None for their levels."""
        if self.parts.nearest_mean:
            return tuple(mean for mean, _ in self._moments)
        return tuple(None if base == BASES[0] else word_values(self.law.format, depth, base)
                     for depth, base in enumerate(self.bases))

    @cached_property
    def _by_clip(self) -> Array:
        """(B + 1, clips, rows) e of each row."""
        clips = CLIPS if self.parts.clipping else np.ones(1)
        found = np.empty((len(self.depths), len(clips), len(self.weights)))
        for rows in self._blocks():
            for number, clip in enumerate(clips):
                for depth in self.depths:
                    found[depth, number, rows] = self._read_by(rows, self.extent[rows] * clip, depth)[2]
        return found

    @cached_property
    def _chosen(self) -> Counts:
        """(B + 1, rows) which clip each row has; one for all where the tensor has one scale."""
        if self.parts.row_scale:
            return np.asarray(self._by_clip.argmin(axis=1), np.int64)
        best = self._by_clip.sum(axis=2).argmin(axis=1)
        return np.repeat(best[:, None], len(self.weights), axis=1)

    def _blocks(self) -> Iterator[Counts]:
        """Rows, so many at a time that the work on them fits into memory."""
        step = max(1, WEIGHTS_AT_ONCE // self.weights.shape[1])
        numbers = np.arange(len(self.weights))
        return (numbers[start : start + step] for start in range(0, len(numbers), step))

    def _read_by(self, rows: Counts, scale: Array, depth: int) -> tuple[Array, Array, Array]:
        """Gain, offset and error of some rows with these scales."""
        words = row_words(self.weights[rows], self.law.format, scale, self._targets[depth])
        mean, variance = (table[words] for table in self._moments[depth])
        weights, gains = self.weights[rows], self.gains[rows]
        gain, offset = scale, np.zeros(len(rows))
        if self.parts.readout:
            gain, offset = conditional_readout(weights, gains, mean, variance)
        return gain, offset, expected_error(weights, gains, mean, variance, gain, offset)


@lru_cache(maxsize=16)
def best_bases(law: CellLaw) -> tuple[float, ...]:
    """(B + 1,) base of the open planes that holds a Gaussian row with the least error, by depth.

    Args:
        law: flip rates of the raw cells.

    Example:
        >>> bases = best_bases(CellLaw("default", BitFormat(8), 0.05, 0.05))
        >>> [round(base, 2) for base in bases]
        [1.11, 1.11, 1.11, 1.11, 1.25, 1.25, 1.67, 2.0, 2.0]
    """
    row = ndtri((np.arange(ATOMS) + 0.5) / ATOMS)[None]
    errors = [TensorRows(row, np.ones_like(row), law, RowParts(), base).errors[:, 0] for base in BASES]
    return tuple(BASES[place] for place in np.argmin(errors, axis=0).tolist())


def expected_error(
    weights: Array, gains: Array, mean: Array, variance: Array, gain: Array, offset: Array
) -> Array:
    """(rows,) e of each row: sum of g [(w - a m - o)^2 + a^2 v].

    Args:
        weights, gains: (rows, n) w and g.
        mean, variance: (rows, n) m and v of the value that is read.
        gain, offset: (rows,) a and o.

    Example:
        >>> one = np.ones((1, 1))
        >>> expected_error(3 * one, one, one, 0.5 * one, np.array([2.0]), np.array([0.0])).tolist()
        [3.0]
    """
    bias = weights - gain[:, None] * mean - offset[:, None]
    return np.asarray((gains * (bias**2 + gain[:, None] ** 2 * variance)).sum(axis=1), np.float64)


def conditional_readout(weights: Array, gains: Array, mean: Array, variance: Array) -> tuple[Array, Array]:
    """Gain and offset (rows,) of each row that make the read mean fit the weights: least squares, weighed by g.

    Shrinking every gain to where the whole e is least gives a smaller error and no better a network: what is read
    should have the right size. Only where the noise exceeds the spread of the means does the gain fall with it, so
    that no more noise is read than weight.

    Args:
        weights, gains: (rows, n) w and g > 0.
        mean, variance: (rows, n) m and v of the level that is read.

    Example:
        >>> levels = np.array([[-0.4, 0.0, 0.4]])
        >>> gain, offset = conditional_readout(3.0 + 5.0 * levels, np.ones((1, 3)), levels, 0 * levels)
        >>> gain.round(12).tolist(), offset.round(12).tolist()
        ([5.0], [3.0])
    """
    share = gains / gains.sum(axis=1, keepdims=True)
    centre, read = ((share * part).sum(axis=1) for part in (weights, mean))
    about = mean - read[:, None]
    fitted = (share * about * weights).sum(axis=1)
    spread = (share * about**2).sum(axis=1)
    most = np.maximum(spread, (share * variance).sum(axis=1))
    gain = np.divide(fitted, most, out=np.zeros_like(most), where=most > 0.0)
    return gain, centre - gain * read


def floored(gains: NDArray[np.floating]) -> Array:
    """Gains of a tensor, none below a small share of their mean, and all positive.

    Args:
        gains: of any shape, >= 0.

    Example:
        >>> floored(np.array([0.0, 2.0])).tolist()
        [0.1, 2.0]
    """
    least = max(LEAST_SHARE * float(gains.mean(dtype=np.float64)), float(np.finfo(np.float32).tiny))
    return np.maximum(gains.astype(np.float64), least)
