"""The physics chain laid out over grids of card fields: one row per combination."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import DEFAULT_REGION, DeviceCard
from qtaml_codesign.errors import InputError, did_you_mean
from qtaml_codesign.physics.cell_fields import THICKNESS, is_whole
from qtaml_codesign.physics.flip import flip_probability

COLUMNS = (
    "thickness_nm", "transmission", "escape_probability", "mean_escapes", "flip_probability", "log10_flip_probability",
    "regime",
)
_MOST_ROWS = 1_000_000

Row = tuple[float | int | str, ...]


@dataclass(frozen=True)
class FlipTable:
    """Rows of plain numbers under named columns, with the warnings of all rows together.

    Attributes:
        columns: the fields that vary, then `COLUMNS`.
        rows: one tuple per combination, in the order of the columns.
        warnings: what to doubt (`FlipProbability.warnings`), each once.
        region: whose cell the rows are about.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    region: str


def flip_table(
    card: DeviceCard, thickness_nm: ArrayLike | None = None, *, vary: Mapping[str, NDArray[np.float64]] | None = None,
    tail: str = "binomial",
) -> FlipTable:
    """Flip probability of one cell over thicknesses and over a grid of card fields.

    Args:
        card: the device card.
        thickness_nm: thicknesses in nm; None: the cell's own.
        vary: dotted card field to its values: one of `card.cell_fields`, or one of them in a region,
            `regions.NAME.FIELD`; then the rows are about the cell of that region. Several fields make a grid, the last
            one fastest; they are the leading columns. Whole-number fields take whole numbers only.
        tail: as in `flip_probability`.

    Raises:
        CardError: a value that the card's schema refuses.
        InputError: an unknown field, fields of two regions, a fraction where a whole number belongs, a thickness given
            twice, or more than a million rows.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> table = flip_table(load_card("3nm"), vary={"cell.electrons": np.array([40, 50])})
        >>> table.columns[:2], [row[0] for row in table.rows]
        (('cell.electrons', 'thickness_nm'), [40, 50])
    """
    grid = {field: _values(card, field, values) for field, values in (vary or {}).items()}
    region = _region(grid)
    fixed = card.resolve(region).own_thickness or any(field.endswith(THICKNESS) for field in grid)
    if thickness_nm is not None and fixed:
        raise InputError("the thickness is given twice", where="thickness", value=f"region {region}",
                         rule="a thickness range, or a barrier.thickness_nm that is varied or the region's own",
                         next_step="leave one of the two out")
    _check_size(grid, 1 if thickness_nm is None else np.size(thickness_nm))
    rows, warnings = list[Row](), dict[str, None]()
    for settings in itertools.product(*grid.values()):
        varied = card.with_fields(dict(zip(grid, settings, strict=True))) if grid else card
        flip = flip_probability(varied, thickness_nm, tail=tail, region=region)
        columns = (flip.thickness_nm, flip.transmission, flip.escape_probability, flip.mean_escapes, flip.probability,
                   flip.log10_probability, flip.regime)
        rows.extend((*settings, *row) for row in zip(*(np.ravel(column).tolist() for column in columns), strict=True))
        warnings.update(dict.fromkeys(flip.warnings))
    return FlipTable((*grid, *COLUMNS), tuple(rows), tuple(warnings), region)


def _region(fields: Iterable[str]) -> str:
    """The one region that the fields name; `default` where they name none."""
    found = {field.split(".")[1] for field in fields if field.startswith("regions.")}
    if len(found) > 1:
        raise InputError("fields of several regions are varied", where="vary", rule="fields of one region at most",
                         value=", ".join(sorted(found)), next_step="make one table per region")
    return found.pop() if found else DEFAULT_REGION


def _values(card: DeviceCard, field: str, values: NDArray[np.float64]) -> list[float | int]:
    known = [*card.cell_fields, *(f"regions.{name}.{own}" for name in card.regions for own in card.cell_fields)]
    if field not in known:
        raise InputError(f"{field} does not change the flip probability of a cell, or is unknown", where="vary",
                         rule="a dotted card field that sets the flip probability", value=field,
                         next_step=did_you_mean(field, known))
    numbers = np.asarray(values, dtype=np.float64)
    if not is_whole(field):
        return [float(number) for number in numbers]
    broken = numbers[numbers != np.rint(numbers)]
    if broken.size:
        raise InputError(f"{field} takes whole numbers", where="vary", rule="every value of the range is whole",
                         value=float(broken[0]), next_step="choose N so that the steps are whole, as in 10:50:5")
    return [int(number) for number in numbers]


def _check_size(grid: Mapping[str, list[float | int]], points: int) -> None:
    rows = math.prod(map(len, grid.values()), start=points)
    if rows > _MOST_ROWS:
        raise InputError("the grid is too large", where="vary", rule=f"at most {_MOST_ROWS} rows", value=rows,
                         next_step="take fewer points")
