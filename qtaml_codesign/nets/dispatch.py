"""Every operation of torch as its dispatcher runs it.

Torch has no public way to see what runs inside of modules that are scripted, fused or written in C++: a
TorchFunctionMode sees the functions of Python alone. The two private names that this needs, the dispatch mode and the
schema of an operation, stand in this file and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from qtaml_codesign.nets.inputs import leaves


class Operation:
    """One operation with its arguments.

    Args:
        overload: what torch dispatches.
        arguments: positional and named arguments.

    Attributes:
        name: such as "addmm", without its namespace and overload.
        is_view: whether the result shows the memory of an argument, and nothing is read.
        writes: whether an argument is written to.
    """

    def __init__(self, overload: Any, arguments: tuple[Any, ...]) -> None:
        self.name: str = overload.name().rpartition("::")[2].partition(".")[0]
        self.is_view: bool = overload.is_view
        self.writes: bool = overload._schema.is_mutable
        self._overload = overload
        self._arguments = arguments

    @property
    def given(self) -> Iterable[Any]:
        """Every argument, at any depth."""
        return leaves(self._arguments)

    def run(self, change: Callable[[Any], Any] = lambda part: part) -> Any:
        """The result, with every argument changed first."""
        args, kwargs = _changed(self._arguments, change)
        return self._overload(*args, **kwargs)


class Dispatching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which every operation is handed over instead of run.

    Args:
        run: operation -> its result.

    Example:
        >>> import torch
        >>> names, weight, x = [], torch.ones(4, 3), torch.ones(2, 3)
        >>> with Dispatching(lambda operation: (names.append(operation.name), operation.run())[1]):
        ...     product = torch.nn.functional.linear(x, weight)
        >>> names
        ['t', 'mm']
    """

    def __init__(self, run: Callable[[Operation], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch."""
        return self._run(Operation(func, (args, kwargs or {})))


def _changed(nested: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(nested, dict):
        return {name: _changed(part, change) for name, part in nested.items()}
    if isinstance(nested, tuple | list):
        return type(nested)(_changed(part, change) for part in nested)
    return change(nested)
