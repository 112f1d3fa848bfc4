"""A workload: the network, unlabelled inputs to calibrate on, and inputs with targets to measure a metric on."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from qtaml_codesign.errors import WorkloadError, did_you_mean
from qtaml_codesign.nets.batched import comes_in_batches, evaluation_pair, first_batch, shuffled_note
from qtaml_codesign.nets.exposure import measure_exposure
from qtaml_codesign.nets.identity import code_identity, content_digest
from qtaml_codesign.nets.inputs import Inputs, leaves, private_inputs
from qtaml_codesign.nets.integers import check_same
from qtaml_codesign.nets.metric import ACCURACY, Metric, accuracy_of, as_metric, is_shipped
from qtaml_codesign.nets.network import GivenWeights, Logits, Model, Network, Weights
from qtaml_codesign.nets.parcel import Parcel, pack
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.scoring import Scoring, Sums
from qtaml_codesign.nets.selection import aliases
from qtaml_codesign.nets.threads import single_threaded

_TRIES = 10
"""So often in a row a random state must move for a network to be to blame."""


class Workload:
    """A network with its calibration and evaluation inputs; the caller's module and tensors are copied, never changed.

    Args:
        model: any `torch.nn.Module`, or an exported program; put into eval mode in the copy. Its weights lie in the
            tunnelling memory, biases and the parameters of norms do not.
        calibration: unlabelled inputs, one batch: a tensor (N, ...), or a tuple, list or dict of tensors, passed as
            module(x), module(*inputs) or module(**inputs); or a data loader, whose first batch is taken without labels.
        evaluation: (inputs, labels), or a data loader or another iterable of such batches, or of dicts with `labels`,
            which is read once and kept; labels are integers (N,) for logits (N, C), or (N, T) for logits (N, T, C),
            where each of the N T labels counts as a sample. A metric of values takes real numbers of the outputs'
            shape, a binary one zeros and ones of that shape; a metric of agreement takes (inputs, None), or inputs
            alone where they are one tensor or a dict.
        name: name for tables and folders.
        tensors: glob patterns of the parameters to store instead of the default, for instance ("*.weight", "*.bias").
        residual_floors: smallest protection depth by tensor name, others 0; None finds residual branches itself.
        batch_size: samples per forward pass.
        logits: turns what the module returns into the logits; None takes a tensor as it is, `.logits`, or the first
            tensor of a tuple (`outputs.measured_output`).
        metric: what is measured: a name ("accuracy", "top-5", "cross-entropy", "perplexity", "rmse", "mae",
            "label-accuracy", "binary-cross-entropy", "agreement"), or a `Metric` of one's own.
        quantised: glob patterns of the parameters and buffers that are quantised already, with their bits, for instance
            {"*.weight_int8": 8}: whole numbers that the module scales itself are stored as they are.

    The module must give the same logits every time in eval mode, without drawing random numbers.

    Raises:
        WorkloadError: a module, inputs, targets or a metric that cannot be used, or weights that flips would not reach.
        InputError: an unknown metric.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> images = torch.rand(20, 3, generator=generator)
        >>> labels = torch.zeros(20, dtype=int)
        >>> workload = Workload(torch.nn.Linear(3, 2), calibration=images, evaluation=(images, labels))
        >>> list(workload.weights), workload.samples
        (['weight'], 20)
    """

    def __init__(
        self,
        model: Model,
        calibration: Any,
        evaluation: Any,
        *,
        name: str = "custom",
        tensors: str | Iterable[str] | None = None,
        residual_floors: Mapping[str, int] | None = None,
        batch_size: int = 512,
        logits: Logits | None = None,
        metric: str | Metric = ACCURACY,
        quantised: Mapping[str, int] | None = None,
    ) -> None:
        self.metric = as_metric(metric)
        _check_plain(name, batch_size)
        with global_randomness_kept():
            inputs, targets = evaluation_pair(evaluation, self.metric)
            samples = first_batch(calibration) if comes_in_batches(calibration) else calibration
        with global_randomness_kept() as was_drawn, single_threaded():
            self.network = Network(model, tensors, logits, int(batch_size), quantised)
            self.calibration: Inputs = private_inputs(samples, "calibration")
            self.evaluation_inputs: Inputs = private_inputs(inputs, "evaluation[0]")
            if quantised:
                check_same(lambda module: self.network.call(module, self.calibration), self.network.as_given,
                           self.network.module)
                self.network.as_given = self.network.module
            self._check_repeatable(was_drawn)
            clean = self.network.run(self.evaluation_inputs)
            self.exposure, notes = measure_exposure(self.network, self.calibration, model)
        self.name = name
        self.source: str | None = None
        self.load: Callable[[str], Workload] | None = None
        self.scoring = Scoring(self.metric, targets, clean, self.batch_size)
        self.labels: Tensor | None = self.scoring.labels
        self.outputs_per_sample: int = clean[0].numel()
        self.warnings: tuple[str, ...] = (*notes, *self.scoring.notes, *shuffled_note(evaluation))
        self.given_floors = None if residual_floors is None else self._checked_floors(residual_floors)

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Stored tensors by name, in the order of `named_parameters`: read-only float32 (or float64)."""
        return self.network.weights

    @property
    def batch_size(self) -> int:
        """Samples per forward pass."""
        return self.network.batch_size

    @property
    def samples(self) -> int:
        """Scores of the evaluation set: one per sample, or per label of it."""
        return self.scoring.samples

    @property
    def clean_value(self) -> float:
        """The metric of the float network, as it is shown."""
        return self.scoring.clean_value

    @property
    def clean_accuracy(self) -> float:
        """Accuracy of the float network, in 0..1.

        Raises:
            InputError: another metric is measured.
        """
        return accuracy_of(self.metric, self.clean_value)

    def with_metric(self, metric: str | Metric) -> Workload:
        """The same network and evaluation set, with another metric.

        Args:
            metric: as for `Workload`.

        Raises:
            WorkloadError: the labels do not fit the metric.
            InputError: an unknown metric.

        Example:
            >>> from qtaml_codesign.nets.loading import load_workload
            >>> load_workload("small-cnn").with_metric("top-2").clean_value > 0.99
            True
        """
        wanted = as_metric(metric)
        if wanted == self.metric:
            return self
        arguments, named = self.parts()
        other = Workload(*arguments, **(named | {"metric": wanted}))
        other.source, other.load = self.source, self.load
        if self.load is not None and is_shipped(wanted):  # one of one's own may not travel
            other.load = partial(_with_metric, self.load, wanted)
        return other

    def run(self, inputs: Inputs, weights: GivenWeights | None = None) -> Tensor:
        """Logits (N, ..., C), from any thread; they do not depend on what ran before.

        Args:
            inputs: N samples, in the form of the calibration inputs.
            weights: stored tensor -> array or tensor of its shape; the others keep their float values.

        Raises:
            WorkloadError: weights of another name or shape, or the module fails.
        """
        return self.network.run(inputs, weights)

    def score_by_group(self, weights: GivenWeights | None = None) -> Sums:
        """(G,) scores of each group of evaluation samples, summed (`Scoring.sums_of`); `weights` as for `run`."""
        return self.scoring.sums_of(self.network.run_batches(self.evaluation_inputs, weights))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over all that acts on plans and counts: module, code, floors, inputs, metric, targets."""
        module = self.network.module
        structure = re.sub(r" at 0x[0-9a-f]+", "", repr(module))
        floors = None if self.given_floors is None else sorted(self.given_floors.items())
        named = [*module.named_parameters(), *module.named_buffers()]
        for label, inputs in (("calibration", self.calibration), ("evaluation", self.evaluation_inputs)):
            keys = list(inputs) if isinstance(inputs, dict) else range(len(leaves(inputs)))
            named += [(f"{label} {key}", part) for key, part in zip(keys, leaves(inputs), strict=True)]
        named += self.scoring.content
        functions = (self.network.logits, *(getattr(self.metric, field.name) for field in fields(self.metric)))
        quantised = sorted(self.network.quantised.items())
        content = (*([quantised] if quantised else []), structure, self.network.stored, self.batch_size, floors,
                   code_identity(module, functions),
                   [(name, content_digest(tensor)) for name, tensor in named])
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Workload({self.name!r}, {len(self.weights)} tensors, {self.samples} samples)"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process by value, in the message."""
        return Parcel.open, (pack(self),)

    def parts(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments that build the same workload again."""
        stored = [glob.escape(name) for name in self.network.stored] if self.network.chosen else None
        given = {
            "name": self.name, "tensors": stored,
            "residual_floors": None if self.given_floors is None else dict(self.given_floors),
            "batch_size": self.batch_size, "logits": self.network.logits, "metric": self.metric,
            "quantised": {glob.escape(name): bits for name, bits in self.network.quantised.items()},
        }
        return (self.network.module, self.calibration, (self.evaluation_inputs, self.labels)), given

    def _check_repeatable(self, was_drawn: Any) -> None:
        first = self.network.run(self.calibration)
        second = self.network.run(self.calibration)
        if not torch.isfinite(first).all():
            raise WorkloadError(
                "the clean network gives outputs that are not finite", where="model(calibration)",
                rule="finite outputs",
                value=f"{int((~torch.isfinite(first)).sum())} of {first.numel()} are nan or infinite",
                next_step="check the weights, the norms' running statistics and the scale of the inputs",
            )
        drawn = was_drawn() and all(self._draws() for _ in range(_TRIES))  # another thread does not draw every time
        if drawn or not torch.equal(first, second):
            raise WorkloadError(
                "the module is not repeatable in eval mode", where="model(calibration)",
                rule="the same inputs give the same logits, and no random numbers are drawn",
                value="it draws from a global random generator" if drawn else "two runs gave different logits",
                next_step="switch off dropout or sampling in eval mode, and do not change state in forward()",
            )

    def _draws(self) -> bool:
        """Whether a global random state moves while the network runs twice, as for the first time."""
        self.network.forget_replica()
        with global_randomness_kept() as was_drawn:
            for _ in range(2):
                self.network.run(self.calibration)
            return was_drawn()

    def _checked_floors(self, floors: Mapping[str, int]) -> Mapping[str, int]:
        stored_as, checked = aliases(self.network.module), {}
        for name, floor in floors.items():
            if stored_as.get(name) not in self.weights:
                raise WorkloadError(
                    "no stored tensor has this name", where="residual_floors", rule="names of stored tensors",
                    value=name, next_step=did_you_mean(str(name), self.weights),
                )
            if isinstance(floor, bool) or not isinstance(floor, int) or not 0 <= floor <= 16:
                raise WorkloadError(
                    "a residual floor is out of bounds", where=f"residual_floors[{name!r}]",
                    rule="a whole number of bit planes, 0..16", value=floor, next_step="1 protects the MSB",
                )
            checked[stored_as[name]] = floor
        return MappingProxyType(checked)


def _with_metric(load: Callable[[str], Workload], metric: Metric, source: str) -> Workload:
    """What a source gives, measured as the workload that is made again from it was."""
    return load(source).with_metric(metric)


def _check_plain(name: object, batch_size: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise WorkloadError(
            "the name of a workload is empty or no text", where="name", rule="a short text", value=repr(name),
            next_step="it appears in tables and folder names, for instance name='my-net'",
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise WorkloadError(
            "the batch size is out of bounds", where="batch_size", rule="a whole number >= 1", value=batch_size,
            next_step="512 suits small networks",
        )
