"""Stores of other sweeps, to copy finished plans and trials from: never needed, so what is wrong with one is a note."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from qtaml_codesign.errors import StoreError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.sweeps.store import APPLICATION_ID, STORE_NAME, ResultStore

T = TypeVar("T")

WAIT_S = 2.0
"""How long to wait for a lender that another process is writing to."""

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


class Lender:
    """A result store to read from; opened when it is first asked, and left alone once it fails.

    Args:
        path: an existing result store.

    Attributes:
        timeout_s: how long to wait for another process that is writing to it.
        note: why it is not asked any more; None while it works.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.note: str | None = None
        self.timeout_s = WAIT_S
        self._store: ResultStore | None = None

    def trials(self, task_id: str) -> dict[int, TrialCounts]:
        """Counts of the finished trials of a task, by trial index; none once it has failed.

        Args:
            task_id: `SweepTask.strong_id`.
        """
        return self._asked(lambda store: store.trials(task_id), {})

    def plans(self, wanted: Iterable[str]) -> dict[str, str]:
        """JSON of those of the wanted plans that it has; none once it has failed."""
        return self._asked(lambda store: store.plans(wanted), {})

    def close(self) -> None:
        """Close the file, if it was ever opened."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _asked(self, question: Callable[[ResultStore], T], otherwise: T) -> T:
        if self.note is not None:
            return otherwise
        try:
            if self._store is None:
                self._store = ResultStore(self.path, read_only=True, timeout_s=self.timeout_s)
            return question(self._store)
        except StoreError as failure:
            self.note = f"the results in {self.path.parent} are not reused: {failure.what} ({failure.value})"
            self.close()
            return otherwise


def lender(place: str | Path) -> Lender:
    """The result store at a path, or in a folder, as a lender; known from its first bytes alone.

    Args:
        place: the file, or its folder.

    Raises:
        StoreError: there is none.
    """
    path = Path(place) / STORE_NAME if Path(place).is_dir() else Path(place)
    try:
        with path.open("rb") as file:
            header, found = file.read(_HEADER_BYTES), "another kind of file"
    except OSError as failure:
        header, found = b"", failure.strerror or "it cannot be read"
    application = int.from_bytes(header[68:72], "big")
    if not header.startswith(_MAGIC) or application != APPLICATION_ID:
        raise StoreError(
            "there is no result store to reuse", where=f"{place} (--reuse)",
            rule=f"a folder with {STORE_NAME}, written by codesign sweep, or that file", value=f"{path}: {found}",
            next_step="name the --out folder of an earlier sweep, or leave it out",
        )
    return Lender(path)
