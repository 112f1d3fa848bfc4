"""`codesign flip`: the physics alone, from oxide thickness to flip probability."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.options import Changed, Devices, FigureFormat, Rows
from qtaml_codesign.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qtaml_codesign.cards import DeviceCard
    from qtaml_codesign.physics.tables import FlipTable

_SHOWN_ROWS = 200
_SHOWN_WARNINGS = 6


def flip(
    device: Devices,
    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Oxide thickness in nm: A:B:N or a list A,B,C. Default: the card's own."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", help="FIELD=A:B:N[:log], FIELD a dotted card field, also of a region "
                     "(regions.NAME.FIELD); repeat it for a grid."),
    ] = None,
    changed: Changed = None,
    tail: Annotated[
        str, typer.Option("--tail", help="binomial (exact), or the approximations poisson and leading.")
    ] = "binomial",
    csv: Rows = None,
    corners: Annotated[
        bool, typer.Option("--corners", help="And at the ends of the ranges that the card states, field by field.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option("--sample", help="And its band over so many cards drawn within those ranges.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Figure over thickness, a curve for each card: .png, .svg or .pdf.")
    ] = None,
    figure_format: FigureFormat = None,
) -> None:
    """Flip probability of a device card over oxide thickness and other card fields; no network involved.

    Several cards are compared: flips, how much oxide a decade costs, and the thickness for 0.1, 1e-3 and 1e-6.

    \b
    Example:
      codesign flip --device 3nm --thickness 1.7:2.2:6
      codesign flip --device 3nm --vary window_s=1e-9:1e-3:7:log --csv flips.csv
      codesign flip --device hfo2_highk --corners --sample 200
      codesign flip --device 3nm --device 5nm --device edram_gain_cell --plot cards.svg
    """
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.bands import print_band, print_corners
    from qtaml_codesign.commands.compare import print_comparison, write_figure
    from qtaml_codesign.commands.files import check_writable, write_csv
    from qtaml_codesign.commands.ranges import parse_range
    from qtaml_codesign.commands.show import print_table, short
    from qtaml_codesign.physics.escape import TAIL_NOTES, check_tail
    from qtaml_codesign.physics.sampling import drawn_numbers
    from qtaml_codesign.physics.tables import flip_table

    grid = None if thickness is None else parse_range(thickness, "--thickness")
    varied, used = varied_fields(vary or []), check_tail(tail)
    if csv is not None:
        check_writable(csv, "--csv")
    cards = [with_settings(load_card(name), changed or []) for name in device]
    if plot or figure_format:
        write_figure(cards, plot, figure_format)
    if len(cards) > 1:
        print_comparison(cards, csv, {"--thickness": thickness, "--vary": vary, "--corners": corners,
                                      "--sample": sample, "--tail": tail != "binomial"})
        return
    (card,) = cards
    if corners or sample is not None:
        drawn_numbers(card, 1 if sample is None else sample)  # refused before anything is shown
    table = flip_table(card, grid, vary=varied, tail=used)
    if csv is not None:
        write_csv(csv, table.columns, table.rows, "--csv")
    inputs = table.columns.index("thickness_nm") + 1
    shown = [
        [short(cell, 9 if place < inputs else 6) for place, cell in enumerate(row)] for row in table.rows[:_SHOWN_ROWS]
    ]
    print_table(table.columns, shown, left=("regime",), keys=inputs,
                title=f"{card.name}: flip probability of one stored bit")
    if corners:
        print_corners(card)
    if sample is not None:
        print_band(card, grid, sample)
    _notes(card, table, TAIL_NOTES[used], csv)


def _notes(card: DeviceCard, table: FlipTable, tail: str, csv: Path | None) -> None:
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.physics.effect_validity import acting

    flips = card.flips_of(table.region)
    direction = {"symmetric": "either stored value flips", "charge_loss": "only a charged cell flips"}[flips]
    ways = {"prefactor": "barrier, WKB with its prefactor", "exact": "barrier, exact transmission"}
    barrier = f"{card.barrier.model} {ways.get(card.barrier.transmission or '', 'WKB barrier')}"
    effects = "".join(f"; {name}" for name in acting(card.resolve(table.region)))
    say(f"assumed: {tail}; flips {flips} ({direction}); {barrier}{effects}", sys.stderr)
    if len(table.rows) > _SHOWN_ROWS:
        say(f"note: {_SHOWN_ROWS} of {len(table.rows)} rows shown; --csv writes them all", sys.stderr)
    if card.regions or card.bit_planes:
        whose = "the base cell" if table.region == card.region_names[0] else f"the cell of region {table.region}"
        say(f"note: this is {whose}; `codesign card show` has the regions and bit planes", sys.stderr)
    if csv is not None:
        say(f"written: {csv}", sys.stderr)
    for warning in table.warnings[:_SHOWN_WARNINGS]:
        say(f"warning: {warning}", sys.stderr)
    if len(table.warnings) > _SHOWN_WARNINGS:
        say(f"warning: and {len(table.warnings) - _SHOWN_WARNINGS} more like these at other points", sys.stderr)


def varied_fields(options: list[str]) -> dict[str, NDArray[np.float64]]:
    """Values by field, to 15 digits, so that a step of a range is the number that a reader would write (1e-05).

    Args:
        options: texts such as `window_s=1e-9:1e-3:7:log`.

    Raises:
        InputError: not FIELD=RANGE, or a field twice.
    """
    import numpy as np

    from qtaml_codesign.commands.ranges import parse_range

    found: dict[str, NDArray[np.float64]] = {}
    for option in options:
        field, equals, text = option.partition("=")
        field = field.strip()
        if not equals or not field or field in found:
            what = "a field is varied twice" if field in found else "not FIELD=RANGE"
            raise InputError(what, where="--vary", rule="FIELD=A:B:N or FIELD=A:B:N:log, each field once", value=option,
                             next_step="for instance --vary window_s=1e-9:1e-3:7:log")
        points = [float(f"{point:.15g}") for point in parse_range(text, f"--vary {field}")]
        found[field] = np.array(points)
    return found
