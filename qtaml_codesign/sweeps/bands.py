"""What a card's own ranges leave open of one crossing of a frontier."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.sampling import thickness_band
from qtaml_codesign.tac.choices import Choice


@dataclass(frozen=True)
class ThicknessBand:
    """One crossing, and where it lies for cards drawn within the ranges of the card.

    Attributes:
        method: protection method.
        amount: budget, or cells per weight.
        thickness_nm: the crossing with the card as it is.
        ends_nm: 5 %, 50 % and 95 % quantile over the cards drawn.
        samples, failed: cards that were drawn, and those of them that do not reach the flip probability.
    """

    method: str
    amount: float
    thickness_nm: float
    ends_nm: tuple[float, float, float]
    samples: int
    failed: int


def band_of(card: DeviceCard, choice: Choice, row: pd.Series, samples: int, seed: int) -> ThicknessBand:
    """The band of a row of a frontier.

    Args:
        card: the device card.
        choice: method and amount of the row.
        row: of `frontier.csv`, with a crossing.
        samples: cards to draw.
        seed: key of the drawing.

    Raises:
        InputError: the card states no range.
    """
    band = thickness_band(card, float(row["flip_probability"]), samples=samples, seed=seed)
    ends = (float(band.low), float(band.median), float(band.high))
    return ThicknessBand(choice.method, choice.amount, float(row["thickness_nm"]), ends, band.samples, band.failed)
