"""The physics chain laid out over grids of card fields: one row per combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import CELL_FIELDS, DeviceCard
from qtaml_codesign.errors import InputError, did_you_mean
from qtaml_codesign.physics.flip import FlipProbability, flip_probability

COLUMNS = (
    "thickness_nm", "transmission", "escape_probability", "mean_escapes", "flip_probability", "log10_flip_probability",
    "regime",
)
_WHOLE = ("cell.electrons", "cell.flip_threshold")
_THICKNESS = "barrier.thickness_nm"
_MOST_ROWS = 1_000_000

Row = tuple[float | int | str, ...]


@dataclass(frozen=True)
class FlipTable:
    """Rows of plain numbers under named columns, with the warnings of all rows together."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def flip_table(
    card: DeviceCard, thickness_nm: ArrayLike | None = None, *, vary: Mapping[str, NDArray[np.float64]] | None = None,
    tail: str = "binomial",
) -> FlipTable:
    """Flip probability of the base cell over thicknesses and over a grid of card fields.

    Args:
        card: the device card.
        thickness_nm: thicknesses in nm; None: the card's own.
        vary: dotted card field (one of `CELL_FIELDS`) to its values. Several fields make a grid, the last one fastest;
            they are the leading columns. Whole-number fields take whole numbers only.
        tail: as in `flip_probability`.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> table = flip_table(load_card("3nm"), vary={"cell.electrons": np.array([40, 50])})
        >>> table.columns[:2], [row[0] for row in table.rows]
        (('cell.electrons', 'thickness_nm'), [40, 50])
    """
    grid = {field: _values(field, values) for field, values in (vary or {}).items()}
    if _THICKNESS in grid and thickness_nm is not None:
        raise InputError("the thickness is given twice", where="thickness", rule="either a thickness range or a varied "
                         f"{_THICKNESS}", value=_THICKNESS, next_step="leave one of the two out")
    _check_size(grid, thickness_nm)
    rows: list[Row] = []
    warnings: dict[str, None] = {}
    for settings in itertools.product(*grid.values()):
        varied = card
        for field, value in zip(grid, settings, strict=True):
            varied = varied.with_field(field, value)
        flip = flip_probability(varied, thickness_nm, tail=tail)
        rows.extend((*settings, *row) for row in _rows(flip))
        warnings.update(dict.fromkeys(flip.warnings))
    return FlipTable((*grid, *COLUMNS), tuple(rows), tuple(warnings))


def _values(field: str, values: NDArray[np.float64]) -> list[float | int]:
    if field not in CELL_FIELDS:
        raise InputError(f"{field} does not change the flip probability of the base cell, or is unknown", where="vary",
                         rule="a dotted card field that sets the flip probability", value=field,
                         next_step=did_you_mean(field, CELL_FIELDS))
    numbers = np.asarray(values, dtype=np.float64)
    if field not in _WHOLE:
        return [float(number) for number in numbers]
    broken = numbers[numbers != np.rint(numbers)]
    if broken.size:
        raise InputError(f"{field} takes whole numbers", where="vary", rule="every value of the range is whole",
                         value=float(broken[0]), next_step="choose N so that the steps are whole, as in 10:50:5")
    return [int(number) for number in numbers]


def _check_size(grid: Mapping[str, list[float | int]], thickness_nm: ArrayLike | None) -> None:
    sizes = [len(values) for values in grid.values()] + [np.size(thickness_nm) if thickness_nm is not None else 1]
    rows = int(np.prod(sizes, dtype=object))
    if rows > _MOST_ROWS:
        raise InputError("the grid is too large", where="vary", rule=f"at most {_MOST_ROWS} rows", value=rows,
                         next_step="take fewer points")


def _rows(flip: FlipProbability) -> Iterator[Row]:
    columns = [
        np.ravel(column).tolist()
        for column in (
            flip.thickness_nm, flip.transmission, flip.escape_probability, flip.mean_escapes, flip.probability,
            flip.log10_probability, flip.regime,
        )
    ]
    yield from zip(*columns, strict=True)
