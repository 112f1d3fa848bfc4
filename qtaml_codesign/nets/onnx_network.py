"""A graph of ONNX operators as a torch module, whose weights are parameters by their own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from qtaml_codesign.nets.onnx_operators import OPERATORS, UnsupportedError

PRODUCTS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (0, 1), "MatMul": (0, 1), "LSTM": (1, 2), "GRU": (1, 2),
            "Gather": (0,), "DequantizeLinear": (0,)}
"""Operators and the places of their inputs where a constant acts as weights."""
_VIEWS = ("Transpose", "Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze")


class Node(NamedTuple):
    """One operator of a graph.

    Attributes:
        operator: its name.
        inputs, outputs: names of values; an input that is left out is "".
        attributes: by name, plain values and tensors.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class OnnxNetwork(nn.Module):
    """Runs the nodes of a graph one after the other.

    Args:
        nodes: in an order in which every input is there before it is read.
        constants: what the graph brings, by name: those that act as weights, and numbers along one axis, become
            parameters, the others buffers.
        inputs: names of the inputs that are given, in their order.
        outputs: names of the results.

    Raises:
        UnsupportedError: an operator that is not known here.

    Example:
        >>> nodes = [Node("MatMul", ("x", "w"), ("z",), {}), Node("Relu", ("z",), ("y",), {})]
        >>> network = OnnxNetwork(nodes, {"w": torch.tensor([[1.0, -1.0]])}, ["x"], ["y"])
        >>> network(torch.tensor([[2.0]])).tolist(), [name for name, _ in network.named_parameters()]
        ([[2.0, 0.0]], ['w'])
    """

    def __init__(
        self, nodes: Iterable[Node], constants: Mapping[str, Tensor], inputs: Iterable[str], outputs: Iterable[str]
    ) -> None:
        super().__init__()
        self.nodes, self.inputs, self.outputs = tuple(nodes), tuple(inputs), tuple(outputs)
        unknown = sorted({node.operator for node in self.nodes} - OPERATORS.keys())
        if unknown:
            raise UnsupportedError(f"operators that are not known here: {', '.join(unknown)}")
        acting = acting_as_weights(self.nodes)
        self.places = {name: name.replace(".", "/") for name in constants}  # a parameter's name has no dots
        for name, tensor in constants.items():
            if tensor.is_floating_point() and (name in acting or tensor.ndim == 1):
                self.register_parameter(self.places[name], nn.Parameter(tensor))
            else:
                self.register_buffer(self.places[name], tensor)

    def forward(self, *given: Tensor, **named: Tensor) -> Any:
        """The result, or a tuple of all.

        Args:
            given: inputs in the order of the graph.
            named: inputs by their names.
        """
        values: dict[str, Any] = dict(zip(self.inputs, given, strict=False)) | named
        values |= {name: getattr(self, place) for name, place in self.places.items()}
        values[""] = None
        for node in self.nodes:
            operator = OPERATORS[node.operator]
            found = operator([values[name] for name in node.inputs], node.attributes | _count(node))
            values |= dict(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False))
        results = tuple(values[name] for name in self.outputs)
        return results if len(results) > 1 else results[0]


def _count(node: Node) -> dict[str, int]:
    return {"outputs": len(node.outputs)} if node.operator == "Split" else {}


def acting_as_weights(nodes: Iterable[Node]) -> set[str]:
    """Names of values that act as weights where they are constant: in products and tables, through views and casts.

    Args:
        nodes: of a graph.
    """
    every = tuple(nodes)
    acting = {node.inputs[place] for node in every for place in PRODUCTS.get(node.operator, ())
              if place < len(node.inputs)}
    for node in reversed(every):
        if node.operator in _VIEWS and acting & set(node.outputs):
            acting.add(node.inputs[0])
    return acting


def quantised_weights(nodes: Iterable[Node], constants: Mapping[str, Tensor]) -> dict[str, int]:
    """Names of weights of 8-bit whole numbers without a zero point -> 8.

    Args:
        nodes: of a graph.
        constants: what it brings.
    """
    found = {}
    for node in nodes:
        name = node.inputs[0] if node.inputs else ""
        if node.operator == "DequantizeLinear" and constants.get(name, torch.zeros(0)).dtype == torch.int8:
            zero = constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
            if constants[name].ndim >= 2 and (zero is None or not bool(zero.any())):
                found[name.replace(".", "/")] = 8
    return found
