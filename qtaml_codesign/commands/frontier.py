"""`codesign frontier`: the thinnest oxide of each ECC budget or number of cells, by bisection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from qtaml_codesign.commands.bands import print_thickness_bands
from qtaml_codesign.commands.options import TrialOptions, taking
from qtaml_codesign.commands.running import print_report, run_trials, tell_loading


@dataclass(frozen=True)
class FrontierCommand(TrialOptions):
    """The options of `codesign frontier`."""

    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Range A:B of oxide thickness to search, in nm. Default: the card's."),
    ] = None


@taking(FrontierCommand)
def frontier(asked: FrontierCommand) -> None:
    """How thin may the oxide be for each ECC budget or number of cells? Bisection, with no more trials than it needs.

    Writes the files of codesign sweep; its points are those of the bisection. A point is left once it is known on which
    side of the target it lies. The same command again continues where it stopped.

    \b
    Example:
      codesign frontier --device 3nm --budget 0.03,0.05,0.125
      codesign frontier --device 3nm --workload transformer --thickness 1.7:2.1 --method tac
    """
    tell_loading(f"workload {asked.workload}", f"card {asked.device}")
    from qtaml_codesign.commands.ranges import parse_ends
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.api import find_frontier

    ends = None if asked.thickness is None else parse_ends(asked.thickness, "--thickness")
    result, folder = run_trials(find_frontier, asked, ends, suffix="-frontier")
    print_report(sweep_report(result), folder, figure_format=asked.figure_format)
    if asked.sample is not None:
        print_thickness_bands(result, asked.sample, folder)
