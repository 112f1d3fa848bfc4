"""How long the command line takes to say what it can do."""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.page import ROOT, Section

STARTS = 7


def section() -> Section:
    """User plus system time of `python cli.py --help`."""
    used = sorted(_cpu_seconds() for _ in range(STARTS))
    return Section(
        title="Start of the command line",
        method=f"`codesign --help`, {STARTS} starts: user plus system time.",
        header=["fastest", "median", "slowest"],
        rows=[[f"{used[0]:.2f} s", f"{used[STARTS // 2]:.2f} s", f"{used[-1]:.2f} s"]],
    )


def _cpu_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(ROOT / "cli.py"), "--help"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
