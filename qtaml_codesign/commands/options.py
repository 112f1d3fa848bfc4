"""Options that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from qtaml_codesign.tac.methods import METHODS

METHOD_LIST = f"{', '.join(METHODS[:-1])} or {METHODS[-1]}"


def _cards(incomplete: str) -> list[str]:
    from qtaml_codesign.cards import list_cards

    return [name for name in list_cards() if name.startswith(incomplete)]


def _methods(incomplete: str) -> list[str]:
    return [name for name in METHODS if name.startswith(incomplete)]


Device = Annotated[
    str, typer.Option("--device", help="Device card: a shipped name or a path.", autocompletion=_cards)
]
MaybeDevice = Annotated[
    str | None, typer.Option("--device", help="Device card that gives it: name or path.", autocompletion=_cards)
]
Changed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field of the card, such as barrier.height_eV=3.2; "
                 "repeat it for several."),
]
WorkloadName = Annotated[str, typer.Option("--workload", help="Zoo name or FILE.py:FACTORY.")]
Method = Annotated[str, typer.Option("--method", help=f"{METHOD_LIST}.", autocompletion=_methods)]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help=f"{METHOD_LIST}; repeat it for several. Default: tac and uniform-msp.",
                 autocompletion=_methods),
]
Budgets = Annotated[
    str | None,
    typer.Option("--budget", help="Protected-bit fractions, comma separated, such as 0.05 or 5%. Default: nine from 0 "
                 "to 37.5%."),
]
Budget = Annotated[
    str, typer.Option("--budget", help="Protected-bit fraction; 0.05 or 5% of the stored bits.")
]
FlipRate = Annotated[
    str | None,
    typer.Option("--flip-probability", help="Flip probability of every stored bit; 0 for quantisation alone."),
]
Target = Annotated[
    str | None,
    typer.Option("--target", help="What to keep: 0.95 or 95% of the clean value, 'clean + 0.1', 'clean - 0.02' or '= "
                 "12.5'. Default: 0.95, or 1.05 where smaller is better."),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", help="accuracy, top-5 (any K), cross-entropy, perplexity, rmse, mae or agreement (with "
                 "the clean network). Default: the workload's own."),
]
Seed = Annotated[int, typer.Option("--seed", help="Key of every random choice.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Worker processes. Default: the usable CPUs, at most 8.")
]
Allocation = Annotated[
    str | None, typer.Option("--allocation", help="greedy (the paper's, default) or exact (integer programme).")
]
Sensitivity = Annotated[
    str | None,
    typer.Option("--sensitivity", help="Jacobian gains by auto, reverse, finite-difference or random-sign."),
]
