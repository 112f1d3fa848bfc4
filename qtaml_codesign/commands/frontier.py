"""`codesign frontier`: the thinnest oxide of each ECC budget, by bisection."""

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


def frontier(
    device: Device,
    workload: WorkloadName = "small-cnn",
    changed: Changed = None,
    thickness: Annotated[
        str | None,
        typer.Option("--thickness", help="Range A:B of oxide thickness to search, in nm. Default: the card's."),
    ] = None,
    budget: Budgets = None,
    method: Methods = None,
    target: Target = None,
    metric: Metric = None,
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="Leave an undecided point when its 95 % interval is +- this. Default: 0.01."),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", help="Most drawings for an undecided point. Default: 320.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results. Default: runs/CARD-WORKLOAD-frontier.")
    ] = None,
    allocation: Allocation = None,
    sensitivity: Sensitivity = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option("--reuse", help="Folder of an earlier sweep whose trials may be used, as in codesign sweep."),
    ] = None,
) -> None:
    """How thin may the oxide be for each ECC budget? Bisection, with no more trials than the answer needs.

    Writes the files of codesign sweep; its points are those of the bisection. The same command again continues where it
    stopped.

    \b
    Example:
      codesign frontier --device 3nm --budget 0.03,0.05,0.125
      codesign frontier --device 3nm --workload transformer --thickness 1.7:2.1 --method tac
    """
    tell_loading(f"workload {workload}", f"card {device}")
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.ranges import parse_ends, parse_fractions
    from qtaml_codesign.report import sweep_report
    from qtaml_codesign.sweeps.run import find_frontier
    from qtaml_codesign.sweeps.settings import DEFAULT_METHODS

    card = with_settings(load_card(device), changed or [])
    folder = out if out is not None else default_folder(card.name, f"{workload}-frontier")
    ends = None if thickness is None else parse_ends(thickness, "--thickness")
    budgets = None if budget is None else parse_fractions(budget, "--budget")
    more: dict[str, Any] = {} if sensitivity is None else {"sensitivity": sensitivity}
    with interruptible(folder), progress_shown() as report:
        result = find_frontier(
            workload, card, ends, budgets, tuple(method) if method else DEFAULT_METHODS, seed, target=target,
            metric=metric, half_width=half_width, max_trials=max_trials,
            workers=usable_cpus() if workers is None else workers, out=folder, allocation=allocation,
            reuse=lenders(folder, out, reuse), progress=report, **more,
        )
    print_report(sweep_report(result), folder)
