"""Flips drawn on the device of the network: codes lie there once, and weights are read there without passing the host.

The sampler is that of `bits.kernels` in whole-tensor operations on int64 words, which every torch device has: the same
Philox counters, digits, lanes and rates, and so the same flips bit for bit (tests/test_nets_device.py). Products wrap
modulo 2^64; after each right shift a mask removes the copies of the sign.

Words without an undecided cell drop out after each pair of digits. A word is still open after j pairs with probability
1 - (1 - 4^-j)^64 at most, so it needs 1 + 1 + 0.98 + 0.64 + 0.22 + ... = 3.9 pairs on average, whatever the rates are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtaml_codesign.bits import kernels
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import LARGEST_TRIAL, FlipKey, flip_key
from qtaml_codesign.checks import whole_number_within
from qtaml_codesign.nets.reading import ReadTensors
from qtaml_codesign.nets.storage import StoredModel, StoredTensor, TrialFlips

DRAWS_THERE = {"cuda"}
PIECE = 2**21
LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Patterns:
    """Lane patterns of the rates of up to eight planes, as signed words (see `kernels.rate_patterns`).

    Attributes:
        lanes: lanes that can flip.
        sure: lanes of rate 1: of stored zeros, of stored ones.
        digits: for each binary digit, the lanes where the rate has a 1: of stored zeros, of stored ones.
    """

    lanes: int
    sure: tuple[int, int]
    digits: tuple[tuple[int, int], ...]


class DeviceModel:
    """A stored model whose codes lie on a device; `read` is that of `StoredModel`, with the weights left there.

    Tensors whose cells differ or share their flips (`CellLaw.spread`, `block`), or of which some weights are
    protected deeper, are read on the host and moved.

    Args:
        stored: the codes; not changed.
        device: where to keep them and to draw.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.nets.storage import store_tensor
        >>> stored = StoredModel((store_tensor("w", np.linspace(-1.0, 1.0, 100)),))
        >>> errors = BitErrorProfile.uniform(0.1).assign(["w"])
        >>> there = DeviceModel(stored, torch.device("cpu")).read(0, 0, errors)
        >>> here = stored.read(0, 0, errors)
        >>> bool((there.weights["w"].numpy() == here.weights["w"]).all()), there.flips.bits_flipped
        (True, 75)
    """

    def __init__(self, stored: StoredModel, device: torch.device) -> None:
        self.stored = stored
        self.device = device
        self._placed = {tensor.name: DeviceCodes(tensor, device) for tensor in stored if not tensor.deeper}

    @property
    def bits_stored(self) -> int:
        """Cells of all tensors."""
        return self.stored.bits_stored

    def read(
        self, seed: int, trial: int, errors: Mapping[str, CellLaw], only: str | None = None,
        purpose: str = "trial",
    ) -> ReadTensors:
        """Read every tensor once, or `only` one: the flips of `StoredModel.read` under the same key."""
        weights: dict[str, Tensor] = {}
        there: dict[str, Tensor] = {}
        flips: list[TrialFlips] = []
        for tensor in self.stored if only is None else (self.stored[only],):
            if self._is_plain(tensor, errors):
                rates, key = errors[tensor.name], flip_key(seed, tensor.name, purpose)
                weights[tensor.name], there[tensor.name] = self._placed[tensor.name].read(rates, key, trial)
                flips.append(TrialFlips(tensor.bits_exposed, 0, tensor.expected_flips(rates), {}))
            else:
                read = self.stored.read(seed, trial, errors, only=tensor.name, purpose=purpose)
                weights[tensor.name] = torch.from_numpy(read.weights[tensor.name]).to(self.device)
                flips.append(read.flips)
        return ReadTensors(weights, _together(flips, there, list(weights)))

    def _is_plain(self, tensor: StoredTensor, errors: Mapping[str, CellLaw]) -> bool:
        """Drawn on the device; the host's reading takes the rest, and refuses rates that do not fit the tensor."""
        rates = errors.get(tensor.name)
        return (tensor.name in self._placed and rates is not None and rates.format == tensor.format
                and rates.block == 1 and rates.spread == 0.0)


class DeviceCodes:
    """The codes of one stored tensor as int64 words on a device: eight low bytes to a word, and eight high bytes."""

    def __init__(self, tensor: StoredTensor, device: torch.device) -> None:
        codes = tensor.codes.ravel()
        groups = range(-(-tensor.format.bits // 8))
        self.words = [torch.from_numpy(_words((codes >> (8 * group)).astype(np.uint8))).to(device) for group in groups]
        self.values = torch.from_numpy(tensor.values.copy()).to(device)
        self.shape, self.size, self.exposed_rates = tensor.codes.shape, codes.size, tensor.exposed_rates

    def read(self, errors: CellLaw, key: FlipKey, trial: int) -> tuple[Tensor, Tensor]:
        """float32 weights of one reading in the shape of the tensor, and flips by plane (B,) int64, both there."""
        codes, by_plane = self.read_codes(errors, key, trial)
        return self.values.index_select(0, codes).reshape(self.shape), by_plane

    def read_codes(self, errors: CellLaw, key: FlipKey, trial: int) -> tuple[Tensor, Tensor]:
        """Codes (n,) int32 as one reading finds them, and flips by plane (B,) int64, both on the device."""
        number = whole_number_within("trial", trial, 0, LARGEST_TRIAL, "count trials from 0")
        codes = torch.zeros(self.size, dtype=torch.int32, device=self.values.device)
        open_rates, by_plane = self.exposed_rates(errors), []
        for group, words in enumerate(self.words):
            flips = draw_words(words, self.size, patterns(open_rates, group), key, number, group)
            codes |= (words ^ flips).view(torch.uint8)[: self.size].int() << (8 * group)
            by_plane.append(count_by_plane(flips))
        return codes, torch.cat(by_plane)[: errors.format.bits]


def placed(stored: StoredModel, device: torch.device) -> StoredModel | DeviceModel:
    """The stored model where its flips are best drawn: on a CUDA device for a network that lives there, else here."""
    return DeviceModel(stored, device) if device.type in DRAWS_THERE else stored


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
    """Digits 2 pair and 2 pair + 1 of the 64 cells of each word (see `kernels.digit_words`)."""
    folded = trial ^ key.words[1]
    counter = (word & LOW, (word >> 32) | (group << 16) | (pair << 20), folded & LOW, folded >> 32)
    w0, w1, w2, w3 = philox(counter, (key.words[0] & LOW, key.words[0] >> 32))
    return w0 | (w1 << 32), w2 | (w3 << 32)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four 32-bit words of Philox4x32-7, each a whole number or an int64 tensor of 32-bit words.

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


@lru_cache(maxsize=1024)
def patterns(errors: CellLaw, group: int) -> Patterns:
    """Patterns of planes 8 group .. 8 group + 7."""
    planes = slice(8 * group, 8 * group + 8)
    lanes, sure, digits = kernels.rate_patterns(
        errors.zero_to_one[planes].tobytes(), errors.one_to_zero[planes].tobytes()
    )
    zeros, ones = _signed(sure)
    return Patterns(_signed(np.array([lanes]))[0], (zeros, ones), tuple(zip(*map(_signed, digits), strict=True)))


def count_by_plane(flips: Tensor) -> Tensor:
    """(8,) int64: set bits of each plane in lanes (n,) int64, on their device."""
    ones = [((flips >> plane) & kernels.EVERY_BYTE).view(torch.uint8).sum() for plane in range(8)]
    return torch.stack(ones)


def _together(flips: list[TrialFlips], there: Mapping[str, Tensor], order: list[str]) -> TrialFlips:
    """One account of all tensors; the counts of the device come over in a single small tensor."""
    by_plane: dict[str, NDArray[np.int64]] = {name: planes for one in flips for name, planes in one.by_plane.items()}
    if there:
        counts = torch.cat(list(there.values())).cpu().numpy()
        ends = np.cumsum([planes.numel() for planes in there.values()])
        by_plane |= dict(zip(there, np.split(counts, ends[:-1]), strict=True))
    return TrialFlips(
        sum(one.bits_exposed for one in flips), sum(int(planes.sum()) for planes in by_plane.values()),
        sum(one.expected_flips for one in flips), {name: by_plane[name] for name in order},
    )


def _words(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    padded = np.zeros(-(-codes.size // 8) * 8, np.uint8)
    padded[: codes.size] = codes
    return padded.view(np.int64)


def _signed(words: NDArray[np.uint64]) -> list[int]:
    signed: list[int] = words.view(np.int64).tolist()
    return signed
