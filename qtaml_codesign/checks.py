"""Checks that many functions make on plain numbers, each with the same clear error."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from qtaml_codesign.errors import InputError, did_you_mean, shown

if TYPE_CHECKING:  # the command line checks names before it loads numpy
    import numpy as np
    from numpy.typing import NDArray


class Quantity(NamedTuple):
    """Bounds and unit of one number of a card; `si` and `si_unit` only serve hints about mistaken units."""

    low: float
    high: float
    unit: str
    whole: bool = False
    si: float = 1.0
    si_unit: str = ""


def whole_number(where: str, value: object, least: int) -> int:
    """The value as an int, if it is an integer >= `least`.

    Args:
        where: argument or option at fault.
        value: as the user gave it.
        least: the smallest there may be.

    Raises:
        InputError: any other value.

    Example:
        >>> whole_number("trials", 30, least=2)
        30
    """
    if not is_whole_within(value, least, math.inf):
        raise InputError(f"{where} is not a whole number in range", where=where, rule=f"an integer >= {least}",
                         value=value, next_step=f"give {least} or more, without a decimal point")
    return int(value)


def whole_number_within(where: str, value: object, low: int, high: int, next_step: str) -> int:
    """The value as an int, if it is an integer with low <= value <= high.

    Args:
        where: argument or option at fault.
        value: as the user gave it.
        low: the smallest there may be.
        high: the largest there may be.
        next_step: what the user can do about it.

    Raises:
        InputError: any other value.

    Example:
        >>> whole_number_within("protected", 3, 0, 8, "protect at most every plane")
        3
    """
    if not is_whole_within(value, low, high):
        raise InputError(f"{where} is not a whole number in range", where=where,
                         rule=f"an integer, {low} <= {where} <= {high}", value=shown(value), next_step=next_step)
    return int(value)


def is_whole_within(value: object, low: float, high: float) -> TypeGuard[numbers.Integral]:
    """Whether a value is an integer (not a bool) with low <= value <= high.

    Example:
        >>> is_whole_within(3, 0, 8), is_whole_within(True, 0, 8), is_whole_within("3", 0, 8)
        (True, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and low <= int(value) <= high


def number_within(where: str, value: object, low: float, high: float, rule: str, next_step: str) -> float:
    """The value as a float, if it is a finite number with low <= value <= high.

    Args:
        where: argument or option at fault.
        value: as the user gave it.
        low: the smallest there may be.
        high: the largest there may be.
        rule: the same in words.
        next_step: what the user can do about it.

    Raises:
        InputError: any other value.

    Example:
        >>> number_within("budget", 0.05, 0.0, 1.0, "0 <= budget <= 1", "5 % is written 0.05")
        0.05
    """
    real = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else as_float(value)
    if not (low <= real <= high and math.isfinite(real)):
        what = "out of bounds" if math.isfinite(real) else "not a number"
        raise InputError(f"{where} is {what}", where=where, rule=rule, value=value, next_step=next_step)
    return real


def as_float(value: numbers.Real) -> float:
    """`float`, and inf for a whole number beyond the largest float.

    Args:
        value: any real number.

    Example:
        >>> as_float(3), as_float(10**400)
        (3.0, inf)
    """
    try:
        return float(value)
    except OverflowError:
        return math.inf


def is_one_of(value: object, known: Collection[str]) -> bool:
    """Whether a value is a text and one of the known ones; arrays and other objects are not, and raise nothing.

    Example:
        >>> import numpy as np
        >>> is_one_of("tac", ["tac", "none"]), is_one_of(np.zeros(2), ["tac"])
        (True, False)
    """
    return isinstance(value, str) and value in known


def one_of(what: str, where: str, value: object, known: Iterable[str]) -> str:
    """The value, if it is one of the known texts.

    Args:
        what: what it names, such as `tail`.
        where: argument or option at fault.
        value: as the user gave it.
        known: the texts there are.

    Raises:
        InputError: any other value; near matches are the next step.

    Example:
        >>> one_of("tail", "tail", "poisson", ["binomial", "poisson"])
        'poisson'
    """
    names = list(known)
    if not is_one_of(value, names):
        raise InputError(f"unknown {what}", where=where, rule=f"one of {', '.join(names)}", value=value,
                         next_step=did_you_mean(value, names))
    return names[names.index(str(value))]


def plain_array(where: str, value: object, rule: str, next_step: str) -> NDArray[Any]:
    """`np.asarray`, with an InputError for what numpy cannot make an array of, and for masked values.

    Args:
        where: argument at fault.
        value: as the user gave it.
        rule: what the array must be, in words.
        next_step: what the user can do about it.

    Raises:
        InputError: not an array.

    Example:
        >>> plain_array("thickness_nm", [1.7, 1.8], "numbers in nm", "for instance 1.765")
        array([1.7, 1.8])
    """
    import numpy as np

    try:
        array = np.asarray(value)
        masked = np.ma.is_masked(value)
    except Exception as failure:
        raise InputError(f"{where} is not an array: {type(failure).__name__}: {failure}", where=where, rule=rule,
                         value=value, next_step=next_step) from None
    if masked:
        raise InputError(f"{where} holds masked values", where=where, rule=rule, value=value, next_step=next_step)
    return array


def probabilities(where: str, values: object) -> NDArray[np.float64]:
    """The values as float64 of their own shape, if all of them lie in [0, 1].

    Args:
        where: argument at fault.
        values: numbers of any shape.

    Raises:
        InputError: not numbers, not finite, or outside [0, 1].

    Example:
        >>> probabilities("flip_probability", [0.1, 1])
        array([0.1, 1. ])
    """
    import numpy as np

    rule, step = f"0 <= {where} <= 1, finite", "a probability per bit and inference window: 10 % is written 0.10"
    given = plain_array(where, values, rule, step)
    found = given.astype(np.float64) if given.dtype.kind in "fiu" else np.full((), np.nan)
    if not ((found >= 0.0) & (found <= 1.0)).all():
        raise InputError("a flip probability is not between 0 and 1", where=where, rule=rule, value=values,
                         next_step=f"give {step}")
    return found


def several(value: Any) -> tuple[Any, ...]:
    """The items of what has items; a text, or anything else, is one item.

    Args:
        value: one thing, or several.

    Example:
        >>> several([0.01, 0.05]), several(0.05), several("tac")
        ((0.01, 0.05), (0.05,), ('tac',))
    """
    try:
        return (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        return (value,)
