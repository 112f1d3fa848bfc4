"""LDPC codes: codewords against the checks, belief propagation against exact posteriors and against another program."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from scipy import sparse

from qtaml_codesign.ecc import kernels
from qtaml_codesign.ecc.ldpc import Ldpc
from qtaml_codesign.ecc.residual import measure
from qtaml_codesign.errors import InputError

SMALL = Ldpc(600, 240)


@pytest.mark.parametrize("size", [(64, 8), (64, 63), (600, 240), (1200, 1038), (9600, 4368), (9600, 8304)])
def test_every_codeword_meets_every_check(size: tuple[int, int]) -> None:
    code = Ldpc(*size)
    data = np.random.default_rng(1).integers(0, 2, (20, code.k), dtype=np.uint8)
    words = code.encode(data)
    checks = code.parity_check().toarray().astype(np.int64)
    assert not (checks @ words.T % 2).any()
    assert (words[:, : code.k] == data).all()
    assert checks.shape == (code.n - code.k, code.n)


def test_the_generator_and_the_checks_are_orthogonal() -> None:
    generator = SMALL.encode(np.eye(SMALL.k, dtype=np.uint8)).astype(np.int64)
    checks = SMALL.parity_check().toarray().astype(np.int64)
    assert not (checks @ generator.T % 2).any()
    assert (generator[:, : SMALL.k] == np.eye(SMALL.k)).all()


def test_a_check_that_is_swapped_is_seen() -> None:
    """What the tests above would catch: two columns of the data swapped in the checks and not in the encoder."""
    checks = SMALL.parity_check().toarray().astype(np.int64)
    words = SMALL.encode(np.random.default_rng(1).integers(0, 2, (20, SMALL.k), dtype=np.uint8))
    checks[:, [0, 200]] = checks[:, [200, 0]]
    assert (checks @ words.T % 2).any()


@pytest.mark.parametrize("size", [(9600, 4368), (9600, 6144)])
def test_rows_are_filled_evenly_and_no_two_bits_share_two_rows(size: tuple[int, int]) -> None:
    checks = Ldpc(*size).parity_check().astype(np.int64)
    in_rows = np.diff(checks.indptr)
    assert in_rows.max() - in_rows.min() <= 1
    shared = sparse.triu(checks.T @ checks, k=1)
    assert shared.max() == 1


def test_the_graph_of_a_size_never_changes() -> None:
    """Kept laws are laws of this graph: whoever changes it changes what every plan with this code means."""
    graph = SMALL.parity_check().toarray().tobytes()
    assert hashlib.blake2b(graph, digest_size=8).hexdigest() == "acf437d8c484a7dd"


def one_word(checks: np.ndarray, odds: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Beliefs and bits of one word, through all lanes."""
    rows = sparse.csr_array(checks)
    beliefs = np.repeat(odds.astype(np.float32)[:, None], kernels.LANES, axis=1)
    decided = np.zeros(odds.size, np.int64)
    lost = kernels.propagate(rows.indices.astype(np.int64), rows.indptr.astype(np.int64), beliefs, rounds, decided)
    return beliefs[:, 3], decided >> 3 & 1, bool(lost >> 3 & 1)


def test_beliefs_on_a_tree_are_the_exact_posteriors() -> None:
    """Without cycles belief propagation is exact: against the sum over all codewords, up to the error of g.

    The last bit is all but certain, so that the word that was read breaks a check until its neighbours give in.
    """
    checks = np.array([[1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]], np.uint8)
    odds = np.array([0.9, -1.7, 0.4, 2.1, -0.3, 1.2, 0.8])
    words = np.array([word for word in itertools.product([0, 1], repeat=7) if not (checks @ word % 2).any()])
    chance = np.exp(-(words * odds).sum(axis=1))
    exact = np.log([chance[words[:, i] == 0].sum() / chance[words[:, i] == 1].sum() for i in range(7)])
    found = [one_word(checks, odds, rounds) for rounds in (1, 2, 3)]
    closest = min(np.abs(beliefs - exact).max() for beliefs, _, _ in found)
    assert closest < 0.1


def test_two_beliefs_are_combined_as_by_the_formula() -> None:
    a, b = np.meshgrid(np.linspace(-12, 12, 97), np.linspace(-12, 12, 97))
    pairs = np.stack([a.ravel(), b.ravel()])[:, : 97 * 97 // 16 * 16].reshape(2, -1, 16).astype(np.float32)
    out = np.empty_like(pairs[0])
    for row in range(len(out)):
        kernels.combine(pairs[0], row, pairs[1], row, out, row)
    exact = np.logaddexp(0, pairs[0] + pairs[1]) - np.logaddexp(pairs[0], pairs[1])
    assert np.abs(out - exact).max() < 0.045


def test_what_becomes_of_a_word_does_not_hang_on_its_neighbours() -> None:
    generator = np.random.default_rng(4)
    data = generator.integers(0, 2, (40, SMALL.k), dtype=np.uint8)
    read = SMALL.encode(data) ^ (generator.random((40, SMALL.n)) < 0.12)
    together = SMALL.decode(read, 0.12)
    assert 0 < together.failed.sum() < 40
    alone = [SMALL.decode(read[i : i + 1], 0.12) for i in range(40)]
    assert (np.concatenate([found.bits for found in alone]) == together.bits).all()
    assert (np.concatenate([found.failed for found in alone]) == together.failed).all()


def test_another_program_decodes_as_well() -> None:
    """`ldpc` by exact sums, 120 rounds at once for 60 row by row: as many lost words, within what one draw moves."""
    BpDecoder = pytest.importorskip("ldpc.bp_decoder").BpDecoder
    p, words = 0.11, 320
    decoder = BpDecoder(sparse.csr_matrix(SMALL.parity_check()), error_rate=p, max_iter=120, bp_method="product_sum",
                        input_vector_type="received_vector")
    flips = (np.random.default_rng(6).random((words, SMALL.n)) < p).astype(np.uint8)
    theirs = np.array([decoder.decode(row)[: SMALL.k].any() for row in flips])
    ours = SMALL.decode(flips, p).bits.any(axis=1)
    assert 0.02 < theirs.mean() < 0.5
    assert (theirs != ours).mean() < 0.06
    assert abs(theirs.mean() - ours.mean()) < 0.04


def test_rates_by_direction_are_used() -> None:
    """Where only ones are lost a cell that is read as 1 is certain: words are mended that the mean rate cannot."""
    generator = np.random.default_rng(9)
    words = SMALL.encode(generator.integers(0, 2, (64, SMALL.k), dtype=np.uint8))
    read = words & (generator.random(words.shape) >= 0.24)
    assert SMALL.decode(read, (0.0, 0.24)).failed.sum() < SMALL.decode(read, 0.12).failed.sum()


def test_no_flips_are_no_errors() -> None:
    assert measure(SMALL, 0.0, words=20).counts.wrong == 0


@pytest.mark.full
@pytest.mark.parametrize(("size", "p"), [((9600, 4368), 0.10), ((9600, 6144), 0.05), ((9600, 8304), 0.01)])
def test_named_codes_hold_what_they_were_chosen_for(size: tuple[int, int], p: float) -> None:
    assert measure(Ldpc(*size), p, words=2000).word_error_rate.low < 1e-3


@pytest.mark.parametrize("size", [(63, 20), (9600, 1000), (9600, 9600), (9600.0, 4800), (2**18, 2**17)])
def test_other_sizes_are_refused(size: tuple) -> None:
    with pytest.raises(InputError, match="next:"):
        Ldpc(*size)
