"""`codesign evaluate`: the metric of a plan under flips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.inputs import flip_input, tell_extremes
from qtaml_codesign.commands.options import Changed, Data, FlipRate, MaybeDevice, Metric, Network
from qtaml_codesign.commands.running import tell_loading, trials_bar
from qtaml_codesign.commands.show import say

if TYPE_CHECKING:
    from qtaml_codesign.tac.evaluation import Evaluation


def evaluate(
    workload: Network,
    plan: Annotated[Path, typer.Option("--plan", help="JSON file written by `codesign plan --out`.")],
    data: Data = None,
    flip_probability: FlipRate = None,
    device: MaybeDevice = None,
    changed: Changed = None,
    trials: Annotated[int, typer.Option("--trials", help="Drawings of all flips, at least 2.")] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Key of the flips.")] = 0,
    metric: Metric = None,
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            help="Non-uniform flips at the same mean rate: msb-heavier, lsb-heavier, cell-variation-0.3, "
            "cell-variation-0.6, clusters-4, clusters-16 or layer-variation-0.3.",
        ),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Encode, flip and decode the codewords of the plan in every trial, instead "
                           "of drawing what its code is known to leave.")
    ] = False,
) -> None:
    """Measure the metric of a plan under flips, with its interval and the bit error rate really injected.

    \b
    Example:
      codesign evaluate --workload small-cnn --plan plan.json --flip-probability 0.1
      codesign evaluate --workload small-cnn --plan plan.json --flip-probability 0.1 --noise msb-heavier
    """
    tell_loading(f"workload {workload}")
    from qtaml_codesign.nets.loading import load_workload
    from qtaml_codesign.tac.evaluation import evaluate as measure
    from qtaml_codesign.tac.plan import TacPlan

    made = TacPlan.load(plan)
    flips = flip_input(flip_probability, device, changed)
    tell_extremes(flips)
    with trials_bar(trials) as progress:
        network = load_workload(workload, data)
        network = network if metric is None else network.with_metric(metric)
        result = measure(network, made, flips, trials, seed, noise=noise, decode=decode, progress=progress)
    _print(result, made.method, network.exposure.text)
    if decode:
        say("codewords:            encoded, flipped and decoded in every trial")
    if noise is not None:
        say(f"noise model:          {noise}, which the plan does not know")


def _print(result: Evaluation, method: str, exposed: str) -> None:
    counts, metric, flips = result.counts, result.metric, result.nominal_ber > 0.0
    value, low, high, image_low, image_high, clean = map(metric.text, (
        result.value, result.low, result.high, result.image_low, result.image_high, result.clean_value))
    interval = f"[{low}, {high}] at {result.confidence:.0%}" if flips else "in every trial"
    say(f"{metric.name + ' under flips:':<21} {value}  {interval}")
    say(f"  exposed: {exposed}")
    over = " (interval over trials)" if flips else ""
    say(f"  plan {method}, {result.trials} trials x {counts.samples} samples{over}")
    say(f"  over evaluation samples: [{image_low}, {image_high}], for these drawings")
    share = metric.larger_is_better and result.clean_value > 0.0
    kept = f"  (kept: {result.value / result.clean_value:.1%})" if share else ""
    say(f"{f'clean {metric.name}:':<21} {clean}{kept}")
    rates = f"nominal {result.nominal_ber:.6g}, realised {result.realised_ber:.6g}" if counts.bits_exposed else "none"
    say(f"bit error rate:       {rates}")
    say(f"  {counts.bits_flipped} flips over {counts.bits_exposed} exposed cells, {counts.bits_stored} stored cells")
    for note in result.notes:
        say(f"note: {note}", sys.stderr)
    if counts.bits_exposed == 0:
        say("note: every cell is protected, so no flip was injected", sys.stderr)
