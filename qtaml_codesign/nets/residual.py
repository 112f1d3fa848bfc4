"""Which stored tensors lie inside residual branches, read off the autograd graph of one forward pass.

An addition closes a residual branch when both of its operands are activations and both come from one earlier
activation. Every weight met on the way from the addition back to where the two operands part gets floor 1 (arXiv
2606.00741, Algorithm 1 step 2). Additions of biases, positions and masks have only one operand that is an activation.

Known limits: branches joined by other means (concatenation, a product, a stacked sum) count as no residual, and a
forward pass that hides its graph (checkpointing, custom functions) cannot be read: pass `residual_floors` then.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from qtaml_codesign.nets.graph import leaf_of, operands, topological
from qtaml_codesign.nets.inputs import batches, leaves, map_leaves
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

    Args:
        workload: the network; its first calibration input is run.

    Raises:
        WorkloadError: the module fails on a single input.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> [name for name, floor in residual_floors(load_workload("res-cnn")).items() if floor]
        ['block1.conv1.weight', 'block1.conv2.weight', 'block2.conv1.weight', 'block2.conv2.weight']
    """
    if workload.given_floors is not None:
        return {name: workload.given_floors.get(name, 0) for name in workload.weights}
    with single_threaded(), torch.inference_mode(False), torch.enable_grad():
        module = workload.network.differentiable()
        first = next(batches(workload.calibration, 1))  # integers leave no trace in the graph
        sources = map_leaves(first, lambda part: part.clone().requires_grad_(part.is_floating_point()))
        given = {id(part) for part in leaves(sources) if part.requires_grad}
        recurrent = _inside_recurrent(module)
        logits = workload.network.call(module, map_leaves(sources, Tensor.clone))
        inside = set() if logits.grad_fn is None else _residual_leaves(logits.grad_fn, given, recurrent)
    parameters = dict(module.named_parameters())
    return {name: int(id(parameters[name]) in inside) for name in workload.weights}


def _residual_leaves(root: Node, input_leaves: set[int], hidden: set[Node]) -> set[int]:
    """Identities of the parameters that enter a residual branch; sets of nodes are kept as bit masks.

    Args:
        root: where the graph ends.
        input_leaves: identities of the leaf tensors that stand for inputs.
        hidden: nodes whose additions close no branch.
    """
    nodes = topological(root)
    position = {node: index for index, node in enumerate(nodes)}
    operands_of = [[position[child] for child in operands(node)] for node in nodes]
    starts = LOOKUPS if input_leaves else LOOKUPS | PRODUCTS
    active: list[bool] = []
    ancestors: list[int] = []
    inside = 0
    for index, (node, children) in enumerate(zip(nodes, operands_of, strict=True)):
        active.append(id(leaf_of(node)) in input_leaves or node.name() in starts
                      or any(active[child] for child in children))
        above = reduce(or_, (ancestors[child] for child in children), 0)
        ancestors.append(above | active[index] << index)
        branches = [ancestors[child] for child in children if active[child]]
        closes = node.name() in ADDITIONS and node not in hidden and len(branches) == 2
        if closes and branches[0] & branches[1]:
            inside |= branches[0] ^ branches[1]
    entered = [children for index, children in enumerate(operands_of) if inside >> index & 1]
    stack = [child for children in entered for child in children if not active[child]]
    found = set()
    while stack:  # what reaches a branch without passing through an activation
        below = stack.pop()
        found.add(id(leaf_of(nodes[below])))
        stack.extend(operands_of[below])
    return found


def _inside_recurrent(module: nn.Module) -> set[Node]:
    """Filled as the module runs: the nodes of its recurrent parts, whose gates add activations and are no branches."""
    found: set[Node] = set()

    def note(part: nn.Module, given: object, named: object, output: object) -> None:
        found.update(_below(output) - _below((given, named)))

    for part in module.modules():
        if isinstance(part, nn.RNNBase | nn.RNNCellBase):
            part.register_forward_hook(note, with_kwargs=True)
    return found


def _below(nested: object) -> set[Node]:
    """Every node that some tensors were made by."""
    roots = (part.grad_fn for part in leaves(nested) if isinstance(part, Tensor))
    return {node for root in roots if root is not None for node in topological(root)}
