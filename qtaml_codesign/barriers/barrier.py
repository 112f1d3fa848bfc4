"""What the physics asks of a barrier, whatever its shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.landscape import Landscape
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError

Number = TypeVar("Number", float, NDArray[np.float64])
_STEP_eV = 1e-4
_STEP = 3e-3


class Barrier(ABC):
    """The barrier of one cell but for its thickness d: the transmission of one attempt is T = exp(-S(d)).

    A shape is a frozen dataclass of numbers, named as on the card (`barrier.height_eV`); `numbers` has their bounds,
    and a number with a default may be left out. It refuses numbers that contradict each other with an `InputError`
    whose `where` names the number at fault. The action S rises with d. Where a shape has a transmission rather than an
    action, S = -ln T. The three abstract methods are all that a shape must have.

    Thicknesses are in nm, as on the card: a factor of 1e-9 there and back would cost the last digits of every result.

    Attributes:
        numbers: bounds of the numbers.
        lists: what else a card gives, by name, and how that becomes the field of the shape.
        mistaken: names that do not belong to the shape but may be taken to, and what to write instead.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> barrier = load_card("3nm").resolve().barrier
        >>> round(barrier.thickness_nm(barrier.action(1.75)), 12)
        1.75
    """

    numbers: ClassVar[Mapping[str, Quantity]]
    lists: ClassVar[Mapping[str, Callable[[Any], object]]] = {}
    mistaken: ClassVar[Mapping[str, str]] = {}

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

    def log_transmission_per_eV(self, thickness_nm: Number) -> Number:
        """d ln T / dE = -dS/dE > 0 in 1/eV, by the electron's energy; here by differences, to about 1e-9.

        Args:
            thickness_nm: d > 0, a number or an array of any shape.

        Raises:
            InputError: the shape has no `electron_energy_eV`.
        """
        energy, step = self.energy_eV, _STEP * self.energy_eV or _STEP_eV
        far_below, below, above, far_above = (self.with_energy(energy + times * step).action(thickness_nm)
                                              for times in (-2.0, -1.0, 1.0, 2.0))
        return (far_above - far_below - 8.0 * (above - below)) / (12.0 * step)

    @property
    def energy_eV(self) -> float:
        """E of the electron above the band edge of the electrode; 0 where the shape has none."""
        return float(getattr(self, "electron_energy_eV", 0.0))

    def with_energy(self, electron_energy_eV: float) -> Barrier:
        """The same barrier for an electron of another energy.

        Args:
            electron_energy_eV: E, above the band edge of the electrode.

        Raises:
            InputError: the shape has no `electron_energy_eV`, or the electron would be above the barrier.
        """
        return self.with_number("electron_energy_eV", electron_energy_eV)

    def with_bias(self, bias_V: float) -> Barrier:
        """The same barrier with another voltage across it.

        Args:
            bias_V: V >= 0, the fall of the potential from the electrode that emits to the other one.

        Raises:
            InputError: the shape has no `bias_V`.
        """
        return self.with_number("bias_V", bias_V)

    def landscape(self, thickness_nm: NDArray[np.float64]) -> Landscape:
        """The potential above the electron, for the exact transmission and the prefactor.

        Args:
            thickness_nm: d, (points,).

        Raises:
            InputError: the shape tells no potential.
        """
        raise InputError(f"the shape {type(self).__name__} tells no potential", where="transmission",
                         rule="wkb, for a shape without a `landscape`", value=type(self).__name__,
                         next_step="leave `transmission` out, or give the shape a method `landscape`")

    @property
    def departures(self) -> tuple[str, ...]:
        """What makes an attempt frequency that fits a rectangular WKB barrier a wrong one for this barrier."""
        return ()

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """What follows from the numbers of the shape, by name with unit.

        Args:
            thickness_nm: d.
        """
        return {}

    def with_number(self, name: str, value: float) -> Barrier:
        """The same barrier with one number replaced.

        Args:
            name: of the number, as on the card.
            value: in its own unit.

        Raises:
            InputError: the shape has no such number, or numbers then contradict each other.
        """
        if name not in self.numbers:
            raise InputError(f"{name} is no number of the barrier {type(self).__name__}", where=name,
                             rule="a shape with this number", value=value,
                             next_step="use a shape that has it, such as trapezoidal")
        return cast("Barrier", replace(cast("Any", self), **{name: value}))
