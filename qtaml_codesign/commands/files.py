"""CSV files of the commands: checked before the work, written whole or not at all, in full precision."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from qtaml_codesign.errors import StoreError
from qtaml_codesign.files import write_whole


def check_writable(path: Path, option: str) -> None:
    """Find out before the work whether a file can be written.

    Args:
        path: the file.
        option: where the path came from.

    Raises:
        StoreError: it cannot.
    """
    folder = path.absolute().parent
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise _refused("the path is not a plain file", path, option, "name a file")
    if not folder.is_dir():
        raise _refused("the folder does not exist", path, option, f"make it first: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused("the folder is not writable", path, option, "choose another folder")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], option: str) -> None:
    """Write a CSV, whole or not at all.

    Args:
        path: the file.
        columns: names, for the first line.
        rows: cells; floats are written with as many digits as read back to the same number.
        option: where the path came from.

    Raises:
        StoreError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)
    write_whole(path, text.getvalue().encode(), option)


def _refused(what: str, path: Path, option: str, next_step: str) -> StoreError:
    return StoreError(what, where=option, rule="a file in a writable folder", value=path, next_step=next_step)
