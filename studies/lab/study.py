"""A study: cases to measure, and what is made of the rows they leave."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lab.cases import Case, Interrupted, Measure, measure_all
from lab.claims import Claim
from lab.figures import save
from lab.networks import train_missing
from lab.tables import markdown
from qtaml_codesign.errors import CodesignError, InputError

DEFAULT_OUT = Path("runs/studies")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        seeds: training seeds; 0 is the network that ships, the others are trained by the same recipe.
        trials: drawings of all flips per network and point.
        smoke: True for the small version that the tests run: the shipped networks and few trials.
    """

    seeds: tuple[int, ...]
    trials: int
    smoke: bool


@dataclass(frozen=True)
class Study:
    """One result of the paper, or of ours.

    Attributes:
        name: name of the script and of the folder of its outputs.
        title: what is measured, for headings.
        where: section, table or figure of arXiv 2606.00741.
        cases: scale -> cases; a case with "network" and "seed" has that network trained beforehand.
        measure: (case, folder of trained networks) -> rows; a function of its arguments alone.
        figure, table, claims: rows of all cases -> figure, short table, verdicts.
        second_table: rows of all cases -> another table below the first, for a second question.
        decided_by_smoke: keys of the claims whose verdict the smoke version can reach.
        sample: what the figures are averages over, when it is not training seeds x trials.
        most_seeds: training seeds that are enough for this study.
    """

    name: str
    title: str
    where: str
    cases: Callable[[Scale], list[Case]]
    measure: Measure
    figure: Callable[[pd.DataFrame], Figure]
    table: Callable[[pd.DataFrame], pd.DataFrame]
    claims: Callable[[pd.DataFrame], list[Claim]]
    decided_by_smoke: tuple[str, ...] = ()
    sample: str = ""
    most_seeds: int = 1000
    second_table: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Run from the command line: measure what is missing, then write every output anew."""
        options = _parser(self).parse_args(arguments)
        try:
            self.run(options.out, _scale(options), options.workers)
        except Interrupted as stopped:
            print(stopped, file=sys.stderr)
            raise SystemExit(130) from None
        except CodesignError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None

    def run(self, out: Path, scale: Scale, workers: int | None = None) -> list[Claim]:
        """Measure the missing cases on `workers` processes, write csv, png, svg, md and claims.json."""
        scale = replace(scale, seeds=scale.seeds[:self.most_seeds])
        folder = (out / "smoke" if scale.smoke else out) / self.name
        folder.mkdir(parents=True, exist_ok=True)
        networks, crew = out / "networks", workers or (1 if scale.smoke else os.cpu_count() or 1)
        cases = self.cases(scale)
        train_missing([(case["network"], case["seed"]) for case in cases if "network" in case], networks, crew)
        rows = pd.DataFrame(measure_all(self.name, self.measure, cases, folder, networks, crew))
        return self._write(rows, folder, scale)

    def _write(self, rows: pd.DataFrame, folder: Path, scale: Scale) -> list[Claim]:
        makers = [self.table] if self.second_table is None else [self.table, self.second_table]
        table, claims = "\n\n".join(markdown(make(rows)) for make in makers), self.claims(rows)
        rows.to_csv(folder / f"{self.name}.csv", index=False)
        save(self.figure(rows), folder / self.name)
        (folder / f"{self.name}.md").write_text(f"{self._heading(scale)}\n\n{table}\n", encoding="utf-8")
        record = {
            "name": self.name, "title": self.title, "where": self.where, "sample": self._sample(scale),
            "smoke": scale.smoke, "claims": [asdict(claim) for claim in claims],
        }
        (folder / "claims.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"\n{self._heading(scale)}\n\n{table}\n")
        for claim in claims:
            print(f"{claim.verdict:>13}  {claim.where}, {claim.kind}: {claim.statement}\n{'':15}{claim.figure}")
        print(f"\nwritten: {folder}/{self.name}.csv .png .svg .md, claims.json")
        return claims

    def _heading(self, scale: Scale) -> str:
        return f"{self.title} ({self.where}; {self._sample(scale)})"

    def _sample(self, scale: Scale) -> str:
        networks = "the shipped network" if len(scale.seeds) == 1 else f"{len(scale.seeds)} training seeds"
        return self.sample or f"{networks} x {scale.trials} trials"


def _parser(study: Study) -> argparse.ArgumentParser:
    described: Any = inspect.getmodule(study.measure)
    parser = argparse.ArgumentParser(
        description=described.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The same command again continues where it stopped. Delete the folder to measure anew.",
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder for the outputs (%(default)s)")
    parser.add_argument("--smoke", action="store_true", help="the small version: one seed, few trials, seconds")
    parser.add_argument("--seeds", type=_positive, help="training seeds per network (10; smoke: 1)")
    parser.add_argument("--trials", type=_positive, help="drawings of the flips per network and point (30; smoke: 6)")
    parser.add_argument("--workers", type=_positive, help="processes (all cores; smoke: 1)")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number >= 1 is needed, not {text!r}")
    return int(text)


def _scale(options: argparse.Namespace) -> Scale:
    seeds = options.seeds or (1 if options.smoke else 10)
    trials = options.trials or (6 if options.smoke else 30)
    if trials < 2:
        raise InputError("one trial has no spread", where="--trials", rule="trials >= 2", value=trials,
                         next_step="30 is the default")
    return Scale(tuple(range(seeds)), trials, options.smoke)
