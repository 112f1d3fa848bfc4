"""What flips will do to the logits: foretold from the law of what is read, and measured on the calibration inputs.

    E||dz||^2 = sum_w g(w) E[(read - w)^2]

with the gain g of every weight (`nets.weight_gains`) and the exact mean and mean square of what each stored word reads.
It holds for every store alike, and to first order in the errors: large ones saturate the network, which no sum knows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.transition import expected_values
from qtaml_codesign.codecs.codec import Codec, pieces
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.memory.stored import StoredGroup
from qtaml_codesign.nets.network import GivenWeights
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.statistics import Interval, mean_interval

PURPOSE = "prediction"


def expected_output_error(
    model: DeployedModel, weights: Mapping[str, NDArray[np.floating]], gains: Mapping[str, NDArray[np.floating]]
) -> float:
    """Expected squared change of the logits, summed over logits, averaged over inputs, by exact laws of what is read.

    Args:
        model: the weights in the memory. Protection that corrects what is read counts as if it did not; codewords count
            by the share of their data bits that are wrong.
        weights: the float weights, by tensor name.
        gains: of every weight, by tensor name.
    """
    return sum(_error_of(group, weights[group.name], gains[group.name]) for group in model.groups)


def _error_of(group: StoredGroup[Codec], weights: NDArray[np.floating], gains: NDArray[np.floating]) -> float:
    """Sum of gain x E[(read - w)^2] over the weights of a group."""
    values = group.codec.values.astype(np.float64)
    mean, square = expected_values(group.residual, [values, values**2])
    place = group.place
    given, gain_of = ((part if place is None else place.take(part)).reshape(-1) for part in (weights, gains))
    gain, offset = _by_weight(group)
    total = 0.0
    for words, weight, importance, a, b in zip(*map(pieces, (group.words, given, gain_of, gain, offset)), strict=True):
        away = b - weight.astype(np.float64)
        total += float(importance @ (a * a * square[words] + 2.0 * a * away * mean[words] + away * away))
    return total


def biased_output_error(
    workload: Workload, model: DeployedModel, gains: Mapping[str, NDArray[np.floating]]
) -> float:
    """Expected squared change of the logits where flips move many weights the same way.

        E||dz||^2 = ||z(E[read]) - z||^2 + sum_w g(w) Var[read]

    The first term is the network with every weight as it is read on average, run on the calibration inputs: errors that
    all weights share add up there, as under charge loss, where `expected_output_error` takes them for independent.

    Args:
        workload: its calibration inputs are run, without labels.
        model: the weights in the memory; protection as for `expected_output_error`.
        gains: of every weight, by tensor name.
    """
    average = {name: np.empty(weight.shape, np.float32) for name, weight in workload.weights.items()}
    varied = 0.0
    for group in model.groups:
        tensor, gain = average[group.name], gains[group.name].astype(np.float64)
        index = np.arange(tensor.size).reshape(tensor.shape)
        index = index if group.place is None else group.place.take(index)
        mean, variance = read_moments(group)
        tensor.reshape(-1)[index] = mean.reshape(index.shape)
        varied += float(gain.reshape(-1)[index.reshape(-1)] @ variance.reshape(-1))
    weights: GivenWeights = {**average, **model.statistics}
    moved = workload.run(workload.calibration, weights) - workload.run(workload.calibration)
    return float(moved.double().square().sum()) / len(moved) + varied


def read_moments(group: StoredGroup[Codec]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of what is read for every weight of a group, in its shape.

    Args:
        group: the weights in the memory.
    """
    values = group.codec.values.astype(np.float64)
    mean, square = expected_values(group.residual, [values, values**2])
    gain, offset = (part.reshape(group.words.shape) for part in _by_weight(group))
    return gain * mean[group.words] + offset, gain**2 * np.maximum(square - mean**2, 0.0)[group.words]


def _by_weight(group: StoredGroup[Codec]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain and offset of the readout for every weight of a group, flat."""
    gain, offset = group.codec.readout or (np.ones(1), np.zeros(1))
    repeats = group.words.size // gain.size
    return np.repeat(gain.astype(np.float64), repeats), np.repeat(offset.astype(np.float64), repeats)


def measured_output_error(workload: Workload, model: DeployedModel, seed: int, trials: int) -> Interval:
    """Squared change of the logits on the calibration inputs, over drawings, with its 95 % interval (Student).

    Args:
        workload: its calibration inputs are run, without labels.
        model: the weights in the memory.
        seed: key of the flips, which are drawn apart from those of trials.
        trials: drawings, >= 2.
    """
    reader, clean = model.prepare(seed, purpose=PURPOSE), workload.run(workload.calibration)
    noisy = (reader.read(trial).weights | model.statistics for trial in range(trials))
    moved = (workload.run(workload.calibration, weights) - clean for weights in noisy)
    return mean_interval([float(one.double().square().sum()) / len(clean) for one in moved])
