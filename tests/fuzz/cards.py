"""Mutated device cards: refused with one message, or accepted with flip probabilities that are probabilities."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.odd import mutated, torn
from tests.fuzz.running import faults, faults_of_tables, generator, run_command

DEVICES = Path(__file__).parents[2] / "devices"
NAMES = ("storage", "flips", "sweep", "validity", "regions", "bit_planes", "sources", "window_s", "bits")
EXTRAS: tuple[dict[str, Any], ...] = (
    {"storage": {"bits": 4, "encoding": "twos_complement"}}, {"flips": "charge_loss"},
    {"storage": {"bits": 16, "encoding": "sign_magnitude", "charged_bit": 0}},
    {"regions": {"a": {"tensors": ["*"], "barrier": {"thickness_nm": 2.0}}}},
    {"regions": {"a": {"tensors": ["x"], "storage": {"bits": 3}, "bit_planes": {0: {"window_s": 1.0}}}}},
    {"bit_planes": {7: {"barrier": {"thickness_nm": 2.1}}, 0: {"cell": {"electrons": 20}}}},
    {"validity": {"thickness_nm": [0.5, 5.0]}}, {"sweep": {"thickness_nm": [1.0, 1.5]}},
)


def text_of(rng: random.Random) -> bytes:
    """A card that was true once."""
    card = yaml.safe_load(rng.choice(sorted(DEVICES.glob("*.yaml"))).read_text(encoding="utf-8"))
    for extra in rng.sample(EXTRAS, rng.randint(0, 3)):
        card |= extra
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        card = mutated(card, rng, NAMES)
    text = yaml.safe_dump(card, allow_unicode=True, default_flow_style=rng.random() < 0.2).encode("utf-8", "replace")
    return torn(text, rng) if rng.random() < 0.4 else text


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one card shows to be wrong."""
    path = folder / "card.yaml"
    path.write_bytes(text_of(generator(seed, "cards", case)))
    checked = run_command(["card", "check", str(path)], folder)
    shown = run_command(["card", "show", str(path)], folder)
    table = run_command(["flip", "--device", str(path), "--csv", str(folder / "flip.csv")], folder)
    found = [fault for ended in (checked, shown, table) for fault in faults(ended)] + faults_of_tables(folder)
    if len({checked.code, shown.code, table.code}) != 1:
        found.append(f"check, show and flip end with {checked.code}, {shown.code} and {table.code}")
    return found + (_impossible(folder / "flip.csv") if table.code == 0 else [])


def _impossible(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    names = ("transmission", "escape_probability", "flip_probability")
    return [f"{name} is {row[name]}" for row in rows for name in names if not 0.0 <= float(row[name]) <= 1.0]
