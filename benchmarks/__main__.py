"""Run every benchmark and print ratios: ours against the usual way, timed in turn in one process.

Times of a shared machine drift, so each pair is timed A B A B ... and the median of the pairwise ratios is quoted
with its extremes.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

import qtaml_codesign as qc

Work = Callable[[], object]
ROUNDS = 7


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name: str, ours: Work, theirs: Work) -> None:
    ours(), theirs()
    ratios = []
    ours_best = theirs_best = float("inf")
    for _ in range(ROUNDS):
        a, b = seconds(ours), seconds(theirs)
        ratios.append(b / a)
        ours_best, theirs_best = min(ours_best, a), min(theirs_best, b)
    low, middle, high = np.quantile(ratios, [0.0, 0.5, 1.0])
    print(f"{name:58s} {ours_best * 1e3:9.2f} ms {theirs_best * 1e3:9.2f} ms   x{middle:6.2f} [{low:.2f}, {high:.2f}]")


def thickness_chain() -> None:
    """Thickness -> flip probability, 200 000 points of the 3 nm card, against scipy's binomial tail alone."""
    card = qc.load_card("3nm")
    thickness_nm = np.linspace(1.72, 2.25, 200_000)
    escape = qc.flip_probability(card, thickness_nm=thickness_nm).escape_probability
    compare(
        "200k thicknesses: whole chain / scipy.stats.binom.sf alone",
        lambda: qc.flip_probability(card, thickness_nm=thickness_nm),
        lambda: stats.binom.sf(card.cell.flip_threshold, card.cell.electrons, escape),
    )


def drawing(probability: float) -> None:
    """Draw and apply the flips of one million 8-bit codes, against numpy: one uniform per bit, compared with p."""
    codes = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8)
    generator = np.random.default_rng(1)

    def per_bit() -> object:
        mask = generator.random((codes.size, 8), dtype=np.float32) < np.float32(probability)
        return codes ^ np.packbits(mask, axis=1)[:, 0]

    compare(
        f"1M codes, p = {probability:g}: keyed exact flips / numpy float32 < p",
        lambda: qc.read_back(codes, flip_probability=probability),
        per_bit,
    )


def trial(name: str) -> None:
    """One whole trial of a network, against the bare forward pass over the same inputs."""
    import torch

    from qtaml_codesign.nets.evaluate import run_trial, single_threaded
    from qtaml_codesign.tac.evaluation import deploy, errors_for

    workload = qc.load_workload(name)
    plan = qc.plan(workload, method="none", flip_probability=0.1)
    stored, errors = deploy(workload, plan), errors_for(workload, plan, 0.1)
    with single_threaded(), torch.inference_mode():
        compare(
            f"{name}, p = 0.1: one trial / bare forward pass",
            lambda: run_trial(workload, stored, errors, 0, 0),
            lambda: workload.run(workload.evaluation_inputs),
        )


def help_seconds() -> None:
    """User plus system time of `python cli.py --help`, smallest and largest of ROUNDS."""
    used = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "cli.py", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"codesign --help: {min(used):.2f} to {max(used):.2f} s of CPU")


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{'':58s} {'ours':>12s} {'theirs':>12s}   theirs / ours [lowest, highest of {ROUNDS} pairs]")
    thickness_chain()
    for probability in (0.1, 0.01):
        drawing(probability)
    for name in ("small-cnn", "res-cnn", "transformer"):
        trial(name)
    help_seconds()


if __name__ == "__main__":
    main()
