"""Groups of weights as the memory holds them: their words, how these are held, and which groups share codewords."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey
from qtaml_codesign.bits.formats import Codes
from qtaml_codesign.codecs.by_groups import Place
from qtaml_codesign.codecs.codec import Codec, histogram
from qtaml_codesign.codecs.codewords import Codewords
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.kernels import look_up

C = TypeVar("C", bound=Codec, covariant=True)


@dataclass(frozen=True, eq=False)
class StoredGroup(Generic[C]):
    """One group of weights as the memory holds it.

    Args:
        name: name of the tensor.
        words: unsigned integers of `codec.format`, in the shape of the weights; made read-only.
        codec: how they are held.
        law: flip rates of its raw cells, in the format of the codec.
        place: which rows or blocks of the tensor the group is; None for the whole tensor.

    Raises:
        InputError: the law belongs to another format, or the words do not fit that of the codec.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
        >>> weights, law = np.linspace(-1.0, 1.0, 100), BitErrorProfile.uniform(0.1).regions[0]
        >>> codec = PlaneProtected.fitted(weights, law.format, depth=1)
        >>> group = StoredGroup("w", codec.encode(weights), codec, law)
        >>> group.bits_stored, group.bits_exposed, group.expected_flips
        (800, 700, 70.0)
    """

    name: str
    words: Codes
    codec: C
    law: CellLaw
    place: Place | None = None

    def __post_init__(self) -> None:
        """Check the formats, and lock the words."""
        stored, given = self.codec.format, self.law.format
        if stored != given:
            raise InputError(
                "a tensor is stored in another format than its cells have", where=f"law of {self.name!r}",
                rule=f"{stored.bits} bits, {stored.encoding} (the codec, as the plan says)",
                value=f"{given.bits} bits, {given.encoding} (the card)",
                next_step="make the plan with the same card, or give a flip probability as a number",
            )
        if self.words.dtype != stored.code_dtype:
            raise InputError(
                "a codec writes words of another type than its format says", where=f"words of {self.name!r}",
                rule=f"an array of {stored.code_dtype}", value=self.words.dtype,
                next_step="let encode() return words.astype(self.format.code_dtype)",
            )
        stored.check_codes(self.words)
        self.words.setflags(write=False)

    @property
    def key(self) -> str:
        """What names the group's flips: the tensor, and its first row or block where that is named."""
        return self.name if self.place is None else f"{self.name}[{self.place.groups[0]}]"

    @property
    def bits_stored(self) -> int:
        """Cells of the group; of codewords that it shares with others, its part."""
        return round(self.words.size * self.codec.cells)

    @property
    def bits_exposed(self) -> int:
        """Cells that ideal protection does not cover, whether they can flip or not."""
        return int(self._open_cells.sum())

    @property
    def expected_flips(self) -> float:
        """Flips that the law expects in one reading: sum over open cells of the rate of the bit they hold."""
        zeros, ones = self._open_cells
        return float(ones @ self.residual.one_to_zero + zeros @ self.residual.zero_to_one)

    @cached_property
    def residual(self) -> CellLaw:
        """The law that protection leaves of the raw one."""
        return self.codec.residual(self.law)

    @property
    def regular(self) -> bool:
        """Whether every cell flips on its own with the rate of its plane, and nothing corrects what is read."""
        alone = self.law.alike and self.codewords is None
        return alone and not self.codec.corrects

    @cached_property
    def codewords(self) -> Codewords | None:
        """The codewords that its bits fill, together with those of every other group that has the same."""
        return self.codec.codewords(self.law)

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(2^B,) how many weights hold each word."""
        return histogram(self.words, self.codec.format)

    def weights(self, words: Codes | None = None) -> NDArray[np.float32]:
        """What words are worth, in their shape: a new array.

        Args:
            words: of the codec's format, each below 2^B; by default the stored ones.
        """
        given = self.words if words is None else words
        read = np.empty(given.shape, np.float32)
        look_up(self.codec.values, given.reshape(-1), read.reshape(-1))
        read_out(self.codec, read)
        return read

    @cached_property
    def _open_cells(self) -> NDArray[np.int64]:
        return self.codec.open_cells(self.words)


def read_out(codec: Codec, values: NDArray[np.float32]) -> None:
    """Make weights of looked-up `values` (rows, ...), in place, by the `codec`'s gain and offset of each row."""
    if codec.readout is not None:
        gain, offset = (row.reshape(-1, *(1,) * (values.ndim - 1)) for row in codec.readout)
        values *= gain
        values += offset


class SharedCodewords:
    """Groups whose bits fill the same codewords one after the other: weight after weight, the least bit first.

    Args:
        codewords: what they fill.
        groups: in the order in which they are stored, at least one.
    """

    def __init__(self, codewords: Codewords, groups: Sequence[StoredGroup[Codec]]) -> None:
        self.codewords, self.groups = codewords, tuple(groups)
        self._ends = np.cumsum([0, *(group.words.size * group.codec.format.bits for group in groups)])

    @property
    def cells(self) -> int:
        """Cells of all codewords."""
        return self.codewords.cells(int(self._ends[-1]))

    def read(self, key: FlipKey, trial: int) -> list[Codes]:
        """The words of each group as one reading finds them, in their shape.

        Args:
            key: of the flips.
            trial: which drawing.
        """
        places = np.sort(self.codewords.wrong(self._data, key, trial))
        cuts = np.searchsorted(places, self._ends)
        return [_flipped(group, places[first:last] - start) for group, first, last, start in zip(
            self.groups, cuts[:-1], cuts[1:], self._ends[:-1], strict=True)]

    @cached_property
    def _data(self) -> NDArray[np.uint8]:
        """(T,) bits of all groups."""
        return np.concatenate([
            (group.words.reshape(-1, 1) >> np.arange(group.codec.format.bits) & 1).astype(np.uint8).reshape(-1)
            for group in self.groups
        ])


def _flipped(group: StoredGroup[Codec], places: NDArray[np.intp]) -> Codes:
    """The words of a group with the bits at these places turned."""
    read, bits = group.words.copy(), group.codec.format.bits
    np.bitwise_xor.at(read.reshape(-1), places // bits, (1 << places % bits).astype(read.dtype))
    return read


def shared_codewords(groups: Iterable[StoredGroup[Codec]]) -> list[SharedCodewords]:
    """The codewords of a memory with those of its `groups` that fill them, in the order of their first groups."""
    found: dict[Codewords, list[StoredGroup[Codec]]] = {}
    for group in groups:
        if group.codewords is not None:
            found.setdefault(group.codewords, []).append(group)
    return [SharedCodewords(codewords, members) for codewords, members in found.items()]
