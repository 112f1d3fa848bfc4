"""Reading the memory on the host: all that does not depend on the trial is done once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.bits.flips import LARGEST_TRIAL, FlipDrawing, FlipKey, flip_key
from qtaml_codesign.bits.kernels import rate_patterns
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.codecs.by_groups import Place
from qtaml_codesign.codecs.codec import Codec, histogram, planes_of
from qtaml_codesign.memory.kernels import read_together
from qtaml_codesign.memory.stored import StoredGroup, read_out, shared_codewords


@dataclass(frozen=True, eq=False)
class Reading:
    """What one reading gave; it owns its weights, which no other reading overwrites.

    Attributes:
        weights: tensor name -> float32 weights in the shape of the tensor.
        flips_by_plane: key of the group -> (B,) int64 flips in each plane, 0 = LSB.
    """

    weights: dict[str, Tensor]
    flips_by_plane: dict[str, NDArray[np.int64]]

    @property
    def bits_flipped(self) -> int:
        """Flips in all planes of all tensors."""
        return sum(sum(planes.tolist()) for planes in self.flips_by_plane.values())


class Reader(ABC):
    """A deployed model prepared under one seed; any number of threads may read it at once."""

    def read(self, trial: int) -> Reading:
        """Read every group once, with the flips of this trial: the same in any order, thread and process.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.

        Raises:
            InputError: no such trial.
        """
        if type(trial) is not int or not 0 <= trial <= LARGEST_TRIAL:  # the full check takes 0.5 % of a small trial
            trial = whole_number_within("trial", trial, 0, LARGEST_TRIAL, "count trials from 0")
        return self._read(trial)

    @abstractmethod
    def _read(self, trial: int) -> Reading:
        """The same for a trial that is known to be one."""


class HostReader(Reader):
    """Reads on the host: regular groups in words of one byte by one compiled call, the others one by one.

    A trial of a small network takes milliseconds, and its forward pass clears the caches, so that every object of
    Python that is touched for each group counts: one call for all groups saves up to 3 % of a trial of the zoo.

    Args:
        groups: what is read; the words of the packed ones are copied.
        seed: key of the flips, >= 0.
        purpose: readings for different purposes get unrelated flips.
        join: whether tensors that lie in several groups are put together.

    Raises:
        InputError: no such seed.
    """

    def __init__(self, groups: Iterable[StoredGroup[Codec]], seed: int, purpose: str, join: bool = True) -> None:
        keyed = [(group, flip_key(seed, group.key, purpose)) for group in groups]
        packed = [one for one in keyed if one[0].regular and one[0].words.itemsize == 1]
        self._packed = PackedGroups(packed) if packed else None
        self._drawings = [(group, FlipDrawing(group.residual, key)) for group, key in keyed
                          if group.codewords is None and (not group.regular or group.words.itemsize > 1)]
        self._shared = [(shared, flip_key(seed, shared.groups[0].key, purpose))
                        for shared in shared_codewords(group for group, _ in keyed)]
        self._divided = divided([group for group, _ in keyed]) if join else []

    def _read(self, trial: int) -> Reading:
        reading = Reading({}, {}) if self._packed is None else self._packed.read(trial)
        weights, flips = reading.weights, reading.flips_by_plane
        for group, drawing in self._drawings:
            read, flips[group.key] = drawing.draw(group.words.reshape(-1), trial)
            words = read.reshape(group.words.shape)
            if group.codec.corrects:
                words = group.codec.corrected(words, group.words)
                flips[group.key] = planes_of(histogram(words ^ group.words, group.codec.format))[1]
            weights[group.key] = torch.from_numpy(group.weights(words))
        for shared, key in self._shared:
            for group, words in zip(shared.groups, shared.read(key, trial), strict=True):
                flips[group.key] = planes_of(histogram(words ^ group.words, group.codec.format))[1]
                weights[group.key] = torch.from_numpy(group.weights(words))
        for tensor in self._divided:
            tensor.join(weights)
        return reading


class DividedTensor:
    """A tensor whose rows or blocks lie in several groups, and how they come together again.

    Args:
        name: of the tensor.
        places: of its groups, by key.
    """

    def __init__(self, name: str, places: Mapping[str, Place]) -> None:
        self.name, self._shape = name, next(iter(places.values())).shape
        self._short = [key for key, place in places.items() if place.short]
        self._whole = [key for key in places if key not in self._short]
        groups = [group for key in self._whole for group in places[key].groups]
        self._order = None if groups == sorted(groups) else torch.argsort(torch.tensor(groups))

    def join(self, weights: dict[str, Tensor]) -> None:
        """Put the tensor in the place of its groups' weights, which are looked up by key."""
        parts = [weights.pop(key) for key in self._whole]
        if self._order is not None:
            parts = [(whole := torch.cat(parts))[self._order.to(whole.device)]]
        parts += [weights.pop(key) for key in self._short]
        flat = [part.reshape(-1) for part in parts]
        weights[self.name] = (torch.cat(flat) if len(flat) > 1 else flat[0]).reshape(self._shape)


def divided(groups: Sequence[StoredGroup[Codec]]) -> list[DividedTensor]:
    """Every tensor that is stored in groups of its rows or blocks, from all `groups` of a network."""
    found: dict[str, dict[str, Place]] = {}
    for group in groups:
        if group.place is not None:
            found.setdefault(group.name, {})[group.key] = group.place
    return [DividedTensor(name, places) for name, places in found.items()]


class PackedGroups:
    """Groups in words of one byte, one after the other, and all that a reading needs but the trial.

    Args:
        keyed: regular groups with the keys of their flips, at least one.
    """

    def __init__(self, keyed: Sequence[tuple[StoredGroup[Codec], FlipKey]]) -> None:
        groups = [group for group, _ in keyed]
        self._words = np.concatenate([group.words.reshape(-1) for group in groups])
        self._ends = np.cumsum([0, *(group.words.size for group in groups)])
        self._forms = [(group.key, slice(*place), group.words.shape, group.codec)
                       for group, place in zip(groups, pairwise(self._ends.tolist()), strict=True)]
        laws = [group.residual for group in groups]
        lanes, sure, digits = zip(*(rate_patterns(law.zero_to_one.tobytes(), law.one_to_zero.tobytes())
                                    for law in laws), strict=True)
        keys = np.array([key.words for _, key in keyed], np.uint64)
        self._patterns = (np.array(lanes), np.array(sure), _padded(digits), keys)
        self._values = _padded([group.codec.values for group in groups])

    def read(self, trial: int) -> Reading:
        """What every group reads.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.
        """
        weights, flips = np.empty(self._words.size, np.float32), np.zeros((len(self._forms), 8), np.int64)
        read_together(self._words, self._ends, *self._patterns, np.uint64(trial), self._values, weights, flips)
        reading = Reading({}, {})
        for (key, place, shape, codec), row in zip(self._forms, flips, strict=True):
            read_out(codec, read := weights[place].reshape(shape))
            reading.weights[key], reading.flips_by_plane[key] = torch.from_numpy(read), row[: codec.format.bits]
        return reading


def _padded(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows as one array, those with a shorter last axis filled up with zeros."""
    longest = max(row.shape[-1] for row in rows)
    return np.array([np.pad(row, [(0, 0)] * (row.ndim - 1) + [(0, longest - row.shape[-1])]) for row in rows])
