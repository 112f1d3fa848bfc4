"""What the shapes share whose potential is made of straight pieces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Barrier, Number
from qtaml_codesign.barriers.landscape import Landscape
from qtaml_codesign.barriers.numeric import LEAST_ACTION, points_of, shaped
from qtaml_codesign.errors import InputError

Array = NDArray[np.float64]


class Piecewise(Barrier):
    """A barrier of straight pieces: a shape gives its `landscape`, and the WKB action is the sum of closed forms.

    The action is taken to be proportional to the thickness, as where the pieces grow with it at fixed heights; a shape
    of which that is not true has its own slope and inverse.
    """

    def action(self, thickness_nm: Number) -> Number:
        """S, piece by piece in closed form; 1e-12 where nothing is left of the barrier.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        found = self.landscape(points_of(thickness_nm)).action()
        return shaped(np.maximum(found, LEAST_ACTION), thickness_nm)

    def slope_per_nm(self, thickness_nm: float) -> float:
        """S / d, the same at every thickness.

        Args:
            thickness_nm: d; it does not matter.
        """
        return float(self.action(1.0))

    def thickness_nm(self, action: float) -> float:
        """d = S / (dS/dd).

        Args:
            action: S.
        """
        return action / self.slope_per_nm(1.0)

    def log_transmission_per_eV(self, thickness_nm: Number) -> Number:
        """d ln T / dE = sum sqrt(2 m) / hbar int (V - E)^-1/2 dx, piece by piece in closed form.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        return shaped(self.landscape(points_of(thickness_nm)).log_transmission_per_eV(), thickness_nm)


class Biased(Barrier):
    """A barrier with a voltage across it."""

    bias_V: float

    @property
    def departures(self) -> tuple[str, ...]:
        """The bias, if there is one."""
        return (f"a bias of {self.bias_V:g} V",) if self.bias_V > 0.0 else ()


def straight(shares: Iterable[float], above_eV: Iterable[float], thickness_nm: Array, mass_m0: float, emitter_eV: float,
             bias_V: float) -> Landscape:
    """The landscape of one material: a line through points, tilted by a bias that falls evenly over the thickness.

    Args:
        shares: of the thickness, from 0 to 1; one that stands twice is a step.
        above_eV: V - E at each of them, without bias.
        thickness_nm: d, (points,).
        mass_m0: effective mass.
        emitter_eV: kinetic energy of the electron where it comes from.
        bias_V: fall of the potential over d.
    """
    places = np.fromiter(shares, dtype=np.float64)
    heights = np.fromiter(above_eV, dtype=np.float64) - bias_V * places
    widths = np.diff(places)
    real = widths > 0.0
    shape = (thickness_nm.size, int(real.sum()))
    return Landscape(np.broadcast_to(heights[:-1][real], shape), np.broadcast_to(heights[1:][real], shape),
                     thickness_nm[:, None] * widths[real], np.full(shape[1], mass_m0), emitter_eV, emitter_eV + bias_V)


def check_below(electron_energy_eV: float, height_eV: float, name: str = "height_eV") -> None:
    """Whether there is anything to tunnel through.

    Args:
        electron_energy_eV: of the electron.
        height_eV: of the barrier.
        name: of the height, for the message.

    Raises:
        InputError: the electron is above the barrier.
    """
    if not electron_energy_eV < height_eV:
        raise InputError("the electron is above the barrier: there is no tunnelling", where="electron_energy_eV",
                         rule=f"electron_energy_eV < {name} = {height_eV:g}", value=electron_energy_eV,
                         next_step="lower the energy or raise the barrier")
