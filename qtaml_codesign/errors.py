"""Errors a user can act on, and the near-match search for unknown names.

Every error of the package answers five questions: what went wrong, where, which rule was broken, by which
value, and what to do next. The command line prints exactly this text and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import partial

_LONGEST = 1000


class CodesignError(Exception):
    """Base of every error that the package raises on purpose.

    Args:
        what: one sentence, what went wrong.
        where: file, field, argument or option at fault.
        rule: the rule that was broken.
        value: the offending value, as the user gave it.
        next_step: what the user can do about it.

    Example:
        >>> print(CodesignError("budget is out of bounds", where="--budget", rule="0 <= budget <= 1",
        ...                     value=7, next_step="5 % is written 0.05"))
        budget is out of bounds
          where: --budget
          rule:  0 <= budget <= 1
          value: 7
          next:  5 % is written 0.05
    """

    def __init__(self, what: str, *, where: str, rule: str, value: object, next_step: str) -> None:
        self.what = what
        self.where = where
        self.rule = rule
        self.value = value
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        what, where, next_step = (shorten(text, _LONGEST) for text in (self.what, self.where, self.next_step))
        return (f"{what}\n  where: {where}\n  rule:  {self.rule}\n  value: {shorten(self.value)}\n"
                f"  next:  {next_step}")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process."""
        parts = {"where": self.where, "rule": self.rule, "value": shorten(self.value), "next_step": self.next_step}
        return partial(type(self), **parts), (self.what,)


class CardError(CodesignError):
    """A device card cannot be read or breaks its schema."""


class InputError(CodesignError):
    """An argument, option or array is outside what the function accepts."""


class WorkloadError(CodesignError):
    """A network, its data or its weight tensors cannot be used as asked."""


class PlanError(CodesignError):
    """A protection plan cannot be made, read or applied."""


class StoreError(CodesignError):
    """Results cannot be written to, or read back from, the disk."""


def shorten(value: object, limit: int = 200) -> str:
    """Text of a value on one line, cut in the middle when it is long.

    Args:
        value: anything.
        limit: longest text, in characters.

    Example:
        >>> shorten("a" * 300, limit=11)
        'aaaa...aaaa'
    """
    text = " ".join((value if isinstance(value, str) else shown(value, str)).split())
    if len(text) <= limit:
        return text or "(empty)"
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def shown(value: object, form: Callable[[object], str] = repr) -> str:
    """`repr` of a value (or another form), also of an object of the user's own that raises when it is shown.

    Args:
        value: anything.
        form: makes the text.

    Example:
        >>> shown("tac"), shown(3, str)
        ("'tac'", '3')
    """
    try:
        return form(value)
    except Exception as failure:
        return f"{type(value).__name__} that cannot be shown: {type(failure).__name__}"


def nearest(name: object, known: Iterable[str], how_many: int = 3) -> list[str]:
    """Known names that look like `name`, best first; empty when nothing is close.

    Args:
        name: as the user gave it.
        known: the names there are.
        how_many: at most.

    Example:
        >>> nearest("thicknes_nm", ["thickness_nm", "height_eV"])
        ['thickness_nm']
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(shown(name, str).lower(), list(by_lower), n=how_many, cutoff=0.5)
    return [by_lower[match] for match in found]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Next step for an unknown name: the nearest known ones, or all of them.

    Args:
        name: as the user gave it.
        known: the names there are.

    Example:
        >>> did_you_mean("tak", ["tac", "none"])
        'did you mean tac? known: none, tac'
    """
    candidates = sorted(known)
    close, everything = nearest(name, candidates), f"known: {', '.join(candidates)}"
    return f"did you mean {' or '.join(close)}? {everything}" if close else everything
