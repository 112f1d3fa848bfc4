"""From a broken schema to one readable `CardError`: what, where, rule, value and the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.errors import CardError, did_you_mean, nearest, shorten

RULE = "card_rule"
_SHOWN = 5
_LONGEST = 120


class Problem(NamedTuple):
    """One broken rule: the five answers of an error."""

    what: str
    field: str
    rule: str
    value: object
    next_step: str


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
                               {"what": what, "rule": rule, "value": value, "next_step": next_step, "field": field})


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
    also = [f"{shorten(problem.field, _LONGEST)}: {problem.what}" for problem in others]
    if len(details) > _SHOWN:
        also.append(f"and {len(details) - _SHOWN:,} more")
    return CardError(first.what + (f" (also {'; '.join(also)})" if also else ""),
                     where=f"{where}, {shorten(first.field, _LONGEST)}" if first.field else where, rule=first.rule,
                     value=first.value, next_step=first.next_step)


def keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str] | None:
    """Valid keys of the mapping at `path` of a card; None where `path` names no mapping of fixed keys.

    Args:
        model: the schema.
        path: keys that lead to the mapping.
    """
    inside: type[BaseModel] | None = model
    steps = iter(path)
    for step in steps:
        if inside is None or step not in inside.model_fields:
            return None
        annotation = inside.model_fields[step].annotation
        inside = next(_models_in(annotation), None)
        if "dict" in str(annotation) and inside is not None and next(steps, None) is None:
            return None
    return None if inside is None else _keys_of(inside)


def _keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a part; a part of a barrier has those of every shape too."""
    shapes = BARRIERS.values() if model.model_config.get("extra") == "allow" else ()
    return list(dict.fromkeys([*model.model_fields, *(name for shape in shapes for name in shape.numbers)]))


def leaf_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of the plain fields of a model, in the order of the schema.

    Fields that map free names to overrides (regions, bit planes) are left out.

    Args:
        model: the schema.
        prefix: what stands before each name.
    """
    names: list[str] = []
    for name in _keys_of(model):
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        inside = next(_models_in(annotation), None)
        if inside is None:
            names.append(prefix + name)
        elif "dict" not in str(annotation):
            names.extend(leaf_names(inside, f"{prefix}{name}."))
    return names


def unknown_key(model: type[BaseModel], path: Sequence[str]) -> str:
    """Next step for a key that the schema does not know: near matches beside it, then anywhere in the card.

    Args:
        model: the schema.
        path: keys that lead to the unknown one, and that one.
    """
    beside = keys_at(model, path[:-1]) or []
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


def _problem(detail: ErrorDetails, model: type[BaseModel], prefix: Sequence[str]) -> Problem:
    path = [str(step) for step in detail["loc"]] or [model.__name__]
    field, name = ".".join([*prefix, *(step for step in path if step != "[key]")]), shorten(path[-1], _LONGEST)
    value: object = detail["input"]
    context = detail.get("ctx", {})
    if detail["type"] == RULE:
        told = context
        return Problem(told["what"], told["field"] or field, told["rule"], told["value"], told["next_step"])
    if detail["type"] == "extra_forbidden":
        return Problem(f"unknown key {name}", field, "only the keys of the schema", value, unknown_key(model, path))
    if detail["type"] == "missing":
        return Problem(f"{name} is missing", field, "a required key", "nothing", f"add `{name}:` to the card")
    return Problem(f"{name} does not fit the schema", field, *_wrong_type(detail, name, value))


def _wrong_type(detail: ErrorDetails, name: str, value: object) -> tuple[str, object, str]:
    """Rule, value and next step for a value of the wrong kind."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"one of {', '.join(words)}", value, did_you_mean(str(value), words)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "a mapping of keys to values", value, f"write `{name}: {{key: value}}`, or leave it out"
    if kind == "list_type":
        return "a list", value, f"write `{name}: [...]`"
    if kind in ("too_short", "string_too_short"):
        return "not empty", value, f"fill {name}, or leave out what holds it"
    return detail["msg"], value, "see `codesign card show 3nm` for a complete card"
