"""Checks that many functions make on plain numbers, each with the same clear error."""

from __future__ import annotations

import math
import numbers

from qtaml_codesign.errors import InputError


def whole_number(where: str, value: object, least: int) -> int:
    """The value as an int, if it is an integer >= `least`.

    Example:
        >>> whole_number("trials", 30, least=2)
        30
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise InputError(
            f"{where} is not a whole number in range", where=where, rule=f"an integer >= {least}", value=value,
            next_step=f"give {least} or more, without a decimal point",
        )
    return int(value)


def whole_number_within(where: str, value: object, low: int, high: int, next_step: str) -> int:
    """The value as an int, if it is an integer with low <= value <= high.

    Example:
        >>> whole_number_within("protected", 3, 0, 8, "protect at most every plane")
        3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not low <= int(value) <= high:
        raise InputError(
            f"{where} is not a whole number in range", where=where, rule=f"an integer, {low} <= {where} <= {high}",
            value=repr(value), next_step=next_step,
        )
    return int(value)


def number_within(where: str, value: object, low: float, high: float, rule: str, next_step: str) -> float:
    """The value as a float, if it is a finite number with low <= value <= high.

    Example:
        >>> number_within("budget", 0.05, 0.0, 1.0, "0 <= budget <= 1", "5 % is written 0.05")
        0.05
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InputError(f"{where} is not a number", where=where, rule=rule, value=value, next_step=next_step)
    if not low <= float(value) <= high:
        raise InputError(f"{where} is out of bounds", where=where, rule=rule, value=value, next_step=next_step)
    return float(value)
