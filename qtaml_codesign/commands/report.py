"""`codesign report`: finished runs as one page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that codesign sweep or codesign frontier wrote; "
                                   "several stand side by side.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page. Default: report.html in the first folder.")
    ] = None,
) -> None:
    """One page to send or to print: the answer in a sentence, figures with sliders, plans, card, limits, versions.

    The page is a single file that loads nothing: it opens without a network, in any browser of the last years. Its
    sliders for thickness, window and budget work out the flip probability by the exact chain. Needs the extra `report`:
    pip install 'qtaml-codesign[report]'.

    \b
    Example:
      codesign report runs/3nm-small-cnn
      codesign report runs/3nm-small-cnn runs/7nm-small-cnn --out nodes.html
    """
    from qtaml_codesign.commands.files import check_writable
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.files import write_whole
    from qtaml_codesign.plots.interactive import plotly_script
    from qtaml_codesign.report.contents import answer
    from qtaml_codesign.report.page import report_page
    from qtaml_codesign.report.runs import read_run

    plotly_script()
    found = [read_run(folder) for folder in runs]
    path = out or runs[0] / "report.html"
    check_writable(path, "--out")
    page = report_page(found).encode()
    write_whole(path, page, "--out")
    for run in found:
        say(f"{run.folder}: {answer(run)}")
    say(f"wrote {path} ({len(page) / 1e6:.1f} MB, one file that loads nothing)")
