"""Low-density parity-check codes: long blocks close to capacity, decoded by belief propagation.

The parity check is [U | A]. A is a staircase, check bit j in rows j and j + 1, so that a codeword is written in one
running sum over GF(2). Data bits have 3 rows each, a share of them 10; rows are filled evenly, and no two bits share
two rows where that can be helped, nor do two light bits twice have rows within a few steps of the stairs, which makes
codewords of few ones. Linear programmes on charts of the extrinsic information proposed the degrees,
and decoding chose the shares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qtaml_codesign.checks import is_whole_within
from qtaml_codesign.ecc import kernels
from qtaml_codesign.ecc.code import Bits, Code, Decoded, FlipRates
from qtaml_codesign.errors import InputError

ROUNDS = 60
LEAST, MOST = 64, 2**17
DEGREE, HEAVY = 3, 10
HEAVY_SHARE = (0.22, 0.46, 0.65, 0.87), (0.11, 0.21, 0.24, 0.27)
"""Bits of 10 rows as a share of n, by the rate of the code: those that lost the fewest words."""

MOST_APART = 8
KEY = 20250
SURE = 1e-9


@dataclass(frozen=True)
class Ldpc(Code):
    """An irregular repeat-accumulate code of one fixed graph per size, systematic, data bits first.

    A word whose checks do not all hold after 60 rounds is reported as lost; its data bits are the likeliest ones then.

    Args:
        length: n cells, 64 to 2^17; rates near capacity need thousands.
        dimension: k data bits, n / 8 to n - n / 64.

    Raises:
        InputError: other sizes.

    Source: R. G. Gallager, IRE Trans. Inf. Theory 8, 21 (1962); H. Jin, A. Khandekar and R. McEliece, 2nd Int. Symp.
    Turbo Codes (2000) 1, for the staircase; the shares of degrees are ours.

    Example:
        >>> Ldpc(9600, 4368).name, Ldpc(9600, 4368).rate
        ('ldpc-9600-4368', 0.455)
    """

    latency = "iterative"

    length: int
    dimension: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not is_whole_within(self.length, LEAST, MOST) or not is_whole_within(
                self.dimension, int(self.length) / 8, int(self.length) * 63 / 64):
            raise InputError("no graph is known for an LDPC code of these sizes", where="length, dimension",
                             rule=f"{LEAST} <= n <= {MOST}, n / 8 <= k <= n - n / 64",
                             value=(self.length, self.dimension), next_step="for instance 9600, 4368")

    @property
    def name(self) -> str:
        """`ldpc-9600-4368`, for instance."""
        return f"ldpc-{self.length}-{self.dimension}"

    @property
    def n(self) -> int:
        """The length."""
        return self.length

    @property
    def k(self) -> int:
        """The dimension."""
        return self.dimension

    def parity_check(self) -> sparse.csr_array[np.uint8]:
        """(n - k, n) the checks, zeros and ones: their sums over GF(2) are zero on every codeword."""
        return _parity_check(self.n, self.k)

    def encode_bits(self, bits: Bits) -> Bits:
        """The data `bits`, then the check bits: the running sum of what each row takes of the data."""
        sums = np.asarray(self.parity_check()[:, : self.k] @ bits.T, np.uint8) & 1
        return np.concatenate([bits, np.bitwise_xor.accumulate(sums, axis=0).T], axis=1)

    def decode_bits(self, read: Bits, rates: FlipRates) -> Decoded:
        """Words as `read`, by belief propagation from the `rates` of zeros and of ones, row by row.

        What becomes of a word does not depend on the words that are decoded beside it.
        """
        rows, odds = self.parity_check(), _log_odds(rates)
        columns, starts = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
        bits, failed = np.empty_like(read[:, : self.k]), np.empty(len(read), np.bool_)
        lanes, decided = np.arange(kernels.LANES), np.zeros(self.n, np.int64)
        for first in range(0, len(read), lanes.size):
            words = read[first : first + lanes.size]
            beliefs = odds[np.resize(words, (lanes.size, self.n)).T]
            lost = kernels.propagate(columns, starts, beliefs, ROUNDS, decided)
            bits[first : first + len(words)] = (decided[: self.k] >> lanes[: len(words), None]) & 1
            failed[first : first + len(words)] = (lost >> lanes[: len(words)]) & 1
        return Decoded(bits, failed)


def _log_odds(rates: FlipRates) -> NDArray[np.float32]:
    """(2,) ln P(stored 0) / P(stored 1) of a cell that is read as 0, and as 1; written as often as either."""
    gain, loss = np.clip(rates, SURE, 1.0 - SURE)
    return np.array([np.log((1.0 - gain) / loss), np.log(gain / (1.0 - loss))], np.float32)


@lru_cache(maxsize=4)
def _parity_check(n: int, k: int) -> sparse.csr_array[np.uint8]:
    """[U | A] of one size; four are kept, a matrix of 9,600 columns takes 0.2 MB."""
    graph = _Graph(n, n - k)
    for j in range(n - k):
        for row in range(j, min(j + 2, n - k)):
            graph.join(row, k + j)
    degrees = np.where(np.arange(k) < round(float(np.interp(k / n, *HEAVY_SHARE)) * n), HEAVY, DEGREE)
    sockets = _sockets(graph, int(degrees.sum()))
    light = range(int((degrees == HEAVY).sum()), k)
    apart = _apart(n - k, len(light))
    for bit in range(k - 1, -1, -1):  # light ones first, while there is most choice
        closed = set[int]()
        for _ in range(degrees[bit]):
            row = _take(sockets, closed)
            graph.join(row, bit)
            closed |= graph.close_to(row, range(n), 0) | (graph.close_to(row, light, apart) if bit in light else set())
    rows = np.concatenate([np.array(rows, np.intp) for rows in graph.rows_of])
    columns = np.repeat(np.arange(n), [len(rows) for rows in graph.rows_of])
    return sparse.csr_array((np.ones(rows.size, np.uint8), (rows, columns)), shape=(n - k, n))


class _Graph:
    """Which rows each bit is in, and which bits each row takes."""

    def __init__(self, n: int, checks: int) -> None:
        self.rows_of: list[list[int]] = [[] for _ in range(n)]
        self.bits_of: list[list[int]] = [[] for _ in range(checks)]

    def join(self, row: int, bit: int) -> None:
        """Put a bit into a row, unless it is there."""
        if row not in self.rows_of[bit]:
            self.rows_of[bit].append(row)
            self.bits_of[row].append(bit)

    def close_to(self, row: int, others: range, steps: int) -> set[int]:
        """Rows at most so many steps from one of a bit, among `others`, that comes as close to this row."""
        near = {other for here in self.around([row], steps) for other in self.bits_of[here] if other in others}
        return self.around({row for other in near for row in self.rows_of[other]}, steps)

    def around(self, rows: Iterable[int], steps: int) -> set[int]:
        """The rows and those at most so many steps from one of them."""
        return {near for row in rows for near in range(max(0, row - steps), min(row + steps + 1, len(self.bits_of)))}


def _apart(checks: int, light: int) -> int:
    """Steps that light bits are kept apart: so many that rows are left to choose from."""
    a_row = DEGREE * light / checks
    return min(MOST_APART, int((checks / (4.0 * a_row)) ** 0.5 - 1.0) // 2) if a_row < checks / 4.0 else 0


def _sockets(graph: _Graph, edges: int) -> list[int]:
    """Rows in keyed order, each as often as it must take an edge for all rows to have alike many."""
    taken = np.array([len(bits) for bits in graph.bits_of])
    level = -(-(int(taken.sum()) + edges) // taken.size)
    free = level - taken
    free[_shuffled(taken.size, KEY)[: int(free.sum()) - edges]] -= 1
    rows = np.repeat(np.arange(taken.size), free)
    return [int(row) for row in rows[_shuffled(rows.size, KEY + 1)]]


def _take(sockets: list[int], closed: set[int]) -> int:
    """The last of the open rows, or the last one where all are closed; it leaves the list."""
    for place in range(len(sockets) - 1, -1, -1):
        if sockets[place] not in closed:
            return sockets.pop(place)
    return sockets.pop()


def _shuffled(count: int, key: int) -> NDArray[np.intp]:
    """A permutation by raw keyed bits, the same with every version of numpy."""
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")
