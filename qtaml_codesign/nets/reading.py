"""Read a stored network trial after trial: all that does not depend on the trial is done once.

A trial of a small network takes a few milliseconds, and its forward pass clears the caches, so every step of Python
around it counts. Small tensors are therefore packed side by side and read by one compiled call into weights that stay
in place. What cannot be packed is read as `StoredModel.read` does: large tensors, those of more than eight bits or with
a fraction of their weights protected deeper, and cells that differ or share their flips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.bits.packed.tensors import PackedTensor, PackedTensors
from qtaml_codesign.nets.storage import StoredModel, StoredTensor, TrialFlips, rates_of

LARGEST_PACKED = 2**18
"""Weights of the largest tensor that is packed: the codes of packed tensors are held twice."""


@dataclass(frozen=True, eq=False)
class ReadTensors:
    """Weights of one reading as float32 tensors, by tensor name, and the flips in them (see `ReadModel`).

    Those of a `TrialReader` live in its memory: the next reading overwrites them. Copy what is to be kept.
    """

    weights: dict[str, Tensor]
    flips: TrialFlips


class TrialReader:
    """Readings of one stored model under one seed: the weights and flips of `StoredModel.read`, bit for bit.

    Args:
        stored: its tensors as codes.
        errors: raw flip rates by tensor name.
        seed: key of the flips.

    Example:
        >>> import numpy as np
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.nets.storage import store_tensor
        >>> stored = StoredModel((store_tensor("w", np.linspace(-1.0, 1.0, 100)),))
        >>> reader = TrialReader(stored, BitErrorProfile.uniform(0.1).assign(["w"]), seed=0)
        >>> read = reader.read(trial=0)
        >>> tuple(read.weights["w"].shape), read.flips.bits_flipped
        ((100,), 75)
    """

    def __init__(self, stored: StoredModel, errors: Mapping[str, CellLaw], seed: int) -> None:
        self._stored, self._errors, self._seed = stored, errors, seed
        rates = {tensor.name: rates_of(tensor, errors) for tensor in stored}
        self._small = [tensor for tensor in stored if _can_be_packed(tensor, rates[tensor.name])]
        self._others = [tensor.name for tensor in stored if not _can_be_packed(tensor, rates[tensor.name])]
        self._packed = PackedTensors([
            PackedTensor(tensor.codes, tensor.values, tensor.exposed_rates(rates[tensor.name]),
                         flip_key(seed, tensor.name))
            for tensor in self._small
        ])
        self._weights = {tensor.name: torch.from_numpy(weights)
                         for tensor, weights in zip(self._small, self._packed.weights, strict=True)}
        self._exposed = sum(tensor.bits_exposed for tensor in self._small)
        self._expected = float(sum(tensor.expected_flips(rates[tensor.name]) for tensor in stored))

    def read(self, trial: int) -> ReadTensors:
        """Weights by tensor name, float32, and the flips in them; the next reading overwrites the weights."""
        weights, exposed = dict(self._weights), self._exposed
        flipped = self._packed.read(trial)
        rows = self._packed.flips_by_plane.copy()
        by_plane = {tensor.name: row[: tensor.format.bits] for tensor, row in zip(self._small, rows, strict=True)}
        for name in self._others:
            read = self._stored.read(self._seed, trial, self._errors, only=name)
            weights[name] = torch.from_numpy(read.weights[name])
            by_plane |= read.flips.by_plane
            exposed += read.flips.bits_exposed
            flipped += read.flips.bits_flipped
        return ReadTensors(weights, TrialFlips(exposed, flipped, self._expected, by_plane))


def _can_be_packed(tensor: StoredTensor, rates: CellLaw) -> bool:
    small = tensor.codes.size <= LARGEST_PACKED and tensor.format.bits <= 8 and tensor.deeper == 0
    return small and rates.block == 1 and rates.spread == 0.0
