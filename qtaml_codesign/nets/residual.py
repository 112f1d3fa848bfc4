"""Which stored tensors lie inside residual branches, read off the autograd graph of one forward pass.

An addition closes a residual branch when both of its operands are activations and both come from one earlier
activation. Every weight met on the way from the addition back to where the two operands part gets floor 1 (arXiv
2606.00741, Algorithm 1 step 2). Additions of biases, positions and masks have only one operand that is an activation.

Known limits: branches joined by other means (concatenation, a product, a stacked sum) count as no residual, and a
forward pass that hides its graph (checkpointing, custom functions) cannot be read: pass `residual_floors` then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.nets.inputs import batches, map_tensors, tensors_of
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

ADDITIONS = frozenset({"AddBackward0", "SubBackward0"})
LOOKUPS = frozenset(
    {"EmbeddingBackward0", "EmbeddingBagBackward0", "IndexBackward0", "IndexSelectBackward0", "GatherBackward0"}
)
PRODUCTS = frozenset({"MmBackward0", "AddmmBackward0", "BmmBackward0"})


def residual_floors(workload: Workload) -> dict[str, int]:
    """Smallest protection depth of every stored tensor: 1 inside a residual branch, else 0.

    Floors given to the workload win over the graph.

    Example:
        >>> from qtaml_codesign.nets.workload import load_workload
        >>> [name for name, floor in residual_floors(load_workload("res-cnn")).items() if floor]
        ['block1.conv1.weight', 'block1.conv2.weight', 'block2.conv1.weight', 'block2.conv2.weight']
    """
    if workload.given_floors is not None:
        return {name: workload.given_floors.get(name, 0) for name in workload.weights}
    with single_threaded(), torch.inference_mode(False), torch.enable_grad():
        module = workload.network.differentiable()
        sources = map_tensors(next(batches(workload.calibration, 1)), _source)
        leaves = {id(part) for part in tensors_of(sources) if part.requires_grad}
        recurrent = _RecurrentSpans(module)
        logits = workload.network.call(module, map_tensors(sources, Tensor.clone))
        inside = set() if logits.grad_fn is None else _Graph(logits.grad_fn, leaves, recurrent.spans).residual_leaves()
    return {name: int(id(module.get_parameter(name)) in inside) for name in workload.weights}


def _source(part: Tensor) -> Tensor:
    """A copy of an input whose use shows in the graph; integers leave no trace there."""
    return part.clone().requires_grad_(part.is_floating_point())


@dataclass(frozen=True)
class _Node:
    """A node of the graph: what it did, where its operands come from, its leaf if it has one, when it was made."""

    name: str
    children: tuple[int, ...]
    leaf: int | None
    order: int


class _Graph:
    """The autograd graph in topological order, operands first, with sets of nodes kept as bit masks."""

    def __init__(self, root: Any, input_leaves: set[int], hidden: list[tuple[int, int]]) -> None:
        self._nodes = _topological(root)
        self._hidden = hidden
        blind = not input_leaves
        self._active = [False] * len(self._nodes)
        self._ancestors = [0] * len(self._nodes)
        for index, node in enumerate(self._nodes):
            starts = node.leaf in input_leaves or node.name in LOOKUPS or (blind and node.name in PRODUCTS)
            self._active[index] = starts or any(self._active[child] for child in node.children)
            if self._active[index]:
                self._ancestors[index] = 1 << index
            for child in node.children:
                self._ancestors[index] |= self._ancestors[child]

    def residual_leaves(self) -> set[int]:
        """Identities of the parameters that enter a residual branch."""
        inside = 0
        for node in self._nodes:
            operands = [child for child in node.children if self._active[child]]
            if node.name not in ADDITIONS or len(operands) != 2 or self._is_hidden(node):
                continue
            one, other = (self._ancestors[operand] for operand in operands)
            if one & other:
                inside |= one ^ other
        found: set[int] = set()
        for index, node in enumerate(self._nodes):
            if inside >> index & 1:
                found |= self._parameters(node)
        return found

    def _parameters(self, node: _Node) -> set[int]:
        """Leaves that reach the node without passing through an activation."""
        found, stack = set(), [child for child in node.children if not self._active[child]]
        while stack:
            below = self._nodes[stack.pop()]
            if below.leaf is not None:
                found.add(below.leaf)
            stack.extend(below.children)
        return found

    def _is_hidden(self, node: _Node) -> bool:
        return any(start <= node.order < end for start, end in self._hidden)


class _RecurrentSpans:
    """When recurrent modules ran: their gates add activations inside, which are no residual branches."""

    def __init__(self, module: nn.Module) -> None:
        self.spans: list[tuple[int, int]] = []
        self._starts: list[int] = []
        for part in module.modules():
            if isinstance(part, nn.RNNBase | nn.RNNCellBase):
                part.register_forward_pre_hook(self._begin)
                part.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        self._starts.append(_now())

    def _end(self, *_: object) -> None:
        self.spans.append((self._starts.pop(), _now()))


def _now() -> int:
    """Autograd's running number of the node made next."""
    marker = torch.zeros(1, requires_grad=True).clone().grad_fn
    return int(marker._sequence_nr()) if marker is not None else 0


def _topological(root: Any) -> list[_Node]:
    """All nodes below the root, each after its operands."""
    position: dict[Any, int] = {}
    nodes: list[_Node] = []
    stack: list[tuple[Any, Iterator[Any]]] = [(root, _operands(root))]
    seen = {root}
    while stack:
        current, left = stack[-1]
        child = next((operand for operand in left if operand not in seen), None)
        if child is not None:
            seen.add(child)
            stack.append((child, _operands(child)))
            continue
        stack.pop()
        variable: Tensor | None = getattr(current, "variable", None)
        leaf = None if variable is None else id(variable)
        children = tuple(position[operand] for operand in _operands(current))
        position[current] = len(nodes)
        nodes.append(_Node(current.name(), children, leaf, int(current._sequence_nr())))
    return nodes


def _operands(node: Any) -> Iterator[Any]:
    return (child for child, _ in node.next_functions if child is not None)
