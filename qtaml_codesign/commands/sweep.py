"""`codesign sweep`: accuracy over oxide thickness, protection method and ECC budget, and the frontier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtaml_codesign.commands.options import Allocation, Budgets, Device, Seed, Target, Workers, WorkloadName
from qtaml_codesign.commands.running import (
    default_folder,
    interruptible,
    lenders,
    print_report,
    progress_shown,
    stands_there,
    tell_replaced,
    usable_cpus,
)


def sweep(
    device: Device,
    workload: WorkloadName = "small-cnn",
    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Oxide thickness A:B:N in nm. Default: the card's sweep range."),
    ] = None,
    budget: Budgets = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="tac, tac-bits-only, tac-always-corrected, mean-only, uniform-msp, uniform-msp-fractional, magnitude, "
            "sensitivity, random or none; repeat it for several. Default: tac and uniform-msp.",
        ),
    ] = None,
    target: Target = 0.95,
    trials: Annotated[
        int | None, typer.Option("--trials", help="Drawings per point; instead of the adaptive --half-width.")
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="Go on until the 95 % interval of each accuracy is +- this. Default: 0.01."),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", help="Most drawings per point with --half-width. Default: 320.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results. Default: runs/CARD-WORKLOAD.")
    ] = None,
    allocation: Allocation = None,
    interpolate: Annotated[
        bool | None,
        typer.Option(
            "--interpolate/--every-point",
            help="Measure where the accuracy bends and interpolate the thicknesses between, or measure each. Default: "
            "interpolate more than 48 thicknesses.",
        ),
    ] = None,
    refine: Annotated[
        bool | None,
        typer.Option("--refine/--no-refine", help="Bisect the frontier between the thicknesses. Default: yes."),
    ] = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            "--reuse",
            help="Folder of an earlier sweep whose trials may be used, of any card; repeat it for several. Default: "
            "all folders in runs/; none when --out is given.",
        ),
    ] = None,
) -> None:
    """How thin may the oxide be for each ECC budget, and how much ECC does each thickness need?

    Writes results.sqlite, sweep.csv, frontier.csv, frontier.png and run.json. The same command again continues where
    it stopped, and gives the same numbers whatever the number of workers.

    \b
    Example:
      codesign sweep --device 3nm
      codesign sweep --device 3nm --thickness 1.72:1.9:7 --budget 0.02,0.05 --method tac --method magnitude
    """
    from qtaml_codesign.cards import load_card
    from qtaml_codesign.commands.ranges import parse_numbers, parse_range
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.run import sweep as run_sweep
    from qtaml_codesign.sweeps.settings import DEFAULT_METHODS

    card = load_card(device)
    folder = out if out is not None else default_folder(card.name, workload)
    grid = None if thickness is None else parse_range(thickness, "--thickness")
    budgets = None if budget is None else parse_numbers(budget, "--budget")
    before = stands_there(folder)
    with interruptible(folder), progress_shown() as report:
        result = run_sweep(
            workload, card, grid, budgets, tuple(method) if method else DEFAULT_METHODS, seed, target=target,
            trials=trials, half_width=half_width, max_trials=max_trials,
            workers=usable_cpus() if workers is None else workers, out=folder, allocation=allocation,
            interpolate=interpolate, refine=refine, reuse=lenders(folder, out, reuse), progress=report,
        )
    print_report(sweep_report(result), folder, result.knots is not None)
    tell_replaced(folder, before, (result.card.name, result.workload_name))
