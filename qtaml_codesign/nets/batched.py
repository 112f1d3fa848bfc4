"""Samples that come in batches, from a data loader or any other iterable: read once, and kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import describe, leaves
from qtaml_codesign.nets.metric import Metric

LABELS = ("labels", "label", "targets", "target")
"""Names of what a batch that is a dict is scored against."""


def evaluation_pair(evaluation: Any, metric: Metric) -> tuple[Any, Any]:
    """Inputs and what they are scored against; None for a metric that needs nothing.

    Args:
        evaluation: a pair, a dict with labels, batches of either; for a metric of agreement also inputs alone.
        metric: what is measured.

    Raises:
        WorkloadError: it is none of these.
    """
    needs_none = metric.targets == "clean"
    if comes_in_batches(evaluation):
        inputs, targets = read_batches(evaluation)
    elif isinstance(evaluation, tuple | list) and len(evaluation) == 2:
        inputs, targets = evaluation
    elif needs_none and not isinstance(evaluation, tuple | list):
        return evaluation, None
    else:
        inputs, targets = split_batch(evaluation) if isinstance(evaluation, Mapping) else (evaluation, None)
    if needs_none or targets is not None:
        return inputs, targets
    raise WorkloadError(
        "evaluation is not a pair of inputs and targets", where="evaluation",
        rule=f"(inputs, {metric.targets}) for {metric.name}, a dict with labels, or a data loader of either",
        value=describe(evaluation), next_step="pass evaluation=(inputs, labels); without labels, measure agreement "
        "with the clean network: metric='agreement'",
    )


def comes_in_batches(given: object) -> bool:
    """Whether something is an iterable of batches, and not the samples themselves.

    Args:
        given: a data loader, a generator, a list of (inputs, targets); or tensors, a pair of them, a dict.

    Example:
        >>> batch = (torch.zeros(2, 3), torch.zeros(2))
        >>> comes_in_batches(batch), comes_in_batches([batch, batch]), comes_in_batches(iter([batch]))
        (False, True, True)
    """
    if isinstance(given, tuple | list):
        return bool(given) and all(isinstance(batch, tuple | list | Mapping) and _has_tensors(batch) for batch in given)
    return isinstance(given, Iterable) and not isinstance(given, Tensor | Mapping | np.ndarray | str)


def read_batches(given: Iterable[Any]) -> tuple[Any, Any]:
    """Inputs and targets of all batches, one after the other; None for targets where there are none.

    A batch is (inputs, targets), (several, inputs, targets), a dict with `labels`, or inputs alone.

    Args:
        given: the batches.

    Raises:
        WorkloadError: there is no batch, or they differ in form.

    Example:
        >>> batches = [(torch.zeros(2, 3), torch.tensor([0, 1])), (torch.zeros(1, 3), torch.tensor([2]))]
        >>> inputs, targets = read_batches(batches)
        >>> inputs.shape, targets
        (torch.Size([3, 3]), tensor([0, 1, 2]))
    """
    every = [split_batch(batch) for batch in given]
    if not every:
        raise WorkloadError("there are no batches", where="evaluation", rule="at least one batch of samples",
                            value="an iterable that ends at once",
                            next_step="pass a data loader, or an iterable that has not been read before")
    inputs, targets = zip(*every, strict=True)
    return _joined(inputs), None if targets[0] is None else _joined(targets)


def first_batch(given: Iterable[Any]) -> Any:
    """The inputs of the first batch, without its targets.

    Args:
        given: the batches; of an iterator, the first one is then gone.

    Raises:
        WorkloadError: there is no batch.
    """
    return read_batches([batch for _, batch in zip(range(1), given, strict=False)])[0]


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of one batch.

    Args:
        batch: as `read_batches` takes them.

    Example:
        >>> split_batch({"tokens": 1, "labels": 2}), split_batch((1, 2, 3))
        (({'tokens': 1}, 2), ((1, 2), 3))
    """
    if isinstance(batch, Mapping):
        name = next((name for name in LABELS if name in batch), None)
        return {key: part for key, part in batch.items() if key != name}, batch.get(name)
    if not isinstance(batch, tuple | list):
        return batch, None
    if len(batch) < 2:
        return (batch[0] if batch else ()), None
    return (batch[0] if len(batch) == 2 else tuple(batch[:-1])), batch[-1]


def shuffled_note(given: object) -> tuple[str, ...]:
    """A warning where a data loader gives its samples in another order each time.

    Args:
        given: what came as evaluation.
    """
    if not (isinstance(given, DataLoader) and isinstance(given.sampler, RandomSampler)):
        return ()
    return ("the data loader of the evaluation set shuffles: the same command may find none of its earlier trials "
            "again, which shuffle=False mends",)


def _has_tensors(batch: object) -> bool:
    return any(isinstance(part, Tensor) for part in leaves(dict(batch) if isinstance(batch, Mapping) else batch))


def _joined(parts: tuple[Any, ...]) -> Any:
    """Tensors of the same structure one after the other."""
    first = parts[0]
    try:
        if isinstance(first, Mapping):
            return {name: _joined(tuple(part[name] for part in parts)) for name in first}
        if isinstance(first, tuple | list) and any(isinstance(part, Tensor | np.ndarray) for part in first):
            return tuple(_joined(column) for column in zip(*parts, strict=True))
        return torch.cat([torch.as_tensor(part) for part in parts])
    except (RuntimeError, ValueError, KeyError, TypeError) as failure:
        raise WorkloadError(
            "the batches do not fit together", where="evaluation",
            rule="every batch holds the same tensors, of the same shape but for the number of samples",
            value=f"{describe(first)}, and {describe(parts[-1])}",
            next_step="pad all samples to one length, and give them in batches along the first axis",
        ) from failure
