"""What a card can never show: cells that all flip, cells that never do, and no range to sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from qtaml_codesign.cards import DeviceCard
from qtaml_codesign.physics.effect_validity import idle_numbers
from qtaml_codesign.physics.flip import flip_probability

SURE: Final = 1e-6
"""Cells that keep their bit more rarely than this say nothing about it."""

NEVER: Final = 1e-12
"""Flips rarer than this are not seen in the trials of a sweep, which draw some 1e9 bits."""
_LOG_NEVER = math.log(NEVER)


def prospects(card: DeviceCard) -> tuple[str, ...]:
    """What to know about a card before it is used; empty when its own thickness and its sweep can both tell something.

    Example:
        >>> from qtaml_codesign.cards import load_card
        >>> prospects(load_card("3nm"))
        ()
    """
    return tuple(_doubts(card))


def _doubts(card: DeviceCard) -> Iterator[str]:
    own = flip_probability(card)
    yield from idle_numbers(own.cell)
    log_p = float(own.log_probability)
    if float(own.log_complement) < math.log(SURE):
        yield (f"every bit flips at the card's own thickness, {own.thickness_nm:g} nm (p = 1 to {SURE:g}): the memory "
               "holds nothing; check the window, the threshold and the units")
    if log_p < _LOG_NEVER:
        yield (f"no bit is ever seen to flip at the card's own thickness, {own.thickness_nm:g} nm (ln p = {log_p:.4g}):"
               " accuracy there is that of quantisation alone")
    if card.sweep is None:
        yield ("no sweep range: `codesign sweep` and `frontier` need --thickness, or `sweep: {thickness_nm: [A, B]}` "
               "on the card")
        return
    thin, thick = (float(flip_probability(card, end).log_probability) for end in card.sweep.thickness_nm)
    if thin < _LOG_NEVER:
        yield ("even at the thinnest oxide of the sweep range no bit is seen to flip "
               f"(ln p = {thin:.4g}): start it thinner")
    if thick > math.log(0.5):
        yield (f"even at the thickest oxide of the sweep range p = {math.exp(thick):.3g}, where nothing can be read: "
               "end it thicker")
