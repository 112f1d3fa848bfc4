"""What a call of a submodule leaves behind: whether its output is all that comes of it, and copies of that output."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
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
_LEAVES = {*_PLAIN, type, FunctionType, torch.dtype, torch.device}
_CONTAINERS = (dict, list, tuple, set, deque)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def is_hooked(part: nn.Module) -> bool:
    """Whether a hook would miss a call inside."""
    inside = (getattr(inner, kind) for inner in part.modules() if inner is not part for kind in _HOOKS)
    return any(inside) or any(getattr(torch_module, f"_global{kind}") for kind in _HOOKS)


def state(*roots: Any) -> State | None:
    """All that can be reached from these; None where that is more than can be looked through at every call."""
    found: State = []
    seen: set[int] = set()
    stack: list[Any] = list(roots)
    while stack and len(found) < _MOST:
        thing = stack.pop()
        kind = type(thing)
        if kind in _LEAVES:
            found.append((thing, 0))
        elif isinstance(thing, Tensor):
            found.append((thing, 0 if thing.is_inference() else thing._version))
        else:
            inside = () if id(thing) in seen else _inside(thing)
            found.append((kind if isinstance(thing, _CONTAINERS) else thing, len(inside)))
            if inside:
                seen.add(id(thing))
                stack += inside
    return None if stack else found


def _inside(thing: Any) -> Collection[Any]:
    if isinstance(thing, dict):
        return [*dict.keys(thing), *dict.values(thing)] if thing else ()
    if isinstance(thing, _CONTAINERS):
        return thing
    own = getattr(thing, "__dict__", None)
    return own.values() if isinstance(own, dict) else ()


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
    """A copy of an output, to be handed out again and again.

    The copy itself is handed out, and copied anew only where it was once written to. Torch counts the writes to tensors
    that were made outside of its inference mode.

    Args:
        output: plain values and dense tensors in memory of their own.
        shared: whether the copy itself may be handed out.
    """

    def __init__(self, output: Any, shared: bool) -> None:
        parts, self._form = tree_flatten(output)
        with torch.inference_mode(False), torch.no_grad():
            self._parts = [_copy(part) for part in parts]
        self._shared, self._writes = shared, self._count()

    def again(self) -> Any:
        """The same output, in new tensor objects."""
        another = _alias if self._shared else _copy
        return tree_unflatten([another(part) for part in self._parts], self._form)

    def is_written(self) -> bool:
        """Whether someone wrote to the copy, so that it is spoilt."""
        return self._count() != self._writes

    def _count(self) -> list[int]:
        return [part._version for part in self._parts if isinstance(part, Tensor)]


def size(output: Any) -> int:
    """Bytes behind all tensors of an output."""
    return sum(part.untyped_storage().nbytes() for part in tree_flatten(output)[0] if isinstance(part, Tensor))


def _alias(part: Any) -> Any:
    return part.detach() if isinstance(part, Tensor) else part


def _copy(part: Any) -> Any:
    """A tensor in memory of its own with the same strides and offset, so that kernels treat it the same."""
    if not isinstance(part, Tensor):
        return part
    whole = part.as_strided((part.untyped_storage().nbytes() // part.element_size(),), (1,), 0).clone()
    return whole.as_strided(part.shape, part.stride(), part.storage_offset())
