"""What share of a network lies in the tunnelling memory, what does not, and why."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.dataflow import Dataflow, address, is_whole, span
from qtaml_codesign.nets.identity import held_tensors, strided_parts
from qtaml_codesign.nets.inputs import Inputs, batches, leaves, moved
from qtaml_codesign.nets.network import Model, Network
from qtaml_codesign.nets.selection import NORMS_WITH_STATISTICS, is_bias, norm_parameters, packed_weights

NOT_CHOSEN = "not chosen by tensors="
Row = tuple[str, int, str]
"""Name, how many numbers, why they are not exposed."""

_LISTED = 5
_WATCHED_SAMPLES = 2
_NOT_WATCHED = "not looked at"
_OUTSIDE = ("buffer ", "other ")
"""Labels of what flips cannot reach where it acts as weights."""


@dataclass(frozen=True)
class Exposure:
    """How much of a network is exposed to flips.

    Attributes:
        stored_parameters: numbers in the stored tensors; a tied weight counts once.
        parameters: numbers in all parameters, and in whatever else acts as weights.
        unexposed: (name, how many numbers, why) of parameters and buffers outside the tunnelling memory, and of all
            else that acts as weights.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> exposure = load_workload("small-cnn").exposure
        >>> round(exposure.share, 4), exposure.reasons["bias"]
        (0.9956, (2, 74))
    """

    stored_parameters: int
    parameters: int
    unexposed: tuple[Row, ...]

    @property
    def share(self) -> float:
        """Stored parameters / all parameters and whatever else acts as weights, in 0..1."""
        return self.stored_parameters / self.parameters

    @cached_property
    def reasons(self) -> dict[str, tuple[int, int]]:
        """Why -> (tensors, numbers in them)."""
        return {
            why: (len(counts), sum(counts))
            for why in dict.fromkeys(row[2] for row in self.unexposed)
            for counts in [[count for _, count, reason in self.unexposed if reason == why]]
        }

    @property
    def text(self) -> str:
        """The share that lies in the tunnelling memory, and what does not, by reason: a line for the screen."""
        share = f"{self.share:.2%} of {self.parameters} parameters lie in tunnelling cells"
        elsewhere = ", ".join(f"{numbers} in {tensors} tensor{'s' if tensors > 1 else ''} ({why})"
                              for why, (tensors, numbers) in self.reasons.items())
        return f"{share}; not exposed: {elsewhere}" if elsewhere else share

    def to_json(self) -> dict[str, Any]:
        """Plain values, every unexposed tensor by name."""
        return {
            "stored_parameters": self.stored_parameters, "parameters": self.parameters, "share": self.share,
            "unexposed": [{"name": name, "count": count, "why": why} for name, count, why in self.unexposed],
        }


@dataclass(frozen=True)
class _Seen:
    """What one forward pass showed: tensors beside the parameters that act as weights, and stored ones not read."""

    outside: tuple[Row, ...]
    unread: tuple[str, ...]
    watched: bool = True


def measure_exposure(network: Network, calibration: Inputs, caller: Model) -> tuple[Exposure, tuple[str, ...]]:
    """The exposure of a network, and warnings; refuses weights that flips cannot reach.

    Args:
        network: the private copy; where the user chose its stored tensors, what is not reached is listed, not refused.
        calibration: the first samples are run once, with every stored tensor replaced, as in a trial.
        caller: the module as it was passed in; a closure may still hold its weights.

    Raises:
        WorkloadError: flips would not reach all that acts as weights, and the user did not choose what is stored.
    """
    unseen = tuple(_unseen(network.module))
    packed = ((name, count, "packed quantised weights") for name, count in packed_weights(network.module))
    seen = _watch(network, calibration, caller)
    outside = (*packed, *seen.outside)
    if outside and not network.chosen:
        keep = ", ".join(repr(name) for name in network.stored[:_LISTED])
        raise WorkloadError(
            "the network has weights that flips would not reach", where=f"model, {outside[0][0]}",
            rule="whatever acts as weights is a floating-point parameter that forward() reads from its module",
            value=_some(tuple(f"{name}: {why}" for name, _, why in outside)),
            next_step="pass the float network (the memory quantises it itself), with every weight an nn.Parameter of a "
            "registered module, read as self.layer.weight; or name whole numbers that forward() scales itself, with "
            "their bits: quantised={...}; or leave these outside the tunnelling memory by naming what "
            f"lies in it: tensors=[{keep}{', ...' if len(network.stored) > _LISTED else ''}]",
        )
    rows = (*unseen, *_registered(network, {name for name, _, _ in (*outside, *unseen)}))
    stored = sum(weight.size for weight in network.weights.values())
    every = sum(parameter.numel() for parameter in network.module.parameters())
    exposure = Exposure(stored, every + sum(count for _, count, _ in outside), (*outside, *rows))
    return exposure, tuple(_notes(exposure, seen, network, calibration))


def _notes(exposure: Exposure, seen: _Seen, network: Network, calibration: Inputs) -> Iterator[str]:
    if not seen.watched:
        yield ("the forward pass could not be watched, so weights that it reads past its parameters were not looked "
               "for: compare Workload.exposure with what you know of the network")
    unseen = tuple(name for name, _, why in exposure.unexposed if why.endswith(_NOT_WATCHED))
    if unseen and not network.chosen:
        yield f"tensors that are not dense may act as weights, which is not looked at: {_some(unseen)}"
    if exposure.share < 0.5 and not network.chosen:
        yield f"only {exposure.share:.1%} of {exposure.parameters} parameters lie in tunnelling cells, see .exposure"
    zeros = {name: 0.0 * network.weights[name] for name in seen.unread}
    if zeros and torch.equal(network.run(calibration), network.run(calibration, zeros)):
        yield f"no effect on the calibration outputs, so flips there cost nothing: {_some(seen.unread)}"


def _watch(network: Network, calibration: Inputs, caller: Model) -> _Seen:
    """Run some samples with a stand-in for every stored tensor; see what is read instead of it, or beside it.

    The structure that runs has run before: a view of a weight that a forward pass keeps for the next one shows.
    """
    own = dict(network.module.named_parameters())
    copies = {name: _stand_in(own[name].detach()) for name in network.stored}
    stand_ins = [(tensor, own[name].detach()) for name, tensor in copies.items()]
    for size in (_WATCHED_SAMPLES, network.batch_size):
        samples = moved(next(batches(calibration, size)), network.device)
        try:
            with torch.inference_mode(False), torch.no_grad(), network.replica().with_weights(copies) as module:
                known = _known_tensors(module, own, copies)
                with Dataflow(leaves(samples), known, _namer(module, caller), stand_ins) as flow:
                    network.call(module, samples)
        except WorkloadError:  # this number of samples does not suit the module, or it minds being watched
            continue
        kept = tuple((name, copies[name].numel(), f"a view of it that was kept is read, past {name} itself")
                     for name in network.stored if f"own {name}" in flow.read)
        acting = tuple((label.partition(" ")[2], tensor.numel(), _why(label, tensor, own))
                       for label, tensor in flow.weights.items() if label.startswith(_OUTSIDE))
        unread = tuple(name for name in network.stored if f"copy {name}" not in flow.read)
        copied = _copies_read(flow, {name: own[name].detach() for name in network.stored}, unread)
        return _Seen((*kept, *acting, *copied), unread)
    return _Seen((), (), watched=False)


def _copies_read(flow: Dataflow, stored: Mapping[str, Tensor], unread: tuple[str, ...]) -> Iterator[Row]:
    """Copies of stored tensors, and rows of those that are not read themselves, that the forward pass reads instead,
    in whatever operation.
    """
    for label in sorted(flow.read - flow.weights.keys()):
        tensor = flow.tensor(label)
        same = _copy_of(tensor, stored) or next((
            f"a row of {name}" for name in unread for weight in [stored[name]]
            if tensor.shape == weight.shape[-1:] and _varies(tensor)
            and bool((weight.to(tensor.dtype) == tensor).reshape(-1, tensor.numel()).all(-1).any())
        ), None)
        if label.startswith(_OUTSIDE) and same:
            yield label.partition(" ")[2], tensor.numel(), f"read in place of what is stored, a copy of {same}"


def _copy_of(tensor: Tensor, stored: Mapping[str, Tensor]) -> str | None:
    """The stored tensor that has the same values, transposed or in another precision as may be."""
    alike = ((name, form) for name, weight in stored.items() if weight.ndim >= 2
             for form in (weight, weight.mT) if form.shape == tensor.shape)
    return next((name for name, form in alike if _varies(tensor) and torch.equal(tensor, form.to(tensor.dtype))), None)


def _varies(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor != tensor.reshape(-1)[0]).any())


def _known_tensors(
    module: nn.Module, own: Mapping[str, Tensor], copies: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Label -> tensor, of the dense parameters, their stand-ins, and the buffers."""
    known = {f"copy {name}": tensor for name, tensor in copies.items()}
    known |= {f"own {name}": tensor for name, tensor in own.items()}
    known |= {f"{_kind(name, own)} {name}": tensor for name, tensor in module.named_buffers()}
    return {label: tensor for label, tensor in known.items() if tensor.layout == torch.strided}


def _kind(buffer: str, parameters: Container[str]) -> str:
    """A parametrisation keeps constants of its own in buffers: the base of an orthogonal matrix, or what the
    hooks of spectral_norm keep beside weight_orig.
    """
    hooked = buffer.endswith(("_u", "_v")) and f"{buffer[:-2]}_orig" in parameters
    return "constant" if hooked or "parametrizations." in buffer else "buffer"


def _namer(module: nn.Module, caller: Model) -> Callable[[Tensor], str]:
    """Labels of tensors that no registry of the module holds."""
    names = {address(tensor): f"{name} of the module that was passed in, held by a closure or a global"
             for name, tensor in caller.named_parameters() if tensor.layout == torch.strided}
    names |= {address(tensor): path for path, tensor in held_tensors(module) if tensor.layout == torch.strided}
    return lambda tensor: (
        f"other {names.get(address(tensor), f'a tensor {tuple(tensor.shape)} that no attribute holds')}"
    )


def _why(label: str, tensor: Tensor, parameters: Mapping[str, Tensor]) -> str:
    kind = "buffer" if label.startswith("buffer ") else "tensor that is no parameter"
    number = str(tensor.dtype).removeprefix("torch.")
    same = _copy_of(tensor, parameters)
    return f"{number} {kind} that acts as weights" + (f", a copy of {same}" if same else "")


def _stand_in(tensor: Tensor) -> Tensor:
    """A tensor of the same form in memory of its own; untouched zeros, which take no room on the CPU."""
    first, last = span(tensor)
    room = torch.from_numpy(np.zeros(last - first, dtype=np.uint8)).to(tensor.device)
    return room.view(tensor.dtype).as_strided(tensor.shape, tensor.stride())


def _unseen(module: nn.Module) -> Iterator[Row]:
    """Sparse tensors and others that the watched pass does not follow."""
    for path, tensor in held_tensors(module):
        if tensor.layout != torch.strided and not isinstance(tensor, nn.Parameter):
            layout = str(tensor.layout).removeprefix("torch.")
            yield path, strided_parts(tensor)[-1].numel(), f"{layout} tensor, {_NOT_WATCHED}"


def _registered(network: Network, told: set[str]) -> Iterator[Row]:
    """Parameters and buffers that are not stored."""
    of_norms = norm_parameters(network.module)
    for name, parameter in network.module.named_parameters():
        if name not in network.stored and parameter.numel():
            yield name, parameter.numel(), _why_not(name, parameter, of_norms, network.chosen)
    statistics = {id(buffer) for part in network.module.modules() if isinstance(part, NORMS_WITH_STATISTICS)
                  for buffer in part.buffers(recurse=False)}
    for name, buffer in network.module.named_buffers():
        if name not in told and buffer.numel():
            other = "buffer of whole numbers or truth values" if is_whole(buffer) else "buffer"
            yield name, buffer.numel(), "statistics of a norm" if id(buffer) in statistics else other


def _why_not(name: str, parameter: Tensor, of_norms: set[int], chosen: bool) -> str:
    if chosen:
        return NOT_CHOSEN
    if id(parameter) in of_norms:
        return "parameter of a norm"
    return "bias" if is_bias(name) else "fewer than two axes"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
