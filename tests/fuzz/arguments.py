"""Argument lists over all commands and options, as the program itself declares them, with right and wrong values."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from tests.conftest import TINY_WORKLOAD
from tests.fuzz.odd import VALUES, misspelt
from tests.fuzz.plans import plan_text
from tests.fuzz.running import faults, faults_of_tables, files_in, generator, run_command

GOOD = {
    "device": ("3nm", "3nm", "sram_6t", "2nm"), "card": ("3nm", "card.yaml"), "workload": ("tiny.py:make",
    "tiny.py:wider"),
    "plan": ("plan.json",), "thickness": ("1.76", "1.74:1.8:3", "1.7:1.8"), "budget": ("0.25", "0", "0.1,0.25", "0.5"),
    "cells": ("4", "2,4", "8"),
    "vary": ("window_s=1e-7:1e-6:3", "barrier.height_eV=3:3.2:2", "cell.electrons=40:50:11"), "trials": ("2", "3"),
    "half_width": ("0.2",), "max_trials": ("4",), "flip_probability": ("0.1", "0.01", "1e-3"), "seed": ("0", "5"),
    "method": ("tac", "uniform-msp", "none", "random", "magnitude"), "target": ("0.9", "0.95", "1"), "workers": ("1",),
    "allocation": ("greedy", "exact"), "sensitivity": ("reverse", "auto"), "bits": ("4", "8"),
    "noise": ("msb-heavier",), "encoding": ("twos_complement", "sign_magnitude"),
    "tail": ("poisson", "binomial"), "out": ("out/new",),
    "csv": ("out/table.csv",), "reuse": ("out",), "tolerance": ("1",), "tolerance_pm": ("20",),
}
STEERING = ("trials", "half_width", "max_trials", "workers", "out", "workload", "seed", "csv")
BAD = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "1e999", "1e-320", "5%", "0.1;0.2", "0.1,,", ",", ":", "a:b:c", "2:1:5",
    "1.7:1.8:0", "1.7:1.8:1e9", "1.7:1.8:99999999999", "1:2:3:4:5", "=", "x=1:2:3", "window_s=", "missing",
    "missing.yaml", "missing.py:make", "tiny.py", "tiny.py:", "tiny.py:nothing", ":make", "plan.json", "tiny.py:make",
    "\u0665", "a\nb", "../..", ".", "/", "~", "*", "--", "-", "[red]", "'", "3nm,2nm", "a" * 5000, "1" * 400,
    "\U0001f4a5", "--help",
)


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Every command by the words that name it."""
    from qtaml_codesign.commands.main import app

    def walk(command: Any, words: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
        if not hasattr(command, "commands"):
            return {words: command}
        return {key: one for name, inner in command.commands.items()
                for key, one in walk(inner, (*words, name)).items()}

    return walk(typer.main.get_command(app), ())


def argument_list(rng: random.Random) -> list[str]:
    """One command line; values that would only make it long (trials, workers) are small or refused."""
    words, command = rng.choice(sorted(commands().items(), key=lambda item: item[0]))
    found = [misspelt(word, rng) if rng.random() < 0.02 else word for word in words]
    for parameter in command.params:
        name = str(parameter.name)
        steering = name in STEERING and words[0] in ("sweep", "frontier", "evaluate", "verify", "plan")
        if rng.random() > (1.0 if steering else 0.97 if parameter.required else 0.3):
            continue
        flags = list(parameter.opts) + list(parameter.secondary_opts)
        flag = [] if parameter.param_type_name == "argument" else [rng.choice(flags)]
        if getattr(parameter, "is_flag", False):
            found += flag
            continue
        good = rng.random() < 0.85 and name in GOOD
        value = rng.choice(GOOD[name]) if good else rng.choice((*BAD, *(str(odd) for odd in VALUES if odd is not None)))
        if name in ("trials", "max_trials", "workers") and value[:1].isdigit() and len(value) < 30 and not good:
            value = "0"
        found += [*flag, value]
    if rng.random() < 0.03:
        found.insert(rng.randrange(len(found) + 1), rng.choice((*BAD, "--debg", "--version", "-h")))
    return [word.replace("\0", "") for word in found]


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one argument list shows to be wrong, in its answer, its tables and the files it leaves."""
    given = {
        "tiny.py": TINY_WORKLOAD, "plan.json": plan_text("uniform-msp"),
        "card.yaml": (Path(__file__).parents[2] / "devices" / "3nm.yaml").read_text(encoding="utf-8"),
    }
    for name, text in given.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "out").mkdir()
    arguments = argument_list(generator(seed, "arguments", case))
    before = files_in(folder)
    ended = run_command(arguments, folder)
    found = faults(ended) + faults_of_tables(folder)
    after = files_in(folder)
    asked = tuple(arguments)
    found += [f"{name} was changed" for name in before if after.get(name) != before[name] and name not in asked]
    found += [f"{name} was written" for name in after if name not in before
              and not name.startswith(("out/", "runs/")) and name.split("/")[0] not in asked]
    if ended.code == 2:
        found += [f"{name} is left of a command that failed" for name in after if Path(name).name.startswith("tmp")]
    return found
