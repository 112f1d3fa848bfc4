"""Run every study, then write the page that sets the paper's claims beside what was measured.

The page is made from the outputs alone: `claims.json`, the Markdown table and the figure of every study.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from lab.cases import Interrupted
from lab.study import DEFAULT_OUT, Scale, Study
from lab.tables import markdown

STUDIES = (
    "distribution", "accuracy_vs_overhead", "allocation", "mismatch", "architectures", "transformer", "noise_models",
    "strategies", "calibration_cost", "linear_response", "encoding_drift", "saturation", "mean_correction",
    "thickness_vs_accuracy", "fine_tuning", "interval_coverage",
)
PAGE = Path("docs/reproduction.md")
HEAD = """# The paper, reproduced

Every claim of arXiv 2606.00741 that can be measured, beside what this program measures. The page is written by
`make studies`; nothing on it is edited by hand. Each row is made by one command, `python studies/NAME.py` (in the
environment of `make demo`: `.venv/bin/python`), with the name in the last column.

Accuracies are means over training seeds (the same 80/20 split, another initialisation and order of examples; seed 0 is
the network that ships), with as many drawings of all flips each as the section says. Intervals are 95 %, Student over
training seeds, which holds the spread over drawings too; differences between methods are paired by training seed, and
both see the same flips. The printed numbers of the paper's tables are not available to us, its claims in words and its
headline figures are.

One rule gives every verdict. A claim *agrees* when the whole interval lies on its side of a bar, *differs* when the
whole interval lies on the other side, and is *not decidable* otherwise, or when only a lost number could decide. The
bar is the paper's own where it prints one. "Helps", "beats" or "is ahead" needs a gain above one percentage point,
"harms" or "costs" a loss above one percentage point, and "recovers" or "never loses" a loss below it. "Similar" or "a
few points" without a number agrees within one percentage point and differs beyond five.

Not every row is a claim of the paper to be tested. An *identity* holds here by construction, so that measuring it tests
nothing: depths that do not depend on the flip probability cannot be planned for a wrong one, and cells that vary
independently are, averaged over chips, cells with one rate. Rows marked *ours* are results that the paper does not
claim. Both are shown and counted apart.
"""
KINDS = {"claim of the paper": "claims of the paper", "identity": "identities", "ours": "results of ours"}


def study_of(name: str) -> Study:
    """The study that studies/NAME.py defines."""
    found: Study = importlib.import_module(name).STUDY
    return found


def write_page(out: Path, page: Path, names: tuple[str, ...] = STUDIES) -> None:
    """Collect the outputs of the studies under `out` into `page`, with the figures in a folder of the page's name."""
    records = [json.loads((out / name / "claims.json").read_text(encoding="utf-8")) for name in names]
    figures = copied_figures(out, page, names)
    sections = [_section(record, out, figures) for record in records]
    parts = [HEAD, verdict_counts(records), *sections]
    page.write_text("\n".join(parts), encoding="utf-8")


def copied_figures(out: Path, page: Path, names: tuple[str, ...]) -> str:
    """Name of the folder beside `page` into which the studies' figures have been copied."""
    figures = page.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(out / name / f"{name}.png", figures / f"{name}.png")
    return figures.name


def verdict_counts(records: list[dict[str, Any]]) -> str:
    """The verdicts counted by kind of claim, above the table of all claims."""
    claims = [(record["name"], claim) for record in records for claim in record["claims"]]
    summary = "; ".join(_counted([claim for _, claim in claims if claim["kind"] == kind], plural)
                        for kind, plural in KINDS.items())
    table = pd.DataFrame([{
        "where": claim["where"], "the paper claims": claim["statement"], "measured": claim["figure"],
        "verdict": f"**{claim['verdict']}**" if claim["verdict"] == "differs" else claim["verdict"],
        "kind": claim["kind"], "study": f"[{name}](#{name})",
    } for name, claim in claims])
    return f"## Claims and verdicts\n\n{summary}.\n\n{markdown(table)}\n"


def _counted(claims: list[dict[str, Any]], plural: str) -> str:
    count = Counter(claim["verdict"] for claim in claims)
    verdicts = ", ".join(f"{count[verdict]} {verdict}" for verdict in ("agrees", "differs", "not decidable"))
    return f"{len(claims)} {plural}: {verdicts}"


def _section(record: dict[str, Any], out: Path, figures: str) -> str:
    name = record["name"]
    _, _, table = (out / name / f"{name}.md").read_text(encoding="utf-8").partition("\n\n")
    lines = [
        f"## {name}",
        f"**{record['title']}** ({record['where']}). `python studies/{name}.py`, {record['sample']}.",
        f"![{record['title']}]({figures}/{name}.png)", table.strip(),
    ]
    lines += [
        f"**{claim['verdict'].capitalize()}: {claim['statement']}** ({claim['where']}; measured {claim['figure']}). "
        f"{claim['because']}" for claim in record["claims"] if _needs_words(claim)
    ]
    return "\n\n".join(lines) + "\n"


def _needs_words(claim: dict[str, Any]) -> bool:
    return claim["verdict"] == "differs" or (claim["verdict"] == "not decidable" and claim["explain_open"])


def run_and_write(
    names: tuple[str, ...], page: Path, write: Callable[[Path, Path], None], seeds: int, what: str | None
) -> None:
    """Command line: run the studies `names`, then write their `page`; `what` is its help."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the outputs (%(default)s)")
    parser.add_argument("--page", type=Path, default=page, help="the page to write (%(default)s)")
    parser.add_argument("--seeds", type=int, default=seeds, help="training seeds per network (%(default)s)")
    parser.add_argument("--trials", type=int, default=30, help="drawings of the flips per network (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    options = parser.parse_args()
    started = time.perf_counter()
    scale = Scale(tuple(range(options.seeds)), options.trials, smoke=False)
    try:
        for name in names:
            study_of(name).run(options.out, scale, options.workers)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        raise SystemExit(130) from None
    write(options.out, options.page)
    print(f"\nwritten: {options.page}, after {(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    run_and_write(STUDIES, PAGE, write_page, seeds=10, what=__doc__)
