"""Gain and offset of every row, fitted to the network's own clean logits under the flips.

Row by row, the readout knows nothing of what the errors of other rows do to the same activations, nor of what a strong
disturbance does beyond first order. So a few hundred small steps follow: read the memory with fresh flips, run the
calibration inputs, and move gains and offsets down the gradient of the squared distance to the logits of the clean
network. Labels are not used, and no stored word changes; the steps are small and few, as 64 inputs say little.

Source: the optimiser is Adam, Kingma and Ba, arXiv 1412.6980.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from qtaml_codesign.memory.reader import Reader
from qtaml_codesign.nets.inputs import batches
from qtaml_codesign.nets.network import GivenWeights
from qtaml_codesign.nets.probes import Progress, attached
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.correction import samples_for
from qtaml_codesign.tac.row_stores import RowStore

STEPS = 200
RATE = 0.002
"""Length of the first steps, in the logarithm of a gain and in RMS weights of the tensor; it falls to zero."""


@dataclass(frozen=True)
class Adjustment:
    """What is done to the readout of a tensor's rows.

    Attributes:
        change: (2, rows) logarithm of what gain and offset are multiplied by, and what is added then, in `unit`.
        unit: root mean square of the tensor's weights.
    """

    change: Tensor
    unit: float

    def applied(self, read: Tensor) -> Tensor:
        """Weights (rows, ...) that were `read` with the old readout, as the new one reads them."""
        factor, shift = self.change.reshape(2, -1, *(1,) * (read.ndim - 1)).unbind()
        return read * factor.exp() + self.unit * shift

    def of(self, store: RowStore) -> RowStore:
        """The `store` with the new readout."""
        logarithm, shift = self.change.detach().double().cpu().numpy()
        factor = np.exp(logarithm)
        return replace(store, gain=factor * store.gain, offset=factor * store.offset + self.unit * shift)


def fit_readouts(
    workload: Workload, reader: Reader, stores: Mapping[str, RowStore], statistics: GivenWeights,
    progress: Progress = lambda done, total: None,
) -> dict[str, RowStore]:
    """The same stores with fitted readouts.

    Args:
        workload: its calibration inputs are used, never its labels; as many as one forward pass takes.
        reader: of the deployed stores; each step takes a drawing of its own.
        stores: of each tensor.
        statistics: buffers of the network that go with them.
        progress: called with (steps done, steps).

    Raises:
        WorkloadError: logits that cannot be differentiated.
    """
    network, inputs = workload.network, next(batches(samples_for(workload), workload.batch_size))
    with torch.inference_mode(False), torch.enable_grad():
        module, buffers = network.differentiable(), network.replacements(statistics)
        clean = workload.run(inputs).double().clone()
        scale = clean.square().sum().clamp(min=1e-30)
        changes = {name: Adjustment(torch.zeros(2, len(store.gain), device=network.device, requires_grad=True),
                                    float(np.sqrt(np.mean(np.square(workload.weights[name], dtype=np.float64)))))
                   for name, store in stores.items()}
        free = [change.change for change in changes.values()]
        optimiser = torch.optim.Adam(free, lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for step in range(STEPS):
            progress(step, STEPS)
            read = network.replacements(reader.read(step).weights)
            weights = {name: change.applied(read[name]) for name, change in changes.items()}
            moved = attached(network.call(module, inputs, weights | buffers)).double() - clean
            for part, slope in zip(free, torch.autograd.grad(moved.square().sum() / scale, free), strict=True):
                part.grad = slope
            optimiser.step()
            schedule.step()
    return {name: change.of(stores[name]) for name, change in changes.items()}
