"""One trial: read the stored network once, run the evaluation set, count."""

from __future__ import annotations

import time
from collections.abc import Mapping

from qtaml_codesign.bits.profile import RegionErrors
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.device import DeviceModel
from qtaml_codesign.nets.storage import StoredModel
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

__all__ = ["run_trial", "single_threaded"]


def run_trial(
    workload: Workload, stored: StoredModel | DeviceModel, errors: Mapping[str, RegionErrors], seed: int, trial: int
) -> TrialCounts:
    """Counts of one trial: all samples of the evaluation set see the same drawing of flips.

    Args:
        workload: the network and its evaluation set.
        stored: its tensors as codes; tensors that are not in it keep their float weights. `nets.device.placed` puts
            them where the network lives.
        errors: raw flip rates by tensor name.
        seed, trial: key of the drawing. The same key gives the same flips in any order and in any process.

    Example:
        >>> from qtaml_codesign.bits.profile import BitErrorProfile
        >>> from qtaml_codesign.nets.storage import store_tensor
        >>> from qtaml_codesign.nets.workload import load_workload
        >>> workload = load_workload("small-cnn")
        >>> stored = StoredModel(tuple(store_tensor(name, w, depth=2) for name, w in workload.weights.items()))
        >>> errors = BitErrorProfile.uniform(0.01).assign(workload.weights)
        >>> run_trial(workload, stored, errors, seed=0, trial=0).accuracy().estimate > 0.95
        True
    """
    started = time.perf_counter()
    read = stored.read(seed, trial, errors)
    correct = workload.count_correct(read.weights)
    return TrialCounts(
        trials=1,
        samples=workload.samples,
        correct=correct,
        correct_squares=correct**2,
        bits_stored=stored.bits_stored,
        bits_exposed=read.flips.bits_exposed,
        bits_flipped=read.flips.bits_flipped,
        expected_flips=read.flips.expected_flips,
        seconds=time.perf_counter() - started,
    )
