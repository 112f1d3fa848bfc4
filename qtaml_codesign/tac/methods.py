"""What each protection method scores layers by, and the depths it chooses.

`tac` and its relatives differ in three choices only: the score that stands for a layer's importance, the rule
that spends the budget, and how the mean is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Score = Literal["jacobian", "magnitude", "sensitivity"]
Rule = Literal["allocate", "uniform", "fractional", "random", "random-layers", "nothing", "rows", "cells"]
Correction = Literal["decided", "rescaled", "always", "where-unprotected", "to-slope", "never"]


@dataclass(frozen=True)
class MethodRule:
    """How a protection method works.

    Attributes:
        score: `jacobian` ||W||_inf^2 J^2, `magnitude` ||W||_inf^2, `sensitivity` measured output deviation per weight.
        spend: `allocate` by score, `uniform` whole planes of all layers, `fractional` the same and one more plane on
            an even share of the weights, `random` any planes of any layers, `random-layers` the next planes of random
            layers (both keyed by the seed), or `nothing`. `rows` shares protected bits out over the rows of each layer,
            and `cells` spends cells per weight: methods that choose the store itself (`tac.stores`).
        correction: of the mean, by name in `correction.RULES`.
        label: short name for tables and plots.
        summary: one line for the reader.
    """

    score: Score
    spend: Rule
    correction: Correction
    label: str
    summary: str

    @property
    def needs_gains(self) -> bool:
        """Whether the depths follow from Jacobian gains; layers inside residual blocks then keep one plane at least."""
        return self.score == "jacobian" and self.spend == "allocate"

    @property
    def chooses_store(self) -> bool:
        """Whether the method chooses how weights are held, beyond which planes of plain codes are protected."""
        return self.spend in ("rows", "cells")


def _tac(correction: Correction, label: str, summary: str) -> MethodRule:
    return MethodRule("jacobian", "allocate", correction, label, summary)


METHOD_RULES: dict[str, MethodRule] = {
    "tac": _tac("decided", "TAC", "Algorithm 1: allocation and mean correction"),
    "tac-bits-only": _tac("never", "TAC, bits only", "TAC's allocation without mean correction"),
    "tac-always-corrected": _tac("always", "TAC, always corrected", "TAC's allocation, all corrected"),
    "tac-rescaled": _tac("rescaled", "TAC, rescaled", "TAC with the correction as a readout gain, nothing clipped"),
    "tac-unprotected-corrected": _tac(
        "where-unprotected", "TAC, unprotected corrected", "TAC's allocation, corrected where no plane is protected"
    ),
    "tac-slope-corrected": _tac(
        "to-slope", "TAC, slope corrected", "TAC's allocation, every layer corrected by its own slope"
    ),
    "mean-only": MethodRule(
        "jacobian", "nothing", "always", "mean correction only", "mean correction of every layer, no ECC"
    ),
    "uniform-msp": MethodRule("jacobian", "uniform", "never", "Uniform-MSP", "the same protected MSBs on every layer"),
    "uniform-msp-fractional": MethodRule(
        "jacobian", "fractional", "never", "Uniform-MSP, fractional",
        "Uniform-MSP, the rest of the budget on an even share of the weights",
    ),
    "magnitude": MethodRule("magnitude", "allocate", "never", "magnitude", "allocation by ||W||_inf^2 alone"),
    "sensitivity": MethodRule(
        "sensitivity", "allocate", "never", "sensitivity", "allocation by measured output deviation"
    ),
    "random": MethodRule("jacobian", "random", "never", "random", "planes of layers drawn at random"),
    "random-layers": MethodRule(
        "jacobian", "random-layers", "never", "random layers", "top planes of layers drawn at random"
    ),
    "tac-c": MethodRule(
        "jacobian", "rows", "never", "TAC, by channel", "protected bits, scale and readout of every output channel"
    ),
    "none": MethodRule("jacobian", "nothing", "never", "uncompensated", "no ECC, no correction"),
    "channel-optimised": MethodRule(
        "jacobian", "cells", "never", "channel-optimised", "words and readout chosen for the flips, no ECC"
    ),
    "joint": MethodRule(
        "jacobian", "cells", "never", "joint design", "each row dropped, in words of its own, or under a real code"
    ),
}
METHODS = tuple(METHOD_RULES)
CELL_METHODS = tuple(name for name, rule in METHOD_RULES.items() if rule.spend == "cells")
CODED_METHODS = ("joint",)
"""Methods that hold weights under a real code."""
BUDGET_FREE_METHODS = tuple(name for name, rule in METHOD_RULES.items() if rule.spend in ("nothing", "cells"))
SPENDING_METHODS = tuple(name for name in METHODS if name not in BUDGET_FREE_METHODS)
ALLOCATING_METHODS = tuple(name for name, rule in METHOD_RULES.items() if rule.spend == "allocate")


def method_label(name: str) -> str:
    """Short name of a method for tables and plots; a name that this version does not know stands as it is.

    Args:
        name: one of `METHODS`.

    Example:
        >>> method_label("tac-bits-only")
        'TAC, bits only'
    """
    return METHOD_RULES[name].label if name in METHOD_RULES else name
