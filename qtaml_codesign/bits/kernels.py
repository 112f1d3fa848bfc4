"""Philox random numbers, the flip loop, and words as channels, compiled. No checks here: `flips.py` makes them.

Every cell owns one uniform number u in [0, 1) with endless binary digits, u = sum_k d_k 2^-(k+1). Eight weights of
eight planes share a 64-bit word per digit: digit k of weight i and plane b is bit 8 (i mod 8) + b mod 8 of word k mod 2
of Philox4x32-7 at counter

    (i // 8 low, i // 8 high | b // 8 << 16 | k // 2 << 20, trial low, trial high)   under the tensor's key,

so u depends on (key, trial, weight index, plane) and nothing else. A flip is u < rate, decided from the first digit on
for 64 cells at once: `below` are the cells that are decided below, `tied` those whose digits so far equal the rate's. A
float64 rate has finitely many binary digits, all of them exact, so the comparison is exact for every rate in [0, 1].
Each digit decides half of the cells that are tied. All words take eight digits in one straight line, which leaves one
word in four or five with a tie; those words are gathered and go on, two digits at a time, until none is left.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011): algorithm Philox; seven
rounds are the fewest that pass BigCrush.
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 7
FIRST_DIGITS = 8
WORDS_AT_ONCE = 1024
EVERY_BYTE = 0x0101010101010101
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@numba.njit(cache=True, nogil=True, inline="always")
def philox_block(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four 32-bit words (as uint64) of Philox4x32-7 at counter (c0, c1, c2, c3), key (k0, k1)."""
    for _ in range(ROUNDS):
        left = (c0 & LOW) * np.uint64(0xD2511F53)
        right = (c2 & LOW) * np.uint64(0xCD9E8D57)
        c0 = (right >> HALF) ^ c1 ^ k0
        c1 = right
        c2 = (left >> HALF) ^ c3 ^ k1
        c3 = left
        k0 = (k0 + np.uint64(0x9E3779B9)) & LOW
        k1 = (k1 + np.uint64(0xBB67AE85)) & LOW
    return c0 & LOW, c1 & LOW, c2 & LOW, c3 & LOW


@numba.njit(cache=True, nogil=True)
def stream_words(key, trial):  # type: ignore[no-untyped-def]
    """What all cells of a drawing share, as a tuple: both words of the Philox key, and the last two of the counter.

    key: (2,) uint64. trial: uint64.
    """
    folded = trial ^ key[1]
    return key[0] & LOW, key[0] >> HALF, folded & LOW, folded >> HALF


@numba.njit(cache=True, nogil=True, inline="always")
def digit_words(stream, word, group, pair):  # type: ignore[no-untyped-def]
    """Digits 2 pair and 2 pair + 1 of the 64 cells of one word, two uint64.

    stream: of `stream_words`. word: weight index // 8, uint64. group: plane // 8. pair: which two digits, from 0.
    """
    c1 = (word >> HALF) | (np.uint64(group) << np.uint64(16)) | (np.uint64(pair) << np.uint64(20))
    k0, k1, c2, c3 = np.uint64(stream[0]), np.uint64(stream[1]), np.uint64(stream[2]), np.uint64(stream[3])
    w0, w1, w2, w3 = philox_block(word & LOW, c1, c2, c3, k0, k1)
    return w0 | (w1 << HALF), w2 | (w3 << HALF)


@numba.njit(cache=True, nogil=True)
def digit(key, trial, index, plane, level):  # type: ignore[no-untyped-def]
    """Binary digit d_level (0 or 1) of the uniform number of one cell.

    key: (2,) uint64. trial, index: uint64, the drawing and the weight. plane: 0 = LSB. level: 0 = the digit worth 1/2.
    """
    words = digit_words(stream_words(key, trial), index >> np.uint64(3), plane // 8, level // 2)
    lane = np.uint64(8) * (index & np.uint64(7)) + np.uint64(plane % 8)
    word = words[1] if level % 2 else words[0]
    return (word >> lane) & np.uint64(1)


@numba.njit(cache=True, nogil=True)
def is_below(rate, key, trial, index, plane):  # type: ignore[no-untyped-def]
    """True when the cell's u < rate, decided exactly; doubling and subtracting one lose nothing.

    rate: float64 in [0, 1]. key, trial, index, plane: the cell, as for `digit`.
    """
    if rate >= 1.0:
        return True
    level = 0
    while rate > 0.0:
        rate *= 2.0
        wanted = 1 if rate >= 1.0 else 0
        found = np.int64(digit(key, trial, index, plane, level))
        if found != wanted:
            return found < wanted
        rate -= wanted
        level += 1
    return False


@numba.njit(cache=True, nogil=True, inline="always")
def compare_pair(stream, word, group, pair, zeros, ones, code, below, tied):  # type: ignore[no-untyped-def]
    """Put two digits before those compared so far: below and tied of the longer numbers, 64 cells each.

    stream, word, group, pair: which digits (`digit_words`). zeros, ones: (D,) digits of the rates, each a lane pattern,
    for cells that store 0 and 1. code: what the 64 cells store. below, tied: of the digits compared so far, uint64.
    """
    r0, r1 = digit_words(stream, word, group, pair)
    wanted0 = (ones[2 * pair] & code) | (zeros[2 * pair] & ~code)
    wanted1 = (ones[2 * pair + 1] & code) | (zeros[2 * pair + 1] & ~code)
    unlike0, unlike1 = wanted0 ^ r0, wanted1 ^ r1
    below = (wanted1 & ~r1) | (~unlike1 & below)
    below = (wanted0 & ~r0) | (~unlike0 & below)
    return below, tied & ~unlike0 & ~unlike1


@numba.njit(cache=True, nogil=True)
def compare_first(stream, first, group, lanes, sure, zeros, ones, codes, below, tied):  # type: ignore[no-untyped-def]
    """The first eight digits of every word of codes (n,), the last pair first, as a subtraction borrows.

    stream, group, zeros, ones: as for `compare_pair`. first: word of codes[0]. lanes: which lanes can flip. sure: (2,)
    lanes of rate 1, by stored bit. below, tied: n words or more, overwritten: cells that flip, cells still open.
    """
    for i in range(codes.size):
        word, code = first + np.uint64(i), codes[i]
        hit, left = np.uint64(0), ~np.uint64(0)
        hit, left = compare_pair(stream, word, group, 3, zeros, ones, code, hit, left)
        hit, left = compare_pair(stream, word, group, 2, zeros, ones, code, hit, left)
        hit, left = compare_pair(stream, word, group, 1, zeros, ones, code, hit, left)
        hit, left = compare_pair(stream, word, group, 0, zeros, ones, code, hit, left)
        certain = lanes & ((sure[1] & code) | (sure[0] & ~code))
        below[i] = certain | (lanes & ~certain & hit)
        tied[i] = lanes & ~certain & left


@numba.njit(cache=True, nogil=True)
def compare_rest(stream, first, group, zeros, ones, codes, below, room):  # type: ignore[no-untyped-def]
    """The digits after the first eight of the words of codes (n,) that are tied; adds to below what they decide.

    stream, group, zeros, ones: as for `compare_pair`. first: word of codes[0]. room: (4, n + 7): the words' ties, and
    three rows to work in.
    """
    left, where, stored, found = room[0], room[1], room[2], room[3]
    pair, ties = FIRST_DIGITS // 2, 0
    for i in range(codes.size):
        where[ties], stored[ties], left[ties] = np.uint64(i), codes[i], left[i]
        ties += left[ties] != np.uint64(0)
    while ties and pair < zeros.size // 2:
        whole = (ties + 7) // 8 * 8  # full vectors: the words past the last are not tied
        left[ties:whole] = np.uint64(0)
        for j in range(whole):
            word, tied, none = first + where[j], left[j], np.uint64(0)
            hit, left[j] = compare_pair(stream, word, group, pair, zeros, ones, stored[j], none, tied)
            found[j] = hit & tied
        pair, open_words, ties = pair + 1, ties, 0
        for j in range(open_words):
            below[np.int64(where[j])] |= found[j]
            where[ties], stored[ties], left[ties] = where[j], stored[j], left[j]
            ties += left[j] != np.uint64(0)


@numba.njit(cache=True, nogil=True)
def flip_bytes(  # type: ignore[no-untyped-def]
    codes, lanes, sure, digits, key, trial, first, group, read, flips
):
    """Flip the cells of codes (n,) uint8 into read (n,); add flips by plane to flips (8,).

    lanes: which lanes of a word can flip. sure: (2,) lanes of rate 1, by stored bit. digits: (2, D) binary digits of
    the rates by stored bit, each a lane pattern, D even and at least eight. key: (2,) uint64. trial: uint64. first:
    weight index of codes[0], uint64. group: which byte of the codes, 0 or 1: planes 8 group .. 8 group + 7.
    """
    stream = stream_words(key, trial)
    most = min(WORDS_AT_ONCE, codes.size // 8 + 2)
    stored, below, room = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty((4, most + 7), np.uint64)
    tied, as_bytes, before = room[0], stored.view(np.uint8), np.int64(first % np.uint64(8))
    for start in range(-before, codes.size, 8 * WORDS_AT_ONCE):
        low, high = max(start, 0), min(start + 8 * WORDS_AT_ONCE, codes.size)
        n, word = (high - start + 7) // 8, (first + np.uint64(low)) >> np.uint64(3)
        here, piece, inner = stored[:n], codes[low:high], as_bytes[low - start:high - start]
        for i in range(piece.size):
            inner[i] = piece[i]
        compare_first(stream, word, group, lanes, sure, digits[0], digits[1], here, below, tied)
        for i in (0, n - 1):
            inside = bytes_between(low - start - 8 * i, high - start - 8 * i)
            below[i] &= inside
            tied[i] &= inside
        compare_rest(stream, word, group, digits[0], digits[1], here, below, room)
        for i in range(n):
            here[i] ^= below[i]
        found = read[low:high]
        for i in range(found.size):
            found[i] = inner[i]
        for plane in range(8):
            total = np.uint64(0)
            for i in range(n):
                by_byte = (below[i] >> np.uint64(plane)) & np.uint64(EVERY_BYTE)
                total += (by_byte * np.uint64(EVERY_BYTE)) >> np.uint64(56)
            flips[plane] += np.int64(total)


@numba.njit(cache=True, nogil=True)
def bytes_between(start, end):  # type: ignore[no-untyped-def]
    """Lanes of the bytes start <= byte < end of one word; both may lie outside 0..8."""
    found = np.uint64(0)
    for byte in range(max(start, 0), min(end, 8)):
        found |= np.uint64(0xFF) << np.uint64(8 * byte)
    return found


@numba.njit(cache=True, nogil=True)
def cell_uniforms(key, first, uniforms):  # type: ignore[no-untyped-def]
    """Fill (n, B) with one number in (0, 1) per cell, (k + 1/2) 2^-52 with 52 random bits k: symmetric around 1/2.

    key: (2,) uint64. first: weight index of uniforms[0], uint64. uniforms: (n, B) float64, overwritten.
    """
    for i in range(uniforms.shape[0]):
        index = first + np.uint64(i)
        for plane in range(uniforms.shape[1]):
            c1 = (index >> HALF) | (np.uint64(plane) << np.uint64(16))
            w0, w1, _, _ = philox_block(index & LOW, c1, key[1] & LOW, key[1] >> HALF, key[0] & LOW, key[0] >> HALF)
            bits = (w0 | (w1 << HALF)) >> np.uint64(12)
            uniforms[i, plane] = (np.float64(bits) + 0.5) / 4503599627370496.0


@numba.njit(cache=True, nogil=True)
def flip_unlike_cells(  # type: ignore[no-untyped-def]
    codes, down, up, factors, key, trial, first, block, read, flips
):
    """Flip codes (n,) cell by cell: rate min(1, factor of the cell x down or up), u of weight index // block.

    down, up: (B,) rates of stored ones and of stored zeros. factors: (n, B). key: (2,) uint64. trial, first, block:
    uint64, first the weight index of codes[0]. read: (n,) like codes, overwritten. flips: (B,) int64, added to.
    """
    for i in range(codes.size):
        index = (first + np.uint64(i)) // block
        read[i] = codes[i]
        for plane in range(down.size):
            median = down[plane] if (np.int64(codes[i]) >> plane) & 1 else up[plane]
            if median > 0.0 and is_below(min(1.0, median * factors[i, plane]), key, trial, index, plane):
                read[i] ^= 1 << plane
                flips[plane] += 1


@numba.njit(cache=True, nogil=True)
def through_cells(vector, cells):  # type: ignore[no-untyped-def]
    """Multiply vector (2^B,), in place, by the Kronecker product of cells (B, 2, 2), plane 0 the fastest index."""
    for plane in range(cells.shape[0]):
        half = 1 << plane
        c00, c01, c10, c11 = cells[plane, 0, 0], cells[plane, 0, 1], cells[plane, 1, 0], cells[plane, 1, 1]
        for start in range(0, vector.size, 2 * half):
            for low in range(start, start + half):
                zero, one = vector[low], vector[low + half]
                vector[low], vector[low + half] = c00 * zero + c01 * one, c10 * zero + c11 * one


@lru_cache(maxsize=256)
def rate_patterns(up: bytes, down: bytes) -> tuple[np.uint64, NDArray[np.uint64], NDArray[np.uint64]]:
    """Lanes that can flip; (2,) lanes of rate 1; (2, D) digits of the rates below 1: of stored zeros, then of ones.

    up, down: the rates of up to eight planes as the bytes of float64 arrays. Every pattern repeats a byte whose bit b
    speaks for plane b; D is even, at least eight, and holds every digit of every rate.
    """
    rest = np.stack([np.frombuffer(up), np.frombuffer(down)])
    lanes = np.uint64(_byte((rest > 0.0).any(axis=0)) * EVERY_BYTE)
    sure = np.array([_byte(row) * EVERY_BYTE for row in rest >= 1.0], np.uint64)
    rest = np.where(rest >= 1.0, 0.0, rest)
    columns: list[list[int]] = []
    while rest.any() or len(columns) % 2 or len(columns) < FIRST_DIGITS:
        rest = rest * 2.0
        ones = rest >= 1.0
        columns.append([_byte(row) * EVERY_BYTE for row in ones])
        rest = rest - ones
    return lanes, sure, np.array(columns, np.uint64).reshape(-1, 2).T.copy()


def _byte(planes: ArrayLike) -> int:
    """Bit b set where planes[b] is true."""
    return sum(1 << plane for plane in np.flatnonzero(planes).tolist())
