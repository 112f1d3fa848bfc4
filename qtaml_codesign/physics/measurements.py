"""Measured curves that a card can be calibrated to: retention and leakage, read from CSV files."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.errors import InputError, did_you_mean

Array = NDArray[np.float64]
_RETENTION: Final = ("time_s", "bit_error_rate")
_LEAKAGE: Final = ("voltage_V", "current_density_A_per_cm2")
_EXTRA: Final = ("temperature_K", "bits")
_BOUNDS: Final = {
    "time_s": (0.0, math.inf), "bit_error_rate": (0.0, 1.0), "temperature_K": (0.0, 1e4), "bits": (1.0, math.inf),
    "voltage_V": (0.0, 100.0), "current_density_A_per_cm2": (0.0, math.inf),
}


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
    wanted = _RETENTION if _RETENTION[0] in columns or _RETENTION[1] in columns else _LEAKAGE
    extra = _EXTRA if wanted is _RETENTION else _EXTRA[:1]
    for name in wanted:
        if name not in columns:
            raise _refused(path, "a column is missing", f"columns {' and '.join(wanted)}", ", ".join(columns),
                           did_you_mean(name, columns))
    for name in columns:
        if name not in (*wanted, *extra):
            raise _refused(path, "unknown column", f"columns among {', '.join((*wanted, *extra))}", name,
                           did_you_mean(name, (*wanted, *extra)))
    held = {name: columns[name] for name in (*wanted, *extra) if name in columns}
    return RetentionCurve(**held) if wanted is _RETENTION else LeakageCurve(**held)


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
            step = "leave out points without errors: their logarithm says nothing" if value == low else "correct it"
            raise _refused(path, f"row {line} does not hold a usable {name}", f"a number, {low:g} < {name} < {high:g}",
                           ", ".join(row), step)
        found.append(value)
    return np.array(found)


def _refused(path: str | Path, what: str, rule: str, value: object, next_step: str) -> InputError:
    return InputError(what, where=f"{path} (--data)", rule=rule, value=value, next_step=next_step)
