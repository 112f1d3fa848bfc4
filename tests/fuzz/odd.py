"""Values that do not belong where they are put."""

from __future__ import annotations

import copy
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -0.0, -1, 1, 2, 3, 7, 8, 9, 16, 17, 255, 1e-320, 1e-30, 1e-9, 0.5, 1.5, 1e6, 1e9, 1e18, 1e300,
    2**31, 2**63, 2**64, -(2**63), 10**400, float("nan"), float("inf"), float("-inf"), "", " ", "nan", "inf", "1e999",
    "1e-6", "0x10", "1_0", "three", "5 %", "50%", "1,5", "\u0665", "\u2212" "1", "a" * 3000, "\u202e", "\U0001f4a5",
    "../..",
    "*", "[", "$HOME", "~", "-", "--help", "null", [], [1], [2, 1], [1.0, 2.0], [1.7, 1.9], ["a", "b"], [[]], {},
    {"value": 1}, {"value": "nan"}, {"value": 1.8, "low": 1.7, "high": 1.9}, {"value": 1, "low": 2}, {"a": 1},
)


def places_of(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all nodes below the root of nested dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = []
    for key, item in items:
        found += [(*path, key), *places_of(item, (*path, key))]
    return found


def mutated(tree: Any, rng: random.Random, names: tuple[str, ...] = ()) -> Any:
    """A copy with one node replaced, removed, renamed, doubled, scaled or added; names are keys to add."""
    tree = copy.deepcopy(tree)
    places = places_of(tree)
    if not places:
        return rng.choice(VALUES)
    *path, last = rng.choice(places)
    node = tree
    for step in path:
        node = node[step]
    how = rng.choice(("replace", "replace", "scale", "scale", "remove", "rename", "add", "swap"))
    if how == "replace":
        node[last] = copy.deepcopy(rng.choice(VALUES))
    elif how == "scale" and isinstance(node[last], int | float) and abs(node[last]) < 1e300:
        old = node[last]
        node[last] = rng.choice((old * 10.0 ** rng.randint(-12, 12), -old, old + 1, int(old)))
    elif how == "remove":
        del node[last]
    elif how == "rename" and isinstance(node, dict):
        node[misspelt(str(last), rng)] = node.pop(last)
    elif how == "add" and isinstance(node, dict):
        node[rng.choice((*names, "extra", "", 0))] = copy.deepcopy(rng.choice(VALUES))
    elif isinstance(node, list):
        node.insert(last, copy.deepcopy(rng.choice((node[last], *VALUES))))
    else:
        node[last] = copy.deepcopy(node.get(rng.choice(list(node))))
    return tree


def misspelt(text: str, rng: random.Random) -> str:
    """A text with one sign lost, doubled, replaced or in another case."""
    if not text:
        return "x"
    place = rng.randrange(len(text))
    sign = rng.choice(("", text[place] * 2, text[place].swapcase(), rng.choice("aeiz_09 -.")))
    return text[:place] + sign + text[place + 1:]


def torn(content: bytes, rng: random.Random) -> bytes:
    """Bytes with a few of them lost, doubled, replaced or moved."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((0, 1, 1, 2, 10, 200)))
        between = rng.choice((b"", b"\x00", b"\xff\xfe", b"\t", b"\n", b"- ", b": ", b"{", b"[", b"}", b"*a", b"&a ",
        b'"',
                              b"nan", b"1e999", b"\xc2\x85", b"#", content[start:end] * 2, bytes([rng.randrange(256)])))
        content = content[:start] + between + content[end:]
    return content[:rng.randrange(len(content) + 1)] if rng.random() < 0.1 else content
