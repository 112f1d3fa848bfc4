"""The layers of the house, its import walls and what runs in circles, read from the syntax tree of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qtaml_codesign"
NAME = "qtaml_codesign"

LAYERS = [
    ["errors", "checks", "constants", "statistics", "records", "files"],
    ["barriers", "card_schema", "cards"],
    ["physics"],
    ["bits"],
    ["ecc"],
    ["codecs"],
    ["nets"],
    ["memory"],
    ["tac"],
    ["plots"],
    ["frontier"],
    ["sweeps"],
    ["report"],
    ["commands", "__main__"],
]
LAYER_OF = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

WALLS = {
    "numba": lambda module: module.endswith(".kernels"),
    "torch": lambda module: LAYER_OF[room_of(module)] >= LAYER_OF["nets"],
    "matplotlib": lambda module: room_of(module) == "plots",
    "plotly": lambda module: room_of(module) == "plots",
    "typer": lambda module: room_of(module) == "commands",
    "rich": lambda module: room_of(module) == "commands",
    "yaml": lambda module: module == f"{NAME}.cards",
    "pickle": lambda module: False,
    **dict.fromkeys(("distributed", "dask", "cloudpickle"), lambda module: module == f"{NAME}.sweeps.dask_client"),
    "transformers": lambda module: module == f"{NAME}.nets.from_files",
    "onnx": lambda module: module == f"{NAME}.nets.from_onnx",
    "onnxruntime": lambda module: module == f"{NAME}.nets.from_onnx",
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(tree: ast.AST) -> set[str]:
    """Every module that an import statement names, also inside functions and TYPE_CHECKING blocks."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(module: str, imported: set[str]) -> list[str]:
    found = []
    for name in sorted(imported):
        top = name.split(".")[0]
        if top in WALLS and not WALLS[top](module):
            found.append(f"{module} imports {name} across its wall")
        if top == NAME and name != NAME:
            target = room_of(name)
            if target in LAYER_OF and LAYER_OF[target] > LAYER_OF[room_of(module)]:
                found.append(f"{module} (L{LAYER_OF[room_of(module)]}) imports {name} (L{LAYER_OF[target]})")
            if target not in LAYER_OF and target != "__version__":
                found.append(f"{module} imports {name}, which stands in no layer")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_to_its_layer(path: Path) -> None:
    module = module_name(path)
    assert room_of(module) in LAYER_OF, f"{module} stands in no layer: name it in LAYERS and in the package docstring"
    assert violations(module, imports_of(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("qtaml_codesign.bits.law", "from qtaml_codesign.tac.api import plan"),
        ("qtaml_codesign.physics.flip", "import torch"),
        ("qtaml_codesign.physics.flip", "from numba import njit"),
        ("qtaml_codesign.frontier", "def f():\n    import matplotlib.pyplot as plt"),
        ("qtaml_codesign.memory.deploy", "import pickle"),
        ("qtaml_codesign.sweeps.cluster", "def f():\n    from distributed import Client"),
        ("qtaml_codesign.sweeps.api", "from rich.progress import Progress"),
        ("qtaml_codesign.tac.api", "import yaml"),
        ("qtaml_codesign.nets.loading", "import transformers"),
        ("qtaml_codesign.nets.onnx_network", "from onnx import helper"),
        ("qtaml_codesign.tac.api", "from qtaml_codesign.unknown import thing"),
    ],
)
def test_a_broken_wall_is_seen(module: str, source: str) -> None:
    assert violations(module, imports_of(ast.parse(source)))


def neighbours(trees: dict[str, ast.AST]) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, wherever in its text; the package itself is left out."""
    found: dict[str, set[str]] = {}
    for module, tree in trees.items():
        homes = set()
        for name in imports_of(tree):
            while name and name not in trees:
                name = name.rpartition(".")[0]
            homes.add(name)
        found[module] = homes - {"", module}
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Every largest set of modules each of which is reached from each other one, itself not counted."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        ahead = set(graph[start])
        while ahead:
            module = ahead.pop()
            seen.add(module)
            ahead |= graph[module] - seen
        reached[start] = seen
    found = {frozenset(other for other in reached[start] if start in reached[other]) for start in graph
             if start in reached[start]}
    return [set(circle) for circle in sorted(found, key=sorted)]


def test_no_modules_import_one_another_in_a_circle() -> None:
    trees = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    assert circles(neighbours(trees)) == []


@pytest.mark.parametrize("back", [
    "from room.a import thing", "import room.a", "from room import a", "def f():\n    from room.a import thing",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from room.a import Thing",
])
def test_a_circle_is_seen(back: str) -> None:
    trees = {"room.a": ast.parse("from room.b import thing"), "room.b": ast.parse("from room.c import thing"),
             "room.c": ast.parse(back), "room.d": ast.parse("import room.a, room.e"), "room.e": ast.parse("import os")}
    assert circles(neighbours(trees)) == [{"room.a", "room.b", "room.c"}]


def stands(room: str) -> bool:
    return (PACKAGE / room / "__init__.py").exists() or (PACKAGE / f"{room}.py").exists()


def test_the_docstring_of_the_package_states_the_same_order() -> None:
    """A room that is listed here and not built yet is left out on both sides."""
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    stated = [line.split(maxsplit=1)[1] for line in text.splitlines() if line.strip().startswith("L") and "  L" in line]
    rooms = [[room.strip() for room in row.split(",")] for row in stated if row.split(",")[0].strip() in LAYER_OF]
    built = [[room for room in rooms if stands(room)] for rooms in LAYERS]
    assert rooms == [rooms for rooms in built if rooms]


def test_layers_without_a_network_import_without_torch() -> None:
    """A hardware engineer uses L0-L5 on a machine that has no torch at all."""
    names = [module_name(path) for path in MODULES if LAYER_OF[room_of(module_name(path))] <= LAYER_OF["codecs"]]
    script = (
        "import sys, importlib\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "import qtaml_codesign as qc\n"
        "assert 0.09 < qc.flip_probability(qc.load_card('3nm')).probability < 0.11\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    import qtaml_codesign as qc

    for name in qc.__all__:
        assert getattr(qc, name) is getattr(qc, name)
    assert callable(qc.sweep)
    assert callable(qc.plan)
    with pytest.raises(AttributeError, match="no attribute"):
        qc.nothing_of_the_kind  # noqa: B018
