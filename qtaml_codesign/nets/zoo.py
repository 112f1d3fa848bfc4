"""The five networks of arXiv 2606.00741 as workloads, with trained weights, and the two data sets they answer on.

The weights were made by `studies/train_zoo.py`. Evaluation: the 20 % test split of the scikit-learn digits (360
images), or 1000 random sequences. Calibration: 64 inputs without their labels from the training side, so that no
evaluation input acts on a plan (the paper calibrates on inputs of its test set).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from qtaml_codesign.errors import WorkloadError, did_you_mean
from qtaml_codesign.nets.architectures import BUILDERS, LENGTH, TOKENS
from qtaml_codesign.nets.randomness import global_randomness_kept
from qtaml_codesign.nets.workload import Workload

ZOO = tuple(BUILDERS)
WEIGHTS = Path(__file__).parent / "weights"

SPLIT_KEY = 0
SEQUENCE_KEYS = {"train": 1, "evaluation": 2, "calibration": 3}
EVALUATION_SEQUENCES = 1000
CALIBRATION_SAMPLES = 64


class LabelledInputs(NamedTuple):
    """Inputs (N, ...) and their labels (N,)."""

    inputs: Tensor
    labels: Tensor


def digits(part: str) -> LabelledInputs:
    """The scikit-learn digits, (N, 1, 8, 8) float32 in [0, 1]: 1437 images of `train`, 360 of `evaluation`.

    A stratified 80/20 split with a fixed key; the order within a part is fixed too.

    Args:
        part: "train" or "evaluation"; what is not "train" gives the latter.

    Example:
        >>> digits("evaluation").inputs.shape
        torch.Size([360, 1, 8, 8])
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    index = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_KEY)
    chosen = index[0 if part == "train" else 1]
    inputs = torch.from_numpy((images[chosen] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8))
    return LabelledInputs(inputs, torch.from_numpy(labels[chosen].astype(np.int64)))


def sequences(part: str, count: int) -> LabelledInputs:
    """Random sequences of 16 tokens 0..9, labelled (first + last) mod 10; each part has its own key.

    Args:
        part: one of `SEQUENCE_KEYS`.
        count: how many sequences.

    Raises:
        KeyError: another part.

    Example:
        >>> tokens, labels = sequences("evaluation", 1000)
        >>> tokens.shape, bool(((tokens[:, 0] + tokens[:, -1]) % 10 == labels).all())
        (torch.Size([1000, 16]), True)
    """
    generator = np.random.Generator(np.random.Philox(key=SEQUENCE_KEYS[part]))
    tokens = torch.from_numpy(generator.integers(0, TOKENS, size=(count, LENGTH)))
    return LabelledInputs(tokens, (tokens[:, 0] + tokens[:, -1]) % TOKENS)


def trained_network(name: str) -> nn.Module:
    """The trained network of that name, in eval mode.

    Args:
        name: one of `ZOO`.

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
        calibration = sequences("calibration", CALIBRATION_SAMPLES)
        evaluation = sequences("evaluation", EVALUATION_SEQUENCES)
        residual_floors = {} if residual_floors is None else residual_floors
    else:
        calibration, evaluation = digits("train"), digits("evaluation")
    inputs = calibration.inputs[:CALIBRATION_SAMPLES]
    return Workload(network, inputs, evaluation, name=name, residual_floors=residual_floors)
