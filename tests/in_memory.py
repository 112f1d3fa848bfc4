"""Weights in the memory, as several test files need them."""

from __future__ import annotations

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


def stored(weights: NDArray[Any], law: CellLaw, name: str = "w", **fields: Any) -> StoredGroup[PlaneProtected]:
    """One tensor in plain codes at its own scale; `fields` are those of the codec."""
    codec = PlaneProtected.fitted(weights, law.format, **fields)
    return StoredGroup(name, codec.encode(weights), codec, law)


def network_stored(workload: Workload, law: CellLaw, **fields: Any) -> DeployedModel:
    """Every tensor of a network under one law."""
    codecs = {name: PlaneProtected.fitted(weight, law.format, **fields) for name, weight in workload.weights.items()}
    return deploy(workload.weights, codecs, dict.fromkeys(codecs, law))
