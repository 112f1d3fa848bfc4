"""Memory and time of a plan and its trials on a network of 110 million weights, and how the cost grows up to there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.encoder import FLIP_PROBABILITY, TRIALS, Encoder, labelled, sequences
from benchmarks.page import FIGURES, ROOT, Section
from qtaml_codesign import Workload, plan
from qtaml_codesign.memory.trial import Trials
from qtaml_codesign.nets.threads import single_threaded
from qtaml_codesign.tac.evaluation import deploy_plan

FIGURE = "size.png"
SHAPES = ((48, 2), (96, 3), (128, 5), (192, 7), (256, 12), (448, 12), (768, 12))
SAMPLES = 16
SECONDS_A_SIZE = 3.0
MEMORY_GOAL, TIME_GOAL, SLOPE_ERROR = 2.5, 4.0, 0.1
METHODS = ("tac", "tac-bits-only")
CORRECTION_TRIALS = 5
COLOURS = ("#0b5394", "#c1440e", "#2f7d32")


@dataclass(frozen=True)
class Cost:
    """Fastest seconds of one network: a whole trial, its reading of the memory, and the bare forward passes."""

    weights: int
    trial: float
    reading: float
    forward: float


def section() -> Section:
    """BERT-base in a process of its own for each method, then trials of encoders from 10^5 to 10^8 weights."""
    took = {method: run(method) for method in METHODS}
    costs = [cost(*shape) for shape in SHAPES]
    draw(costs, took["tac"])
    one = took["tac"]
    return Section(
        title="Size: BERT-base, and from 10^5 to 10^8 weights",
        method=(
            f"An encoder of the shape of BERT-base ({one['weights'] / 1e6:.0f} million stored weights, random; two "
            f"calibration and eight evaluation sequences of 32 tokens), one thread, in a process of its own: workload, "
            f"plan, {TRIALS} trials. Peak resident memory in units of the float32 weights "
            f"({one['model'] / 1e6:.0f} MB), above the process with torch and this package loaded and used once on a "
            f"small network, and above the process with torch alone. The caller drops its own module once the "
            f"workload is built, as a workload function in a file does; who keeps it adds 1.0. Time in units of the "
            f"bare passes: one forward pass with a reverse pass per logit, 1 + {TRIALS} over the evaluation inputs, "
            f"and for `tac` 1 + {2 * CORRECTION_TRIALS} per layer over the calibration inputs, which its "
            f"mean-correction decision is made of. Below: seconds of a trial (reading all weights with flips, "
            f"{SAMPLES} sequences) against stored weights, the fastest of several."
        ),
        header=["method", "peak / weights", "with libraries", "after the workload", "workload, plan, trials", "bare",
                "time / bare"],
        rows=[row(method, took[method]) for method in METHODS],
        notes=notes(took, costs),
        figure=FIGURE,
    )


def run(method: str) -> dict[str, float]:
    """What `benchmarks.encoder` prints: bytes and seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder", method], check=True, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(method: str, took: dict[str, float]) -> list[str]:
    """Cells of one method."""
    peak, libraries, workload = peaks(took)
    times = " + ".join(f"{took[part]:.1f}" for part in ("workload_s", "plan_s", "trials_s"))
    return [f"`{method}`", f"{peak:.2f}", f"{libraries:.2f}", f"{workload:.2f}", f"{times} s",
            f"{bare_seconds(method, took):.1f} s", f"{spent(took) / bare_seconds(method, took):.2f}"]


def peaks(took: dict[str, float]) -> tuple[float, float, float]:
    """Peak above the loaded package, above torch alone, and above the package once the workload is built."""
    highest = max(took["plan"], took["trials"])
    above = (highest - took["package"], highest - took["torch"], took["workload"] - took["package"])
    peak, libraries, workload = (part / took["model"] for part in above)
    return peak, libraries, workload


def spent(took: dict[str, float]) -> float:
    """Seconds from the module to the end of the trials."""
    return took["workload_s"] + took["plan_s"] + took["trials_s"]


def bare_seconds(method: str, took: dict[str, float]) -> float:
    """Seconds of the passes that the method needs."""
    decisions = 1 + 2 * CORRECTION_TRIALS * took["layers"] if method == "tac" else 0
    return took["bare_gains_s"] + decisions * took["bare_calibration_s"] + (1 + TRIALS) * took["bare_evaluation_s"]


def cost(width: int, layers: int) -> Cost:
    """Time trials of one encoder; vocabulary in proportion to the layers' weights, as in BERT-base."""
    tokens = round(30522 * width * layers / (768 * 12))
    torch.manual_seed(width)
    model = Encoder(width, layers, tokens).eval()
    workload = Workload(model, sequences(2, tokens), labelled(model, sequences(SAMPLES, tokens)))
    chosen = plan(workload, "none", FLIP_PROBABILITY)
    memory = deploy_plan(workload, chosen, FLIP_PROBABILITY)
    taken: list[tuple[float, float, float]] = []
    with single_threaded():
        trials, reader = Trials(workload, memory, seed=0), memory.prepare(seed=0)
        trials.run(0)
        while len(taken) < 3 or sum(map(sum, taken)) < SECONDS_A_SIZE:
            marks = [time.perf_counter()]
            trials.run(len(taken))
            marks.append(time.perf_counter())
            reader.read(len(taken))
            marks.append(time.perf_counter())
            workload.score_by_group().sum()
            marks.append(time.perf_counter())
            taken.append((marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]))
    return Cost(memory.bits_stored // 8, *np.min(taken, axis=0).tolist())


def slope(costs: list[Cost]) -> float:
    """Exponent of the trial's time in the number of weights, by least squares in logs."""
    return float(np.polyfit(np.log([one.weights for one in costs]), np.log([one.trial for one in costs]), 1)[0])


def notes(took: dict[str, dict[str, float]], costs: list[Cost]) -> list[str]:
    """Goals against figures, and where the bytes are."""
    peak, libraries, _ = peaks(took["tac"])
    full, bits_only = (spent(took[method]) / bare_seconds(method, took[method]) for method in METHODS)
    found, one = slope(costs), took["tac"]
    floats, codes, loaded = 4 * one["weights"], one["weights"], one["package"] - one["torch"]
    rest = peak * one["model"] - one["model"] - floats - codes
    return [
        f"Memory, goal {MEMORY_GOAL:g}: {verdict(peak <= MEMORY_GOAL)} with {peak:.2f} for what grows with the "
        f"network; above torch alone {verdict(libraries <= MEMORY_GOAL)} with {libraries:.2f}, because the compiler "
        f"and libraries it loads take {loaded / 1e6:.0f} MB whatever the network. Bytes at the peak, in a trial: "
        f"the private float32 network {one['model'] / 1e6:.0f} MB, the codes {codes / 1e6:.0f} MB, the weights read "
        f"back {floats / 1e6:.0f} MB, all else {rest / 1e6:.0f} MB. Less than "
        f"{(one['model'] + floats + codes) / 1e6:.0f} MB needs a forward pass that reads one layer at a time.",
        f"Time, goal {TIME_GOAL:g}: {verdict(max(full, bits_only) <= TIME_GOAL)}, {full:.2f} and {bits_only:.2f} times "
        f"the bare passes. The default method spends {one['plan_s']:.0f} s on the plan because Algorithm 1, step 3, "
        f"simulates each of {one['layers']:.0f} layers alone, {2 * CORRECTION_TRIALS} times; `tac-bits-only` leaves "
        f"that step out.",
        f"Growth, goal slope 1.0 +- {SLOPE_ERROR:g}: {verdict(abs(found - 1.0) <= SLOPE_ERROR)}, slope {found:.2f} "
        f"from {costs[0].weights:.1e} to {costs[-1].weights:.1e} weights.",
    ]


def verdict(met: bool) -> str:
    return "met" if met else "not met"


def draw(costs: list[Cost], took: dict[str, float]) -> None:
    """docs/performance/size.png: seconds of a trial against weights, and what the memory holds."""
    figure = Figure(figsize=(11.0, 4.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1.0))
    weights = np.array([one.weights for one in costs], dtype=float)
    for name, colour, marker in zip(("trial", "forward", "reading"), COLOURS, "os^", strict=True):
        label = {"trial": f"one trial: slope {slope(costs):.2f}", "forward": "its forward passes, bare",
                 "reading": "its flips and read-back"}[name]
        left.loglog(weights, [getattr(one, name) for one in costs], color=colour, marker=marker, label=label, lw=1.8)
    middle = float(np.exp(np.mean(np.log([one.trial / one.weights for one in costs]))))
    left.loglog(weights, middle * weights, color="0.55", ls=":", lw=1.4, label="slope 1")
    left.set(xlabel="stored weights", ylabel="seconds, one thread", title="Cost of a trial")
    left.grid(which="major", color="0.9")
    left.legend(frameon=False)
    draw_memory(took, right)
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / FIGURE, metadata={"Software": None})


def draw_memory(took: dict[str, float], axes: Any) -> None:
    """One column: what the process holds at its peak, in units of the float32 weights."""
    unit = took["model"]
    parts = {"private network": unit, "codes": took["weights"], "weights read back": 4 * took["weights"]}
    parts["all else"] = max(took["plan"], took["trials"]) - took["package"] - sum(parts.values())
    parts["libraries"] = took["package"] - took["torch"]
    bottom = 0.0
    for (name, size), colour in zip(parts.items(), (*COLOURS, "#8c6d1f", "#d9d9d9"), strict=True):
        axes.bar(0, size / unit, bottom=bottom, color=colour, width=0.8)
        axes.text(0.5, bottom + size / unit / 2, f"{name}: {size / 1e6:.0f} MB", va="center")
        bottom += size / unit
    axes.hlines(MEMORY_GOAL, -0.9, 0.4, color="0.1", ls="--", lw=1.4)
    axes.text(-0.85, MEMORY_GOAL, "goal", va="bottom", ha="left")
    axes.set(ylabel="peak memory / float32 weights", xlim=(-0.9, 2.4), ylim=(0, 3), xticks=[],
             title=f"Memory, {took['weights'] / 1e6:.0f} million weights")
    axes.spines[["top", "right"]].set_visible(False)
