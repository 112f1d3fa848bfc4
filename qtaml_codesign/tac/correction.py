"""Mean correction: the factor that undoes the drift, and the decision which layers want it.

Flips shrink a stored weight on average: E[read | w] = a w + c, a = 1 - 2p for symmetric flips of equal rate
(arXiv 2606.00741, Theorem 3.2). Storing W / a restores the mean, and amplifies the noise by 1 / a too; Algorithm 1
step 3 therefore measures each layer alone, with and without the factor, and keeps what disturbs the logits less.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.bits.profile import RegionErrors
from qtaml_codesign.nets.prefix import LayerAlone
from qtaml_codesign.nets.storage import StoredModel
from qtaml_codesign.nets.workload import Workload

PURPOSE = "correction"


def correction_factor(errors: RegionErrors) -> float | None:
    """1 / a, with a the least-squares slope of E[read | w]; None where a <= 0 and no factor can undo the drift.

    Args:
        errors: flip rates of the tensor, before protection: the paper's factor ignores the protected planes.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> from qtaml_codesign.bits.profile import BitErrorProfile
        >>> correction_factor(BitErrorProfile.uniform(0.10, BitFormat(8)).regions[0])
        1.25
    """
    slope = round(ReadLaw(errors).mean_slope(), 15)
    return 1.0 / slope if slope > 0.0 else None


def decide(
    workload: Workload,
    stored: StoredModel,
    errors: Mapping[str, RegionErrors],
    factors: Mapping[str, float | None],
    seed: int,
    trials: int,
) -> dict[str, bool]:
    """Algorithm 1, step 3: True for each tensor whose corrected read-back disturbs the logits less.

    Layer l alone is noisy, the others keep their float weights; both options see the same flips.

    Args:
        workload: its calibration inputs are used, never its labels.
        stored: every tensor stored uncorrected, with its protection depth.
        errors: flip rates per tensor.
        factors: `correction_factor` per tensor; None counts as "do not correct".
        seed: key of the flips; they are drawn apart from those of the trials.
        trials: drawings per layer, R.
    """
    alone = LayerAlone(workload.network, workload.calibration)
    return {
        name: factor is not None and _helps(alone, stored, errors, name, factor, seed, trials)
        for name, factor in factors.items()
    }


def _helps(
    alone: LayerAlone,
    stored: StoredModel,
    errors: Mapping[str, RegionErrors],
    name: str,
    factor: float,
    seed: int,
    trials: int,
) -> bool:
    plain = corrected = 0.0
    for trial in range(trials):
        weight = stored.read(seed, trial, errors, only=name, purpose=PURPOSE).weights[name]
        plain += _deviation(alone, name, weight)
        weight *= weight.dtype.type(factor)
        corrected += _deviation(alone, name, weight)
    return corrected < plain


def layer_deviation(
    alone: LayerAlone, stored: StoredModel, errors: Mapping[str, RegionErrors], name: str, seed: int, trials: int
) -> float:
    """E ||z(noisy layer) - z||^2 per calibration sample: the score of sensitivity-based protection."""
    total = 0.0
    for trial in range(trials):
        read = stored.read(seed, trial, errors, only=name, purpose=PURPOSE)
        total += _deviation(alone, name, read.weights[name])
    return total / trials


def _deviation(alone: LayerAlone, name: str, weight: NDArray[np.floating]) -> float:
    """Squared distance of the logits from the clean ones, summed over outputs, averaged over samples; float64."""
    moved = alone.run(name, weight).double() - alone.clean.double()
    return float(moved.square().sum()) / moved.shape[0]
