"""BCH codes against the generator polynomials of the textbook, and by correcting every pattern that they must."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from qtaml_codesign.ecc.bch import Bch
from qtaml_codesign.ecc.residual import measure
from qtaml_codesign.errors import InputError


def polynomial(octal: int) -> list[int]:
    return [int(bit) for bit in bin(int(str(octal), 8))[2:]]


@pytest.mark.parametrize(("size", "k", "octal"), [((4, 1), 11, 23), ((4, 2), 7, 721), ((4, 3), 5, 2467),
                                                  ((5, 3), 16, 107657), ((6, 3), 45, 1701317)])
def test_codewords_are_multiples_of_the_generator_of_the_textbook(size: tuple[int, int], k: int, octal: int) -> None:
    """Octal generators of Lin and Costello, Error Control Coding, appendix C; highest power first."""
    code = Bch(*size)
    assert code.k == k
    assert code.generator == int(str(octal), 8)
    (word,) = code.encode(np.eye(code.k, dtype=np.uint8)[-1:])  # x^0 of the data: the lowest multiple is g itself
    assert word[-len(polynomial(octal)) :].tolist() == polynomial(octal)


def test_every_pattern_of_up_to_t_flips_is_corrected() -> None:
    code = Bch(4, 2)
    data = np.random.default_rng(0).integers(0, 2, (1, 7), dtype=np.uint8)
    cells = np.eye(15, dtype=np.uint8)
    flips = [*cells, *(cells[i] ^ cells[j] for i, j in itertools.combinations(range(15), 2))]
    found = code.decode(code.encode(data) ^ np.array(flips), 0.1)
    assert (found.bits == data).all()
    assert not found.failed.any()


def test_any_t_flips_of_a_long_code_are_corrected() -> None:
    code, generator = Bch(7, 10), np.random.default_rng(2)
    data = generator.integers(0, 2, (200, 64), dtype=np.uint8)
    flips = generator.permuted(np.tile(np.arange(127) < 10, (200, 1)), axis=1)
    found = code.decode(code.encode(data) ^ flips, 0.05)
    assert (code.name, code.radius, code.cost.latency) == ("bch-127-64-10", 10, "algebraic")
    assert (found.bits == data).all()


def test_more_than_t_flips_are_lost_or_miscorrected() -> None:
    """Of random words of [15, 7] the share 1 - (1 + 15 + 105) / 2^8 lies within no ball and is reported."""
    law = measure(Bch(4, 2), 0.1, words=2000)
    assert law.counts.share == pytest.approx(stats.binom.sf(2, 15, 0.1), rel=1e-12)
    assert 0.9 * law.counts.share < law.word_error_rate.estimate < law.counts.share
    assert 0.2 < law.counts.miscorrected < 0.8


def test_there_is_no_code_of_other_sizes() -> None:
    for degree, corrected in ((2, 1), (11, 1), (7, 0), (4, 7), (4, 8)):
        with pytest.raises(InputError, match="next:"):
            Bch(degree, corrected)


@pytest.mark.parametrize(("size", "k"), [((7, 10), 64), ((8, 18), 131), ((9, 30), 259), ((10, 57), 513)])
def test_sizes_are_those_of_the_tables(size: tuple[int, int], k: int) -> None:
    assert Bch(*size).k == k


@pytest.mark.full
@pytest.mark.parametrize(("size", "k"), [((6, 3), 45), ((7, 10), 64)])
def test_another_program_decodes_every_word_alike(size: tuple[int, int], k: int) -> None:
    """`galois`, words within the radius and beyond; it takes half a minute to compile itself."""
    galois = pytest.importorskip("galois")
    code, theirs, generator = Bch(*size), galois.BCH((1 << size[0]) - 1, k), np.random.default_rng(8)
    data = generator.integers(0, 2, (400, k), dtype=np.uint8)
    words = code.encode(data)
    assert (words == np.asarray(theirs.encode(galois.GF2(data)))).all()
    read = words ^ (generator.random(words.shape) < 1.2 * code.radius / code.n).astype(np.uint8)
    bits, errors = theirs.decode(galois.GF2(read), errors=True)
    found = code.decode(read, 0.05)
    assert (found.bits == np.asarray(bits)).all()
    assert (found.failed == (np.asarray(errors) < 0)).all()
    assert 0 < found.failed.sum() < 400
