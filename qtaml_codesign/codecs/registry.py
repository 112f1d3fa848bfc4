"""Every kind of store by the name that it has in plan files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtaml_codesign.checks import one_of
from qtaml_codesign.codecs.by_groups import Blocks, ByGroups
from qtaml_codesign.codecs.channel_optimised import ChannelOptimised
from qtaml_codesign.codecs.channel_protected import ChannelProtected
from qtaml_codesign.codecs.codec import Codec
from qtaml_codesign.codecs.coded import Coded
from qtaml_codesign.codecs.dropped import Dropped
from qtaml_codesign.codecs.plane_protected import PlaneProtected

Holding = Codec | ByGroups
"""How a tensor is held: in one way, or its rows, or blocks, in several."""

CODECS: dict[str, Callable[[Mapping[str, Any]], Codec]] = {
    "channel-protected": ChannelProtected.from_json,
    "plane-protected": PlaneProtected.from_json,
    "channel-optimised": ChannelOptimised.from_json,
    "coded": Coded.from_json,
    "dropped": Dropped.from_json,
}


def codec_from_json(fields: Mapping[str, Any]) -> Holding:
    """How a tensor is held, from what `to_json` gave.

    Args:
        fields: plain values, with the kind of store as `codec`.

    Raises:
        InputError: an unknown kind, or fields that it refuses.

    Example:
        >>> from qtaml_codesign.bits.formats import BitFormat
        >>> codec = PlaneProtected(BitFormat(4), scale=2.0, depth=1)
        >>> codec_from_json(codec.to_json()) == codec
        True
    """
    kind = fields.get("codec")
    if kind not in ("by-rows", "by-blocks"):
        return _single(fields)
    parts = tuple((tuple(groups), _single(part)) for groups, part in fields["parts"])
    return ByGroups(parts, None if kind == "by-rows" else Blocks(fields["block"], fields["size"]))


def _single(fields: Mapping[str, Any]) -> Codec:
    return CODECS[one_of("kind of store", "codec", fields.get("codec"), CODECS)](fields)
