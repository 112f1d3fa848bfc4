"""Simulations of one noisy layer that run the network only from that layer on.

While one tensor is noisy and the others keep their float weights, all that the network does before it reads the noisy
tensor is the same every time. A first pass over each batch writes down the calls of submodules in their order, and when
each parameter was first read. A simulation then answers every call that had ended by then with its clean output, which
is kept when a simulation first needs it; the rest runs as usual, so the logits are the same bit for bit.

A call is answered so only if the first pass showed that nothing else comes of it: its outputs are new dense tensors in
memory of their own, its arguments and all that its module holds (buffers, attributes, submodules) are the same
afterwards, and no hook waits inside. Not seen are changes of state that neither the module nor its arguments hold, and
writes that torch does not count: to `tensor.data`, or through numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.inputs import Inputs, batches
from qtaml_codesign.nets.interception import Handler, Watched, instead, is_open, wrapped
from qtaml_codesign.nets.network import GivenWeights, Network
from qtaml_codesign.nets.purity import Kept, is_hooked, is_new, is_same, size, state

LIMIT = 2**28
"""Bytes of clean outputs that are kept; calls beyond it are run each time."""


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
            record.give_up()
        return self._network.run_batch(batch, given)

    def _watch(self, batch: Inputs, record: _Record, clean: Tensor) -> None:
        """The first pass; a network that takes another way or fails when looked at has every simulation run in full."""
        try:
            same = torch.equal(self._network.run_batch(batch, {}, record.watched, inference=False), clean)
        except WorkloadError:
            same = False
        if not same:
            record.give_up()


@dataclass(eq=False)
class _Call:
    """One call of a submodule.

    Attributes:
        part: the submodule.
        index: its place in the order of beginnings.
        start, end: when it began and ended, on the clock of the record.
        after: index of the first call that began after it had ended.
        pure: whether its output is all that comes of it.
        kept: its output, once it was wanted.
        held: bytes of it.
        shared: whether nobody was seen to write to the output.
    """

    part: nn.Module
    index: int
    start: int
    end: int = 0
    after: int = 0
    pure: bool = False
    kept: Kept | None = None
    held: int = 0
    shared: bool = True


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
        self._lent: list[_Call] = []
        self._module: object = None
        self._wrappers: list[tuple[dict[str, Any], Any]] = []
        self._handler: list[Handler] = []

    @contextmanager
    def watched(self, module: Any) -> Iterator[None]:
        """Writes down what the module calls and reads until the block ends."""
        if not is_open(module):
            yield
            return
        self._module, parts = module, list(module.modules())
        self._wrappers = [(vars(part), wrapped(part, self._handler)) for part in parts]
        read: dict[int, int] = {}

        def note(tensor: Tensor | None) -> None:
            read.setdefault(id(tensor), self._clock)

        watchers = [(vars(part), Watched(part._parameters, note)) for part in parts]
        with instead(watchers, "_parameters"), self._calls_go_to(self._written_down):
            yield
        self.first = {name: read[id(value)] for name, value in module.named_parameters() if id(value) in read}

    @contextmanager
    def followed(self, module: Any, name: str) -> Iterator[None]:
        """Answers calls of the module that end before the first use of this parameter, until the block ends."""
        self.departed = False
        if module is not self._module:
            yield
            return
        self._next, self._until, self._keeps = 0, self.first[name], True
        try:
            with self._calls_go_to(self._answered):
                yield
        finally:
            self._take_back()

    def give_up(self) -> None:
        """From now on nothing is followed, and nothing kept."""
        self.first.clear()
        self._calls.clear()

    def _take_back(self) -> None:
        """Forgets what was lent and written to; from now on copies of it are lent."""
        for call in self._lent:
            if call.kept is not None and call.kept.is_written():
                self._drop(call)
                call.shared = False
        self._lent.clear()

    @contextmanager
    def _calls_go_to(self, handler: Handler) -> Iterator[None]:
        self._handler.append(handler)
        try:
            with instead(self._wrappers, "forward"):
                yield
        finally:
            self._handler.clear()

    def _written_down(self, part: nn.Module, forward: Callable[..., Any], args: Any, named: Any) -> Any:
        call = _Call(part, len(self._calls), self._tick())
        self._calls.append(call)
        before = None if call.index == 0 or is_hooked(part) else state(part, args, named)
        output = forward(*args, **named)
        call.end, call.after = self._tick(), len(self._calls)
        call.pure = before is not None and is_new(output, before) and is_same(before, state(part, args, named))
        return output

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _answered(self, part: nn.Module, forward: Callable[..., Any], args: Any, named: Any) -> Any:
        call = self._expected(part)
        if call is None:
            return forward(*args, **named)
        self._next = call.index + 1
        if not call.pure or call.end > self._until:
            return forward(*args, **named)
        output = self._clean(call, lambda: forward(*args, **named))
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
            self._lent.append(call)
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
        if needed <= self._room + sum(one.held for one in inner):
            for one in inner:
                self._drop(one)
            self._room -= needed
            call.kept, call.held = Kept(output, call.shared), needed

    def _drop(self, call: _Call) -> None:
        self._room += call.held
        call.kept, call.held = None, 0
