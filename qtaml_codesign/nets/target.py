"""What a sweep is to keep: a part of the clean value, a distance from it, or a value of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.errors import InputError, shown

_NUMBER = r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_FORMS = {
    "share": re.compile(rf"{_NUMBER}\s*(%?)(?:\s*[x*×]?\s*clean)?", re.IGNORECASE),
    "distance": re.compile(rf"(?:{_NUMBER}\s*[x*×]\s*)?clean\s*([+-])\s*{_NUMBER}", re.IGNORECASE),
    "absolute": re.compile(rf"=\s*([+-]?){_NUMBER}", re.IGNORECASE),
}
T = TypeVar("T", float, NDArray[np.float64])
Shown = Callable[[float], str]

RULE = "0.95 (of the clean value), '0.95 x clean', 'clean + 0.1', 'clean - 0.02', or '= 12.5' for a value of its own"


@dataclass(frozen=True)
class Target:
    """factor x clean + offset, in the unit in which the metric is shown.

    Example:
        >>> str(Target(0.95)), str(Target(1.0, 0.1)), str(Target(0.0, 12.5))
        ('0.95 x clean', 'clean + 0.1', '12.5')
        >>> Target(1.0, -0.02).of("accuracy"), Target(1.0, -0.02).value(clean=0.5)
        ('clean accuracy - 0.02', 0.48)
    """

    factor: float
    offset: float = 0.0

    def value(self, clean: T) -> T:
        """The value to keep, for the value of the clean network (a number or an array)."""
        return self.factor * clean + self.offset

    @property
    def plain(self) -> float | str:
        """A number or a text that `as_target` reads back, for the record of a run."""
        return self.factor if self.offset == 0.0 and self.factor > 0.0 else self._text("clean", "= ", repr, repr)

    def of(self, name: str) -> str:
        """In words, with the name of what is measured."""
        return self._text(f"clean {name}", f"{name} ")

    def __str__(self) -> str:
        return self._text("clean", "")

    def _text(self, clean: str, before: str, share: Shown = "{:.3g}".format, number: Shown = "{:.6g}".format) -> str:
        if self.factor == 0.0:
            return before + number(self.offset)
        part = clean if self.factor == 1.0 and self.offset else f"{share(self.factor)} x {clean}"
        return part if not self.offset else f"{part} {'-' if self.offset < 0.0 else '+'} {number(abs(self.offset))}"


def as_target(given: float | str | Target) -> Target:
    """A target from a number, which is a part of the clean value, or from one of the texts of `RULE`.

    Args:
        given: a number > 0, a text, or a target, which is given back as it is.

    Raises:
        InputError: it cannot be read, or is not finite, or the part is not above 0.

    Example:
        >>> as_target(0.95) == as_target("95%") == as_target("0.95 x clean")
        True
        >>> as_target("clean - 0.02"), as_target("= 12.5")
        (Target(factor=1.0, offset=-0.02), Target(factor=0.0, offset=12.5))
    """
    target = given if isinstance(given, Target) else _read(given)
    if target is None or not (math.isfinite(target.factor) and math.isfinite(target.offset)):
        raise _refused("the target cannot be read", RULE, given)
    return target


def _read(given: object) -> Target | None:
    if isinstance(given, int | float | np.number) and not isinstance(given, bool):
        return _share(float(given), given)
    text = given.strip() if isinstance(given, str) else ""
    if found := _FORMS["share"].fullmatch(text):
        return _share(float(Decimal(found[1]) / (100 if found[2] else 1)), given)
    if found := _FORMS["distance"].fullmatch(text):
        return replace(_share(float(found[1] or 1.0), given), offset=float(found[2] + found[3]))
    if found := _FORMS["absolute"].fullmatch(text):
        return Target(0.0, float(found[1] + found[2]))
    return None


def _share(factor: float, given: object) -> Target:
    if factor <= 0.0:
        raise _refused("the target is out of bounds", "target > 0, a part of the clean value", given)
    return Target(factor)


def _refused(what: str, rule: str, given: object) -> InputError:
    percent = re.fullmatch(rf"=\s*{_NUMBER}\s*%", given.strip(), re.IGNORECASE) if isinstance(given, str) else None
    own = f"write '= {Decimal(percent[1]) / 100:f}'; " if percent else ""
    return InputError(what, where="target (--target)", rule=rule, value=shown(given, str),
                      next_step=f"{own}0.95 keeps 95 % of the clean value")
