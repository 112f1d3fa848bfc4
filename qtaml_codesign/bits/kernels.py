"""Philox random numbers and the flip loop, compiled. No checks here: `flips.py` makes them.

Every cell owns one uniform number u in [0, 1) with endless digits in base 2^32,

    u = sum_k d_k 2^(-32 (k+1)),   d_k = word (plane mod 4) of Philox4x32-10 at counter
        (index low, index high | plane // 4 << 16 | k << 24, trial low, trial high)   under the tensor's key,

so u depends on (key, trial, weight index, plane) and nothing else. A flip is u < rate, decided digit by digit: a
float64 rate has finitely many digits, all of them exact, so the comparison is exact for every rate in [0, 1].

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011), algorithm Philox.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK = 512
PLANES_PER_WORD = 4
DIGIT_BASE = 4294967296.0


@numba.njit(cache=True, nogil=True, inline="always")
def philox_block(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four 32-bit words (as uint64) of Philox4x32-10 at counter (c0, c1, c2, c3), key (k0, k1)."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    for _ in range(10):
        left = c0 * np.uint64(0xD2511F53)
        right = c2 * np.uint64(0xCD9E8D57)
        c0 = (right >> half) ^ c1 ^ k0
        c1 = right & low
        c2 = (left >> half) ^ c3 ^ k1
        c3 = left & low
        k0 = (k0 + np.uint64(0x9E3779B9)) & low
        k1 = (k1 + np.uint64(0xBB67AE85)) & low
    return c0, c1, c2, c3


@numba.njit(cache=True, nogil=True)
def digit(key, trial, index, plane, level):  # type: ignore[no-untyped-def]
    """Digit d_level (uint64, 0 .. 2^32 - 1) of the uniform number of one cell."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    quad = np.uint64(plane // PLANES_PER_WORD)
    c1 = (index >> half) | (quad << np.uint64(16)) | (np.uint64(level) << np.uint64(24))
    folded = trial ^ key[1]
    words = philox_block(index & low, c1, folded & low, folded >> half, key[0] & low, key[0] >> half)
    return words[plane % PLANES_PER_WORD]


@numba.njit(cache=True, nogil=True)
def is_below(rate, key, trial, index, plane):  # type: ignore[no-untyped-def]
    """True when the cell's u < rate, decided exactly; scaling by 2^32 and dropping the integer part lose nothing."""
    level = 0
    while rate > 0.0:
        scaled = rate * DIGIT_BASE
        threshold = np.floor(scaled)
        found = np.float64(digit(key, trial, index, plane, level))
        if found != threshold:
            return found < threshold
        rate = scaled - threshold
        level += 1
    return False


@numba.njit(cache=True, nogil=True)
def first_digits(key, trial, first, quad, words):  # type: ignore[no-untyped-def]
    """Fill words (4, n) int64 with digit 0 of planes 4 quad .. 4 quad + 3 of weights first .. first + n - 1."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    folded = trial ^ key[1]
    c2, c3 = folded & low, folded >> half
    k0, k1 = key[0] & low, key[0] >> half
    tag = np.uint64(quad) << np.uint64(16)
    for i in range(words.shape[1]):
        index = first + np.uint64(i)
        w0, w1, w2, w3 = philox_block(index & low, (index >> half) | tag, c2, c3, k0, k1)
        words[0, i] = w0
        words[1, i] = w1
        words[2, i] = w2
        words[3, i] = w3


@numba.njit(cache=True, nogil=True)
def flip_plane(codes, words, loss, gain, key, trial, first, plane, read):  # type: ignore[no-untyped-def]
    """Flip one plane of codes (n,) into read (n,), given digit 0 of every cell; the number of flips."""
    if_one, if_zero = np.int64(np.floor(loss * DIGIT_BASE)), np.int64(np.floor(gain * DIGIT_BASE))
    flips, ties = np.int64(0), np.int64(0)
    for i in range(codes.size):
        bit = (np.int64(codes[i]) >> plane) & 1
        threshold = if_zero + bit * (if_one - if_zero)
        hit = np.int64(words[i] < threshold)
        read[i] ^= hit << plane
        flips += hit
        ties += np.int64(words[i] == threshold)
    if ties == 0:
        return flips
    for i in range(codes.size):
        bit = (np.int64(codes[i]) >> plane) & 1
        rate, threshold = (loss, if_one) if bit == 1 else (gain, if_zero)
        if words[i] == threshold and is_below(rate, key, trial, first + np.uint64(i), plane):
            read[i] ^= 1 << plane
            flips += 1
    return flips


@numba.njit(cache=True, nogil=True)
def flip_codes(codes, loss, gain, key, trial, first, read, flips):  # type: ignore[no-untyped-def]
    """Flip every cell of codes (n,) into read (n,) and add the flips of each plane to flips (B,) int64.

    loss, gain: (B,) rates. key: (2,) uint64. trial, first: uint64; first = index of codes[0] in its tensor.
    Groups of four planes that cannot flip draw nothing.
    """
    bits = loss.size
    words = np.empty((PLANES_PER_WORD, BLOCK), np.int64)
    for start in range(0, codes.size, BLOCK):
        stop = min(start + BLOCK, codes.size)
        here = first + np.uint64(start)
        read[start:stop] = codes[start:stop]
        for low_plane in range(0, bits, PLANES_PER_WORD):
            high_plane = min(low_plane + PLANES_PER_WORD, bits)
            if not (loss[low_plane:high_plane].any() or gain[low_plane:high_plane].any()):
                continue
            block = words[:, : stop - start]
            first_digits(key, trial, here, low_plane // PLANES_PER_WORD, block)
            for plane in range(low_plane, high_plane):
                if loss[plane] > 0.0 or gain[plane] > 0.0:
                    flips[plane] += flip_plane(
                        codes[start:stop], block[plane - low_plane], loss[plane], gain[plane],
                        key, trial, here, plane, read[start:stop],
                    )


@numba.njit(cache=True, nogil=True)
def cell_uniforms(key, first, uniforms):  # type: ignore[no-untyped-def]
    """Fill (n, B) with one number in (0, 1) per cell, (k + 1/2) 2^-52 with 52 random bits k: symmetric around 1/2."""
    trial = np.uint64(0)
    for i in range(uniforms.shape[0]):
        index = first + np.uint64(i)
        for plane in range(uniforms.shape[1]):
            high = np.float64(digit(key, trial, index, plane, 0)) * 1048576.0
            low = np.float64(digit(key, trial, index, plane, 1) >> np.uint64(12))
            uniforms[i, plane] = (high + low + 0.5) / 4503599627370496.0


@numba.njit(cache=True, nogil=True)
def flip_unlike_cells(codes, loss, gain, factors, key, trial, first, block, read, flips):  # type: ignore[no-untyped-def]
    """Flip codes (n,) cell by cell: rate min(1, factor of the cell x loss or gain), u of weight index // block."""
    for i in range(codes.size):
        index = (first + np.uint64(i)) // block
        read[i] = codes[i]
        for plane in range(loss.size):
            median = loss[plane] if (np.int64(codes[i]) >> plane) & 1 else gain[plane]
            if median > 0.0 and is_below(min(1.0, median * factors[i, plane]), key, trial, index, plane):
                read[i] ^= 1 << plane
                flips[plane] += 1


def run_flips(
    codes: NDArray[Any], loss: NDArray[np.float64], gain: NDArray[np.float64], key: tuple[int, int],
    trial: int, first: int,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Typed front of `flip_codes`: read codes (n,) like codes (n,) uint8 or uint16, and flips by plane (B,) int64."""
    read = np.empty_like(codes)
    flips = np.zeros(loss.size, np.int64)
    flip_codes(codes, loss, gain, np.array(key, np.uint64), np.uint64(trial), np.uint64(first), read, flips)
    return read, flips
