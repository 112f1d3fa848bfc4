"""`codesign card list`, `card show` and `card check`: the device cards themselves."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.options import Changed
from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    from qtaml_codesign.cards import DeviceCard
    from qtaml_codesign.physics.flip import FlipProbability

app = typer.Typer(help="The device cards: list the shipped ones, show one, check one.", no_args_is_help=True)
Card = Annotated[str, typer.Argument(metavar="CARD", help="A shipped name or a path.")]


@app.command("list")
def list_() -> None:
    """Name, thickness, flip probability and first sentence of every shipped card.

    \b
    Example:
      codesign card list
    """
    from qtaml_codesign.cards import list_cards, load_card
    from qtaml_codesign.commands.show import power_of_ten, print_table, short
    from qtaml_codesign.physics.flip import flip_probability

    rows = []
    for name in list_cards():
        card = load_card(name)
        log10 = float(flip_probability(card).log10_probability)
        summary = card.description.split(": ")[0].split(". ")[0].rstrip(".")
        rows.append([name, short(card.barrier.thickness_nm), power_of_ten(log10), summary])
    columns = ("name", "thickness_nm", "flip_probability", "description")
    print_table(columns, rows, left=("name",), text=("description",))


@app.command("show")
def show(card: Card, changed: Changed = None) -> None:
    """Every number of a card with unit and origin, the figures that follow from it, and its sources.

    \b
    Example:
      codesign card show 3nm
    """
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.show import print_table, say
    from qtaml_codesign.physics.flip import flip_probability

    shown = with_settings(load_card(card), changed or [])
    flip = flip_probability(shown)
    say(f"{shown.name}: {shown.description}\n")
    columns = ("field", "value", "unit", "low", "high", "kind", "source")
    print_table(columns, _fields(shown), left=("field", "unit", "kind"), text=("source",))
    print()
    print_table(("derived figure", "value"), _derived(shown, flip), left=("derived figure", "value"))
    print()
    region_columns = ("region", "tensors", "storage", "flips", "flip probability per plane, least significant first")
    print_table(region_columns, _regions(flip), left=region_columns, text=region_columns[1:])
    print("\nsources:")
    for source in shown.sources:
        say(f"  {source}")
    for warning in flip.warnings:
        say(f"warning: {warning}", sys.stderr)


@app.command("check")
def check(card: Card, changed: Changed = None) -> None:
    """Check a card against the schema; prints OK and what to know about it, or the error with exit code 2.

    \b
    Example:
      codesign card check my_card.yaml
    """
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.physics.prospects import prospects

    checked = with_settings(load_card(card), changed or [])
    say(f"OK: {card} (card {checked.name}, schema version 1)")
    for warning in prospects(checked):
        say(f"warning: {warning}", sys.stderr)


def _fields(card: DeviceCard) -> list[list[str]]:
    from qtaml_codesign.commands.show import short
    from qtaml_codesign.report.card_words import card_rows

    return [[row.field, short(row.value, 12), row.unit, *("" if end is None else f"{end:g}" for end in row[3:5]),
             row.kind, row.source] for row in card_rows(card)]


def _derived(card: DeviceCard, flip: FlipProbability) -> list[list[str]]:
    from qtaml_codesign.commands.show import power_of_ten, short
    from qtaml_codesign.physics.flip import log_slope_per_nm

    figures = flip.cell.barrier.figures(flip.cell.thickness_nm)
    return [
        *([name, short(figure)] for name, figure in figures.items()),
        ["decay constant kappa, (dS/dd)/2 (1/nm)", short(flip.cell.barrier.slope_per_nm(flip.cell.thickness_nm) / 2)],
        ["WKB action S", short(-flip.log_transmission)],
        ["transmission T", short(flip.transmission)],
        ["attempts in the window M", short(flip.cell.attempts)],
        ["escape probability", short(flip.escape_probability)],
        ["mean escapes lambda", short(flip.mean_escapes)],
        ["flip probability", power_of_ten(float(flip.log10_probability))],
        ["log10 flip probability", short(flip.log10_probability, 10)],
        ["d ln p_flip / d thickness (1/nm)", short(log_slope_per_nm(card))],
        ["thickness for p_flip = 0.1 (nm)", _thickness(card, 0.1)],
        ["thickness for p_flip = 1e-6 (nm)", _thickness(card, 1e-6)],
        ["regime", str(flip.regime)],
        ["tail", flip.tail],
    ]


def _thickness(card: DeviceCard, target: float) -> str:
    from qtaml_codesign.physics.flip import thickness_for

    try:
        return f"{thickness_for(card, target):.6f}"
    except InputError:
        return "none inside the card's validity"


def _regions(flip: FlipProbability) -> list[list[str]]:
    from qtaml_codesign.commands.show import power_of_ten

    return [
        [region.name, ", ".join(region.tensors) or "all others", f"{region.bits} bits, {region.encoding}",
         f"{region.flips}, charged = {region.charged_bit}",
         _planes([power_of_ten(float(log) / math.log(10.0)) for log in region.log_probability])]
        for region in flip.regions
    ]


def _planes(values: list[str]) -> str:
    return f"{values[0]} (all planes)" if len(set(values)) == 1 else "  ".join(values)
