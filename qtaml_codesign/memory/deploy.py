"""Writing weights into the memory: a codec and a cell law for each tensor, and readers of what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.reader import HostReader, Reader, StoredGroup

HOST = torch.device("cpu")
DRAWS_THERE = {"cuda"}
"""Types of devices on which flips are drawn, for a network that lives there."""


@dataclass(frozen=True, eq=False)
class DeployedModel:
    """Every stored group of a network; reading it returns new arrays and changes nothing.

    Args:
        groups: one for each stored tensor.

    Raises:
        InputError: a name stands twice.
    """

    groups: tuple[StoredGroup[Codec], ...]

    def __post_init__(self) -> None:
        """Check the names."""
        names = [group.name for group in self.groups]
        if len(set(names)) < len(names):
            raise InputError(
                "a tensor is stored twice", where="DeployedModel", rule="each tensor name once", value=", ".join(names),
                next_step="store every tensor under a name of its own",
            )

    @property
    def bits_stored(self) -> int:
        """Cells of all groups."""
        return sum(group.bits_stored for group in self.groups)

    @property
    def bits_exposed(self) -> int:
        """Cells that ideal protection does not cover."""
        return sum(group.bits_exposed for group in self.groups)

    @property
    def expected_flips(self) -> float:
        """Flips that the laws expect in one reading of the stored words."""
        return float(sum(group.expected_flips for group in self.groups))

    def clean_weights(self) -> dict[str, NDArray[np.float32]]:
        """What the stored words are worth without flips, by tensor name."""
        return {group.name: group.weights() for group in self.groups}

    def prepare(self, seed: int, device: torch.device = HOST, purpose: str = "trial") -> Reader:
        """A reader: its readings hang on seed, purpose and trial alone, and are the same on every device.

        Args:
            seed: key of the flips, >= 0.
            device: where the network lives; weights are read there if it is a CUDA device, else on the host.
            purpose: readings for different purposes get unrelated flips.

        Raises:
            InputError: no such seed.

        Example:
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
            >>> weights = {"w": np.linspace(-1.0, 1.0, 100)}
            >>> codecs = {"w": PlaneProtected.fitted(weights["w"])}
            >>> model = deploy(weights, codecs, BitErrorProfile.uniform(0.1).assign(weights))
            >>> reading = model.prepare(seed=0).read(trial=0)
            >>> tuple(reading.weights["w"].shape), reading.bits_flipped, model.bits_exposed, model.expected_flips
            ((100,), 75, 800, 80.0)
        """
        if device.type in DRAWS_THERE:
            return CudaReader(self.groups, seed, purpose, device)
        return HostReader(self.groups, seed, purpose)


def deploy(
    weights: Mapping[str, NDArray[np.floating]], codecs: Mapping[str, Codec], laws: Mapping[str, CellLaw]
) -> DeployedModel:
    """Write weights into the memory, each tensor once.

    Args:
        weights: float weights by tensor name; those without a codec are not stored.
        codecs: how each tensor is held.
        laws: flip rates of the raw cells of each tensor, in the format of its codec.

    Raises:
        InputError: a tensor has a codec but no weights or no law, its law belongs to another format, or its codec
            cannot hold its weights.
    """
    for where, given in (("weights", weights), ("laws", laws)):
        for name in codecs:
            if name not in given:
                raise InputError(
                    f"a stored tensor has no {where}", where=f"{where}[{name!r}]", rule="an entry for every codec",
                    value=", ".join(given) or "an empty mapping",
                    next_step="laws of all tensors: profile.assign(tensor names)",
                )
    return DeployedModel(tuple(
        StoredGroup(name, codec.encode(weights[name]), codec, laws[name]) for name, codec in codecs.items()
    ))
