"""`codesign sweep`: a metric over oxide thickness, protection method and ECC budget, and the frontier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qtaml_codesign.commands.options import (
    Allocation,
    Budgets,
    Changed,
    Device,
    Methods,
    Metric,
    Seed,
    Sensitivity,
    Target,
    Workers,
    WorkloadName,
)
from qtaml_codesign.commands.running import (
    default_folder,
    interruptible,
    lenders,
    print_report,
    progress_shown,
    tell_loading,
    usable_cpus,
)


def sweep(
    device: Device,
    workload: WorkloadName = "small-cnn",
    changed: Changed = None,
    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Oxide thickness in nm: A:B:N or a list A,B,C. Default: the card's range."),
    ] = None,
    budget: Budgets = None,
    method: Methods = None,
    target: Target = None,
    metric: Metric = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="Drawings per point; instead of the adaptive --half-width.")
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="Go on until the 95 % interval of each point is +- this. Default: 0.01."),
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
    sensitivity: Sensitivity = None,
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
    tell_loading(f"workload {workload}", f"card {device}")
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.ranges import parse_fractions, parse_range
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.run import sweep as run_sweep
    from qtaml_codesign.sweeps.settings import DEFAULT_METHODS

    card = with_settings(load_card(device), changed or [])
    folder = out if out is not None else default_folder(card.name, workload)
    grid = None if thickness is None else parse_range(thickness, "--thickness")
    budgets = None if budget is None else parse_fractions(budget, "--budget")
    more: dict[str, Any] = {} if sensitivity is None else {"sensitivity": sensitivity}
    with interruptible(folder), progress_shown() as report:
        result = run_sweep(
            workload, card, grid, budgets, tuple(method) if method else DEFAULT_METHODS, seed, target=target,
            metric=metric, trials=trials, half_width=half_width, max_trials=max_trials,
            workers=usable_cpus() if workers is None else workers, out=folder, allocation=allocation,
            interpolate=interpolate, refine=refine, reuse=lenders(folder, out, reuse), progress=report,
            **more,
        )
    print_report(sweep_report(result), folder, result.knots is not None)
