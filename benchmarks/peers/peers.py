"""Ours beside other injectors: same network, same flip probability, same number of trials.

    python benchmarks/peers/peers.py              all of them, as a table
    python benchmarks/peers/peers.py ours MRFI    only those named
    python -m benchmarks peers                    all of them, into docs/performance.md

`make bench-peers` installs the tools of requirements.txt into .venv-peers first. One that is not installed keeps its
row and says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch

from benchmarks.page import Section
from benchmarks.peers import injectors, tools
from benchmarks.peers.network import Injector, Network
from benchmarks.timing import Ratio, ratio_of, seconds
from qtaml_codesign.statistics import Interval, clopper_pearson

RATE = 0.1
TRIALS = 30
THREADS = (1, 2)
HEAP = 30 * 2**20

PEERS: dict[str, Callable[[Network, float], Injector]] = {
    "ours": injectors.ours,
    "stim sampler, simple glue": injectors.stim_bernoulli,
    "numpy, packed digits": injectors.numpy_digits,
    "numpy float32 < p": injectors.numpy_rand,
    "torch.rand < p by plane": injectors.torch_rand,
    "MRFI": tools.mrfi,
    "PyTorchFI": tools.pytorchfi,
}


@dataclass(frozen=True)
class Measured:
    """Trials of one injector, each timed beside a bare forward pass, and the rate of bits that they flipped."""

    cost: Ratio
    ber: Interval

    def cells(self) -> list[str]:
        """Best time of a trial, and the ratio with its spread."""
        return [f"{1e3 * self.cost.theirs:.2f} ms", self.cost.text()]


def section(names: list[str] | None = None) -> Section:
    """The table of all peers, or of those named."""
    found = {name: measure(PEERS[name]) for name in names or PEERS}
    return Section(
        title="Peers side by side",
        method=f"One trial of small-cnn at p = {RATE}: flips drawn for all 8-bit weights, read back, 360 images "
               f"evaluated. {TRIALS} trials of each, every one timed beside a bare forward pass over the same images: "
               "median of the pairwise ratios, with the smallest and the largest. The realised bit error rate and its "
               "95 % interval are those of the trials on one thread.",
        header=["injector", *(title for threads in THREADS for title in _titles(threads)), "realised rate", "draws"],
        rows=[_row(name, one) for name, one in found.items()],
        notes=_notes(found),
    )


def measure(build: Callable[[Network, float], Injector]) -> tuple[list[Measured], str] | ImportError:
    """One injector at each number of threads, and what it draws; or why it is not installed."""
    try:
        network = Network()
        injector = build(network, RATE)
    except ImportError as missing:
        return missing
    before = torch.get_num_threads()
    try:
        return [_on_threads(network, injector, threads) for threads in THREADS], injector.law
    finally:
        torch.set_num_threads(before)


def _on_threads(network: Network, injector: Injector, threads: int) -> Measured:
    torch.set_num_threads(threads)
    bare = Network()
    keep_heap()
    bare.forward(), injector.trial(TRIALS)
    taken, flipped = [], 0
    for trial in range(TRIALS):
        taken.append((seconds(bare.forward), seconds(lambda trial=trial: injector.trial(trial))))
        flipped += injector.flipped()
    return Measured(ratio_of(taken), clopper_pearson(flipped, TRIALS * network.bits))


def keep_heap() -> None:
    """Free a large block once, so that later ones come from the heap and not as fresh pages from the system."""
    np.ones(HEAP, np.uint8)


def _titles(threads: int) -> list[str]:
    return [f"best trial, {threads} thread{'s' * (threads > 1)}", "ratio to bare forward"]


def _row(name: str, found: tuple[list[Measured], str] | ImportError) -> list[str]:
    if isinstance(found, ImportError):
        return [name, *["not installed", ""] * len(THREADS), "", str(found)]
    measured, law = found
    ber = measured[0].ber
    return [name, *(cell for one in measured for cell in one.cells()),
            f"{ber.estimate:.5f} [{ber.low:.5f}, {ber.high:.5f}]", law]


def _notes(found: dict[str, tuple[list[Measured], str] | ImportError]) -> list[str]:
    measured = {name: one[0][0] for name, one in found.items() if not isinstance(one, ImportError)}
    missing = [name for name in found if name not in measured]
    off = [f"{name} ({one.ber.estimate / RATE - 1:+.1%})" for name, one in measured.items()
           if not one.ber.low <= RATE <= one.ber.high]
    notes = [f"p lies outside the interval of: {', '.join(off)}." if off else "p lies in every interval."]
    others = {name: one.cost.middle for name, one in measured.items() if name != "ours"}
    if "ours" in measured and others:
        own, best = measured["ours"].cost.middle, min(others, key=lambda name: others[name])
        notes.append(f"On one thread the flips and their reading cost {own - 1:.1%} of a forward pass with ours, "
                     f"{others[best] - 1:.1%} with the best of the others ({best}).")
    if missing:
        notes.append(f"Not installed: {', '.join(missing)}. `make bench-peers` measures them too.")
    return notes


def main(names: list[str]) -> None:
    """Print the table of the peers named, or of all."""
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        sys.exit(f"unknown peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    print(section(names).markdown())


if __name__ == "__main__":
    main(sys.argv[1:])
