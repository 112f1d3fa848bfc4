"""One cell of a card, resolved: what the physics is given."""

from __future__ import annotations

from dataclasses import dataclass

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.card_schema.effects import NO_EFFECTS, Escape, Variation
from qtaml_codesign.card_schema.parts import Anchor


@dataclass(frozen=True)
class CellParameters:
    """One resolved cell (card, then region, then bit plane), in card units.

    Attributes:
        barrier: the shape of its barrier, with its numbers.
        thickness_nm: thickness of the barrier in nm.
        electrons: N, stored on a charged cell.
        flip_threshold: k_th; the bit flips when MORE than this many electrons escape.
        attempt_frequency_Hz: nu, how often an electron meets the barrier.
        window_s: tau, the inference window.
        attempt_frequency_anchor: the barrier that nu was fitted with; None: the rectangular WKB barrier.
        own_thickness: True when a region or plane override set the thickness, so that a sweep leaves it alone.
        temperature_K: of the cells; None where no effect needs it.
        escape: what acts on the escape of its electrons.
        variation: how the cells of an array differ; None where they are alike.
    """

    barrier: Barrier
    thickness_nm: float
    electrons: int
    flip_threshold: int
    attempt_frequency_Hz: float
    window_s: float
    attempt_frequency_anchor: Anchor | None = None
    own_thickness: bool = False
    temperature_K: float | None = None
    escape: Escape = NO_EFFECTS
    variation: Variation | None = None

    @property
    def attempts(self) -> float:
        """Escape attempts of one electron in the window, M = nu tau (dimensionless)."""
        return self.attempt_frequency_Hz * self.window_s

    @property
    def plain(self) -> bool:
        """Whether nothing acts but N independent electrons behind one barrier."""
        return self.variation is None and self.escape == NO_EFFECTS

    @property
    def keeps_rate(self) -> bool:
        """Whether each cell of an array keeps its own thickness and rate."""
        return self.variation is not None and self.variation.cells == "own_rate"
