"""What a network computes, as bytes: the code of its forward pass and of the function that makes logits of its output.

The code is followed from `forward` (and from hooks) through methods, functions, closures and plain constants that it
names. What comes with torch, numpy or Python counts by its name alone. Addresses, file names, line numbers and the
names of modules do not enter, so that the bytes are the same in every process of one version of Python.

Not followed: functions reached through the attribute of an imported module (`helpers.act(x)`), lists and dictionaries
that are globals, and what the forward pass computes outside of Python.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device)
_LIBRARIES = frozenset({"torch", "torchvision", "numpy", "scipy"}) | sys.stdlib_module_names - {"__main__"}
_MANGLED = re.compile(r"\.?___torch_mangle_\d+")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_OF_NO_EFFECT = frozenset({"_name_or_path", "name_or_path", "_original_object_hash", "transformers_version"})
"""What settings of transformers keep of where they come from, and a hash that differs from process to process."""


def code_identity(module: nn.Module, logits: object) -> bytes:
    """Bytes that tell two networks of the same structure apart by what their forward passes compute.

    Args:
        module: the network; its registered tensors do not enter.
        logits: what turns its output into logits, or None.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> one, same, other = lambda z: z.tanh(), lambda z: z.tanh(), lambda z: z.relu()
        >>> [code_identity(layer, one) == code_identity(layer, two) for two in (same, other)]
        [True, False]
    """
    follow = _Follow()
    return repr((follow.network(module), follow.value(logits))).encode()


class _Follow:
    """Values as nested tuples of plain ones; what has been met before counts by its number, so that cycles end."""

    def __init__(self) -> None:
        self._met: dict[object, int] = {}
        self._alive: list[object] = []  # an identity must not be used twice

    def network(self, module: nn.Module) -> object:
        """Every part of a module by its path."""
        parts = list(module.named_modules())
        for _, part in parts:
            self._meet(id(part), part)
        return tuple((path, self._module(part)) for path, part in parts)

    def value(self, value: Any) -> object:
        """One value of any kind."""
        if isinstance(value, Enum):
            return type(value).__qualname__, value.name
        if isinstance(value, _PLAIN):
            return type(value).__name__, repr(value)
        if id(value) in self._met:
            return "again", self._met[id(value)]
        self._meet(id(value), value)
        return type(value).__name__, self._content(value)

    def _meet(self, key: object, value: object) -> None:
        self._met[key] = len(self._met)
        self._alive.append(value)

    def _content(self, value: Any) -> object:
        if isinstance(value, tuple | list):
            return tuple(self.value(part) for part in value)
        if isinstance(value, set | frozenset):
            return tuple(sorted(repr(_Follow().value(part)) for part in value))
        if isinstance(value, Mapping):
            return tuple((self.value(key), self.value(part)) for key, part in value.items())
        if isinstance(value, Tensor | np.ndarray):
            return content_digest(value)
        if isinstance(value, functools.partial):
            return self.value(value.func), self.value(value.args), self.value(value.keywords)
        if isinstance(value, MethodType):
            return self._method(value.__func__, type(value.__self__)), self.value(value.__self__)
        if isinstance(value, nn.Module):
            state = [*value.named_parameters(), *value.named_buffers()]
            return self.network(value), tuple((name, content_digest(tensor)) for name, tensor in state)
        if isinstance(value, FunctionType | BuiltinFunctionType | type):
            return self._method(value, object)
        calls = [self._method(vars(one)["__call__"], type(value)) for one in type(value).__mro__
                 if "__call__" in vars(one)]
        return type(value).__qualname__, calls, () if _is_library(type(value)) else self._attributes(value)

    def _module(self, module: nn.Module) -> object:
        script = module.code if isinstance(module, torch.jit.ScriptModule) and hasattr(module, "forward") else ""
        hooks = tuple(self.value(hook) for hook in _hooks(module))
        forward = self._method(getattr(type(module), "forward", None), type(module))
        return forward, _MANGLED.sub("", script), hooks, self._attributes(module)

    def _attributes(self, holder: Any) -> object:
        """What a forward pass may read beside registered tensors: settings, functions, other tensors."""
        library = _is_library(type(holder))
        return tuple((name, self.value(value)) for name, value in own_attributes(holder).items()
                     if not (library and name.startswith("_")) and name not in _OF_NO_EFFECT)

    def _method(self, function: Any, owner: type) -> object:
        if not isinstance(function, FunctionType) or _is_library(function):
            return getattr(function, "__qualname__", "")
        if (id(function), owner) in self._met:
            return "again", self._met[id(function), owner]
        self._meet((id(function), owner), function)
        return self._function(function, owner)

    def _function(self, function: FunctionType, owner: type) -> object:
        """Code and defaults of a function, what it has enclosed, and what it names: globals, methods of its class."""
        steps = [(step.opname, step.argval) for step in _steps(function.__code__)]
        written = {name for kind, name in steps if kind == "STORE_GLOBAL"}
        globals_read = dict.fromkeys(name for kind, name in steps if kind == "LOAD_GLOBAL" and name not in written)
        enclosed = [self.value(cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]
        named = [self._named(function.__globals__[name]) for name in globals_read if name in function.__globals__]
        attributes = dict.fromkeys(name for kind, name in steps if kind in ("LOAD_ATTR", "LOAD_METHOD"))
        methods = [self._found(name, owner) for name in attributes]
        given = self.value(function.__defaults__), self.value(function.__kwdefaults__)
        return _code(function.__code__), given, enclosed, named, methods

    def _named(self, value: Any) -> object:
        """A global: constants and functions, and classes with functions of their own, such as autograd's."""
        if isinstance(value, type) and not issubclass(value, nn.Module) and not _is_library(value):
            return value.__qualname__, [self._found(name, value) for name in vars(value) if not name.startswith("__")]
        plain = isinstance(value, (*_PLAIN, tuple, FunctionType, functools.partial, Tensor))
        return self.value(value) if plain else type(value).__name__

    def _found(self, name: str, owner: type) -> list[object]:
        """Methods and constants of that name in a class and its bases, of those that do not come with a library."""
        values = [vars(one)[name] for one in owner.__mro__ if name in vars(one) and not _is_library(one)]
        plain = [getattr(value, "fget", getattr(value, "__func__", value)) for value in values]  # what decorators wrap
        return [self._method(value, owner) if isinstance(value, FunctionType) else self.value(value)
                for value in plain if isinstance(value, (FunctionType, *_PLAIN, tuple))]


def own_attributes(holder: object) -> dict[str, Any]:
    """What an object holds beside what torch gives every module.

    Args:
        holder: a module or another object.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> own_attributes(layer)
        {'in_features': 2, 'out_features': 3}
    """
    return {name: value for name, value in getattr(holder, "__dict__", {}).items() if name not in _OF_EVERY_MODULE}


def held_tensors(holder: object, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of all that a module's attributes hold, through lists, dictionaries and modules inside them.

    Args:
        holder: a module, or anything that it holds.
        path: how it was reached.
        seen: identities of what was looked at before.

    Example:
        >>> module = nn.Identity()
        >>> module.pair = [nn.Linear(2, 1, bias=False), torch.zeros(3)]
        >>> [path for path, tensor in held_tensors(module)]
        ['pair[0].weight', 'pair[1]']
    """
    seen = set() if seen is None else seen
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, Tensor):
        yield path, holder
    elif isinstance(holder, nn.Module):
        registered = [*holder.named_parameters(recurse=False), *holder.named_buffers(recurse=False),
                      *holder.named_children()]
        for key, value in [*registered, *own_attributes(holder).items()]:
            yield from held_tensors(value, f"{path}.{key}" if path else key, seen)
    elif isinstance(holder, dict | list | tuple):
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key, value in zip(keys, holder.values() if isinstance(holder, dict) else holder, strict=True):
            yield from held_tensors(value, f"{path}[{key!r}]", seen)


def _hooks(module: nn.Module) -> Iterator[Any]:
    """Functions that torch keeps for a module; those of its registries that hold neither tensors nor modules."""
    for name in sorted(_OF_EVERY_MODULE):
        registry = vars(module).get(name)
        if isinstance(registry, dict):
            yield from (hook for hook in registry.values() if callable(hook) and not isinstance(hook, nn.Module))


def content_digest(tensor: Tensor | NDArray[Any]) -> str:
    """SHA-256 (hex) of a tensor's form and numbers.

    Args:
        tensor: of any dtype and layout, or an array.

    Example:
        >>> content_digest(torch.ones(2)) == content_digest(torch.ones(2).double())
        False
    """
    if not isinstance(tensor, Tensor):
        numbers = b"" if tensor.dtype.hasobject else tensor.tobytes()
        return hashlib.sha256(f"{tensor.shape} {tensor.dtype.str}".encode() + numbers).hexdigest()
    digest = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype} {tensor.layout}".encode())
    for part in strided_parts(tensor):
        digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def strided_parts(tensor: Tensor) -> list[Tensor]:
    """The plain tensors that hold a tensor's numbers, of a sparse one its indices and, last, its values.

    Example:
        >>> [tuple(part.shape) for part in strided_parts(torch.eye(3).to_sparse())]
        [(2, 3), (3,)]
    """
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.is_quantized:
        return [tensor.int_repr(), tensor.dequantize()]
    return [tensor if tensor.layout == torch.strided else tensor.to_dense()]


def _code(code: CodeType) -> object:
    return code.co_code, code.co_names, tuple(_constant(value) for value in code.co_consts)


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, tuple):
        return tuple(_constant(part) for part in value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _steps(code: CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _steps(value)


def _is_library(value: Any) -> bool:
    """Whether a function or a class comes with torch, numpy or Python."""
    return (getattr(value, "__module__", None) or "").partition(".")[0] in _LIBRARIES


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # not assigned yet
        return False
