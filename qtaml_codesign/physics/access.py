"""Leakage of the select transistor beside the tunnelling through the oxide."""

from __future__ import annotations

import math

from qtaml_codesign.card_schema.effects import AccessLeakage
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, AMPERE_PER_pA


def log_hazard(leakage: AccessLeakage, electrons: int, window_s: float) -> float:
    """ln of the expected number of times that one electron of the cell leaves through the select transistor.

    x = I tau / (q N): the current of a full cell is N electrons, each of which leaves at the rate I / (q N).

    Args:
        leakage: of the card, at its reference temperature.
        electrons: N of a full cell.
        window_s: tau.

    Returns:
        ln x; -inf where there is no leakage.

    Validity: current in proportion to the charge that is left, as of an ohmic or subthreshold leak at low voltage.
    Source: J. M. Rabaey, A. Chandrakasan, B. Nikolic, Digital Integrated Circuits, ch. 12 (leakage of dynamic nodes).

    Example:
        >>> round(math.exp(log_hazard(AccessLeakage(leakage_pA=0.1), 50, 1e-6)), 6)
        0.012483
    """
    carried_C = leakage.leakage_pA * AMPERE_PER_pA * window_s
    return math.log(carried_C / (ELEMENTARY_CHARGE_C * electrons)) if carried_C > 0.0 else -math.inf
