"""What a task is, and the name its content gives it.

Two points of a sweep that store the same codes under the same error rates are the same task, whatever their budget,
thickness or card: the trials are run once and shared.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property

from qtaml_codesign.cards import Encoding

ENGINE_VERSION = "4"
"""Raised whenever the same task would give other counts; old results then keep their old names."""


@dataclass(frozen=True)
class StoredLayer:
    """How one tensor lies in the memory, and the error rates of its cells.

    Args:
        name: tensor name in the network.
        bits, encoding: the format of its codes.
        scale: the tensor is divided by this before it is quantised.
        factor: the weights are enlarged by this before they are clipped and quantised (the mean correction).
        depth: how many bit planes are protected, 0..bits.
        one_to_zero, zero_to_one: P(1 -> 0) and P(0 -> 1) of each plane of the raw cells, plane 0 = LSB.
        deeper: how many of the weights protect one plane more.
        block: runs of this many weights share their flips (`CellLaw.block`).
        spread: sigma of the logarithm of the rate from cell to cell (`CellLaw.spread`).
        planes: which planes are protected, where they are not the top `depth` ones.
        readout_gain, offset: a code is worth scale * (readout_gain * level * step + offset).

    Fields with a default are left out of the content where they have it.
    """

    name: str
    bits: int
    encoding: Encoding
    scale: float
    factor: float
    depth: int
    one_to_zero: tuple[float, ...]
    zero_to_one: tuple[float, ...]
    deeper: int = 0
    block: int = 1
    spread: float = 0.0
    readout_gain: float = 1.0
    offset: float = 0.0
    planes: tuple[int, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values; a field at its default is left out, so that older content keeps its name."""
        defaults = {field.name: field.default for field in fields(self) if field.default is not MISSING}
        return {name: value for name, value in asdict(self).items()
                if name not in defaults or value != defaults[name]}


@dataclass(frozen=True)
class SweepTask:
    """Everything that acts on the counts of a trial, and nothing else.

    Example:
        >>> layer = StoredLayer("fc.weight", 8, "offset_binary", 1.0, 1.0, 0, (0.1,) * 8, (0.1,) * 8)
        >>> task = SweepTask(ENGINE_VERSION, "workload digest", (layer,), seed=0)
        >>> task.strong_id == SweepTask(ENGINE_VERSION, "workload digest", (layer,), seed=0).strong_id
        True
    """

    engine: str
    workload_digest: str
    layers: tuple[StoredLayer, ...]
    seed: int

    @cached_property
    def strong_id(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the fields."""
        return content_digest(self.to_json())

    def to_json(self) -> dict[str, object]:
        """Plain values: dictionaries, lists, text and numbers."""
        layers = [layer.to_json() for layer in self.layers]
        return {"engine": self.engine, "workload_digest": self.workload_digest, "layers": layers, "seed": self.seed}


def canonical_json(value: object) -> str:
    """JSON text that depends on the content alone: sorted keys, no blanks, shortest exact floats, no NaN.

    Example:
        >>> canonical_json({"b": 0.1, "a": (1, 2)})
        '{"a":[1,2],"b":0.1}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_digest(value: object) -> str:
    """SHA-256 (hex) of `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _plain(value: object) -> object:
    """Make -0.0 and 0.0 the same, and infinities into text; they are equal content."""
    if isinstance(value, float):
        return (value + 0.0) if math.isfinite(value) else repr(value)
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
