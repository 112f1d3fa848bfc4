"""Which tensors of a module lie in the tunnelling memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError, did_you_mean

NORMS_WITH_STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
                         nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (*NORMS_WITH_STATISTICS, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)

_WHOLE = (torch.int8, torch.int16, torch.int32)


def stored_names(module: nn.Module, patterns: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names of the stored tensors, in the order of `named_parameters`; a tied weight is named once, by its first name.

    Args:
        module: the network.
        patterns: None for every weight (ndim >= 2; not a bias, not of a norm), or glob patterns instead.

    Raises:
        WorkloadError: a pattern matches nothing, nothing is left to store, or a tensor is not of dense real numbers.

    Example:
        >>> stored_names(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), None)
        ('0.weight', '2.weight')
    """
    names = _weights(module) if patterns is None else _matching(module, patterns)
    parameters = dict(module.named_parameters())
    odd = [name for name in names
           if not parameters[name].is_floating_point() or parameters[name].layout != torch.strided]
    if odd:
        raise WorkloadError(
            "a weight is not a dense tensor of real floating-point numbers", where=odd[0],
            rule="stored tensors are float16, bfloat16, float32 or float64", value=parameters[odd[0]].dtype,
            next_step="whole numbers that forward() scales itself are stored as they are where you say so, with their "
            f"bits: quantised={{{odd[0]!r}: 8}}; or name the tensors to store with tensors=[...], leaving this one out",
        )
    if not names:
        packed = ", ".join(name for name, _ in packed_weights(module))
        whole = [name for name, value in module.named_buffers() if value.ndim >= 2 and value.dtype in _WHOLE]
        advice = (f"where forward() scales whole numbers itself, say so, with their bits: quantised={{{whole[0]!r}: 8}}"
                  if whole else
                  "pass a module with weights, or name what to store with tensors=['*.bias', ...]")
        raise WorkloadError(
            "the module has no weight tensor to store", where="model",
            rule="at least one parameter with two axes or more",
            value=packed or ", ".join(parameters) or f"{type(module).__name__} without parameters",
            next_step="pass the float network: the memory quantises it itself" if packed
            else advice,
        )
    return names


def aliases(module: nn.Module) -> dict[str, str]:
    """Every parameter name of a module -> the name it is stored under; they differ for tied weights alone."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[id(parameter)] for name, parameter in every}


def packed_weights(module: nn.Module) -> Iterator[tuple[str, int]]:
    """(name with class, numbers) of the submodules that keep quantised weights packed away, as no tensor of theirs.

    Args:
        module: the network.
    """
    for name, part in module.named_modules():
        packed = [value for value in vars(part).values() if isinstance(value, torch.ScriptObject)]
        count = sum(tensor.numel() for value in packed for tensor in _unpacked(value) if tensor.is_quantized)
        if count:
            yield f"{name} ({type(part).__name__})", count


def _unpacked(value: Any) -> Iterator[Tensor]:
    """Every tensor in a packed object, at any depth."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, torch.ScriptObject):
        with suppress(AttributeError, RuntimeError):  # of no such method
            yield from _unpacked(getattr(value, "unpack", value.__getstate__)())
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _unpacked(part)


def _weights(module: nn.Module) -> tuple[str, ...]:
    of_norms = norm_parameters(module)
    return tuple(
        name for name, parameter in module.named_parameters()
        if parameter.ndim >= 2 and parameter.numel() and id(parameter) not in of_norms and not is_bias(name)
    )


def norm_parameters(module: nn.Module) -> set[int]:
    """Identities of the parameters of a module's norms."""
    norms = [part for part in module.modules() if isinstance(part, NORMS)]
    return {id(parameter) for norm in norms for parameter in norm.parameters(recurse=False)}


def is_bias(name: str) -> bool:
    """Whether this is the name of a bias: bias or bias_... Some have two axes or more, such as bias_k of attention."""
    leaf = name.rpartition(".")[2]
    return leaf == "bias" or leaf.startswith("bias_")


def _matching(module: nn.Module, patterns: str | Iterable[str]) -> tuple[str, ...]:
    wanted = [patterns] if isinstance(patterns, str) else [str(pattern) for pattern in patterns]
    stored_as = aliases(module)
    chosen = set()
    for pattern in wanted:
        found = {stored_as[name] for name in stored_as if fnmatchcase(name, pattern)}
        if not found:
            raise WorkloadError(
                "no parameter has this name", where="tensors", rule="every pattern matches at least one parameter",
                value=pattern, next_step=did_you_mean(pattern.strip("*"), stored_as),
            )
        chosen |= found
    return tuple(name for name, parameter in module.named_parameters() if name in chosen and parameter.numel())
