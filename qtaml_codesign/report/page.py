"""One page that holds all it needs: the runs as values, the style, and the scripts that show and draw them.

A browser that opens it is told to load nothing (`default-src 'none'`), and to run no scripts but these, which are
named by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

from qtaml_codesign import __version__
from qtaml_codesign.plots.interactive import plotly_script
from qtaml_codesign.report.contents import COMPARED, contents, summary
from qtaml_codesign.report.runs import FinishedRun

SCRIPTS = ("chain.js", "figures.js", "tables.js", "run.js", "page.js")


def report_page(runs: Sequence[FinishedRun]) -> str:
    """The text of the page.

    Args:
        runs: finished runs, one or more; they stand side by side.

    Raises:
        InputError: plotly is not installed, or a card has no flip probability over the run's thicknesses.
    """
    told = {"runs": [contents(run) | {"title": title} for run, title in zip(runs, titles(runs), strict=True)],
            "compared": {"columns": COMPARED, "rows": [[title, *summary(run)] for run, title
                                                       in zip(runs, titles(runs), strict=True)]},
            "program": f"qtaml-codesign {__version__}"}
    drawing, own = _one_line_ends(plotly_script()), "\n".join(_asset(name) for name in SCRIPTS)
    return Template(_asset("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_digest(drawing)} {_digest(own)}; style-src 'unsafe-inline'; "
               "img-src data: blob:; font-src data:",
        style=_asset("page.css"), content=embedded(told), drawing=drawing, script=own)


def titles(runs: Sequence[FinishedRun]) -> list[str]:
    """Card and workload of each run, with its folder where two have the same.

    Args:
        runs: finished runs.
    """
    names = [f"{run.card.name} card, {run.record['workload']['name']}" for run in runs]
    return [f"{name} ({run.folder.name})" if names.count(name) > 1 else name
            for name, run in zip(names, runs, strict=True)]


def embedded(told: Any) -> str:
    """Plain values as JSON that is safe inside a script element, whatever texts they hold.

    Args:
        told: what survives JSON.

    Example:
        >>> embedded({"name": "</script><b>"})
        '{"name":"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e"}'
    """
    text = json.dumps(told, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return _one_line_ends((resources.files("qtaml_codesign.report") / "assets" / name).read_text(encoding="utf-8"))


def _one_line_ends(text: str) -> str:
    """What a browser makes of line ends before it takes the digest of a script."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
