"""Rows of a result store changed by hand: the sweep refuses them, or ends with the tables of the true ones."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from tests.conftest import TINY_WORKLOAD
from tests.fuzz.running import Ended, faults, generator, run_command

TABLES = ("sweep.csv", "frontier.csv")
Cell = int | float | str | bytes


def swept(folder: Path) -> Ended:
    """The sweep that every case continues."""
    (folder / "tiny.py").write_text(TINY_WORKLOAD, encoding="utf-8")
    return run_command(["sweep", "--device", "3nm", "--workload", "tiny.py:make", "--thickness",
                        "1.74:1.78:2", "--budget", "0.2", "--trials", "3", "--workers", "1", "--out", "out"], folder)


@cache
def true_files() -> dict[str, bytes]:
    """Store and tables of that sweep, untouched."""
    with tempfile.TemporaryDirectory() as folder:
        ended = swept(Path(folder))
        assert ended.code == 0, ended.stderr
        return {name: (Path(folder) / "out" / name).read_bytes() for name in ("results.sqlite", *TABLES)}


def changed(value: Cell, rng: random.Random) -> Cell:
    """Another value of the same type, near the old one."""
    if isinstance(value, int):
        return value + rng.choice((-1, 1, 2, 10, -10))
    if isinstance(value, float):
        return value * rng.choice((0.5, 1.001, -1.0, 10.0)) + 1e-9
    place = rng.randrange(max(len(value), 1))
    if isinstance(value, bytes):
        return value[:place] + bytes([(value[place] + 1) % 256 if value else 1]) + value[place + 1:]
    sign = str((int(value[place]) + 1) % 10) if value[place:place + 1].isdigit() else "x"
    return value[:place] + sign + value[place + 1:]


def change_row(path: Path, rng: random.Random) -> str:
    """Change, double or remove one row; what was done, in words."""
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA ignore_check_constraints = ON")
        table = rng.choice(("trial", "trial", "trial", "trial", "plan", "task"))
        cursor = store.execute(f"SELECT * FROM {table}")
        columns, rows = [column[0] for column in cursor.description], cursor.fetchall()
        row, place = rng.choice(rows), rng.randrange(len(columns))
        keys = " AND ".join(f"{column} = ?" for column in columns)
        new = list(row)
        if table == "trial" and rng.random() < 0.1:
            new[columns.index("trial")] += 3
            store.execute(f"INSERT INTO trial VALUES ({','.join('?' * len(new))})", new)
            done = f"a row of trial doubled: {row}"
        elif rng.random() < 0.1:
            store.execute(f"DELETE FROM {table} WHERE {keys}", row)
            done = f"a row of {table} removed"
        else:
            new[place] = changed(row[place], rng)
            store.execute(f"UPDATE OR REPLACE {table} SET {columns[place]} = ? WHERE {keys}", (new[place], *row))
            done = f"{table}.{columns[place]}: {row[place]!r} -> {new[place]!r}"
    store.close()
    return done[:300]


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one changed row shows to be wrong."""
    (folder / "out").mkdir()
    (folder / "out" / "results.sqlite").write_bytes(true_files()["results.sqlite"])
    done = change_row(folder / "out" / "results.sqlite", generator(seed, "stores", case))
    ended = swept(folder)
    found = faults(ended)
    if ended.code == 0:
        found += [f"{name} differs" for name in TABLES if (folder / "out" / name).read_bytes() != true_files()[name]]
    return [f"{fault} ({done})" for fault in found]
