"""Methods that choose how weights are held, beyond which planes of plain codes are protected."""

from __future__ import annotations

from collections.abc import Callable

from qtaml_codesign.tac.per_channel import channel_wise
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.request import StoreRequest
from qtaml_codesign.tac.store_design import channel_optimised, joint

STORES: dict[str, Callable[[StoreRequest], TacPlan]] = {
    "channel-optimised": channel_optimised,
    "joint": joint,
    "tac-c": channel_wise,
}
"""By name of the method."""
