"""What the fields of a plan must be beside one another; a file that was edited by hand may not obey it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.codec import LARGEST, Codec
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.tac.layers import LayerPlan, StoredLayer

AGAIN = "or make the plan again with `codesign plan`"
VARIANCE = "running_var"
"""What torch calls the variance among the statistics of a normalisation layer."""


def check_layers(layers: Sequence[LayerPlan | StoredLayer], where: str) -> None:
    """Refuse layers whose fields contradict one another, and a tensor that stands there twice.

    Args:
        layers: of a plan.
        where: how an error names the plan.

    Raises:
        PlanError: such a layer.
    """
    for layer in layers:
        if isinstance(layer, StoredLayer):
            _check_groups(layer, where)
        else:
            _check_readout(layer, where)
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise PlanError("a tensor stands in the plan twice", where=f"{where}, layers", rule="one entry per tensor",
                        value=names, next_step="remove the second entry")


def check_statistics(statistics: Mapping[str, Sequence[float]], where: str) -> None:
    """Refuse statistics of normalisation layers that none can have.

    Args:
        statistics: values of buffers by name.
        where: how an error names the plan.

    Raises:
        PlanError: a variance below 0, or a number that float32 does not hold.
    """
    for name, values in statistics.items():
        least = 0.0 if name.rpartition(".")[2] == VARIANCE else -LARGEST
        if not all(least <= value <= LARGEST for value in values):
            worst = max(values, key=lambda value: max(least - value, value - LARGEST))
            raise PlanError("the statistics of a normalisation layer cannot be", where=f"{where}, statistics, {name}",
                            rule=f"{least:.3g} <= value <= {LARGEST:.3g}", value=worst,
                            next_step=f"correct the value, {AGAIN}")


def _check_readout(layer: LayerPlan, where: str) -> None:
    try:
        codec: PlaneProtected = layer.codec
        codec.check_size(layer.weights)
    except InputError as failure:
        raise PlanError(failure.what, where=f"{where}, {layer.name}, {failure.where}", rule=failure.rule,
                        value=failure.value, next_step=f"correct the field, {AGAIN}") from None
    if layer.corrected == ((layer.factor, layer.gain, layer.offset) == (1.0, 1.0, 0.0)):
        raise PlanError("a layer's readout does not fit its mean correction",
                        where=f"{where}, {layer.name}, corrected",
                        rule="corrected is true exactly when factor, gain, offset are not 1, 1, 0",
                        value=(layer.corrected, layer.factor, layer.gain, layer.offset),
                        next_step=f"correct the fields, {AGAIN}")


def _check_groups(layer: StoredLayer, where: str) -> None:
    """Refuse a store of more rows than the layer can have, of other blocks, or with a part of another size than its."""
    held, weights = layer.codec, layer.weights
    count, blocks, parts = ((held.count, held.blocks, held.parts) if isinstance(held, ByGroups)
                            else (_rows(held, 1), None, ()))
    sizes = [(_rows(codec, len(groups)), len(groups)) for groups, codec in parts]
    if blocks is None and weights % count:
        rule, value = f"rows of equal length in {weights} weights", f"{count} rows"
    elif blocks is not None and blocks.size != weights:
        rule, value = f"blocks of {weights} weights", f"blocks of {blocks.size}"
    elif any(own != named for own, named in sizes):
        rule, value = "each part has numbers for its rows or blocks", f"numbers for, and named: {sizes}"
    else:
        return
    raise PlanError("the store of a layer does not fit the layer", where=f"{where}, {layer.name}, codec", rule=rule,
                    value=value, next_step=f"correct the field, {AGAIN}")


def _rows(codec: Codec, otherwise: int) -> int:
    """Rows that a codec has numbers for; `otherwise` where one number serves them all."""
    return otherwise if codec.readout is None else len(codec.readout[0])
