"""Exact Jacobian gains against the paper's finite-difference probes, and layers alone against whole passes."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.page import Section
from benchmarks.timing import Ratio, compare
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.memory.deploy import DeployedModel
from qtaml_codesign.nets.inputs import batches
from qtaml_codesign.nets.loading import load_workload
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.nets.workload import Workload
from qtaml_codesign.nets.zoo import ZOO
from qtaml_codesign.tac.correction import PURPOSE, RULES, MeanCorrection, ProtectedLayer, decide

PAIRS = 11
PROBES = 8
STEP = 1e-3
GOAL = 5.0
DRAWINGS = 5
FLIP_PROBABILITY = 0.05
GOAL_NETWORK = "transformer"


def section() -> Section:
    """Every network of the zoo: ratios of time, and the largest error of a layer's gain."""
    measured = {name: measure(load_workload(name)) for name in ZOO}
    alone = {name: layers_alone(load_workload(name)) for name in ZOO}
    return Section(
        title="Calibration: exact Jacobian gains against finite differences",
        method=(
            f"Gains J_l^2 of all layers over the 64 calibration inputs, one thread. Exact: one reverse pass per logit, "
            f"for the gradients by every layer's output; the norm of the weight gradient follows from these and the "
            f"layer's inputs without forming it. The paper: {PROBES} forward probes of step {STEP:g} per layer "
            f"(arXiv 2606.00741, Algorithm 1 step 1), in float64 as `sensitivity='finite-difference'` does, and in "
            f"float32. Ratios above one: exact is faster. Errors: of the worst layer, against gradients of every "
            f"weight in float64, one input and logit at a time. Last two columns: Algorithm 1 step 3, the decision of "
            f"the mean correction by {2 * DRAWINGS} simulations of each layer alone; whole passes over simulations "
            f"that start at the layer, same flips and same decisions."
        ),
        header=["network", "layers", "exact", "probes, float64 / exact", "probes, float32 / exact", "error, exact",
                "error, float64 probes", "error, float32 probes", "layers alone", "whole passes / layers alone"],
        rows=[
            [name, *row, f"{1e3 * alone[name].ours:.1f} ms", alone[name].text()]
            for name, (row, _, _) in measured.items()
        ],
        notes=[*notes(*measured[GOAL_NETWORK][1:]), note_alone(alone)],
    )


def measure(workload: Workload) -> tuple[list[str], Ratio, Ratio]:
    """Cells of a network, and what float64 and float32 probes cost in units of the exact gains."""

    def ours() -> object:
        return jacobian_gains(workload)

    double = compare(ours, lambda: jacobian_gains(workload, "finite-difference", probes=PROBES, step=STEP), PAIRS)
    single = compare(ours, lambda: finite_differences(workload), PAIRS)
    exact, probed, rough = errors(workload)
    cells = [f"{len(workload.weights)}", f"{1e3 * double.ours:.1f} ms", double.text(), single.text()]
    return [*cells, f"{exact:.0e}", f"{probed:.0%}", f"{rough:.0%}"], double, single


def layers_alone(workload: Workload) -> Ratio:
    """The decision of the mean correction, against the same one with passes through the whole network."""
    errors = BitErrorProfile.uniform(FLIP_PROBABILITY).regions[0]
    layers = {name: ProtectedLayer.unprotected(name, weight, errors)
              for name, weight in workload.weights.items()}

    def whole(layer: ProtectedLayer) -> MeanCorrection:
        def deviation(option: MeanCorrection) -> float:
            reader, name = DeployedModel((layer.stored(option),)).prepare(0, purpose=PURPOSE), layer.plain.name
            return sum(moved(name, reader.read(trial).weights[name]) for trial in range(DRAWINGS))

        return min(RULES["decided"](layer), key=deviation)

    def moved(name: str, weight: torch.Tensor) -> float:
        logits = workload.run(workload.calibration, {name: weight})
        return float((logits.double() - clean.double()).square().sum()) / clean.shape[0]

    with single_threaded():
        clean = workload.run(workload.calibration)
        ours, theirs = (
            lambda: decide(workload, layers, RULES["decided"], 0, DRAWINGS),
            lambda: {name: whole(layer) for name, layer in layers.items()},
        )
        if ours() != theirs():
            raise RuntimeError(f"{workload.name}: simulations of layers alone decide otherwise than whole passes")
        return compare(ours, theirs, PAIRS)


def note_alone(measured: dict[str, Ratio]) -> str:
    """What simulations from the layer on save, and what bounds it."""
    low, high = (chosen(measured, key=lambda name: measured[name].middle) for chosen in (min, max))
    return (
        f"Simulations of layers alone: whole passes take {measured[low].middle:.1f} ({low}) to "
        f"{measured[high].middle:.1f} times ({high}) as long. Bound: layers of equal cost would give a factor of two; "
        f"a first layer saves nothing, a last one nearly all. Two more passes find out what can be reused, flips are "
        f"drawn either way, and what a block computes outside of submodules (attention) is computed anew."
    )


def notes(double: Ratio, single: Ratio) -> list[str]:
    """What the figures of the goal's network mean."""
    met = "met" if double.middle >= GOAL else "not met"
    half = "met" if single.middle >= GOAL else "not met"
    return [
        f"Goal: {GOAL:g} times as fast as the probes on the {GOAL_NETWORK}, at equal or better accuracy. Against the "
        f"float64 probes {met} ({double.text()}), against probes in float32 {half} ({single.text()}). The exact gains "
        f"are right to float32 rounding; {PROBES} probes are off by tens of per cent, an error that falls with the "
        f"root of their number, so at equal accuracy no number of probes keeps up. Their cost grows with the number "
        f"of layers, that of the exact gains does not.",
        "Bound: the exact gains need one forward pass and as many reverse passes as there are logits (ten in the zoo), "
        "each at one to two times the cost of a forward pass; the probes need one forward pass per layer and probe.",
    ]


def finite_differences(workload: Workload) -> dict[str, float]:
    """The paper's probes as they are usually written, in float32."""
    with single_threaded(), torch.no_grad():
        module = workload.network.differentiable(torch.float32)
        clean = workload.network.call(module, workload.calibration)
        return {name: _probed(workload, module, name, clean) for name in workload.weights}


def _probed(workload: Workload, module: torch.nn.Module, name: str, clean: torch.Tensor) -> float:
    weight = module.get_parameter(name)
    kept, moved = weight.detach().clone(), 0.0
    for _ in range(PROBES):
        weight.copy_(kept + STEP * torch.randn_like(kept))
        moved += float((workload.network.call(module, workload.calibration) - clean).square().sum())
    weight.copy_(kept)
    return moved / PROBES / STEP**2 / kept.numel() / clean.shape[0]


def errors(workload: Workload) -> tuple[float, float, float]:
    """Largest relative error of a layer's gain: exact, float64 probes, float32 probes."""
    reference = weight_gradients(workload)
    torch.manual_seed(0)
    measured = (
        jacobian_gains(workload).gains,
        jacobian_gains(workload, "finite-difference", probes=PROBES, step=STEP).gains,
        finite_differences(workload),
    )
    exact, probed, rough = (
        max(abs(found[name] / gain - 1.0) for name, gain in reference.items()) for found in measured
    )
    return exact, probed, rough


def weight_gradients(workload: Workload) -> dict[str, float]:
    """Reference: the gradient of every logit of every input by every weight, one by one in float64."""
    with single_threaded():
        module = workload.network.differentiable(torch.float64)
        parameters = {name: module.get_parameter(name) for name in workload.weights}
        squares, samples = np.zeros(len(parameters)), 0
        for sample in batches(workload.calibration, 1):
            samples += 1
            for logit in workload.network.call(module, sample, dtype=torch.float64).flatten():
                parts = torch.autograd.grad(logit, list(parameters.values()), retain_graph=True)
                squares += [float(part.square().sum()) for part in parts]
    sizes = np.array([parameter.numel() for parameter in parameters.values()])
    return dict(zip(parameters, (squares / sizes / samples).tolist(), strict=True))
