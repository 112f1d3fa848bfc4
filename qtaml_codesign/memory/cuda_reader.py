"""Flips drawn on the network's GPU: words lie there once, and weights are read there without passing the host.

The sampler is that of `bits.kernels` in whole-tensor operations on int64 words, which every torch device has: the same
Philox counters, digits, lanes and rates, and so the same flips bit for bit (tests/test_memory_cuda.py). Products wrap
modulo 2^64; after each right shift a mask removes the copies of the sign.

Words without an undecided cell drop out after each pair of digits. A word is still open after j pairs with probability
1 - (1 - 4^-j)^64 at most, so it needs 1 + 1 + 0.98 + 0.64 + 0.22 + ... = 3.9 pairs on average, whatever the rates are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipKey, flip_key
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.memory.reader import HostReader, Reader, Reading, divided
from qtaml_codesign.memory.stored import StoredGroup

PIECE = 2**21
LOW = 0xFFFFFFFF


class CudaReader(Reader):
    """The readings of `HostReader`, with the weights left on a device.

    Groups whose cells differ or share their flips (`CellLaw.alike`), or whose codec corrects what is read,
    are read on the host and moved.

    Args:
        groups: what is read.
        seed: key of the flips, >= 0.
        purpose: readings for different purposes get unrelated flips.
        device: where to keep the words and to draw.

    Raises:
        InputError: no such seed.
    """

    def __init__(self, groups: Iterable[StoredGroup[Codec]], seed: int, purpose: str, device: torch.device) -> None:
        given = list(groups)
        self._device = device
        self._there = {group.key: DeviceCells(group, flip_key(seed, group.key, purpose), device)
                       for group in given if group.regular}
        self._here = HostReader([group for group in given if not group.regular], seed, purpose, join=False)
        self._divided = divided(given)

    def _read(self, trial: int) -> Reading:
        here, there = self._here.read(trial), {name: cells.read(trial) for name, cells in self._there.items()}
        weights = {name: read.to(self._device) for name, read in here.weights.items()}
        weights |= {name: read for name, (read, _) in there.items()}
        for tensor in self._divided:
            tensor.join(weights)
        flips = _counts({name: planes for name, (_, planes) in there.items()})
        return Reading(weights, here.flips_by_plane | flips)


class DeviceCells:
    """The words of one group as int64 words on a device: eight low bytes to each, then eight high bytes to each.

    Args:
        group: what is read.
        key: of its flips.
        device: where to keep it.
    """

    def __init__(self, group: StoredGroup[Codec], key: FlipKey, device: torch.device) -> None:
        flat, law = group.words.reshape(-1), group.residual
        padded = np.zeros(-(-flat.size // 8) * 8, flat.dtype)
        padded[: flat.size] = flat
        self.words = [torch.from_numpy((padded >> (8 * byte)).astype(np.uint8).view(np.int64)).to(device)
                      for byte in range(flat.itemsize)]
        self.patterns = [patterns(law, byte) for byte in range(flat.itemsize)]
        self.values = torch.from_numpy(group.codec.values.copy()).to(device)
        self.readout = [torch.from_numpy(row.copy()).reshape(-1, *(1,) * (group.words.ndim - 1)).to(device)
                        for row in group.codec.readout or ()]
        self.shape, self.size, self.bits, self.key = group.words.shape, flat.size, law.format.bits, key

    def read(self, trial: int) -> tuple[Tensor, Tensor]:
        """float32 weights of one reading in the shape of the group, and flips by plane (B,) int64, both there.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.
        """
        words, by_plane = self.read_words(trial)
        weights = self.values.index_select(0, words).reshape(self.shape)
        return (weights.mul_(self.readout[0]).add_(self.readout[1]) if self.readout else weights), by_plane

    def read_words(self, trial: int) -> tuple[Tensor, Tensor]:
        """Words (n,) int32 as one reading finds them, and flips by plane (B,) int64, both on the device.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.
        """
        found, by_plane = torch.zeros(self.size, dtype=torch.int32, device=self.values.device), []
        for byte, (words, rates) in enumerate(zip(self.words, self.patterns, strict=True)):
            flips = draw_words(words, self.size, rates, self.key, trial, byte)
            found |= (words ^ flips).view(torch.uint8)[: self.size].int() << (8 * byte)
            by_plane += [((flips >> plane) & kernels.EVERY_BYTE).view(torch.uint8).sum() for plane in range(8)]
        return found, torch.stack(by_plane[: self.bits])


class Patterns(NamedTuple):
    """Lane patterns of the rates of up to eight planes, as signed words (see `kernels.rate_patterns`).

    Attributes:
        lanes: lanes that can flip.
        sure: lanes of rate 1: of stored zeros, of stored ones.
        digits: for each binary digit, the lanes where the rate has a 1: of stored zeros, of stored ones.
    """

    lanes: int
    sure: list[int]
    digits: list[list[int]]


def patterns(law: CellLaw, byte: int) -> Patterns:
    """Patterns of planes 8 byte .. 8 byte + 7 of a law.

    Args:
        law: rates after protection.
        byte: which byte of the codes, 0 or 1.
    """
    planes = slice(8 * byte, 8 * byte + 8)
    found = kernels.rate_patterns(law.zero_to_one[planes].tobytes(), law.one_to_zero[planes].tobytes())
    return Patterns(*(np.array(words).view(np.int64).T.tolist() for words in found))


def draw_words(words: Tensor, size: int, rates: Patterns, key: FlipKey, trial: int, group: int) -> Tensor:
    """Lanes (n,) int64 that flip in one reading of words (n,) int64; their first `size` bytes are codes.

    Args:
        words: eight bytes each, byte j of word w holds planes 8 group .. 8 group + 7 of weight 8 w + j.
        size: codes in them; bytes after the last one never flip.
        rates: patterns of those planes.
        key, trial: name of the drawing.
        group: which byte of the codes, 0 or 1.
    """
    flips = torch.zeros_like(words)
    if not rates.lanes:
        return flips
    for start in range(0, words.numel(), PIECE):
        flips[start : start + PIECE] = _draw_piece(words[start : start + PIECE], start, rates, key, trial, group)
    if size % 8:
        flips[-1] &= (1 << (8 * (size % 8))) - 1
    return flips


def _draw_piece(code: Tensor, first: int, rates: Patterns, key: FlipKey, trial: int, group: int) -> Tensor:
    """u < rate for 64 cells of each word, digit by digit; the words still open are moved together after each pair."""
    flips = (rates.sure[1] & code) | (rates.sure[0] & ~code)
    still_open = rates.lanes & ~flips
    place = torch.arange(code.numel(), device=code.device)
    for pair in range(len(rates.digits) // 2):
        hit = torch.zeros_like(code)
        for number, (zero, one) in zip(
            digit_words(key, trial, place + first, group, pair), rates.digits[2 * pair : 2 * pair + 2], strict=True
        ):
            wanted = (one & code) | (zero & ~code)
            hit |= still_open & ~number & wanted
            still_open &= ~(number ^ wanted)
        flips[place] |= hit
        left = still_open.nonzero().squeeze(1)
        if not left.numel():
            break
        place, code, still_open = place[left], code[left], still_open[left]
    return flips


def digit_words(key: FlipKey, trial: int, word: Tensor, group: int, pair: int) -> tuple[Tensor, Tensor]:
    """Digits 2 pair and 2 pair + 1 of the 64 cells of each word (n,), int64 (see `kernels.digit_words`).

    Args:
        key, trial: name of the drawing.
        word: (n,) int64, which words: weights 8 word .. 8 word + 7.
        group: which byte of the codes, 0 or 1.
        pair: which two digits, counted from 0.
    """
    folded = trial ^ key.words[1]
    counter = (word & LOW, (word >> 32) | (group << 16) | (pair << 20), folded & LOW, folded >> 32)
    w0, w1, w2, w3 = philox(counter, (key.words[0] & LOW, key.words[0] >> 32))
    return w0 | (w1 << 32), w2 | (w3 << 32)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four 32-bit words of Philox4x32-7, each a whole number or an int64 tensor of 32-bit words.

    Args:
        counter: four 32-bit words, each a whole number or an int64 tensor.
        key: two 32-bit words.

    Example:
        >>> [hex(word) for word in philox((0, 0, 0, 0), (0, 0))]
        ['0x5f6fb709', '0xd893f64', '0x4f121f81', '0x4f730a48']
    """
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(kernels.ROUNDS):
        left, right = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1 = ((right >> 32) & LOW) ^ c1 ^ k0, right & LOW
        c2, c3 = ((left >> 32) & LOW) ^ c3 ^ k1, left & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return c0, c1, c2, c3


def _counts(there: dict[str, Tensor]) -> dict[str, NDArray[np.int64]]:
    """Flips by plane of every group, brought over in a single small tensor."""
    if not there:
        return {}
    counts = torch.cat(list(there.values())).cpu().numpy()
    ends = np.cumsum([planes.numel() for planes in there.values()])
    return dict(zip(there, np.split(counts, ends[:-1]), strict=True))
