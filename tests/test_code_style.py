"""How long files and functions may be, and what a docstring must say, read from the syntax tree of every module."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator

import pytest

from tests.test_architecture import MODULES, module_name, room_of

TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def length(function: ast.FunctionDef) -> int:
    """Lines of a function, its heading and its docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_files_and_functions_stay_small() -> None:
    too_long = [f"{path.name}: {lines} lines" for path in MODULES
                if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300]
    for module, tree in TREES.items():
        most = 60 if module.endswith(".kernels") else 40
        too_long += [f"{module}: {function.name} {length(function)} lines" for function in functions(tree)
                     if length(function) > most]
    assert too_long == []


def test_most_functions_fit_a_glance() -> None:
    assert statistics.median(length(function) for tree in TREES.values() for function in functions(tree)) <= 8


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions of a module, and methods of its classes, whose names begin with a letter."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        yield from (part for part in inside if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"))


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What is done when a function is called, without the functions that it defines inside."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_nodes(child)


REFUSING = {function.name for function in functions(TREES["qtaml_codesign.checks"])
            if any(isinstance(node, ast.Raise) for node in own_nodes(function))}
"""Checks that raise."""


def refuses(function: ast.FunctionDef) -> bool:
    """Whether the function itself raises, or calls a check that does."""
    return any(
        (isinstance(node, ast.Raise) and node.exc is not None)
        or (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in REFUSING)
        for node in own_nodes(function)
    )


def untold(function: ast.FunctionDef) -> list[str]:
    """Arguments that the docstring does not name, and "Raises" where it has none and should.

    A docstring with \\b is the help of a command: its options have texts of their own, and its errors end the program.
    """
    text, given = ast.get_docstring(function) or "", function.args
    if "\b" in text:
        return []
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs,
                 *(part for part in (given.vararg, given.kwarg) if part is not None)]
    names = [part.arg for part in arguments if part.arg not in ("self", "cls") and not part.arg.startswith("_")]
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    return missing + ["Raises"] * (refuses(function) and "Raises:" not in text)


def untold_in(room: str) -> dict[str, list[str]]:
    return {f"{module}.{function.name}": missing for module, tree in TREES.items() if room_of(module) == room
            for function in public_functions(tree) if (missing := untold(function))}


@pytest.mark.parametrize("room", sorted({room_of(module) for module in TREES}))
def test_docstrings_name_every_argument_and_what_is_raised(room: str) -> None:
    assert untold_in(room) == {}


@pytest.mark.parametrize(("source", "missing"), [
    ("def f(one, two):\n    'one and two'", []), ("def f(one, two):\n    'only one'", ["two"]),
    ("def f(one):\n    pass", ["one"]), ("def f(*rest, **named):\n    'rest'", ["named"]),
    ("def f(one):\n    'someone'", ["one"]), ("def f():\n    'x'\n    raise ValueError", ["Raises"]),
    ("def f():\n    'x'\n    whole_number('x', 1, 2)", ["Raises"]),
    ("def f():\n    'x. Raises: no'\n    raise ValueError", []),
    ("def f():\n    'x'\n    def g():\n        raise ValueError", []),
    ("def f():\n    'x'\n    try:\n        pass\n    except OSError:\n        raise", []),
    ("def f(one):\n    'x\\b'", []),
])
def test_what_a_docstring_leaves_out_is_seen(source: str, missing: list[str]) -> None:
    (function,) = public_functions(ast.parse(source))
    assert untold(function) == missing
