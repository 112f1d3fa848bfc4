"""LSTM and GRU of ONNX, step by step: gates in the order of the standard, one or two directions.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html and onnx__GRU.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def lstm(given: list[Any], attributes: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """All hidden states (T, D, N, H), and the last hidden and cell state (D, N, H) of D directions.

    i, o, f = sigmoid(...), c = tanh(...) of x W^T + h R^T + b; C' = f C + i c, h' = o tanh(C').

    Args:
        given: X (T, N, I), W (D, 4 H, I), R (D, 4 H, H), and, as may be, B (D, 8 H), lengths, h0, c0 (D, N, H).
        attributes: of the node.

    Raises:
        ValueError: other activations, lengths, peepholes or a layout of batches first.
    """
    *_, peepholes = (list(given) + [None] * 8)[:8]
    _check(given, attributes, peepholes)
    outputs, states = _run(given, attributes, gates=4, states=2, step=_lstm_step)
    return outputs, states[0], states[1]


def gru(given: list[Any], attributes: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """All hidden states (T, D, N, H), and the last (D, N, H) of D directions.

    z, r = sigmoid(...), h~ = tanh(x W^T + r (h R^T + b_R) + b_W); h' = (1 - z) h~ + z h, as torch has it.

    Args:
        given: X (T, N, I), W (D, 3 H, I), R (D, 3 H, H), and, as may be, B (D, 6 H), lengths, h0 (D, N, H).
        attributes: of the node.

    Raises:
        ValueError: other activations, lengths, a layout of batches first, or r before the product.
    """
    if not attributes.get("linear_before_reset"):
        raise ValueError("GRU with linear_before_reset = 0")
    _check(given, attributes, None)
    outputs, states = _run(given, attributes, gates=3, states=1, step=_gru_step)
    return outputs, states[0]


def _check(given: list[Any], attributes: Mapping[str, Any], peepholes: object) -> None:
    lengths = given[4] if len(given) > 4 else None
    if peepholes is not None or attributes.get("layout") or attributes.get("clip") or "activations" in attributes:
        raise ValueError("a recurrent layer with peepholes, clip, activations or layout")
    if lengths is not None and bool((lengths != given[0].shape[0]).any()):
        raise ValueError("a recurrent layer with sequences of several lengths")


def _run(
    given: list[Any], attributes: Mapping[str, Any], gates: int, states: int, step: Callable[..., Any]
) -> tuple[Tensor, list[Tensor]]:
    """Every direction over all steps: outputs (T, D, N, H), last states [(D, N, H)]."""
    x, w, r, b, _, *first = (list(given) + [None] * 7)[:7]
    hidden, directions = r.shape[-1], w.shape[0]
    b = torch.zeros(directions, 2 * gates * hidden, dtype=x.dtype, device=x.device) if b is None else b
    backwards = {"forward": (False,), "reverse": (True,)}.get(attributes.get("direction", "forward"), (False, True))
    outputs, last = [], []
    for number in range(directions):
        zeros = torch.zeros(x.shape[1], hidden, dtype=x.dtype, device=x.device)
        state = tuple(zeros if one is None else one[number] for one in first[:states])
        from_inputs = x @ w[number].mT + b[number, : gates * hidden]
        order = range(x.shape[0])
        found = []
        for time in reversed(order) if backwards[number] else order:
            state = step(from_inputs[time], state[0] @ r[number].mT + b[number, gates * hidden :], state)
            found.append(state[0])
        outputs.append(torch.stack(found[::-1] if backwards[number] else found))
        last.append(state)
    return torch.stack(outputs, 1), [torch.stack(parts) for parts in zip(*last, strict=True)]


def _lstm_step(inputs: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    opened, out, forget, cell = (inputs + recurrent).chunk(4, -1)
    kept = forget.sigmoid() * state[1] + opened.sigmoid() * cell.tanh()
    return out.sigmoid() * kept.tanh(), kept


def _gru_step(inputs: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    update, reset, new = inputs.chunk(3, -1)
    update_by, reset_by, new_by = recurrent.chunk(3, -1)
    kept, fresh = (update + update_by).sigmoid(), (new + (reset + reset_by).sigmoid() * new_by).tanh()
    return (fresh * (1.0 - kept) + kept * state[0],)
