"""The result file of a sweep: one SQLite database with a row of counts per trial.

Rows are only ever added, a finished batch in one transaction, so a process may be killed at any moment: what was
committed stays, what was not is run again. Only the process that drives a sweep writes. Every row carries a digest of
its content, so that one changed by hand is found when it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from qtaml_codesign.errors import StoreError
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.sweeps.rows import TRIAL_COLUMNS, row_digest, trial_counts, trial_values

APPLICATION_ID = 0x71544143  # "qTAC"
SCHEMA_VERSION = 3
STORE_NAME = "results.sqlite"

_SCHEMA = """
CREATE TABLE task(task_id TEXT PRIMARY KEY, json TEXT NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE plan(request_id TEXT PRIMARY KEY, json TEXT NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE trial(
    task_id TEXT NOT NULL, trial INTEGER NOT NULL CHECK(trial >= 0),
    score NOT NULL CHECK(typeof(score) = 'real' OR score BETWEEN 0 AND samples),
    samples INTEGER NOT NULL CHECK(samples > 0),
    bits_stored INTEGER NOT NULL, bits_exposed INTEGER NOT NULL CHECK(bits_exposed BETWEEN 0 AND bits_stored),
    bits_flipped INTEGER NOT NULL CHECK(bits_flipped BETWEEN 0 AND bits_exposed),
    expected_flips REAL NOT NULL, seconds REAL NOT NULL, score_by_group BLOB NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY(task_id, trial)) WITHOUT ROWID;
"""
_COLUMNS = f"{', '.join(TRIAL_COLUMNS)}, digest"
_KEEP = "ON CONFLICT DO NOTHING"  # not INSERT OR IGNORE, which would also drop rows that break a CHECK, in silence


class Lending(Protocol):
    """Another store whose finished plans and trials may be copied (`lenders.Lender`)."""

    note: str | None

    def trials(self, task_id: str) -> dict[int, TrialCounts]:
        """Counts of the finished trials of the task `task_id`, by trial index."""

    def plans(self, wanted: Iterable[str]) -> dict[str, str]:
        """JSON of those of the wanted plans that it has."""

    def close(self) -> None:
        """Nothing more is wanted."""


class ResultStore:
    """Plans and trial counts by content; kept in `path`, or in memory when `path` is None.

    Args:
        path: the database file. Created when missing; never deleted or overwritten.
        lenders: other stores (`lenders.lender`); plans and trials that this one lacks are copied from them.
        read_only: refuse a missing file, never write, and leave out the check of the whole file.
        timeout_s: how long to wait for another process that is writing.

    Attributes:
        borrowed_trials: trials copied from the lenders so far.

    Raises:
        StoreError: here and by every method: the file cannot be opened, read or written, is in use, belongs to another
            program or version, or holds a row that is not as it was written.

    Example:
        >>> one = TrialCounts.of_trial([1] * 9 + [0], samples=10, bits_stored=80, bits_exposed=80, bits_flipped=3,
        ...                            expected_flips=2.5, seconds=0.01)
        >>> with ResultStore(None) as store:
        ...     store.add_trials([("task", 0, [one])])
        ...     store.trials("task")[0].score
        9
    """

    def __init__(self, path: Path | None, lenders: Sequence[Lending] = (), read_only: bool = False,
                 timeout_s: float = 20.0) -> None:
        self.path = path
        self.borrowed_trials = 0
        self._lenders = tuple(lenders)
        self._where = str(path) if path is not None else "memory"
        name = ":memory:" if path is None else f"file:{quote(str(path))}{'?mode=ro' if read_only else ''}"
        with self._explained():
            self._db = sqlite3.connect(name, timeout=timeout_s, isolation_level=None, check_same_thread=False,
                                       uri=path is not None)
        try:
            with self._explained():
                self._open(whole=not read_only)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and those of the lenders; everything added is already on the disk."""
        for lender in self._lenders:
            lender.close()
        self._db.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """Which lenders could not be used, or not to the end, and why."""
        return tuple(lender.note for lender in self._lenders if lender.note is not None)

    def trials(self, task_id: str) -> dict[int, TrialCounts]:
        """Counts of each finished trial of a task, by trial index, rising; those of the lenders among them.

        Args:
            task_id: `SweepTask.strong_id`.
        """
        rows = self._own_trials(task_id)
        for lender in self._lenders:
            fresh = {trial: one for trial, one in lender.trials(task_id).items() if trial not in rows}
            self.add_trials([(task_id, trial, [one]) for trial, one in fresh.items()])
            self.borrowed_trials += len(fresh)
            rows |= fresh
        return dict(sorted(rows.items()))

    def _own_trials(self, task_id: str) -> dict[int, TrialCounts]:
        with self._explained():
            rows = self._db.execute(
                f"SELECT trial, {_COLUMNS} FROM trial WHERE task_id = ? ORDER BY trial", (task_id,)
            ).fetchall()
        for trial, *values, digest in rows:
            self._check_row("trial", {"task_id": task_id, "trial": trial}, values, digest)
        return {row[0]: trial_counts(row[1:-1]) for row in rows}

    def add_trials(self, batches: Iterable[tuple[str, int, Sequence[TrialCounts]]]) -> None:
        """Add finished batches in one transaction; a trial that is there already stays as it is.

        Args:
            batches: (task id, index of the first trial, one `TrialCounts` per trial).
        """
        rows = [
            _with_digest("trial", task_id, first + offset, *trial_values(counts))
            for task_id, first, trials in batches
            for offset, counts in enumerate(trials)
        ]
        self._write(f"INSERT INTO trial(task_id, trial, {_COLUMNS}) VALUES ({','.join('?' * 11)}) {_KEEP}", rows)

    def add_tasks(self, tasks: Mapping[str, str]) -> None:
        """Add tasks; one that is there already stays as it is, and is checked.

        Args:
            tasks: JSON of each task, by its id.
        """
        self._write(f"INSERT INTO task VALUES (?,?,?) {_KEEP}",
                    [_with_digest("task", *item) for item in sorted(tasks.items())])
        for task_id in tasks:
            self._json("task", "task_id", task_id)

    def add_plans(self, plans: Mapping[str, str]) -> None:
        """Add plans; one that is there already stays as it is.

        Args:
            plans: JSON of each plan, by the digest of its request.
        """
        self._write(f"INSERT INTO plan VALUES (?,?,?) {_KEEP}",
                    [_with_digest("plan", *item) for item in sorted(plans.items())])

    def plans(self, wanted: Iterable[str] | None = None) -> dict[str, str]:
        """JSON of the plans that are known, here or to a lender, by the digest of their request.

        Args:
            wanted: digests of requests; None: all of this file.
        """
        if wanted is None:
            with self._explained():
                wanted = [row[0] for row in self._db.execute("SELECT request_id FROM plan").fetchall()]
        known = {request_id: self._json("plan", "request_id", request_id) for request_id in wanted}
        found = {request_id: text for request_id, text in known.items() if text is not None}
        missing = [request_id for request_id in known if request_id not in found]
        for lender in self._lenders:
            fresh = lender.plans([request_id for request_id in missing if request_id not in found])
            self.add_plans(fresh)
            found |= fresh
        return found

    def count_trials(self) -> int:
        """Number of trial rows of all tasks."""
        with self._explained():
            return int(self._db.execute("SELECT count(*) FROM trial").fetchone()[0])

    def _json(self, table: str, key: str, name: str) -> str | None:
        """The text of a task or a plan, or None where there is none."""
        with self._explained():
            row = self._db.execute(f"SELECT json, digest FROM {table} WHERE {key} = ?", (name,)).fetchone()
        if row is None:
            return None
        self._check_row(table, {key: name}, row[:1], row[1])
        return str(row[0])

    def _check_row(self, table: str, key: Mapping[str, object], values: Sequence[object], digest: object) -> None:
        if digest == row_digest(table, *key.values(), *values):
            return
        which = " AND ".join(f"{name} = {value!r}" for name, value in key.items())
        raise self._error(
            "a row of the result store is not as it was written", "the digest of every row fits its content",
            f"table {table}, row {which}",
            f"delete it (sqlite3 {self._where} \"DELETE FROM {table} WHERE {which}\"), and it is made again; or move "
            "the file away, and the sweep starts anew",
        )

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _open(self, whole: bool) -> None:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        if application == 0 and tables == 0:
            self._create()
        elif application != APPLICATION_ID:
            raise self._error("the file belongs to another program", "a result store of qtaml-codesign",
                              f"application id {application:#x}", "choose another --out folder, or move the file away")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise self._error("the result store was written by another version of qtaml-codesign",
                              f"schema version {SCHEMA_VERSION}", f"schema version {version}",
                              "install that version, or choose another --out folder")
        if whole:
            health = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if health != "ok":
                raise self._damaged(health)

    def _create(self) -> None:
        """One transaction, so that two sweeps that start at once cannot both create the tables."""
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.strip().rstrip(";").split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into a message that helps."""
        try:
            yield
        except sqlite3.IntegrityError as failure:
            raise self._error("counts that cannot be true were about to be stored", "0 <= right answers <= samples and "
                              "0 <= flipped <= exposed <= stored bits", failure, "report this as a defect") from failure
        except sqlite3.OperationalError as failure:
            raise self._unusable(failure) from failure
        except sqlite3.DatabaseError as failure:
            if "not a database" in str(failure):
                raise self._error("the file is not a result store", "an SQLite database written by codesign sweep",
                                  failure, "choose another --out folder, or move the file away") from failure
            raise self._damaged(failure) from failure

    def _unusable(self, failure: sqlite3.OperationalError) -> StoreError:
        text = str(failure)
        if "locked" in text:
            return self._error("the result store is in use by another process", "one sweep writes to a folder",
                               text, "wait until the other sweep is done, or choose another --out folder")
        return self._error("the result store cannot be opened or written", "a file on a writable disk with room left",
                           text, "check the folder, its permissions and the free space, or choose another --out folder")

    def _damaged(self, detail: object) -> StoreError:
        return self._error("the result store is damaged", "a complete SQLite database", detail,
                           "move the file away (the sweep then starts anew), or restore it from a copy")

    def _error(self, what: str, rule: str, value: object, next_step: str) -> StoreError:
        return StoreError(what, where=self._where, rule=rule, value=value, next_step=next_step)


def _with_digest(table: str, *values: object) -> tuple[object, ...]:
    return (*values, row_digest(table, *values))
