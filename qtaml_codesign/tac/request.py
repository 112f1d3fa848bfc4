"""What a method that chooses the store is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.algorithm import StageProgress


@dataclass(frozen=True)
class StoreRequest:
    """What a plan that chooses the store is made from.

    Attributes:
        workload: network and calibration inputs.
        laws: flip rates of the raw cells of each tensor.
        method: name of the method.
        budget: protected-bit fraction.
        cells: cells per weight, of methods that spend them; else None.
        seed: key of every random choice.
        progress: called with (stage, steps done, steps known so far).
        block: weights of a block with a mean and a scale of its own, in place of rows; None for rows.
    """

    workload: Workload
    laws: Mapping[str, CellLaw]
    method: str
    budget: float
    cells: float | None
    seed: int
    progress: StageProgress
    block: int | None = None
