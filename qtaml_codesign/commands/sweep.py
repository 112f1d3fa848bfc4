"""`codesign sweep`: accuracy over oxide thickness, protection method and ECC budget or cells, and the frontier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.bands import print_thickness_bands
from qtaml_codesign.commands.options import TrialOptions, taking
from qtaml_codesign.commands.running import print_report, run_trials, tell_loading

if TYPE_CHECKING:
    from qtaml_codesign.sweeps.family import SweepFamily


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
    print_report(sweep_report(result), folder, result.knots is not None, asked.figure_format)
    if asked.sample is not None:
        print_thickness_bands(result, asked.sample, folder)


def _over_fields(asked: SweepCommand, grid: object) -> None:
    """A sweep for each value of other card fields, and the frontier over them."""
    from qtaml_codesign.commands.flip import varied_fields
    from qtaml_codesign.commands.show import print_table, say
    from qtaml_codesign.sweeps.family import sweep_family

    family, folder = run_trials(sweep_family, asked, grid, suffix="-vary", vary=varied_fields(asked.vary or []),
                                trials=asked.trials, interpolate=asked.interpolate, refine=asked.refine)
    print_table((*family.fields, "method", "may\nspend", "overhead\n%", "thinnest oxide\nnm", "images\nnm", "\np"),
                _family_rows(family), left=("method",), keys=len(family.fields) + 2,
                title=f"Thinnest oxide that keeps {family.members[0][1].options.wanted}")
    say("[low,high]: interval over drawings of the flips; p: flip probability there; images: the same over evaluation "
        "images")
    say(f"wrote sweep.csv, frontier.csv, frontier.{asked.figure_format or 'png'} into {folder}, and a sweep for each "
        "value into folders there")


def _family_rows(family: SweepFamily) -> list[tuple[str, ...]]:
    """A row of text for each crossing or limit, in the words of the report of one sweep."""
    from qtaml_codesign.commands.show import short
    from qtaml_codesign.report.words import ends_nm, oxide_cells, percent
    from qtaml_codesign.tac.choices import choice_of
    from qtaml_codesign.tac.methods import method_label

    return [(*(short(value, 5) for value in settings.values()), method_label(row["method"]), choice_of(row).spent,
             percent(row["overhead"]), *oxide_cells(row, ends_nm(member)))
            for settings, member in family.members for _, row in member.frontier().to_frame().iterrows()]
