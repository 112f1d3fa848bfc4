"""A stack of layers: high-k on an interfacial oxide, oxide-nitride-oxide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, final

import numpy as np

from qtaml_codesign.barriers.barrier import Barrier
from qtaml_codesign.barriers.bounds import BIAS, ENERGY
from qtaml_codesign.barriers.landscape import Array, Landscape
from qtaml_codesign.barriers.numeric import ByDifferences
from qtaml_codesign.barriers.piecewise import Biased, Piecewise, check_below
from qtaml_codesign.checks import Quantity
from qtaml_codesign.errors import InputError

SIO2_PERMITTIVITY: Final = 3.9


@dataclass(frozen=True)
class Layer:
    """One layer of a stack.

    Attributes:
        height_eV: conduction-band offset to the electrode that emits.
        effective_mass_m0: m* in the layer.
        relative_permittivity: static, for the share of the bias that falls over the layer.
        thickness_nm: None: the layer takes the thickness of the barrier, the one that a sweep changes.
    """

    height_eV: float
    effective_mass_m0: float
    relative_permittivity: float
    thickness_nm: float | None = None


def _layers(raw: Any) -> tuple[Layer, ...]:
    return tuple(Layer(**layer) for layer in raw)


@final
@dataclass(frozen=True)
class Stack(ByDifferences, Biased, Piecewise):
    """Layers one behind the other: S is the sum of theirs. The displacement is continuous, so that the layer i takes

        V_i = V (d_i / eps_i) / sum_j (d_j / eps_j)

    of the bias, and each layer is a trapezoid. Without bias S = 2 sum kappa_i d_i.

    Args:
        layers: from the electrode that emits; exactly one has no thickness of its own.
        electron_energy_eV: E, below the band edge of every layer.
        bias_V: V across the whole stack.

    Raises:
        InputError: not exactly one layer without thickness, or an electron above a layer.

    Validity: no charge in the stack; as the trapezoidal barrier in each layer. Height and mass of a layer are a
    correlated pair of one source.
    Source: K. K. Likharev, Appl. Phys. Lett. 73, 2137 (1998); B. Govoreanu et al., IEEE Electron Device Lett. 24, 99
    (2003).

    Example:
        >>> oxide, hafnia = Layer(3.10, 0.40, 3.9, thickness_nm=0.8), Layer(2.05, 0.11, 22.0)
        >>> stack = Stack(layers=(oxide, hafnia), electron_energy_eV=0.05)
        >>> print(f"{np.exp(-stack.action(2.0)):.3g}", round(stack.figures(2.0)["EOT (nm)"], 4))
        7.83e-09 1.1545
    """

    layers: tuple[Layer, ...]
    electron_energy_eV: float
    bias_V: float = 0.0

    numbers: ClassVar[Mapping[str, Quantity]] = {"electron_energy_eV": ENERGY, "bias_V": BIAS}
    lists: ClassVar[Mapping[str, Callable[[Any], object]]] = {"layers": _layers}

    def __post_init__(self) -> None:
        swept = [layer for layer in self.layers if layer.thickness_nm is None]
        if len(swept) != 1:
            raise InputError("it is not clear which layer takes the thickness of the barrier", where="layers",
                             rule="exactly one layer without `thickness_nm`", value=f"{len(swept)} of them",
                             next_step="leave `thickness_nm` out of the layer that is swept, and out of no other")
        for place, layer in enumerate(self.layers):
            check_below(self.electron_energy_eV, layer.height_eV, f"layers.{place}.height_eV")

    def _widths(self, thickness_nm: Array) -> Array:
        """(points, layers)."""
        return np.stack([np.full(thickness_nm.shape, layer.thickness_nm) if layer.thickness_nm is not None
                         else thickness_nm for layer in self.layers], axis=-1)

    def landscape(self, thickness_nm: Array) -> Landscape:
        """One straight piece for each layer.

        Args:
            thickness_nm: d of the swept layer, (points,).
        """
        widths = self._widths(thickness_nm)
        share = widths / [layer.relative_permittivity for layer in self.layers]
        share /= share.sum(axis=-1, keepdims=True)
        fallen = np.cumsum(share, axis=-1)
        above = np.array([layer.height_eV for layer in self.layers]) - self.electron_energy_eV
        masses = np.array([layer.effective_mass_m0 for layer in self.layers])
        return Landscape(above - self.bias_V * (fallen - share), above - self.bias_V * fallen, widths, masses,
                         self.electron_energy_eV, self.electron_energy_eV + self.bias_V)

    def _guess_nm(self, action: float) -> float:
        return 1.0

    def with_number(self, name: str, value: float) -> Barrier:
        """The same with one number replaced, of the electron, the bias or a layer.

        Args:
            name: of the number; `layers.0.height_eV` in the first layer.
            value: in its own unit.
        """
        if not name.startswith("layers."):
            return super().with_number(name, value)
        _, place, of_layer = name.split(".")
        layers = list(self.layers)
        layers[int(place)] = replace(layers[int(place)], **{of_layer: value})
        return replace(self, layers=tuple(layers))

    def figures(self, thickness_nm: float) -> dict[str, float]:
        """Equivalent oxide thickness, EOT = sum d_i 3.9 / eps_i, and the thickness of all layers together.

        Args:
            thickness_nm: d of the swept layer.
        """
        widths = self._widths(np.array([thickness_nm]))[0]
        permittivity = np.array([layer.relative_permittivity for layer in self.layers])
        return {"EOT (nm)": float((widths * SIO2_PERMITTIVITY / permittivity).sum()),
                "thickness of all layers (nm)": float(widths.sum())}
