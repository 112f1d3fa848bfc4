"""What the weights of a tensor, row or block are worth to the output: the groups that a store is chosen for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.codecs.by_groups import Groups, in_groups

Gains = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Group:
    """Weights that are held in one way.

    Attributes:
        tensor: its name.
        members: rows or blocks of the tensor; None for all of it.
        size: how many weights.
        stake: squared error of the logits if only the means of rows or blocks were read: sum of J^2 (w - mean)^2.
    """

    tensor: str
    members: Groups | None
    size: int
    stake: float


def tensor_group(name: str, weight: NDArray[np.floating], gains: Gains, block: int | None = None) -> Iterable[Group]:
    """The tensor `name` as one group, its `weight` with the `gains` of the network; means are those of each `block`."""
    yield Group(name, None, weight.size, float(stakes(weight, gains[name], block).sum()))


def small_groups(name: str, weight: NDArray[np.floating], gains: Gains, block: int | None = None) -> Iterable[Group]:
    """Every row of the tensor `name`, or every `block`, on its own, its `weight` with the `gains` of the network.

    A tensor with one axis is one row.
    """
    if weight.ndim == 1 and block is None:
        yield from tensor_group(name, weight, gains)
        return
    sizes = [part[0].size for part in in_groups(weight, block) for _ in part]
    for member, (size, stake) in enumerate(zip(sizes, stakes(weight, gains[name], block).tolist(), strict=True)):
        yield Group(name, (member,), size, stake)


def stakes(weight: NDArray[np.floating], gain: NDArray[np.float32], block: int | None = None) -> NDArray[np.float64]:
    """(groups,) n J^2 v of each row, or block: mean gain of its weights, times their squared distance from its mean.

    Args:
        weight: (rows, ...).
        gain: of each weight, in its shape.
        block: weights of a block; None for rows.
    """
    found = []
    for part, own in zip(in_groups(weight, block), in_groups(gain, block), strict=True):
        flat = np.asarray(part, np.float64).reshape(len(part), -1)
        mean_gain = own.reshape(len(own), -1).mean(axis=1, dtype=np.float64)
        found.append(mean_gain * flat.var(axis=1) * flat.shape[1])
    return np.asarray(np.concatenate(found), np.float64)
