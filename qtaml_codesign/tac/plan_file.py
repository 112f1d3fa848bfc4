"""The text of a plan file: its header, and what older versions of it meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from qtaml_codesign.errors import PlanError

PLAN_FORMAT = "qtaml-codesign plan"
PLAN_VERSION = 3
"""3: a layer may say how it is stored (`store`), and the plan `cells` and `statistics`."""
PAPER_VERSION = 2
"""2: `factor` enlarges the stored weights, `gain` and `offset` act on what is read, `planes` may name the planes. Plans
that need nothing of version 3 are still written so."""

_RENAMED_METHODS = {"tac": "tac-rescaled", "random": "random-layers"}


def read_content(text: str, where: str) -> dict[str, Any]:
    """The fields of a plan, without its header, in the meaning of this version.

    Args:
        text: content of a plan file.
        where: how an error names it.

    Raises:
        PlanError: not JSON, or no plan of a version that is known.
    """
    content = _parse(text, where)
    header = (content.pop("format", None), content.pop("version", None))
    if header == (PLAN_FORMAT, 1):
        return _from_version_1(content)
    if header not in ((PLAN_FORMAT, PAPER_VERSION), (PLAN_FORMAT, PLAN_VERSION)):
        raise PlanError("this is not a plan that this version can read", where=f"{where}, format and version",
                        rule=f"format {PLAN_FORMAT!r}, version 1 to {PLAN_VERSION}", value=header,
                        next_step="make the plan again with `codesign plan`")
    return _with_tables(content, where)


def without_repeated_tables(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a plan file with each codebook once, under `tables`, and its digest where it is used.

    Args:
        content: plain values.
    """
    tables: dict[str, Any] = {}

    def moved(value: Any, key: str = "") -> Any:
        if key == "codebook":
            digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
            tables[digest] = value
            return digest
        return _mapped(value, moved)

    found = moved(content)
    return {**found, "tables": tables} if tables else found


def _with_tables(content: dict[str, Any], where: str) -> dict[str, Any]:
    """The content with every codebook where it is used.

    Raises:
        PlanError: a table is named that is not there.
    """
    tables = content.pop("tables", {})

    def back(value: Any, key: str = "") -> Any:
        if key != "codebook" or not isinstance(value, str):
            return _mapped(value, back)
        if not isinstance(tables, dict) or value not in tables:
            raise PlanError("the plan names a table that is not there", where=f"{where}, tables",
                            rule="every codebook that a layer names", value=value,
                            next_step="make the plan again with `codesign plan`")
        return tables[value]

    found: dict[str, Any] = back(content)
    return found


def _mapped(value: Any, change: Callable[[Any, str], Any]) -> Any:
    """A dictionary or list with every entry changed; else the value."""
    if isinstance(value, dict):
        return {key: change(entry, key) for key, entry in value.items()}
    return [change(entry, "") for entry in value] if isinstance(value, list) else value


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 corrected by a readout gain that it called factor; two methods have got other names since.

    Fields of a wrong type are left as they are: the check of the fields names them.
    """
    layers, method = content.get("layers"), content.get("method")
    for layer in layers if isinstance(layers, list) else ():
        if isinstance(layer, dict) and "factor" in layer:
            layer["gain"] = layer.pop("factor")
    if isinstance(method, str):
        content["method"] = _RENAMED_METHODS.get(method, method)
    return content


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as failure:
        raise PlanError("the plan is not valid JSON", where=f"{where}, line {failure.lineno}",
                        rule="complete JSON text", value=failure.msg,
                        next_step="the file may be truncated; make the plan again with `codesign plan`") from None
    except (ValueError, RecursionError) as failure:
        content = failure
    if not isinstance(content, dict):
        raise PlanError("the plan is not a JSON object", where=where,
                        rule="an object with format, version, layers, ...",
                        value=content if isinstance(content, Exception) else type(content).__name__,
                        next_step="make the plan again with `codesign plan`")
    return content
