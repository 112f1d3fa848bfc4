"""From a broken schema to one readable `CardError`: what, where, rule, value and the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.errors import CardError, did_you_mean, nearest, shorten

RULE = "card_rule"
_SHOWN = 5
_LONGEST = 120


def broken(what: str, rule: str, value: object, next_step: str, field: str = "") -> PydanticCustomError:
    """A broken rule, raised inside a validator; `field` only where the validator sees the whole card.

    Args:
        what: one sentence, what went wrong.
        rule: the rule that was broken.
        value: the offending value.
        next_step: what the user can do about it.
        field: dotted name of the field.
    """
    return PydanticCustomError(RULE, "{what}",
                               {"what": what, "where": field, "rule": rule, "value": value, "next_step": next_step})


def card_error(failure: ValidationError, model: type[BaseModel], where: str, prefix: Sequence[str] = ()) -> CardError:
    """The first problems of one card and how many there are, as one error: the first in full, the others by name.

    Unknown keys come first: a mistyped key is also a missing one. Near matches are sought for the shown ones alone.

    Args:
        failure: what pydantic found.
        model: the schema.
        where: the card.
        prefix: keys that lead to what was checked.
    """
    details = sorted(failure.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    first, *others = (_problem(detail, model, prefix) for detail in details[:_SHOWN])
    also = [f"{shorten(problem.where, _LONGEST)}: {problem.what}" for problem in others]
    if len(details) > _SHOWN:
        also.append(f"and {len(details) - _SHOWN:,} more")
    return CardError(first.what + (f" (also {'; '.join(also)})" if also else ""),
                     where=f"{where}, {shorten(first.where, _LONGEST)}" if first.where else where, rule=first.rule,
                     value=first.value, next_step=first.next_step)


def keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Valid keys of the mapping at `path` of a card; empty where `path` names no mapping of fixed keys.

    Args:
        model: the schema.
        path: keys that lead to the mapping.
    """
    steps = iter(path)
    for step in steps:
        inside, free = _part_at(model, step)
        if inside is None or (free and next(steps, None) is None):
            return []
        model = inside
    return _keys_of(model)


def _part_at(model: type[BaseModel], name: str) -> tuple[type[BaseModel] | None, bool]:
    """The part that a key of a model holds, if any, and whether it holds several, by free names or in a list."""
    annotation = model.model_fields[name].annotation if name in model.model_fields else None
    return next(_models_in(annotation), None), any(kind in str(annotation) for kind in ("dict[", "list["))


def _keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a part; a part of a barrier has those of every shape too."""
    shapes = BARRIERS.values() if model.model_config.get("extra") == "allow" else ()
    return list(dict.fromkeys([*model.model_fields, *(name for shape in shapes for name in shape.numbers)]))


def leaf_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of the plain fields of a model, in the order of the schema.

    Fields that hold several parts (regions, bit planes, layers) are left out.

    Args:
        model: the schema.
        prefix: what stands before each name.
    """
    names: list[str] = []
    for name in _keys_of(model):
        inside, free = _part_at(model, name)
        if inside is None:
            names.append(prefix + name)
        elif not free:
            names.extend(leaf_names(inside, f"{prefix}{name}."))
    return names


def unknown_key(model: type[BaseModel], path: Sequence[str]) -> str:
    """Next step for a key that the schema does not know: near matches beside it, then anywhere in the card.

    Args:
        model: the schema.
        path: keys that lead to the unknown one, and that one.
    """
    beside = keys_at(model, path[:-1])
    if nearest(path[-1], beside):
        return did_you_mean(path[-1], beside)
    leaves = {name.rsplit(".", 1)[-1]: name for name in reversed(leaf_names(model))}
    elsewhere = [leaves[match] for match in nearest(path[-1], leaves)]
    return f"did you mean {elsewhere[0]}?" if elsewhere else did_you_mean(path[-1], beside)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _problem(detail: ErrorDetails, model: type[BaseModel], prefix: Sequence[str]) -> CardError:
    path = [str(step) for step in detail["loc"]] or [model.__name__]
    field, name = ".".join([*prefix, *(step for step in path if step != "[key]")]), shorten(path[-1], _LONGEST)
    value: object = detail["input"]
    if detail["type"] == RULE:
        told = detail["ctx"]
        return CardError(**{**told, "where": told["where"] or field})
    if detail["type"] == "extra_forbidden":
        what, rule, step = f"unknown key {name}", "only the keys of the schema", unknown_key(model, path)
    elif detail["type"] == "missing":
        what, rule, value, step = f"{name} is missing", "a required key", "nothing", f"add `{name}:` to the card"
    else:
        what, (rule, step) = f"{name} does not fit the schema", _wrong_type(detail, name)
    return CardError(what, where=field, rule=rule, value=value, next_step=step)


def _wrong_type(detail: ErrorDetails, name: str) -> tuple[str, str]:
    """Rule and next step for a value of the wrong kind."""
    kind = detail["type"]
    if kind == "literal_error":
        words = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"one of {', '.join(words)}", did_you_mean(str(detail["input"]), words)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "a mapping of keys to values", f"write `{name}: {{key: value}}`, or leave it out"
    if kind == "list_type":
        return "a list", f"write `{name}: [...]`"
    if kind in ("too_short", "string_too_short"):
        return "not empty", f"fill {name}, or leave out what holds it"
    return detail["msg"], "see `codesign card show 3nm` for a complete card"
