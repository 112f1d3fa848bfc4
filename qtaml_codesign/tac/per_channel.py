"""Tunnelling-aware compensation channel by channel, in the paper's own currency: method `tac-c`.

The cells are those of the plain store, of which ideal protection keeps whole planes; what is spent is protected bits.
What the paper decides for each tensor is decided for each row, or output channel, and by the expected squared error of
the logits (`row_stores.py`): scale, depth, and how the cells are read; planes left open are digits of a base below 2.
Where the flips disturb the network beyond first order, gains are measured again at weights as they are read, norms get
statistics of the noisy network, and the readouts are fitted on the calibration inputs (`readout_fit.py`). No labels, no
retraining: nothing but 64 unlabelled inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.memory.reader import Reader
from qtaml_codesign.nets.weight_gains import gains_method, weight_gains
from qtaml_codesign.tac.cell_allocation import allocate_cells
from qtaml_codesign.tac.groups import Gains
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.plan import TacPlan, weights_digest
from qtaml_codesign.tac.readout_fit import fit_readouts
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.row_stores import Array, RowParts, RowStore, TensorRows, floored
from qtaml_codesign.tac.store_design import gains_of, statistics_of

READINGS = 3
"""Drawings of the memory that gains are averaged over."""

Statistics = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Parts(RowParts):
    """Which parts of the design act; all by default.

    Attributes:
        row_scale, clipping, readout, nearest_mean, open_base: of each tensor (`RowParts`).
        row_depth: a depth for each row instead of one for the tensor.
        statistics: those of normalisation layers are estimated again under the flips.
        noisy_gains: gains are measured at weights as they are read too, and the stores designed anew.
        fitted: gain and offset of each row are fitted to the clean logits.

    Example:
        >>> Parts.none().clipping, Parts().clipping
        (False, True)
    """

    row_depth: bool = True
    statistics: bool = True
    noisy_gains: bool = True
    fitted: bool = True

    @classmethod
    def none(cls) -> Parts:
        """Plain codes, in base 2, with a scale and a depth for each tensor."""
        return cls(**dict.fromkeys((field.name for field in fields(cls)), False))


ALL_PARTS = Parts()


def channel_wise(request: StoreRequest, parts: Parts = ALL_PARTS) -> TacPlan:
    """The plan that spends a budget of protected bits row by row: method `tac-c`.

    Args:
        request: with a budget, the share of all bits that may be protected.
        parts: what acts, for ablations.

    Raises:
        WorkloadError: logits that cannot be differentiated.

    Example:
        >>> import qtaml_codesign as qc
        >>> plan = qc.plan("small-cnn", method="tac-c", flip_probability=0.1, budget=0.0035)
        >>> plan.overhead <= 0.0035, plan.layers[1].codec.summary
        (True, '0 of 8 planes protected, the others in base 1, scale by row')
    """
    clean = gains = gains_of(request.workload)
    stores, error = design_rows(request, gains, parts)
    statistics = _statistics(request, stores, parts)
    if parts.noisy_gains:
        gains = _noisy_gains(request, clean, stores, statistics)
        stores, error = design_rows(request, gains, parts)
        statistics = _statistics(request, stores, parts)
    if parts.fitted:
        buffers = {name: np.array(values, np.float32) for name, values in statistics.items()}
        stores = fit_readouts(request.workload, _reader(request, stores, "readout"), stores, buffers,
                              lambda done, total: request.progress("correction", done, total))
        statistics = _statistics(request, stores, parts)
    return _plan(request, clean, stores, statistics, error)


def design_rows(request: StoreRequest, gains: Gains, parts: Parts) -> tuple[dict[str, RowStore], float]:
    """How each tensor is held, and the squared error of the logits that the gains foretell.

    Args:
        request: as for `channel_wise`.
        gains: of every weight.
        parts: what acts.
    """
    tensors = {name: _rows(weight, gains[name], request, name, parts)
               for name, weight in request.workload.weights.items()}
    groups = [(name, rows) for name, tensor in tensors.items() for rows in _shared(len(tensor.weights), parts)]
    costs = [np.array(tensors[name].depths) * float(tensors[name].weights[rows].size) for name, rows in groups]
    errors = [tensors[name].errors[:, rows].sum(axis=1) for name, rows in groups]
    bits = sum(tensor.weights.size * tensor.law.format.bits for tensor in tensors.values())
    chosen = allocate_cells(costs, errors, np.floor(request.budget * bits + 1e-6)).tolist()
    depths = {name: np.zeros(len(tensor.weights), np.int64) for name, tensor in tensors.items()}
    for (name, rows), depth in zip(groups, chosen, strict=True):
        depths[name][rows] = depth
    error = sum(float(found[depth]) for found, depth in zip(errors, chosen, strict=True))
    return {name: tensor.store(depths[name]) for name, tensor in tensors.items()}, error


def _rows(
    weight: NDArray[np.floating], gains: NDArray[np.float32], request: StoreRequest, name: str, parts: Parts
) -> TensorRows:
    rows = len(weight) if weight.ndim > 1 else 1
    flat: tuple[Array, Array] = (weight.reshape(rows, -1).astype(np.float64), floored(gains).reshape(rows, -1))
    return TensorRows(*flat, request.laws[name], parts)


def _shared(rows: int, parts: Parts) -> list[NDArray[np.int64]]:
    """Rows that have one depth: each on its own, or all."""
    every = np.arange(rows)
    return list(every[:, None]) if parts.row_depth else [every]


def _reader(request: StoreRequest, stores: Mapping[str, RowStore], purpose: str) -> Reader:
    held = {name: store.holding for name, store in stores.items()}
    model = deploy(request.workload.weights, held, request.laws)
    return model.prepare(request.seed, request.workload.network.device, purpose)


def _statistics(request: StoreRequest, stores: Mapping[str, RowStore], parts: Parts) -> Statistics:
    if not parts.statistics:
        return {}
    return statistics_of(request, {name: store.holding for name, store in stores.items()})


def _noisy_gains(
    request: StoreRequest, clean: Gains, stores: Mapping[str, RowStore], statistics: Statistics
) -> Gains:
    """Geometric mean of the clean gains and those at weights as they are read, averaged over some drawings.

    At the noisy point a strongly protected tensor looks as if noise were to come to it on top of that of all others,
    at the clean one a weakly protected tensor as if it were alone. Between the two lies what noise really moves.
    """
    reader, found = _reader(request, stores, "gains"), list[Gains]()
    buffers = {name: np.array(values, np.float32) for name, values in statistics.items()}
    for trial in range(READINGS):
        request.progress("scores", trial, READINGS)
        found.append(weight_gains(request.workload, weights={**reader.read(trial).weights, **buffers},
                                  seed=request.seed + trial))
    return {name: np.sqrt(clean[name] * np.mean([one[name] for one in found], axis=0)) for name in clean}


def _plan(
    request: StoreRequest, gains: Gains, stores: Mapping[str, RowStore], statistics: Statistics, error: float
) -> TacPlan:
    weights = request.workload.weights
    mean_gain = {name: float(gain.mean(dtype=np.float64)) for name, gain in gains.items()}
    score = {name: float(np.abs(weight).max()) ** 2 * mean_gain[name] for name, weight in weights.items()}
    return TacPlan(
        method=request.method, workload=request.workload.name, weights_digest=weights_digest(weights),
        budget=request.budget, seed=request.seed, allocation="none", sensitivity=gains_method(request.workload),
        rho_star=None, predicted_variance=error, uniform_variance=None, warnings=(), statistics=statistics,
        layers=tuple(StoredLayer(name=name, weights=weight.size, codec=stores[name].holding, score=score[name],
                                 jacobian_gain=float(np.sqrt(mean_gain[name])))
                     for name, weight in weights.items()),
    )
