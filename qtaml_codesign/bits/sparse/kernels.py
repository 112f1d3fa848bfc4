"""The loop over events, compiled. No checks here: `flips.py` makes them; the law is in `events.py`.

Philox4x32-7 at counter

    (block, 2^31 | level << 25 | group << 24 | chunk << 18 | number, trial low, trial high)

gives 128 bits under the tensor's key: number 0 how many events the level has, number 1 + e // 2 the 64 bits of event e,
and chunk 1, 2, ... at number e more bits of its time, which are looked at once in 2^44 events. Bit 31 keeps these
counters apart from those of the dense sampler (`bits.kernels`).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from qtaml_codesign.bits.kernels import philox_block, stream_words
from qtaml_codesign.bits.sparse.events import BLOCK_BITS, DEEPEST, TIME_BITS, event_tables

AT_ONCE = 1024


@numba.njit(cache=True, nogil=True, inline="always")
def event_words(stream, block, level, group, chunk, number):  # type: ignore[no-untyped-def]
    """Two 64-bit words."""
    half = np.uint64(32)
    place = (np.uint64(level) << np.uint64(25)) | (np.uint64(group) << np.uint64(24)) | np.uint64(1 << 31)
    c1 = place | (np.uint64(chunk) << np.uint64(18)) | np.uint64(number)
    k0, k1, c2, c3 = np.uint64(stream[0]), np.uint64(stream[1]), np.uint64(stream[2]), np.uint64(stream[3])
    w0, w1, w2, w3 = philox_block(np.uint64(block), c1, c2, c3, k0, k1)
    return w0 | (w1 << half), w2 | (w3 << half)


@numba.njit(cache=True, nogil=True)
def count_of(word, table):  # type: ignore[no-untyped-def]
    """How many entries of a falling table lie above the word."""
    low, high = 0, table.size
    while low < high:
        middle = (low + high) // 2
        if word < table[middle]:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def tie_is_below(rest, stream, block, level, group, event):  # type: ignore[no-untyped-def]
    """True when the bits of the event's time after the first 44 are below `rest`, decided exactly."""
    chunk = 1
    while rest > 0.0:
        rest *= 4503599627370496.0
        wanted = np.floor(rest)
        found = np.float64(event_words(stream, block, level, group, chunk, event)[0] >> np.uint64(12))
        if found != wanted:
            return found < wanted
        rest -= wanted
        chunk += 1
    return False


@numba.njit(cache=True, nogil=True)
def draw_words(stream, block, level, group, first, words):  # type: ignore[no-untyped-def]
    """Fill words (even n) with those of the events from `first` (even) on."""
    for pair in range(words.size // 2):
        left, right = event_words(stream, block, level, group, 0, 1 + first // 2 + pair)
        words[2 * pair] = left
        words[2 * pair + 1] = right


@numba.njit(cache=True, nogil=True)
def apply_events(  # type: ignore[no-untyped-def]
    words, first, stream, block, level, group, whole, rest, codes, offset, read, flips
):
    """Flip the cells of the events `words`, of which the first is number `first` in its block and level.

    offset: place of the block's first weight in codes; it may be negative, and the block may reach past the end.
    """
    one, mask = np.uint64(1), np.uint64((1 << TIME_BITS) - 1)
    for i in range(words.size):
        cell, time = np.int64(words[i] >> np.uint64(TIME_BITS)), words[i] & mask
        at, plane = offset + (cell >> 3), cell & 7
        if at < 0 or at >= codes.size:
            continue
        lane = np.uint64(plane + 8 * group)
        code, now = np.uint64(codes[at]), np.uint64(read[at])
        stored = np.int64((code >> lane) & one)
        early = time < whole[stored, plane]
        if time == whole[stored, plane]:
            early = tie_is_below(rest[stored, plane], stream, block, level, group, first + i)
        fresh = np.uint64(early) & ~((code ^ now) >> lane) & one
        read[at] = now ^ (fresh << lane)
        flips[plane] += np.int64(fresh)


def _move_memory(typing_context, read, codes, count):  # type: ignore[no-untyped-def]
    """memcpy of the first `count` codes: on codes that are not in cache a fifth faster than a compiled loop."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        target, source = (
            make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
        )
        cgutils.raw_memcpy(builder, target.data, source.data, arguments[2], source.itemsize)
        return context.get_dummy_value()

    return types.none(read, codes, types.intp), build


move_memory: Any = intrinsic(_move_memory)


@numba.njit(cache=True, nogil=True)
def copy_codes(codes, read):  # type: ignore[no-untyped-def]
    """Copy codes (n,) to the front of read, both contiguous and of one type."""
    move_memory(read, codes, codes.size)


@numba.njit(cache=True, nogil=True)
def flip_events(codes, tables, ends, whole, rest, key, trial, first, group, read, flips):  # type: ignore[no-untyped-def]
    """Flip the cells of codes (n,) in read (n,), which holds them or their copy; add flips by plane to flips (8,)."""
    stream, words = stream_words(key, trial), np.empty(AT_ONCE, np.uint64)
    for block in range(first >> BLOCK_BITS, (first + codes.size - 1 >> BLOCK_BITS) + 1):
        offset = (block << BLOCK_BITS) - first
        if group == 0:
            copy_codes(codes[max(offset, 0):offset + (1 << BLOCK_BITS)], read[max(offset, 0):])
        for row in range(ends.size - 1):
            level = DEEPEST - row
            word = event_words(stream, block, level, group, 0, 0)[0]
            count = count_of(word, tables[ends[row]:ends[row + 1]])
            for start in range(0, count, AT_ONCE):
                here = min(AT_ONCE, count - start)
                draw_words(stream, block, level, group, start, words[:(here + 15) // 16 * 16])
                apply_events(
                    words[:here], start, stream, block, level, group, whole[row], rest[row], codes, offset, read, flips
                )


def run_events(
    codes: NDArray[Any], loss: NDArray[np.float64], gain: NDArray[np.float64], key: tuple[int, int],
    trial: int, first: int, out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Read codes (n,) like codes (n,) uint8 or uint16, in `out` where given, and flips by plane (B,) int64.

    No rate is above LARGEST_RATE.
    """
    read, flips = np.empty_like(codes) if out is None else out, np.zeros((2, 8), np.int64)
    stream = (np.array(key, np.uint64), np.uint64(trial), first)
    for group in range(-(-loss.size // 8) if codes.size else 0):
        planes = slice(8 * group, 8 * group + 8)
        tables = event_tables(gain[planes].tobytes(), loss[planes].tobytes())
        flip_events(codes, *tables, *stream, group, read, flips[group])
    return read, flips.ravel()[:loss.size]
