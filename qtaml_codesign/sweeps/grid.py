"""The oxide thicknesses of a sweep: those of a card, and those that a caller names."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.checks import plain_array
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.flip import flip_probability, thickness_for

GRID_FLIP_PROBABILITIES = (0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 3e-3, 1e-3, 1e-4, 1e-6)

_SAME_NM = 1e-6
_CLOSE = 0.002


def thickness_grid(card: DeviceCard) -> NDArray[np.float64]:
    """Default grid of a card in nm, rising, shape (n,).

    The ends of the card's sweep range, its own thickness, and the thicknesses at which the flip probability of its
    base cell takes the values of `GRID_FLIP_PROBABILITIES`, as far as they lie in the range and not within 0.2 % of
    its width of the others: close together where the accuracy changes, few where it does not.

    Args:
        card: the device card.

    Raises:
        InputError: the card names no range.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> grid = thickness_grid(load_card("3nm"))
        >>> bool((np.diff(grid) > 0).all())
        True
    """
    own = float(card.barrier.thickness_nm)
    if card.sweep is None:
        raise InputError(
            "the card names no range of oxide thickness to sweep", where=f"card {card.name!r}, sweep.thickness_nm",
            rule="a card with a sweep range, or a range given with the command", value="(none)",
            next_step=f"give one, for instance --thickness {0.9 * own:.3g}:{1.1 * own:.3g}:12",
        )
    low, high = (float(end) for end in card.sweep.thickness_nm)
    fixed = [low, high, *([own] if low < own < high else [])]
    near, far = (float(flip_probability(card, end).probability) for end in (high, low))
    wanted = [float(thickness_for(card, chance)) for chance in GRID_FLIP_PROBABILITIES if near <= chance <= far]
    apart = [found for found in wanted if min(abs(found - point) for point in fixed) > _CLOSE * (high - low)]
    return np.unique([point for point in [*fixed, *apart] if low <= point <= high])


def checked_grid(thickness_nm: ArrayLike) -> NDArray[np.float64]:
    """A caller's grid as a rising float64 array of shape (n,), in nm.

    Args:
        thickness_nm: one oxide thickness in nm, or several.

    Raises:
        InputError: what was given is no set of thicknesses.
    """
    given = np.atleast_1d(plain_array("thickness_nm", thickness_nm, "numbers in nm", "give for instance [1.72, 1.8]"))
    if given.dtype.kind not in "fiu" or given.ndim != 1 or given.size == 0:
        raise _grid_error("one or more numbers in nm, one axis", thickness_nm)
    grid = np.sort(given.astype(np.float64))
    if not (np.isfinite(grid) & (grid > 0.0)).all():
        raise _grid_error("finite and > 0 nm", thickness_nm)
    if (np.diff(grid) <= _SAME_NM).any():
        raise _grid_error(f"no thickness twice (closer than {_SAME_NM:g} nm)", thickness_nm)
    return grid


def _grid_error(rule: str, value: object) -> InputError:
    return InputError("the grid of oxide thickness is not usable", where="thickness_nm (--thickness)", rule=rule,
                      value=value, next_step="give for instance --thickness 1.72:1.95:12, or an array in nm")


def ends_of(grid: NDArray[np.float64]) -> tuple[float, float]:
    """The thinnest and the thickest of a grid, in nm.

    Args:
        grid: rising, in nm.

    Raises:
        InputError: one thickness is no range.

    Example:
        >>> ends_of(np.array([1.7, 1.8, 2.2]))
        (1.7, 2.2)
    """
    if len(grid) == 1:
        raise InputError("one thickness is no range to search", where="thickness_nm (--thickness)",
                         rule="the two ends of a range", value=float(grid[0]), next_step="give for instance 1.7:2.2")
    return float(grid[0]), float(grid[-1])
