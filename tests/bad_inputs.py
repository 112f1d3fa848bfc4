"""Command lines with bad input: cards, options, networks, plans and stores of results."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.conftest import ROOT

CARD = yaml.safe_load((ROOT / "devices" / "3nm.yaml").read_text(encoding="utf-8"))
Case = Callable[[Path, str], list[object]]


def plain(value: object) -> object:
    """A card without provenance: every {value: ...} becomes its number."""
    if isinstance(value, dict):
        return plain(value["value"]) if "value" in value else {key: plain(item) for key, item in value.items()}
    return value


def card_with(folder: Path, **changes: object) -> Path:
    """The 3 nm card with some dotted fields (`barrier__height_eV`) replaced, added, or removed (None)."""
    card = plain(CARD)
    assert isinstance(card, dict)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        place = card
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    file = folder / "card.yaml"
    file.write_text(yaml.safe_dump(card), encoding="utf-8")
    return file


def bad_card(**changes: object) -> Case:
    return lambda folder, tiny: ["card", "check", card_with(folder, **changes)]


def raw_card(text: bytes) -> Case:
    def build(folder: Path, tiny: str) -> list[object]:
        (folder / "raw.yaml").write_bytes(text)
        return ["card", "check", folder / "raw.yaml"]

    return build


def sweep_with(*options: object) -> Case:
    return lambda folder, tiny: [
        "sweep", "--device", "3nm", "--workload", tiny, "--workers", 1, "--out", folder / "run", *options
    ]


def plan_with(*options: object) -> Case:
    common = ["--flip-probability", 0.1, "--budget", 0.1]
    return lambda folder, tiny: ["plan", "--workload", tiny, *common, *options]


def workload_text(text: str, factory: str = "make", name: str = "bad.py") -> Case:
    def build(folder: Path, tiny: str) -> list[object]:
        (folder / name).write_text(text, encoding="utf-8")
        return ["plan", "--workload", f"{folder / name}:{factory}", "--flip-probability", 0.1]

    return build


NET = "import torch, qtaml_codesign as qc\nx = torch.randn(8, 4); y = torch.zeros(8, dtype=torch.long)\n"


def linear(arguments: str) -> Case:
    """A factory that calls `Workload` on one linear layer with these further arguments."""
    return workload_text(f"{NET}def make():\n    return qc.Workload(model=torch.nn.Linear(4, 3), {arguments})\n")


def plan_file(change: Callable[[dict[str, object]], object]) -> Case:
    """Evaluate a plan whose JSON was changed; `change` returns the new content, text or object."""

    def build(folder: Path, tiny: str) -> list[object]:
        import qtaml_codesign as qc

        made = qc.plan(qc.load_workload(tiny), method="uniform-msp", flip_probability=0.1, budget=0.25)
        content = change(json.loads(made.to_json()))
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "plan.json").write_text(text, encoding="utf-8")
        common = ["--flip-probability", 0.1, "--trials", 2]
        return ["evaluate", "--workload", tiny, "--plan", folder / "plan.json", *common]

    return build


def store_with(content: bytes | Callable[[Path], object]) -> Case:
    def build(folder: Path, tiny: str) -> list[object]:
        (folder / "run").mkdir()
        store = folder / "run" / "results.sqlite"
        store.write_bytes(content) if isinstance(content, bytes) else content(store)
        return sweep_with("--trials", 2, "--thickness", "1.76", "--budget", "0.25")(folder, tiny)

    return build


def foreign_database(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('keep me')")
    connection.close()


def folder_is_a_file(folder: Path, tiny: str) -> list[object]:
    (folder / "run").write_text("not a folder", encoding="utf-8")
    return sweep_with("--trials", 2)(folder, tiny)


def truncated(content: dict[str, object]) -> str:
    return json.dumps(content)[:150]


def change(*path: str | int, to: object) -> Callable[[dict[str, object]], object]:
    def apply(content: dict[str, object]) -> object:
        place: object = content
        for part in path[:-1]:
            place = place[part]  # type: ignore[index]
        place[path[-1]] = to  # type: ignore[index]
        return content

    return apply
