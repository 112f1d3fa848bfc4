"""Dotted fields of a card as plain mappings and lists: `barrier.layers.1.height_eV`."""

from __future__ import annotations

from typing import Any

from qtaml_codesign.errors import CardError


def put(tree: dict[str, Any], field: str, value: object) -> None:
    """Replace one field, with the mappings that lead to it where they are missing.

    Args:
        tree: the card, changed in place.
        field: dotted name; entries of a list by number.
        value: as it would stand in a file.

    Raises:
        CardError: a list has no such entry.

    Example:
        >>> tree = {"barrier": {"layers": [{}, {}]}}
        >>> put(tree, "barrier.layers.1.height_eV", 2.0)
        >>> tree
        {'barrier': {'layers': [{}, {'height_eV': 2.0}]}}
    """
    *path, last = field.split(".")
    node: Any = tree
    for step in path:
        node = node[_place(node, step, field)] if isinstance(node, list) else node.setdefault(step, {})
    node[_place(node, last, field) if isinstance(node, list) else last] = value


def _place(entries: list[Any], step: str, field: str) -> int:
    if not (step.isdecimal() and int(step) < len(entries)):
        raise CardError(f"there is no entry {step}", where=field, rule=f"0 <= entry < {len(entries)}", value=step,
                        next_step="entries are numbered from 0, as they stand in the list")
    return int(step)
