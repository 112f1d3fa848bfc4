"""CSV files of the commands: checked before the work, written whole or not at all, in full precision."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from qtaml_codesign.errors import StoreError


def check_writable(path: Path, option: str) -> None:
    """Raise a `StoreError` if a file cannot be written at `path`."""
    folder = path.absolute().parent
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise _refused("the path is not a plain file", path, option, "name a file")
    if not folder.is_dir():
        raise _refused("the folder does not exist", path, option, f"make it first: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused("the folder is not writable", path, option, "choose another folder")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], option: str) -> None:
    """Write a CSV beside `path`, then rename it: a reader sees the old file or the new one, never half of one."""
    draft = ""
    try:
        folder = path.absolute().parent
        with tempfile.NamedTemporaryFile("w", newline="", encoding="utf-8", dir=folder, delete=False) as out:
            draft = out.name
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except OSError as failure:
        raise _refused(f"the file cannot be written: {failure.strerror}", path, option, "free some space") from failure
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _refused(what: str, path: Path, option: str, next_step: str) -> StoreError:
    return StoreError(what, where=option, rule="a file in a writable folder", value=path, next_step=next_step)
