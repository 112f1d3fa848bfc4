"""What a method that chooses the store is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.algorithm import StageProgress


def with_margin(law: CellLaw, margin: float) -> CellLaw:
    """The same region with every rate multiplied by a design margin on the raw bit error rate.

    Args:
        law: flip rates by plane and direction.
        margin: such that no rate exceeds 1.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> with_margin(CellLaw("default", BitFormat(2), [0.125, 0.25], 0.0), 1.5).one_to_zero.tolist()
        [0.1875, 0.375]
    """
    return replace(law, one_to_zero=law.one_to_zero * margin, zero_to_one=law.zero_to_one * margin)


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
        margin: design margin on the raw bit error rate: the store is made for rates so many times those of `laws`.
        block: weights of a block with a mean and a scale of its own, in place of rows; None for rows.
    """

    workload: Workload
    laws: Mapping[str, CellLaw]
    method: str
    budget: float
    cells: float | None
    seed: int
    progress: StageProgress
    margin: float = 1.0
    block: int | None = None

    @property
    def design_laws(self) -> dict[str, CellLaw]:
        """The flip rates that the store is made for, by tensor: those of `laws`, times the margin."""
        scaled = {law: with_margin(law, self.margin) for law in dict.fromkeys(self.laws.values())}
        return {name: scaled[law] for name, law in self.laws.items()}
