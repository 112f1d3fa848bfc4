"""A tensor whose groups, its output channels or blocks of the memory, are held in different ways.

A block is a run of weights in flattened order, such as those that lie in one line of the memory. Rows are blocks of as
many weights as a row has, in a tensor that has shape enough to say so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.checks import whole_number
from qtaml_codesign.codecs.codec import Codec, whole
from qtaml_codesign.codecs.codewords import Codewords
from qtaml_codesign.errors import InputError

Groups = tuple[int, ...]


@dataclass(frozen=True)
class Blocks:
    """How a flattened tensor is cut into runs, the last of which is shorter where they do not come out even.

    Args:
        block: weights of a run.
        size: weights of the tensor.

    Raises:
        InputError: one of them is no whole number above 0.

    Example:
        >>> Blocks(4, 10).count, Blocks(4, 10).short, Blocks(5, 10).short
        (3, (2,), ())
    """

    block: int
    size: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in vars(self).items():
            whole_number(f"{name} of Blocks", value, least=1)

    @property
    def count(self) -> int:
        """Runs, the short one among them."""
        return -(-self.size // self.block)

    @property
    def short(self) -> Groups:
        """The number of the short run, or nothing."""
        return (self.count - 1,) if self.size % self.block else ()


@dataclass(frozen=True)
class Place:
    """Where in a tensor the weights of a store lie.

    Args:
        groups: rows by the first axis, or blocks, rising; a short block alone.
        shape: of the tensor.
        block: weights of a block; None where groups are rows.

    Example:
        >>> tensor = np.arange(10).reshape(2, 5)
        >>> Place((1,), (2, 5)).take(tensor).tolist(), Place((0, 2), (2, 5), 3).take(tensor).tolist()
        ([[5, 6, 7, 8, 9]], [[0, 1, 2], [6, 7, 8]])
        >>> Place((3,), (2, 5), 3).take(tensor).tolist()
        [[9]]
    """

    groups: Groups
    shape: tuple[int, ...]
    block: int | None = None

    @property
    def short(self) -> bool:
        """Whether it is the last block, and shorter than the others."""
        return self.block is not None and self.groups[0] == math.prod(self.shape) // self.block

    def take(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """(groups, ...) the entries of a `tensor` that lie here, a copy."""
        if self.block is None:
            return np.ascontiguousarray(tensor[list(self.groups)])
        parts = in_groups(tensor, self.block)
        return parts[-1].copy() if self.short else parts[0][list(self.groups)]


def in_groups(tensor: NDArray[Any], block: int | None) -> list[NDArray[Any]]:
    """A tensor as its groups: (rows, ...), or (blocks, block) and after it the short last block (1, rest).

    Args:
        tensor: with one axis it is one row.
        block: weights of a block; None for rows.

    Example:
        >>> [part.tolist() for part in in_groups(np.arange(5), 2)], in_groups(np.arange(2), None)[0].tolist()
        ([[[0, 1], [2, 3]], [[4]]], [[0, 1]])
    """
    if block is None:
        return [tensor if tensor.ndim > 1 else tensor.reshape(1, -1)]
    flat = tensor.reshape(-1)
    even = flat.size // block * block
    parts = [flat[:even].reshape(-1, block), flat[even:].reshape(1, -1)]
    return [part for part in parts if part.size]


@dataclass(frozen=True, repr=False)
class ByGroups:
    """Which groups of a tensor each codec holds: rows, by its first axis, or blocks of its flattened weights.

    A group that lies in words of its own has flips of its own, named by the first group of its part: they do not hang
    on what holds the others.

    Args:
        parts: groups, rising, and their codec; each group of the tensor in one part, a short last block alone in its.
        blocks: how the tensor is cut; None where the groups are its rows.

    Raises:
        InputError: a group stands twice, or one is missing; a short block lies among whole ones.

    Example:
        >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
        >>> form = BitFormat(4)
        >>> parts = (((0, 2), PlaneProtected(form, 1.0)), ((1,), PlaneProtected(form, 1.0, depth=2)))
        >>> ByGroups(parts).count, ByGroups(parts).protected_bits(30)
        (3, 20)
        >>> ByGroups((parts[0], ((1,), parts[1][1])), Blocks(8, 24)).protected_bits(24)
        16
    """

    parts: tuple[tuple[Groups, Codec], ...]
    blocks: Blocks | None = None

    def __post_init__(self) -> None:
        """Check that the groups are 0, 1, 2, ... once each."""
        found = sorted(group for groups, _ in self.parts for group in groups)
        count = len(found) if self.blocks is None else self.blocks.count
        rising = all(groups and list(groups) == sorted(groups) for groups, _ in self.parts)
        if not found or not whole(*found) or not rising or len(found) != count or found != list(range(count)):
            raise InputError(f"the {self._called} of a tensor are not shared out over its codecs", where="ByGroups",
                             rule=f"each of the {self._called} 0, 1, 2, ... in one part, rising within it",
                             value=found, next_step="name every output channel, or every block, once")
        if any(len(groups) > 1 and groups[-1:] == self._short for groups, _ in self.parts):
            raise InputError("a short block lies among whole ones", where="ByGroups", value=self._short,
                             rule="the last block in a part of its own where it is shorter than the others",
                             next_step="give it a codec of its own")

    def __repr__(self) -> str:
        """Groups and the stores that hold them."""
        return f"ByGroups({self.count} {'rows: ' if self.blocks is None else ''}{self.summary})"

    @property
    def count(self) -> int:
        """Groups of the tensor."""
        return sum(len(groups) for groups, _ in self.parts)

    @property
    def format(self) -> BitFormat:
        """Bit count and encoding of the first part: in which the law of the memory is stated."""
        return self.parts[0][1].format

    @property
    def summary(self) -> str:
        """Numbers of groups x stores; what several stores are told to be after their first word stands there once."""
        by_rest: dict[str, Counter[str]] = {}
        for groups, codec in self.parts:
            first, _, rest = codec.summary.partition(" ")
            by_rest.setdefault(rest, Counter())[first] += len(groups)
        cut = "" if self.blocks is None else f"blocks of {self.blocks.block}: "
        return cut + "; ".join(f"{', '.join(f'{count} x {first}' for first, count in some.items())} {rest}".rstrip()
                               for rest, some in by_rest.items())

    @property
    def cells(self) -> float:
        """Cells per weight, averaged over the weights."""
        return sum(self._amount(groups) * codec.cells for groups, codec in self.parts) / self._total

    @property
    def metadata_bits(self) -> int:
        """Bits beside the cells: those of each part, and for each group the number of its part.

        A short block needs no such number: it is the last.
        """
        full = [len(groups) for groups, _ in self.parts if groups != self._short]
        choice = (len(full) - 1).bit_length() if full else 0
        return sum(codec.metadata_bits for _, codec in self.parts) + sum(full) * choice

    @property
    def coded_bits(self) -> dict[Codewords, float]:
        """Data bits for each weight by the codewords that hold them, averaged over the weights."""
        found: dict[Codewords, float] = {}
        for groups, codec in self.parts:
            for code, bits in codec.coded_bits.items():
                found[code] = found.get(code, 0.0) + bits * self._amount(groups) / self._total
        return found

    @property
    def tables(self) -> dict[Hashable, int]:
        """Those of all parts (see `Codec.tables`)."""
        return {table: bits for _, codec in self.parts for table, bits in codec.tables.items()}

    def protected_bits(self, size: int) -> int:
        """Bits of the tensor of `size` weights that ideal protection covers."""
        return sum(codec.protected_bits(size // self._total * self._amount(groups)) for groups, codec in self.parts)

    def split(self, weights: NDArray[Any]) -> Iterator[tuple[Place, Codec, NDArray[Any]]]:
        """Place, codec and weights (groups, ...) of each part of a tensor.

        Args:
            weights: (all rows, ...), or of any shape where they are cut into blocks.

        Raises:
            InputError: the tensor has another number of rows, or of weights.
        """
        given, rule = (weights.shape[:1], "rows") if self.blocks is None else ((weights.size,), "weights")
        if given != (self._total,):
            raise InputError(f"a tensor has other {rule} than its codecs", where="ByGroups",
                             rule=f"{self._total} {rule}", value=f"shape {weights.shape}",
                             next_step="make the plan for this network, a codec for each of its groups")
        for groups, codec in self.parts:
            place = Place(groups, weights.shape, None if self.blocks is None else self.blocks.block)
            yield place, codec, place.take(weights)

    def to_json(self) -> dict[str, Any]:
        """The parts, and how the tensor is cut, as plain values."""
        parts = [[list(groups), codec.to_json()] for groups, codec in self.parts]
        if self.blocks is None:
            return {"codec": "by-rows", "parts": parts}
        return {"codec": "by-blocks", **vars(self.blocks), "parts": parts}

    @property
    def _called(self) -> str:
        return "rows" if self.blocks is None else "blocks"

    @property
    def _short(self) -> Groups:
        """The number of the short block, or nothing."""
        return () if self.blocks is None else self.blocks.short

    @property
    def _total(self) -> int:
        """What `_amount` comes to for all groups."""
        return self.count if self.blocks is None else self.blocks.size

    def _amount(self, groups: Groups) -> int:
        """How much of the tensor some groups are, in rows, or in weights where they are blocks."""
        if self.blocks is None:
            return len(groups)
        return min(len(groups) * self.blocks.block, self.blocks.size - groups[0] * self.blocks.block)
