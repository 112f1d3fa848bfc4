"""One trial against the bare forward pass over the same inputs."""

from __future__ import annotations

import copy
from itertools import count

import numpy as np

from benchmarks.page import Section
from benchmarks.timing import Ratio, compare

NETWORKS = ("small-cnn", "res-cnn", "transformer")
RATE = 0.1
GOAL = 1.08
PAIRS = 101


def section() -> Section:
    """Drawing the flips, reading back, evaluating and counting, on one thread."""
    found = {name: _measure(name) for name in NETWORKS}
    rows = [
        [name, f"{ratio.ours * 1e3:.2f} ms", f"{ratio.theirs * 1e3:.2f} ms", _cost(ratio), _verdict(ratio)]
        for name, ratio in found.items()
    ]
    return Section(
        title="One trial",
        method=f"A trial draws the flips of every stored bit at p = {RATE:g} (no protection), reads the weights back, "
               "runs the evaluation set and counts; the bare forward pass is the module called on the same "
               f"batches with its float weights. {PAIRS} pairs, one thread, after 30 MB of heap were taken and given "
               "back.",
        header=["network", "trial", "forward pass", "trial / forward pass [quartiles]", f"goal <= {GOAL:g}"],
        rows=rows,
    )


def _measure(name: str) -> Ratio:
    import torch

    import qtaml_codesign as qc
    from qtaml_codesign.memory.trial import Trials
    from qtaml_codesign.nets.inputs import batches, call
    from qtaml_codesign.nets.threads import single_threaded
    from qtaml_codesign.tac.evaluation import deploy_plan

    np.ones(30_000_000, np.uint8).sum()
    workload = qc.load_workload(name)
    plan = qc.plan(workload, method="none", flip_probability=RATE)
    trials = Trials(workload, deploy_plan(workload, plan, RATE), seed=0)
    module, inputs, numbers = copy.deepcopy(workload.network.module), workload.evaluation_inputs, count()
    parts = list(batches(inputs, workload.batch_size))
    with single_threaded(), torch.inference_mode():
        return compare(lambda: trials.run(next(numbers)), lambda: [call(module, part) for part in parts], PAIRS)


def _cost(ratio: Ratio) -> str:
    return f"{1.0 / ratio.middle:.3f} [{1.0 / ratio.upper:.3f}, {1.0 / ratio.lower:.3f}]"


def _verdict(ratio: Ratio) -> str:
    return "met" if 1.0 / ratio.middle <= GOAL else "not met"
