"""Weights that came quantised: whole numbers of a few bits, which the forward pass scales itself.

They are stored as they are. In the private copy of the module each becomes a parameter of the same numbers in float32,
so that flipped ones can take its place and gradients flow; the scales stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError, did_you_mean

FEWEST_BITS, MOST_BITS = 2, 16
_CLOSE = 1e-3


def held_as_parameters(module: nn.Module, quantised: Mapping[str, int] | None) -> Mapping[str, int]:
    """Make a parameter of every tensor of whole numbers that is named, in place.

    Args:
        module: the private copy.
        quantised: glob pattern of parameters or buffers -> bits of each number, 2..16, two's complement in value.

    Returns:
        Name -> bits.

    Raises:
        WorkloadError: a pattern that matches nothing, other bits, or numbers that so many bits do not hold.

    Example:
        >>> layer = nn.Module()
        >>> layer.register_buffer("codes", torch.tensor([[-8, 7]], dtype=torch.int8))
        >>> dict(held_as_parameters(layer, {"*codes": 4})), layer.get_parameter("codes").tolist()
        ({'codes': 4}, [[-8.0, 7.0]])
    """
    found: dict[str, int] = {}
    made: dict[int, nn.Parameter] = {}
    for pattern, bits in (quantised or {}).items():
        tensors: dict[str, Tensor] = {}
        tensors |= dict(module.named_parameters(remove_duplicate=False))
        tensors |= dict(module.named_buffers(remove_duplicate=False))
        names = [name for name in tensors if fnmatchcase(name, str(pattern))]
        _check_named(pattern, bits, names, tensors)
        for name in names:
            tensor = tensors[name]
            _check_numbers(name, tensor, bits)
            if id(tensor) not in made:  # of tied ones the first name stands for all
                found[name] = bits
                made[id(tensor)] = tensor if isinstance(tensor, nn.Parameter) and tensor.is_floating_point() \
                    else nn.Parameter(tensor.detach().to(torch.float32))
            if made[id(tensor)] is tensor:
                continue
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            delattr(owner, leaf)
            owner.register_parameter(leaf, made[id(tensor)])
    return MappingProxyType(found)


def check_stored(quantised: Iterable[str], stored: tuple[str, ...]) -> None:
    """Refuse quantised weights that `tensors=` leaves out of the memory.

    Args:
        quantised: their names.
        stored: names of the stored tensors.

    Raises:
        WorkloadError: one of them is not stored.
    """
    for name in quantised:
        if name not in stored:
            raise WorkloadError(
                "a quantised weight is not stored", where=f"quantised, {name}",
                rule="each of them is among the stored tensors", value=", ".join(stored),
                next_step=f"add {name!r} to tensors=[...], or leave it out of quantised={{...}}",
            )


def check_same(run: Callable[[nn.Module], Tensor], given: nn.Module, held: nn.Module) -> None:
    """Refuse a module that does not compute the same with whole numbers held as real ones.

    Args:
        run: outputs of a module for some samples.
        given: with its tensors as they came.
        held: the same after `held_as_parameters`.

    Raises:
        WorkloadError: it fails, or gives other outputs.
    """
    before, after = run(given), run(held)
    limit = _CLOSE * float(before.abs().max())
    if before.shape != after.shape or float((before - after).abs().max()) > limit:
        raise WorkloadError(
            "the forward pass needs its quantised weights as whole numbers", where="quantised",
            rule=f"the same outputs, within {_CLOSE:g} of the largest, where they are held as real numbers",
            value=f"they differ by up to {float((before - after).abs().max()):g}",
            next_step="cast and scale the weights, then multiply: x @ (self.weight.to(x.dtype) * self.scale).T; "
            "numbers packed into one byte are unpacked before",
        )


def _check_named(pattern: Any, bits: Any, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    if not names:
        raise WorkloadError(
            "no parameter or buffer has this name", where="quantised", rule="every pattern matches at least one",
            value=pattern, next_step=did_you_mean(str(pattern).strip("*"), list(tensors)),
        )
    if isinstance(bits, bool) or not isinstance(bits, int) or not FEWEST_BITS <= bits <= MOST_BITS:
        raise WorkloadError(
            "the bits of quantised weights are out of bounds", where=f"quantised[{pattern!r}]",
            rule=f"a whole number, {FEWEST_BITS} to {MOST_BITS}", value=bits, next_step="int8 weights have 8",
        )


def _check_numbers(name: str, tensor: Tensor, bits: int) -> None:
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = tensor.detach()
    plain = values.layout == torch.strided and not values.is_quantized and not values.is_complex()
    if plain and bool((values == values.round()).all()) and bool(((values >= lowest) & (values <= highest)).all()):
        return
    between = f", {float(values.min()):g} to {float(values.max()):g}" if plain and values.numel() else ""
    raise WorkloadError(
        f"a quantised weight does not hold whole numbers of {bits} bits", where=f"quantised, {name}",
        rule=f"a dense tensor of whole numbers, {lowest} to {highest}",
        value=f"{str(values.dtype).removeprefix('torch.')}{between}",
        next_step="name its true bit count; subtract a zero point, and unpack numbers that share a byte",
    )
