"""Oxides of other thickness from cell to cell: the flip probability averaged over an array.

    mean p(d) = E[p_flip(d + sigma z)],   z ~ N(0, 1);   a cell whose d + sigma z is 0 or less has no oxide left and
                                          is taken at the thinnest one that a card may have, 0.001 nm

by the trapezoid rule in d, with terms added in logs; of p and 1 - p the smaller one, which gives the other. p_flip is a
step in thickness whose width is w = 1/(S' sqrt(k_th + 1)), S' = dS/dd: the step of the rule is at most w/2, 1/(4 S')
and sigma/2, rounded down to a power of two in nm. Its nodes are multiples of it, so that all thicknesses of a curve
share them, and p_flip is worked out once for each.

Trapezoid rules of analytic functions converge exponentially, and quietly fail where their step or their range is wrong.
So both are looked at: where every other node alone gives another mean (by more than 1e-5), the step is halved; where a
term at the end of the range is not lost beside the largest one, the range is doubled; beyond 2^18 nodes it is an error.
Gauss-Hermite nodes are not: where sigma exceeds w they miss the step, and say nothing.

Validity: cells of an array whose mean thicknesses are independent and Gaussian. Roughness within one cell is another
effect (`escape.roughness_nm`).
Source: Trefethen, Weideman, "The exponentially convergent trapezoidal rule", SIAM Review 56 (2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.card_schema.quantities import QUANTITIES
from qtaml_codesign.cards import CellParameters
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.escape import EscapeLogs

Array = NDArray[np.float64]
LogsOf = Callable[[CellParameters, Array], EscapeLogs]

THINNEST_nm: Final = QUANTITIES["thickness_nm"].low
MOST_NODES: Final = 2**18
_REACH = 10.0
_LOST = 37.0
_SAME = 1e-5
_AT_ONCE = 2**19


def averaged_logs(cell: CellParameters, thickness_nm: Array, logs_of: LogsOf) -> EscapeLogs:
    """Logs of p_flip and 1 - p_flip averaged over the cells of an array; those of one electron at the mean thickness.

    Args:
        cell: with its variation; its own thickness is not used.
        thickness_nm: mean thicknesses, any shape.
        logs_of: the logs of a cell without variation at thicknesses of any shape.

    Raises:
        InputError: more than 2^18 nodes would be needed.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> from qtaml_codesign.physics.flip import flip_probability
        >>> card = load_card("3nm").with_field("variation", {"thickness_sigma_nm": 0.03})
        >>> print(round(float(flip_probability(card).probability), 6))  # 0.099974 where all cells are alike
        0.142545
    """
    one, centre = replace(cell, variation=None), np.ravel(thickness_nm)
    logs, sigma_nm = logs_of(one, thickness_nm), spread_nm(cell)
    if sigma_nm == 0.0:
        return logs
    steps = power_of_two(np.minimum(resolving_step_nm(one, centre, 4.0 * sigma_nm), 0.5 * sigma_nm))
    means = np.empty((2, centre.size))
    for step_nm in np.unique(steps).tolist():
        its = steps == step_nm
        means[:, its] = _Rule(one, sigma_nm, logs_of, step_nm, _REACH).means(centre[its])
    rare = means.argmin(axis=0)
    means[1 - rare, np.arange(centre.size)] = np.log1p(-np.exp(means.min(axis=0)))
    log_flip, log_no_flip = means.reshape((2, *np.shape(thickness_nm)))
    return EscapeLogs(logs.log_escape, logs.log_stay, log_flip, log_no_flip)


class Remembered:
    """Logs of one cell without variation, each thickness worked out once: neighbouring means share most of their nodes.

    Args:
        logs_of: as in `averaged_logs`, for one and the same cell in all calls.
    """

    def __init__(self, logs_of: LogsOf) -> None:
        self._logs_of = logs_of
        self._known: dict[float, Array] = {}

    def __call__(self, cell: CellParameters, thickness_nm: Array) -> EscapeLogs:
        """The logs at thicknesses of any shape.

        Args:
            cell: the one cell.
            thickness_nm: d.
        """
        places = np.ravel(thickness_nm).tolist()
        unknown = list(dict.fromkeys(place for place in places if place not in self._known))
        if unknown:
            found = np.stack(self._logs_of(cell, np.array(unknown)), axis=-1)
            self._known.update(zip(unknown, found, strict=True))
        found = np.array([self._known[place] for place in places])
        return EscapeLogs(*np.moveaxis(found, -1, 0).reshape((4, *np.shape(thickness_nm))))


def spread_nm(cell: CellParameters) -> float:
    """Standard deviation of the thickness from cell to cell, 0 where the cells are alike.

    Args:
        cell: any.
    """
    return 0.0 if cell.variation is None else cell.variation.thickness_sigma_nm


def resolving_step_nm(cell: CellParameters, thickness_nm: Array, reach_nm: float) -> Array:
    """Steps of the thickness that resolve p_flip: min(w / 2, 1 / (4 S')).

    S' is the steeper one of the chords over `reach_nm` below and above, or half the thickness where that is less.

    Args:
        cell: its own thickness is not used.
        thickness_nm: (points,) around which.
        reach_nm: > 0.
    """
    away = np.minimum(reach_nm, 0.5 * thickness_nm)
    below, here, above = (cell.barrier.action(thickness_nm + side * away) for side in (-1.0, 0.0, 1.0))
    slope_per_nm = np.maximum(here - below, above - here) / away
    return min(0.25, 0.5 / math.sqrt(cell.flip_threshold + 1.0)) / slope_per_nm


def power_of_two(values: Array) -> Array:
    """The largest power of two that is not above each value.

    Args:
        values: > 0.

    Example:
        >>> power_of_two(np.array([0.3, 0.25])).tolist()
        [0.25, 0.25]
    """
    return np.asarray(np.exp2(np.floor(np.log2(values))))


@dataclass(frozen=True)
class _Rule:
    """The trapezoid rule over multiples of its step, as far as `reach` standard deviations to both sides."""

    cell: CellParameters
    sigma_nm: float
    logs_of: LogsOf
    step_nm: float
    reach: float

    def means(self, centre_nm: Array) -> Array:
        """(2, points) ln E[p] and ln E[1 - p] at mean thicknesses (points,)."""
        half = math.ceil(self.reach * self.sigma_nm / self.step_nm)
        if 2 * half + 1 > MOST_NODES:
            raise _too_many(self.sigma_nm, self.step_nm, self.reach)
        found, short, coarse = np.empty((2, centre_nm.size)), *np.empty((2, centre_nm.size), bool)
        at_once = max(1, _AT_ONCE // (2 * half + 1))
        for first in range(0, centre_nm.size, at_once):
            its = slice(first, first + at_once)
            found[:, its], short[its], coarse[its] = self._sums(centre_nm[its], half)
        for again, rule in ((short, replace(self, reach=2.0 * self.reach)),
                            (coarse & ~short, replace(self, step_nm=0.5 * self.step_nm))):
            if again.any():
                found[:, again] = rule.means(centre_nm[again])
        return found

    def _sums(self, centre_nm: Array, half: int) -> tuple[Array, Array, Array]:
        """Means (2, points), and where the range is too short or the step too coarse."""
        index = np.rint(centre_nm / self.step_nm)[:, None] + np.arange(-half, half + 1)
        nodes, where = np.unique(index, return_inverse=True)
        logs = self.logs_of(self.cell, np.maximum(nodes * self.step_nm, THINNEST_nm))
        weights = -0.5 * ((index * self.step_nm - centre_nm[:, None]) / self.sigma_nm) ** 2
        terms = np.stack([logs.log_flip, logs.log_no_flip])[:, where.reshape(index.shape)] + weights
        found, coarse = (_log_sum(terms[..., every]) - _log_sum(weights[:, every])
                         for every in (slice(None), slice(None, None, 2)))
        short = np.maximum(terms[..., 0], terms[..., -1]) > terms.max(axis=-1) - _LOST
        unlike = np.abs(found - coarse) > _SAME
        return np.minimum(found, 0.0), np.any(short, axis=0), np.any(unlike, axis=0)


def _log_sum(logs: Array) -> Array:
    """ln sum exp over the last axis."""
    most = logs.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logs - most[..., None]).sum(axis=-1)))


def _too_many(sigma_nm: float, step_nm: float, reach: float) -> InputError:
    return InputError(
        "the average over the cells' thickness needs too many points", where="variation.thickness_sigma_nm",
        rule=f"at most {MOST_NODES} of them", value=f"steps of {step_nm:.3g} nm over +- {reach:g} x {sigma_nm:g} nm",
        next_step="give a smaller sigma, or a cell whose flip is a less sharp step in thickness",
    )
