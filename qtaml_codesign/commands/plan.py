"""`codesign plan`: one protection plan for one network, flip probability and budget."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtaml_codesign.commands.inputs import flip_input, tell_extremes
from qtaml_codesign.commands.options import (
    Allocation,
    Block,
    Budget,
    Cells,
    Changed,
    Data,
    FlipRate,
    Margin,
    MaybeDevice,
    Network,
    PlanMethod,
    Seed,
    Sensitivity,
)
from qtaml_codesign.commands.running import progress_shown, tell_loading
from qtaml_codesign.commands.show import print_table, say

WELL_SPENT = 0.98

if TYPE_CHECKING:
    from qtaml_codesign.bits.cell_law import CellLaw
    from qtaml_codesign.tac.layers import LayerPlan
    from qtaml_codesign.tac.plan import TacPlan


def plan(
    workload: Network,
    data: Data = None,
    flip_probability: FlipRate = None,
    device: MaybeDevice = None,
    changed: Changed = None,
    budget: Budget = "0",
    cells: Cells = None,
    margin: Margin = None,
    block: Block = None,
    method: PlanMethod = "tac",
    allocation: Allocation = None,
    sensitivity: Sensitivity = None,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Bits per weight, default 8; a card names its own.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="offset_binary (default), twos_complement or sign_magnitude.")
    ] = None,
    seed: Seed = 0,
    price: Annotated[
        bool, typer.Option("--price", help="Also price protected bits under the cheapest real code at this flip "
                           "probability; what it leaves is measured once, by decoding: up to a minute.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan as JSON, for `codesign evaluate`.")] = None,
) -> None:
    """Choose which bits of which layers to protect, and which layers to correct.

    \b
    Example:
      codesign plan --workload small-cnn --flip-probability 0.1 --budget 0.05 --out plan.json
    """
    tell_loading(f"workload {workload}")
    from qtaml_codesign.bits.cell_law import as_profile
    from qtaml_codesign.commands.ranges import parse_fraction, parse_number
    from qtaml_codesign.nets.loading import load_workload
    from qtaml_codesign.sweeps.progress import SweepProgress
    from qtaml_codesign.tac.api import plan as make

    flips, fraction = flip_input(flip_probability, device, changed), parse_fraction(budget, "--budget")
    spent = None if cells is None else parse_number(cells, "--cells")
    tell_extremes(flips)
    given = {"sensitivity": sensitivity, "margin": margin}
    more: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if price:
        _check_price(method, fraction)
    network = load_workload(workload, data)
    for warning in network.warnings:
        say(f"warning: {warning}", sys.stderr)
    with progress_shown() as show:
        made = make(
            network, method, flips, fraction, seed, cells=spent, block=block, allocation=allocation, bits=bits,
            encoding=encoding, progress=lambda *state: show(SweepProgress(*state)), **more,
        )
    if out is not None:
        made.save(out)
    _print(made, network.exposure.text, as_profile(flips).assign(list(network.weights)), price)
    if made.cells is not None and spent is None and not made.reason:
        say(f"note: no --cells were given, so {made.cells:g} cells per weight may be spent, as many as plain 8-bit "
            "codes take", sys.stderr)
    if out is not None:
        print(f"written: {out}")


def _check_price(method: str, budget: float) -> None:
    """Refuse `--price` where there are no protected bits that could be priced."""
    from qtaml_codesign.errors import InputError
    from qtaml_codesign.tac.auto import AUTO
    from qtaml_codesign.tac.choices import need_method
    from qtaml_codesign.tac.methods import SPENDING_METHODS

    need_method("price (--price)", "--price", "protects bits that a code could be priced for", [method],
                (*SPENDING_METHODS, AUTO))
    if budget == 0.0:
        raise InputError("there are no protected bits to price", where="price (--price)", rule="a budget above 0",
                         value=f"budget 0, with {method}", next_step="give --budget, or leave --price out: cells per "
                         "weight are always told")


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


def _print(made: TacPlan, exposed: str, laws: Mapping[str, CellLaw], measure: bool) -> None:
    from qtaml_codesign.report.costs import cost_lines

    say(f"{made.method} plan for {made.workload}")
    say(f"exposed: {exposed}")
    _print_layers(made)
    if made.cells is None:
        say(f"overhead: {made.overhead:.4%} of the stored bits protected (budget {made.budget:.4%})")
    if made.overhead < WELL_SPENT * made.budget:
        say("  a budget buys whole bit planes of whole layers; what is left of it buys no further one")
    for line in cost_lines(made, laws, measure):
        say(line)
    _print_prediction(made)
    if made.reason:
        say(f"chosen: {made.reason}")
    for warning in made.warnings:
        say(f"warning: {warning}", sys.stderr)


def _print_layers(made: TacPlan) -> None:
    """A table of the layers with their protection and correction, and one of those whose store was chosen."""
    from qtaml_codesign.tac.layers import LayerPlan, StoredLayer

    protected = [
        (layer.name, str(layer.weights), f"{layer.scale:.4g}", _number(layer.jacobian_gain), _number(layer.score),
         _depth(layer), _correction(layer)) for layer in made.layers if isinstance(layer, LayerPlan)
    ]
    stored = [
        (layer.name, str(layer.weights), _number(layer.jacobian_gain), _number(layer.score),
         f"{layer.codec.cells:.3g}", layer.codec.summary) for layer in made.layers if isinstance(layer, StoredLayer)
    ]
    if protected:
        print_table(("layer", "weights", "scale", "gain J", "score", "depth", "corrected"), protected, left=("layer",))
    if stored:
        print_table(("layer", "weights", "gain J", "score", "cells", "store"), stored, left=("layer",), text=("store",))


def _print_prediction(made: TacPlan) -> None:
    if made.predicted_variance is not None and made.error_floor is not None:
        _print_distance(made.predicted_variance, made.error_floor)
        return
    if made.rho_star is None and any(layer.jacobian_gain is not None for layer in made.layers):
        return
    if made.rho_star is None:
        say(f"no Jacobian gains: {made.method} needs none; with --sensitivity the output variance is predicted")
        return
    say(f"rho*: {made.rho_star:.4g} (predicted output variance of TAC / Uniform-MSP; small = uneven layers)")
    say(f"predicted output variance: {made.predicted_variance:.4g}; Uniform-MSP here: {made.uniform_variance:.4g}")
    say(f"predicted gain: {made.predicted_gain:.4g} times less output variance than Uniform-MSP at this budget")


def _print_distance(error: float, floor: float) -> None:
    from qtaml_codesign.ecc.rate_distortion import distance_dB

    away = f", {float(distance_dB(error, floor)):.1f} dB above it" if floor > 0.0 else ""
    say(f"expected squared error of the outputs, those of single weights added up: {error:.4g}; Shannon's floor for so "
        f"many cells: {floor:.4g}{away}")
