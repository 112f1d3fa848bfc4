"""Stores under a real code: what is drawn is what decoding leaves, word by word, and cells are counted in full."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised, design
from qtaml_codesign.codecs.codebook import Source
from qtaml_codesign.codecs.coded import Coded
from qtaml_codesign.codecs.codewords import Codewords, DecodedWords, FailedWords
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.ecc.code import FlipRates
from qtaml_codesign.ecc.family import RatedCode, named_code
from qtaml_codesign.ecc.residual import WordCounts, measure
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.memory.stored import shared_codewords
from qtaml_codesign.report.costs import cost_lines
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.ways import SOURCE_ATOMS, coded_way, gaussian_codebook
from tests.in_memory import uniform

FORM = BitFormat(4)
WEIGHTS = np.random.default_rng(8).normal(size=(20, 100)).astype(np.float32)
WORDS: ChannelOptimised = design(WEIGHTS, uniform(0.001, FORM))
REPETITION = Coded(WORDS, "repetition-3", 0.1, 0.1, 0.028, 1.0)
SECDED = Coded(WORDS, "secded-72-64", 0.01, 0.01, 0.03, 0.05, measured=WordCounts(2000, 60, 190, 2, 0.9))
KEY = flip_key(4, "w")


def half(rate: float) -> FlipRates:
    return FlipRates(rate, rate)


def wrong_bits(codewords: Codewords, data: NDArray[np.uint8], trials: int) -> NDArray[np.bool_]:
    """(trials, T) which data bits are read wrong."""
    wrong = np.zeros((trials, data.size), np.bool_)
    for trial in range(trials):
        wrong[trial, codewords.wrong(data, KEY, trial)] = True
    return wrong


@pytest.mark.parametrize(("name", "rate"), [("repetition-3", 0.1), ("hamming-7-4", 0.05), ("secded-39-32", 0.02)])
def test_decoding_leaves_what_the_closed_form_says(name: str, rate: float) -> None:
    """Bit error rate over 64,000 bits in 8 trials; false alarm 1e-6 at 5 standard errors of whole codewords."""
    code = named_code(name)
    exact = code.closed_form(half(rate))
    data = np.random.default_rng(0).integers(0, 2, 8000).astype(np.uint8)
    wrong = wrong_bits(DecodedWords(name, half(rate)), data, 8)
    assert exact is not None
    by_word = wrong[:, : data.size // code.k * code.k].reshape(-1, code.k).mean(axis=1)
    assert abs(by_word.mean() - exact.bit) < 5 * by_word.std() / np.sqrt(by_word.size)
    assert abs((by_word > 0).mean() - exact.word) < 5 * np.sqrt(exact.word / by_word.size)


def test_without_flips_every_code_gives_the_words_back() -> None:
    data = np.random.default_rng(1).integers(0, 2, 777).astype(np.uint8)
    for name in ("repetition-5", "hamming-15-11", "secded-72-64", "bch-63-45-3", "ldpc-9600-4416"):
        assert not DecodedWords(name, half(0.0)).wrong(data, KEY, 0).size


def test_failures_that_are_drawn_come_word_by_word() -> None:
    """64 data bits to a codeword; half of the bits of a failed one are wrong."""
    wrong = wrong_bits(FailedWords("secded-72-64", half(0.01), 0.01, 0.5), np.zeros(64_000, np.uint8), 20)
    by_word = wrong.reshape(20, 1000, 64)
    failed = by_word.any(axis=2)
    assert abs(failed.mean() - 0.01) < 5 * np.sqrt(0.01 / failed.size)
    assert abs(by_word[failed].mean() - 0.5) < 5 * np.sqrt(0.25 / by_word[failed].size)


def test_drawings_hang_on_key_and_trial_alone_and_nest_over_the_rate() -> None:
    data = np.zeros(16_000, np.uint8)
    one, many = (FailedWords("secded-39-32", half(0.01), rate, 1.0) for rate in (0.02, 0.2))
    assert np.array_equal(one.wrong(data, KEY, 5), one.wrong(data, KEY, 5))
    assert not np.array_equal(one.wrong(data, KEY, 5), one.wrong(data, KEY, 6))
    few, more = (set(drawing.wrong(data, KEY, 5).tolist()) for drawing in (one, many))
    assert few < more


def test_a_shortened_word_has_no_cells_that_nobody_needs() -> None:
    """One data bit and 8 checks of a SECDED word: against all 2^9 ways in which they flip; 5 standard errors.

    With all 72 cells the bit would be wrong three times as often.
    """
    code, rate, trials = named_code("secded-72-64"), 0.05, 3000
    flips = np.zeros((512, 72), np.uint8)
    flips[:, [0, *range(64, 72)]] = np.arange(512)[:, None] >> np.arange(9) & 1
    ones = flips.sum(axis=1)
    exact = float((code.decode(flips, rate).bits[:, 0] * rate**ones * (1 - rate) ** (9 - ones)).sum())
    wrong = wrong_bits(DecodedWords("secded-72-64", half(rate)), np.zeros(1, np.uint8), trials).mean()
    assert abs(wrong - exact) < 5 * np.sqrt(exact / trials)
    assert FailedWords("hamming-7-4", half(0.1), 0.1, 0.1).cells(9) == 9 + 3 * 3


def in_two_tensors(codec: Coded, law: CellLaw) -> DeployedModel:
    """A tensor of 7 rows and rows of another under one code, beside rows without one."""
    words = {name: replace(codec, words=design(rows, uniform(0.001, FORM))) for name, rows in
             (("a", WEIGHTS[:7]), ("b", WEIGHTS[7:9]))}
    held = ByGroups((((0, 2), words["b"]), ((1,), design(WEIGHTS[9:10], law))))
    return deploy({"a": WEIGHTS[:7], "b": WEIGHTS[7:10]}, {"a": words["a"], "b": held}, {"a": law, "b": law})


def test_codewords_run_on_from_tensor_to_tensor() -> None:
    """7 x 100 weights x 4 bits are 43.75 words of 64: the last one of the first tensor holds 16 bits of the second.

    Where all bits of a lost word are wrong, the first tensor has 48 wrong ones over in each reading that loses it, and
    the second one 16 that it has not otherwise; its own last word holds 16 too.
    """
    law = uniform(0.01, BitFormat(8))
    model = in_two_tensors(replace(SECDED, word_error_rate=0.2, damage=1.0), law)
    (shared,) = shared_codewords(model.groups)
    assert [group.key for group in shared.groups] == ["a", "b[0]"]
    reader = model.prepare(3)
    first = np.array([[reader.read(trial).flips_by_plane[key].sum() for key in ("a", "b[0]")] for trial in range(60)])
    lost_last = first[:, 0] % 64 == 48
    assert (first[:, 0] % 64)[~lost_last].sum() == 0
    assert 0 < lost_last.sum() < 60
    assert set(first[lost_last, 1] % 64) <= {16, 32}
    assert set(first[~lost_last, 1] % 64) <= {0, 16}


def test_cells_of_the_memory_are_those_of_the_plan() -> None:
    """3,600 data bits under the code in 57 words of 8 checks; 100 weights of 8 cells without one."""
    law = uniform(0.01, BitFormat(8))
    model = in_two_tensors(SECDED, law)
    (shared,) = shared_codewords(model.groups)
    alone = [group for group in model.groups if group.codewords is None]
    assert shared.cells == 3600 + 57 * 8
    assert model.bits_stored == shared.cells + sum(group.bits_stored for group in alone)


@pytest.mark.parametrize("decode", [False, True])
def test_a_tensor_alone_and_beside_another_reads_the_words_that_its_codewords_hold(decode: bool) -> None:
    """What is read is the stored words with the wrong data bits turned, by hand: bit i of weight w is bit 4 w + i."""
    codec = replace(SECDED, one_to_zero=0.02, zero_to_one=0.02, word_error_rate=0.3, damage=0.3, decode=decode)
    model = in_two_tensors(codec, uniform(0.02, BitFormat(8)))
    (shared,) = shared_codewords(model.groups)
    words = np.concatenate([group.words.reshape(-1) for group in shared.groups])
    data = np.array([word >> plane & 1 for word in words.tolist() for plane in range(4)], np.uint8)
    read = np.concatenate([part.reshape(-1) for part in shared.read(KEY, 2)])
    found = np.array([word >> plane & 1 for word in read.tolist() for plane in range(4)], np.uint8)
    assert np.flatnonzero(found ^ data).tolist() == shared.codewords.wrong(data, KEY, 2).tolist() != []


def test_codewords_of_two_regions_are_not_shared() -> None:
    """Cells that flip at other rates lie elsewhere; decoded under their own rates."""
    codec = replace(SECDED, decode=True)
    laws = {"a": uniform(0.01, BitFormat(8)), "b": uniform(0.02, BitFormat(8))}
    model = deploy({"a": WEIGHTS, "b": WEIGHTS}, {"a": codec, "b": codec}, laws)
    assert [len(shared.groups) for shared in shared_codewords(model.groups)] == [1, 1]
    assert [shared.codewords.rates for shared in shared_codewords(model.groups)] == [half(0.01), half(0.02)]


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


def charge_loss(rate: float) -> CellLaw:
    return CellLaw("default", BitFormat(8), np.full(8, rate), np.zeros(8))


def test_charge_loss_is_decoded_in_its_own_direction() -> None:
    """Cells that lose their charge turn ones into zeros: a stored zero comes back whole."""
    codewords = replace(REPETITION, decode=True).codewords(charge_loss(0.3))
    assert codewords is not None
    assert not codewords.wrong(np.zeros(500, np.uint8), KEY, 0).size
    assert codewords.wrong(np.ones(500, np.uint8), KEY, 0).size


@pytest.mark.parametrize(("down", "up"), [(0.3, 0.0), (0.2, 0.05), (0.1, 0.1)])
def test_repetition_leaves_other_rates_of_ones_than_of_zeros(down: float, up: float) -> None:
    """Against all 2^3 ways in which three cells flip, weighed by hand; the likelier value is read."""
    law = CellLaw("default", BitFormat(8), np.full(8, down), np.full(8, up))
    exact = {0: 0.0, 1: 0.0}
    for stored, flips in itertools.product((0, 1), itertools.product((0, 1), repeat=3)):
        rate = down if stored else up
        read = sum(stored ^ flip for flip in flips)
        likely = {value: np.prod([(down if value else up) if seen != value else 1 - (down if value else up)
                                  for seen in [1] * read + [0] * (3 - read)]) for value in (0, 1)}
        exact[stored] += (max(likely, key=lambda value: likely[value]) != stored) * rate ** sum(flips) * (
            1 - rate) ** (3 - sum(flips))
    codec = replace(REPETITION, one_to_zero=down, zero_to_one=up, word_error_rate=0.5 * (exact[0] + exact[1]))
    left = codec.residual(codec.cell_law(law))
    np.testing.assert_allclose(left.one_to_zero, exact[1], rtol=1e-12, atol=0)
    np.testing.assert_allclose(left.zero_to_one, exact[0], rtol=1e-12, atol=0)
    assert codec.codewords(law) is None


def test_repetition_under_charge_loss_is_drawn_as_it_is_decoded() -> None:
    """Wrong ones and wrong zeros of 40 readings, drawn and decoded; 5 standard errors of each, false alarm 1e-6."""
    law, exact = charge_loss(0.3), 0.3**3
    codec = replace(REPETITION, one_to_zero=0.3, zero_to_one=0.0, word_error_rate=exact / 2)
    words = codec.encode(WEIGHTS)
    ones = int(np.bitwise_count(words).sum())
    for held in (codec, replace(codec, decode=True)):
        reader = deploy({"w": WEIGHTS}, {"w": held}, {"w": law}).prepare(1)
        flips = sum(reader.read(trial).bits_flipped for trial in range(40))
        assert abs(flips / 40 / ones - exact) < 5 * np.sqrt(exact / 40 / ones)
    assert deploy({"w": WEIGHTS}, {"w": codec}, {"w": law}).expected_flips == pytest.approx(ones * exact, rel=1e-12)


def test_words_under_repetition_are_made_for_what_is_left_in_each_direction() -> None:
    """A table for the mean of both directions would lose more than this one under the flips that are left."""
    law = charge_loss(0.2)
    rated = RatedCode(named_code("repetition-3"), measure(named_code("repetition-3"), (0.0, 0.2), 10))
    way = coded_way(3, rated, rated, law.name)
    left = CellLaw("default", BitFormat(3), np.full(3, 0.008), np.zeros(3))
    mean = CellLaw("default", BitFormat(3), np.full(3, 0.004), np.full(3, 0.004))
    source = Source.gaussian(SOURCE_ATOMS)
    assert way.error == pytest.approx(gaussian_codebook(left)[0].distortion(source, left), rel=1e-12)
    assert way.error < gaussian_codebook(mean)[0].distortion(source, left)


def test_it_survives_json_and_refuses_rates_that_are_none() -> None:
    for codec in (REPETITION, SECDED, replace(SECDED, decode=True)):
        again = codec_from_json(json.loads(json.dumps(codec.to_json())))
        assert again == codec
        assert isinstance(again, Coded)
        assert (again.decode, again.measured) == (codec.decode, codec.measured)
    with pytest.raises(InputError, match="word_error_rate"):
        replace(REPETITION, word_error_rate=1.5)
    with pytest.raises(InputError, match="code"):
        replace(REPETITION, code="repetition-4")


def test_a_plan_of_an_earlier_version_has_no_counts() -> None:
    """It says neither what was decoded nor how codewords are filled."""
    old = {name: value for name, value in SECDED.to_json().items() if name not in ("measured", "codewords")}
    assert codec_from_json(old) == replace(SECDED, measured=None)
    with pytest.raises(InputError, match="no counts of decoded words"):
        codec_from_json(old | {"measured": {"words": 5, "wrong": 6, "wrong_bits": 6, "reported": 0, "share": 1.0}})


def plan_with(*layers: tuple[str, int, Coded | ByGroups]) -> qc.TacPlan:
    stored = tuple(StoredLayer(name=name, weights=weights, jacobian_gain=None, score=None, codec=codec)
                   for name, weights, codec in layers)
    return qc.plan("small-cnn", "none", 0.01).model_copy(update={"layers": stored})


def test_a_plan_counts_the_checks_of_the_codeword_that_is_not_full() -> None:
    """100 weights x 4 bits = 400 data bits in words of 64: seven codewords of 72 cells, whatever tensor they end in."""
    held = ByGroups((((0,), WORDS), ((1,), SECDED)))
    found = plan_with(("a", 60, SECDED), ("b", 80, held))
    assert held.cells == (4.0 + 4.5) / 2
    assert found.stored_bits == pytest.approx(7 * 64 + 7 * 8 - (7 * 64 - 400) + 160)
    assert found.cells_per_weight == pytest.approx((400 + 56 + 160) / 140)


def test_codewords_at_other_rates_end_on_their_own() -> None:
    """Twice 40 weights x 4 bits in words of 64: three codewords each, not five in all."""
    elsewhere = replace(SECDED, one_to_zero=0.02, zero_to_one=0.02)
    assert plan_with(("a", 40, SECDED), ("b", 40, SECDED)).stored_bits == pytest.approx(320 + 5 * 8)
    assert plan_with(("a", 40, SECDED), ("b", 40, elsewhere)).stored_bits == pytest.approx(320 + 6 * 8)


def test_a_plan_tells_how_many_words_were_decoded_and_the_interval() -> None:
    law = uniform(0.01, BitFormat(8))
    low, high = (0.9 * end for end in (0.0230, 0.0385))  # of 60 in 2,000, by tables
    bch = replace(SECDED, code="bch-63-45-3")
    (line,) = [line for line in cost_lines(plan_with(("a", 60, bch)), law) if line.startswith("code:")]
    assert f"0.03 of its words are lost at this flip probability (60 of 2000 decoded; 95 % interval [{low:.2g}, " \
           f"{high:.2g}])" in line
    (line,) = [line for line in cost_lines(plan_with(("a", 60, REPETITION)), law) if line.startswith("code:")]
    assert line.endswith("0.028 of its words are lost at this flip probability (exactly)")
    (line,) = [line for line in cost_lines(plan_with(("a", 60, replace(bch, measured=None))), law)
               if line.startswith("code:")]
    assert line.endswith("at this flip probability")
