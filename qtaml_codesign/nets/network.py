"""A private copy of the user's module that can run with other weights, from several threads at once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError, did_you_mean, shown
from qtaml_codesign.nets.identity import own_attributes
from qtaml_codesign.nets.inputs import Inputs, batches, call, describe, moved, sample_count
from qtaml_codesign.nets.integers import check_stored, held_as_parameters
from qtaml_codesign.nets.outputs import checked_output, measured_output
from qtaml_codesign.nets.replica import Replica, structure_of
from qtaml_codesign.nets.selection import stored_names
from qtaml_codesign.nets.usercode import user_code

Weights = NDArray[np.float32] | NDArray[np.float64]
GivenWeights = Mapping[str, NDArray[Any] | Tensor]
Logits = Callable[[Any], Tensor]
Model = nn.Module | torch.export.ExportedProgram

ALIGNMENT = 64


class Network:
    """An eval-mode deep copy of a module, its stored tensors, and how to call it.

    Args:
        model: any torch module; it is copied once and never touched again.
        tensors: None for every weight, or glob patterns (see `stored_names`).
        logits: turns what the module returns into the logits (N, ..., C); None finds them (`measured_output`).
        batch_size: samples per forward pass.
        quantised: glob pattern -> bits of the weights that came quantised (`held_as_parameters`).

    Raises:
        WorkloadError: no module, one that cannot be copied, or tensors that cannot be stored.

    Attributes:
        stored: names of the stored tensors.
        chosen: whether the user named them.
        quantised: name -> bits, of those that are whole numbers already.
        as_given: the copy before these became parameters; the module itself where there are none.
        weights: name -> read-only float32 (or float64) array, over the memory of the private copy.
        device: device of the module's first parameter; inputs are moved there.
    """

    def __init__(
        self, model: Model, tensors: str | Iterable[str] | None, logits: Logits | None,
        batch_size: int, quantised: Mapping[str, int] | None = None,
    ) -> None:
        if isinstance(model, torch.export.ExportedProgram):
            model = model.module()
        if not isinstance(model, nn.Module):
            raise WorkloadError(
                "the model is not a torch module", where="model", rule="an instance of torch.nn.Module",
                value=f"{type(model).__name__}: {shown(model)}",
                next_step="call the class if you passed it (Net() instead of Net), or wrap the function in a module",
            )
        with user_code("the module cannot be copied", "model", "copy.deepcopy(model) works",
                      "remove what cannot be copied (open files, hooks with state), or build a plain module",
                      type(model).__name__), torch.inference_mode(False):
            arrays, parameters = _owned_copies(model)
            self.module = copy.deepcopy(model, parameters).eval()
        self.as_given = copy.deepcopy(self.module) if quantised else self.module
        self.quantised = held_as_parameters(self.module, quantised)
        self.logits = logits
        self.batch_size = batch_size
        self.stored = stored_names(self.module, tensors)
        check_stored(self.quantised, self.stored)
        self.chosen = tensors is not None
        stored = {name: value for name, value in self.module.named_parameters() if name in self.stored}
        replaceable = stored | dict(self.module.named_buffers())
        self._forms = {name: (value.shape, value.dtype, value.device) for name, value in replaceable.items()}
        self.device = next(iter(stored.values())).device
        rewritten = any(getattr(part, "max_norm", None) is not None for part in self.module.modules())
        self.weights = MappingProxyType({
            name: _as_array(name, value, None if rewritten else arrays.get(value.data_ptr()))
            for name, value in stored.items()
        })
        self._local = threading.local()

    def run(self, inputs: Inputs, weights: GivenWeights | None = None) -> Tensor:
        """Logits (N, ..., C) of all samples.

        Args:
            inputs: N samples.
            weights: stored tensor or buffer -> array or tensor of its shape, instead of its own values.

        Raises:
            WorkloadError: no stored tensor has a name or its shape, or the module fails.
        """
        return torch.cat(list(self.run_batches(inputs, weights)))

    def run_batches(self, inputs: Inputs, weights: GivenWeights | None = None) -> Iterator[Tensor]:
        """Logits of one batch after the other.

        Args:
            inputs, weights: as for `run`.

        Raises:
            WorkloadError: as `run`, at the first batch or later.
        """
        replaced = self.replacements(weights or {})
        for batch in batches(inputs, self.batch_size):
            with torch.inference_mode(), self.replica().with_weights(replaced) as module:
                logits = self.call(module, batch)
            yield logits

    def replica(self) -> Replica:
        """This thread's own structure: swapping weights is then private to it."""
        replica: Replica | None = getattr(self._local, "replica", None)
        if replica is None:
            replica = self._local.replica = Replica(self.module)
        return replica

    def forget_replica(self) -> None:
        """Let this thread begin with a fresh structure, without what forward passes have kept in the last one."""
        self._local.replica = None

    def differentiable(self, dtype: torch.dtype | None = None) -> nn.Module:
        """A fresh structure whose stored tensors, and no others, require gradients, over the same memory.

        Args:
            dtype: the parameters are copies of this type; None keeps them where they are.
        """
        with torch.inference_mode(False):
            module = structure_of(self.module) if dtype is None else copy.deepcopy(self.module).to(dtype)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in self.stored)
        return module

    def replacements(self, weights: GivenWeights) -> dict[str, Tensor]:
        """The given weights as tensors of the network's own types, where the network lives.

        Args:
            weights: as for `run`.

        Raises:
            WorkloadError: no stored tensor has a name or its shape.
        """
        replaced = {}
        for name, array in weights.items():
            if name not in self._forms:
                raise WorkloadError(
                    "no stored tensor has this name", where="weights", rule="names of stored tensors", value=name,
                    next_step=did_you_mean(name, self.stored),
                )
            shape, dtype, device = self._forms[name]
            if array.shape != shape:
                raise WorkloadError(
                    "a weight array has the wrong shape", where=f"weights[{name!r}]", rule=f"shape {tuple(shape)}",
                    value=tuple(array.shape), next_step="keep the shape of the stored tensor",
                )
            if not isinstance(array, Tensor):
                array = torch.from_numpy(np.ascontiguousarray(array if array.flags.writeable else array.copy()))
            fits = array.dtype is dtype and array.device == device
            replaced[name] = array if fits else array.to(device, dtype)
        return replaced

    def call(
        self, module: nn.Module, inputs: Inputs, weights: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Logits (N, ..., C) of one batch from a structure of this network, in the current gradient mode.

        Args:
            module: from `differentiable` or a `Replica`.
            inputs: N samples.
            weights: parameters to take instead of the module's own, through which gradients may flow.
            dtype: of real inputs; None leaves them as they are.

        Raises:
            WorkloadError: the module or the logits function fails, or what it returns has not the form of logits.
        """
        given = moved(inputs, self.device, dtype)
        with user_code("the module fails on these inputs", f"{type(self.module).__name__}.forward",
                      "the module accepts a batch of samples",
                      "check shapes and dtypes; a tuple is passed as module(*inputs), a dict as module(**inputs)",
                      describe(given)):
            output = call(module, given, weights)
        if self.logits is not None:
            with user_code("the logits function fails", "logits", "logits(module output) returns a tensor",
                          "check it on one batch", describe(output)):
                output = self.logits(output)
        else:
            output = measured_output(output)
        return checked_output(output, sample_count(given))


class LayerAlone:
    """Logits of some inputs with one tensor noisy at a time, the others with their float weights; each costs a run.

    Args:
        network: what runs.
        inputs: the same N samples for every simulation.

    Attributes:
        clean: logits (N, ..., C) without noise.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> workload = load_workload("small-cnn")
        >>> alone = LayerAlone(workload.network, workload.calibration)
        >>> [bool((alone.run("fc1.weight", factor * workload.weights["fc1.weight"]) == alone.clean).all())
        ...  for factor in (1.0, 0.5)]
        [True, False]
    """

    def __init__(self, network: Network, inputs: Inputs) -> None:
        self._network = network
        self._inputs = inputs
        self.clean: Tensor = network.run(inputs)

    def run(self, name: str, weight: Any) -> Tensor:
        """Logits (N, ..., C) with one tensor replaced.

        Args:
            name: a stored tensor.
            weight: array or tensor of its shape.

        Raises:
            WorkloadError: no stored tensor has this name, or the shape is another.
        """
        return self._network.run(self._inputs, {name: weight})


def _owned_copies(model: nn.Module) -> tuple[dict[int, Weights], dict[int, Any]]:
    """Copies of the parameters over memory of numpy's own: arrays by their address, and parameters for a deep copy.

    Torch moves its own memory elsewhere when a tensor is sent to another process, from under an array that looks at it.
    """
    arrays: dict[int, Weights] = {}
    parameters: dict[int, Any] = {}
    for given in model.parameters():
        plain = type(given) is nn.Parameter and given.layout == torch.strided and given.is_contiguous()
        if plain and given.is_cpu and given.numel() and given.dtype in (torch.float32, torch.float64):
            array = _owned(given.detach().numpy())
            arrays[array.ctypes.data] = array
            tensor = torch.from_numpy(array.reshape(-1)).as_strided(given.shape, given.stride())
            parameters[id(given)] = nn.Parameter(tensor, given.requires_grad)
    for part in model.modules():  # what hooks such as weight_norm's keep of the last forward pass, to be made again
        parameters |= {id(value): value.detach().clone() for value in own_attributes(part).values()
                       if isinstance(value, Tensor) and value.grad_fn is not None}
    return arrays, parameters


def _owned(array: Weights) -> Weights:
    """A copy in memory of numpy's own, which begins where torch's own would: at a multiple of 64 bytes."""
    room = np.empty(array.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    own: Weights = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    own[...] = array
    return own


def _as_array(name: str, parameter: nn.Parameter, own: Weights | None) -> Weights:
    """The weights in C order: `own`, the memory that the parameter lies over, or a copy."""
    wide = parameter.detach().to("cpu", torch.float64 if parameter.dtype == torch.float64 else torch.float32)
    alias = wide.data_ptr() == parameter.data_ptr()
    array: Weights = np.array(wide.numpy(), order="C", copy=alias or None) if own is None else own
    if not np.isfinite(array).all():
        raise WorkloadError(
            "a weight is not a finite number", where=name, rule="finite weights",
            value=f"{np.count_nonzero(~np.isfinite(array))} of {array.size} are nan or infinite",
            next_step="train or load the network first: a diverged training leaves NaN behind",
        )
    array.setflags(write=False)
    return array
