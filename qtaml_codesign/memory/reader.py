"""Reading the memory on the host, trial after trial: all that does not depend on the trial is done once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.bits.flips import LARGEST_TRIAL, FlipDrawing, FlipKey, flip_key
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.codecs.codec import Codec, histogram, planes_of
from qtaml_codesign.memory.groups import StoredGroup


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
        self._groups = [GroupReader(group, flip_key(seed, group.name, purpose)) for group in groups]

    def _read(self, trial: int) -> Reading:
        weights, flips = {}, {}
        for each in self._groups:
            weights[each.name], flips[each.name] = each.read(trial)
        return Reading(weights, flips)


class GroupReader:
    """Reads one group.

    Args:
        group: what is read.
        key: of its flips.
    """

    def __init__(self, group: StoredGroup[Codec], key: FlipKey) -> None:
        self.name = group.name
        self._group, self._flat = group, group.words.reshape(-1)
        self._drawing = FlipDrawing(group.residual, key)

    def read(self, trial: int) -> tuple[Tensor, NDArray[np.int64]]:
        """float32 weights of one reading in the shape of the group, and flips by plane (B,) that protection leaves."""
        stored, codec = self._group.words, self._group.codec
        read, flips = self._drawing.draw(self._flat, trial)
        words = read.reshape(stored.shape)
        if codec.corrects:
            words = codec.corrected(words, stored)
            flips = planes_of(histogram(words ^ stored, codec.format))[1]
        return torch.from_numpy(self._group.weights(words)), flips
