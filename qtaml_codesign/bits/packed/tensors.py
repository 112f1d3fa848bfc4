"""Tensors of up to eight bits, laid side by side, and all that a reading needs but the trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey
from qtaml_codesign.bits.formats import Codes
from qtaml_codesign.bits.kernels import rate_patterns
from qtaml_codesign.bits.packed.kernels import read_packed


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """One tensor to be packed.

    Args:
        codes: uint8, any shape.
        values: (2^B,) float32, what each code is worth.
        errors: rates after protection, cells alike (`block` 1, `spread` 0).
        key: `flip_key` of the tensor.
    """

    codes: Codes
    values: NDArray[np.float32]
    errors: CellLaw
    key: FlipKey


class PackedTensors:
    """Reads several tensors at once into one array of weights: the flips of `draw_flips`, bit for bit.

    Example:
        >>> from qtaml_codesign.bits.flips import flip_key
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> errors = BitErrorProfile.uniform(0.25).regions[0]
        >>> values = np.arange(256, dtype=np.float32)
        >>> packed = PackedTensors([PackedTensor(np.arange(3, dtype=np.uint8), values, errors, flip_key(0, "w"))])
        >>> packed.read(trial=0), packed.flips_by_plane.tolist(), packed.weights[0].tolist()
        (5, [[0, 1, 0, 1, 1, 1, 1, 0]], [32.0, 25.0, 64.0])
    """

    def __init__(self, tensors: Sequence[PackedTensor]) -> None:
        words = [-(-tensor.codes.size // 8) for tensor in tensors]
        sizes = [tensor.codes.size for tensor in tensors]
        starts, places = np.cumsum([0, *words]), np.cumsum([0, *sizes])
        self._spans = np.array([starts[:-1], words, sizes, places[:-1]], np.int64).T.copy()
        self._codes = np.zeros(starts[-1], np.uint64)
        for tensor, start in zip(tensors, starts, strict=False):
            self._codes.view(np.uint8)[8 * start : 8 * start + tensor.codes.size] = tensor.codes.ravel()
        patterns = [rate_patterns(tensor.errors.zero_to_one.tobytes(), tensor.errors.one_to_zero.tobytes())
                    for tensor in tensors]
        self._lanes = np.array([lanes for lanes, _, _ in patterns], np.uint64)
        self._sure = np.array([sure for _, sure, _ in patterns], np.uint64).reshape(-1, 2)
        self._digits = np.zeros((len(tensors), 2, max((row.shape[1] for _, _, row in patterns), default=8)), np.uint64)
        self._values = np.zeros((len(tensors), 256), np.float32)
        for t, (tensor, (_, _, digits)) in enumerate(zip(tensors, patterns, strict=True)):
            self._digits[t, :, : digits.shape[1]] = digits
            self._values[t, : tensor.values.size] = tensor.values
        self._keys = np.array([tensor.key.words for tensor in tensors], np.uint64).reshape(-1, 2)
        self._flat = np.empty(places[-1], np.float32)
        self.flips_by_plane = np.zeros((len(tensors), 8), np.int64)
        """(T, 8) flips in each plane of each tensor, 0 = LSB; each reading overwrites them."""
        self.weights = [self._flat[place : place + tensor.codes.size].reshape(tensor.codes.shape)
                        for tensor, place in zip(tensors, places, strict=False)]
        """One float32 array per tensor, in its shape; each reading overwrites them."""

    def read(self, trial: int) -> int:
        """Overwrite `weights` and `flips_by_plane` with the reading of a trial; returns the number of flips."""
        return int(read_packed(self._codes, self._spans, self._lanes, self._sure, self._digits, self._keys,
                               np.uint64(trial), self._values, self._flat, self.flips_by_plane))
