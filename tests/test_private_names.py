"""Nothing in the package uses a private name of torch or of another library, read from the syntax trees.

A private name may change with any version: what it does is asked for in a public way, or not used.
"""

from __future__ import annotations

import ast

import pytest

from tests.test_architecture import MODULES, NAME, module_name

TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}

OF_TORCH = {
    "_backward_hooks", "_buffers", "_compiled_call_impl", "_forward_hooks", "_forward_pre_hooks", "_has_method",
    "_indices", "_modules", "_non_persistent_buffers_set", "_orig_mod", "_parameters", "_schema", "_sequence_nr",
    "_values", "_version",
}
"""Private names of torch that a class of ours could have as well: seen on anything but `self`, and as texts."""

PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}
"""They begin with an underscore, and the manual of Python tells how to use them."""

FORGIVEN = {
    # torch's own manual names this module for watching operations; what an operation writes stands nowhere else
    "qtaml_codesign.nets.dataflow": {"import torch.utils._python_dispatch.TorchDispatchMode", "func._schema"},
    # read by the type checker alone, which cannot follow `type(BaseModel)`
    "qtaml_codesign.records": {"import pydantic._internal._model_construction.ModelMetaclass"},
}
"""What has no public name, each in the one module that needs it."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_") != "" and name not in PUBLIC


def names_of_ours(tree: ast.AST) -> set[str]:
    """What a module defines or sets itself, as a name or as an attribute."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


OURS = set().union(*map(names_of_ours, TREES.values()))


def own(node: ast.Attribute) -> bool:
    """Whether an attribute is read off `self`, `cls`, or the other value of a comparison, which is ours to have."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "other")


def foreign_names(tree: ast.AST, ours: set[str]) -> list[str]:
    """Private attributes, imports and texts of a module that are not ours, with their lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr not in ours or (node.attr in OF_TORCH and not own(node)):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Constant) and node.value in OF_TORCH:
            found.append(f"{node.lineno}: {node.value!r}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            found += [f"{node.lineno}: import {home}{alias.name}" for alias in node.names
                      if not home.startswith(NAME) and any(map(is_private, f"{home}{alias.name}".split(".")))]
    return found


@pytest.mark.parametrize("module", TREES)
def test_no_private_name_of_a_library(module: str) -> None:
    found = foreign_names(TREES[module], OURS)
    assert [name for name in found if name.partition(": ")[2] not in FORGIVEN.get(module, ())] == []


@pytest.mark.parametrize("source", [
    "module._parameters['weight'] = 1", "tensor._version", "getattr(part, '_forward_hooks')", "torch._C.thing()",
    "from torch.utils._pytree import tree_map", "import torch._dynamo", "import torch.nn.modules._functions",
    "from torch.nn.modules.batchnorm import _NormBase",
    "holder.part._buffers", "torch.nn.modules.module._global_forward_hooks", "executor._max_workers",
])
def test_a_private_name_is_seen(source: str) -> None:
    assert foreign_names(ast.parse(source), {"_parameters", "_buffers", "_values"})


@pytest.mark.parametrize("source", [
    "self._parameters", "self._kept = 1", "os._exit(1)", "from qtaml_codesign.nets.scoring import _thing",
    "value.__dict__", "_kept = 1", "'_other'", "row._asdict()",
])
def test_our_own_names_are_ours(source: str) -> None:
    assert foreign_names(ast.parse(source), {"_parameters", "_kept"}) == []
