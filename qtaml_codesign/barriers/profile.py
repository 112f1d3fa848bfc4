"""A barrier of any profile, given as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from qtaml_codesign.barriers.bounds import BIAS, ENERGY, MASS
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.piecewise import Biased, Piecewise, check_below, straight
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError

Points = tuple[tuple[float, float], ...]


def _points(raw: Any) -> Points:
    return tuple((float(share), float(height)) for share, height in raw)


@final
@dataclass(frozen=True)
class Profile(Biased, Piecewise):
    """A band edge that runs straight from point to point: S = 2 sqrt(2 m) / hbar int sqrt(max(V(x) - V x/d - E, 0)) dx.

    Args:
        points: (share of the thickness, height in eV), from share 0 to share 1; a share that stands twice is a step.
        electron_energy_eV: E, below the highest point.
        effective_mass_m0: m*, one for the whole barrier.
        bias_V: fall of the potential over the thickness, evenly.

    Raises:
        InputError: shares that do not run from 0 to 1, or an electron above every point.

    Validity: as the trapezoidal barrier; the heights scale with no thickness, so that S is proportional to d.
    Source: the WKB integral of each straight piece in closed form; see `landscape.mean_root`.

    Example:
        >>> points = ((0.0, 2.6), (0.5, 3.1), (1.0, 2.6))
        >>> round(float(Profile(points=points, electron_energy_eV=0.05, effective_mass_m0=0.4).action(1.765)), 6)
        19.132766
    """

    points: Points
    electron_energy_eV: float
    effective_mass_m0: float
    bias_V: float = 0.0

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "electron_energy_eV": ENERGY, "effective_mass_m0": MASS, "bias_V": BIAS,
    }
    lists: ClassVar[Mapping[str, Callable[[Any], object]]] = {"points": _points}

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.points]
        if len(shares) < 2 or shares != sorted(shares) or (shares[0], shares[-1]) != (0.0, 1.0):
            raise InputError("the points do not run through the barrier", where="points", value=shares,
                             rule="shares of the thickness that begin with 0, never fall, and end with 1",
                             next_step="write points: [[0, height], ..., [1, height]]")
        check_below(self.electron_energy_eV, max(height for _, height in self.points), "the highest point")

    def landscape(self, thickness_nm: Array) -> Landscape:
        """One piece from each point to the next.

        Args:
            thickness_nm: d, (points,).
        """
        shares, heights = zip(*self.points, strict=True)
        above = (height - self.electron_energy_eV for height in heights)
        return straight(shares, above, thickness_nm, self.effective_mass_m0, self.electron_energy_eV, self.bias_V)
