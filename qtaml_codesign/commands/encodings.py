"""`codesign encodings`: which encoding, and which value for the charged state, loses least."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qtaml_codesign.commands.inputs import flip_input, network_input, tell_extremes
from qtaml_codesign.commands.options import Budget, Changed, Data, FlipRate, MaybeDevice, Method, Network, Seed
from qtaml_codesign.commands.running import tell_loading, trials_bar
from qtaml_codesign.commands.show import print_table, say

if TYPE_CHECKING:
    from qtaml_codesign.tac.encodings import EncodingComparison


def encodings(
    workload: Network = "small-cnn",
    data: Data = None,
    device: MaybeDevice = None,
    changed: Changed = None,
    flip_probability: FlipRate = None,
    flips: Annotated[
        str | None,
        typer.Option("--flips", help="symmetric or charge_loss. Default: the card's own; symmetric without a card."),
    ] = None,
    method: Method = "tac",
    budget: Budget = "0",
    trials: Annotated[int, typer.Option("--trials", help="Drawings of all flips for each row, at least 2.")] = 30,
    seed: Seed = 0,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table there, in full precision.")] = None,
) -> None:
    """Which encoding, and which logical value for the charged state of a cell, loses least, and by how much.

    Where flips go both ways alike, the charged value changes nothing: one row for each encoding.

    \b
    Example:
      codesign encodings --device 3nm --workload small-cnn --flips charge_loss
      codesign encodings --device 3nm --workload small-cnn --method tac --budget 3%
    """
    tell_loading(f"workload {workload}")
    from qtaml_codesign.commands.files import check_writable, write_csv
    from qtaml_codesign.commands.ranges import parse_fraction
    from qtaml_codesign.tac.encodings import COLUMNS, compare_encodings

    rates, fraction = flip_input(flip_probability, device, changed), parse_fraction(budget, "--budget")
    if csv is not None:
        check_writable(csv, "--csv")
    tell_extremes(rates)
    with trials_bar(trials) as progress:
        found = compare_encodings(network_input(workload, data), rates, method, fraction, trials, seed,
                                  flips=cast("Any", flips), progress=progress)
    if csv is not None:
        write_csv(csv, COLUMNS, found.to_frame().astype(object).values.tolist(), "--csv")
    _print(found)


def _print(found: EncodingComparison) -> None:
    metric = found.best.result.metric
    directed = found.best.charged_bit is not None
    columns = ("encoding", *(("charged\nbit",) if directed else ()), "weight\nerror", "output\nerror", metric.name,
               "95 % interval", "behind\nthe best", "95 %  interval")
    rows = [
        (row.encoding, *((str(row.charged_bit),) if directed else ()), f"{row.weight_error:.4g}",
         f"{row.output_error:.4g}", metric.text(row.result.value),
         f"[{metric.text(row.result.low)}, {metric.text(row.result.high)}]", f"{row.behind.estimate:.4f}",
         f"[{row.behind.low:.4f}, {row.behind.high:.4f}]") for row in found.rows
    ]
    made, trials = found.best.plan, found.best.result.trials
    print_table(columns, rows, left=("encoding",), keys=1 + directed,
                title=f"{made.method}, budget {made.budget:.4%}, {trials} trials each")
    say(found.answer)
    say("weight error: expected squared error of what is read, as a share of the squared weights; output error: "
        "foretold squared change of the logits; behind: mean score of a sample, over the same drawings")
    if not directed:
        say("note: flips go both ways alike, so that the charged value changes nothing; with --flips charge_loss only "
            "a charged cell flips", sys.stderr)
    for note in found.best.result.notes:
        say(f"note: {note}", sys.stderr)
