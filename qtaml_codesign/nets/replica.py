"""One thread's own structure of a module, over parameters whose memory all threads share."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Replica:
    """A module that runs with other weights for a moment, and forgets what a forward pass writes into its buffers.

    Its parameters are objects of their own; whoever holds one, a tied layer or a list, runs with what is put into it.

    Args:
        module: copied, except for the memory of its parameters, which is shared; it is never changed.

    Example:
        >>> replica = Replica(nn.Linear(2, 1, bias=False))
        >>> with replica.with_weights({"weight": torch.ones(1, 2)}) as module:
        ...     float(module(torch.tensor([[2.0, 3.0]])))
        5.0
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = structure_of(module)
        self._parameters = dict(self._module.named_parameters())
        self._own = {name: parameter.data for name, parameter in self._parameters.items()}
        self._buffers = [(part, key, buffer, buffer.clone()) for part in self._module.modules()
                         for key, buffer in part.named_buffers(recurse=False)]
        self._by_name = dict(self._module.named_buffers())

    @contextmanager
    def with_weights(self, weights: Mapping[str, Tensor]) -> Iterator[nn.Module]:
        """The module with some parameters and buffers replaced, until the block ends.

        Args:
            weights: name of a parameter or buffer, as in `named_parameters` -> tensor of its shape, dtype and device.
        """
        for part, key, buffer, kept in self._buffers:  # a forward pass may have written into it, or put another there
            buffer.copy_(kept)
            if getattr(part, key) is not buffer:
                setattr(part, key, buffer)
        try:
            for name, weight in weights.items():
                if name in self._own:
                    self._parameters[name].data = weight
                else:
                    self._by_name[name].copy_(weight)
            yield self._module
        finally:
            for name in weights.keys() & self._own.keys():
                self._parameters[name].data = self._own[name]


def structure_of(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters are objects of their own over the same memory.

    Args:
        module: any torch module; what it holds scripted has its memory copied too.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> other = structure_of(layer)
        >>> other.weight is layer.weight, other.weight.data_ptr() == layer.weight.data_ptr()
        (False, True)
    """
    with torch.inference_mode(False):
        own: dict[int, Any] = {id(one): type(one)(one.data, one.requires_grad) for one in module.parameters()
                               if isinstance(one, nn.Parameter)}  # those of scripted parts are none
        return copy.deepcopy(module, own)
