"""Several cards in one table and one figure: `codesign flip` with more than one --device."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.cards import DeviceCard


def print_comparison(cards: list[DeviceCard], csv: Path | None, others: dict[str, Any]) -> None:
    """The table of `compare_cards` on the screen.

    Args:
        cards: two or more.
        csv: file to write it to; None: none.
        others: options of one card alone, with what was given.

    Raises:
        InputError: one of these was given, or the cards cannot be compared.
    """
    from qtaml_codesign.commands.files import write_csv
    from qtaml_codesign.commands.show import power_of_ten, print_table, say, short
    from qtaml_codesign.physics.comparison import compare_cards

    for option, given in others.items():
        if given:
            raise InputError("an option of one card beside several", where=option, rule="one --device beside it",
                             value=", ".join(card.name for card in cards), next_step=f"drop {option}, or give one card")
    table = compare_cards(cards)
    if csv is not None:
        write_csv(csv, list(table.columns), table.itertuples(index=False), "--csv")
    rows = [[name, short(own), power_of_ten(log10), *("none" if math.isnan(cell) else short(cell, 4) for cell in rest)]
            for name, own, log10, *rest in table.itertuples(index=False)]
    heads = ("card", "thickness_nm", "flip_probability", *table.columns[3:])
    print_table(heads, rows, left=("card",), keys=1, title="Flip probability of one stored bit, card beside card")
    say("nm_per_decade: how much more oxide divides the flip probability by ten; nm_at_P: the thickness at which it is "
        "P, none where the card is valid for none", sys.stderr)
    if csv is not None:
        say(f"written: {csv}", sys.stderr)


def write_figure(cards: list[DeviceCard], plot: Path | None, figure_format: str | None) -> None:
    """Flip probability over thickness, a curve for each card.

    Args:
        cards: one or more.
        plot: its file.
        figure_format: or None, where the name of the file says it.

    Raises:
        InputError: a format without a file, or a file that cannot be written.
    """
    from qtaml_codesign.commands.files import check_writable
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.plots.cards import draw_cards
    from qtaml_codesign.plots.saving import asked_figure, save_figure

    if (path := asked_figure(plot, figure_format)) is not None:
        check_writable(path, "--plot")
        save_figure(draw_cards(cards), path)
        say(f"written: {path}", sys.stderr)
