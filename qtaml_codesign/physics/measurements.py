"""Measured curves that a card can be calibrated to: retention and leakage, read from CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]
_RETENTION: Final = ("time_s", "bit_error_rate")
_LEAKAGE: Final = ("voltage_V", "current_density_A_per_cm2")
_EXTRA: Final = ("temperature_K", "bits")
_BOUNDS: Final = {
    "time_s": (0.0, math.inf), "bit_error_rate": (0.0, 1.0), "temperature_K": (0.0, 1e4), "bits": (1.0, math.inf),
    "voltage_V": (0.0, 100.0), "current_density_A_per_cm2": (0.0, math.inf),
}
_KINDS: Final = f"columns {' and '.join(_RETENTION)} (retention), or {' and '.join(_LEAKAGE)} (leakage)"
_ALIKE: Final = {
    "time_s": (("time", "t_"), "in seconds"), "bit_error_rate": (("bit_", "ber", "err"), "as a share, 0 to 1"),
    "voltage_V": (("volt", "v_"), "in volts"), "current_density_A_per_cm2": (("current", "j_"), "in A/cm2"),
    "temperature_K": (("temp",), "in kelvin"), "bits": (("n_bits", "bits_"), "that were read"),
}
"""How other names of a column begin, and what it holds."""


@dataclass(frozen=True, eq=False)
class RetentionCurve:
    """Share of stored bits that were found flipped after a time.

    Attributes:
        time_s: (n,) since the bits were written.
        bit_error_rate: (n,) in (0, 1), of all stored bits.
        temperature_K: (n,); None where the file holds no such column.
        bits: (n,) that were read at each point; None where the file does not say.
    """

    time_s: Array
    bit_error_rate: Array
    temperature_K: Array | None = None
    bits: Array | None = None


@dataclass(frozen=True, eq=False)
class LeakageCurve:
    """Current density through the oxide of a capacitor.

    Attributes:
        voltage_V: (n,) across the oxide.
        current_density_A_per_cm2: (n,) > 0.
        temperature_K: (n,); None where the file holds no such column.
    """

    voltage_V: Array
    current_density_A_per_cm2: Array
    temperature_K: Array | None = None


def read_measurements(path: str | Path) -> RetentionCurve | LeakageCurve:
    """A measured curve; which kind it is, its columns say.

    Args:
        path: a CSV file with the columns time_s and bit_error_rate, or voltage_V and current_density_A_per_cm2, and
            where known temperature_K, and bits that were read for each error rate.

    Raises:
        InputError: no such file, other columns, or values that cannot be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "retention.csv")
        ...     _ = file.write_text("time_s,bit_error_rate\\n1e-6,0.1\\n2e-6,0.3\\n")
        ...     read_measurements(file).bit_error_rate.tolist()
        [0.1, 0.3]
    """
    columns = _columns(Path(path))
    wanted = _RETENTION if any(_present(name, columns) for name in _RETENTION) else _LEAKAGE
    extra = _EXTRA if wanted is _RETENTION else _EXTRA[:1]
    if not set(wanted) <= set(columns):
        raise _refused(path, "a column is missing", _KINDS, ", ".join(columns), _renaming(wanted, columns))
    for name in columns:
        if name not in (*wanted, *extra):
            raise _refused(path, "unknown column", f"columns among {', '.join((*wanted, *extra))}", name,
                           _instead(name, [one for one in extra if one not in columns]))
    held = {name: columns[name] for name in (*wanted, *extra) if name in columns}
    return RetentionCurve(**held) if wanted is _RETENTION else LeakageCurve(**held)


def _present(name: str, columns: Iterable[str]) -> bool:
    return name in columns or _meant(name, columns) is not None


def _meant(name: str, columns: Iterable[str]) -> str | None:
    """The column of another name that begins like this one."""
    others = (column for column in columns if column not in _ALIKE)
    return next((column for column in others if column.lower().startswith(_ALIKE[name][0])), None)


def _renaming(names: Iterable[str], columns: Collection[str]) -> str:
    """What to do about the columns of these names that are not there."""
    steps = []
    for name in names:
        if name not in columns:
            column, holds = _meant(name, columns), _ALIKE[name][1]
            steps.append(f"rename {column} to {name}, {holds}" if column else f"add {name}, {holds}")
    return "; ".join(steps)


def _instead(column: str, free: Iterable[str]) -> str:
    """What to do with a column that is not known, where these names are free."""
    meant = [name for name in free if _meant(name, [column])]
    return f"{_renaming(meant, [column])}, or remove it" if meant else "remove it"


def _columns(path: Path) -> dict[str, Array]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, ValueError) as failure:
        raise _refused(path, f"the file cannot be read: {failure}", "a CSV file in UTF-8", path.name,
                       "check the path") from None
    if len(lines) < 2:
        raise _refused(path, "the file holds no values", "a line of names, then lines of numbers", len(lines),
                       "see `codesign calibrate --help`")
    names = [cell.strip() for cell in lines[0]]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise _refused(path, "the values are not separated by commas", "commas between values, points in numbers",
                       names[0], "write commas instead of semicolons or tabs")
    if len(set(names)) < len(names):
        raise _refused(path, "a column stands twice", "each name once", ", ".join(names), "rename one")
    return {name: _numbers(path, name, place, lines) for place, name in enumerate(names)}


def _numbers(path: Path, name: str, place: int, lines: list[list[str]]) -> Array:
    low, high = _BOUNDS.get(name, (-math.inf, math.inf))
    found = []
    for line, row in enumerate(lines[1:], start=2):
        try:
            value = float(row[place]) if len(row) == len(lines[0]) else math.nan
        except ValueError:
            value = math.nan
        if not low < value < high and not (name == "bits" and value == low):
            raise _refused(path, f"row {line} does not hold a usable {name}", f"a number, {low:g} < {name} < {high:g}",
                           ", ".join(row), _correction(name, value, low))
        found.append(value)
    return np.array(found)


def _correction(name: str, value: float, low: float) -> str:
    if value == low:
        return "leave out points without errors: their logarithm says nothing"
    return "in percent? divide by 100" if name == "bit_error_rate" and value > 1.0 else "correct it"


def _refused(path: str | Path, what: str, rule: str, value: object, next_step: str) -> InputError:
    return InputError(what, where=f"{path} (--data)", rule=rule, value=value, next_step=next_step)
