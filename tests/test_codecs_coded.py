"""Stores under a real code: what is drawn is what decoding leaves, word by word, and cells are counted in full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised, design
from qtaml_codesign.codecs.coded import Coded, DecodedWords, FailedWords
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.ecc.code import FlipRates
from qtaml_codesign.ecc.family import named_code
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.tac.layers import StoredLayer
from tests.in_memory import uniform

FORM = BitFormat(4)
WEIGHTS = np.random.default_rng(8).normal(size=(20, 100)).astype(np.float32)
WORDS: ChannelOptimised = design(WEIGHTS, uniform(0.001, FORM))
REPETITION = Coded(WORDS, "repetition-3", 0.1, 0.1, 0.028, 1.0)
KEY = flip_key(4, "w")


def wrong_bits(drawing: FailedWords | DecodedWords, words: np.ndarray, trials: int) -> np.ndarray:
    """(trials, n, B) which bits are read wrong."""
    planes = np.arange(4)
    return np.array([(drawing.draw(words, trial)[0] ^ words)[:, None] >> planes & 1 for trial in range(trials)])


@pytest.mark.parametrize(("name", "rate"), [("repetition-3", 0.1), ("hamming-7-4", 0.05), ("secded-39-32", 0.02)])
def test_decoding_leaves_what_the_closed_form_says(name: str, rate: float) -> None:
    """Bit error rate over 64,000 bits in 8 trials; false alarm 1e-6 at 5 standard errors of whole codewords."""
    code = named_code(name)
    exact = code.closed_form(FlipRates(rate, rate))
    words = np.random.default_rng(0).integers(0, 16, 2000).astype(np.uint8)
    wrong = wrong_bits(DecodedWords(code, FORM, FlipRates(rate, rate), KEY), words, 8)
    assert exact is not None
    by_word = wrong.reshape(8, -1)[:, : wrong[0].size // code.k * code.k].reshape(-1, code.k).mean(axis=1)
    assert abs(by_word.mean() - exact.bit) < 5 * by_word.std() / np.sqrt(by_word.size)
    assert abs((by_word > 0).mean() - exact.word) < 5 * np.sqrt(exact.word / by_word.size)


def test_without_flips_every_code_gives_the_words_back() -> None:
    words = np.random.default_rng(1).integers(0, 16, 777).astype(np.uint8)
    for name in ("repetition-5", "hamming-15-11", "secded-72-64", "bch-63-45-3", "ldpc-9600-4416"):
        read, wrong = DecodedWords(named_code(name), FORM, FlipRates(0.0, 0.0), KEY).draw(words, 0)
        assert np.array_equal(read, words)
        assert not wrong.any()


def test_failures_that_are_drawn_come_word_by_word() -> None:
    """64 data bits to a codeword: 16 weights of 4 bits; half of the bits of a failed one are wrong."""
    words = np.zeros(16_000, np.uint8)
    wrong = wrong_bits(FailedWords(64, FORM, 0.01, 0.5, KEY), words, 20).reshape(20, 1000, 64)
    failed = wrong.any(axis=2)
    assert abs(failed.mean() - 0.01) < 5 * np.sqrt(0.01 / failed.size)
    assert abs(wrong[failed].mean() - 0.5) < 5 * np.sqrt(0.25 / wrong[failed].size)
    planes = FailedWords(64, FORM, 0.01, 0.5, KEY).draw(words, 3)[1]
    assert planes.tolist() == wrong[3].reshape(-1, 4).sum(axis=0).tolist()


def test_drawings_hang_on_key_and_trial_alone_and_nest_over_the_rate() -> None:
    words = np.zeros(4000, np.uint8)
    one, many = (FailedWords(32, FORM, rate, 1.0, KEY) for rate in (0.02, 0.2))
    assert np.array_equal(one.draw(words, 5)[0], one.draw(words, 5)[0])
    assert not np.array_equal(one.draw(words, 5)[0], one.draw(words, 6)[0])
    few, more = (drawing.draw(words, 5)[0] != 0 for drawing in (one, many))
    assert (few <= more).all()
    assert few.sum() < more.sum()


def test_the_memory_counts_raw_cells_and_residual_flips() -> None:
    model = deploy({"w": WEIGHTS}, {"w": REPETITION}, {"w": uniform(0.1, BitFormat(8))})
    assert (model.bits_stored, model.bits_exposed) == (24_000, 8_000)
    assert model.expected_flips == pytest.approx(8_000 * 0.028, rel=1e-12)
    reader = model.prepare(0)
    flips = np.array([reader.read(trial).bits_flipped for trial in range(100)])
    assert abs(flips.mean() - 224.0) < 5 * np.sqrt(224.0 / 100)
    clean = deploy({"w": WEIGHTS}, {"w": WORDS}, {"w": uniform(0.1, BitFormat(8))}).clean_weights()["w"]
    np.testing.assert_array_equal(model.clean_weights()["w"], clean)


def test_it_holds_at_the_rates_it_was_measured_for_alone_unless_it_decodes() -> None:
    laws = {"w": uniform(0.09, BitFormat(8))}
    with pytest.raises(InputError, match="for which the plan was made"):
        deploy({"w": WEIGHTS}, {"w": REPETITION}, laws)
    decoding = replace(REPETITION, decode=True)
    reader = deploy({"w": WEIGHTS}, {"w": decoding}, laws).prepare(0)
    flips = np.array([reader.read(trial).bits_flipped for trial in range(30)])
    left = 8_000 * (3 * 0.09**2 - 2 * 0.09**3)
    assert abs(flips.mean() - left) < 5 * np.sqrt(left / 30)
    with pytest.raises(InputError, match="flip on their own"):
        REPETITION.cell_law(replace(uniform(0.1, BitFormat(8)), block=2))
    with pytest.raises(InputError, match="flip on their own"):
        REPETITION.cell_law(replace(uniform(0.1, BitFormat(8)), spread=0.5))


def test_charge_loss_is_decoded_in_its_own_direction() -> None:
    """Cells that lose their charge turn ones into zeros: a stored zero word comes back whole."""
    law = CellLaw("default", BitFormat(8), np.full(8, 0.3), np.zeros(8))
    drawing = replace(REPETITION, decode=True).drawing(law, KEY)
    assert drawing is not None
    assert not drawing.draw(np.zeros(500, np.uint8), 0)[1].any()
    assert drawing.draw(np.full(500, 15, np.uint8), 0)[1].all()


def test_it_survives_json_and_refuses_rates_that_are_none() -> None:
    assert codec_from_json(REPETITION.to_json()) == REPETITION
    assert codec_from_json(replace(REPETITION, decode=True).to_json()).decode
    with pytest.raises(InputError, match="word_error_rate"):
        replace(REPETITION, word_error_rate=1.5)
    with pytest.raises(InputError, match="code"):
        replace(REPETITION, code="repetition-4")


def test_a_plan_counts_the_checks_of_the_codeword_that_is_not_full() -> None:
    """100 weights x 4 bits = 400 data bits in words of 64: seven codewords of 72 cells, whatever tensor they end in."""
    secded = Coded(WORDS, "secded-72-64", 0.01, 0.01, 1e-3, 0.05)
    plan = qc.plan("small-cnn", "none", 0.01)
    held = ByGroups((((0,), WORDS), ((1,), secded)))
    layers = tuple(StoredLayer(name=name, weights=weights, jacobian_gain=None, score=None, codec=codec)
                   for name, weights, codec in (("a", 60, secded), ("b", 80, held)))
    found = plan.model_copy(update={"layers": layers})
    assert held.cells == (4.0 + 4.5) / 2
    assert found.stored_bits == pytest.approx(7 * 64 + 7 * 8 - (7 * 64 - 400) + 160)
    assert found.cells_per_weight == pytest.approx((400 + 56 + 160) / 140)
