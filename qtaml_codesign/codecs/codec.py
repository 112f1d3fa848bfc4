"""What every kind of store must say of itself: how weights become words, and what a read word is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.formats import BitFormat, Codes
from qtaml_codesign.codecs.codewords import Codewords

PIECE = 2**16
LARGEST = float(np.finfo(np.float32).max)
"""No read weight may be larger: float32 holds no more."""


class Codec(ABC):
    """How a group of weights is held in cells: a frozen value that can be compared, hashed and sent.

    A group is a tensor (rows, ...), some of its rows, or some blocks of it, each of which is a row here. Each weight
    has one word, an unsigned integer of B bits, and each bit plane of a word is a cell. A group is written with
    `encode`. Its cells flip by the law that `residual` leaves of the raw one; the read words go through `corrected`,
    and `readout` makes weights of `values[words]`.

    A kind of store from outside derives from this class; `memory.deploy` takes it as it takes those shipped.
    """

    format: BitFormat
    """Bit count and encoding of a word."""

    @property
    @abstractmethod
    def values(self) -> NDArray[np.float32]:
        """(2^B,) float32: what each word is worth when it is read."""

    @property
    @abstractmethod
    def metadata_bits(self) -> int:
        """Bits kept for the whole group outside of its cells, such as a scale."""

    @abstractmethod
    def encode(self, weights: NDArray[np.floating]) -> Codes:
        """Words of weights of any shape, in that shape: uint8 up to B = 8, else uint16.

        Args:
            weights: floats.

        Raises:
            InputError: a weight cannot be held, such as one that is not finite.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything that acts on words and values, as plain values: what names the codec in results that are kept."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the store is, in a few words for a table."""

    def __repr__(self) -> str:
        """Name and summary: the tables of numbers stand in `to_json`."""
        return f"{type(self).__name__}({self.summary})"

    @property
    def cells(self) -> float:
        """Cells per weight, B by default."""
        return float(self.format.bits)

    def protected_bits(self, size: int) -> int:
        """Bits of `size` weights that ideal protection covers, 0 by default."""
        return 0

    def cell_law(self, law: CellLaw) -> CellLaw:
        """The law of the codec's own raw cells where the memory flips by `law`; by default the same."""
        return law

    @property
    def coded_bits(self) -> Mapping[Codewords, float]:
        """Data bits for each weight by the codewords that hold them; none by default."""
        return {}

    @property
    def tables(self) -> Mapping[Hashable, int]:
        """Bits of tables that any number of groups share, by what tells one from another; none by default."""
        return {}

    @property
    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Gain (rows,) and offset (rows,) that make weights of looked-up values; None where they are the weights."""
        return None

    def codewords(self, law: CellLaw) -> Codewords | None:
        """The codewords that the words' bits fill together with other groups; None where each cell flips on its own.

        Args:
            law: of the raw cells.
        """
        return None

    def residual(self, law: CellLaw) -> CellLaw:
        """What protection leaves of the law of the cells; the raw law by default.

        Args:
            law: flip rates of the raw cells, in the format of the codec.
        """
        return law

    @property
    def corrects(self) -> bool:
        """Whether `corrected` can change a word."""
        return False

    def corrected(self, read: Codes, stored: Codes) -> Codes:
        """The words that the protection hands on; by default those that were read.

        Args:
            read: words as one reading finds them, any shape.
            stored: the words that were written, in the same shape; ideal protection looks at them.
        """
        return read

    def open_cells(self, words: Codes) -> NDArray[np.int64]:
        """(2, B) cells of a group that protection leaves open, by stored bit (0, then 1) and plane (0 = LSB).

        Args:
            words: what is stored, of any shape.

        Example:
            >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
            >>> words = np.array([0b1111, 0b0001], np.uint8)
            >>> PlaneProtected(BitFormat(4), scale=1.0, depth=1).open_cells(words).tolist()
            [[0, 1, 1, 0], [2, 1, 1, 0]]
        """
        return planes_of(histogram(words, self.format))


def whole(*numbers: object) -> bool:
    """Whether these are whole numbers, and neither True nor False: what planes, rows and words are counted by.

    Args:
        numbers: any values.

    Example:
        >>> whole(0, 3), whole(1.0), whole(True)
        (True, False, False)
    """
    return all(isinstance(number, int | np.integer) and not isinstance(number, bool) for number in numbers)


def histogram(words: Codes, form: BitFormat) -> NDArray[np.int64]:
    """(2^B,) how many words hold each value.

    Args:
        words: of any shape, each below 2^B.
        form: their format, of B bits.

    Example:
        >>> histogram(np.array([1, 3, 3], np.uint8), BitFormat(2)).tolist()
        [0, 1, 0, 2]
    """
    counts = np.zeros(form.code_count, np.int64)
    for piece in pieces(words):
        counts += np.bincount(piece, minlength=counts.size)
    return counts


def planes_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, B) how many words hold a 0, and a 1, in each plane, 0 = LSB.

    Args:
        counts: (2^B,) `histogram` of the words.

    Example:
        >>> planes_of(np.array([0, 1, 0, 2])).tolist()
        [[0, 1], [3, 2]]
    """
    planes = np.arange(counts.size.bit_length() - 1)[:, None]
    ones = (np.arange(counts.size) >> planes & 1) @ counts
    return np.stack([counts.sum() - ones, ones])


def pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Flat views of an array in C order (of a copy otherwise), so large that a core's cache holds the work on each."""
    flat = array.reshape(-1)
    return (flat[start : start + PIECE] for start in range(0, flat.size, PIECE))
