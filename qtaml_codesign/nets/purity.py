"""What a call of a submodule leaves behind: whether its output is all that comes of it, and copies of that output."""

from __future__ import annotations

from collections import deque
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._pytree import tree_flatten, tree_unflatten

State = list[tuple[Any, int]]
"""Everything that can be reached from something: tensors with the number of writes to them, objects, sizes."""

_MOST = 100_000
_PLAIN = (type(None), bool, int, float, str)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def is_hooked(part: nn.Module) -> bool:
    """Whether a hook would miss a call inside."""
    inside = (getattr(inner, kind) for inner in part.modules() if inner is not part for kind in _HOOKS)
    return any(inside) or any(getattr(torch_module, f"_global{kind}") for kind in _HOOKS)


def state(*roots: Any) -> State | None:
    """All that can be reached from these; None where that is more than can be looked through at every call."""
    found: State = []
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        thing = stack.pop()
        if isinstance(thing, Tensor):
            found.append((thing, 0 if thing.is_inference() else thing._version))
            continue
        inside = [] if id(thing) in seen else _inside(thing)
        found.append((type(thing) if isinstance(thing, dict | list | tuple) else thing, len(inside)))
        if inside:
            seen.add(id(thing))
            stack += inside
        if len(found) > _MOST:
            return None
    return found


def _inside(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return [*dict.keys(thing), *dict.values(thing)]
    if isinstance(thing, list | tuple | set | deque):
        return list(thing)
    own = None if isinstance(thing, type | FunctionType) else getattr(thing, "__dict__", None)
    return [own] if isinstance(own, dict) else []


def is_same(before: State, after: State | None) -> bool:
    """Whether nothing was replaced, added or written to."""
    return after is not None and len(before) == len(after) and all(
        one is other and count == again for (one, count), (other, again) in zip(before, after, strict=True)
    )


def is_new(output: Any, before: State) -> bool:
    """Whether the output is plain values and dense tensors, each in memory that nothing known before has a part in."""
    parts = [part for part in tree_flatten(output)[0] if type(part) not in _PLAIN]
    if not all(type(part) is Tensor and _is_dense(part) for part in parts):
        return False
    known = [thing for thing, _ in before if isinstance(thing, Tensor)]
    if not all(_is_dense(tensor) for tensor in known):
        return False
    places = [_place(part) for part in parts]
    return len(set(places)) == len(places) and not {_place(tensor) for tensor in known} & set(places)


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (
        tensor.is_nested or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _place(tensor: Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr()


class Kept:
    """A copy of an output, out of reach of those who write to it.

    Example:
        >>> output = {"x": torch.zeros(2), "length": 3}
        >>> kept = Kept(output)
        >>> _ = output["x"].add_(1.0)
        >>> kept.again()
        {'x': tensor([0., 0.]), 'length': 3}
    """

    def __init__(self, output: Any) -> None:
        parts, self._form = tree_flatten(output)
        self._parts = [_copy(part) for part in parts]

    def again(self) -> Any:
        """Another copy."""
        return tree_unflatten([_copy(part) for part in self._parts], self._form)


def size(output: Any) -> int:
    """Bytes behind all tensors of an output."""
    return sum(part.untyped_storage().nbytes() for part in tree_flatten(output)[0] if isinstance(part, Tensor))


def _copy(part: Any) -> Any:
    """A tensor in memory of its own with the same strides and offset, so that kernels treat it the same."""
    if not isinstance(part, Tensor):
        return part
    whole = part.as_strided((part.untyped_storage().nbytes() // part.element_size(),), (1,), 0).clone()
    return whole.as_strided(part.shape, part.stride(), part.storage_offset())
