"""Several device cards beside each other: how often their cells flip, and how thick their oxides would have to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.errors import InputError
from qtaml_codesign.physics.flip import flip_probability, log_slope_per_nm, thickness_for

TARGETS: Final = (0.1, 1e-3, 1e-6)
"""Flip probabilities whose thickness is told."""
DRAWN: Final = (0.4, 1e-12)
"""Flip probabilities between which a curve is drawn, inside the card's validity."""


def compare_cards(cards: Sequence[DeviceCard]) -> pd.DataFrame:
    """A row for each card, about its base cell.

    Args:
        cards: two or more, each with a name of its own.

    Returns:
        card, thickness_nm, log10_flip_probability, nm_per_decade = ln(10) / |d ln p / d d| (how much oxide divides p by
        ten), and the thickness in nm for each p of `TARGETS` (nm_at_0.1 ...), NaN where none inside the card's validity
        gives it.

    Raises:
        InputError: fewer than two cards, or two of one name.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> table = compare_cards([load_card("3nm"), load_card("5nm")])
        >>> table["card"].tolist(), table["nm_per_decade"].round(4).tolist()
        (['3nm', '5nm'], [0.0653, 0.0411])
    """
    names = [card.name for card in cards]
    if len(set(names)) < len(names) or len(names) < 2:
        raise InputError("cards are compared by their names", where="device (--device)",
                         rule="two or more cards, each with a name of its own", value=", ".join(names),
                         next_step="name further cards, or give a copied card another `name:`")
    rows = [(card.name, card.barrier.thickness_nm, float(flip_probability(card).log10_probability),
             _nm_per_decade(card), *(_thickness_nm(card, target) for target in TARGETS))
            for card in cards]
    columns = ("card", "thickness_nm", "log10_flip_probability", "nm_per_decade")
    return pd.DataFrame(rows, columns=[*columns, *(f"nm_at_{target:g}" for target in TARGETS)])


def flips_over_thickness(card: DeviceCard, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve of one card: thickness in nm, rising, and log10 of the flip probability of its base cell, (points,).

    Args:
        card: the device card.
        points: of the curve, which runs from p = 0.4 to 1e-12 as far as the card is valid.
    """
    low, high = (end if math.isnan(found := _thickness_nm(card, target)) else found
                 for target, end in zip(DRAWN, card.validity.thickness_nm, strict=True))
    thickness = np.linspace(low, high, points)
    return thickness, np.asarray(flip_probability(card, thickness).log10_probability)


def _nm_per_decade(card: DeviceCard) -> float:
    slope = log_slope_per_nm(card)
    return -math.log(10.0) / slope if slope else math.inf  # where what flips does not tunnel, no oxide helps


def _thickness_nm(card: DeviceCard, target: float) -> float:
    try:
        return thickness_for(card, target)
    except InputError:  # none inside its validity
        return math.nan
