"""What a module is called with: one tensor, a tuple of tensors, or a dict of them, samples along the first axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from qtaml_codesign.errors import WorkloadError, shown

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Nested = TypeVar("Nested")


def private_inputs(given: object, where: str) -> Inputs:
    """Checked copy of what the user gave.

    Args:
        given: tensors or arrays of shape (N, ...), alone or in a tuple, list or dict; N >= 1 samples.
        where: what they are called in an error.

    Raises:
        WorkloadError: they are nothing of the kind, or differ in N.

    Example:
        >>> private_inputs([torch.zeros(3, 2), torch.ones(3)], "calibration")[1]
        tensor([1., 1., 1.])
    """
    inputs: Inputs
    if isinstance(given, Mapping):
        inputs = {str(name): _tensor(part, f"{where}[{name!r}]") for name, part in given.items()}
    elif isinstance(given, tuple | list):
        inputs = tuple(_tensor(part, f"{where}[{index}]") for index, part in enumerate(given))
    else:
        inputs = _tensor(given, where)
    counts = {part.shape[0] for part in leaves(inputs)}
    if len(counts) != 1 or 0 in counts:
        raise WorkloadError(
            "the inputs do not hold the same samples" if len(counts) > 1 else "there are no inputs", where=where,
            rule="at least one sample, along the first axis of every tensor", value=describe(inputs),
            next_step="give tensors that share their first axis" if len(counts) > 1 else "give at least one sample",
        )
    return inputs


def leaves(nested: object) -> list[Any]:
    """Everything that nested lists, tuples and dictionaries hold, in order; a value alone is its own leaf.

    Example:
        >>> leaves([1, {"a": (2, 3)}])
        [1, 2, 3]
    """
    if not isinstance(nested, tuple | list | dict):
        return [nested]
    return [leaf for part in (nested.values() if isinstance(nested, dict) else nested) for leaf in leaves(part)]


def map_leaves(nested: Nested, change: Callable[[Any], Any]) -> Nested:
    """Lists, tuples and dictionaries of the same structure with every leaf changed.

    Args:
        nested: the structure, for instance inputs.
        change: leaf -> what takes its place.

    Example:
        >>> map_leaves({"a": (1, 2)}, lambda number: -number)
        {'a': (-1, -2)}
    """
    changed: Any
    if isinstance(nested, dict):
        changed = {name: map_leaves(part, change) for name, part in nested.items()}
    elif isinstance(nested, tuple | list):
        changed = type(nested)(map_leaves(part, change) for part in nested)
    else:
        changed = change(nested)
    return cast(Nested, changed)


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor holds all its numbers: not sparse, and not on the meta device."""
    return tensor.layout == torch.strided and not tensor.is_meta


def sample_count(inputs: Inputs) -> int:
    """Samples along the first axis of the inputs."""
    return int(leaves(inputs)[0].shape[0])


def batches(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """The samples of the inputs in order, at most `size` at a time."""
    count = sample_count(inputs)
    if count <= size:
        yield inputs
        return
    for start in range(0, count, size):
        yield map_leaves(inputs, lambda part, start=start: part[start : start + size])  # type: ignore[misc]


def moved(inputs: Inputs, device: torch.device, dtype: torch.dtype | None = None) -> Inputs:
    """The inputs on a device, and the real floating-point ones in a dtype.

    Args:
        inputs: the samples.
        device: where they go.
        dtype: of the real ones; None leaves it.
    """
    return map_leaves(inputs, lambda part: part.to(device, dtype if part.is_floating_point() else None))


def call(module: nn.Module, inputs: Inputs, weights: Mapping[str, Tensor] | None = None) -> Any:
    """module(x), module(*tuple) or module(**dict).

    Args:
        module: what is called.
        inputs: a tensor, a tuple or a dict.
        weights: parameters to take instead of the module's own, by name.
    """
    named = inputs if isinstance(inputs, dict) else {}
    plain = () if isinstance(inputs, dict) else (inputs,) if isinstance(inputs, Tensor) else inputs
    return functional_call(module, dict(weights), plain, named) if weights else module(*plain, **named)


def describe(inputs: object) -> str:
    """Shapes and dtypes of inputs, or of whatever came instead, for an error message.

    Example:
        >>> describe((torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)))
        'float32 (2, 3), int64 (2,)'
    """
    if isinstance(inputs, Tensor):
        return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    if isinstance(inputs, dict):
        return ", ".join(f"{name}: {describe(part)}" for name, part in inputs.items()) or "an empty dict"
    if isinstance(inputs, tuple | list):
        return ", ".join(describe(part) for part in inputs) or "an empty tuple"
    return f"{type(inputs).__name__} {shown(inputs)}"


def _tensor(part: object, where: str) -> Tensor:
    if isinstance(part, np.ndarray) and part.dtype.kind in "fiub":
        part = torch.from_numpy(np.array(part))
    if not isinstance(part, Tensor) or part.ndim < 1 or not is_dense(part):
        raise WorkloadError(
            "an input is not a tensor with samples along its first axis", where=where,
            rule="a dense tensor (or number array) of shape (N, ...), or a tuple, list or dict of them",
            value=describe(part), next_step="pass one batch: a single sample x is written x[None]",
        )
    with torch.inference_mode(False):
        return part.detach().clone()
