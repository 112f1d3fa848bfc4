"""Operators of ONNX as functions of torch: (inputs, attributes) -> output, or a tuple of outputs.

Inputs that a node leaves out are None. Shapes and indices are tensors of whole numbers, as in ONNX.
Source: https://onnx.ai/onnx/operators, opsets 13 to 21; recurrent ones in onnx_recurrent.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from qtaml_codesign.nets.onnx_recurrent import gru, lstm

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]

TYPES = {1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
         10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
"""Numbers of the element types, as in onnx.TensorProto."""
_POOLS: dict[str, Any] = {"Max": (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d),
          "Average": (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)}
_CONVOLUTIONS: Any = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED: Any = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


class UnsupportedError(Exception):
    """A node asks for what is not done here."""


def _plain(function: Callable[..., Any]) -> Operator:
    return lambda given, attributes: function(*given)


def _list(tensor: Tensor | None, otherwise: Any = None) -> Any:
    return otherwise if tensor is None else tensor.tolist()


def _symmetric(attributes: Attributes, axes: int) -> list[int]:
    """Padding of a window, which must be the same on both sides."""
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UnsupportedError(f"auto_pad = {attributes['auto_pad']}")
    pads = list(attributes.get("pads", [0] * 2 * axes))
    if pads[:axes] != pads[axes:]:
        raise UnsupportedError(f"pads = {pads}, which differ from side to side")
    return pads[:axes]


def _convolution(given: list[Tensor], attributes: Attributes) -> Any:
    axes = given[1].ndim - 2
    ones = [1] * axes
    return _CONVOLUTIONS[axes - 1](
        given[0], given[1], given[2] if len(given) > 2 else None, attributes.get("strides", ones),
        _symmetric(attributes, axes), attributes.get("dilations", ones), attributes.get("group", 1))


def _transposed(given: list[Tensor], attributes: Attributes) -> Any:
    axes = given[1].ndim - 2
    ones = [1] * axes
    return _TRANSPOSED[axes - 1](
        given[0], given[1], given[2] if len(given) > 2 else None, attributes.get("strides", ones),
        _symmetric(attributes, axes), attributes.get("output_padding", [0] * axes), attributes.get("group", 1),
        attributes.get("dilations", ones))


def _pool(kind: str) -> Operator:
    def pool(given: list[Tensor], attributes: Attributes) -> Any:
        window = attributes["kernel_shape"]
        axes, steps = len(window), attributes.get("strides", [1] * len(window))
        rounded = bool(attributes.get("ceil_mode", 0))
        padding, function = _symmetric(attributes, axes), _POOLS[kind][axes - 1]
        if kind == "Max":
            return function(given[0], window, steps, padding, attributes.get("dilations", [1] * axes), rounded)
        return function(given[0], window, steps, padding, rounded, bool(attributes.get("count_include_pad", 0)))
    return pool


def _general_product(given: list[Tensor], attributes: Attributes) -> Any:
    left = given[0].mT if attributes.get("transA") else given[0]
    right = given[1].mT if attributes.get("transB") else given[1]
    product = attributes.get("alpha", 1.0) * (left @ right)
    return product if len(given) < 3 or given[2] is None else product + attributes.get("beta", 1.0) * given[2]


def _layer_norm(given: list[Tensor], attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", -1) % given[0].ndim
    return functional.layer_norm(given[0], given[0].shape[axis:], given[1], given[2] if len(given) > 2 else None,
                                 attributes.get("epsilon", 1e-5))


def _batch_norm(given: list[Tensor], attributes: Attributes) -> Tensor:
    return functional.batch_norm(given[0], given[3], given[4], given[1], given[2], eps=attributes.get("epsilon", 1e-5))


def _reshape(given: list[Tensor], attributes: Attributes) -> Tensor:
    sizes = [given[0].shape[axis] if size == 0 and not attributes.get("allowzero") else size
             for axis, size in enumerate(given[1].tolist())]
    return given[0].reshape(sizes)


def _flatten(given: list[Tensor], attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", 1)
    return given[0].reshape(math.prod(given[0].shape[:axis]), -1)


def _squeeze(given: list[Tensor], attributes: Attributes) -> Tensor:
    axes = _list(given[1] if len(given) > 1 else None, attributes.get("axes"))
    return given[0].squeeze() if axes is None else given[0].squeeze(tuple(axes))


def _unsqueeze(given: list[Tensor], attributes: Attributes) -> Tensor:
    found, axes = given[0], _list(given[1] if len(given) > 1 else None, attributes.get("axes"))
    for axis in sorted(axis % (found.ndim + len(axes)) for axis in axes):
        found = found.unsqueeze(axis)
    return found


def _slice(given: list[Tensor], attributes: Attributes) -> Tensor:
    found, starts, ends = given[0], _list(given[1]), _list(given[2])
    axes = _list(given[3] if len(given) > 3 else None, list(range(len(starts))))
    steps = _list(given[4] if len(given) > 4 else None, [1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 0:
            taken = torch.tensor(range(found.shape[axis])[start:end:step], dtype=torch.int64)
            found = found.index_select(axis, taken)
        else:
            found = found[(*[slice(None)] * (axis % found.ndim), slice(start, end, step))]
    return found


def _split(given: list[Tensor], attributes: Attributes) -> Any:
    axis, count = attributes.get("axis", 0), attributes.get("outputs", 1)
    sizes = _list(given[1] if len(given) > 1 else None, attributes.get("split"))
    return torch.split(given[0], sizes or -(-given[0].shape[axis] // attributes.get("num_outputs", count)), axis)


def _gather(given: list[Tensor], attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", 0)
    size = given[0].shape[axis]
    places = torch.where(given[1] < 0, given[1] + size, given[1])
    if axis == 0 and given[0].ndim == 2 and given[0].is_floating_point():
        return functional.embedding(places.long(), given[0])
    taken = given[0].index_select(axis, places.reshape(-1))
    return taken.reshape((*given[0].shape[:axis], *places.shape, *given[0].shape[axis % given[0].ndim + 1 :]))


def _reduced(name: str) -> Operator:
    function: Callable[..., Any] = getattr(torch, name)

    def reduce(given: list[Tensor], attributes: Attributes) -> Any:
        axes = _list(given[1] if len(given) > 1 else None, attributes.get("axes")) or list(range(given[0].ndim))
        return function(given[0], dim=tuple(axes), keepdim=bool(attributes.get("keepdims", 1)))
    return reduce


def _constant(given: list[Tensor], attributes: Attributes) -> Any:
    named = {"value_float": torch.float32, "value_floats": torch.float32, "value_int": torch.int64,
             "value_ints": torch.int64}
    name = next(iter(attributes))
    return attributes["value"] if name == "value" else torch.tensor(attributes[name], dtype=named[name])


def _filled(given: list[Tensor], attributes: Attributes) -> Any:
    value = attributes.get("value", torch.zeros(1))
    return value.reshape(()).expand(tuple(given[0].tolist())).clone()


def _pad(given: list[Tensor], attributes: Attributes) -> Any:
    pads, axes = _list(given[1]), _list(given[3] if len(given) > 3 else None, list(range(given[0].ndim)))
    by_axis = {axis % given[0].ndim: (pads[place], pads[place + len(axes)]) for place, axis in enumerate(axes)}
    flat = [part for axis in reversed(range(given[0].ndim)) for part in by_axis.get(axis, (0, 0))]
    mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}[attributes.get("mode", "constant")]
    value = float(given[2]) if len(given) > 2 and given[2] is not None else 0.0
    return functional.pad(given[0], flat, mode, value if mode == "constant" else None)


def _dequantised(given: list[Tensor], attributes: Attributes) -> Any:
    shape = [1] * given[0].ndim
    if given[1].ndim:
        shape[attributes.get("axis", 1)] = -1
    whole = given[0].to(given[1].dtype)
    if len(given) > 2 and given[2] is not None:
        whole = whole - given[2].to(whole.dtype).reshape(shape)
    return whole * given[1].reshape(shape)


def _divided(left: Tensor, right: Tensor) -> Tensor:
    whole = not (left.is_floating_point() or right.is_floating_point())
    return torch.div(left, right, rounding_mode="trunc" if whole else None)


def _expanded(given: Tensor, shape: Tensor) -> Tensor:
    """Both may broadcast: an axis of one takes the size of the other's."""
    sizes = shape.tolist()
    axes = max(given.ndim, len(sizes))
    own, other = [1] * (axes - given.ndim) + list(given.shape), [1] * (axes - len(sizes)) + sizes
    return given.expand([theirs if mine == 1 else mine for mine, theirs in zip(own, other, strict=True)])


def _folded(function: Callable[[Tensor, Tensor], Tensor], first: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
    for other in rest:
        first = function(first, other)
    return first


_OF_INPUTS: dict[str, Any] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": _divided, "Pow": torch.pow, "MatMul": torch.matmul,
    "Neg": torch.neg, "Abs": torch.abs, "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Erf": torch.erf,
    "Reciprocal": torch.reciprocal, "Sin": torch.sin, "Cos": torch.cos, "Floor": torch.floor, "Ceil": torch.ceil,
    "Sign": torch.sign, "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Not": torch.logical_not,
    "Softplus": functional.softplus, "HardSwish": functional.hardswish, "Mish": functional.mish,
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x), "Where": torch.where, "Equal": torch.eq,
    "Less": torch.lt, "Greater": torch.gt, "LessOrEqual": torch.le, "GreaterOrEqual": torch.ge,
    "And": torch.logical_and, "Or": torch.logical_or, "IsNaN": torch.isnan, "Identity": lambda x: x,
    "Dropout": lambda x, *_: x,
    "Range": lambda start, end, step: torch.arange(start.item(), end.item(), step.item()),
    "Min": lambda first, *rest: _folded(torch.minimum, first, rest), "CastLike": lambda x, like: x.to(like.dtype),
    "Max": lambda first, *rest: _folded(torch.maximum, first, rest), "Tile": lambda x, n: x.repeat(n.tolist()),
    "Sum": lambda first, *rest: _folded(torch.add, first, rest), "CumSum": lambda x, axis: x.cumsum(int(axis)),
    "Expand": _expanded,
    "GlobalAveragePool": lambda x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True),
    "Size": lambda x: torch.tensor(x.numel()),
}
"""Operators without attributes."""

OPERATORS: dict[str, Operator] = {
    **{name: _plain(function) for name, function in _OF_INPUTS.items()},
    "Shape": lambda given, has: torch.tensor(given[0].shape[has.get("start", 0) : has.get("end")], dtype=torch.int64),
    "Softmax": lambda given, has: given[0].softmax(has.get("axis", -1)),
    "LogSoftmax": lambda given, has: given[0].log_softmax(has.get("axis", -1)),
    "Gelu": lambda given, has: functional.gelu(given[0], approximate=has.get("approximate", "none")),
    "LeakyRelu": lambda given, has: functional.leaky_relu(given[0], has.get("alpha", 0.01)),
    "Elu": lambda given, has: functional.elu(given[0], has.get("alpha", 1.0)),
    "HardSigmoid": lambda given, has: (has.get("alpha", 0.2) * given[0] + has.get("beta", 0.5)).clamp(0.0, 1.0),
    "Clip": lambda given, has: given[0].clamp(*[*given[1:], None, None][:2]),
    "Cast": lambda given, has: given[0].to(TYPES[has["to"]]),
    "Concat": lambda given, has: torch.cat(given, has["axis"]),
    "Transpose": lambda given, has: given[0].permute(has.get("perm", list(range(given[0].ndim))[::-1])),
    "GatherElements": lambda given, has: given[0].gather(has.get("axis", 0), given[1]),
    "ArgMax": lambda given, has: given[0].argmax(has.get("axis", 0), keepdim=bool(has.get("keepdims", 1))),
    "Mod": lambda given, has: torch.fmod(*given) if has.get("fmod") else torch.remainder(*given),
    "Trilu": lambda given, has: (torch.triu if has.get("upper", 1) else torch.tril)(
        given[0], int(given[1]) if len(given) > 1 else 0),
    "Conv": _convolution, "ConvTranspose": _transposed, "MaxPool": _pool("Max"), "AveragePool": _pool("Average"),
    "Gemm": _general_product, "LayerNormalization": _layer_norm, "BatchNormalization": _batch_norm,
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Slice": _slice,
    "Split": _split, "Gather": _gather, "ReduceMean": _reduced("mean"), "ReduceSum": _reduced("sum"),
    "ReduceMax": _reduced("amax"), "ReduceMin": _reduced("amin"), "Constant": _constant, "ConstantOfShape": _filled,
    "Pad": _pad, "DequantizeLinear": _dequantised, "LSTM": lstm, "GRU": gru,
}
"""By the name of the operator, of the domain ai.onnx."""
