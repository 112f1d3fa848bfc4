"""`codesign calibrate`: numbers of a card from a measured curve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.options import Changed, FigureFormat

if TYPE_CHECKING:
    from qtaml_codesign.physics.calibration import Calibration


def calibrate(
    card: Annotated[str, typer.Option("--card", "--device", help="Device card to start from: name or path.")],
    data: Annotated[
        Path,
        typer.Option("--data", help="CSV of a retention curve (time_s, bit_error_rate) or of a leakage curve "
                     "(voltage_V, current_density_A_per_cm2); temperature_K and bits where known."),
    ],
    fit: Annotated[
        list[str] | None,
        typer.Option("--fit", help="Card field to fit; repeat it for several. Default: cell.attempt_frequency_Hz for "
                     "retention, barrier.thickness_nm for leakage."),
    ] = None,
    changed: Changed = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of the intervals.")] = 0.90,
    out: Annotated[
        Path | None, typer.Option("--out", help="New card. Default: CARD-calibrated.yaml in this folder.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Figure of data and fit: .png, .svg or .pdf. Default: beside --out.")
    ] = None,
    figure_format: FigureFormat = None,
) -> None:
    """Fit numbers of a device card to a measured curve, with intervals, and write the card that results.

    Least squares in logarithms. Data that do not tell the asked numbers apart are refused: a retention curve alone
    fixes one of attempt frequency, mass, height and thickness, not two.

    \b
    Example:
      codesign calibrate --card 3nm --data retention.csv
      codesign calibrate --card 3nm --data leakage.csv --fit barrier.thickness_nm --fit barrier.effective_mass_m0
    """
    from qtaml_codesign.cards import card_text, load_card, with_settings
    from qtaml_codesign.commands.files import check_writable
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.files import write_whole
    from qtaml_codesign.physics.calibration import calibrate as fitted
    from qtaml_codesign.plots.calibration import draw_calibration
    from qtaml_codesign.plots.saving import checked_format, figure_path, save_figure

    start = with_settings(load_card(card), changed or [])
    written = out or Path(f"{start.name.replace(' ', '-')}-calibrated.yaml")
    beside = written.with_suffix(f".{checked_format(figure_format or 'png')}")
    drawn = beside if plot is None else figure_path(plot, figure_format)
    check_writable(written, "--out")
    check_writable(drawn, "--plot")
    found = fitted(start, data, fit or None, confidence=confidence)
    _print(found)
    write_whole(written, card_text(found.card).encode(), "--out")
    save_figure(draw_calibration(found), drawn)
    say(f"written: {written}, {drawn}", sys.stderr)


def _print(found: Calibration) -> None:
    from qtaml_codesign.commands.show import print_table, say, short

    rows = [[one.field, *(short(value, 6) for value in one[1:])] for one in found.numbers]
    print_table(("field", "before", "fitted", "low", "high"), rows, left=("field",), keys=1,
                title=f"{found.card.name}: {100 * found.confidence:g} % intervals")
    say(f"{len(found.measured)} points; rms distance {found.rms:.3g} in the natural logarithm "
        f"(a factor of {2.718281828459045 ** found.rms:.3g})")
    for doubt in found.doubts:
        say(f"warning: {doubt}", sys.stderr)
