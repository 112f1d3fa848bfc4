"""What the tests of brought networks share: a few steps of training, and what must hold of any workload."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import qtaml_codesign as qc

KEY = 20260913
STANDARD_DEVIATIONS = 6.2
"""A binomial count of thousands of cells is farther from its mean with probability below 1e-9."""


def trained(model: nn.Module, inputs: Tensor, targets: Tensor,
            loss: Callable[..., Tensor] = nn.functional.cross_entropy, steps: int = 60) -> nn.Module:
    """The model after some steps of Adam on all samples."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        optimiser.step()
    return model


def loses_with_p(workload: qc.Workload, bits: int = 8, trials: int = 8) -> None:
    """The metric gets worse from p = 0.02 to 0.1 to 0.4, and as many bits flip as they should."""
    plan = qc.plan(workload, "none", 0.1, bits=bits)
    found = [qc.evaluate(workload, plan, p, trials=trials) for p in (0.0, 0.02, 0.1, 0.4)]
    margins = [workload.metric.margin(result.value, workload.clean_value) for result in found]
    assert abs(margins[0]) < 0.2 * abs(margins[3]), margins
    assert margins[1] > margins[2] > margins[3], margins
    for p, result in zip((0.02, 0.1, 0.4), found[1:], strict=True):
        cells = result.counts.bits_exposed
        assert cells == trials * bits * sum(weight.size for weight in workload.weights.values())
        spread = (cells * p * (1.0 - p)) ** 0.5
        assert abs(result.counts.bits_flipped - cells * p) < STANDARD_DEVIATIONS * spread
