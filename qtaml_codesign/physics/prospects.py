"""What a card can never show: cells that all flip, cells that never do, and no range to sweep."""

from __future__ import annotations

import math
from typing import Final

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.flip import flip_probability

SURE: Final = 1e-6
"""Cells that keep their bit more rarely than this say nothing about it."""

NEVER: Final = 1e-12
"""Flips rarer than this are not seen in the trials of a sweep, which draw some 1e9 bits."""


def prospects(card: DeviceCard) -> tuple[str, ...]:
    """What to know about a card before it is used; empty when its own thickness and its sweep can both tell something.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> prospects(load_card("3nm"))
        ()
    """
    own = flip_probability(card)
    log_p, log_rest = float(own.log_probability), float(own.log_complement)
    found = [
        (log_rest < math.log(SURE), f"every bit flips at the card's own thickness, {own.thickness_nm:g} nm "
         f"(p = 1 to {SURE:g}): the memory holds nothing; check the window, the threshold and the units"),
        (log_p < math.log(NEVER), f"no bit is ever seen to flip at the card's own thickness, {own.thickness_nm:g} nm "
         f"(ln p = {log_p:.4g}): accuracy there is that of quantisation alone"),
        (card.sweep is None, "no sweep range: `codesign sweep` and `frontier` need --thickness, or "
         "`sweep: {thickness_nm: [A, B]}` on the card"),
        *_of_sweep(card),
    ]
    return tuple(text for applies, text in found if applies)


def _of_sweep(card: DeviceCard) -> list[tuple[bool, str]]:
    if card.sweep is None:
        return []
    thin, thick = (float(flip_probability(card, end).log_probability) for end in card.sweep.thickness_nm)
    return [
        (thin < math.log(NEVER),
         f"even at the thinnest oxide of the sweep range no bit is seen to flip (ln p = {thin:.4g}): start it thinner"),
        (thick > math.log(0.5),
         f"even at the thickest oxide of the sweep range p = {math.exp(thick):.3g}, where nothing can be read: end it "
         "thicker"),
    ]
