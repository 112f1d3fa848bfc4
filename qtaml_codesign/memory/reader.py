"""Groups of weights in the memory, and reading them on the host: all that does not depend on the trial is done once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import LARGEST_TRIAL, FlipDrawing, flip_key
from qtaml_codesign.bits.formats import Codes
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.codecs.codec import Codec, histogram, planes_of
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
    def bits_stored(self) -> int:
        """Cells of the group."""
        return int(self.words.size) * self.codec.format.bits

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

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(2^B,) how many weights hold each word."""
        return histogram(self.words, self.codec.format)

    def weights(self, words: Codes | None = None) -> NDArray[np.float32]:
        """What words (default: the stored ones) are worth, in their shape: a new array."""
        given = self.words if words is None else words
        read = np.empty(given.shape, np.float32)
        look_up(self.codec.values, given.reshape(-1), read.reshape(-1))
        return read

    @cached_property
    def _open_cells(self) -> NDArray[np.int64]:
        return self.codec.open_cells(self.words)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one reading gave; it owns its weights, which no other reading overwrites.

    Attributes:
        weights: tensor name -> float32 weights in the shape of the tensor.
        flips_by_plane: tensor name -> (B,) int64 flips in each plane, 0 = LSB.
    """

    weights: dict[str, Tensor]
    flips_by_plane: dict[str, NDArray[np.int64]]

    @property
    def bits_flipped(self) -> int:
        """Flips in all planes of all tensors."""
        return int(np.concatenate(list(self.flips_by_plane.values())).sum()) if self.flips_by_plane else 0


class Reader(ABC):
    """A deployed model prepared under one seed; any number of threads may read it at once."""

    def read(self, trial: int) -> Reading:
        """Read every group once, with the flips of this trial: the same in any order, thread and process.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.

        Raises:
            InputError: no such trial.
        """
        return self._read(whole_number_within("trial", trial, 0, LARGEST_TRIAL, "count trials from 0"))

    @abstractmethod
    def _read(self, trial: int) -> Reading:
        """The same for a trial that is known to be one."""


class HostReader(Reader):
    """Reads on the host: compiled flips, what the codec corrects, and a compiled look-up of values.

    Args:
        groups: what is read.
        seed: key of the flips, >= 0.
        purpose: readings for different purposes get unrelated flips.
    """

    def __init__(self, groups: Iterable[StoredGroup[Codec]], seed: int, purpose: str) -> None:
        self._drawings = [(group, FlipDrawing(group.residual, flip_key(seed, group.name, purpose))) for group in groups]

    def _read(self, trial: int) -> Reading:
        weights, flips = {}, {}
        for group, drawing in self._drawings:
            read, flips[group.name] = drawing.draw(group.words.reshape(-1), trial)
            words = read.reshape(group.words.shape)
            if group.codec.corrects:
                words = group.codec.corrected(words, group.words)
                flips[group.name] = planes_of(histogram(words ^ group.words, group.codec.format))[1]
            weights[group.name] = torch.from_numpy(group.weights(words))
        return Reading(weights, flips)
