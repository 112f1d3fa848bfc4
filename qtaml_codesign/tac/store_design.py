"""Plans that choose the store: every tensor, row or block of it is held in the way that serves the output best.

A group g of n_g weights with Jacobian gain J_g^2 per weight and variance v_g about the mean of its rows, held in a way
of relative error d, adds n_g J_g^2 v_g d to the expected squared error of the logits, if errors are independent. They
are not: what is read is a posterior mean, whose slope on the weight is 1 - d. So the part d^2 of the error shrinks
all rows of a tensor together, and the logits see K times the sum over weights; K is measured once for each tensor
(`coherences_of`), and n_g J_g^2 v_g (d + (K - 1) d^2) is made small. One Lagrange multiplier on the cells shares a
budget out over all groups (`cell_allocation.py`). Where the network keeps statistics of its
normalisation, they are estimated again under the flips, on the unlabelled calibration inputs.

Blocks of the memory with a mean and a scale of their own stand in the place of rows, where they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qtaml_codesign.codecs.by_groups import Blocks, ByGroups, Groups, Place, in_groups
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.ecc.limits import capacity_of_channel
from qtaml_codesign.ecc.rate_distortion import error_floor
from qtaml_codesign.errors import InputError
from qtaml_codesign.memory.deploy import deploy
from qtaml_codesign.nets.inputs import sample_count
from qtaml_codesign.nets.normalisation import reestimated_statistics
from qtaml_codesign.nets.weight_gains import gains_method, weight_gains
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.tac.cell_allocation import allocate_cells
from qtaml_codesign.tac.groups import Gains, Group, small_groups, stakes, tensor_group
from qtaml_codesign.tac.layers import StoredLayer
from qtaml_codesign.tac.plan import TacPlan, weights_digest
from qtaml_codesign.tac.request import StoreRequest, with_margin
from qtaml_codesign.tac.ways import DROP, Way, coded_ways, word_ways

STATISTICS = "statistics"
READINGS = 64
"""Drawings that the statistics of normalisation layers are estimated from."""

LEAST_DROPPED = 10.0
"""What a dropped row counts at least, in errors of reading it as its mean: first order does not see that it is gone.

The shipped transformer keeps 0.96 of its accuracy at 4 cells per weight with it, and 0.74 without.
"""


def channel_optimised(request: StoreRequest) -> TacPlan:
    """Every tensor in words of its own length, nothing protected: method `channel-optimised`.

    Args:
        request: with cells per weight, on average over the tensors.
    """
    gains = gains_of(request.workload)
    groups = [group for name, weight in request.workload.weights.items()
              for group in tensor_group(name, weight, gains, request.block)]
    worst = request.design_laws
    by_law = {law: [DROP, *word_ways(law)] for law in dict.fromkeys(worst.values())}
    return design_store(request, groups, {name: by_law[law] for name, law in worst.items()})


def joint(request: StoreRequest) -> TacPlan:
    """Every row dropped, in channel-optimised words, or in bits under a real code, all cells flipping: method `joint`.

    Args:
        request: with cells per weight, on average over all rows; of blocks, if it has some, instead.
    """
    gains = gains_of(request.workload)
    groups = [group for name, weight in request.workload.weights.items()
              for group in small_groups(name, weight, gains, request.block)]
    by_law = {law: [DROP, *word_ways(with_margin(law, request.margin)),
                    *coded_ways(law, margin=request.margin, progress=request.progress)]
              for law in dict.fromkeys(request.laws.values())}
    return design_store(request, groups, {name: by_law[law] for name, law in request.laws.items()})


def design_store(request: StoreRequest, groups: Sequence[Group], ways: Mapping[str, Sequence[Way]]) -> TacPlan:
    """The plan that holds each group in one of its tensor's ways, within the cells of the request.

    Args:
        request: what is asked for; `cells` per weight.
        groups: every weight in one of them.
        ways: by tensor.
    """
    coherences = coherences_of(request.workload, request.block)
    chosen = _chosen(groups, ways, coherences, checked(request.cells) * sum(group.size for group in groups))
    held = _held(request, groups, chosen)
    gains = gains_of(request.workload)
    return TacPlan(
        method=request.method, workload=request.workload.name, weights_digest=weights_digest(request.workload.weights),
        budget=request.budget, seed=request.seed, allocation="none", rho_star=None,
        sensitivity=gains_method(request.workload),
        predicted_variance=float(sum(way.error * group.stake for way, group in zip(chosen, groups, strict=True))),
        uniform_variance=None, warnings=_warnings(chosen),
        cells=request.cells, error_floor=shannon_floor(request, _taken(groups, chosen)),
        statistics=statistics_of(request, held), margin=request.margin,
        layers=tuple(
            StoredLayer(name=name, weights=weight.size, codec=held[name],
                        jacobian_gain=float(np.sqrt(gains[name].mean(dtype=np.float64))),
                        score=float(stakes(weight, gains[name], request.block).sum()))
            for name, weight in request.workload.weights.items()
        ),
    )


def _taken(groups: Sequence[Group], chosen: Sequence[Way]) -> float:
    """Cells per weight that the groups take in their ways."""
    cells = sum(way.cells * group.size for group, way in zip(groups, chosen, strict=True))
    return cells / sum(group.size for group in groups)


def shannon_floor(request: StoreRequest, cells: float) -> float:
    """Least expected squared error of the logits that any store of so many cells can reach, by reverse water-filling.

    Every row of every tensor, or every block where they have means and scales, is a Gaussian source of its own. Where
    regions of the memory differ, all cells are taken to be as good as the best of them, at the rates that the store is
    made for.

    Args:
        request: of which network, in which memory.
        cells: per weight.
    """
    gains, sizes, losses = gains_of(request.workload), list[int](), list[float]()
    for name, weight in request.workload.weights.items():
        for group in small_groups(name, weight, gains, request.block):
            sizes.append(group.size)
            losses.append(group.stake / group.size)
    capacity = max(float(np.max(capacity_of_channel(law.one_to_zero, law.zero_to_one)))
                   for law in request.design_laws.values())
    return float(error_floor(losses, sizes, 1.0, cells, capacity))


def checked(cells: float | None) -> float:
    """The `cells` of a request of a method that spends them.

    Raises:
        InputError: none are given.
    """
    if cells is None:
        raise InputError("no cells to spend", where="cells", rule="a number > 0", value=None,
                         next_step="give cells per weight, such as 8")
    return cells


def _chosen(
    groups: Sequence[Group], ways: Mapping[str, Sequence[Way]], coherences: Mapping[str, float], cells: float
) -> list[Way]:
    """The way of each group within so many cells: of all ways, with room for the checks of every code's last word, or
    of those without a code, whichever loses less."""
    padding = sum(max(way.padding for way in some) for some in {tuple(some) for some in ways.values()})
    tries = [_within(groups, ways, coherences, cells - padding)]
    if padding:
        plain = {name: [way for way in some if not way.padding] for name, some in ways.items()}
        tries.append(_within(groups, plain, coherences, cells))
    return min(tries, key=lambda found: found[0])[1]


def _within(
    groups: Sequence[Group], ways: Mapping[str, Sequence[Way]], coherences: Mapping[str, float], cells: float
) -> tuple[float, list[Way]]:
    """What all groups lose within so many cells, and the way of each."""
    costs = [np.array([way.cells for way in ways[group.tensor]]) * group.size for group in groups]
    losses = [np.array([_loss(way, coherences[group.tensor]) for way in ways[group.tensor]]) * group.stake
              for group in groups]
    found = allocate_cells(costs, losses, cells).tolist()
    lost = float(sum(row[option] for row, option in zip(losses, found, strict=True)))
    return lost, [ways[group.tensor][option] for group, option in zip(groups, found, strict=True)]


def _loss(way: Way, coherence: float) -> float:
    """What the error of a way counts, in independent errors: its coherent part counts more."""
    loss = way.error + (coherence - 1.0) * way.error**2
    return loss if way.cells else max(loss, LEAST_DROPPED)


def _warnings(chosen: Sequence[Way]) -> tuple[str, ...]:
    """What the reader must know of a choice."""
    if any(way.cells for way in chosen):
        return ()
    return ("so few cells buy nothing: every weight is read as the mean of its row",)


def _held(request: StoreRequest, groups: Sequence[Group], chosen: Sequence[Way]) -> dict[str, Holding]:
    """How each tensor is held, when each group has its way."""
    by_way: dict[str, dict[Way, list[int]]] = {}
    for group, way in zip(groups, chosen, strict=True):
        by_way.setdefault(group.tensor, {}).setdefault(way, []).extend(group.members or ())
    held: dict[str, Holding] = {}
    for name, parts in by_way.items():
        weight = request.workload.weights[name]
        if request.block is not None:
            held[name] = _in_blocks(weight, Blocks(request.block, weight.size), parts)
        elif len(parts) == 1:
            held[name] = next(iter(parts)).hold(weight)
        else:
            held[name] = ByGroups(tuple((tuple(rows), way.hold(weight[rows])) for way, rows in parts.items()))
        request.progress("stores", len(held), len(by_way))
    return held


def _in_blocks(weight: NDArray[np.floating], blocks: Blocks, parts: Mapping[Way, Sequence[int]]) -> ByGroups:
    """A tensor whose blocks are held in several ways, by way; in one way if it has no blocks. A short one is alone."""
    found: list[tuple[Groups, Codec]] = []
    for way, members in parts.items():
        own = tuple(members) or tuple(range(blocks.count))
        cuts = (own[:-1], own[-1:]) if own[-1:] == blocks.short else (own,)
        found += [(groups, way.hold(Place(groups, weight.shape, blocks.block).take(weight))) for groups in cuts
                  if groups]
    return ByGroups(tuple(found), blocks)


def statistics_of(request: StoreRequest, held: Mapping[str, Holding]) -> dict[str, tuple[float, ...]]:
    """The network's normalisation statistics under the flips of a store; none where it keeps none.

    Args:
        request: for which workload, laws and seed.
        held: how each tensor is held.
    """
    reader = deploy(request.workload.weights, held, request.laws).prepare(request.seed, purpose=STATISTICS)
    return reestimated_statistics(request.workload, (reader.read(trial).weights for trial in range(READINGS)))


@lru_cache(maxsize=4)
def gains_of(workload: Workload) -> Gains:
    """Jacobian gain of every weight, measured once for the plans of a workload.

    One more input is taken to move all weights of a tensor alike: rows that no calibration input reaches, such as those
    of an embedding for other tokens, are not worthless.
    """
    samples = sample_count(workload.calibration)
    return {name: (samples * gain + gain.mean(dtype=np.float64).astype(np.float32)) / np.float32(samples + 1)
            for name, gain in weight_gains(workload).items()}


@lru_cache(maxsize=4)
def coherences_of(workload: Workload, block: int | None = None) -> Mapping[str, float]:
    """How much more the logits move when all rows of a tensor shrink to their means together, by tensor; 1 or more.

    In units of the sum over its weights, each on its own (`stakes`). Measured once for the plans of a workload, on the
    calibration inputs.

    Args:
        workload: network and calibration inputs.
        block: weights of a block, whose means are taken in place of those of rows.
    """
    clean, gains, found = workload.run(workload.calibration).double(), gains_of(workload), dict[str, float]()
    for name, weight in workload.weights.items():
        alone = float(stakes(weight, gains[name], block).sum())
        moved = workload.run(workload.calibration, {name: _shrunk(weight, block)}).double() - clean
        together = float(moved.square().sum()) / len(clean)
        found[name] = max(1.0, together / alone) if alone > 0.0 else 1.0
    return found


def _shrunk(weight: NDArray[np.floating], block: int | None) -> NDArray[np.float32]:
    """The mean of its row, or block, in the place of each weight."""
    means = [np.broadcast_to(part.mean(axis=tuple(range(1, part.ndim)), keepdims=True, dtype=np.float64), part.shape)
             for part in in_groups(weight, block)]
    return np.concatenate([part.reshape(-1) for part in means]).reshape(weight.shape).astype(np.float32)
