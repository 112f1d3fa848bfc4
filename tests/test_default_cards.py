"""Cards that switch nothing on: their content and results are those from before there was anything to switch on.

`default_cards.json` was written by the program as it stood then (version control: 8af3e57), nine thicknesses for each
shipped card from p_flip = 0.4 to 1e-12. On the machine that wrote it the same bits come out. Other machines may round
exp and log differently by an ulp or fuse a product and a sum, and the tail of many electrons magnifies that: a relative
error e of the escape probability is one of (k_th + 1) e in p_flip, and one of e' in the action S is S e' in the escape
probability. So the stored numbers are held to as many ulp as these factors make of a few, and what must be the same
bits on every machine (content of a card; two ways through the same arithmetic) is compared by its bits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.escape import escape_logs, log_flips

HERE = Path(__file__).parent
KEPT: dict[str, Any] = json.loads((HERE / "default_cards.json").read_text(encoding="utf-8"))
GOLDEN: dict[str, Any] = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
EPSILON = float(np.finfo(np.float64).eps)
FEW = 8.0

every_card = pytest.mark.parametrize("name", KEPT)


def thicknesses_nm(name: str) -> np.ndarray:
    """From p_flip = 0.4 to 1e-12."""
    ends = [float(thickness) for thickness in GOLDEN[name]["d_at"].values()]
    return np.linspace(min(ends), max(ends), 9)


def kept(name: str, key: str) -> np.ndarray:
    return np.array([float.fromhex(number) for number in KEPT[name][key]])


def test_every_shipped_card_is_held() -> None:
    assert set(KEPT) == set(qc.list_cards())


@every_card
def test_the_content_of_a_card_is_the_same_bytes(name: str) -> None:
    content = json.dumps(qc.load_card(name).to_dict(), sort_keys=True)
    assert hashlib.sha256(content.encode()).hexdigest() == KEPT[name]["card_sha256"]


@every_card
def test_flip_probabilities_are_those_of_before(name: str) -> None:
    card = qc.load_card(name)
    found, cell = qc.flip_probability(card, thicknesses_nm(name)), card.resolve()
    magnified = FEW * EPSILON * (cell.flip_threshold + 1.0) * (1.0 + cell.barrier.action(thicknesses_nm(name)))
    for log_found, before, share in ((found.log_probability, kept(name, "log_flip"), 1.0),
                                     (found.log_complement, kept(name, "log_no_flip"),
                                      np.exp(kept(name, "log_flip") - kept(name, "log_no_flip")))):
        assert np.all(np.abs(log_found - before) <= magnified * share + FEW * EPSILON * np.abs(before))


@every_card
def test_nothing_stands_between_the_barrier_and_the_tail(name: str) -> None:
    """Bit for bit: the chain of a card is 2 kappa d and the binomial tail, called by hand."""
    card, thickness_nm = qc.load_card(name), thicknesses_nm(name)
    cell = card.resolve()
    found, action = qc.flip_probability(card, thickness_nm), 2.0 * cell.barrier.decay_per_nm * thickness_nm
    by_hand = escape_logs(action, cell.attempts, cell.electrons, cell.flip_threshold)
    assert found.log_probability.tobytes() == by_hand.log_flip.tobytes()
    assert found.log_complement.tobytes() == by_hand.log_no_flip.tobytes()
    alone = log_flips(action, cell.attempts, cell.electrons, cell.flip_threshold)
    assert log_flip(cell, thickness_nm).tobytes() == alone.tobytes()
