"""Ours, plain torch, plain numpy and stim's sampler: each a function of (network, flip probability)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.peers.network import Flat, Injector, Masks, Network
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.counts import TrialCounts

SEED = 0
DIGITS = 24


def ours(network: Network, rate: float) -> Injector:
    """`Trials`, as in `qc.evaluate` and in a sweep."""
    trials, kept = Trials(network.workload, network.deployed(rate), SEED), list[TrialCounts]()

    def trial(number: int) -> None:
        kept[:] = [trials.run(number)]

    return Injector(trial, lambda: kept[0].bits_flipped, "exact; nested; repeatable by key")


def torch_rand(network: Network, rate: float) -> Injector:
    """A float32 number per bit, plane by plane, compared with the rate."""
    generator = torch.Generator().manual_seed(SEED)

    def draw() -> Flat:
        mask = torch.zeros(network.codes.size, dtype=torch.uint8)
        for plane in range(8):
            mask |= (torch.rand(mask.shape, generator=generator) < rate).to(torch.uint8) << plane
        return mask.numpy()

    return _masked(network, draw, "rate rounded to 2^-24")


def numpy_rand(network: Network, rate: float) -> Injector:
    """A float32 number per bit, compared with the rate and packed."""
    generator = np.random.Generator(np.random.SFC64(SEED))

    def draw() -> Flat:
        return np.packbits(generator.random(8 * network.codes.size, np.float32) < rate)

    return _masked(network, draw, "rate rounded to 2^-24")


def numpy_digits(network: Network, rate: float) -> Injector:
    """Packed bits: the rate's binary digits from the last one up, an AND or an OR with one random word per 64 bits."""
    generator = np.random.Generator(np.random.SFC64(SEED))
    digits = [round(rate * 2**DIGITS) >> place & 1 for place in range(DIGITS)]
    words = -(-network.codes.size // 8)

    def draw() -> Flat:
        drawn = generator.integers(0, 2**64, (DIGITS, words), np.uint64)
        mask = np.zeros(words, np.uint64)
        for row, digit in zip(drawn, digits, strict=True):
            (np.bitwise_or if digit else np.bitwise_and)(mask, row, out=mask)
        return mask.view(np.uint8)[: network.codes.size]

    return _masked(network, draw, f"rate rounded to 2^-{DIGITS}")


def stim_bernoulli(network: Network, rate: float) -> Injector:
    """stim's `FlipSimulator.generate_bernoulli_samples`, bit-packed into one buffer."""
    import stim

    simulator = stim.FlipSimulator(batch_size=256, seed=SEED)
    out = np.empty(network.codes.size, np.uint8)

    def draw() -> Flat:
        simulator.generate_bernoulli_samples(8 * network.codes.size, p=rate, bit_packed=True, out=out)
        return out

    return _masked(network, draw, "exact")


def _masked(network: Network, draw: Callable[[], Flat], law: str) -> Injector:
    masks = Masks(network, draw)
    return Injector(masks.trial, masks.flipped, law)
