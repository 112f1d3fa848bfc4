"""Flips drawn and applied: ours against stim and two ways in numpy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

from benchmarks.page import Section
from benchmarks.timing import Ratio, Work, compare, seconds
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.bits.flips import draw_flips, flip_key

CODES = 10_000_000
CHUNK = 2**16
PIECE = 39 * 2**17
RATES = (0.1, 1e-2, 1e-3, 1e-4)
PAIRS, SLOW_PAIRS = 15, 5
NO_STIM = "stim not installed"
GOAL_RATE, GOAL = 0.1, 2.0


def section() -> Section:
    """Ratios at four flip probabilities."""
    codes = np.random.default_rng(0).integers(0, 256, CODES).astype(np.uint8)
    found = {rate: _measure(codes, rate) for rate in RATES}
    copying = compare(lambda: codes.copy(), _ours(codes, RATES[-1]), PAIRS)
    notes = [
        *_goal(found[GOAL_RATE]["stim"]),
        "No goal at smaller rates: our cost does not depend on the rate, and stim's falls with it. A sampler that "
        "only visits the cells that flip would, too, but its flips do not nest over the rate, so that two points of a "
        "sweep could not be compared by the same random numbers; a sweep's time is in forward passes (below).",
        f"A plain copy of the codes runs at {CODES / copying.ours / 1e6:,.0f} Mcodes/s; reading back takes "
        f"{copying.text()} times as long.",
        f"Handing two empty pieces to a pool of two threads takes {_pool_seconds() * 1e6:,.0f} us (median); "
        f"reading back in one thread takes {copying.theirs * 1e6:,.0f} us.",
    ]
    header = ["flip probability", "Mcodes/s", "over stim", "over numpy `< p`", "over numpy count",
              "two threads over one"]
    rows = [_row(rate, ratios) for rate, ratios in found.items()]
    return Section(title="Flips", method=_method(), header=header, rows=rows, notes=notes)


def _method() -> str:
    return (
        f"{CODES:,} codes of 8 bits, every flip drawn, applied and counted by plane, by `draw_flips` in one thread; "
        "the best time as Mcodes/s, and ratios of times. stim: `FlipSimulator.generate_bernoulli_samples`, bit-packed, "
        "into a buffer that is kept, then one XOR in place (nothing counted). numpy `< p`: float32 numbers in chunks "
        "of 64k cells, packed, XOR. numpy count: binomial count, `choice` without replacement, `bitwise_xor.at`. Two "
        "threads: both halves of the tensor at once, into one array."
    )


def _measure(codes: np.ndarray, rate: float) -> dict[str, Ratio | None]:
    ours = _ours(codes, rate)
    return {
        "stim": compare(ours, _stim(codes, rate), PAIRS) if find_spec("stim") else None,
        "compare": compare(ours, _numpy_compare(codes, rate), SLOW_PAIRS),
        "count": compare(ours, _numpy_count(codes, rate), SLOW_PAIRS) if rate <= 1e-2 else None,
        "threads": compare(_ours_in_two(codes, rate), ours, PAIRS),
    }


def _row(rate: float, found: dict[str, Ratio | None]) -> list[str]:
    fastest = min(ratio.theirs if name == "threads" else ratio.ours for name, ratio in found.items() if ratio)
    texts = {name: ratio.text() if ratio else "-" for name, ratio in found.items()}
    if found["stim"] is None:
        texts["stim"] = NO_STIM
    return [f"{rate:g}", f"{CODES / fastest / 1e6:,.0f}", *texts.values()]


def _goal(ratio: Ratio | None) -> list[str]:
    if ratio is None:
        return []
    met = "met" if ratio.middle >= GOAL else "not met"
    return [f"At {GOAL_RATE:g}: {ratio.middle:.2f} times stim, goal {GOAL:g}: {met} "
            f"(stim {CODES / ratio.theirs / 1e6:,.0f} Mcodes/s)."]


def _ours(codes: np.ndarray, rate: float) -> Work:
    errors, key = BitErrorProfile.uniform(rate).regions[0], flip_key(0, "benchmark")
    return lambda: draw_flips(codes, errors, 0, key, 0)


def _ours_in_two(codes: np.ndarray, rate: float) -> Work:
    errors, key = BitErrorProfile.uniform(rate).regions[0], flip_key(0, "benchmark")
    pool, read = ThreadPoolExecutor(2), np.empty_like(codes)

    def read_piece(start: int) -> object:
        piece = slice(start, start + PIECE)
        return draw_flips(codes[piece], errors, 0, key, 0, first_index=start, out=read[piece])

    return lambda: list(pool.map(read_piece, range(0, CODES, PIECE)))


def _pool_seconds() -> float:
    pool = ThreadPoolExecutor(2)
    return float(np.median([seconds(lambda: list(pool.map(abs, (0, 1)))) for _ in range(101)]))


def _stim(codes: np.ndarray, rate: float) -> Work:
    import stim

    simulator, read = stim.FlipSimulator(batch_size=256, seed=0), np.empty_like(codes)

    def work() -> np.ndarray:
        simulator.generate_bernoulli_samples(8 * codes.size, p=rate, bit_packed=True, out=read)
        return np.bitwise_xor(read, codes, out=read)

    return work


def _numpy_compare(codes: np.ndarray, rate: float) -> Work:
    generator, read, numbers = np.random.default_rng(0), np.empty_like(codes), np.empty(CHUNK, np.float32)
    limit, step = np.float32(rate), CHUNK // 8

    def work() -> np.ndarray:
        for start in range(0, codes.size, step):
            piece = codes[start:start + step]
            here = numbers[:8 * piece.size]
            generator.random(dtype=np.float32, out=here)
            np.bitwise_xor(piece, np.packbits(here < limit), out=read[start:start + step])
        return read

    return work


def _numpy_count(codes: np.ndarray, rate: float) -> Work:
    generator = np.random.default_rng(0)

    def work() -> np.ndarray:
        count = generator.binomial(8 * codes.size, rate)
        cells = generator.choice(8 * codes.size, count, replace=False, shuffle=False)
        read = codes.copy()
        np.bitwise_xor.at(read, cells >> 3, np.left_shift(1, cells & 7).astype(np.uint8))
        return read

    return work
