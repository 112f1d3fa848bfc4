"""Simulations of one noisy layer while the others keep their float weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from qtaml_codesign.nets.inputs import Inputs
from qtaml_codesign.nets.network import Network


class LayerAlone:
    """Logits of some inputs with one tensor noisy at a time; each costs a run of the whole network.

    Args:
        network: what runs.
        inputs: the same N samples for every simulation.

    Attributes:
        clean: logits (N, ..., C) without noise.

    Example:
        >>> from qtaml_codesign.nets.loading import load_workload
        >>> workload = load_workload("small-cnn")
        >>> alone = LayerAlone(workload.network, workload.calibration)
        >>> [bool((alone.run("fc1.weight", factor * workload.weights["fc1.weight"]) == alone.clean).all())
        ...  for factor in (1.0, 0.5)]
        [True, False]
    """

    def __init__(self, network: Network, inputs: Inputs) -> None:
        self._network = network
        self._inputs = inputs
        self.clean: Tensor = network.run(inputs)

    def run(self, name: str, weight: Any) -> Tensor:
        """Logits (N, ..., C) with one tensor replaced.

        Args:
            name: a stored tensor.
            weight: array or tensor of its shape.

        Raises:
            WorkloadError: no stored tensor has this name, or the shape is another.
        """
        return self._network.run(self._inputs, {name: weight})
