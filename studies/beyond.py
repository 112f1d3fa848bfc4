"""Run the studies of what goes past the paper, then write what they measured into docs/beyond.md.

The derivations on the page are written by hand. Everything that was measured stands between a pair of marks,
`<!-- measured: NAME -->` and `<!-- end -->`, and is replaced from the outputs alone: `claims.json`, the Markdown tables
and the figure of every study.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from lab.tables import markdown
from reproduction import copied_figures, run_and_write

STUDIES = ("joint_design", "channel_store", "channel_wise", "code_residuals", "shannon_distance", "blocks")
PAGE = Path("docs/beyond.md")
GOALS = "goals"
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
WORDS = {"agrees": "reached", "differs": "**missed**", "not decidable": "open"}


def write_page(out: Path, page: Path, names: tuple[str, ...] = STUDIES) -> None:
    """Fill the marked blocks of `page` from the outputs of the studies under `out`, figures in a folder of its name.

    Raises:
        KeyError: the page marks a block that no study fills.
    """
    records = {name: json.loads((out / name / "claims.json").read_text(encoding="utf-8")) for name in names}
    figures = copied_figures(out, page, names)
    blocks = {GOALS: _goals(records)} | {name: _measured(record, out, figures) for name, record in records.items()}
    text = page.read_text(encoding="utf-8")
    page.write_text(BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", text), encoding="utf-8")


def _goals(records: dict[str, dict[str, Any]]) -> str:
    """All goals in one table: reached when the whole interval lies on the right side, missed when on the other."""
    return markdown(pd.DataFrame([
        {"goal": claim["statement"], "where": claim["where"], "measured": claim["figure"],
         "": WORDS[claim["verdict"]], "study": f"`studies/{name}.py`"}
        for name, record in records.items() for claim in record["claims"]
    ]))


def _measured(record: dict[str, Any], out: Path, figures: str) -> str:
    """Figure and tables of one study, and the evidence for every goal that is missed or open."""
    name = record["name"]
    _, _, table = (out / name / f"{name}.md").read_text(encoding="utf-8").partition("\n\n")
    lines = [f"![{record['title']}]({figures}/{name}.png)",
             f"**{record['title']}** (`python studies/{name}.py`, {record['sample']}).", table.strip()]
    lines += [f"{WORDS[claim['verdict']].strip('*').capitalize()}: {claim['statement']}. {claim['because']}"
              for claim in record["claims"] if claim["verdict"] == "differs"
              or (claim["verdict"] == "not decidable" and claim["explain_open"])]
    return "\n\n".join(lines)


if __name__ == "__main__":
    run_and_write(STUDIES, PAGE, write_page, seeds=5, what=__doc__)
