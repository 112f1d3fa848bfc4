"""The rectangular or trapezoidal barrier, lowered by the image of the electron in the electrodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.barriers.barrier import Number
from qtaml_codesign.barriers.bounds import BIAS, ENERGY, HEIGHT, MASS, PERMITTIVITY, DECAY_PER_nm
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.numeric import LEAST_ACTION, ByDifferences, points_of, shaped
from qtaml_codesign.barriers.piecewise import Biased, check_below
from qtaml_codesign.checks import Quantity
from qtaml_codesign.constants import ELEMENTARY_CHARGE_C, METRE_PER_nm, VACUUM_PERMITTIVITY_F_per_m

_IMAGE_eV_nm: Final = (1.15 * ELEMENTARY_CHARGE_C * math.log(2.0)
                       / (8.0 * math.pi * VACUUM_PERMITTIVITY_F_per_m) / METRE_PER_nm)
_NEWTON_STEPS: Final = 60
_PIECES: Final = 400
_NODES, _GAUSS = np.polynomial.legendre.leggauss(128)
_ANGLE: Final = 0.25 * math.pi * (_NODES + 1.0)
_SINE: Final = np.sin(2.0 * _ANGLE)
_WEIGHTS: Final = 0.5 * math.pi * _GAUSS


@final
@dataclass(frozen=True)
class ImageForce(ByDifferences, Biased):
    """Simmons' barrier: V(x) = V0 - V x/d - 1.15 L d^2 / (x (d - x)), L = q ln 2 / (8 pi eps d).

    S = 2 sqrt(2 m*) / hbar int sqrt(max(V(x) - E, 0)) dx.

    Not the default, and not recommended: the evidence is against it. Weinberg and Hartstein fit photon-assisted
    tunnelling from aluminium into SiO2 with 3.15 eV and 0.5 m0 and conclude that the classical lowering does not
    contribute to tunnelling; heights and masses fitted to tunnel currents without it hold what there is of it already.
    On the 3 nm card it multiplies T by 27 (static permittivity 3.9) to 234 (optical 2.13): 0.3 to 0.5 nm of oxide.

    Args:
        height_eV: V0 without the lowering.
        electron_energy_eV: E < V0.
        effective_mass_m0: m* in the barrier.
        relative_permittivity: eps of the image: 2.13 optical, 3.9 static for SiO2.
        bias_V: V across the barrier.

    Raises:
        InputError: E >= V0.

    Validity: perfectly conducting electrodes, a static image; where nothing of the barrier is left S is 1e-12.
    Source: J. G. Simmons, J. Appl. Phys. 34, 1793 (1963); against it Z. A. Weinberg, A. Hartstein, Solid State Commun.
    20, 179 (1976). Quadrature of Gauss and Legendre in the angle t, x/d = s1 + (s2 - s1) sin^2 t between the turning
    points s1 and s2, where the integrand is smooth.

    Example:
        >>> lowered = ImageForce(height_eV=3.10, electron_energy_eV=0.05, effective_mass_m0=0.40,
        ...                      relative_permittivity=3.9)
        >>> round(float(lowered.action(1.765)), 3)
        16.68
    """

    height_eV: float
    electron_energy_eV: float
    effective_mass_m0: float
    relative_permittivity: float
    bias_V: float = 0.0

    numbers: ClassVar[Mapping[str, Quantity]] = {
        "height_eV": HEIGHT, "electron_energy_eV": ENERGY, "effective_mass_m0": MASS,
        "relative_permittivity": PERMITTIVITY, "bias_V": BIAS,
    }

    def __post_init__(self) -> None:
        check_below(self.electron_energy_eV, self.height_eV)

    @property
    def _above_eV(self) -> float:
        return self.height_eV - self.electron_energy_eV

    def _lowering_eV(self, thickness_nm: Array) -> Array:
        """1.15 L at each thickness: V(s) is lowered by it over s (1 - s)."""
        return _IMAGE_eV_nm / self.relative_permittivity / thickness_nm

    def _scale(self, places: Array) -> Array:
        return 2.0 * DECAY_PER_nm * math.sqrt(self.effective_mass_m0) * places

    def action(self, thickness_nm: Number) -> Number:
        """S by quadrature, to about 1e-13.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        places = points_of(thickness_nm)
        region = _region(self._above_eV, self.bias_V, self._lowering_eV(places))
        length = (region.last - region.first)[:, None]
        mean = ((0.5 * length * _SINE) ** 2 * np.sqrt(region.rest / region.product) * _WEIGHTS).sum(axis=-1)
        return shaped(np.where(region.stands, self._scale(places) * mean, LEAST_ACTION), thickness_nm)

    def log_transmission_per_eV(self, thickness_nm: Number) -> Number:
        """d ln T / dE by the quadrature of the derivative.

        Args:
            thickness_nm: d, a number or an array of any shape.
        """
        places = points_of(thickness_nm)
        region = _region(self._above_eV, self.bias_V, self._lowering_eV(places))
        mean = (np.sqrt(region.product / region.rest) * (0.5 * _WEIGHTS)).sum(axis=-1)
        return shaped(np.where(region.stands, self._scale(places) * mean, 0.0), thickness_nm)

    def _guess_nm(self, action: float) -> float:
        return action / float(self._scale(np.array(math.sqrt(self._above_eV))))

    def landscape(self, thickness_nm: Array) -> Landscape:
        """400 flat pieces at the heights of their middles, cut off at the electrodes' band edges: 1e-3 of the exact T.

        Args:
            thickness_nm: d, (points,).
        """
        middle = (np.arange(_PIECES) + 0.5) / _PIECES
        lowered = self._lowering_eV(thickness_nm)[:, None] / (middle * (1.0 - middle))
        above = np.maximum(self._above_eV - lowered, -self.electron_energy_eV) - self.bias_V * middle
        widths = np.broadcast_to(thickness_nm[:, None] / _PIECES, above.shape)
        return Landscape(above, above, widths, np.full(_PIECES, self.effective_mass_m0), self.electron_energy_eV,
                         self.electron_energy_eV + self.bias_V)


class _Region(NamedTuple):
    """Between the turning points, s = x/d: f(s) = (phi - V s) s (1 - s) - A = (s - s1) (s2 - s) Q(s).

    first, last: s1 and s2, (points,). product: s (1 - s) at the nodes, (points, nodes). rest: Q there. stands: whether
    anything of the barrier is left; where not, the other fields are those of some barrier.
    """

    first: Array
    last: Array
    product: Array
    rest: Array
    stands: NDArray[np.bool_]


def _region(above: float, bias: float, lowering: Array) -> _Region:
    peak = above / (above + bias + math.sqrt((above + bias) ** 2 - 3.0 * bias * above))
    top = (above - bias * peak) * peak * (1.0 - peak)
    stands = lowering < top
    kept = np.where(stands, lowering, 0.5 * top)
    first = _first_root(above, bias, kept, peak)
    linear, constant = above + bias - bias * first, kept / first
    last = 2.0 * constant / (linear + np.sqrt(np.maximum(linear**2 - 4.0 * bias * constant, 0.0)))
    sine, cosine = np.sin(_ANGLE) ** 2, np.cos(_ANGLE) ** 2
    length = (last - first)[:, None]
    share = first[:, None] + length * sine
    product = share * ((1.0 - last)[:, None] + length * cosine)
    return _Region(first, last, product, (constant / last)[:, None] - bias * share, stands)


def _first_root(above: float, bias: float, lowering: Array, peak: float) -> Array:
    """s1 by Newton's method from below: f is concave and rises there, so that the steps never overshoot."""
    ratio = lowering / above
    root: Array = 2.0 * ratio / (1.0 + np.sqrt(np.maximum(1.0 - 4.0 * ratio, 0.0)))
    for _ in range(_NEWTON_STEPS if bias > 0.0 else 0):
        value = (above - bias * root) * root * (1.0 - root) - lowering
        slope_there = above - 2.0 * (above + bias) * root + 3.0 * bias * root**2
        step = np.where(slope_there > 0.0, value / np.where(slope_there > 0.0, slope_there, 1.0), 0.0)
        root = np.minimum(root - np.minimum(step, 0.0), peak)
    return root
