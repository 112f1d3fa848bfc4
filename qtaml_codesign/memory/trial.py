"""Trials: read the deployed network, run the evaluation set, count."""

from __future__ import annotations

import time

from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.nets.counts import TrialCounts
from qtaml_codesign.nets.workload import Workload


class Trials:
    """The trials of one deployed network: all samples of the evaluation set see the same drawing of flips.

    Any number of threads may use it at once.

    Args:
        workload: the network and its evaluation set.
        model: its tensors in the memory; tensors that are not in it keep their float weights.
        seed: key of the drawings. The same seed and trial give the same flips in any order and in any process.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
        >>> from qtaml_codesign.memory.deploy import deploy
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> weights = (workload := load_workload("small-cnn")).weights
        >>> codecs = {name: PlaneProtected.fitted(weight, depth=2) for name, weight in weights.items()}
        >>> model = deploy(weights, codecs, BitErrorProfile.uniform(0.01).assign(weights))
        >>> Trials(workload, model, seed=0).run(0).interval().estimate > 0.95
        True
    """

    def __init__(self, workload: Workload, model: DeployedModel, seed: int) -> None:
        self._workload = workload
        self._reader = model.prepare(seed, workload.network.device)
        self._statistics = model.statistics
        self._bits = (model.bits_stored, model.bits_exposed, model.expected_flips)

    def run(self, trial: int) -> TrialCounts:
        """Counts of one trial: read the memory once, run the evaluation set, count.

        Args:
            trial: which drawing, 0 .. 2^64 - 1.

        Raises:
            InputError: no such trial.
        """
        started = time.perf_counter()
        reading = self._reader.read(trial)
        by_group = self._workload.score_by_group(reading.weights | self._statistics)
        stored, exposed, expected = self._bits
        return TrialCounts.of_trial(
            by_group, self._workload.samples, bits_stored=stored, bits_exposed=exposed,
            bits_flipped=reading.bits_flipped, expected_flips=expected, seconds=time.perf_counter() - started,
        )
