"""Where the time of a sweep goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.page import Section

NETWORKS = ("small-cnn", "res-cnn", "transformer")
BUDGETS = (0.03, 0.05, 0.125, 0.25)
GOAL = 0.8
PARTS = ("forward passes of trials", "forward passes of plans", "flips drawn, weights read", "plans, all else",
         "result store", "all else")


def section() -> Section:
    """Shares of the wall time, by network."""
    measured = {name: _shares(name) for name in NETWORKS}
    least = min(sum(shares[:2]) for shares, _ in measured.values())
    return Section(
        title="Where the time of a sweep goes",
        method=f"`qc.sweep(network, '3nm')`: {len(BUDGETS)} budgets, methods tac and uniform-msp, the card's own "
               "thicknesses, intervals of +- 0.02, one process, files and figure included; the network is loaded. "
               "Calls are timed from outside. Forward passes of plans are those of the calibration and of the "
               "mean-correction decision.",
        header=["network", "seconds", *PARTS, "forward passes together"],
        rows=[[name, f"{seconds:.1f}", *(f"{share:.1%}" for share in shares), f"{sum(shares[:2]):.1%}"]
              for name, (shares, seconds) in measured.items()],
        notes=[f"Goal: at least {GOAL:.0%} in forward passes; {'met' if least >= GOAL else 'not met'}."],
    )


def _shares(name: str) -> tuple[list[float], float]:
    import qtaml_codesign as qc
    from qtaml_codesign.memory.reader import HostReader
    from qtaml_codesign.nets.network import Network
    from qtaml_codesign.sweeps.store import ResultStore
    from qtaml_codesign.tac.algorithm import Planner

    workload = qc.load_workload(name)
    qc.sweep(workload, "3nm", [1.8], [0.05], trials=2)
    spent = dict.fromkeys(("forward", "read", "store", "plan", "plan forward"), 0.0)
    with ExitStack() as stack, TemporaryDirectory() as folder:
        stack.enter_context(_watched(Network, "_logits", spent, "forward"))
        stack.enter_context(_watched(HostReader, "read", spent, "read"))
        stack.enter_context(_watched(ResultStore, "_write", spent, "store"))
        stack.enter_context(_watched_plan(Planner, spent))
        begun = time.perf_counter()
        qc.sweep(workload, "3nm", budgets=BUDGETS, half_width=0.02, out=folder)
        seconds = time.perf_counter() - begun
    parts = [spent["forward"] - spent["plan forward"], spent["plan forward"], spent["read"],
             spent["plan"] - spent["plan forward"], spent["store"]]
    return [part / seconds for part in (*parts, seconds - sum(parts))], seconds


@contextmanager
def _watched(owner: type, method: str, spent: dict[str, float], what: str) -> Iterator[None]:
    original: Callable[..., Any] = getattr(owner, method)

    def watched(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent[what] += time.perf_counter() - begun

    with patch.object(owner, method, watched):
        yield


@contextmanager
def _watched_plan(planner: type, spent: dict[str, float]) -> Iterator[None]:
    """Time in plans, and how much of it was in forward passes."""
    original: Callable[..., Any] = planner.make

    def make(*arguments: Any) -> Any:
        begun, forward = time.perf_counter(), spent["forward"]
        made = original(*arguments)
        spent["plan"] += time.perf_counter() - begun
        spent["plan forward"] += spent["forward"] - forward
        return made

    with patch.object(planner, "make", make):
        yield
