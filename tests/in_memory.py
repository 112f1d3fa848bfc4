"""Weights in the memory, as several test files need them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.memory.deploy import DeployedModel, deploy
from qtaml_codesign.memory.stored import StoredGroup
from qtaml_codesign.nets.workload import Workload


def uniform(rate: float | NDArray[np.float64], form: BitFormat | None = None) -> CellLaw:
    """One rate for all planes and directions, or one per plane."""
    return BitErrorProfile.uniform(rate, form).regions[0]


def value_by_digits(word: int, form: BitFormat, depth: int, base: Fraction) -> Fraction:
    """What a word stands for, exactly: binary protected planes, open ones digits in `base` over their range."""
    signed, half = form.encoding == "sign_magnitude", 2 ** (form.bits - 1)
    digits = [word >> plane & 1 for plane in range(form.bits)]
    if form.encoding == "twos_complement":
        digits[-1] = 1 - digits[-1]
    number = digits[:-1] if signed else digits
    open_planes = min(form.bits - depth, len(number))
    stretch = Fraction(2**open_planes - 1) / (sum(base**plane for plane in range(open_planes)) or 1)
    level = sum((digit * (base**plane * stretch if plane < open_planes else 2**plane)
                 for plane, digit in enumerate(number)), Fraction(0))
    return (level * (1 - 2 * digits[-1]) if signed else level - half) / half


def stored(weights: NDArray[Any], law: CellLaw, name: str = "w", **fields: Any) -> StoredGroup[PlaneProtected]:
    """One tensor in plain codes at its own scale; `fields` are those of the codec."""
    codec = PlaneProtected.fitted(weights, law.format, **fields)
    return StoredGroup(name, codec.encode(weights), codec, law)


def network_stored(workload: Workload, law: CellLaw, **fields: Any) -> DeployedModel:
    """Every tensor of a network under one law."""
    codecs = {name: PlaneProtected.fitted(weight, law.format, **fields) for name, weight in workload.weights.items()}
    return deploy(workload.weights, codecs, dict.fromkeys(codecs, law))
