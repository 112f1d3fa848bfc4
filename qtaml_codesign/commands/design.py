"""`codesign design`: the chain backwards, to the value of a card field that keeps the target."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtaml_codesign.commands.inputs import network_input
from qtaml_codesign.commands.options import (
    Changed,
    Cluster,
    Data,
    Device,
    FigureFormat,
    Metric,
    Network,
    PlanMethod,
    Seed,
    taking,
)

if TYPE_CHECKING:
    from qtaml_codesign.cards import DeviceCard
    from qtaml_codesign.sweeps.design import Design

_SHOWN = 40


@dataclass(frozen=True)
class DesignCommand:
    """The options of `codesign design`."""

    device: Device
    workload: Network = "small-cnn"
    data: Data = None
    solve: Annotated[
        str,
        typer.Option("--solve", help="What to find: thickness_nm, window_s, height_eV, effective_mass_m0, "
                     "electrons, temperature_K ... any number of the card that sets its flips; or budget."),
    ] = "thickness_nm"
    target: Annotated[
        str | None, typer.Option("--target", help="What to keep: 0.95 or 95% of the clean value, 'clean - 0.02', "
                                 "'= 0.9'. Default: 0.95.")
    ] = None
    method: PlanMethod = "tac"
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="Protected-bit fraction; 0.05 or 5% of the stored bits. Default: 5%."),
    ] = None
    cells: Annotated[
        float | None, typer.Option("--cells", help="Cells per weight, for methods that spend them.")
    ] = None
    changed: Changed = None
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", help="FIELD=A:B:N[:log]: what is found over a grid of other fields; two make a map."),
    ] = None
    metric: Metric = None
    max_trials: Annotated[int | None, typer.Option("--max-trials", help="Most drawings per point.")] = None
    seed: Seed = 0
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes.")] = None
    cluster: Cluster = None
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the search, tornado.csv and .png, map.csv and .png. Default: "
                     "runs/CARD-WORKLOAD-design."),
    ] = None
    figure_format: FigureFormat = None


@taking(DesignCommand)
def design(asked: DesignCommand) -> None:
    """Which value of one card field lets the network just keep its target, all others as they are?

    The largest flip probability that keeps the target is found by bisection with trials; the physics backwards gives
    the field. A tornado shows which number of the card moves the answer most, a map how it moves with two of them.

    \b
    Example:
      codesign design --device 3nm --solve window_s --budget 0.05
      codesign design --device 3nm --solve thickness_nm --vary window_s=1e-9:1e-3:13:log --vary height_eV=2.9:3.3:9
      codesign design --device 3nm --solve budget
    """
    from qtaml_codesign.cards import load_card, with_settings
    from qtaml_codesign.commands.runners import who_runs
    from qtaml_codesign.commands.running import default_folder, interruptible, progress_shown

    card = with_settings(load_card(asked.device), asked.changed or [])
    folder = asked.out or default_folder(card.name, f"{Path(asked.workload).stem}-design", asked.changed or [])
    given = {"target": asked.target, "metric": asked.metric, "max_trials": asked.max_trials, "seed": asked.seed,
             "figure_format": asked.figure_format, "cells": asked.cells}
    chosen = {name: value for name, value in given.items() if value is not None}
    with interruptible(folder), progress_shown() as report, who_runs(asked.workers, asked.cluster, report) as runners:
        if asked.solve == "budget":
            _least_budget(asked, card, {**chosen, **runners, "progress": report, "out": folder})
        else:
            _field(asked, card, folder, {**chosen, **runners, "progress": report, "out": folder})


def _field(asked: DesignCommand, card: DeviceCard, folder: Path, chosen: dict[str, Any]) -> None:
    from qtaml_codesign.commands.flip import varied_fields
    from qtaml_codesign.commands.ranges import parse_fraction
    from qtaml_codesign.sweeps.design import design as solved
    from qtaml_codesign.sweeps.design import varied_beside

    vary = varied_fields(asked.vary or [])
    if vary:
        varied_beside(card, asked.solve, vary)
    budget = None if asked.budget is None else parse_fraction(asked.budget, "--budget")
    network = network_input(asked.workload, asked.data)
    found = solved(network, card, asked.solve, method=asked.method, budget=budget, **chosen)
    _say_answer(found, asked)
    figure_format = asked.figure_format or "png"
    _tornado(found, folder, _title(found, asked), figure_format)
    if vary:
        _map(found, vary, folder, _title(found, asked), figure_format)


def _say_answer(found: Design, asked: DesignCommand) -> None:
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.physics.cell_fields import value_of
    from qtaml_codesign.physics.solving import STAYS

    one = found.solution
    ends = ", ".join("open" if math.isnan(end) else f"{end:.5g}" for end in (found.low, found.high))
    trials = int(found.search.counts.trials)
    say(f"{found.card.name}, {asked.workload}, {_spent(asked)}: {one.field} {one.sense} {one.value:.5g} "
        f"[{ends}] keeps {found.search.options.wanted}; the card has {one.before:.5g}")
    say(f"largest flip probability: {found.flip_probability:.4g} [{found.flips[0]:.4g}, {found.flips[1]:.4g}]; "
        f"95 % intervals; {trials} trials stand behind this curve, taken over or new")
    if one.field in STAYS:
        say(f"note: {STAYS[one.field]} stays {value_of(found.card, STAYS[one.field]):g} while {one.field} is solved")


def _tornado(found: Design, folder: Path, title: str, figure_format: str) -> None:
    from qtaml_codesign.commands.files import write_csv
    from qtaml_codesign.commands.show import print_table, say, short
    from qtaml_codesign.plots.design import draw_tornado
    from qtaml_codesign.plots.saving import save_figure

    table, one = found.tornado(), found.solution
    rows = [[str(row["field"]), short(row["low"]), short(row["high"]), short(row["at_low"], 5),
             short(row["at_high"], 5), "the card" if row["stated"] else "5 %, assumed"] for _, row in table.iterrows()]
    print_table(("field", "low", "high", f"{one.field} at low", "at high", "range of"), rows,
                left=("field", "range of"), keys=1, title=f"What moves {one.field} most")
    write_csv(folder / "tornado.csv", list(table.columns), table.itertuples(index=False), "--out")
    figure = folder / f"tornado.{figure_format}"
    save_figure(draw_tornado(table, one.field, one.value, title), figure)
    say(f"written: {folder / 'tornado.csv'}, {figure}", sys.stderr)


def _map(found: Design, vary: dict[str, Any], folder: Path, title: str, figure_format: str) -> None:
    from qtaml_codesign.commands.files import write_csv
    from qtaml_codesign.commands.show import print_table, say, short
    from qtaml_codesign.physics.cell_fields import value_of
    from qtaml_codesign.plots.design import draw_map
    from qtaml_codesign.plots.saving import save_figure

    table = found.map(vary)
    rows = [[short(value, 6) for value in row] for row in table.to_numpy(float)[:_SHOWN].tolist()]
    print_table(tuple(table.columns), rows, keys=len(vary), title=f"{found.solution.field} that keeps the target")
    write_csv(folder / "map.csv", list(table.columns), table.itertuples(index=False), "--out")
    if len(vary) == 2:
        across, up = (value_of(found.card, field) for field in table.columns[:2])
        save_figure(draw_map(table, title, (across, up)), folder / f"map.{figure_format}")
    drawn = f", {folder / f'map.{figure_format}'}" if len(vary) == 2 else ""
    say(f"written: {folder / 'map.csv'}{drawn}", sys.stderr)


def _spent(asked: DesignCommand) -> str:
    budget = asked.budget or (None if asked.cells else "5 %")
    spent = [f"budget {budget}"] if budget else []
    return ", ".join([asked.method, *spent, *([f"{asked.cells:g} cells"] if asked.cells else [])])


def _title(found: Design, asked: DesignCommand) -> str:
    low, high = found.flips
    return (f"{found.card.name}, {found.search.workload_name}, {_spent(asked)}\n"
            f"keeps {found.search.options.wanted} up to p = {found.flip_probability:.3g} [{low:.3g}, {high:.3g}]")


def _least_budget(asked: DesignCommand, card: DeviceCard, chosen: dict[str, Any]) -> None:
    from qtaml_codesign.commands.show import say
    from qtaml_codesign.errors import InputError
    from qtaml_codesign.sweeps.least_budget import least_budget

    for option, value in (("--budget", asked.budget), ("--vary", asked.vary), ("--cells", asked.cells)):
        if value is not None:
            raise InputError("the budget is what is looked for", where=option, rule="--solve budget alone",
                             value=value, next_step=f"drop {option}")
    found = least_budget(network_input(asked.workload, asked.data), card, method=asked.method, **chosen)
    wanted, least = found.search.options.wanted, f"{100 * found.budget:.3g} %"
    between = (f"{least} of the stored bits keeps {wanted}: nothing need be spent" if found.below is None else
               f"between {100 * found.below:.3g} % of the stored bits (does not keep {wanted}) and {least} (does)")
    sure = "the interval of none" if found.sure is None else f"its whole interval does at {100 * found.sure:.3g} %"
    say(f"{card.name}, {asked.workload}, {asked.method}: least budget {between}; {sure}")
