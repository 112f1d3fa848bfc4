"""The autograd graph, through what torch makes public of its nodes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node


def operands(node: Node) -> Iterator[Node]:
    """The nodes that a node takes its operands from, one for each edge."""
    return (child for child, _ in node.next_functions if child is not None)


def leaf_of(node: Node) -> Tensor | None:
    """The leaf tensor that a node stands for, or None."""
    return getattr(node, "variable", None)


def topological(root: Node) -> list[Node]:
    """All nodes at and below a root, each after its operands.

    Example:
        >>> import torch
        >>> weight = torch.ones(2, requires_grad=True)
        >>> [node.name().rpartition("::")[2] for node in topological((2.0 * weight).sum().grad_fn)]
        ['AccumulateGrad', 'MulBackward0', 'SumBackward0']
    """
    found: list[Node] = []
    stack, seen = [(root, operands(root))], {root}
    while stack:
        node, left = stack[-1]
        child = next((operand for operand in left if operand not in seen), None)
        if child is None:
            found.append(node)
            stack.pop()
        else:
            seen.add(child)
            stack.append((child, operands(child)))
    return found
