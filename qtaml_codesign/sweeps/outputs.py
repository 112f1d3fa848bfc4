"""The folder of a sweep: its files are written whole or not at all, and those of other options are kept."""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from qtaml_codesign.errors import StoreError
from qtaml_codesign.files import write_whole
from qtaml_codesign.plots.saving import FORMATS
from qtaml_codesign.sweeps.task import content_digest

RECORD = "run.json"
TABLES = ("sweep.csv", "knots.csv", "frontier.csv", *(f"frontier.{kind}" for kind in FORMATS), RECORD)
_PACKAGES = ("qtaml-codesign", "numpy", "scipy", "numba", "torch", "pandas", "matplotlib")


@contextlib.contextmanager
def result_folder(folder: str | Path) -> Iterator[Path]:
    """The folder, made if missing; what was made goes again where nothing was written into it by the end.

    Args:
        folder: its path.

    Raises:
        StoreError: it cannot be written to.
    """
    path = Path(folder)
    made = [place for place in (path, *path.parents) if not place.exists()]
    try:
        yield writable_folder(path)
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # not empty
                place.rmdir()


def writable_folder(folder: str | Path) -> Path:
    """The folder, made if missing, once a file could really be written there.

    Args:
        folder: its path.

    Raises:
        StoreError: it could not.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as failure:
        taken = path.exists() and not path.is_dir()
        raise StoreError(
            "the folder for the results cannot be used", where=f"{path} (--out)",
            rule="a folder that can be written to, or a name for a new one",
            value="a file of that name exists" if taken else failure.strerror or failure,
            next_step="choose another folder with --out",
        ) from failure
    return path


def standing_options(folder: Path) -> dict[str, Any] | None:
    """The options of the run whose tables stand in a folder; None where none stand there.

    Tables of a version that did not record them, and those of a `run.json` that cannot be read, have options of their
    own: the digest of what is there.

    Args:
        folder: of a sweep.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(text)["options"]
        if isinstance(found, dict):
            return found
    return {"record": content_digest({"text": text})}


def earlier_folder(folder: Path, options: Mapping[str, Any]) -> Path:
    """Where tables of other options are kept: in earlier/, under the first 8 digits of the digest of their options.

    Args:
        folder: of the sweep.
        options: those of the tables, plain values.
    """
    return folder / "earlier" / content_digest(dict(options))[:8]


def write_files(folder: Path, files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[Path, ...]:
    """Replace the tables of a folder; those of other options are moved to earlier/ first.

    Args:
        folder: a writable folder.
        files: content by name, of `TABLES`; what is not among them is removed.
        options: what was asked for, as in the record of the run.

    Returns:
        The paths of what was written.

    Raises:
        StoreError: a file cannot be written.
    """
    standing = standing_options(folder)
    if standing is not None and standing != dict(options):
        kept = writable_folder(earlier_folder(folder, standing))
        for name in TABLES:  # run.json, which names the others, goes last
            if (folder / name).exists():
                (folder / name).replace(kept / name)
    for name in set(TABLES) - set(files):
        (folder / name).unlink(missing_ok=True)
    return tuple(write_whole(folder / name, content, str(folder / name)) for name, content in files.items())


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV with '\\n' line ends and the shortest decimals that read back to the same float64; NaN is empty.

    Args:
        table: as it is to be written, without its index.

    Example:
        >>> csv_text(pd.DataFrame({"overhead": [0.1, float("nan")]}))
        'overhead\\n0.1\\n""\\n'
    """
    return str(table.to_csv(index=False, lineterminator="\n"))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def command_line() -> str:
    """The command as typed, with the program's bare name."""
    return shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])
