"""MRFI and PyTorchFI, each used the way its documentation shows, on its own copy of the network.

MRFI quantises the weights anew in every forward pass (symmetric, 8 bits, two's complement), picks a Poisson number of
weights with replacement and flips one bit in each: two picks of a weight count once, so of a rate p it realises
(1 - exp(-8 p)) / 8, 0.069 at p = 0.1. PyTorchFI draws nothing at a given rate; it takes a list of places and values, so
the flips come from numpy and PyTorchFI writes them, weight by weight, into a fresh copy of the module.
"""

from __future__ import annotations

import copy
import logging

import numpy as np
import torch
from torch import nn

from benchmarks.peers.network import Injector, Network

SEED = 0


def mrfi(network: Network, rate: float) -> Injector:
    """A `MRFI` model; select rate = 8 p, one random bit of each weight selected."""
    from mrfi import MRFI, EasyConfig

    logging.disable(logging.WARNING)
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  (MRFI draws its counts from numpy's global state)
    model = MRFI(copy.deepcopy(network.module), EasyConfig({"faultinject": [{
        "type": "weight", "name": ["weight"], "module_type": ["Conv2d", "Linear"],
        "quantization": {"method": "SymmericQuantization", "dynamic_range": "auto", "bit_width": 8},
        "selector": {"method": "RandomPositionByRate", "poisson": True, "rate": 8 * rate},
        "error_mode": {"method": "IntRandomBitFlip", "bit_width": 8},
    }]}))

    def flipped() -> int:
        found = dict(model.model.named_parameters())
        return sum(_differing_bits(torch.from_numpy(np.array(weight)), found[name])
                   for name, weight in network.workload.weights.items())

    return Injector(lambda _: network.correct(model), flipped, "one bit per weight picked, with replacement")


def _differing_bits(clean: torch.Tensor, read: torch.Tensor) -> int:
    """Bits in which MRFI's 8-bit levels of two weight tensors differ."""
    largest = clean.abs().max()
    levels = [torch.round((weight + largest) * (127 / largest) - 127).to(torch.int64) for weight in (clean, read)]
    return int(np.bitwise_count(((levels[0] ^ levels[1]) & 255).numpy()).sum())


def pytorchfi(network: Network, rate: float) -> Injector:
    """`declare_weight_fi` with the place and the new value of every weight that any flip hits."""
    from pytorchfi.core import fault_injection

    logging.disable(logging.WARNING)
    network.load(network.codes)
    tool = fault_injection(copy.deepcopy(network.module), 1, input_shape=list(network.images.shape[1:]),
                           layer_types=[nn.Conv2d, nn.Linear], use_cuda=False)
    generator, kept = np.random.Generator(np.random.SFC64(SEED)), [0]

    def trial(_: int) -> int:
        kept[0] = 0
        places: list[list[object]] = [[], [], [], [], [], []]
        for layer, group in enumerate(network.stored.groups):
            mask = np.packbits(generator.random((group.words.size, 8), np.float32) < rate).reshape(group.words.shape)
            kept[0] += int(np.bitwise_count(mask).sum())
            hit = np.nonzero(mask)
            found = [column.tolist() for column in hit] + [[None] * hit[0].size] * (4 - len(hit))
            values = group.codec.values[(group.words ^ mask)[hit]].tolist()
            for column, more in zip(places, [[layer] * hit[0].size, *found, values], strict=True):
                column.extend(more)
        names = ("layer_num", "k", "dim1", "dim2", "dim3", "value")
        return network.correct(tool.declare_weight_fi(**dict(zip(names, places, strict=True))))

    return Injector(trial, lambda: kept[0], "flips from numpy, written by PyTorchFI")
