"""Trials: read the stored network, run the evaluation set, count."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.device import DeviceModel
from qtaml_codesign.nets.reading import ReadTensors, TrialReader
from qtaml_codesign.nets.storage import StoredModel
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload

__all__ = ["Trials", "run_trial", "single_threaded"]


class Trials:
    """The trials of one stored network: all samples of the evaluation set see the same drawing of flips.

    One thread at a time may use it: a trial overwrites the weights of the one before. Threads take one each.

    Args:
        workload: the network and its evaluation set.
        stored: its tensors as codes; tensors that are not in it keep their float weights. `nets.device.placed` puts
            them where the network lives.
        errors: raw flip rates by tensor name.
        seed: key of the drawings. The same seed and trial give the same flips in any order and in any process.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.nets.storage import store_tensor
        >>> from qtaml_codesign.nets.workload import load_workload
        >>> workload = load_workload("small-cnn")
        >>> stored = StoredModel(tuple(store_tensor(name, w, depth=2) for name, w in workload.weights.items()))
        >>> trials = Trials(workload, stored, BitErrorProfile.uniform(0.01).assign(workload.weights), seed=0)
        >>> trials.run(0).interval().estimate > 0.95
        True
    """

    def __init__(
        self, workload: Workload, stored: StoredModel | DeviceModel, errors: Mapping[str, CellLaw], seed: int
    ) -> None:
        self._workload = workload
        self._bits_stored = stored.bits_stored
        if isinstance(stored, DeviceModel):
            self._read: Callable[[int], ReadTensors] = lambda trial: stored.read(seed, trial, errors)
        else:
            self._read = TrialReader(stored, errors, seed).read

    def run(self, trial: int) -> TrialCounts:
        """Counts of one trial: read the stored network once, run the evaluation set, count."""
        started = time.perf_counter()
        read = self._read(trial)
        return TrialCounts.of_trial(
            by_group=self._workload.score_by_group(read.weights),
            samples=self._workload.samples,
            bits_stored=self._bits_stored,
            bits_exposed=read.flips.bits_exposed,
            bits_flipped=read.flips.bits_flipped,
            expected_flips=read.flips.expected_flips,
            seconds=time.perf_counter() - started,
        )


def run_trial(
    workload: Workload, stored: StoredModel | DeviceModel, errors: Mapping[str, CellLaw], seed: int, trial: int
) -> TrialCounts:
    """Counts of one trial; for several of one network, `Trials` prepares them once."""
    return Trials(workload, stored, errors, seed).run(trial)
