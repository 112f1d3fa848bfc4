"""All stored tensors of a network, and their reading under flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.bits.flips import flip_key
from qtaml_codesign.errors import InputError, WorkloadError, did_you_mean
from qtaml_codesign.nets.tensors import StoredTensor, largest_magnitude, store_tensor

__all__ = ["ReadModel", "StoredModel", "StoredTensor", "TrialFlips", "largest_magnitude", "rates_of", "store_tensor"]


@dataclass(frozen=True, eq=False)
class TrialFlips:
    """What one reading injected.

    Attributes:
        bits_exposed: cells in unprotected planes.
        bits_flipped: of those, flipped.
        expected_flips: flips that the law expects for the stored codes.
        by_plane: tensor name -> (B,) flips in each plane, 0 = LSB.
    """

    bits_exposed: int
    bits_flipped: int
    expected_flips: float
    by_plane: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class ReadModel:
    """Weights of one reading, by tensor name (float32, each in the shape of its tensor), and the flips in them."""

    weights: dict[str, NDArray[np.float32]]
    flips: TrialFlips


@dataclass(frozen=True, eq=False)
class StoredModel:
    """Every stored tensor of a network; reading it returns new arrays and changes nothing."""

    tensors: tuple[StoredTensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", tuple(self.tensors))
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) < len(names):
            raise WorkloadError(
                "a tensor is stored twice", where="StoredModel", rule="each tensor name once", value=", ".join(names),
                next_step="store every tensor under a name of its own",
            )

    def __getitem__(self, name: str) -> StoredTensor:
        if name not in self._by_name:
            raise InputError(
                "no stored tensor has this name", where="StoredModel", rule="the name of a stored tensor", value=name,
                next_step=did_you_mean(name, self._by_name),
            )
        return self._by_name[name]

    def __iter__(self) -> Iterator[StoredTensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def _by_name(self) -> dict[str, StoredTensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def bits_stored(self) -> int:
        """Cells of all tensors."""
        return sum(tensor.bits_stored for tensor in self.tensors)

    def clean_weights(self) -> dict[str, NDArray[np.float32]]:
        """Quantised weights without flips."""
        return {tensor.name: tensor.weights() for tensor in self.tensors}

    def read(
        self,
        seed: int,
        trial: int,
        errors: Mapping[str, CellLaw],
        only: str | None = None,
        purpose: str = "trial",
    ) -> ReadModel:
        """Read every tensor once, or `only` one of them, with the flips of (seed, trial, purpose).

        Args:
            seed: key of the flips, >= 0.
            trial: which drawing, >= 0.
            errors: raw flip rates by tensor name; the top `depth` planes of each tensor are exempt.
            only: name of the single tensor to read.
            purpose: readings for different purposes get unrelated flips.

        Example:
            >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
            >>> stored = StoredModel((store_tensor("w", np.linspace(-1.0, 1.0, 100)),))
            >>> flips = stored.read(0, 0, BitErrorProfile.uniform(0.1).assign(["w"])).flips
            >>> flips.bits_exposed, flips.bits_flipped, flips.expected_flips
            (800, 75, 80.0)
        """
        chosen = self.tensors if only is None else (self[only],)
        weights, by_plane, exposed, expected = {}, {}, 0, 0.0
        for tensor in chosen:
            rates = rates_of(tensor, errors)
            drawn = tensor.read(rates, flip_key(seed, tensor.name, purpose), trial)
            weights[tensor.name] = tensor.weights(drawn.codes)
            by_plane[tensor.name] = drawn.flips_by_plane
            exposed += drawn.exposed
            expected += tensor.expected_flips(rates)
        flipped = sum(int(planes.sum()) for planes in by_plane.values())
        return ReadModel(weights, TrialFlips(exposed, flipped, expected, by_plane))


def rates_of(tensor: StoredTensor, errors: Mapping[str, CellLaw]) -> CellLaw:
    """The raw flip rates of a tensor, refused where there are none or they belong to another format."""
    if tensor.name not in errors:
        raise InputError(
            "a stored tensor has no flip rates", where=f"errors[{tensor.name!r}]",
            rule="flip rates for every tensor read",
            value=", ".join(errors) or "an empty mapping",
            next_step="build them with profile.assign(tensor names)",
        )
    rates = errors[tensor.name]
    if rates.format != tensor.format:
        raise InputError(
            "the flip rates belong to another storage format", where=f"errors[{tensor.name!r}]",
            rule=f"{tensor.format.bits} bits, {tensor.format.encoding}",
            value=f"{rates.format.bits} bits, {rates.format.encoding}",
            next_step="use the format of the device region for storing: store_tensor(..., format=errors.format)",
        )
    return rates
