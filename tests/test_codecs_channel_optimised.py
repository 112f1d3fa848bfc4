"""The store chosen for the channel, against enumeration of words and flips, published figures and drawn flips."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import FlipDrawing, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs import codebook as books
from qtaml_codesign.codecs import kernels
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised, design
from qtaml_codesign.codecs.codebook import Codebook, Source, design_codebook
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from tests.in_memory import uniform

GAUSSIAN = Source.gaussian(2**12)
LAWS = {
    "even": uniform(0.1, BitFormat(6)),
    "one cell": uniform(0.2, BitFormat(1)),
    "charge loss": CellLaw("default", BitFormat(6), 0.15, 0.0),
    "by plane": CellLaw("default", BitFormat(5), np.linspace(0.01, 0.3, 5), np.linspace(0.2, 0.0, 5)),
    "eight": CellLaw("default", BitFormat(8), 0.1, 0.05),
}
ROUNDING = 2.0**-24
"""Largest relative error of a number that is rounded to float32."""
WEIGHTS = np.random.default_rng(3).standard_t(6, (6, 200)) * np.geomspace(0.01, 1.0, 6)[:, None] + 0.3


def enumerated(law: CellLaw) -> np.ndarray:
    """P(read | stored), every word under every flip pattern."""
    bits = law.format.bits
    found = np.empty((2**bits, 2**bits))
    for stored, read in itertools.product(range(2**bits), repeat=2):
        rates = [law.one_to_zero[i] if stored >> i & 1 else law.zero_to_one[i] for i in range(bits)]
        found[stored, read] = math.prod(
            rate if (stored ^ read) >> i & 1 else 1.0 - rate for i, rate in enumerate(rates)
        )
    return found


def by_hand(codec: ChannelOptimised, words: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Table, scale and mean of each row, in float32 as a memory does it."""
    rows = codec.values[words].reshape(len(codec.mean), -1)
    read = rows * np.array(codec.scale, np.float32)[:, None] + np.array(codec.mean, np.float32)[:, None]
    return read.reshape(shape)


def slow_errors(book: Codebook, numbers: np.ndarray, law: CellLaw) -> np.ndarray:
    """(numbers, words) expected squared error of every number in every word."""
    return (numbers[:, None] - np.array(book.table)) ** 2 @ enumerated(law).T


@pytest.fixture(scope="module", params=LAWS)
def case(request: pytest.FixtureRequest) -> tuple[Codebook, CellLaw]:
    law = LAWS[request.param]
    return design_codebook(GAUSSIAN, law), law


def test_no_word_has_a_smaller_expected_error_than_the_one_that_is_written(case: tuple[Codebook, CellLaw]) -> None:
    book, law = case
    numbers = np.random.default_rng(0).normal(0.0, 2.0, 500)
    costs = slow_errors(book, numbers, law)
    found = costs[np.arange(500), book.encode(numbers)]
    np.testing.assert_allclose(found, costs.min(axis=1), rtol=1e-10, atol=0)
    np.testing.assert_allclose(book.errors(numbers, law), found, rtol=1e-10, atol=0)


def test_a_number_on_a_threshold_costs_the_same_on_both_sides(case: tuple[Codebook, CellLaw]) -> None:
    book, law = case
    costs, pairs = slow_errors(book, np.array(book.thresholds), law), itertools.pairwise(book.words)
    for cost, (below, above) in zip(costs, pairs, strict=True):
        assert cost[below] == pytest.approx(cost[above], rel=1e-8)
    assert book.encode(np.array(book.thresholds)).tolist() == list(book.words[1:])


def test_the_table_is_the_posterior_mean_of_what_is_written(case: tuple[Codebook, CellLaw]) -> None:
    """Bayes by hand over atoms, words and flips.

    A table x in place of the posterior mean m costs sum_r P(r) (x_r - m_r)^2 more; the design ends when a round gains
    less than 1e-12 of the error, of which this is a part.
    """
    book, law = case
    mass, matrix = np.diff(GAUSSIAN.mass), enumerated(law)
    received = matrix[book.encode(GAUSSIAN.points)] * mass[:, None]
    chances = received.sum(axis=0)
    excess = chances @ (np.array(book.table) - GAUSSIAN.points @ received / chances) ** 2
    assert excess <= 1e-12 * book.distortion(GAUSSIAN, law)
    drawn = slow_errors(book, GAUSSIAN.points, law)[np.arange(mass.size), book.encode(GAUSSIAN.points)]
    assert book.distortion(GAUSSIAN, law) == pytest.approx(drawn @ mass + 1.0 - mass @ GAUSSIAN.points**2, rel=1e-12)


def test_every_round_lowers_the_error_and_no_start_ends_above_itself(case: tuple[Codebook, CellLaw]) -> None:
    book, law = case
    cells = books.cell_matrices(law)
    channel = (cells, cells.swapaxes(1, 2).copy(), *GAUSSIAN)
    best = book.distortion(GAUSSIAN, law)
    for seed in range(5):
        table = np.random.default_rng(seed).normal(size=law.format.code_count)
        begun = books.codebook_of(table, law).distortion(GAUSSIAN, law)
        errors = [begun, *(kernels.alternate(table, *channel, 1, 0.0) for _ in range(30))]
        assert (np.diff(errors) <= 1e-12).all()
        assert best <= 1.01 * errors[-1]


@pytest.mark.parametrize(("cells", "published"), [(4, 0.2585), (6, 0.1667), (8, 0.1075)])
def test_a_gaussian_source_at_one_flip_in_ten_is_held_as_well_as_published(cells: int, published: float) -> None:
    """Four digits, cut off: no start of 20 000 at random ends below 0.25857 at 4 cells, of 4 000 below 0.16673 at 6."""
    law = uniform(0.1, BitFormat(cells))
    error = design_codebook(Source.gaussian(), law).distortion(Source.gaussian(), law)
    assert math.floor(1e4 * error) / 1e4 <= published


def test_changes_of_words_find_what_no_start_does() -> None:
    """One flip in a hundred, 8 cells: the best start ends above 0.0080, and a search of 1 500 changes at 0.0065."""
    law = uniform(0.01, BitFormat(8))
    assert design_codebook(GAUSSIAN, law).distortion(GAUSSIAN, law) < 0.0078


def test_two_cells_of_a_gaussian_source_by_hand() -> None:
    """One cell: the sign, E|w| = sqrt(2/pi), read with 1 - 2p. At rate 0 four levels of Max (1960): 0.1175."""
    for rate in (0.0, 0.1, 0.3):
        law = uniform(rate, BitFormat(1))
        error = design_codebook(GAUSSIAN, law).distortion(GAUSSIAN, law)
        assert error == pytest.approx(1.0 - (1.0 - 2.0 * rate) ** 2 * 2.0 / math.pi, rel=1e-6)
    quiet = uniform(0.0, BitFormat(2))
    assert design_codebook(GAUSSIAN, quiet).distortion(GAUSSIAN, quiet) == pytest.approx(0.11748, abs=1e-5)


def test_cells_that_say_nothing_read_the_mean() -> None:
    law = uniform(0.5, BitFormat(4))
    book = design_codebook(GAUSSIAN, law)
    assert np.abs(book.table).max() < 1e-12
    assert book.distortion(GAUSSIAN, law) == pytest.approx(1.0, rel=1e-12)


def test_more_cells_and_fewer_flips_lower_the_error() -> None:
    def error(cells: int, rate: float) -> float:
        law = uniform(rate, BitFormat(cells))
        return design_codebook(GAUSSIAN, law).distortion(GAUSSIAN, law)

    by_cells, by_rate = [error(cells, 0.05) for cells in range(1, 10)], [error(5, p) for p in (0.0, 0.01, 0.1, 0.3)]
    assert (np.diff(by_cells) < 0).all()
    assert (np.diff(by_rate) > 0).all()


def test_the_design_repeats_itself_and_takes_twelve_cells() -> None:
    law = uniform(0.1, BitFormat(7))
    assert design_codebook(GAUSSIAN, law, seed=4) == design_codebook(GAUSSIAN, law, seed=4)
    wide = uniform(0.1, BitFormat(12))
    assert design_codebook(Source.gaussian(2**8), wide).distortion(GAUSSIAN, wide) < 0.055
    with pytest.raises(InputError, match="so many cells"):
        design_codebook(GAUSSIAN, uniform(0.1, BitFormat(13)))


@pytest.mark.parametrize("name", LAWS)
def test_a_group_is_read_as_drawn_flips_say(name: str) -> None:
    """Squared error of 200 readings per row against the exact one: 6 standard errors of the mean over readings."""
    law = LAWS[name]
    codec = design(WEIGHTS, law)
    words, drawing, errors = codec.encode(WEIGHTS), FlipDrawing(law, flip_key(1, "w")), []
    for trial in range(200):
        read = by_hand(codec, drawing.draw(words.reshape(-1), trial)[0], WEIGHTS.shape)
        errors.append(((read - WEIGHTS) ** 2).sum(axis=1))
    found, expected = np.array(errors), codec.distortion(WEIGHTS, law)
    assert (np.abs(found.mean(axis=0) - expected) < 6.0 * found.std(axis=0) / math.sqrt(200)).all()
    assert (expected < 200 * WEIGHTS.var(axis=1)).all()


def test_rows_have_their_own_mean_and_scale_and_share_a_table() -> None:
    law = LAWS["eight"]
    codec = design(WEIGHTS, law)
    np.testing.assert_allclose(codec.mean, WEIGHTS.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(codec.scale, WEIGHTS.std(axis=1), rtol=1e-6)
    assert [row.tolist() for row in codec.readout] == [list(codec.scale), list(codec.mean)]
    assert (codec.cells, codec.metadata_bits, codec.values.shape) == (8.0, 32 * 12, (256,))
    assert codec.tables == {codec.codebook: 32 * 256}
    scaled = design(4.0 * WEIGHTS, law)
    assert np.array_equal(scaled.encode(4.0 * WEIGHTS), codec.encode(WEIGHTS))
    assert scaled.distortion(4.0 * WEIGHTS, law).tolist() == (16.0 * codec.distortion(WEIGHTS, law)).tolist()


def test_reading_through_the_memory_has_its_means_and_scales() -> None:
    law = LAWS["by plane"]
    codec = design(WEIGHTS, law)
    model = deploy({"w": WEIGHTS}, {"w": codec}, {"w": law})
    drawn = FlipDrawing(law, flip_key(5, "w")).draw(codec.encode(WEIGHTS).reshape(-1), 2)[0]
    read = model.prepare(5).read(2).weights["w"]
    np.testing.assert_array_equal(read.numpy(), by_hand(codec, drawn, WEIGHTS.shape))
    clean = by_hand(codec, codec.encode(WEIGHTS), WEIGHTS.shape)
    np.testing.assert_array_equal(model.clean_weights()["w"], clean)


def test_words_of_another_length_have_a_law_where_the_planes_are_alike() -> None:
    memory = CellLaw("default", BitFormat(4), 0.1, 0.05, ("w",), block=2)
    for cells in (2, 4, 6):
        found = design(WEIGHTS, uniform(0.1, BitFormat(cells))).cell_law(memory)
        assert found == CellLaw("default", BitFormat(cells), 0.1, 0.05, ("w",), block=2)
    by_plane = CellLaw("default", BitFormat(4), [0.1, 0.2, 0.3, 0.4], 0.05)
    assert design(WEIGHTS, by_plane).cell_law(by_plane) == by_plane
    with pytest.raises(InputError, match="planes of this memory differ"):
        design(WEIGHTS, uniform(0.1, BitFormat(2))).cell_law(by_plane)


def test_rows_that_count_more_are_held_better() -> None:
    """Two kinds of rows, two values or normal: the table follows the rows that count."""
    random, law = np.random.default_rng(2), uniform(0.02, BitFormat(3))
    rows = np.concatenate([random.choice([-1.0, 1.0], (4, 300)), random.normal(size=(4, 300))])
    two, normal = np.repeat([1.0, 0.0], 4), np.repeat([0.0, 1.0], 4)
    errors = {name: design(rows, law, weight).distortion(rows, law) for name, weight in
              (("two", two), ("normal", normal), ("none", None))}
    assert errors["two"][:4].sum() < errors["none"][:4].sum() < errors["normal"][:4].sum()
    assert errors["normal"][4:].sum() < errors["none"][4:].sum() < errors["two"][4:].sum()


@pytest.mark.parametrize("weights", [
    np.full((3, 4), 0.1), np.zeros(7), np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 4.0]]), np.array([2.5]),
    np.random.default_rng(1).normal(size=10), np.full(5, 1e-30), np.array([[1e30, -1e30]]),
])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_small_and_constant_groups(weights: np.ndarray, rate: float) -> None:
    """Never worse than the mean of the row, which constant rows read to the precision of float32.

    Without flips every weight is read but for three roundings: table, scale x table, and the sum with the mean.
    """
    law = uniform(rate, BitFormat(8))
    codec = design(weights, law)
    rows = weights.reshape(len(codec.mean), -1)
    assert (codec.distortion(weights, law) <= rows.var(axis=1) * rows.shape[1] * (1 + 1e-6)).all()
    read = by_hand(codec, np.random.default_rng(0).integers(0, 256, weights.shape), rows.shape)
    constant = rows.min(axis=1) == rows.max(axis=1)
    np.testing.assert_allclose(read[constant], rows[constant], rtol=1.001 * ROUNDING, atol=0)
    if rate == 0.0:
        clean = by_hand(codec, codec.encode(weights), rows.shape)
        mean = np.array(codec.mean)[:, None]
        assert (np.abs(clean - rows) <= 3.001 * ROUNDING * (np.abs(rows - mean) + np.abs(mean))).all()


def test_json_and_equality_keep_every_number() -> None:
    codec = design(WEIGHTS, LAWS["charge loss"])
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    assert (again, hash(again), codec.to_json()["codec"]) == (codec, hash(codec), "channel-optimised")
    assert np.array_equal(again.encode(WEIGHTS), codec.encode(WEIGHTS))
    other = ChannelOptimised(codec.codebook, codec.mean, tuple(2.0 * scale for scale in codec.scale))
    assert len({codec, again, other}) == 2


@pytest.mark.parametrize(("action", "message"), [
    (lambda: design(np.array([1.0, np.nan]), LAWS["even"]), "not a finite number"),
    (lambda: design(np.zeros((0, 3)), LAWS["even"]), "no weights"),
    (lambda: design(WEIGHTS, LAWS["even"], [1.0, 2.0]), "importance"),
    (lambda: design(WEIGHTS, LAWS["even"], [-1.0] * 6), "importance"),
    (lambda: design(WEIGHTS, LAWS["one cell"]).encode(WEIGHTS[:3]), "do not fit the rows"),
    (lambda: ChannelOptimised(design(WEIGHTS, LAWS["one cell"]).codebook, (), ()), "rows of a store"),
    (lambda: ChannelOptimised(design(WEIGHTS, LAWS["one cell"]).codebook, (0.0,), (-1.0,)), "rows of a store"),
    (lambda: Codebook(BitFormat(1), (0.0, 1.0), (0, 1), ()), "does not fit its words"),
    (lambda: Codebook(BitFormat(1), (0.0, np.nan), (0,), ()), "does not fit its words"),
    (lambda: Codebook(BitFormat(1), (0.0, 1.0), (0, 2), (0.0,)), "does not fit its words"),
])
def test_what_cannot_be_held_is_refused(action, message: str) -> None:
    with pytest.raises(InputError, match=message):
        action()
