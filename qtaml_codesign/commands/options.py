"""Options that the commands which run trials have in common."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[str, typer.Option("--device", help="Device card: a shipped name or a path.")]
WorkloadName = Annotated[str, typer.Option("--workload", help="Zoo name or FILE.py:FACTORY.")]
Budgets = Annotated[
    str | None,
    typer.Option("--budget", help="Protected-bit fractions, comma separated. Default: nine from 0 to 0.375."),
]
Target = Annotated[float, typer.Option("--target", help="Fraction of the clean accuracy to keep.")]
Seed = Annotated[int, typer.Option("--seed", help="Key of every random choice.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Worker processes. Default: the usable CPUs, at most 8.")
]
Allocation = Annotated[
    str | None, typer.Option("--allocation", help="greedy (the paper's, default) or exact (integer programme).")
]
