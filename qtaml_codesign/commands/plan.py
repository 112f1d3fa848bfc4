"""`codesign plan`: one protection plan for one network, flip probability and budget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtaml_codesign.commands.inputs import flip_input

_WIDEST = 500

if TYPE_CHECKING:
    from qtaml_codesign.tac.values import LayerPlan, TacPlan


def plan(
    workload: Annotated[str, typer.Option("--workload", help="Zoo name or FILE.py:FACTORY.")],
    flip_probability: Annotated[
        float | None, typer.Option("--flip-probability", help="Flip probability of every stored bit.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Device card that gives it: name or path.")] = None,
    budget: Annotated[float, typer.Option("--budget", help="Protected-bit fraction; 0.05 = 5 % of stored bits.")] = 0.0,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="tac, tac-bits-only, tac-always-corrected, mean-only, uniform-msp, uniform-msp-fractional, magnitude, "
            "sensitivity, random or none.",
        ),
    ] = "tac",
    allocation: Annotated[
        str | None, typer.Option("--allocation", help="greedy (the paper's, default) or exact (integer programme).")
    ] = None,
    sensitivity: Annotated[
        str, typer.Option("--sensitivity", help="Jacobian gains by auto, reverse, finite-difference or random-sign.")
    ] = "auto",
    bits: Annotated[
        int | None, typer.Option("--bits", help="Bits per weight, default 8; a card names its own.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="offset_binary (default), twos_complement or sign_magnitude.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Key of every random choice.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan as JSON, for `codesign evaluate`.")] = None,
) -> None:
    """Choose which bits of which layers to protect, and which layers to correct.

    \b
    Example:
      codesign plan --workload small-cnn --flip-probability 0.1 --budget 0.05 --out plan.json
    """
    from qtaml_codesign.nets.workload import load_workload
    from qtaml_codesign.tac.plan import plan as make

    made = make(
        load_workload(workload), method, flip_input(flip_probability, device), budget, seed,
        allocation=allocation, sensitivity=sensitivity, bits=bits, encoding=encoding,
    )
    if out is not None:
        made.save(out)
    _print(made)
    if out is not None:
        print(f"written: {out}")


def _depth(layer: LayerPlan) -> str:
    more = f" (+1 on {layer.deeper})" if layer.deeper else ""
    which = f" (planes {' '.join(map(str, layer.planes))})" if layer.planes else ""
    return f"{layer.depth}/{layer.bits}{more}{which}"


def _correction(layer: LayerPlan) -> str:
    """What is done to the layer: x factor in the codes, then the readout, gain first."""
    written = [f"x{layer.factor:.4g}"] if layer.factor != 1.0 else []
    read = [f"read x{layer.gain:.4g}"] if layer.gain != 1.0 else []
    moved = [f"offset {layer.offset:+.3g}"] if layer.offset != 0.0 else []
    return ", ".join([*written, *read, *moved]) or "no"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _print(made: TacPlan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{made.method} plan for {made.workload}", title_justify="left")
    for column in ("layer", "weights", "scale", "gain J", "score", "depth", "corrected"):
        table.add_column(column, justify="left" if column == "layer" else "right", no_wrap=True)
    for layer in made.layers:
        table.add_row(
            layer.name, str(layer.weights), f"{layer.scale:.4g}", _number(layer.jacobian_gain), _number(layer.score),
            _depth(layer), _correction(layer),
        )
    Console(width=Console(width=_WIDEST).measure(table).maximum).print(table)  # a narrow terminal wraps, nothing is cut
    print(f"overhead: {made.overhead:.4%} of the stored bits protected (budget {made.budget:.4%})")
    if made.rho_star is None:
        print(f"no Jacobian gains: {made.method} needs none; with --sensitivity the output variance is predicted")
    else:
        print(f"rho*: {made.rho_star:.4g} (predicted output variance of TAC / Uniform-MSP; small = uneven layers)")
        print(f"predicted output variance: {made.predicted_variance:.4g}; Uniform-MSP: {made.uniform_variance:.4g}")
        print(f"predicted gain: {made.predicted_gain:.4g} times less output variance than Uniform-MSP at this budget")
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
