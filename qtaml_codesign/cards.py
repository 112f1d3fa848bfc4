"""Device cards: YAML files checked against the schema, shipped or the user's own.

The fields, their bounds and units, and the rules between them live in `card_schema`. This file
reads files; YAML is parsed as plain text, so that `1e-6`, `no` and `1:30` mean what they say and not what YAML 1.1
makes of them.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from qtaml_codesign.card_schema.card import DEFAULT_REGION, DeviceCard, place_of
from qtaml_codesign.card_schema.cell import CellParameters
from qtaml_codesign.card_schema.parts import Encoding, FlipDirection, Storage
from qtaml_codesign.card_schema.quantities import Provenance
from qtaml_codesign.errors import CardError, did_you_mean, nearest, shorten, shown

__all__ = [
    "DEFAULT_REGION", "CellParameters", "DeviceCard", "Encoding", "FlipDirection", "Provenance", "Storage",
    "card_text", "list_cards", "load_card", "with_settings",
]

_MOST_BYTES: Final = 1_000_000
_MOST_ENTRIES: Final = 50_000
_DEEPEST: Final = 20


def list_cards() -> list[str]:
    """Names of the shipped cards, in alphabetical order.

    Example:
        >>> "3nm" in list_cards()
        True
    """
    return sorted(path.stem for path in _devices().glob("*.yaml"))


def load_card(name_or_path: str | Path) -> DeviceCard:
    """Read and check a device card: the name of a shipped one, or a path.

    A bare name means the shipped card; whatever holds a path separator or ends in .yaml or .yml is a path.

    Args:
        name_or_path: name of a shipped card, or path of a file.

    Raises:
        CardError: no such card, not readable, not YAML, or against the schema.

    Example:
        >>> load_card("3nm").cell.electrons
        50
    """
    text = shown(name_or_path, str)
    if not isinstance(name_or_path, str | Path) or not text.strip():
        raise CardError("no card named", where="card", rule="a shipped name or a path", value=shown(name_or_path),
                        next_step=f"shipped: {', '.join(list_cards())}")
    if isinstance(name_or_path, str) and text in list_cards():
        return _read(_devices() / f"{text}.yaml")
    path = Path(os.path.expanduser(text))
    is_path = isinstance(name_or_path, Path) or path.suffix in (".yaml", ".yml") or path.name != text
    if not is_path and not os.path.isfile(path):
        raise CardError(f"no card named {text}", where="card", rule="a shipped name or a path", value=text,
                        next_step=did_you_mean(text, list_cards()))
    return _read(path)


def as_card(card: DeviceCard | str | Path) -> DeviceCard:
    """A card as it is, or the one that a name or path stands for.

    Args:
        card: a card, a shipped name, or a path.

    Raises:
        CardError: the card cannot be read or breaks its schema.
    """
    return card if isinstance(card, DeviceCard) else load_card(card)


def with_settings(card: DeviceCard, settings: Iterable[str]) -> DeviceCard:
    """A card with some fields replaced, all at once, as `FIELD=VALUE` texts; VALUE is written as in a card file.

    Args:
        card: stays as it is.
        settings: texts such as `barrier.height_eV=3.2`, each field once.

    Raises:
        CardError: not FIELD=VALUE, an unknown field, or a card that breaks the schema.

    Example:
        >>> changed = with_settings(load_card("3nm"), ["cell.electrons=60", "sweep.thickness_nm=[1.7, 2.0]"])
        >>> changed.cell.electrons, changed.sweep.thickness_nm
        (60, (1.7, 2.0))
    """
    values: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        field = field.strip()
        if not equals or not field or field in values:
            what = "a field is set twice" if field in values else "not FIELD=VALUE"
            raise CardError(what, where="--set", rule="FIELD=VALUE, each field once", value=setting,
                            next_step="for instance --set barrier.height_eV=3.2")
        values[field] = _parse(text, Path(f"--set {field}"))
    return card.with_fields(values) if values else card


def card_text(card: DeviceCard) -> str:
    """A card as the text of a YAML file that `load_card` reads back to the same card.

    Args:
        card: any card.

    Example:
        >>> card_text(load_card("3nm")).splitlines()[:2]
        ['schema_version: 1', 'name: 3nm']
    """
    return yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True, width=110)


def _devices() -> Path:
    inside = Path(__file__).parent / "devices"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "devices"


def _read(path: Path) -> DeviceCard:
    raw = _parse(_text(path), path)
    if not isinstance(raw, dict):
        kind = "empty" if raw in (None, "") else "not a mapping"
        raise CardError(f"the card is {kind}", where=str(path), rule="a mapping of keys to values", value=raw,
                        next_step="see `codesign card show 3nm` for a complete card")
    try:
        return DeviceCard(**raw)
    except CardError as failure:
        failure.where = f"{path}{failure.where.removeprefix(place_of(raw))}"
        raise


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise CardError("the file is too large to be a card", where=str(path), rule=f"at most {_MOST_BYTES} bytes",
                            value=f"more than {_MOST_BYTES} bytes", next_step="check the path")
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CardError("the card is not text", where=str(path), rule="a YAML file in UTF-8", value=path.name,
                        next_step="check the path") from None
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise CardError(f"the card cannot be read: {reason}", where=str(path), rule="a readable file", value=str(path),
                        next_step=_nearby(path)) from None


def _nearby(path: Path) -> str:
    beside = [str(other) for other in sorted(path.parent.glob("*.y*ml"))] if os.path.isdir(path.parent) else []
    close = [*nearest(str(path), beside), *nearest(path.stem, list_cards())]
    return f"did you mean {' or '.join(close[:3])}?" if close else f"check the path; shipped: {', '.join(list_cards())}"


def _parse(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, Loader=_CardLoader)
    except yaml.YAMLError as failure:
        problem, mark = str(failure), None
        if isinstance(failure, yaml.MarkedYAMLError):
            problem, mark = failure.problem or "does not parse", failure.problem_mark
        where = str(path) if mark is None else f"{path}, line {mark.line + 1}, column {mark.column + 1}"
        raise CardError("the card is not valid YAML", where=where, rule="one YAML mapping, each key once",
                        value=problem, next_step="correct that line; indent with spaces and put a space after each "
                        "colon") from None


class _CardLoader(yaml.BaseLoader):
    """YAML as plain text, lists and mappings, bounded before anything walks through it.

    An alias counts as all that it stands for. A key that stands twice and a control character are errors.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._entries = 0
        self._entries_of: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._entries
        alias, anchor = isinstance(event, yaml.AliasEvent), getattr(event, "anchor", None)
        self._depth += 1
        self._entries += self._entries_of.get(str(anchor), 1) if alias else 1
        if self._depth > _DEEPEST:
            raise _refused(f"nested more than {_DEEPEST} deep", event)
        if self._entries > _MOST_ENTRIES:
            raise _refused(f"more than {_MOST_ENTRIES} keys and values", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        if anchor is not None and not alias:
            self._entries_of[anchor] = self._entries - before
        self._depth -= 1
        return node

    def construct_scalar(self, node: yaml.ScalarNode) -> str:
        text = str(super().construct_scalar(node))
        for sign in set(text) - {"\n", "\t"}:
            if unicodedata.category(sign) in ("Cc", "Cs"):
                raise _refused(f"the control character {sign!a} in a text", node)
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _refused(f"the key {shorten(key.value)} stands twice", key)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _refused(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)
