"""The codes that have names, and which of them suffices at a flip probability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, get_args

from qtaml_codesign.checks import number_within
from qtaml_codesign.ecc.bch import Bch
from qtaml_codesign.ecc.code import Code, FlipRates, Latency, flip_rates
from qtaml_codesign.ecc.column_code import hamming, secded
from qtaml_codesign.ecc.kept_laws import kept_law
from qtaml_codesign.ecc.ldpc import Ldpc
from qtaml_codesign.ecc.limits import capacity
from qtaml_codesign.ecc.repetition import Repetition
from qtaml_codesign.ecc.residual import ResidualLaw
from qtaml_codesign.errors import InputError, did_you_mean

KINDS: dict[str, Callable[..., Code]] = {
    "repetition": Repetition,
    "hamming": lambda n, k: hamming(n - k),
    "secded": lambda n, k: secded(k),
    "bch": lambda n, k, t: Bch(n.bit_length(), t),
    "ldpc": Ldpc,
}
"""From the numbers of a name to the code."""

CODES = (
    *(f"repetition-{copies}" for copies in (1, 3, 5, 7, 9, 11)),
    "hamming-7-4", "hamming-15-11", "secded-39-32", "secded-72-64",
    "bch-63-45-3", "bch-127-64-10", "bch-127-85-6", "bch-127-106-3", "bch-255-131-18", "bch-255-191-8",
    "bch-255-231-3", "bch-1023-513-57", "bch-1023-688-36", "bch-1023-848-18", "bch-1023-923-10", "bch-1023-973-5",
    *(f"ldpc-9600-{dimension}" for dimension in (
        1920, 2496, 3072, 3744, 4128, 4368, 5088, 5568, 6144, 6528, 7104, 7680, 8064, 8304, 8736, 9024)),
)
"""Names of the codes that are looked through; `named_code` takes others of the same kinds too."""

TRIAL_WORDS = 64

Progress = Callable[[int, int], None]


class RatedCode(NamedTuple):
    """A code, and what it leaves of the flips at one flip probability."""

    code: Code
    law: ResidualLaw


@lru_cache(maxsize=64)
def named_code(name: str) -> Code:
    """The code of a name, such as those in `CODES`.

    Args:
        name: `repetition-n`, `hamming-n-k`, `secded-n-k`, `bch-n-k-t` or `ldpc-n-k`.

    Raises:
        InputError: there is no code of that name.

    Example:
        >>> named_code("secded-72-64").cells_per_bit
        1.125
    """
    try:
        kind, *numbers = name.split("-")
        code = KINDS[kind](*(int(number) for number in numbers))
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as failure:
        raise _unknown(name) from failure
    if code.name != name:
        raise _unknown(name)
    return code


def best_codes(
    flip_probability: object, largest_bit_error_rate: float, folder: Path, names: Iterable[str] = CODES
) -> list[RatedCode]:
    """Codes that leave few enough errors, by rising cells per data bit; none that another of them beats.

    A code is left out where one with no more cells per bit, no longer words and no slower a decoder suffices too, and
    where its rate is above capacity. The expected share of wrong data bits decides: exact where it is known, else as
    measured (its interval stands in the law).

    Args:
        flip_probability: of every cell, as `flip_rates` takes it.
        largest_bit_error_rate: of the data after decoding, in (0, 1).
        folder: where measured laws are kept.
        names: codes to look through.

    Raises:
        InputError: an unknown name, or numbers out of bounds.
    """
    return list(_sufficient_codes(flip_probability, largest_bit_error_rate, folder, names))


def cheapest_code(
    flip_probability: object, largest_bit_error_rate: float, folder: Path, progress: Progress | None = None
) -> RatedCode | None:
    """The first of `best_codes`, without looking for the others; None where no code suffices.

    Args:
        flip_probability: of every cell, as `flip_rates` takes it.
        largest_bit_error_rate: of the data after decoding, in (0, 1).
        folder: where measured laws are kept.
        progress: called with (codes looked at, codes) before each, and at last with all of them: to measure one takes
            seconds.

    Raises:
        InputError: numbers out of bounds.
    """
    found = next(_sufficient_codes(flip_probability, largest_bit_error_rate, folder, CODES, progress), None)
    if progress is not None:
        progress(len(CODES), len(CODES))
    return found


def _sufficient_codes(
    flip_probability: object, largest_bit_error_rate: float, folder: Path, names: Iterable[str],
    progress: Progress | None = None,
) -> Iterator[RatedCode]:
    """The codes of `best_codes`, one by one."""
    rates = flip_rates(flip_probability)
    most = number_within("largest_bit_error_rate", largest_bit_error_rate, 1e-300, 1.0,
                         "0 < largest_bit_error_rate <= 1", "one wrong data bit in a million is 1e-6")
    found: list[Code] = []
    codes = sorted((named_code(name) for name in names), key=lambda code: (code.cells_per_bit, code.n))
    for place, code in enumerate(codes):
        if progress is not None:
            progress(place, len(codes))
        if not any(_suffices_for(one, code) for one in found):
            for law in _laws_if_good(code, rates, most, folder):
                found.append(code)
                yield RatedCode(code, law)


def _suffices_for(one: Code, other: Code) -> bool:
    """Whether one code, of no more cells per bit, has words no longer than the other's and a decoder no slower."""
    slowness = get_args(Latency)
    return one.n <= other.n and slowness.index(one.latency) <= slowness.index(other.latency)


def _laws_if_good(code: Code, rates: FlipRates, most: float, folder: Path) -> list[ResidualLaw]:
    """The law of a code that leaves at most so many errors, or none; of most codes a few words tell that."""
    exact = code.closed_form(rates)
    if exact is not None and exact.bit > most:
        return []
    above_capacity = rates.symmetric and code.rate > capacity(rates.mean)
    if exact is None and (above_capacity or kept_law(code, rates, folder, TRIAL_WORDS).bit_error_rate.low > most):
        return []
    law = kept_law(code, rates, folder)
    return [law] if law.expected.bit <= most else []


def _unknown(name: str) -> InputError:
    return InputError("there is no code of this name", where="code", value=name, next_step=did_you_mean(name, CODES),
                      rule="repetition-n, hamming-n-k, secded-n-k, bch-n-k-t or ldpc-n-k")
