"""`codesign retention`: flips over time, with and without refresh."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from qtaml_codesign.commands.options import Changed, Device, FigureFormat, Rows

_DRAWN = 200
"""Times of the curve in the figure, however few are in the table."""


def retention(
    device: Device,
    time: Annotated[
        str | None,
        typer.Option("--time", help="Times since writing in s: A:B:N:log or a list. Default: about the card's window."),
    ] = None,
    refresh: Annotated[
        float | None, typer.Option("--refresh", help="Interval in s at which cells are read and written back.")
    ] = None,
    limit: Annotated[
        float, typer.Option("--limit", help="Flip probability that ends the retention.")
    ] = 0.1,
    changed: Changed = None,
    csv: Rows = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Figure: .png, .svg or .pdf.")] = None,
    figure_format: FigureFormat = None,
) -> None:
    """How long does a memory hold its bits, left alone and with refresh?

    A refresh writes back what it reads: bits that flipped before it stay wrong, the others start with full charge.

    \b
    Example:
      codesign retention --device 3nm --refresh 1e-7 --time 1e-8:1e-3:16:log
      codesign retention --device dram_1t1c --refresh 0.064 --plot retention.png
    """
    import numpy as np

    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.files import check_writable, write_csv
    from qtaml_codesign.commands.ranges import parse_range
    from qtaml_codesign.commands.show import power_of_ten, print_table, say, short
    from qtaml_codesign.physics.retention import retention as over_time
    from qtaml_codesign.physics.retention import retention_time_s
    from qtaml_codesign.plots.retention import draw_retention
    from qtaml_codesign.plots.saving import asked_figure, save_figure

    plot = asked_figure(plot, figure_format)
    for path, option in ((csv, "--csv"), (plot, "--plot")):
        if path is not None:
            check_writable(path, option)
    card = with_settings(load_card(device), changed or [])
    times = np.geomspace(1e-2, 1e3, 21) * card.window_s if time is None else parse_range(time, "--time")
    ways = (("left alone", None), *([] if refresh is None else [(f"refreshed every {refresh:g} s", refresh)]))
    reached = [retention_time_s(card, limit, refresh_s=interval) for _, interval in ways]
    found = over_time(card, times, refresh_s=refresh)
    logs = [found.log_probability, *([] if found.log_refreshed is None else [found.log_refreshed])]
    columns = ("time_s", "flip_probability", "refreshed")[:len(logs) + 1]
    rows = list(zip(found.time_s.tolist(), *(one.tolist() for one in logs), strict=True))
    shown = [[short(row[0], 6), *(power_of_ten(log / np.log(10.0)) for log in row[1:])] for row in rows]
    print_table(columns, shown, keys=1, title=f"{card.name}: flips over time, {card.flips}")
    for (told, _), after in zip(ways, reached, strict=True):
        say(f"{told}: p reaches {limit:g} after {after:.4g} s")
    if csv is not None:
        write_csv(csv, columns, [(row[0], *np.exp(row[1:]).tolist()) for row in rows], "--csv")
    if plot is not None:
        dense = np.geomspace(found.time_s.min(), found.time_s.max(), _DRAWN)
        save_figure(draw_retention(over_time(card, dense, refresh_s=refresh), limit, reached), plot)
    if csv is not None or plot is not None:
        say(f"written: {', '.join(str(path) for path in (csv, plot) if path is not None)}", sys.stderr)
