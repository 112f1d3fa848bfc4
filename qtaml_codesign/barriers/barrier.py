"""What the physics asks of a barrier, whatever its shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.checks import Quantity

Number = TypeVar("Number", float, NDArray[np.float64])


class Barrier(ABC):
    """The barrier of one cell but for its thickness d: the transmission of one attempt is T = exp(-S(d)).

    A shape is a frozen dataclass of numbers, named as on the card (`barrier.height_eV`); `numbers` has their bounds. It
    refuses numbers that contradict each other with an `InputError` whose `where` names the number at fault. The action
    S rises with d. Where a shape has a transmission rather than an action, S = -ln T.

    Thicknesses are in nm, as on the card: a factor of 1e-9 there and back would cost the last digits of every result.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> barrier = load_card("3nm").resolve().barrier
        >>> round(barrier.thickness_nm(barrier.action(1.75)), 12)
        1.75
    """

    numbers: ClassVar[Mapping[str, Quantity]]

    @abstractmethod
    def action(self, thickness_nm: Number) -> Number:
        """WKB action S > 0 (dimensionless) at a thickness in nm > 0; a number, or an array of any shape.

        Args:
            thickness_nm: d > 0.

        Returns:
            S, of the same shape.
        """

    @abstractmethod
    def slope_per_nm(self, thickness_nm: float) -> float:
        """dS/dd > 0 in 1/nm at a thickness in nm.

        Args:
            thickness_nm: d > 0.
        """

    @abstractmethod
    def thickness_nm(self, action: float) -> float:
        """The thickness in nm at which the action is `action` > 0: the inverse of `action`.

        Args:
            action: S > 0.
        """
