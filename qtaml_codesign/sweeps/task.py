"""What a task is, and the name its content gives it.

Two points of a sweep that store the same words under the same error rates are the same task, whatever their budget,
thickness or card: the trials are run once and shared.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.tac.plan_file import without_repeated_tables

ENGINE_VERSION = "4"
"""Raised whenever the same task would give other counts; old results then keep their old names."""


@dataclass(frozen=True)
class TaskGroup:
    """One stored tensor of a task.

    Args:
        name: tensor name in the network.
        codec: how the memory holds it.
        law: flip rates of its raw cells.
    """

    name: str
    codec: Holding
    law: CellLaw

    def to_json(self) -> dict[str, object]:
        """Plain values; the name and the patterns of the law's region act on no count and are left out."""
        law = {name: value for name, value in self.law.to_json().items() if name not in ("name", "tensors")}
        return {"name": self.name, "codec": self.codec.to_json(), "law": law}


@dataclass(frozen=True)
class SweepTask:
    """Everything that acts on the counts of a trial, and nothing else.

    Args:
        engine: `ENGINE_VERSION`.
        workload_digest: `Workload.digest`.
        groups: every stored tensor, in the order in which they are written.
        seed: key of the trials.
        statistics: buffers of the network that go with these weights, by name.

    Example:
        >>> from qtaml_codesign.bits.cell_law import BitErrorProfile
        >>> from qtaml_codesign.codecs.plane_protected import PlaneProtected
        >>> law = BitErrorProfile.uniform(0.1).regions[0]
        >>> group = TaskGroup("fc.weight", PlaneProtected(law.format, scale=1.0), law)
        >>> task = SweepTask(ENGINE_VERSION, "workload digest", (group,), seed=0)
        >>> task.strong_id == SweepTask(ENGINE_VERSION, "workload digest", (group,), seed=0).strong_id
        True
    """

    engine: str
    workload_digest: str
    groups: tuple[TaskGroup, ...]
    seed: int
    statistics: tuple[tuple[str, tuple[float, ...]], ...] = ()

    @cached_property
    def strong_id(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the fields."""
        return content_digest(self.to_json())

    def to_json(self) -> dict[str, object]:
        """Plain values: dictionaries, lists, text and numbers."""
        groups = [group.to_json() for group in self.groups]
        own = {"engine": self.engine, "workload_digest": self.workload_digest, "groups": groups, "seed": self.seed}
        return without_repeated_tables(own | {"statistics": dict(self.statistics)} if self.statistics else own)


def canonical_json(value: object) -> str:
    """JSON text that depends on the content alone: sorted keys, no blanks, shortest exact floats.

    Args:
        value: plain values: dictionaries, lists, tuples, text and numbers; infinities and NaN become text.

    Raises:
        TypeError: something else.

    Example:
        >>> canonical_json({"b": 0.1, "a": (1, 2)})
        '{"a":[1,2],"b":0.1}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_digest(value: object) -> str:
    """SHA-256 (hex) of `canonical_json`.

    Args:
        value: plain values.
    """
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
