"""The five networks of arXiv 2606.00741 as workloads, with trained weights.

The weights were made by `studies/train_zoo.py`. Evaluation: the 20 % test split of the scikit-learn digits (360
images), or 1000 random sequences. Calibration: 64 inputs without their labels from the training side, so that no
evaluation input acts on a plan (the paper calibrates on inputs of its test set).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from qtaml_codesign.errors import WorkloadError, did_you_mean
from qtaml_codesign.nets.architectures import BUILDERS
from qtaml_codesign.nets.datasets import CALIBRATION_SAMPLES, EVALUATION_SEQUENCES, digits, sequences
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.workload import Workload

ZOO = tuple(BUILDERS)
WEIGHTS = Path(__file__).parent / "weights"


def trained_network(name: str) -> nn.Module:
    """The trained network of that name, in eval mode.

    Raises:
        WorkloadError: the zoo has no such network.

    Example:
        >>> trained_network("small-cnn").fc1
        Linear(in_features=512, out_features=64, bias=True)
    """
    if name not in BUILDERS:
        raise WorkloadError(
            "unknown workload", where="workload", rule="a network of the zoo, or FILE.py:FACTORY", value=name,
            next_step=f"{did_you_mean(name, BUILDERS)}; your own network is written FILE.py:FACTORY",
        )
    with global_randomness_kept():
        network = BUILDERS[name]()
    network.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return network.eval()


def zoo_workload(
    name: str, network: nn.Module | None = None, residual_floors: Mapping[str, int] | None = None
) -> Workload:
    """A network of the zoo with its calibration and evaluation inputs.

    Args:
        name: one of `ZOO`.
        network: instead of the trained one that ships.
        residual_floors: as for `Workload`. By default the transformer has none: the paper leaves its last feed-forward
            layers unprotected. Those of `res-cnn` are found from its graph.

    Raises:
        WorkloadError: the zoo has no such network.
    """
    network = trained_network(name) if network is None else network
    if name == "transformer":
        calibration = sequences("calibration", CALIBRATION_SAMPLES).inputs
        evaluation = sequences("evaluation", EVALUATION_SEQUENCES)
        floors = {} if residual_floors is None else residual_floors
        return Workload(network, calibration, evaluation, name=name, residual_floors=floors)
    calibration, evaluation = digits("train").inputs[:CALIBRATION_SAMPLES], digits("evaluation")
    return Workload(network, calibration, evaluation, name=name, residual_floors=residual_floors)
