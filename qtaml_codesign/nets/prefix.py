"""Simulations of one noisy layer that run the network only from that layer on.

While one tensor is noisy and the others keep their float weights, all that the network does before it reads the noisy
tensor is the same every time. A first pass over each batch writes down the calls of submodules in their order, and when
each parameter was first read. A simulation then answers every call that had ended by then with a copy of the clean
output; the rest runs as usual, so the logits are the same bit for bit.

A call is answered so only if the first pass showed that nothing else comes of it: its outputs are new dense tensors in
memory of their own, and its arguments and all that its module holds (buffers, attributes, submodules) are the same
afterwards. What a module does to state that neither it nor its arguments hold is not seen. A module inside which
someone hooked a call is run, and so is one that writes to its input in place: a copy of the input is what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import Inputs, batches
from qtaml_codesign.nets.network import GivenWeights, Network
from qtaml_codesign.nets.purity import Kept, is_hooked, is_new, is_same, size, state

LIMIT = 2**28
"""Bytes of clean outputs that are kept; calls beyond it are run each time."""

_CLOSED = (torch.jit.ScriptModule, nn.DataParallel)


class LayerAlone:
    """Logits of some inputs with one tensor noisy at a time; it costs what lies behind the first use of that tensor.

    Args:
        network: what runs.
        inputs: the same for every simulation.
        limit: bytes of clean outputs that are kept.

    Attributes:
        clean: logits without noise.

    Example:
        >>> from qtaml_codesign.nets.workload import load_workload
        >>> workload = load_workload("small-cnn")
        >>> alone, noisy = LayerAlone(workload.network, workload.calibration), 0.5 * workload.weights["fc1.weight"]
        >>> bool((alone.run("fc1.weight", noisy) == workload.run(workload.calibration, {"fc1.weight": noisy})).all())
        True
    """

    def __init__(self, network: Network, inputs: Inputs, limit: int = LIMIT) -> None:
        self._network = network
        self._batches = list(batches(inputs, network.batch_size))
        parts = list(network.run_batches(inputs))
        self._records = [_Record(limit // len(parts)) for _ in parts]
        for batch, record, part in zip(self._batches, self._records, parts, strict=True):
            self._watch(batch, record, part)
        self.clean: Tensor = torch.cat(parts)

    def run(self, name: str, weight: Any) -> Tensor:
        """Logits (N, ..., C) with this tensor replaced by an array or tensor of its shape."""
        given = {name: weight}
        return torch.cat([self._run(*one, name, given) for one in zip(self._batches, self._records, strict=True)])

    def _run(self, batch: Inputs, record: _Record, name: str, given: GivenWeights) -> Tensor:
        if name in record.first:
            logits = self._network.run_batch(batch, given, lambda module: record.followed(module, name))
            if not record.departed:
                return logits
        return self._network.run_batch(batch, given)


    def _watch(self, batch: Inputs, record: _Record, clean: Tensor) -> None:
        """The first pass; a network that takes another way or fails when looked at has every simulation run in full."""
        try:
            same = torch.equal(self._network.run_batch(batch, {}, record.watched, inference=False), clean)
        except WorkloadError:
            same = False
        if not same:
            record.first.clear()


@dataclass(eq=False)
class _Call:
    """One call of a submodule.

    Attributes:
        part: the submodule.
        index: its place in the order of beginnings.
        start, end: when it began and ended, on the clock of the record.
        after: index of the first call that began after it had ended.
        pure: whether its output is all that comes of it.
        kept: its output, once it was wanted, and the bytes of it.
    """

    part: nn.Module
    index: int
    start: int
    end: int = 0
    after: int = 0
    pure: bool = False
    kept: Kept | None = None
    held: int = 0


class _Record:
    """The calls of one clean pass in their order, and the runs that follow it up to the first use of a tensor.

    Args:
        room: bytes of outputs that may be kept.

    Attributes:
        first: name of a parameter -> when it was first read; without those that were not seen being read.
        departed: whether the last run made other calls than the clean pass, so that its result is of no use.
    """

    def __init__(self, room: int) -> None:
        self.first: dict[str, int] = {}
        self.departed = False
        self._room = room
        self._calls: list[_Call] = []
        self._clock = 0
        self._next: int | None = 0
        self._until = 0
        self._keeps = True

    @contextmanager
    def watched(self, module: Any) -> Iterator[None]:
        """Writes down what the module calls and reads until the block ends."""
        if not _is_open(module):
            yield
            return
        read: dict[int, int] = {}

        def note(tensor: Tensor | None) -> None:
            read.setdefault(id(tensor), self._clock)

        with (
            _instead(module, "_parameters", lambda part: _Watched(part._parameters, note)),
            self._calls_go_to(module, self._written_down),
        ):
            yield
        self.first = {name: read[id(value)] for name, value in module.named_parameters() if id(value) in read}

    @contextmanager
    def followed(self, module: nn.Module, name: str) -> Iterator[None]:
        """Answers calls of the module that end before the first use of this parameter, until the block ends."""
        self._next, self._until, self.departed, self._keeps = 0, self.first[name], False, True
        with self._calls_go_to(module, self._answered):
            yield

    def _calls_go_to(self, module: nn.Module, handle: Callable[..., Any]) -> ExitStack:
        def replaced(part: nn.Module) -> Callable[..., Any]:
            forward = part.forward

            @wraps(forward)
            def call(*args: Any, **named: Any) -> Any:
                return handle(part, lambda: forward(*args, **named), args, named)

            return call

        return _instead(module, "forward", replaced)

    def _written_down(self, part: nn.Module, compute: Callable[[], Any], *given: Any) -> Any:
        call = _Call(part, len(self._calls), self._tick())
        self._calls.append(call)
        before = None if call.index == 0 or is_hooked(part) else state(part, *given)
        output = compute()
        call.end, call.after = self._tick(), len(self._calls)
        call.pure = before is not None and is_new(output, before) and is_same(before, state(part, *given))
        return output

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _answered(self, part: nn.Module, compute: Callable[[], Any], *_: Any) -> Any:
        call = self._expected(part)
        if call is None:
            return compute()
        self._next = call.index + 1
        if not call.pure or call.end > self._until:
            return compute()
        output = self._clean(call, compute)
        self._next = None if self.departed else call.after
        return output

    def _expected(self, part: nn.Module) -> _Call | None:
        """The call of the clean pass that this one repeats; None from the first use of the tensor on."""
        if self._next is None:
            return None
        call = self._calls[self._next] if self._next < len(self._calls) else None
        if call is not None and call.part is part and call.start <= self._until:
            return call
        self._next = None
        self.departed = call is None or call.start <= self._until
        return None

    def _clean(self, call: _Call, compute: Callable[[], Any]) -> Any:
        """The output of a call that noise cannot reach: what is kept, or a new one, which is kept if there is room."""
        if call.kept is not None:
            return call.kept.again()
        keeps, self._keeps = self._keeps, False
        output = compute()
        self._keeps = keeps
        if keeps:
            self._keep(call, output)
        return output

    def _keep(self, call: _Call, output: Any) -> None:
        """Keeps a copy, in place of what was kept of the calls inside."""
        inner, needed = self._calls[call.index + 1 : call.after], size(output)
        room = self._room + sum(one.held for one in inner)
        if needed > room:
            return
        for one in inner:
            one.kept, one.held = None, 0
        call.kept, call.held, self._room = Kept(output), needed, room - needed


class _Watched(dict[str, Any]):
    """The parameters of a submodule, told of when read; Python copies a dict with its own `__iter__` by reading it."""

    def __init__(self, held: dict[str, Any], note: Callable[[Any], None]) -> None:
        super().__init__(held)
        self._note = note

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        self._note(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.keys()))

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        self.get(key)
        return super().pop(key, *default)

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]

    def copy(self) -> dict[str, Any]:
        return dict(self)


def _instead(module: nn.Module, key: str, replacement: Callable[[nn.Module], Any]) -> ExitStack:
    """Puts something else under this key of every submodule's own attributes; leaving it puts back what was there."""
    undo = ExitStack()
    for part in module.modules():
        own = vars(part)
        undo.callback(own.__setitem__, key, own[key]) if key in own else undo.callback(own.pop, key, None)
        own[key] = replacement(part)
    return undo


def _is_open(module: Any) -> bool:
    """Whether calls and reads of every submodule go through Python."""
    return isinstance(module, nn.Module) and not any(
        isinstance(part, _CLOSED) or part._compiled_call_impl is not None or hasattr(part, "_orig_mod")
        for part in module.modules()
    )
