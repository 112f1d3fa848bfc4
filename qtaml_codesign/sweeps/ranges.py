"""The ranges that a card's own numbers leave to each answer of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.frontier import CROSSING
from qtaml_codesign.physics.corners import Corner, corners


@dataclass(frozen=True)
class CardRange:
    """One crossing of a frontier, and where it lies at the ends of each range of the card, one field at a time."""

    method: str
    budget: float
    thickness_nm: float
    flip_probability: float
    corners: tuple[Corner, ...]


def states_ranges(card: DeviceCard) -> bool:
    """Whether any number of the card has a range."""
    return any(origin.low is not None or origin.high is not None for origin in card.provenance.values())


def has_cells_apart(card: DeviceCard) -> bool:
    """Whether regions or bit planes have numbers of their own: their flip rates do not follow the base cell's."""
    return bool(card.regions or card.bit_planes)


def card_ranges(card: DeviceCard, frontier: pd.DataFrame) -> tuple[CardRange, ...]:
    """For each crossing of `Frontier.to_frame()`; empty where the card states no range, or `has_cells_apart`.

    Where all cells are alike the accuracy depends on the card through the flip probability alone, and the answer keeps
    its own.
    """
    if not states_ranges(card) or has_cells_apart(card):
        return ()
    rows = frontier[(frontier["status"] == CROSSING) & frontier["flip_probability"].between(0.0, 1.0, "neither")]
    return tuple(
        CardRange(str(row["method"]), float(row["budget"]), float(row["thickness_nm"]), float(row["flip_probability"]),
                  corners(card, float(row["flip_probability"])))
        for _, row in rows.iterrows()
    )
