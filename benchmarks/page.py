"""What one benchmark reports, and docs/performance.md made from all of them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "runs" / "bench"
PAGE = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "performance"
INTRODUCTION = (
    "Made by `make bench`. Every figure is a ratio of two pieces of work timed in turn in one process: the median of "
    "the pairs, with the smallest and the largest in brackets.\n"
)
PACKAGES = ("numpy", "scipy", "numba", "torch")


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the page.

    Args:
        title: heading.
        method: what was timed against what; a Markdown paragraph.
        header: column names of the table.
        rows: cells as text, one list per row.
        notes: paragraphs below the table, made from what was measured: which goal was met, and why another was not.
        figure: file name in docs/performance, or "".
    """

    title: str
    method: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    figure: str = ""

    def markdown(self) -> str:
        """The section as Markdown."""
        table = [self.header, ["---"] * len(self.header), *self.rows]
        lines = [f"## {self.title}", "", self.method, "", *(f"| {' | '.join(row)} |" for row in table)]
        for note in self.notes:
            lines += ["", note]
        if self.figure:
            lines += ["", f"![{self.title}](performance/{self.figure})"]
        return "\n".join(lines) + "\n"

    def save(self, name: str) -> None:
        """Keep it under runs/bench with the machine it was measured on."""
        KEPT.mkdir(parents=True, exist_ok=True)
        kept = {"machine": machine(), "section": asdict(self)}
        (KEPT / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def write_page(names: list[str]) -> None:
    """docs/performance.md from the kept sections, in this order; a benchmark that has not run is named as missing."""
    parts = ["# Performance\n", INTRODUCTION]
    machines: dict[str, list[str]] = {}
    for name in names:
        path = KEPT / f"{name}.json"
        if not path.exists():
            parts.append(f"## {name}\n\nNot measured yet: `python -m benchmarks {name}`.\n")
            continue
        kept = json.loads(path.read_text())
        machines.setdefault(kept["machine"], []).append(name)
        parts.append(Section(**kept["section"]).markdown())
    parts[2:2] = [f"Measured on: {where} ({', '.join(which)}).\n" for where, which in machines.items()]
    PAGE.write_text("\n".join(parts))


def machine() -> str:
    """Processor, cores and versions."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def processor() -> str:
    """Name of the processor, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
