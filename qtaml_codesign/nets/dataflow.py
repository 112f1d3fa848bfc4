"""Which tensors act as weights in a forward pass, read off one run of it.

Every operation of the run is looked at as torch dispatches it. What depends on the inputs is told from what does not,
and what does not is followed back to the tensors it was made of: through views, casts, scalings, parametrisations. A
tensor acts as weights where such a constant with two axes or more meets the inputs in a matrix product, a convolution,
a recurrent layer or a table look-up. So a weight is found wherever the module keeps it: as a parameter, a buffer, a
plain attribute, in a list, in a closure, as whole numbers that are scaled at each use.

Not seen: products written out as elementwise operations, and what runs outside of torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Origins = frozenset[str] | None
"""Labels of the tensors that a constant was made of; None for what depends on the inputs."""

_PRODUCT = re.compile(r"mm$|mm_|mv$|dot$|matmul|linear|conv(olution|_|\d)|rnn|lstm|gru|encoder_layer|multi_head")
_LOOKUP = re.compile(r"^_?(unsafe_)?(embedding(_bag\w*)?|index|index_select|gather|take)$")
_RESIZING = ("upsample", "_upsample")
_SUMMED = ("add", "_add", "baddbmm")
"""Products whose first tensor is added to the others' product: a bias, or a mask."""
_INDEX_TYPES = (torch.bool, torch.int64)
_AT_ONCE = 2**20
"""Values looked at in one go."""


class Dataflow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows constants and inputs through the operations that run inside its context.

    Args:
        inputs: tensors that stand for samples.
        leaves: label -> tensor, of everything that is known beforehand.
        name: label of a tensor that is not known beforehand.
        contents: (stand-in, what it stands for): operations that read the one compute with the other, of the same
            shape, strides and dtype.

    Attributes:
        read: labels of the tensors that an operation has read; taking a view reads nothing.
        weights: label -> tensor, of those that act as weights.

    Example:
        >>> weight, x = torch.tensor([[0.5, 2.0]]), torch.ones(3, 2)
        >>> with Dataflow([x], {"w": weight}, lambda tensor: "unknown") as flow:
        ...     shape = ((2.0 * weight) @ x.T).shape
        >>> list(flow.weights), flow.read
        (['w'], {'w'})
    """

    def __init__(
        self, inputs: list[Tensor], leaves: Mapping[str, Tensor], name: Callable[[Tensor], str],
        contents: Iterable[tuple[Tensor, Tensor]] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: set[str] = set()
        self.weights: dict[str, Tensor] = {}
        self._name = name
        self._leaves = dict(leaves)
        self._spans = {label: span(leaf) for label, leaf in leaves.items()}
        self._origins: dict[int, Origins] = {address(part): None for part in inputs}
        self._alive: list[Tensor] = []  # an address must not be used twice
        self._contents = {address(one): (one, content) for one, content in contents}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and write down what came of it."""
        output = self._run(func, args, kwargs or {})
        given = [part for part in tree_leaves((args, kwargs)) if _is_plain(part)]
        origins = [self._of(part) for part in given]
        name = func._schema.name.rpartition("::")[2]
        if not func.is_view:
            self.read |= {label for one in origins if one for label in one}
            self._note_weights(name, given, origins)
        merged = None if None in origins else frozenset().union(*(one for one in origins if one))
        writes, before = func._schema.is_mutable, {address(part) for part in given}
        for part in [*given[: int(writes)], *(part for part in tree_leaves(output) if _is_plain(part))]:
            if writes or address(part) not in before:
                self._origins[address(part)] = merged
                self._alive.append(part)
        return output

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func._schema.is_mutable:
            for part in tree_leaves((args, kwargs)):
                self._fill(part)
        elif not func.is_view:
            args, kwargs = tree_map(self._content, (args, kwargs))
        return func(*args, **kwargs)

    def _content(self, part: Any) -> Any:
        """What a view of a stand-in stands for; all else as it is."""
        if not _is_plain(part) or address(part) not in self._contents:
            return part
        content = self._contents[address(part)][1]
        first = content.storage_offset() * content.element_size() // part.element_size() + part.storage_offset()
        empty = torch.empty(0, dtype=part.dtype, device=part.device)
        return empty.set_(content.untyped_storage(), first, part.shape, part.stride())

    def _fill(self, part: Any) -> None:
        """A stand-in that an operation may write to, or to something beside it, takes its content over."""
        if _is_plain(part) and address(part) in self._contents:
            whole, content = self._contents.pop(address(part))
            whole.copy_(content)

    def _of(self, tensor: Tensor) -> Origins:
        if address(tensor) in self._origins:
            return self._origins[address(tensor)]
        first, last = span(tensor)
        found = frozenset(label for label, (start, end) in self._spans.items() if start < last and first < end)
        if found:
            return found
        label = self._name(tensor)
        self._leaves[label], self._spans[label] = tensor, (first, last)
        self._alive.append(tensor)
        return frozenset({label})

    def _note_weights(self, name: str, given: list[Tensor], origins: list[Origins]) -> None:
        lookup = bool(_LOOKUP.search(name))
        product = bool(_PRODUCT.search(name)) and not name.startswith(_RESIZING)
        if None not in origins or not (lookup or product):
            return
        taken = slice(0, 1) if lookup else slice(int(name.startswith(_SUMMED)), None)
        for part, labels in zip(given[taken], origins[taken], strict=True):
            for label in labels or ():
                if part.ndim >= 2 and _may_hold_weights(self._leaves[label], part.numel()):
                    self.weights[label] = self._leaves[label]


def span(tensor: Tensor) -> tuple[int, int]:
    """First byte of a tensor in memory, and the first behind it."""
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def address(tensor: Tensor) -> int:
    """Where the memory begins that a tensor and its views share."""
    return tensor.untyped_storage().data_ptr()


def _is_plain(part: object) -> bool:
    return isinstance(part, Tensor) and part.layout == torch.strided and part.numel() > 0 and address(part) != 0


def _may_hold_weights(leaf: Tensor, used: int) -> bool:
    """Not for indices, masks (zeros and ones, or infinities), and numbers that stand for a row or a column."""
    if leaf.dtype in _INDEX_TYPES or (leaf.ndim < 2 and leaf.numel() < used):
        return False
    values = leaf.dequantize() if leaf.is_quantized else leaf
    parts = torch.split(values, max(1, _AT_ONCE // values[:1].numel())) if values.ndim else (values,)
    plain = all(bool(((part == 0) | (part == 1)).all()) for part in parts)
    return not plain and not any(bool(torch.isinf(part).any()) for part in parts)


def held_tensors(holder: object, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of all that a module's attributes hold, through lists, dictionaries and modules inside them.

    Example:
        >>> module = torch.nn.Identity()
        >>> module.pair = [torch.nn.Linear(2, 1, bias=False), torch.zeros(3)]
        >>> [path for path, tensor in held_tensors(module)]
        ['pair[0].weight', 'pair[1]']
    """
    seen = set() if seen is None else seen
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, Tensor):
        yield path, holder
    elif isinstance(holder, torch.nn.Module):
        registered = {**holder._parameters, **holder._buffers, **holder._modules}
        plain = {key: value for key, value in vars(holder).items() if key not in _OF_EVERY_MODULE}
        for key, value in {**registered, **plain}.items():
            yield from held_tensors(value, f"{path}.{key}" if path else key, seen)
    elif isinstance(holder, dict | list | tuple):
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key, value in zip(keys, holder.values() if isinstance(holder, dict) else holder, strict=True):
            yield from held_tensors(value, f"{path}[{key!r}]", seen)


_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))
