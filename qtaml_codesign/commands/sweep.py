"""`codesign sweep`: accuracy over oxide thickness, protection method and ECC budget or cells, and the frontier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from qtaml_codesign.commands.options import TrialOptions, taking
from qtaml_codesign.commands.running import print_report, run_trials, tell_loading


@dataclass(frozen=True)
class SweepCommand(TrialOptions):
    """The options of `codesign sweep`."""

    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Oxide thickness in nm: A:B:N or a list A,B,C. Default: the card's range."),
    ] = None
    trials: Annotated[
        int | None, typer.Option("--trials", help="Drawings per point; instead of the adaptive --half-width.")
    ] = None
    interpolate: Annotated[
        bool | None,
        typer.Option(
            "--interpolate/--every-point",
            help="Measure where the accuracy bends and interpolate the thicknesses between, or measure each. Default: "
            "interpolate more than 48 thicknesses.",
        ),
    ] = None
    refine: Annotated[
        bool | None,
        typer.Option("--refine/--no-refine", help="Bisect the frontier between the thicknesses. Default: yes."),
    ] = None


@taking(SweepCommand)
def sweep(asked: SweepCommand) -> None:
    """How thin may the oxide be for each ECC budget, and how much ECC does each thickness need?

    Methods that choose the store spend --cells per weight instead of a budget: how thin for how many cells?

    Writes results.sqlite, sweep.csv, frontier.csv, frontier.png and run.json. The same command again continues where
    it stopped, and gives the same numbers whatever the number of workers.

    \b
    Example:
      codesign sweep --device 3nm
      codesign sweep --device 3nm --thickness 1.72:1.9:7 --budget 0.02,0.05 --method tac,magnitude
      codesign sweep --device 3nm --method channel-optimised,tac --cells 4,6,8
    """
    tell_loading(f"workload {asked.workload}", f"card {asked.device}")
    from qtaml_codesign.commands.ranges import parse_range
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.api import sweep as run_sweep

    grid = None if asked.thickness is None else parse_range(asked.thickness, "--thickness")
    result, folder = run_trials(run_sweep, asked, grid, trials=asked.trials, interpolate=asked.interpolate,
                                refine=asked.refine)
    print_report(sweep_report(result), folder, result.knots is not None)
