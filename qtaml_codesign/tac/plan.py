"""The protection plan as a value: what to protect and correct, layer by layer, with a JSON form."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from qtaml_codesign.codecs.codewords import Codewords
from qtaml_codesign.codecs.registry import Holding
from qtaml_codesign.errors import PlanError
from qtaml_codesign.tac.layers import AnyLayer, Finite, Frozen, LayerPlan, NonNegative, StoredLayer
from qtaml_codesign.tac.methods import METHODS
from qtaml_codesign.tac.plan_checks import AGAIN, check_layers, check_statistics
from qtaml_codesign.tac.plan_file import (
    PAPER_VERSION,
    PLAN_FORMAT,
    PLAN_VERSION,
    read_content,
    without_repeated_tables,
)

if TYPE_CHECKING:
    Method = str
else:
    Method = Literal[METHODS]

OF_STORES: dict[str, Any] = {"cells": None, "error_floor": None, "statistics": {}, "reason": "", "margin": 1.0}
"""Fields that stand in files of version 3 alone, and what they are where the file does not name them."""


class TacPlan(Frozen):
    """A protection plan: Algorithm 1's answer, or a baseline's, for one network, flip probability and budget.

    Attributes:
        method: how it was made.
        workload: name of the network.
        weights_digest: SHA-256 of the stored tensors the plan was made for.
        budget: protected-bit fraction that was asked for.
        seed: key of every random choice in the plan.
        allocation: `greedy` or `exact`; `none` for methods that do not allocate by score.
        sensitivity: how the Jacobian gains were measured; `none` where they were not: then rho_star, predicted_variance
            and uniform_variance are None.
        rho_star: saturation ratio of the scores ||W||^2 J^2, the predicted V_TAC / V_uniform; where regions differ, of
            the scores weighed with the variance that the cells of each layer give.
        predicted_variance: linear-response E||dz||^2 of the plan, in squared logits.
        uniform_variance: the same for Uniform-MSP at the same budget.
        layers: one `LayerPlan` per stored tensor, in the order of the module; a `StoredLayer` where the method chooses
            the store.
        warnings: what the reader must know, e.g. a budget too small for the residual floor.
        cells: cells per weight that were asked for, of methods that spend them; else None.
        error_floor: Shannon's floor of predicted_variance at the cells taken; None where the method spends no cells.
        statistics: buffers of the network that go with the stored weights, flat, by name: those of normalisation layers
            re-estimated under the flips; empty where it keeps its own.
        reason: why this method, where it was left to `auto`.
        margin: design margin on the raw bit error rate: the store was made for so many times the flip probability, at
            which predicted_variance and error_floor hold; 1 where it was made for the flip probability itself.

    Example:
        >>> plan = TacPlan.from_json(TacPlan(method="none", workload="toy", weights_digest="0" * 64, budget=0.0,
        ...     seed=0, allocation="none", sensitivity="reverse", rho_star=1.0, predicted_variance=2.0,
        ...     uniform_variance=2.0, warnings=(), layers=(LayerPlan(name="fc.weight", weights=10, bits=8,
        ...     encoding="offset_binary", scale=1.0, jacobian_gain=1.0, score=1.0, floor=0, depth=2,
        ...     corrected=False),)).to_json())
        >>> plan.depths, plan.overhead
        ({'fc.weight': 2}, 0.25)
    """

    method: Method
    workload: str
    weights_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    budget: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0)]
    allocation: Literal["greedy", "exact", "none"]
    sensitivity: str
    rho_star: NonNegative | None
    predicted_variance: NonNegative | None
    uniform_variance: NonNegative | None
    layers: Annotated[tuple[AnyLayer, ...], Field(min_length=1)]
    warnings: tuple[str, ...]
    cells: NonNegative | None = None
    error_floor: NonNegative | None = None
    reason: str = ""
    statistics: dict[str, tuple[Finite, ...]] = Field(default_factory=dict)
    margin: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] = 1.0

    def __repr__(self) -> str:
        """What was planned for which network, and what it costs, without tables."""
        spent = f"budget {self.budget:g}" if self.cells is None else f"{self.cells:g} cells"
        margin = "" if self.margin == 1.0 else f", margin {self.margin:g}"
        return (f"TacPlan({self.method}, {spent}{margin}, for {self.workload}: {len(self.layers)} layers, "
                f"{self.weights} weights, {self.cells_per_weight:.4g} cells per weight, {self.overhead:.4%} of its "
                "bits protected)")

    def __str__(self) -> str:
        """As `repr`."""
        return repr(self)

    @property
    def codecs(self) -> dict[str, Holding]:
        """How the memory holds each tensor, by tensor name."""
        return {layer.name: layer.codec for layer in self.layers}

    @property
    def depths(self) -> dict[str, int]:
        """Protected planes by tensor name; tensors of which that cannot be said in one number are left out."""
        return {layer.name: layer.depth for layer in self.layers if isinstance(layer, LayerPlan)}

    @property
    def mean_correction(self) -> dict[str, bool]:
        """Whether each tensor's mean is corrected, by tensor name, where the plan decides that."""
        return {layer.name: layer.corrected for layer in self.layers if isinstance(layer, LayerPlan)}

    @property
    def scores(self) -> dict[str, float]:
        """Score by tensor name; empty where the method ranks by nothing."""
        return {layer.name: layer.score for layer in self.layers if layer.score is not None}

    @property
    def weights(self) -> int:
        """Stored weights: sum_l n_l."""
        return sum(layer.weights for layer in self.layers)

    @property
    def stored_bits(self) -> float:
        """Cells that the weights take: sum_l n_l B_l for plain codes.

        The codewords of a code run on from tensor to tensor; the last one is not full, but has all its checks.
        """
        coded: Counter[Codewords] = Counter()
        for layer in self.layers:
            coded.update({codewords: layer.weights * bits for codewords, bits in layer.codec.coded_bits.items()})
        unused = sum(codewords.cells(round(bits)) - bits * codewords.known.cells_per_bit
                     for codewords, bits in coded.items())
        return sum(layer.weights * layer.codec.cells for layer in self.layers) + unused

    @property
    def coded(self) -> bool:
        """Whether weights are held under a real code."""
        return any(layer.codec.coded_bits for layer in self.layers)

    @property
    def cells_per_weight(self) -> float:
        """Cells for each weight, averaged; the idealised protection of the paper's methods takes none."""
        return self.stored_bits / self.weights

    @property
    def metadata_bits(self) -> int:
        """Bits beside the cells, which the plan takes to be safe: scales and re-estimated statistics."""
        of_layers = sum(layer.codec.metadata_bits for layer in self.layers)
        return of_layers + 32 * sum(map(len, self.statistics.values()))

    @property
    def table_bits(self) -> int:
        """Bits of the tables by which words are read, each once."""
        tables = {table: bits for layer in self.layers for table, bits in layer.codec.tables.items()}
        return sum(tables.values())

    @property
    def protected_bits(self) -> int:
        """Bits protected ideally: sum_l n_l k_l, and one more for each deeper weight."""
        return sum(layer.codec.protected_bits(layer.weights) for layer in self.layers)

    @property
    def overhead(self) -> float:
        """Protected-bit fraction really spent, <= budget."""
        return self.protected_bits / self.stored_bits if self.protected_bits else 0.0

    @property
    def predicted_gain(self) -> float | None:
        """How many times less output variance than Uniform-MSP at the same budget; inf when nothing is left."""
        if self.predicted_variance is None or self.uniform_variance is None:
            return None
        if self.predicted_variance == 0.0:
            return 1.0 if self.uniform_variance == 0.0 else float("inf")
        return self.uniform_variance / self.predicted_variance

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The plan as JSON text; floats round-trip exactly."""
        content = self.model_dump(mode="json")
        of_store = {name: value for name, usual in OF_STORES.items() if (value := content.pop(name)) != usual}
        stores = bool(of_store) or any(isinstance(layer, StoredLayer) for layer in self.layers)
        header = {"format": PLAN_FORMAT, "version": PLAN_VERSION if stores else PAPER_VERSION}
        return json.dumps(without_repeated_tables({**header, **content, **of_store}), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str = "plan") -> TacPlan:
        """The plan back from its JSON text, every field checked.

        Args:
            text: what `to_json` gave.
            where: how an error names it.

        Raises:
            PlanError: not a plan, or one whose fields contradict each other.
        """
        content = read_content(text, where)
        try:
            found = cls.model_validate_json(json.dumps(content))
        except ValidationError as failure:
            raise _plan_error(failure, where) from None
        check_layers(found.layers, where)
        check_statistics(found.statistics, where)
        return found

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON.

        Args:
            path: the file.

        Raises:
            PlanError: the file cannot be written.
        """
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except (OSError, ValueError, TypeError) as failure:
            raise PlanError(
                "the plan cannot be written", where=str(path), rule="the folder exists and can be written to",
                value=getattr(failure, "strerror", None) or failure, next_step="choose another file name",
            ) from failure

    @classmethod
    def load(cls, path: str | Path) -> TacPlan:
        """Read a plan that `save` wrote; nothing is ever unpickled.

        Args:
            path: the file.

        Raises:
            PlanError: the file cannot be read, or is no plan.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError, TypeError) as failure:
            raise PlanError(
                "the plan cannot be read", where=str(path), rule="a readable JSON file written by `codesign plan`",
                value=failure, next_step="make one: codesign plan --workload W --flip-probability P --out FILE",
            ) from failure
        return cls.from_json(text, where=str(path))


def weights_digest(weights: Mapping[str, NDArray[np.floating]]) -> str:
    """SHA-256 over names, shapes and values of the stored tensors: the identity a plan belongs to.

    Args:
        weights: stored tensors by name, in order.
    """
    digest = hashlib.sha256()
    for name, weight in weights.items():
        digest.update(f"{name} {weight.shape} {weight.dtype.str}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def _plan_error(failure: ValidationError, where: str) -> PlanError:
    first = failure.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("protected", "stored"))
    missing = first["type"] == "missing"
    return PlanError(f"the plan's field {field} is {'missing' if missing else 'not usable'}", where=f"{where}, {field}",
                     rule=first["msg"], value="(missing)" if missing else first["input"],
                     next_step=f"correct the field, {AGAIN}")
