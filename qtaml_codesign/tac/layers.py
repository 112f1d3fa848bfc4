"""The stored tensors of a plan: what is decided for each."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, InstanceOf, PlainSerializer, Tag

from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.cards import Encoding
from qtaml_codesign.codecs.by_groups import ByGroups
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.plane_protected import PlaneProtected
from qtaml_codesign.codecs.registry import codec_from_json
from qtaml_codesign.errors import InputError
from qtaml_codesign.records import Record

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Frozen(Record):
    """A part of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LayerPlan(Frozen):
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

    @property
    def shape(self) -> tuple[Hashable, ...]:
        """What changes by steps from one flip probability to the next: depth, planes, what is corrected."""
        return (self.depth, self.deeper, self.planes, self.factor != 1.0, self.gain != 1.0, self.offset != 0.0)


def _as_holding(given: Any) -> Any:
    """How a tensor is held, from its plain values; refused as pydantic expects it."""
    if not isinstance(given, Mapping):
        return given
    try:
        return codec_from_json(given)
    except InputError as failure:
        raise ValueError(f"{failure.what}: {failure.where}: {failure.rule}") from None
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as failure:
        raise ValueError(f"the fields that its kind of store writes: {failure!r}") from None


class StoredLayer(Frozen):
    """One stored tensor of a plan that chooses the store itself.

    Attributes:
        name: name of the tensor in the module.
        weights: n_l, how many weights it holds.
        jacobian_gain: J_l, as for `LayerPlan`; None where it was not measured.
        score: what the method weighs the layer's error by; None where it ranks by nothing.
        codec: how the memory holds it.
    """

    name: str
    weights: Annotated[int, Field(ge=1)]
    jacobian_gain: NonNegative | None
    score: NonNegative | None
    codec: Annotated[InstanceOf[Codec] | InstanceOf[ByGroups], BeforeValidator(_as_holding),
                     PlainSerializer(lambda held: held.to_json())]

    def __repr__(self) -> str:
        """Name, size and store, without tables."""
        return f"StoredLayer({self.name}, {self.weights} weights, {self.codec.cells:.4g} cells: {self.codec.summary})"

    def __str__(self) -> str:
        """As `repr`."""
        return repr(self)

    @property
    def shape(self) -> tuple[Hashable, ...]:
        """What changes by steps from one flip probability to the next: cells and protection of the groups."""
        held = self.codec
        parts = held.parts if isinstance(held, ByGroups) else (((), held),)
        return tuple((groups, type(codec), codec.cells, codec.protected_bits(1)) for groups, codec in parts)


AnyLayer = Annotated[
    Annotated[LayerPlan, Tag("protected")] | Annotated[StoredLayer, Tag("stored")],
    Discriminator(lambda given: "stored" if "codec" in given or isinstance(given, StoredLayer) else "protected"),
]
"""A layer of a plan: plain codes with protected planes, or a store of its own."""
