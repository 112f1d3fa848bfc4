"""Which tensors act as weights in a forward pass, read off one run of it.

Every operation of the run is looked at as torch dispatches it. What depends on the inputs is told from what does not,
and what does not is followed back to the tensors it was made of: through views, casts, scalings, parametrisations. A
tensor acts as weights where such a constant with two axes or more meets the inputs in a matrix product, a convolution,
a recurrent layer or a table look-up. So a weight is found wherever the module keeps it: as a parameter, a buffer, a
plain attribute, in a list, in a closure, as whole numbers that are scaled at each use.

A table that is looked up by positions alone is a code of positions, and no weight; positions are what a cumulative sum
of whole numbers counts, or what does not depend on the values of the inputs at all.

Torch has no public way to see what runs inside of modules that are scripted, fused or written in C++: a
TorchFunctionMode sees the functions of Python alone. The two private names that this needs, the dispatch mode and the
schema of an operation, stand in this file and nowhere else.

Not seen: products written out as elementwise operations, sparse tensors, and what runs outside of torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from qtaml_codesign.nets.inputs import leaves as leaves_of
from qtaml_codesign.nets.inputs import map_leaves

Origins = frozenset[str] | None
"""Labels of the tensors that a constant was made of; None for what depends on the inputs."""

_PRODUCT = re.compile(
    r"mm$|mm_|mv$|dot$|matmul|linear|conv(olution|_|\d)|rnn|lstm|gru|encoder_layer|multi_head|cdist|euclidean_dist"
)
_LOOKUP = re.compile(r"^_?(unsafe_)?(embedding(_bag\w*)?|index|index_select|gather|take)$")
_RESIZING = ("upsample", "_upsample")
_SUMMED = ("add", "_add", "baddbmm")
"""Products whose first tensor is added to the others' product: a bias, or a mask."""
_SHAPED = re.compile(r"_like$|^new_")
"""Operations that take the form of a tensor, and none of its values."""
_INDEXED = re.compile(r"embedding|^_?(unsafe_)?(index|gather|take|scatter)")
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
        self._positions: set[int] = set()
        self._alive: list[Tensor] = []  # an address must not be used twice
        self._contents = {address(one): (one, content) for one, content in contents}

    def tensor(self, label: str) -> Tensor:
        """The tensor that a `label` of those that were read stands for."""
        return self._leaves[label]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch: the result of an operation; what came of it is written down."""
        name, writes = func.name().rpartition("::")[2].partition(".")[0], func._schema.is_mutable
        output = self._output(func, (args, kwargs or {}), writes)
        given = [part for part in leaves_of((args, kwargs)) if _is_plain(part)]
        origins = [self._of(part) for part in given]
        if not func.is_view:
            self.read |= {label for one in origins if one for label in one}
            self._note_weights(name, given, origins)
        merged, counted = self._made_of(name, given, origins), self._counts(name, given, origins)
        before = {address(part) for part in given}
        made = [part for part in leaves_of(output) if _is_plain(part)]
        for part in [*given[: int(writes)], *made]:
            if writes or address(part) not in before:
                self._origins[address(part)] = merged
                self._alive.append(part)
                (self._positions.add if counted and is_whole(part) else self._positions.discard)(address(part))
        return output

    def _made_of(self, name: str, given: list[Tensor], origins: list[Origins]) -> Origins:
        """What the values of an operation's result were made of."""
        if _SHAPED.search(name):
            return frozenset()
        if None in origins:
            return None
        # whole numbers say which rows of a table are taken; where its entries are single numbers they are codes
        structure = given and bool(_INDEXED.search(name)) and given[0].ndim > 1
        return frozenset(
            label for number, labels in enumerate(origins) for label in labels or ()
            if not (structure and number and self._leaves[label].dtype in _INDEX_TYPES)
        )

    def _counts(self, name: str, given: list[Tensor], origins: list[Origins]) -> bool:
        """Whether whole numbers that result are positions: counted, and at most masked afterwards."""
        if name.startswith("cumsum"):
            return True
        dependent = [part for part, one in zip(given, origins, strict=True) if one is None]
        others = [part for part in dependent if address(part) not in self._positions]
        masked = name.startswith("mul") or all(part.dtype == torch.bool for part in others)
        return len(others) < len(dependent) and masked and not _INDEXED.search(name)

    def _output(self, func: Any, arguments: tuple[Any, Any], writes: bool) -> Any:
        for part in leaves_of(arguments) if writes else ():
            if _is_plain(part) and address(part) in self._contents:  # it, or what lies beside it, is written to
                stand_in, content = self._contents.pop(address(part))
                stand_in.copy_(content)
        args, kwargs = arguments if writes or func.is_view else map_leaves(arguments, self._content)
        return func(*args, **kwargs)

    def _content(self, part: Any) -> Any:
        """What a view of a stand-in stands for; all else as it is."""
        if not _is_plain(part) or address(part) not in self._contents:
            return part
        content = self._contents[address(part)][1]
        first = content.storage_offset() * content.element_size() // part.element_size() + part.storage_offset()
        empty = torch.empty(0, dtype=part.dtype, device=part.device)
        return empty.set_(content.untyped_storage(), first, part.shape, part.stride())

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
        if lookup and (given[0].dtype in _INDEX_TYPES or all(
                address(part) in self._positions for part, one in zip(given, origins, strict=True) if one is None)):
            return
        taken = slice(0, 1) if lookup else slice(int(name.startswith(_SUMMED)), None)
        for part, labels in zip(given[taken], origins[taken], strict=True):
            if part.ndim >= 2:
                self.weights |= {label: self._leaves[label] for label in self._acting(labels or (), part.numel())}

    def _acting(self, labels: Iterable[str], used: int) -> list[str]:
        """Which of the tensors that an operand was made of act as weights in it; zeros and ones beside others mask."""
        whole = [label for label in labels if not _is_row(self._leaves[label], used)]
        stored = [label for label in whole if address(self._leaves[label]) in self._contents]
        known = {label: _kind(self._leaves[label]) for label in whole if label not in stored}
        numbers = [*stored, *(label for label, kind in known.items() if kind == "numbers")]
        return numbers or [label for label, kind in known.items() if kind == "bits"]


def span(tensor: Tensor) -> tuple[int, int]:
    """First byte of a tensor in memory, and the first behind it."""
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def address(tensor: Tensor) -> int:
    """Where the memory begins that a tensor and its views share."""
    return tensor.untyped_storage().data_ptr()


def _is_plain(part: object) -> bool:
    return isinstance(part, Tensor) and part.layout == torch.strided and part.numel() > 0 and address(part) != 0


def is_whole(part: Tensor) -> bool:
    """Whether a tensor, the `part`, holds whole numbers or truth values."""
    return not (part.is_floating_point() or part.is_complex())


def _is_row(leaf: Tensor, used: int) -> bool:
    """Numbers along one axis that stand for the rows or the columns of what is made of them: a scale, a bias."""
    return leaf.numel() == max(leaf.shape, default=1) and leaf.numel() < used


def _kind(leaf: Tensor) -> str:
    """What a tensor holds: "numbers", "bits" (zeros and ones), or a "mask".

    A mask is of truth values, or has infinities, or is of zeros and ones with at most one run of ones in each row.
    """
    if leaf.dtype == torch.bool:
        return "mask"
    values = leaf.dequantize() if leaf.is_quantized else leaf
    parts = torch.split(values, max(1, _AT_ONCE // values[:1].numel())) if values.ndim else (values,)
    if not all(bool(((part == 0) | (part == 1)).all()) for part in parts):
        return "mask" if any(bool(torch.isinf(part).any()) for part in parts) else "numbers"
    return "mask" if all(_in_runs(part != 0) for part in parts) else "bits"


def _in_runs(ones: Tensor) -> bool:
    if ones.ndim == 0:
        return True
    starts = ones[..., :1].sum(-1) + (ones[..., 1:] & ~ones[..., :-1]).sum(-1)
    return bool((starts <= 1).all())
