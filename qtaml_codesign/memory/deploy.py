"""Writing weights into the memory: a codec and a cell law for each tensor, and readers of what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.cuda_reader import CudaReader
from qtaml_codesign.memory.reader import HostReader, Reader, divided
from qtaml_codesign.memory.stored import StoredGroup, shared_codewords

HOST = torch.device("cpu")
DRAWS_THERE = {"cuda"}
"""Types of devices on which flips are drawn, for a network that lives there."""


@dataclass(frozen=True, eq=False)
class DeployedModel:
    """Every stored group of a network; reading it returns new arrays and changes nothing.

    Args:
        groups: one for each stored tensor, or for some of its rows or blocks.
        statistics: buffers of the network, such as those of its normalisation, that go with these weights.

    Raises:
        InputError: a tensor, or a group of its weights, is stored twice.
    """

    groups: tuple[StoredGroup[Codec], ...]
    statistics: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names."""
        names = [group.key for group in self.groups]
        if len(set(names)) < len(names):
            raise InputError(
                "a tensor is stored twice", where="DeployedModel", rule="each tensor name once", value=", ".join(names),
                next_step="store every tensor under a name of its own",
            )

    @property
    def bits_stored(self) -> int:
        """Cells of all groups, codewords that they share counted in full."""
        alone = sum(group.bits_stored for group in self.groups if group.codewords is None)
        return alone + sum(shared.cells for shared in shared_codewords(self.groups))

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
        weights = {group.key: torch.from_numpy(group.weights()) for group in self.groups}
        for tensor in divided(self.groups):
            tensor.join(weights)
        return {name: weight.numpy() for name, weight in weights.items()}

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
    weights: Mapping[str, NDArray[np.floating]], codecs: Mapping[str, Holding], laws: Mapping[str, CellLaw],
    statistics: Mapping[str, Sequence[float]] | None = None,
) -> DeployedModel:
    """Write weights into the memory, each tensor once.

    Args:
        weights: float weights by tensor name; those without a codec are not stored.
        codecs: how each tensor is held.
        laws: flip rates of the raw cells of each tensor, in the format of its codec.
        statistics: values (C,) of buffers of the network that go with these weights; its own by default.

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
    groups = (group for name, codec in codecs.items() for group in _written(name, weights[name], codec, laws[name]))
    buffers = {name: torch.tensor(values, dtype=torch.float32) for name, values in (statistics or {}).items()}
    return DeployedModel(tuple(groups), buffers)


def _written(
    name: str, weights: NDArray[np.floating], held: Holding, law: CellLaw
) -> Iterator[StoredGroup[Codec]]:
    """The groups of one tensor."""
    if isinstance(held, Codec):
        yield StoredGroup(name, held.encode(weights), held, held.cell_law(law))
        return
    for place, codec, part in held.split(weights):
        yield StoredGroup(name, codec.encode(part), codec, codec.cell_law(law), place)
