"""Options that several commands have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from qtaml_codesign.tac.methods import CELL_METHODS, METHODS

METHOD_LIST = f"{', '.join(METHODS[:-1])} or {METHODS[-1]}"
OF_CELLS = f"for methods that choose the store ({', '.join(CELL_METHODS)})"


def _cards(incomplete: str) -> list[str]:
    from qtaml_codesign.cards import list_cards

    return [name for name in list_cards() if name.startswith(incomplete)]


def _methods(incomplete: str) -> list[str]:
    return [name for name in METHODS if name.startswith(incomplete)]


Device = Annotated[
    str, typer.Option("--device", help="Device card: a shipped name or a path.", autocompletion=_cards)
]
Network = Annotated[
    str, typer.Option("--workload", help="Zoo name, FILE.py:FACTORY, a folder of Hugging Face transformers, FILE.onnx, "
                      "or FILE.pt2 of torch.export; the last three with --data.")
]
Data = Annotated[
    str | None, typer.Option("--data", help="FILE.npz or FILE.safetensors with inputs, labels and, where other samples "
                             "are meant, calibration.")
]
Rows = Annotated[Path | None, typer.Option("--csv", help="Write all rows there, in full precision.")]
Devices = Annotated[
    list[str], typer.Option("--device", help="Device card: a shipped name or a path; repeat it to compare cards.",
                            autocompletion=_cards)
]
MaybeDevice = Annotated[
    str | None, typer.Option("--device", help="Device card that gives it: name or path.", autocompletion=_cards)
]
Changed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field of the card, such as barrier.height_eV=3.2; "
                 "repeat it for several."),
]
PlanMethod = Annotated[
    str, typer.Option("--method", help=f"{METHOD_LIST}; auto: what moves the outputs least.", autocompletion=_methods)
]
Method = Annotated[str, typer.Option("--method", help=f"{METHOD_LIST}.", autocompletion=_methods)]
Cells = Annotated[
    str | None, typer.Option("--cells", help=f"Cells per weight, {OF_CELLS}; default 8.")
]
Margin = Annotated[
    float | None,
    typer.Option("--margin", help="Design margin on the raw bit error rate: words and codes are made for so many times "
                 f"the flip probability, {OF_CELLS}. 1.2 holds at 1.2 p. Default: 1."),
]
Block = Annotated[
    int | None,
    typer.Option("--block", help=f"Weights that share a mean and a scale, {OF_CELLS}. Default: an output channel's."),
]
Budget = Annotated[
    str, typer.Option("--budget", help="Protected-bit fraction; 0.05 or 5% of the stored bits.")
]
FigureFormat = Annotated[
    str | None, typer.Option("--format", metavar="png|svg|pdf", help="Format of the figures. Default: png.")
]
FlipRate = Annotated[
    str | None,
    typer.Option("--flip-probability", help="Flip probability of every stored bit; 0 for quantisation alone."),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", help="accuracy, top-K (K below the number of classes), cross-entropy, perplexity, "
                 "rmse, mae, label-accuracy, binary-cross-entropy or agreement (with the clean network). Default: the "
                 "workload's own."),
]
Seed = Annotated[int, typer.Option("--seed", help="Key of every random choice.")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Address of a Dask scheduler, dask://HOST:PORT: its workers run the trials, instead "
                 "of --workers."),
]
Allocation = Annotated[
    str | None, typer.Option("--allocation", help="greedy (the paper's, default) or exact (integer programme).")
]
Sensitivity = Annotated[
    str | None,
    typer.Option("--sensitivity", help="Jacobian gains by auto, reverse, finite-difference or random-sign."),
]


@dataclass(frozen=True)
class TrialOptions:
    """The options of the commands that run trials, `sweep` and `frontier`."""

    device: Device
    workload: Network = "small-cnn"
    data: Data = None
    changed: Changed = None
    thickness: Annotated[str | None, typer.Option("--thickness", help="Oxide thickness in nm.")] = None
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="Protected-bit fractions, comma separated, such as 0.05 or 5%. Default: nine "
                     "from 0 to 37.5%."),
    ] = None
    cells: Annotated[
        str | None,
        typer.Option("--cells", help=f"Cells per weight, comma separated, {OF_CELLS}; they take the place of a budget. "
                     "Plain codes take 8. Default: 8."),
    ] = None
    margin: Margin = None
    block: Block = None
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help=f"{METHOD_LIST}; several comma separated, or repeat it. Default: tac and "
                     "uniform-msp.", autocompletion=_methods),
    ] = None
    target: Annotated[
        str | None,
        typer.Option("--target", help="What to keep: 0.95 or 95% of the clean value, 'clean + 0.1', 'clean - 0.02' or "
                     "'= 12.5'. Default: 0.95, or 1.05 where smaller is better."),
    ] = None
    metric: Metric = None
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="A point has enough drawings when the 95 % interval of its value is +- "
                     "this. Default: 0.01."),
    ] = None
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", help="Most drawings per point. Default: 320.")
    ] = None
    seed: Seed = 0
    workers: Annotated[
        int | None, typer.Option("--workers", help="Worker processes. Default: the usable CPUs, at most 8.")
    ] = None
    cluster: Cluster = None
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results. Default: in runs/, named after the card, the workload and "
                     "what --set changes."),
    ] = None
    figure_format: FigureFormat = None
    allocation: Allocation = None
    sensitivity: Sensitivity = None
    sample: Annotated[
        int | None,
        typer.Option("--sample", help="Cards to draw within the ranges that the card states: a band of each thickness.")
    ] = None
    decode: Annotated[
        bool, typer.Option("--decode", help="Encode, flip and decode codewords of methods with a real code (joint) in "
                           "every trial, instead of drawing what the code is known to leave.")
    ] = False
    reuse: Annotated[
        list[Path] | None,
        typer.Option("--reuse", help="Folder of an earlier sweep whose trials may be used, of any card; repeat it for "
                     "several. Default: all folders in runs/; none when --out is given."),
    ] = None


Options = TypeVar("Options")


def taking(kind: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Make a function of one dataclass a command whose options are the fields of that kind.

    Args:
        kind: a dataclass; its annotations hold what typer shows.

    Example:
        >>> @dataclass
        ... class Given:
        ...     seed: Seed = 0
        >>> @taking(Given)
        ... def show(given: Given) -> None:
        ...     print(given.seed)
        >>> show(seed=3)
        3
        >>> list(signature(show).parameters)
        ['seed']
    """
    hints = get_type_hints(kind, include_extras=True)
    shape = signature(kind)
    parameters = [one.replace(annotation=hints[one.name]) for one in shape.parameters.values()]

    def as_command(function: Callable[[Options], None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            function(kind(**given))

        vars(command)["__signature__"] = shape.replace(parameters=parameters)  # what typer reads
        return command

    return as_command
