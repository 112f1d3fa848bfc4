"""Only what torch calls public is used, but for one exception in nets/dataflow.py; read from the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from torch import nn

PACKAGE = Path(__file__).parent.parent / "qtaml_codesign"
ALLOWED = {"nets/dataflow.py": {"torch.utils._python_dispatch", "_schema"}, "sweeps/pool.py": {"_exit"}}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


HIDDEN = {name for name in vars(nn.Module()) if is_private(name)}


def private_names(source: str) -> set[str]:
    """Private attributes of other objects, private parts of torch that are imported, and either written as text."""
    found, tree = set(), ast.parse(source)
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            own = (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")) or node.attr in methods
            found |= set() if own else {node.attr}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            names = [node.module or "", *(alias.name for alias in node.names)]
            found |= {name for name in names if any(is_private(part) for part in name.split("."))}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("torch.") and "._" in alias.name}
        elif isinstance(node, ast.Constant) and node.value in HIDDEN:
            found.add(str(node.value))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_private_is_used(path):
    assert private_names(path.read_text(encoding="utf-8")) <= ALLOWED.get(str(path.relative_to(PACKAGE)), set())


@pytest.mark.parametrize("source", [
    "module._parameters", "tensor.grad_fn._sequence_nr()", "from torch.nn.modules.batchnorm import _NormBase",
    "from torch.utils._pytree import tree_map", "import torch.utils._pytree", "getattr(module, '_forward_hooks')",
    "torch._C", "tensor._version", "self.module._buffers",
])
def test_what_is_private_is_seen(source):
    assert private_names(source)


def test_what_is_public_is_not():
    assert private_names("self._own, torch.nn.Linear, module.named_parameters(), x.__class__, '_mine'") == set()
