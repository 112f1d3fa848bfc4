"""Standing between a module and its submodules: who calls a submodule, and who reads its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn

Handler = Callable[[nn.Module, Callable[..., Any], Any, Any], Any]
"""(submodule, its forward, arguments, named arguments) -> output."""

_CLOSED = (torch.jit.ScriptModule, nn.DataParallel)


class Watched(dict[str, Any]):
    """The parameters of a submodule, told of when read; Python copies a dict with its own `__iter__` by reading it."""

    def __init__(self, held: dict[str, Any], note: Callable[[Any], None]) -> None:
        super().__init__(held)
        self._note = note

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        self._note(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.keys()))

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        self.get(key)
        return super().pop(key, *default)

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]

    def copy(self) -> dict[str, Any]:
        return dict(self)


def wrapped(part: nn.Module, handler: list[Handler]) -> Callable[..., Any]:
    """The forward of a submodule, which asks whoever is the handler at the time of the call."""
    forward = part.forward

    @wraps(forward)
    def call(*args: Any, **named: Any) -> Any:
        return handler[0](part, forward, args, named)

    return call


@contextmanager
def instead(replacements: list[tuple[dict[str, Any], Any]], key: str) -> Iterator[None]:
    """Puts something else under this key of submodules' own attributes, and back what was there."""
    before = [own.get(key) for own, _ in replacements]
    for own, replacement in replacements:
        own[key] = replacement
    try:
        yield
    finally:
        for (own, _), there in zip(replacements, before, strict=True):
            if there is None:
                own.pop(key, None)
            else:
                own[key] = there


def is_open(module: Any) -> bool:
    """Whether calls and reads of every submodule go through Python."""
    return isinstance(module, nn.Module) and not any(
        isinstance(part, _CLOSED) or part._compiled_call_impl is not None or hasattr(part, "_orig_mod")
        for part in module.modules()
    )
