"""`codesign sweep`: accuracy over oxide thickness, protection method and ECC budget or cells, and the frontier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from qtaml_codesign.commands.bands import print_thickness_bands
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
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", help="FIELD=A:B:N[:log] or FIELD=A,B,C: a sweep for each value of another card field, "
                     "such as temperature_K or window_s; repeat it for a grid."),
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
      codesign sweep --device 3nm --vary window_s=1e-9:1e-3:4:log --budget 0.05
    """
    tell_loading(f"workload {asked.workload}", f"card {asked.device}")
    from qtaml_codesign.commands.ranges import parse_range
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.api import sweep as run_sweep

    grid = None if asked.thickness is None else parse_range(asked.thickness, "--thickness")
    if asked.vary:
        _over_fields(asked, grid)
        return
    result, folder = run_trials(run_sweep, asked, grid, trials=asked.trials, interpolate=asked.interpolate,
                                refine=asked.refine)
    print_report(sweep_report(result), folder, result.knots is not None)
    if asked.sample is not None:
        print_thickness_bands(result, asked.sample, folder)


def _over_fields(asked: SweepCommand, grid: object) -> None:
    """A sweep for each value of other card fields, and the frontier over them."""
    from qtaml_codesign.commands.flip import varied_fields
    from qtaml_codesign.commands.show import print_table, say, short
    from qtaml_codesign.sweeps.family import sweep_family

    family, folder = run_trials(sweep_family, asked, grid, suffix="-vary", vary=varied_fields(asked.vary or []),
                                trials=asked.trials, interpolate=asked.interpolate, refine=asked.refine)
    table = family.frontier()
    shown = [*family.fields, "method", "budget", "thickness_nm", "thickness_low_nm", "thickness_high_nm", "status"]
    rows = [[short(value, 5) if isinstance(value, float) else str(value) for value in row]
            for row in table[shown].to_numpy().tolist()]
    print_table(tuple(shown), rows, left=("method", "status"), keys=len(family.fields) + 2,
                title=f"Thinnest oxide that keeps {family.members[0][1].options.wanted}")
    say(f"wrote sweep.csv, frontier.csv, frontier.png into {folder}, and a sweep for each value into folders there")
