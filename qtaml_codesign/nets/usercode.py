"""Run code that belongs to the user, and turn whatever it raises into an error that says where and with what."""

from __future__ import annotations

from types import TracebackType

from qtaml_codesign.errors import CodesignError, WorkloadError, shorten


class UserCode:
    """Context in which the user's own code runs; any exception leaves it as a `WorkloadError`, the cause kept.

    Errors of this package and keyboard interrupts pass through unchanged.

    Args:
        what, where, rule, next_step: parts of the error.
        given: what the code was given, for the message.

    Example:
        >>> try:
        ...     with UserCode("the factory failed", "net.py:make", "it returns a Workload", "run it alone", "no input"):
        ...         1 / 0
        ... except WorkloadError as failure:
        ...     print(failure.what, "/", failure.where)
        the factory failed: ZeroDivisionError: division by zero / net.py:make
    """

    def __init__(self, what: str, where: str, rule: str, next_step: str, given: object) -> None:
        self._what = what
        self._where = where
        self._rule = rule
        self._next_step = next_step
        self._given = given

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failure is None or isinstance(failure, KeyboardInterrupt | CodesignError):
            return
        raise WorkloadError(
            f"{self._what}: {type(failure).__name__}: {shorten(failure, 500)}", where=self._where, rule=self._rule,
            value=self._given, next_step=self._next_step,
        ) from failure
