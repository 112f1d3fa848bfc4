"""Mutated plan files: refused with one message, or evaluated to an accuracy with its interval."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import TINY_WORKLOAD
from tests.fuzz.odd import mutated, torn
from tests.fuzz.running import faults, generator, run_command

METHODS = ("tac", "uniform-msp", "uniform-msp-fractional", "none", "mean-only", "random")
NAMES = ("factor", "gain", "offset", "depth", "deeper", "scale", "version", "layers", "bits")


@cache
def plan_text(method: str) -> str:
    """A plan for the tiny network."""
    import qtaml_codesign as qc

    space: dict[str, Any] = {}
    exec(TINY_WORKLOAD, space)
    budget = 0.0 if method in ("none", "mean-only") else 0.2
    return qc.plan(space["make"](), method=method, flip_probability=0.1, budget=budget).to_json()


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one plan shows to be wrong."""
    rng = generator(seed, "plans", case)
    content: Any = json.loads(plan_text(rng.choice(METHODS)))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        content = mutated(content, rng, NAMES)
    text = json.dumps(content).encode()
    if rng.random() < 0.25:
        text = torn(text, rng)
    elif rng.random() < 0.1:
        text = rng.choice((b"[" * 100_000, b'{"layers":' * 5000, text * 2, b"\xff\xfe" + text, b"9" * 5000, b""))
    (folder / "plan.json").write_bytes(text)
    (folder / "tiny.py").write_text(TINY_WORKLOAD, encoding="utf-8")
    ended = run_command(["evaluate", "--workload", "tiny.py:make", "--plan", "plan.json", "--trials", "2",
                         *rng.choice((["--flip-probability", "0.1"], ["--device", "3nm"]))], folder)
    return faults(ended) + (_impossible(ended.stdout) if ended.code == 0 else [])


def _impossible(text: str) -> list[str]:
    found = re.search(r"accuracy under flips:\s+(\S+)\s+\[(\S+), (\S+)\]", text)
    if found is None:
        return ["no accuracy in the answer"]
    accuracy, low, high = map(float, found.groups())
    return [] if 0.0 <= low <= accuracy <= high <= 1.0 else [f"accuracy {accuracy} in [{low}, {high}]"]
