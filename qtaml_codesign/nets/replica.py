"""One thread's own structure of a module, around parameters that all threads share."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

Place = tuple[dict[str, Any], str]
"""A dictionary of parameters or buffers of a submodule, and a key of it."""

_STRANGERS = (torch.jit.ScriptModule, torch.jit.ScriptFunction, nn.DataParallel)


class Replica:
    """A module that runs with other weights for a moment, and forgets what a forward pass writes into its buffers.

    The dictionaries of the submodules are changed in place and put back, as `torch.func.functional_call` does, without
    looking for every tensor anew at each call.

    Args:
        module: copied, except for its parameters, which are shared; it is never changed.

    Example:
        >>> replica = Replica(nn.Linear(2, 1, bias=False))
        >>> with replica.with_weights({"weight": torch.ones(1, 2)}) as module:
        ...     float(module(torch.tensor([[2.0, 3.0]])))
        5.0
    """

    def __init__(self, module: nn.Module) -> None:
        with torch.inference_mode(False):
            self._module = copy.deepcopy(module, {id(tensor): tensor for tensor in module.parameters()})
            self._parameters = _places(self._module, "_parameters")
            held = [(places, places[0][0][places[0][1]]) for places in _places(self._module, "_buffers").values()]
            self._buffers = [(owner, key, buffer) for places, buffer in held for owner, key in places]
            self._kept = [(buffer, buffer.clone()) for _, buffer in held]
        self._swaps = not isinstance(self._module, _STRANGERS)

    @contextmanager
    def with_weights(self, weights: Mapping[str, Tensor]) -> Iterator[Any]:
        """The module with these parameters replaced, at every place that shares them, until the block ends."""
        if not self._swaps:
            yield lambda *args, **named: functional_call(self._module, dict(weights), args, named)
            return
        changed = [(place, place[0][place[1]], value) for name, value in weights.items()
                   for place in self._parameters[name]]
        self._refresh()
        for (owner, key), _, value in changed:
            owner[key] = value
        try:
            yield self._module
        finally:
            for (owner, key), original, _ in changed:
                owner[key] = original

    def _refresh(self) -> None:
        """Every buffer as the module came, where a forward pass has written into it or put another in its place."""
        for buffer, kept in self._kept:
            buffer.copy_(kept)
        for owner, key, buffer in self._buffers:
            owner[key] = buffer


def _places(module: nn.Module, kind: str) -> dict[str, list[Place]]:
    """By first name, as in `named_parameters` and `named_buffers`, every place that holds the same tensor."""
    found: dict[str, list[Place]] = {}
    names: dict[int, str] = {}
    for prefix, part in module.named_modules():
        owner = getattr(part, kind)
        for key, tensor in owner.items():
            if tensor is not None:
                name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                found.setdefault(name, []).append((owner, key))
    return found
