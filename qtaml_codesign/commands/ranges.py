"""Ranges and lists of numbers as options spell them: `A:B:N`, `A:B:N:log`, `A:B` and `0.01,5%`."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_POINTS = 1_000_000
_RULE = "A:B:N, A:B:N:log, or numbers separated by commas"


def parse_range(text: str, option: str) -> NDArray[np.float64]:
    """N numbers from A to B, both included, evenly spaced (or evenly in the logarithm); or the numbers listed.

    Args:
        text: A:B:N, A:B:N:log, or numbers separated by commas.
        option: where it was given, for the error.

    Raises:
        InputError: it says something else.

    Example:
        >>> parse_range("1.7:2.2:6", "--thickness").round(12).tolist()
        [1.7, 1.8, 1.9, 2.0, 2.1, 2.2]
        >>> parse_range("1.75,1.8", "--thickness").tolist()
        [1.75, 1.8]
    """
    import numpy as np

    parts = text.strip().split(":")
    if len(parts) == 1:
        return np.array([_number(part, text, option) for part in text.split(",")])
    logarithmic = len(parts) == 4 and parts[3].strip() == "log"
    if len(parts) != 3 and not logarithmic:
        raise _refused("not a range", text, option, "for instance 1.7:2.2:6, or 1e-9:1e-3:7:log")
    first, last = (_number(part, text, option) for part in parts[:2])
    count = _count(parts[2], text, option)
    if first > last or (first == last) != (count == 1):
        raise _refused("the range does not increase", text, option, "A < B with N >= 2, or A = B with N = 1")
    if logarithmic and first <= 0.0:
        raise _refused("a logarithmic range must be positive", text, option, "start above 0, or leave :log out")
    points: NDArray[np.float64] = (np.geomspace if logarithmic else np.linspace)(first, last, count)
    if np.any(np.diff(points) <= 0.0):
        raise _refused("the range has more points than float64 can tell apart", text, option, "take fewer points")
    return points


def parse_ends(text: str, option: str) -> tuple[float, float]:
    """The two ends of a range.

    Args:
        text: A:B with A < B.
        option: where it was given, for the error.

    Raises:
        InputError: it says something else.

    Example:
        >>> parse_ends("1.7:2.2", "--thickness")
        (1.7, 2.2)
    """
    rule = "A:B with A < B"
    parts = text.strip().split(":")
    if len(parts) != 2:
        raise _refused("not the two ends of a range", text, option, "for instance 1.7:2.2", rule)
    first, last = (_number(part, text, option, rule) for part in parts)
    if first >= last:
        raise _refused("the range does not increase", text, option, "put the smaller number first", rule)
    return first, last


def parse_fractions(text: str, option: str) -> tuple[float, ...]:
    """Comma-separated fractions, each a number or a percentage.

    Args:
        text: such as 0.01,5%.
        option: where it was given, for the error.

    Raises:
        InputError: it says something else.

    Example:
        >>> parse_fractions("0.01, 5%, 12.5 %", "--budget")
        (0.01, 0.05, 0.125)
    """
    return tuple(parse_fraction(part, option, text) for part in text.split(","))


def parse_fraction(part: str, option: str, text: str | None = None) -> float:
    """One fraction, a number or a percentage; 1.1% is the float64 nearest to 0.011.

    Args:
        part: such as 0.05 or 5%.
        option: where it was given, for the error.
        text: all that was given there, where `part` is one of several.

    Raises:
        InputError: it says something else.

    Example:
        >>> parse_fraction("1.1%", "--budget"), parse_fraction("0.05", "--budget")
        (0.011, 0.05)
    """
    whole, rule = part if text is None else text, "fractions such as 0.05 or 5%, separated by commas"
    stripped = part.strip()
    if not stripped.endswith("%"):
        return _number(part, whole, option, rule)
    _number(stripped[:-1], whole, option, rule)
    return float(Decimal(stripped[:-1].strip()) / 100)


def parse_number(text: str, option: str) -> float:
    """One finite number.

    Args:
        text: such as 4 or 0.5.
        option: where it was given, for the error.

    Raises:
        InputError: it says something else.

    Example:
        >>> parse_number("4", "--cells")
        4.0
    """
    return _number(text, text, option, "one number, such as 4")


def _number(part: str, text: str, option: str, rule: str = _RULE) -> float:
    try:
        number = float(part) if "_" not in part else math.nan
    except ValueError:
        raise _refused(f"{part.strip() or 'an empty part'} is not a number", text, option, "check it", rule) from None
    if not math.isfinite(number):
        raise _refused(f"{part.strip()} is not a finite number", text, option, "check it", rule)
    return number


def _count(part: str, text: str, option: str) -> int:
    if not part.strip().isascii() or not part.strip().isdigit() or not 1 <= int(part[:20]) <= _MOST_POINTS:
        raise _refused("N is not a count", text, option, f"N is a whole number, 1 to {_MOST_POINTS}")
    return int(part)


def _refused(what: str, value: Any, option: str, next_step: str, rule: str = _RULE) -> InputError:
    return InputError(what, where=option, rule=rule, value=value, next_step=next_step)
