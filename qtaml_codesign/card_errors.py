"""From a broken schema to one readable `CardError`: what, where, rule, value and the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from qtaml_codesign.errors import CardError, did_you_mean, nearest, shorten

RULE = "card_rule"


class Problem(NamedTuple):
    """One broken rule: the five answers of an error."""

    what: str
    field: str
    rule: str
    value: object
    next_step: str


def broken(what: str, rule: str, value: object, next_step: str, field: str = "") -> PydanticCustomError:
    """A broken rule, raised inside a validator; `field` only where the validator sees the whole card."""
    return PydanticCustomError(
        RULE, "{what}", {"what": what, "rule": rule, "value": value, "next_step": next_step, "field": field}
    )


def card_error(failure: ValidationError, model: type[BaseModel], where: str, prefix: Sequence[str] = ()) -> CardError:
    """All problems of one card as one error: the first in full, the others named after it."""
    problems = [_problem(detail, model, prefix) for detail in failure.errors(include_url=False)]
    first = problems[0]
    others = "; ".join(f"{problem.field}: {problem.what}" for problem in problems[1:])
    more = f" (and {len(problems) - 1} more: {others})" if others else ""
    return CardError(
        first.what + more, where=f"{where}, {first.field}" if first.field else where,
        rule=first.rule, value=first.value, next_step=first.next_step,
    )


def keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str] | None:
    """Valid keys of the mapping at `path` of a card; None where `path` names no mapping of fixed keys."""
    inside: type[BaseModel] | None = model
    steps = iter(path)
    for step in steps:
        if inside is None or step not in inside.model_fields:
            return None
        annotation = inside.model_fields[step].annotation
        inside = next(_models_in(annotation), None)
        if "dict" in str(annotation) and inside is not None and next(steps, None) is None:
            return None
    return None if inside is None else list(inside.model_fields)


def leaf_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of the plain fields of a model, in the order of the schema.

    Fields that map free names to overrides (regions, bit planes) are left out.
    """
    names: list[str] = []
    for name, field in model.model_fields.items():
        inside = next(_models_in(field.annotation), None)
        if inside is None:
            names.append(prefix + name)
        elif "dict" not in str(field.annotation):
            names.extend(leaf_names(inside, f"{prefix}{name}."))
    return names


def unknown_key(model: type[BaseModel], path: Sequence[str]) -> str:
    """Next step for a key that the schema does not know: near matches beside it, then anywhere in the card."""
    beside = keys_at(model, path[:-1]) or []
    if nearest(path[-1], beside):
        return did_you_mean(path[-1], beside)
    leaves = {name.rsplit(".", 1)[-1]: name for name in leaf_names(model)}
    elsewhere = [leaves[match] for match in nearest(path[-1], leaves)]
    return f"did you mean {elsewhere[0]}?" if elsewhere else did_you_mean(path[-1], beside)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _problem(detail: ErrorDetails, model: type[BaseModel], prefix: Sequence[str]) -> Problem:
    path = [str(step) for step in detail["loc"]]
    field = ".".join([*prefix, *(step for step in path if step != "[key]")])
    value: object = detail["input"]
    context = detail.get("ctx", {})
    if detail["type"] == RULE:
        return Problem(context["what"], context["field"] or field, context["rule"], context["value"], context["next_step"])
    if detail["type"] == "extra_forbidden":
        return Problem(f"unknown key {shorten(path[-1])}", field, "only the keys of the schema", value, unknown_key(model, path))
    if detail["type"] == "missing":
        return Problem(f"{path[-1]} is missing", field, "a required key", "nothing", f"add `{path[-1]}:` to the card")
    return _wrong_type(detail, field, value)


def _wrong_type(detail: ErrorDetails, field: str, value: object) -> Problem:
    name, kind, context = field.rsplit(".", 1)[-1], detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return Problem(f"{name} has an unknown value", field, f"one of {', '.join(words)}", value, did_you_mean(str(value), words))
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(f"{name} must hold keys", field, "a mapping of keys to values", value, f"write `{name}: {{key: value}}`, or leave it out")
    if kind in ("list_type", "tuple_type"):
        return Problem(f"{name} must be a list", field, "a list", value, f"write `{name}: [...]`")
    if kind.startswith("int_"):
        return Problem(f"{name} is not a whole number", field, "a bit plane, 0 = least significant", value, "number the planes 0, 1, 2 ...")
    if kind.startswith(("float_", "string_type")):
        return Problem(f"{name} has the wrong type", field, detail["msg"], value, "give a number or text as the schema asks")
    return Problem(f"{name} breaks the schema", field, detail["msg"], value, "see `codesign card show 3nm` for a complete card")
