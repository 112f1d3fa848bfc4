"""Squared Jacobians of a network's layers, without their weight gradients.

A linear map is applied to T positions of one sample: output_t = W a_t + b. With g_ct = d z_c / d output_t,

    d z_c / d W = sum_t g_ct a_t^T,   || d z_c / d W ||_F^2 = sum_{t,t'} (a_t . a_t') (g_ct . g_ct'),

so the layer's input and the gradients by its output are enough, and these are far smaller than a gradient of every
weight for every sample and logit. Convolutions are linear maps of patches, embeddings of one-hot rows.

Which tensors this holds for is read off one run: a weight counts when it enters exactly one linear map, convolution or
embedding, nothing else that returns a tensor, and has exactly one edge in the autograd graph, whatever module or
function it is used in. Every other tensor (shared, tied, reshaped, recurrent, hidden in a custom function) is left to
the caller.

Source: Goodfellow, "Efficient per-example gradient computations" (2015), arXiv 1510.01799, for T = 1; Li, Tramer, Liang
and Hashimoto, "Large language models can be strong differentially private learners" (2022), arXiv 2110.05679, section
4, for T > 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from qtaml_codesign.nets.graph import leaf_of, operands, topological
from qtaml_codesign.nets.inputs import Inputs, batches, leaves, map_leaves, sample_count

REDISPATCH = getattr(torch.overrides, "redispatch_function", None)
"""Runs a function written in Python with its parts watched; torch has it from 2.13 on. Without it the projections of
attention go the long way, in tenfold time."""

Run = Callable[[Inputs], Tensor]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Call:
    """One use of a weight as a linear map.

    Attributes:
        weight: the weight.
        features: (R, T, I) inputs of the map at its T positions, in R groups of channels that do not mix.
        channels_last: whether the output is (..., O) with R = 1, else (n, R O, ...) as of a convolution.
    """

    weight: Tensor
    features: Tensor
    channels_last: bool


@dataclass(frozen=True)
class Layer:
    """A layer that can be tapped.

    Attributes:
        name: name of its weight.
        tap: zeros to be added to its output for one sample.
        channels_last: where the output has its channels, as in `Call`.
        inputs: numbers in the features of one sample.
    """

    name: str
    tap: Tensor
    channels_last: bool
    inputs: int

    def square(self, inner: Tensor, gradients: Tensor) -> Tensor:
        """Sum over samples of || dz_c/dW ||_F^2 for one logit c.

        Args:
            inner: from `inner_products`.
            gradients: (N, *output) of the logit by the layer's outputs.
        """
        count, groups, positions, width = inner.shape
        if self.channels_last:
            rows = gradients.reshape(count, 1, -1, gradients.shape[-1])
        else:
            parts = gradients.reshape(*gradients.shape[:2], groups, -1, gradients[0, 0, 0].numel())
            rows = parts.permute(0, 2, 1, 4, 3).reshape(count, groups, -1, parts.shape[3])
        rows = rows.to(inner.dtype)
        if positions == width:
            return _dot(inner @ rows, rows)
        moved = inner.mT @ rows
        return _dot(moved, moved)


def inner_products(features: Tensor) -> Tensor:
    """(N, R, T, T) products of a sample's rows of features (N, R, T, I), or the features where I < T.

    Half precision becomes single.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features @ features.mT if features.shape[2] <= features.shape[3] else features


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Sum of products, in float64 over the samples."""
    by_sample: Tensor = torch.linalg.vecdot(one.flatten(1), other.flatten(1))
    return by_sample.sum(dtype=torch.float64)


def tappable(run: Run, sample: Inputs, parameters: Mapping[str, Tensor]) -> tuple[Tensor, list[Layer]]:
    """Logits of one sample, and the layers whose weights are used once, as a linear map.

    Args:
        run: inputs -> logits, differentiable by `parameters`.
        sample: one sample, with its axis.
        parameters: the weights of interest; they require gradients.
    """
    with _Calls(parameters) as calls:
        logits = run(sample)
    nodes = [] if logits.grad_fn is None else topological(logits.grad_fn)
    edges = Counter(id(leaf_of(child)) for node in nodes for child in operands(node))
    return logits, [
        Layer(name, torch.zeros_like(output), call.channels_last, call.features.numel())
        for name, (call, output) in calls.found.items()
        if name not in calls.barred and edges[id(parameters[name])] == 1
    ]


def squared_jacobians(
    run: Run, inputs: Inputs, layers: list[Layer], parameters: Mapping[str, Tensor], floats: int, told: Told
) -> Tensor:
    """(L,) float64: sum over samples and logits of || dz/dW_l ||_F^2; every sample runs as a batch of its own.

    Args:
        run, inputs: inputs -> logits, and all samples.
        layers, parameters: from `tappable`, and the weights of these layers; they require no gradients.
        floats: features and gradients held at once, if one sample and logit allow it. told: (parts done, parts).

    Raises:
        RuntimeError: an operation cannot be batched over samples, or a sample takes another way through the network.
    """
    of_sample = sum(layer.inputs + layer.tap.numel() for layer in layers)
    parts, found = list(batches(inputs, max(1, floats // of_sample))), []
    for done, batch in enumerate(parts):
        told(done, len(parts))
        found.append(_squares(run, batch, layers, parameters))
    return torch.stack(found).sum(dim=0)


def _squares(run: Run, batch: Inputs, layers: list[Layer], parameters: Mapping[str, Tensor]) -> Tensor:
    """(L,) the same for samples that are run side by side, which vmap keeps from seeing each other."""

    def tapped(sample: Inputs, taps: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with sdpa_kernel(SDPBackend.MATH), _Calls(parameters, taps) as calls:
            logits = run(map_leaves(sample, lambda part: part[None])).flatten()
        return logits, calls.features()

    count = sample_count(batch)
    taps = {layer.name: layer.tap.repeat(count, *[1] * layer.tap.ndim).requires_grad_() for layer in layers}
    logits, features = vmap(tapped)(batch, taps)
    inner = [inner_products(features.pop(layer.name).detach()) for layer in layers]
    total = torch.zeros(len(layers), dtype=torch.float64, device=logits.device)
    for logit in logits.sum(dim=0):
        gradients = torch.autograd.grad(logit, list(taps.values()), retain_graph=True)
        total += torch.stack([
            layer.square(*given) for layer, *given in zip(layers, inner, gradients, strict=True)
        ])
    return total


class _Calls(TorchFunctionMode):
    """Watches what is done with some weights, and adds taps to the outputs of the linear maps they make.

    While it taps, attention is computed by the formula, which can be batched where the fused kernel of the CPU cannot.

    Attributes:
        found: weight name -> its call and the output, for weights met in a linear map.
        barred: weights that were met a second time, or in anything else that returns a tensor.
    """

    def __init__(self, weights: Mapping[str, Tensor], taps: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self._names = {id(weight): name for name, weight in weights.items()}
        self._taps = taps
        self.found: dict[str, tuple[Call, Tensor]] = {}
        self.barred: set[str] = set()

    def features(self) -> dict[str, Tensor]:
        """Features of every tapped layer."""
        if self.barred or self._taps is None or self.found.keys() != self._taps.keys():
            raise RuntimeError("a sample uses the weights in another way than the first one")
        return {name: call.features for name, (call, _) in self.found.items()}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if function is functional.multi_head_attention_forward and REDISPATCH is not None:
            with self:
                return REDISPATCH(function, types, args, named)
        output = function(*args, **named)
        used = {self._names[id(part)] for part in leaves((args, named)) if id(part) in self._names}
        if not used or not any(isinstance(part, Tensor) for part in leaves(output)):
            return output
        call = _read_call(function, args, named, output)
        name = None if call is None else self._names.get(id(call.weight))
        if call is None or name is None or name in self.found:
            self.barred |= used
            return output
        self.barred |= used - {name}
        self.found[name] = call, output
        return output if self._taps is None else output + self._taps[name]


def _read_call(function: Any, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> Call | None:
    """The linear map that a torch function is, or None."""
    read = _READERS.get(function)
    call: Call | None = None if read is None else read(*args, **named)
    if call is None or not call.features.dtype == call.weight.dtype == output.dtype:
        return None
    return call


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call | None:
    if weight.ndim != 2:
        return None
    return Call(weight, input.reshape(1, -1, input.shape[-1]).clone(), True)  # the module may write into its input


def _embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Call | None:
    """One-hot rows over the distinct tokens of the sample, each named by the position where it is first met."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        return None
    tokens = input.reshape(-1)
    same = tokens[:, None] == tokens[None]
    first = same.to(torch.uint8).argmax(dim=1)
    rows = first[:, None] == torch.arange(tokens.numel(), device=tokens.device)
    if padding_idx is not None:
        rows = rows & (tokens != padding_idx % weight.shape[0])[:, None]
    return Call(weight, rows.to(weight.dtype)[None], True)


def _convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Call | None:
    """Rows are patches of channels / groups times the kernel's size, in one or two dimensions."""
    if isinstance(padding, str) or input.ndim != weight.ndim or weight.ndim not in (3, 4):
        return None
    steps = [_pair(step, weight.ndim - 2, missing) for step, missing in ((stride, 1), (padding, 0), (dilation, 1))]
    if weight.ndim == 3:
        input, kernel = input[:, :, None], (1, int(weight.shape[2]))
    else:
        kernel = (int(weight.shape[2]), int(weight.shape[3]))
    patches = functional.unfold(input, kernel, stride=steps[0], padding=steps[1], dilation=steps[2])
    by_group = patches.reshape(patches.shape[0], groups, -1, patches.shape[2]).permute(1, 0, 3, 2)
    return Call(weight, by_group.flatten(1, 2), False)


def _pair(step: Any, dimensions: int, missing: int) -> tuple[int, int]:
    """A step of a convolution as (rows, columns); one dimension is columns alone."""
    steps = [step] * dimensions if isinstance(step, int) else [*step] * (dimensions if len(step) == 1 else 1)
    return (steps[0], steps[1]) if dimensions == 2 else (missing, steps[0])


_READERS: dict[Any, Callable[..., Call | None]] = {
    functional.linear: _linear, functional.embedding: _embedding,
    torch.conv1d: _convolution, torch.conv2d: _convolution,
}
