"""The injectors of the peers benchmark: each has its law, its flips reach the network, none is left out."""

from __future__ import annotations

import logging
import math
import sys

import numpy as np
import pytest
import torch

from benchmarks.peers import peers
from benchmarks.peers.network import Masks, Network
from tests.bits_oracles import assert_binomial

TRIALS = 10
EXACT = [name for name in peers.PEERS if name != "MRFI"]


@pytest.fixture(autouse=True)
def _global_state_kept():
    """Some of the tools draw from global generators, and their warnings are switched off."""
    state, seed = np.random.get_state(), torch.get_rng_state()
    yield
    np.random.set_state(state)
    torch.set_rng_state(seed)
    logging.disable(logging.NOTSET)


def built(name, rate):
    network = Network()
    try:
        return network, peers.PEERS[name](network, rate)
    except ImportError as missing:
        pytest.skip(f"{name} is not installed: {missing}")


def flips(injector, trials=TRIALS):
    total = 0
    for trial in range(trials):
        injector.trial(trial)
        total += injector.flipped()
    return total


@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize("name", EXACT)
def test_the_realised_rate_is_the_one_asked_for(name, rate):
    """Exact binomial test over all cells of the trials, level 1e-13, seed 0: it sees a bias of 1.8 % at rate 0.1 and of
    6 % at 0.01; for PyTorchFI, with one trial, of 6 % and 20 %.
    """
    network, injector = built(name, rate)
    trials = 1 if name == "PyTorchFI" else TRIALS
    assert_binomial(flips(injector, trials), trials * network.bits, rate, name)


def test_mrfi_loses_what_is_flipped_twice():
    """(1 - exp(-8 p)) / 8: no more than one flip in a weight; 2 % is nine standard deviations here."""
    network, injector = built("MRFI", 0.1)
    assert flips(injector) / (TRIALS * network.bits) == pytest.approx((1 - math.exp(-0.8)) / 8, rel=0.02)


def test_the_flips_of_a_mask_are_in_the_weights_that_are_evaluated():
    network = Network()
    mask = np.random.default_rng(0).integers(0, 256, network.codes.size).astype(np.uint8) * (network.codes % 3 == 0)
    masks = Masks(network, lambda: mask)
    assert masks.trial(0) < network.workload.scoring.clean_by_group.sum()
    assert masks.flipped() == sum(int(code).bit_count() for code in mask)
    weights = torch.cat([network.module.get_parameter(group.name).ravel() for group in network.stored.groups]).numpy()
    read = zip(network.stored.groups, _split(network, network.codes ^ mask), strict=True)
    values = [group.codec.values[codes] for group, codes in read]
    np.testing.assert_array_equal(weights, np.concatenate(values))


def test_without_flips_every_injector_finds_the_quantised_network():
    network = Network()
    network.load(network.codes)
    assert network.correct() == network.workload.score_by_group(network.stored.clean_weights()).sum()


def test_a_peer_that_is_not_installed_keeps_its_row_and_says_so(monkeypatch):
    monkeypatch.setattr(peers, "TRIALS", 2)
    monkeypatch.setitem(sys.modules, "mrfi", None)
    before = torch.get_num_threads()
    section = peers.section(["ours", "numpy, packed digits", "MRFI"])
    assert [row[0] for row in section.rows] == ["ours", "numpy, packed digits", "MRFI"]
    assert {len(row) for row in section.rows} == {len(section.header)}
    assert section.rows[2][1] == "not installed"
    assert "Not installed: MRFI." in section.markdown()
    assert torch.get_num_threads() == before


def test_an_unknown_peer_is_named():
    with pytest.raises(SystemExit, match="unknown peer nobody"):
        peers.main(["nobody"])


def _split(network, flat):
    return np.split(flat, np.cumsum([group.words.size for group in network.stored.groups])[:-1])
