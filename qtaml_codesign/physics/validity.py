"""Where a flip probability comes from (its regime) and where it stops being trustworthy (its warnings).

None of these limits stops a calculation; they travel with the number.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.cards import CellParameters
from qtaml_codesign.physics.effect_validity import effect_warnings

RARE_BELOW: Final = 0.1
LEAST_ACTION: Final = 2.5
LEAST_THICKNESS_nm: Final = 0.5
LEAST_ELECTRONS: Final = 10
LARGEST_CHARGE_LOSS: Final = 0.3
LEAST_STEP_nm: Final = 0.01


def regime(mean_escapes: NDArray[np.float64], electrons: int, flip_threshold: int) -> NDArray[np.str_]:
    """Regime by the mean number of escapes lambda = N p_esc against the j = k_th + 1 that a flip needs.

    rare: lambda < 0.1 j; high-escape: lambda > min(j, N 2^(-1/j)), where p_flip is above about one half; transition
    between. The second of the two is the smaller one where j = N: then p_flip = p_esc^N, and lambda never exceeds j.

    Args:
        mean_escapes: lambda, any shape.
        electrons: N.
        flip_threshold: k_th.

    Example:
        >>> regime(np.array([0.01, 2.5, 40.0]), 50, 4).tolist(), regime(np.array([0.4, 1.0]), 1, 0).tolist()
        (['rare', 'transition', 'high-escape'], ['transition', 'high-escape'])
    """
    needed = flip_threshold + 1.0
    names = np.where(mean_escapes < RARE_BELOW * needed, "rare", "transition")
    return np.where(mean_escapes > min(needed, electrons * 0.5 ** (1.0 / needed)), "high-escape", names)


def warnings_for(
    cell: CellParameters, thickness_nm: NDArray[np.float64], log_flip: NDArray[np.float64], tail: str
) -> tuple[str, ...]:
    """What to doubt about a result, over all its points; empty when nothing is known to be wrong.

    Args:
        cell: the cell; its own thickness is not used.
        thickness_nm: thicknesses in nm, any shape.
        log_flip: ln p_flip there.
        tail: name of the tail that was used.
    """
    thinnest, electrons, needed = float(np.min(thickness_nm)), cell.electrons, cell.flip_threshold + 1
    least = cell.barrier.action(thinnest)
    step_nm = 1.0 / (cell.barrier.slope_per_nm(thinnest) * math.sqrt(needed))
    found = [
        (least < LEAST_ACTION,
         f"WKB action {least:.3g} at {thinnest:.4g} nm is below {LEAST_ACTION}: WKB is not valid there"),
        (thinnest < LEAST_THICKNESS_nm,
         f"thickness {thinnest:.4g} nm is below {LEAST_THICKNESS_nm} nm, where no oxide is a plain barrier"),
        (cell.attempts < 1.0,
         f"only {cell.attempts:.3g} attempts in the window: an electron hardly meets the barrier once"),
        (electrons < LEAST_ELECTRONS and cell.escape.field is None,
         f"{electrons} electrons: each escape changes the barrier (charging energy), which is not modelled"),
        (needed >= LARGEST_CHARGE_LOSS * electrons and cell.escape.field is None,
         f"a flip takes {needed} of {electrons} electrons: the field falls as the cell empties, which is not modelled"),
        (step_nm < LEAST_STEP_nm,
         f"the flip is a step in thickness of about {step_nm:.2g} nm, sharper than oxides are controlled"),
        (bool(np.max(log_flip) >= math.log(0.5)), "p_flip reaches 0.5 or more: what is read says nothing"),
        (tail != "binomial", f"the {tail} tail is an approximation of the binomial one"),
    ]
    effects = effect_warnings(cell, thickness_nm, log_flip)
    return (*(text for applies, text in found if applies), *effects)
