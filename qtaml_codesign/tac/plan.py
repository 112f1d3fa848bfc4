"""The protection plan as a value: what to protect and correct, layer by layer, with a JSON form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.cards import Encoding
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.records import Record
from qtaml_codesign.tac.methods import METHODS
from qtaml_codesign.tac.plan_file import PLAN_FORMAT, PLAN_VERSION, read_content

if TYPE_CHECKING:
    Method = str
else:
    Method = Literal[METHODS]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


_AGAIN = "or make the plan again with `codesign plan`"


class _Frozen(Record):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LayerPlan(_Frozen):
    """One stored tensor of a plan.

    Attributes:
        name: name of the tensor in the module.
        weights: n_l, how many weights it holds.
        bits: B, bits per weight.
        encoding: how a level becomes a code.
        scale: ||W_l||_inf, fixed before the correction; what a stored value of 1 stands for.
        jacobian_gain: J_l, root mean squared response of the logits to one weight of the layer; None where it was not
            measured.
        score: what the method ranks the layer by, ||W_l||_inf^2 J_l^2 for TAC; None where it ranks by nothing.
        floor: smallest depth the method had to respect.
        depth: k_l, how many bit planes are protected; the top ones unless `planes` says which.
        corrected: whether the mean is corrected: factor, gain or offset is not neutral.
        factor: by how much the weights are enlarged before they are clipped to +-scale and written, W' = factor W.
        gain: readout gain; the read weight is scale (gain level step + offset).
        offset: readout offset, in units of the scale.
        deeper: how many of the weights, evenly spread, protect one plane more than `depth`.
        planes: the protected planes, 0 = LSB, where they are not the top `depth` ones; else empty.
    """

    name: str
    weights: Annotated[int, Field(ge=1)]
    bits: Annotated[int, Field(ge=2, le=16)]
    encoding: Encoding
    scale: NonNegative
    jacobian_gain: NonNegative | None
    score: NonNegative | None
    floor: Annotated[int, Field(ge=0)]
    depth: Annotated[int, Field(ge=0)]
    corrected: bool
    factor: Positive = 1.0
    gain: Positive = 1.0
    offset: Finite = 0.0
    deeper: Annotated[int, Field(ge=0)] = 0
    planes: tuple[int, ...] = ()

    @classmethod
    def of_codec(cls, codec: PlaneProtected, **rest: Any) -> LayerPlan:
        """The entry of a tensor that is held by this codec; `rest` are the fields that the codec does not know."""
        own = {field.name: getattr(codec, field.name) for field in fields(codec) if field.name != "format"}
        return cls(bits=codec.format.bits, encoding=codec.format.encoding, **own, **rest)

    @property
    def codec(self) -> PlaneProtected:
        """How the memory holds the tensor."""
        return PlaneProtected(BitFormat(self.bits, self.encoding), self.scale, self.factor, self.depth, self.deeper,
                              self.gain, self.offset, self.planes)


class TacPlan(_Frozen):
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
        rho_star: saturation ratio of the scores ||W||^2 J^2, the predicted V_TAC / V_uniform.
        predicted_variance: linear-response E||dz||^2 of the plan, in squared logits.
        uniform_variance: the same for Uniform-MSP at the same budget.
        layers: one `LayerPlan` per stored tensor, in the order of the module.
        warnings: what the reader must know, e.g. a budget too small for the residual floor.

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
    layers: Annotated[tuple[LayerPlan, ...], Field(min_length=1)]
    warnings: tuple[str, ...]

    @property
    def codecs(self) -> dict[str, PlaneProtected]:
        """How the memory holds each tensor, by tensor name."""
        return {layer.name: layer.codec for layer in self.layers}

    @property
    def depths(self) -> dict[str, int]:
        """Protected planes by tensor name."""
        return {layer.name: layer.depth for layer in self.layers}

    @property
    def mean_correction(self) -> dict[str, bool]:
        """Whether each tensor is corrected, by tensor name."""
        return {layer.name: layer.corrected for layer in self.layers}

    @property
    def scores(self) -> dict[str, float]:
        """Score by tensor name; empty where the method ranks by nothing."""
        return {layer.name: layer.score for layer in self.layers if layer.score is not None}

    @property
    def stored_bits(self) -> int:
        """Bits stored: sum_l n_l B_l."""
        return sum(layer.weights * layer.bits for layer in self.layers)

    @property
    def protected_bits(self) -> int:
        """Bits protected: sum_l n_l k_l, and one more for each deeper weight."""
        return sum(layer.weights * layer.depth + layer.deeper for layer in self.layers)

    @property
    def overhead(self) -> float:
        """Protected-bit fraction really spent, <= budget."""
        return self.protected_bits / self.stored_bits

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
        content = {"format": PLAN_FORMAT, "version": PLAN_VERSION, **self.model_dump(mode="json")}
        return json.dumps(content, indent=1, allow_nan=False)

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
        _check_layers(found, where)
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
    field = ".".join(str(part) for part in first["loc"])
    missing = first["type"] == "missing"
    return PlanError(f"the plan's field {field} is {'missing' if missing else 'not usable'}", where=f"{where}, {field}",
                     rule=first["msg"], value="(missing)" if missing else first["input"],
                     next_step=f"correct the field, {_AGAIN}")


def _check_layers(plan: TacPlan, where: str) -> None:
    for layer in plan.layers:
        try:
            layer.codec.check_size(layer.weights)
        except InputError as failure:
            raise PlanError(failure.what, where=f"{where}, {layer.name}, {failure.where}", rule=failure.rule,
                            value=failure.value, next_step=f"correct the field, {_AGAIN}") from None
        if layer.corrected == ((layer.factor, layer.gain, layer.offset) == (1.0, 1.0, 0.0)):
            raise PlanError("a layer's readout does not fit its mean correction",
                            where=f"{where}, {layer.name}, corrected",
                            rule="corrected is true exactly when factor, gain, offset are not 1, 1, 0",
                            value=(layer.corrected, layer.factor, layer.gain, layer.offset),
                            next_step=f"correct the fields, {_AGAIN}")
    names = [layer.name for layer in plan.layers]
    if len(set(names)) != len(names):
        raise PlanError("a tensor stands in the plan twice", where=f"{where}, layers", rule="one entry per tensor",
                        value=names, next_step="remove the second entry")
