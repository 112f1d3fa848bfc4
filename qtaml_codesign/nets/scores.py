"""Scores of outputs against targets of their own shape: values, and labels of which a sample may have several."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(outputs - targets)^2 in float64, of their common shape."""
    return (outputs.double() - targets.double()).square()


def absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """|outputs - targets| in float64, of their common shape."""
    return (outputs.double() - targets.double()).abs()


def label_is_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Whether the sign of each output, a logit, says what its target, 0 or 1, is; a NaN is wrong.

    Args:
        outputs: logits (n, ...), where 0 stands for the label 0.
        targets: zeros and ones (n, ...).

    Example:
        >>> import torch
        >>> label_is_right(torch.tensor([[1.0, -2.0, float("nan")]]), torch.tensor([[1, 1, 0]])).tolist()
        [[True, False, False]]
    """
    return ((outputs > 0.0) == (targets > 0.5)) & ~outputs.isnan()


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-ln sigmoid(z) where the target is 1, -ln sigmoid(-z) where it is 0, in nats and float64.

    Args:
        outputs: logits z, (n, ...).
        targets: zeros and ones (n, ...).

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.zeros(1, 2), torch.tensor([[1, 0]])).exp().tolist()
        [[2.0, 2.0]]
    """
    surprise = outputs.double() * (1.0 - 2.0 * targets.double())
    return surprise.logaddexp(surprise.new_zeros(()))
