"""Cells that each keep an oxide of their own: the flip rate of every cell of an array, from a table in thickness.

    r(z) = p_flip(d + sigma z),   z ~ N(0, 1) of the cell,   E[r(z)] = mean p(d) of `physics.variation`

The table holds ln p_flip at multiples of a step that is a power of two in nm, as far as rates are neither 0 nor 1 in
float64. Between two knots stands their cubic with slopes by five-point differences, cut so that it never rises with
thickness. So an oxide of one thickness has one rate, whatever the array's mean is, and the flips of a chip nest over
thickness: exactly where the barrier's slope asks for the same step at both, and within the table's accuracy elsewhere.

Accuracy: rates above 1e-12, and their mean over all cells, are within 2e-7 relative on all shipped cards that have a
sweep range, for sigma up to 0.1 nm (measured in tests/test_physics_own_rates.py).
Source: Fritsch, Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 17 (1980), for the slopes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import kernels
from qtaml_codesign.physics.chain import log_flip
from qtaml_codesign.physics.escape import Tail
from qtaml_codesign.physics.variation import THINNEST_nm, power_of_two, resolving_step_nm, spread_nm

Array = NDArray[np.float64]

FARTHEST: Final = 8.3
"""Beyond the z of any cell: its 52 random bits reach 8.21."""
_FINER = 4.0
_MARGIN = 3
_NEVER, _SURE = -745.0, -1e-17
"""Rates below and above which the table ends: they are 0 and 1 in float64."""
_SAME = 1e-9


@dataclass(frozen=True)
class OwnRates:
    """Flip rates of the cells of one bit plane by the deviation z of their thickness.

    Attributes:
        mean: flip probability over all cells.
        thickness_nm: mean thickness d.
        sigma_nm: standard deviation of the cells' thickness.
        step_nm: of the knots.
        first: the thickness of knot 0, in steps.
        logs: ln p_flip at the knots.
    """

    mean: float
    thickness_nm: float
    sigma_nm: float
    step_nm: float
    first: int
    logs: tuple[float, ...]

    def rates(self, z: Array) -> Array:
        """r(z) of cells, shape of z; beyond the knots, as at the last of them.

        Args:
            z: deviations from the mean thickness, in standard deviations, any shape.

        Example:
            >>> from qtaml_codesign.cards import load_card
            >>> cell = load_card("3nm").with_field("variation", {"thickness_sigma_nm": 0.03}).resolve()
            >>> own_rates(cell, 1.765, mean=0.142547).rates(np.array([-1.0, 0.0, 1.0])).round(4).tolist()
            [0.2587, 0.1, 0.0317]
        """
        least, most = ((self.first + place) * self.step_nm for place in (2.0, len(self.logs) - 3.5))
        thickness: Array = np.clip(self.thickness_nm + self.sigma_nm * np.ravel(z), least, most)
        found = np.empty_like(thickness)
        kernels.piecewise_cubic(thickness, least, 1.0 / self.step_nm, self._cubics, found)
        rates: Array = np.exp(np.minimum(found, 0.0)).reshape(np.shape(z))
        return rates

    @cached_property
    def _cubics(self) -> Array:
        """(pieces, 4) from knot 2 on; two knots at either end serve the slopes alone."""
        logs = np.array(self.logs)
        rise = np.diff(logs)
        slope = (8.0 * (logs[3:-1] - logs[1:-3]) - (logs[4:] - logs[:-4])) / 12.0
        slope = np.clip(slope, 3.0 * np.maximum(rise[1:-2], rise[2:-1]), 0.0)
        before, after, rise = slope[:-1], slope[1:], rise[2:-2]
        return np.stack([logs[2:-3], before, 3.0 * rise - 2.0 * before - after, before + after - 2.0 * rise], axis=-1)

    def to_json(self) -> dict[str, Any]:
        """Plain dict; every float survives JSON exactly."""
        return asdict(self) | {"logs": list(self.logs)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> OwnRates:
        """Read back what `to_json` wrote.

        Args:
            fields: what `to_json` gave.
        """
        return cls(**{**fields, "logs": tuple(fields["logs"])})


def own_rates(cell: CellParameters, thickness_nm: float, mean: float, tail: Tail = "binomial") -> OwnRates:
    """The table of a cell with variation.

    Args:
        cell: its own thickness is not used.
        thickness_nm: mean thickness d.
        mean: flip probability over all cells, of `physics.variation`.
        tail: as in `escape.escape_logs`.
    """
    one, sigma_nm = replace(cell, variation=None), spread_nm(cell)
    reach_nm = FARTHEST * sigma_nm
    near = resolving_step_nm(one, np.array([thickness_nm]), max(reach_nm, 0.01))
    step_nm = float(power_of_two(near / _FINER)[0])
    first = math.floor((thickness_nm - reach_nm) / step_nm) - _MARGIN
    last = math.ceil((thickness_nm + reach_nm) / step_nm) + _MARGIN
    logs = log_flip(one, np.maximum(np.arange(first, last + 1) * step_nm, THINNEST_nm), tail)
    unsure = np.flatnonzero((logs > _NEVER) & (logs < _SURE))
    start, end = (max(0, unsure[0] - _MARGIN), unsure[-1] + _MARGIN) if unsure.size else (0, 2 * _MARGIN)
    return OwnRates(mean, thickness_nm, sigma_nm, step_nm, first + int(start), tuple(logs[start:end + 1].tolist()))


@dataclass(frozen=True, eq=False)
class OwnThickness:
    """The cells of one region that keep their own rates, at mean thicknesses of any shape S.

    Attributes:
        cells: one for all bit planes, or one for each.
        thickness_nm: mean thickness (S) of the cells that do not set their own.
        tail: as in `escape.escape_logs`.
    """

    cells: tuple[CellParameters, ...]
    thickness_nm: Array
    tail: Tail

    def at(self, place: tuple[int, ...]) -> OwnThickness:
        """The same at one point of S.

        Args:
            place: its index.
        """
        return replace(self, thickness_nm=self.thickness_nm[place])

    def tables(self, rates: Array) -> tuple[OwnRates, ...]:
        """A table for all planes, or for each.

        Args:
            rates: (B,) flip probability over all cells of each plane.
        """
        return tuple(own_rates(cell, cell.thickness_nm if cell.own_thickness else float(self.thickness_nm), float(rate),
                               self.tail)
                     for cell, rate in zip(self.cells, rates, strict=False))


def check_own_rates(tables: tuple[OwnRates, ...], rates: Array, spread: float) -> None:
    """Whether tables of cells' own rates belong to these rates of bit planes.

    Args:
        tables: none, one for all planes, or one for each.
        rates: (directions, B) rates of the planes.
        spread: another way in which the cells differ; 0 = none.

    Raises:
        InputError: another number of tables, a rate that is neither zero nor the mean of its plane's table, or a
            spread beside tables.
    """
    if not tables:
        return
    if spread != 0.0:
        raise InputError("cells have one rate of their own, not two", where="own_rates, spread", value=spread,
                         rule="one of the two", next_step="leave one of the two out")
    if len(tables) not in (1, rates.shape[-1]):
        raise InputError("the cells' own rates do not fit the bit planes", where="own_rates", value=len(tables),
                         rule=f"one table, or {rates.shape[-1]} (plane 0 = LSB first)", next_step="give one table")
    means = np.array([table.mean for table in tables])
    if not ((rates == 0.0) | (np.abs(rates - means) <= _SAME * means)).all():
        raise InputError("cells that keep their own rates cannot be given others", where="own_rates",
                         rule="each rate is zero, or the mean over the cells", value=rates.tolist(),
                         next_step="set variation.cells to mean on the card, or leave out what changes the rates")
